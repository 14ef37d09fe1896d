// SPDX-License-Identifier: Apache-2.0
#include "server/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace segue::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t kMaxHeaderBytes = 8 * 1024;

std::string_view view_of(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Session::Session(asio::ip::tcp::socket socket, const LibraryFiles& files, SessionLimits limits,
                 ServerFigures& figures, std::function<void()> closed)
    : stream_(std::move(socket)),
      files_(files),
      limits_(limits),
      figures_(figures),
      closed_(std::move(closed)),
      buffer_(kMaxHeaderBytes) {
  // A short answer goes out in two writes: the second one is not to wait for the way there and
  // back.
  beast::error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

Session::~Session() {
  closed_();
}

void Session::read_request() {
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(0);
  stream_.expires_after(limits_.idle);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                     if (!problem) return self->answer(self->parser_->get());
                     // Closed, cut off, or idle: nobody waits for an answer.
                     if (problem.category() != http::make_error_code(http::error{}).category() ||
                         problem == http::error::end_of_stream ||
                         problem == http::error::partial_message) {
                       return;
                     }
                     Request malformed;
                     malformed.version(11);
                     malformed.keep_alive(false);
                     self->refuse(malformed, problem == http::error::header_limit
                                                 ? Status::request_header_fields_too_large
                                                 : Status::bad_request);
                   });
}

void Session::answer(const Request& request) {
  ++figures_.requests;
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return refuse(request, Status::method_not_allowed);
  }
  const auto name = fetch::parse_target(view_of(request.target()));
  if (!name) return refuse(request, Status::not_found);
  auto file = files_.find(*name);
  if (!file) return refuse(request, Status::not_found);
  answer_file(request, *name, *std::move(file));
}

void Session::answer_file(const Request& request, const fetch::ServedFile& name, OpenFile file) {
  const bool unchanged = view_of(request[http::field::if_none_match]) == file.tag;
  fetch::RangeAnswer answer =
      fetch::parse_range(view_of(request[http::field::range]), file.size_bytes);
  // A range of another state of the file is of no use.
  const std::string_view condition = view_of(request[http::field::if_range]);
  if (!condition.empty() && condition != file.tag) answer = fetch::parse_range("", file.size_bytes);
  const bool unsatisfiable = answer.kind == fetch::RangeAnswer::Kind::unsatisfiable;
  Status status = Status::ok;
  if (answer.kind == fetch::RangeAnswer::Kind::part) status = Status::partial_content;
  if (unsatisfiable) status = Status::range_not_satisfiable;
  if (unchanged) status = Status::not_modified;

  const bool has_body = status == Status::ok || status == Status::partial_content;
  Header header = header_for(request, status, has_body ? answer.range.byte_count : 0);
  header.set(http::field::etag, file.tag);
  header.set(http::field::accept_ranges, "bytes");
  header.set(http::field::content_type, "application/octet-stream");
  header.set(http::field::cache_control,
             name.is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
  if (status == Status::partial_content) {
    header.set(http::field::content_range,
               fmt::format("bytes {}-{}/{}", answer.range.first_byte,
                           answer.range.first_byte + answer.range.byte_count - 1, file.size_bytes));
  }
  if (unsatisfiable) {
    ++figures_.refused;
    header.set(http::field::content_range, fmt::format("bytes */{}", file.size_bytes));
  }
  file_ = std::move(file.fd);
  next_byte_ = answer.range.first_byte;
  left_bytes_ = has_body ? answer.range.byte_count : 0;
  send(std::move(header), has_body && request.method() == http::verb::get);
}

void Session::refuse(const Request& request, Status status) {
  ++figures_.refused;
  Header header = header_for(request, status, 0);
  if (status == Status::method_not_allowed) header.set(http::field::allow, "GET, HEAD");
  send(std::move(header), false);
}

Session::Header Session::header_for(const Request& request, Status status,
                                    std::uint64_t body_bytes) {
  Header header(status, request.version());
  header.keep_alive(request.keep_alive());
  if (status != Status::not_modified) header.content_length(body_bytes);
  return header;
}

void Session::send(Header header, bool with_body) {
  if (!with_body) left_bytes_ = 0;
  keep_alive_ = header.keep_alive();
  header_.emplace(std::move(header));
  serializer_.emplace(*header_);
  stream_.expires_after(limits_.piece);
  http::async_write_header(
      stream_, *serializer_,
      [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
        if (!problem) self->send_piece();
      });
}

void Session::send_piece() {
  if (left_bytes_ == 0) return finish_answer();
  const ssize_t got =
      ::pread(file_.get(), piece_.data(), std::min<std::uint64_t>(left_bytes_, piece_.size()),
              static_cast<off_t>(next_byte_));
  // Shorter than it was, or damaged: the length was promised, so the connection ends.
  if (got <= 0) return;
  const auto size = static_cast<std::size_t>(got);
  next_byte_ += size;
  left_bytes_ -= size;
  figures_.body_bytes += size;
  stream_.expires_after(limits_.piece);
  asio::async_write(stream_, asio::buffer(piece_.data(), size),
                    [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                      if (!problem) self->send_piece();
                    });
}

void Session::finish_answer() {
  file_ = os::UniqueFd();
  if (keep_alive_) return read_request();
  beast::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace segue::server
