// SPDX-License-Identifier: Apache-2.0
#include "relay/session.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace segue::relay {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t kMaxHeaderBytes = 8 * 1024;
constexpr const char* kBytes = "application/octet-stream";

std::string_view view_of(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Session::Session(asio::ip::tcp::socket socket, const SessionParts& parts,
                 std::function<void()> closed)
    : stream_(std::move(socket)),
      parts_(parts),
      closed_(std::move(closed)),
      buffer_(kMaxHeaderBytes),
      patience_(stream_.get_executor()) {
  beast::error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

Session::~Session() {
  let_go();
  closed_();
}

// ---- A request

void Session::read_request() {
  parser_.emplace();
  parser_->header_limit(kMaxHeaderBytes);
  parser_->body_limit(0);
  stream_.expires_after(kIdle);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
        if (!problem) return self->answer();
        // Closed, cut off, or idle: nobody waits for an answer.
        if (problem.category() != http::make_error_code(http::error{}).category() ||
            problem == http::error::end_of_stream || problem == http::error::partial_message) {
          return;
        }
        self->parser_.emplace();
        self->parser_->get().keep_alive(false);
        self->refuse(problem == http::error::header_limit ? Status::request_header_fields_too_large
                                                          : Status::bad_request);
      });
}

void Session::answer() {
  ++parts_.figures.requests;
  has_header_ = false;
  const auto& request = parser_->get();
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return refuse(Status::method_not_allowed);
  }
  const std::string_view target = view_of(request.target());
  if (target == "/relay/state") return answer_text(write_state(parts_.state()), "application/json");
  const auto file = fetch::parse_target(target);
  if (!file) return refuse(Status::not_found);
  const Asker asker = asker_of(request);
  const std::string name = file->path.substr(file->path.rfind('/') + 1);
  if (file->path.starts_with("objects/") && asker.wants_only_kept) return answer_kept(name);
  if (must_ask_the_leader(asker)) return refuse(Status::misdirected_request);
  if (file->path.starts_with("objects/")) return answer_object(name, asker);
  answer_metadata({name, file->is_immutable}, asker);
}

// Relays of one site that take each other for the leader would wait for each other.
bool Session::must_ask_the_leader(const Asker& asker) const {
  if (asker.relay_site != parts_.site_name) return false;
  const SiteView view = parts_.site.view();
  return !view.is_settled || !view.leads;
}

void Session::answer_metadata(const fetch::ServedFile& file, const Asker& asker) {
  stream_.expires_never();  // its own limits are shorter
  parts_.metadata.get(file.path, file.is_immutable, asker.wants_fresh,
                      [self = shared_from_this()](const Metadata::Answer& answer) {
                        if (answer.status != 200)
                          return self->refuse(http::int_to_status(answer.status));
                        Header header = self->header_for(Status::ok, answer.bytes->size());
                        header.set(http::field::content_type, kBytes);
                        header.set(http::field::cache_control, "no-cache");
                        self->text_ = answer.bytes;
                        self->next_byte_ = 0;
                        self->left_bytes_ = answer.bytes->size();
                        self->send(std::move(header),
                                   self->parser_->get().method() == http::verb::get);
                      });
}

void Session::answer_text(std::string text, const char* type) {
  Header header = header_for(Status::ok, text.size());
  header.set(http::field::content_type, type);
  header.set(http::field::cache_control, "no-store");
  next_byte_ = 0;
  left_bytes_ = text.size();
  text_ = std::make_shared<const std::string>(std::move(text));
  send(std::move(header), parser_->get().method() == http::verb::get);
}

// Only what is here, and as much of it: for a member that leads now.
void Session::answer_kept(const std::string& digest) {
  const auto held = parts_.cache.find(digest);
  if (!held || (held->is_whole && !held->is_verified)) return refuse(Status::not_found);
  const auto& request = parser_->get();
  const bool is_head = request.method() == http::verb::head;
  // The last byte of what was never compared is not passed on: whoever has all of it would have to
  // blame us.
  const std::uint64_t bytes = held->is_whole ? held->bytes : held->bytes - 1;
  if (bytes == 0) return refuse(Status::not_found);
  const auto range = fetch::parse_range(view_of(request[http::field::range]), bytes);
  if (range.kind == fetch::RangeAnswer::Kind::unsatisfiable) return refuse(Status::not_found);
  Header header = header_for(is_head ? Status::ok : Status::partial_content,
                             is_head ? 0 : range.range.byte_count);
  header.set(kKeptField, std::to_string(bytes));
  header.set(http::field::content_type, kBytes);
  if (!is_head) {
    header.set(http::field::content_range,
               fmt::format("bytes {}-{}/{}", range.range.first_byte,
                           range.range.first_byte + range.range.byte_count - 1,
                           held->is_whole ? std::to_string(held->bytes) : "*"));
  }
  digest_ = digest;
  parts_.cache.use(digest_);
  file_ = held->file;
  next_byte_ = range.range.first_byte;
  left_bytes_ = range.range.byte_count;
  send(std::move(header), !is_head);
}

void Session::answer_object(const std::string& digest, const Asker& asker) {
  auto place = parts_.transfers.find(digest, asker.wants_fresh);
  if (!place.held && !place.transfer) return refuse(Status::service_unavailable);
  host_ = parts_.hosts.asked(asker, parts_.clock.monotonic_now());
  digest_ = digest;
  if (place.held) {
    parts_.cache.use(digest_);
    file_ = place.held->file;
    return begin_object(place.held->bytes);
  }
  transfer_ = place.transfer;
  generation_ = transfer_->generation();
  waiter_ = transfer_->add_waiter(asker.go_live, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->transfer_changed();
  });
  wait_for_transfer();
  watch_for_end();
  transfer_changed();
}

void Session::begin_object(std::uint64_t total_bytes) {
  const auto& request = parser_->get();
  const auto range = fetch::parse_range(view_of(request[http::field::range]), total_bytes);
  if (range.kind == fetch::RangeAnswer::Kind::unsatisfiable) {
    Header header = header_for(Status::range_not_satisfiable, 0);
    header.set(http::field::content_range, fmt::format("bytes */{}", total_bytes));
    ++parts_.figures.refused;
    return send(std::move(header), false);
  }
  const bool is_part = range.kind == fetch::RangeAnswer::Kind::part;
  Header header =
      header_for(is_part ? Status::partial_content : Status::ok, range.range.byte_count);
  header.set(http::field::etag, fmt::format("\"{}\"", digest_));
  header.set(http::field::accept_ranges, "bytes");
  header.set(http::field::content_type, kBytes);
  header.set(http::field::cache_control, "public, max-age=31536000, immutable");
  if (is_part) {
    header.set(http::field::content_range,
               fmt::format("bytes {}-{}/{}", range.range.first_byte,
                           range.range.first_byte + range.range.byte_count - 1, total_bytes));
  }
  next_byte_ = range.range.first_byte;
  left_bytes_ = range.range.byte_count;
  send(std::move(header), request.method() == http::verb::get);
}

void Session::refuse(Status status) {
  ++parts_.figures.refused;
  Header header = header_for(status, 0);
  if (status == Status::method_not_allowed) header.set(http::field::allow, "GET, HEAD");
  send(std::move(header), false);
}

Session::Header Session::header_for(Status status, std::uint64_t body_bytes) const {
  Header header(status, parser_->get().version());
  header.keep_alive(parser_->get().keep_alive());
  header.content_length(body_bytes);
  return header;
}

// ---- An answer

void Session::send(Header header, bool with_body) {
  if (!with_body) left_bytes_ = 0;
  keep_alive_ = header.keep_alive();
  has_header_ = is_sending_ = true;
  header_.emplace(std::move(header));
  serializer_.emplace(*header_);
  stream_.expires_after(kPiece);
  http::async_write_header(
      stream_, *serializer_,
      [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
        self->is_sending_ = false;
        if (problem) return self->let_go();
        self->go_on();
      });
}

void Session::go_on() {
  if (left_bytes_ == 0) return finish_answer();
  if (text_) return send_piece(text_->size());
  if (!transfer_) return send_piece(UINT64_MAX);
  transfer_changed();
}

void Session::send_piece(std::uint64_t ready_bytes) {
  const auto size = static_cast<std::size_t>(
      std::min({left_bytes_, ready_bytes - next_byte_, std::uint64_t{kPieceBytes}}));
  ssize_t got = static_cast<ssize_t>(size);
  if (text_) {
    text_->copy(piece_.data(), size, next_byte_);
  } else {
    got = ::pread(file_->get(), piece_.data(), size, static_cast<off_t>(next_byte_));
  }
  // Shorter than it was, or damaged: the length was promised, so the connection ends.
  if (got <= 0) return let_go();
  const auto count = static_cast<std::uint64_t>(got);
  next_byte_ += count;
  left_bytes_ -= count;
  parts_.figures.body_bytes += count;
  if (!digest_.empty()) parts_.hosts.got(host_, count, parts_.clock.monotonic_now());
  is_sending_ = true;
  stream_.expires_after(kPiece);
  asio::async_write(stream_, asio::buffer(piece_.data(), count),
                    [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                      self->is_sending_ = false;
                      if (problem) return self->let_go();
                      self->go_on();
                    });
}

void Session::finish_answer() {
  let_go();
  if (keep_alive_) return read_request();
  beast::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

// ---- Bytes that are on their way

// Holds the session while nothing else does, and bounds how long.
void Session::wait_for_transfer() {
  patience_.expires_after(kPatience);
  patience_.async_wait([self = shared_from_this()](const beast::error_code& problem) {
    if (problem || !self->transfer_) return;
    if (self->has_header_ || self->is_sending_) {
      self->let_go();
      self->stream_.close();
    } else {
      self->let_go();
      self->refuse(Status::gateway_timeout);
    }
  });
}

void Session::transfer_changed() {
  if (!transfer_ || is_sending_) return;
  const Transfer& transfer = *transfer_;
  const auto state = transfer.state();
  const bool is_over = state == Transfer::State::absent || state == Transfer::State::failed;
  // Also when bytes that were passed on turned out to be wrong.
  if (is_over || (has_header_ && transfer.generation() != generation_)) {
    let_go();
    if (has_header_) return stream_.close();
    return refuse(state == Transfer::State::absent ? Status::not_found : Status::bad_gateway);
  }
  if (!has_header_) {
    if (!transfer.total_bytes()) return;
    // Whoever is sent wrong bytes has to begin anew; so little is better checked first.
    if (*transfer.total_bytes() <= kPieceBytes && state != Transfer::State::done) return;
    generation_ = transfer.generation();
    file_ = transfer.file();
    return begin_object(*transfer.total_bytes());
  }
  const std::uint64_t ready = transfer.ready_bytes();
  if (ready <= next_byte_) {
    stream_.expires_never();
    return;
  }
  wait_for_transfer();
  send_piece(ready);
}

// A host that goes away while it waits is not waited for.
void Session::watch_for_end() {
  stream_.expires_never();
  stream_.socket().async_wait(asio::ip::tcp::socket::wait_read,
                              [weak = weak_from_this()](const beast::error_code& problem) {
                                const auto self = weak.lock();
                                if (problem || !self || !self->transfer_) return;
                                char byte = 0;
                                const ssize_t got = ::recv(self->stream_.socket().native_handle(),
                                                           &byte, 1, MSG_PEEK | MSG_DONTWAIT);
                                const bool has_more = got > 0 || (got < 0 && errno == EAGAIN);
                                if (has_more)
                                  return;  // the next request, before this one was answered
                                self->let_go();
                                self->stream_.close();
                              });
}

void Session::let_go() {
  patience_.cancel();
  if (transfer_) {
    const auto transfer = std::exchange(transfer_, nullptr);
    transfer->remove_waiter(waiter_);
  } else if (file_ && !digest_.empty()) {
    parts_.cache.end_use(digest_);
  }
  file_.reset();
  text_.reset();
  digest_.clear();
}

}  // namespace segue::relay
