// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "server/file_server.h"
#include "server/library_files.h"

namespace segue::server {

struct SessionLimits {
  base::Duration idle{};
  base::Duration piece{};
};

// One connection: request by request, until it is idle, too slow, malformed, or closed.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // `files` and `figures` outlive it; `closed` is called once, at its end.
  Session(boost::asio::ip::tcp::socket socket, const LibraryFiles& files, SessionLimits limits,
          ServerFigures& figures, std::function<void()> closed);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void begin() { read_request(); }

 private:
  using Request = boost::beast::http::request<boost::beast::http::empty_body>;
  using Header = boost::beast::http::response<boost::beast::http::empty_body>;
  using Status = boost::beast::http::status;

  void read_request();
  void answer(const Request& request);
  void answer_file(const Request& request, const fetch::ServedFile& name, OpenFile file);
  // Without a body.
  void refuse(const Request& request, Status status);
  [[nodiscard]] static Header header_for(const Request& request, Status status,
                                         std::uint64_t body_bytes);
  void send(Header header, bool with_body);
  void send_piece();
  void finish_answer();

  static constexpr std::size_t kPieceBytes = 64 * 1024;

  boost::beast::tcp_stream stream_;
  const LibraryFiles& files_;
  SessionLimits limits_;
  ServerFigures& figures_;
  std::function<void()> closed_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::empty_body>> parser_;

  std::optional<Header> header_;
  std::optional<boost::beast::http::response_serializer<boost::beast::http::empty_body>>
      serializer_;
  bool keep_alive_ = false;
  os::UniqueFd file_;
  std::uint64_t next_byte_ = 0;
  std::uint64_t left_bytes_ = 0;
  std::array<char, kPieceBytes> piece_{};
};

}  // namespace segue::server
