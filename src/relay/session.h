// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "fetch/served_file.h"
#include "os/clock.h"
#include "relay/cache.h"
#include "relay/hosts.h"
#include "relay/metadata.h"
#include "relay/site.h"
#include "relay/transfers.h"

namespace segue::relay {

struct ServedFigures {
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  // answers from 400 up
  std::uint64_t body_bytes = 0;
  std::uint64_t connections = 0;
  std::uint64_t open_connections = 0;
};

// What sessions share; all of it outlives them.
struct SessionParts {
  const os::Clock& clock;
  Cache& cache;
  Metadata& metadata;
  Transfers& transfers;
  Hosts& hosts;
  const Site& site;
  std::string site_name;
  ServedFigures& figures;
  std::function<RelayState()> state;
};

// One connection of a host or of another relay: request by request, until it is idle, too slow,
// malformed, or closed.
class Session : public std::enable_shared_from_this<Session> {
 public:
  static constexpr base::Duration kIdle = std::chrono::seconds(30);
  // For each 64 KiB to be taken.
  static constexpr base::Duration kPiece = std::chrono::seconds(60);
  // For the next byte of an object to come to this relay.
  static constexpr base::Duration kPatience = std::chrono::minutes(15);

  // `closed` is called once, at its end.
  Session(boost::asio::ip::tcp::socket socket, const SessionParts& parts,
          std::function<void()> closed);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void begin() { read_request(); }

 private:
  using Header = boost::beast::http::response<boost::beast::http::empty_body>;
  using Status = boost::beast::http::status;

  void read_request();
  void answer();
  void answer_metadata(const fetch::ServedFile& file, const Asker& asker);
  void answer_object(const std::string& digest, const Asker& asker);
  void answer_kept(const std::string& digest);
  void answer_text(std::string text, const char* type);
  void begin_object(std::uint64_t total_bytes);
  void refuse(Status status);
  [[nodiscard]] bool must_ask_the_leader(const Asker& asker) const;
  [[nodiscard]] Header header_for(Status status, std::uint64_t body_bytes) const;

  void send(Header header, bool with_body);
  void go_on();
  void send_piece(std::uint64_t ready_bytes);
  void finish_answer();
  void wait_for_transfer();
  void transfer_changed();
  void let_go();
  void watch_for_end();

  static constexpr std::size_t kPieceBytes = 64 * 1024;

  boost::beast::tcp_stream stream_;
  const SessionParts& parts_;
  std::function<void()> closed_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::empty_body>> parser_;
  boost::asio::steady_timer patience_;

  std::optional<Header> header_;
  std::optional<boost::beast::http::response_serializer<boost::beast::http::empty_body>>
      serializer_;
  bool keep_alive_ = false;
  bool is_sending_ = false;  // a write is under way
  bool has_header_ = false;  // it was sent

  std::shared_ptr<const std::string> text_;  // of an answer that is no file
  std::string digest_;                       // of the object that is in use
  std::shared_ptr<os::UniqueFd> file_;
  std::shared_ptr<Transfer> transfer_;
  Transfer::WaiterId waiter_ = 0;
  std::uint32_t generation_ = 0;
  Hosts::Key host_;
  std::uint64_t next_byte_ = 0;
  std::uint64_t left_bytes_ = 0;
  std::array<char, kPieceBytes> piece_{};
};

}  // namespace segue::relay
