// SPDX-License-Identifier: Apache-2.0
// One call to an engine: a request, or several one after the other, in the version of the API that
// was agreed on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/client.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "runtime/docker_engine.h"
#include "runtime/engine_answers.h"

namespace segue::runtime {

// What all calls to an engine share.
struct EngineLine {
  os::EpollLoop& loop;
  const os::Clock& clock;
  EngineOptions options;
  std::optional<http::Client> client;    // nothing: the engine object has gone
  std::optional<EngineVersion> version;  // nothing: to be agreed on

  // "Podman at /run/podman/podman.sock"
  [[nodiscard]] std::string place() const;
};

struct ApiRequest {
  Question question;
  std::string method = "GET";
  std::string path;  // after the version, with its query: "/containers/json?all=true"
  std::string body;  // JSON
  std::function<std::string(EngineKind)> body_for;  // instead of it
  os::UniqueFd archive;                             // instead of it
  std::vector<std::string> fields;
  base::Duration limit{};  // 0: none
  bool changes_nothing = false;
};

class Conversation final : public Call {
 public:
  using OnApiAnswer = std::function<void(base::Result<http::Answer> answer)>;
  using OnBody = std::function<base::Result<void>(std::string_view bytes)>;
  using OnSent = std::function<void(std::uint64_t bytes)>;

  explicit Conversation(std::shared_ptr<EngineLine> line) : line_(std::move(line)) {}
  ~Conversation() override;

  // The answer has a status of 2xx or 304; others are errors. Without `on_body` its body is in it.
  // From a callback of an earlier one it is the next.
  void ask(ApiRequest request, OnApiAnswer on_answer, OnBody on_body = nullptr,
           OnSent on_sent = nullptr);
  // Agrees on the version anew.
  void ask_version(OnAnswer<EngineVersion> on_answer);
  // Ends with this error, from the loop.
  void refuse(const Question& question, base::Error error, OnApiAnswer on_answer);
  // Calls back a little later.
  void pause(base::Duration duration, std::function<void()> on_time);

  // False once the call is given up: after a callback that may do that, before the call is used.
  [[nodiscard]] std::function<bool()> liveness() const {
    return [alive = std::weak_ptr(alive_), line = line_] {
      return !alive.expired() && line->client.has_value();
    };
  }
  [[nodiscard]] EngineLine& line() { return *line_; }

 private:
  void send(ApiRequest request, OnApiAnswer on_answer, OnBody on_body, OnSent on_sent);
  [[nodiscard]] base::Error explained(const Question& question, base::Error error) const;

  std::shared_ptr<EngineLine> line_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
  std::unique_ptr<http::Exchange> exchange_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

// One of a URL's parts (RFC 3986, section 2.1).
std::string percent_encoded(std::string_view text);
// {"label":["a=b","c"]} as a query's value; an empty label stands for any.
std::string label_filters(const Labels& labels, std::string_view type = {});
// Seconds since 1970 with nine digits after the dot.
std::string time_text(base::RealTime time);

}  // namespace segue::runtime
