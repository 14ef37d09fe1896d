// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <iterator>
#include <limits>
#include <thread>

#include "records.h"

namespace heapkv {
namespace {

constexpr std::size_t kFillBytes = 1000;
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

Server::Server(Options options) : options_(std::move(options)) {
  for (unsigned i = 0; i < options_.threads; ++i) loops_.push_back(std::make_unique<Loop>(*this));
}

std::string Server::open_loops() {
  for (std::size_t i = 1; i < loops_.size(); ++i) {
    const segue::Loop handle = instance_->loop(fmt::format("thread-{}", i + 1).c_str());
    if (!handle.valid()) return instance_->error();
    loops_[i]->set_handle(handle);
  }
  return "";
}

std::string Server::start() {
  segue_options settings{};
  settings.service = "heapkv";
  if (options_.label.empty()) options_.label = std::to_string(kVersion);
  const std::string version = options_.label;
  settings.version = version.c_str();
  settings.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  settings.probation_ms = options_.probation_ms;
  settings.budget_us = options_.budget_us;
  settings.on_crash = options_.on_crash;
  instance_ = std::make_unique<segue::Instance>(settings, *this);
  if (!instance_->valid()) return instance_->error();
  if (const std::string why = open_loops(); !why.empty()) return why;
  clients_class_ = instance_->connections("clients", segue::FormSpec{"heapkv.client", 1}, *this);
  if (!clients_class_.valid() ||
      !store_.open(instance_->handle(), options_.heap_mib << 20U, store_lock_) ||
      instance_->listen("main", options_.listen.c_str()) != SEGUE_OK ||
      instance_->start() != SEGUE_OK) {
    return instance_->error();
  }
  return damaged_ ? "the heap cannot be used" : "";
}

void Server::run() {
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < loops_.size(); ++i) {
    threads.emplace_back([loop = loops_[i].get()] { loop->run(); });
  }
  while (!ended_) {
    // Whoever does not serve looks at nothing but the library.
    std::array<pollfd, 2> fds{{{instance_->fd(), POLLIN, 0}, {loops_[0]->fd(), POLLIN, 0}}};
    if (poll(fds.data(), serving_ ? 2 : 1, -1) < 0) continue;
    if (serving_ && fds[1].revents != 0) loops_[0]->serve_some();
    if (fds[0].revents != 0) instance_->dispatch();
  }
  for (std::thread& thread : threads) thread.join();
}

segue::Connection Server::add(segue::Loop loop, int fd, Client* client) {
  return loop.valid() ? clients_class_.add(loop, fd, client) : clients_class_.add(fd, client);
}

// ---- What the library tells ------------------------------------------------------------------

bool Server::listener(const char* /*name*/, int fd) {
  for (const auto& loop : loops_) loop->watch_listener(fd);
  return fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

bool Server::freeze() {
  serving_ = false;
  return true;
}

void Server::resume(segue_resume_reason reason, bool /*released*/) {
  resumed_from_arenas_ += reason == SEGUE_RESUME_FROM_ARENAS ? 1 : 0;
  serving_ = true;
}

bool Server::check(std::string& why) {
  why = store_.check();
  return why.empty();
}

bool Server::check_arenas(std::string& why) {
  why = store_.check_left();
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
  Loop& home = *loops_[next_home_++ % loops_.size()];
  return home.adopt(conn, fd) && update(conn, record);
}

bool Server::update(segue::Connection conn, const segue::Record& record) {
  auto* client = conn.data<Client>();
  client->input = record.get(kInputTag).value_or("");
  client->output = record.get(kOutputTag).value_or("");
  client->home->refresh(*client);
  return true;
}

void Server::drop(segue::Connection conn) {
  auto* client = conn.data<Client>();
  client->home->drop(*client);
}

void Server::fill() {
  const std::string value(kFillBytes, 'f');
  for (std::size_t i = 0; i < (options_.fill_mib << 20U) / kFillBytes; ++i) {
    if (store_.set(fmt::format("fill:{}", i), value) != Store::Outcome::done) return;
  }
}

// ---- Commands --------------------------------------------------------------------------------

void Server::execute(const std::vector<std::string_view>& words, std::string& out) {
  const std::string command = lowered(words[0]);
  if (command == "ping" && words.size() == 1) {
    out += "+PONG\r\n";
  } else if (command == "ping" && words.size() == 2) {
    bulk(out, words[1]);
  } else if (command == "get" && words.size() == 2) {
    get(words[1], out);
  } else if (command == "set" && words.size() == 3) {
    set(words[1], words[2], out);
  } else if (command == "incr" && words.size() == 2) {
    increment(words[1], out);
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
    out += "-ERR PING, GET, SET, INCR, DEL, DBSIZE and INFO are what there is\r\n";
  }
}

void Server::set(std::string_view key, std::string_view value, std::string& out) {
  const Store::Outcome stored = store_.set(key, value);
  out += stored == Store::Outcome::done   ? "+OK\r\n"
         : stored == Store::Outcome::full ? kFull
                                          : kDamaged;
}

void Server::increment(std::string_view key, std::string& out) {
  std::string_view value;
  std::int64_t number = 0;
  const Store::Outcome found = store_.get(key, value);
  if (found == Store::Outcome::damaged) {
    out += kDamaged;
    return;
  }
  if (found == Store::Outcome::done) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size() ||
        number == std::numeric_limits<std::int64_t>::max()) {
      out += "-ERR value is not an integer or out of range\r\n";
      return;
    }
  }
  std::string stored;
  set(key, fmt::to_string(number + 1), stored);
  if (stored.front() == '+') {
    fmt::format_to(std::back_inserter(out), ":{}\r\n", number + 1);
  } else {
    out += stored;
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
      "heap_record_bytes:{}\r\nheap_used_bytes:{}\r\nresumed_from_arenas:{}\r\n",
      getpid(), options_.label, blackout_ns_, usage.records, usage.record_bytes, usage.used_bytes,
      resumed_from_arenas_);
}

}  // namespace heapkv
