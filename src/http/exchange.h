// SPDX-License-Identifier: Apache-2.0
// One transfer of libcurl's: what its callbacks do, and what its outcome means.
#pragma once

#include <curl/curl.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/client.h"

namespace segue::http {

// libcurl forbids its callbacks to start or end transfers, so they only take note here; deliver()
// tells the handlers afterwards.
class Transfer {
 public:
  static constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 10;
  static constexpr std::size_t kMaxPendingBytes = std::size_t{256} << 10;

  Transfer(Request request, Handlers handlers);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  [[nodiscard]] CURL* handle() const { return curl_.get(); }
  // For the waits of a body source that has nothing now; -1: it need not be waited for.
  [[nodiscard]] int paused_source() const { return is_paused_ ? request_.body_source.get() : -1; }
  void resume();  // perhaps its callbacks run at once

  // Ends it with this error, whatever libcurl says later.
  void refuse(base::Error error);
  [[nodiscard]] bool is_refused() const { return error_.has_value(); }
  void finished(CURLcode code) { code_ = code; }
  [[nodiscard]] bool is_finished() const { return code_.has_value() || is_refused(); }
  // Whether deliver() has something to say.
  [[nodiscard]] bool has_news() const;
  // `is_wanted` turns false when a handler gives the exchange up. True: it has ended.
  bool deliver(const std::function<bool()>& is_wanted);
  [[nodiscard]] const Handlers& handlers() const { return handlers_; }
  base::Result<Answer> outcome();  // once it has ended

  std::size_t take_body(std::string_view bytes);
  std::size_t take_header(std::string_view line);
  std::size_t give_body(char* buffer, std::size_t size);

 private:
  struct FreeEasy {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  void prepare();
  void prepare_body();
  [[nodiscard]] bool changes_nothing() const;
  [[nodiscard]] base::Error transport_error(CURLcode code) const;
  [[nodiscard]] base::Error connect_error() const;
  [[nodiscard]] base::Error broken_error(base::ErrorCode harmless, std::string message) const;
  [[nodiscard]] std::string details(CURLcode code) const;
  [[nodiscard]] std::string place() const;

  Request request_;
  Handlers handlers_;
  Answer answer_;
  std::string pending_;  // of the body, for on_body
  std::size_t header_bytes_ = 0;
  std::size_t body_given_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t told_bytes_ = 0;
  bool has_header_ended_ = false;
  bool is_paused_ = false;     // waits for its body source
  bool is_held_back_ = false;  // waits until on_body has taken what is pending
  std::optional<CURLcode> code_;
  std::optional<base::Error> error_;  // ours, not libcurl's
  std::array<char, CURL_ERROR_SIZE> error_text_{};
  std::unique_ptr<curl_slist, FreeList> fields_;
  std::unique_ptr<CURL, FreeEasy> curl_;
};

}  // namespace segue::http
