// SPDX-License-Identifier: Apache-2.0
// Serves a release library over plain HTTP/1.1: its metadata and objects, whole or a range, and
// nothing else. Needs no key, and nobody has to trust it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/time.h"

namespace segue::server {

struct ServerSettings {
  std::string library;              // its directory
  std::string address = "0.0.0.0";  // an IP address
  std::uint16_t port = 0;           // 0: any that is free
  // At most so many at once; others wait to be accepted.
  std::size_t max_connections = 256;
  base::Duration idle = std::chrono::seconds(30);  // for a request to come, whole
  // For each 64 KiB of an answer to be taken: who is slower than 1 KiB/s is cut off.
  base::Duration piece = std::chrono::seconds(60);
};

struct ServerFigures {
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  // answers from 400 up
  std::uint64_t body_bytes = 0;
  std::uint64_t connections = 0;
  std::uint64_t open_connections = 0;
};

// One thread. Memory: about 80 KiB per connection.
class FileServer {
 public:
  // not_found: no library is there. The port is open when it returns.
  static base::Result<std::unique_ptr<FileServer>> open(const ServerSettings& settings);
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;
  ~FileServer();

  [[nodiscard]] std::uint16_t port() const;
  // Serves until stop(), or, if that is asked for, SIGTERM or SIGINT.
  void run(bool until_signal);
  // From any thread: run() returns soon, and what is open is cut off.
  void stop();
  // Not while it runs in another thread.
  [[nodiscard]] ServerFigures figures() const;

 private:
  struct State;
  explicit FileServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace segue::server
