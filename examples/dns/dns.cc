// SPDX-License-Identifier: Apache-2.0
// A small DNS responder that can be upgraded while it answers: the UDP socket, with the queries
// that wait in it, and the count of queries go from one process to the next. Ask for the TXT record
// of version.segue.test to see who answers.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <segue/segue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "dns_message.h"

namespace {

constexpr int kUsage = 2;
constexpr int kQueriesPerTurn = 64;
constexpr std::string_view kVersionName = "version.segue.test";
constexpr std::string_view kCounter = "queries";
constexpr std::uint32_t kCountTag = 1;

struct Options {
  std::string listen = "udp:127.0.0.1:5300";
  std::string directory;
  std::string version = "1";
  std::uint32_t probation_ms = 0;  // 0: libsegue's default
  dns::Zone zone;
};

std::string lowered(std::string name) {
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool add_address(dns::Zone& zone, const std::string& name, const std::string& address) {
  in_addr parsed{};
  if (name.empty() || inet_pton(AF_INET, address.c_str(), &parsed) != 1) return false;
  zone[lowered(name)].push_back(
      {dns::kTypeA, std::string(reinterpret_cast<const char*>(&parsed), sizeof parsed)});
  return true;
}

// Lines "NAME A ADDRESS" and "NAME TXT TEXT"; # starts a comment. Returns what is wrong, or "".
std::string read_records(const std::string& path, dns::Zone& zone) {
  std::ifstream file(path);
  if (!file) return fmt::format("cannot read {}", path);
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream words(line);
    std::string name;
    std::string type;
    std::string data;
    if (!(words >> name) || name.starts_with('#')) continue;
    words >> type >> std::ws;
    std::getline(words, data);
    if (type == "TXT" && data.size() <= dns::kMaxTextBytes) {
      zone[lowered(name)].push_back({dns::kTypeTxt, data});
    } else if (type != "A" || !add_address(zone, name, data)) {
      return fmt::format("{}:{}: expected 'NAME A ADDRESS' or 'NAME TXT TEXT'", path, number);
    }
  }
  return {};
}

// Returns what is wrong, or "".
std::string set_option(std::string_view option, const std::string& value, Options& options) {
  if (option == "--listen" && value.starts_with("udp:")) {
    options.listen = value;
  } else if (option == "--directory" && !value.empty()) {
    options.directory = value;
  } else if (option == "--version" && !value.empty() && value.size() < 64) {
    options.version = value;
  } else if (option == "--probation-ms" && std::atoi(value.c_str()) > 0) {
    options.probation_ms = static_cast<std::uint32_t>(std::atoi(value.c_str()));
  } else if (option == "--records") {
    return read_records(value, options.zone);
  } else if (option == "--record") {
    const std::size_t equals = value.find('=');
    if (equals == std::string::npos ||
        !add_address(options.zone, value.substr(0, equals), value.substr(equals + 1))) {
      return fmt::format("--record '{}' is not NAME=ADDRESS", value);
    }
  } else {
    return fmt::format(
        "'{} {}' is unknown or wrong; usage: segue-dns [--listen udp:ADDRESS:PORT] "
        "[--directory DIRECTORY] [--version TEXT] [--probation-ms N] [--records FILE] "
        "[--record NAME=ADDRESS]...",
        option, value);
  }
  return {};
}

class Responder {
 public:
  explicit Responder(Options options) : options_(std::move(options)) {}
  ~Responder() {
    if (handle_ != nullptr) segue_free(handle_);
  }
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  // What failed, or "".
  std::string start();
  void run();

 private:
  static Responder& self(void* user) { return *static_cast<Responder*>(user); }
  static segue_callbacks callbacks();
  segue_table* open_counters();
  void answer_queries();
  void log(const std::string& event) const {
    fmt::print(stderr, "segue-dns: version={} pid={} {}\n", options_.version, getpid(), event);
  }

  Options options_;
  segue_instance* handle_ = nullptr;
  segue_table* counters_ = nullptr;
  std::uint64_t queries_ = 0;
  int socket_ = -1;
  bool serving_ = false;
  bool stopped_ = false;
};

segue_callbacks Responder::callbacks() {
  segue_callbacks calls{};
  calls.size = sizeof calls;
  calls.listener = [](void* user, const char* /*name*/, int fd) -> int {
    self(user).socket_ = fd;
    return fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? SEGUE_OK : SEGUE_SYSTEM;
  };
  calls.freeze = [](void* user) -> int {
    self(user).serving_ = false;
    return SEGUE_OK;
  };
  calls.resume = [](void* user, segue_resume_reason reason, int /*released*/) {
    self(user).serving_ = true;
    self(user).log(fmt::format("event=resumed reason={}", static_cast<int>(reason)));
  };
  calls.activate = [](void* user, const segue_activation* activation) {
    self(user).serving_ = true;
    self(user).log(fmt::format("event=activated epoch={} blackout_us={}", activation->epoch,
                               activation->blackout_ns / 1000));
  };
  calls.terminate = [](void* user, segue_end_reason reason) {
    self(user).stopped_ = true;
    const char* why = reason == SEGUE_END_REFUSED ? segue_error(self(user).handle_) : "";
    self(user).log(fmt::format("event=ended reason={} {}", static_cast<int>(reason), why));
  };
  return calls;
}

// One record: the number of queries answered since the service began.
segue_table* Responder::open_counters() {
  segue_form form{};
  form.size = sizeof form;
  form.version = 1;
  form.oldest = 1;
  form.name = "dns.counter";
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = [](void*, std::uint64_t*, std::uint32_t, segue_scan* out) -> int {
    segue_scan_key(out, kCounter.data(), kCounter.size());
    return 0;
  };
  ops.encode = [](void* user, const void*, std::size_t, segue_writer* out) -> int {
    segue_put_u64(out, kCountTag, self(user).queries_);
    return SEGUE_OK;
  };
  ops.put = [](void* user, const void*, std::size_t, const segue_record* record) -> int {
    self(user).queries_ = segue_get_u64(record, kCountTag, 0);
    return SEGUE_OK;
  };
  ops.erase = [](void*, const void*, std::size_t) -> int { return SEGUE_OK; };
  ops.clear = [](void* user) { self(user).queries_ = 0; };
  return segue_table_open(handle_, "counters", &form, &ops, 0, this);
}

std::string Responder::start() {
  const segue_callbacks calls = callbacks();
  segue_options settings{};
  settings.size = sizeof settings;
  settings.service = "segue-dns";
  settings.version = options_.version.c_str();
  settings.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  settings.probation_ms = options_.probation_ms;
  std::array<char, 512> why{};
  handle_ = segue_open(&settings, &calls, this, why.data(), why.size());
  if (handle_ == nullptr) return fmt::format("cannot open libsegue: {}", why.data());
  counters_ = open_counters();
  if (counters_ == nullptr ||
      segue_listen(handle_, "queries", options_.listen.c_str(), 0) != SEGUE_OK ||
      segue_start(handle_) != SEGUE_OK) {
    return fmt::format("cannot start on {}: {}", options_.listen, segue_error(handle_));
  }
  return {};
}

void Responder::run() {
  while (!stopped_) {
    std::array<pollfd, 2> fds{{{segue_fd(handle_), POLLIN, 0}, {socket_, POLLIN, 0}}};
    if (poll(fds.data(), serving_ ? 2 : 1, -1) < 0) continue;
    if (serving_ && fds[1].revents != 0) answer_queries();
    if (fds[0].revents != 0) segue_dispatch(handle_);
  }
}

void Responder::answer_queries() {
  std::array<std::uint8_t, dns::kMaxMessageBytes> query{};
  for (int i = 0; i < kQueriesPerTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    auto* address = reinterpret_cast<sockaddr*>(&peer);
    const ssize_t size = recvfrom(socket_, query.data(), query.size(), 0, address, &peer_size);
    if (size < 0) break;
    ++queries_;
    options_.zone[std::string(kVersionName)] = {
        {dns::kTypeTxt,
         fmt::format("version={} pid={} queries={}", options_.version, getpid(), queries_)}};
    const auto response =
        dns::answer({query.data(), static_cast<std::size_t>(size)}, options_.zone);
    if (!response.empty()) sendto(socket_, response.data(), response.size(), 0, address, peer_size);
  }
  segue_table_put(counters_, kCounter.data(), kCounter.size());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string why = set_option(argv[i], i + 1 < argc ? argv[i + 1] : "", options);
    if (!why.empty()) {
      fmt::print(stderr, "segue-dns: {}\n", why);
      return kUsage;
    }
  }
  Responder responder(std::move(options));
  if (const std::string why = responder.start(); !why.empty()) {
    fmt::print(stderr, "segue-dns: {}\n", why);
    return 1;
  }
  responder.run();
}
