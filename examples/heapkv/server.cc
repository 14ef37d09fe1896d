// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iterator>

#include "records.h"

namespace heapkv {
namespace {

constexpr std::uint64_t kListener = 0;  // in epoll events; ids of connections are larger
constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20U;
constexpr std::size_t kFillBytes = 1000;
constexpr int kAcceptsPerTurn = 64;
enum Tag : std::uint32_t { kInputTag = 1, kOutputTag = 2 };

constexpr std::string_view kFull = "-OOM the heap is full\r\n";
constexpr std::string_view kDamaged = "-ERR this record is damaged\r\n";

std::string lowered(std::string_view word) {
  std::string text(word);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

void bulk(std::string& out, std::string_view text) {
  fmt::format_to(std::back_inserter(out), "${}\r\n{}\r\n", text.size(), text);
}

}  // namespace

Server::Server(Options options)
    : options_(std::move(options)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Server::~Server() {
  instance_.reset();
  ::close(epoll_);
}

std::string Server::start() {
  segue_options settings{};
  settings.service = "heapkv";
  const std::string version = std::to_string(kVersion);
  settings.version = version.c_str();
  settings.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  settings.probation_ms = options_.probation_ms;
  settings.budget_us = options_.budget_us;
  instance_ = std::make_unique<segue::Instance>(settings, *this);
  if (!instance_->valid()) return instance_->error();
  clients_class_ = instance_->connections("clients", segue::FormSpec{"heapkv.client", 1}, *this);
  if (!clients_class_.valid() || !store_.open(instance_->handle(), options_.heap_mib << 20U) ||
      instance_->listen("main", options_.listen.c_str()) != SEGUE_OK ||
      instance_->start() != SEGUE_OK) {
    return instance_->error();
  }
  return damaged_ ? "the heap cannot be used" : "";
}

void Server::run() {
  while (!ended_) {
    // Whoever does not serve looks at nothing but the library.
    std::array<pollfd, 2> fds{{{instance_->fd(), POLLIN, 0}, {epoll_, POLLIN, 0}}};
    if (poll(fds.data(), serving_ ? 2 : 1, -1) < 0) continue;
    if (serving_ && fds[1].revents != 0) serve_some();
    if (fds[0].revents != 0) instance_->dispatch();
  }
}

void Server::serve_some() {
  std::array<epoll_event, 256> events{};
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events.at(static_cast<std::size_t>(i));
    event.data.u64 == kListener ? accept_some() : ready(event.data.u64, event.events);
  }
}

// ---- What the library tells ------------------------------------------------------------------

bool Server::listener(const char* /*name*/, int fd) {
  if (fd < 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
  listener_ = fd;
  if (fd < 0) return true;
  watch(fd, kListener, false, EPOLL_CTL_ADD);
  return fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool Server::freeze() {
  serving_ = false;
  return true;
}

void Server::resume(segue_resume_reason /*reason*/, bool /*released*/) {
  serving_ = true;
}

bool Server::check(std::string& why) {
  why = store_.check();
  return why.empty();
}

void Server::activate(const segue_activation& activation) {
  blackout_ns_ = activation.blackout_ns;
  damaged_ = !store_.begin();
  if (damaged_) {
    instance_->vote(false, "the heap cannot be used");
  } else if (activation.first == 1) {
    fill();
  }
  serving_ = true;
}

void Server::terminate(segue_end_reason /*reason*/) {
  ended_ = true;
}

bool Server::encode(segue::Connection conn, segue::Writer& out) {
  const auto* client = conn.data<Client>();
  out.put(kInputTag, client->input);
  out.put(kOutputTag, client->output);
  return true;
}

bool Server::adopt(segue::Connection conn, int fd, const segue::Record& record) {
  auto client = std::make_unique<Client>();
  client->conn = conn;
  conn.set_data(client.get());
  fcntl(fd, F_SETFL, O_NONBLOCK);
  clients_[conn.id()] = std::move(client);
  watch(fd, conn.id(), false, EPOLL_CTL_ADD);
  return update(conn, record);
}

bool Server::update(segue::Connection conn, const segue::Record& record) {
  auto* client = conn.data<Client>();
  client->parser.reset();
  client->input = record.get(kInputTag).value_or("");
  client->output = record.get(kOutputTag).value_or("");
  if (client->wants_write == client->output.empty()) {
    client->wants_write = !client->output.empty();
    watch(conn.fd(), conn.id(), client->wants_write, EPOLL_CTL_MOD);
  }
  return true;
}

void Server::drop(segue::Connection conn) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd(), nullptr);
  clients_.erase(conn.id());
}

void Server::fill() {
  const std::string value(kFillBytes, 'f');
  for (std::size_t i = 0; i < (options_.fill_mib << 20U) / kFillBytes; ++i) {
    if (store_.set(fmt::format("fill:{}", i), value) != Store::Outcome::done) return;
  }
}

// ---- Clients ---------------------------------------------------------------------------------

void Server::watch(int fd, std::uint64_t id, bool writes, int operation) const {
  epoll_event event{};
  event.events = EPOLLIN | (writes ? EPOLLOUT : 0U);
  event.data.u64 = id;
  epoll_ctl(epoll_, operation, fd, &event);
}

void Server::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto client = std::make_unique<Client>();
    client->conn = clients_class_.add(fd, client.get());
    if (!client->conn.valid()) {
      ::close(fd);
      return;
    }
    const std::uint64_t id = client->conn.id();
    watch(fd, id, false, EPOLL_CTL_ADD);
    clients_[id] = std::move(client);
  }
}

void Server::ready(std::uint64_t id, std::uint32_t events) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = *found->second;
  const bool open = (events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0 || receive(client);
  if (!open || !answer(client)) return close(client);
  flush(client);
}

bool Server::receive(Client& client) {
  std::array<char, 65'536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t got = recv(client.conn.fd(), buffer.data(), buffer.size(), 0);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  client.input.append(buffer.data(), static_cast<std::size_t>(got));
  return client.input.size() <= kMaxInputBytes;
}

bool Server::answer(Client& client) {
  std::size_t done = 0;
  std::vector<std::string_view> words;
  while (done < client.input.size()) {
    const std::string_view rest = std::string_view(client.input).substr(done);
    const auto status = client.parser.parse(rest);
    if (status == respkv::RequestParser::Status::malformed) return false;
    if (status == respkv::RequestParser::Status::incomplete) break;
    client.parser.arguments(rest, words);
    if (!words.empty()) execute(words, client.output);
    done += client.parser.size();
    client.parser.reset();
  }
  if (done > 0) {
    client.input.erase(0, done);
    client.parser.reset();
  }
  return true;
}

void Server::flush(Client& client) {
  if (!client.output.empty()) {
    const ssize_t sent =
        send(client.conn.fd(), client.output.data(), client.output.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return close(client);
    client.output.erase(0, sent < 0 ? 0 : static_cast<std::size_t>(sent));
  }
  const bool wants_write = !client.output.empty();
  if (wants_write != client.wants_write) {
    client.wants_write = wants_write;
    watch(client.conn.fd(), client.conn.id(), wants_write, EPOLL_CTL_MOD);
  }
  client.conn.touch();
}

void Server::close(Client& client) {
  const std::uint64_t id = client.conn.id();
  epoll_ctl(epoll_, EPOLL_CTL_DEL, client.conn.fd(), nullptr);
  client.conn.close();
  clients_.erase(id);
}

// ---- Commands --------------------------------------------------------------------------------

void Server::execute(const std::vector<std::string_view>& words, std::string& out) {
  const std::string command = lowered(words[0]);
  if (command == "ping" && words.size() == 1) {
    out += "+PONG\r\n";
  } else if (command == "get" && words.size() == 2) {
    get(words[1], out);
  } else if (command == "set" && words.size() == 3) {
    const Store::Outcome stored = store_.set(words[1], words[2]);
    out += stored == Store::Outcome::done   ? "+OK\r\n"
           : stored == Store::Outcome::full ? kFull
                                            : kDamaged;
  } else if (command == "del" && words.size() == 2) {
    const Store::Outcome erased = store_.erase(words[1]);
    if (erased == Store::Outcome::damaged) {
      out += kDamaged;
    } else {
      out += erased == Store::Outcome::done ? ":1\r\n" : ":0\r\n";
    }
  } else if (command == "dbsize" && words.size() == 1) {
    fmt::format_to(std::back_inserter(out), ":{}\r\n", store_.size());
  } else if (command == "info") {
    bulk(out, info());
  } else {
    out += "-ERR PING, GET, SET, DEL, DBSIZE and INFO are what there is\r\n";
  }
}

void Server::get(std::string_view key, std::string& out) const {
  std::string_view value;
  switch (store_.get(key, value)) {
    case Store::Outcome::done:
      return bulk(out, value);
    case Store::Outcome::missing:
      out += "$-1\r\n";
      return;
    default:
      out += kDamaged;
  }
}

std::string Server::info() const {
  const segue_heap_usage usage = store_.usage();
  return fmt::format(
      "process_id:{}\r\nversion:{}\r\nlast_blackout_ns:{}\r\nheap_records:{}\r\n"
      "heap_record_bytes:{}\r\nheap_used_bytes:{}\r\n",
      getpid(), kVersion, blackout_ns_, usage.records, usage.record_bytes, usage.used_bytes);
}

}  // namespace heapkv
