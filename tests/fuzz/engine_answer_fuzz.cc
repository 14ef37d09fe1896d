// SPDX-License-Identifier: Apache-2.0
// What whoever sits behind an engine's socket, or a gRPC server, may answer; the first byte says to
// what.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "runtime/engine_answers.h"
#include "runtime/grpc_health.h"
#include "runtime/json_fields.h"
#include "runtime/memory_watch.h"
#include "runtime/registry_credentials.h"

namespace runtime = segue::runtime;

namespace {

void read_lines(std::string_view bytes) {
  runtime::LineSplitter lines;
  runtime::ImageStream stream;
  const auto whole = lines.take(bytes);
  if (!whole) return;
  for (const auto& line : *whole) {
    if (line.find('\n') != line.npos) abort();
    (void)stream.take_line(line);
    (void)runtime::parse_event(line);
  }
  if (stream.loaded().size() > runtime::ImageStream::kMaxLoaded) abort();
}

// "name: value" in each line.
void read_ping(std::string_view bytes) {
  std::map<std::string, std::string> fields;
  while (!bytes.empty()) {
    const std::string_view line = bytes.substr(0, bytes.find('\n'));
    bytes.remove_prefix(std::min(line.size() + 1, bytes.size()));
    const std::size_t colon = std::min(line.find(": "), line.size());
    const std::size_t value = std::min(colon + 2, line.size());
    fields.emplace(line.substr(0, colon), line.substr(value));
  }
  (void)runtime::parse_ping(fields);
}

void read_refusal(std::string_view bytes) {
  using About = runtime::Question::About;
  for (const About about : {About::engine, About::image, About::registry, About::container}) {
    for (const int status : {400, 404, 409, 500}) {
      const auto error = runtime::refusal({"create", "x", about}, status, bytes);
      if (error.message().find('\n') != std::string::npos) abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'v':
      read_ping(bytes);
      break;
    case 'i':
      (void)runtime::parse_image(bytes);
      break;
    case 'I':
      (void)runtime::parse_images(bytes);
      break;
    case 'n':
      (void)runtime::parse_created(bytes);
      break;
    case 'c':
      (void)runtime::parse_container(bytes);
      break;
    case 'C':
      (void)runtime::parse_containers(bytes);
      break;
    case 'w':
      (void)runtime::parse_wait(bytes);
      break;
    case 's':
      (void)runtime::parse_stats(bytes);
      break;
    case 'x':
      (void)runtime::parse_exec(bytes);
      break;
    case 'l':
      read_lines(bytes);
      break;
    case 'e':
      read_refusal(bytes);
      break;
    case 't':
      (void)runtime::parse_time(bytes);
      break;
    case 'r':
      (void)runtime::registry_auth(bytes, "10.0.0.1:5000");
      break;
    case 'g':
      (void)runtime::read_grpc_health(200, {{"grpc-status", "0"}}, bytes);
      break;
    case 'T':
      (void)runtime::parse_grpc_target(bytes);
      break;
    default:
      (void)runtime::memory_group_of(bytes);
      (void)runtime::oom_kills_in(bytes);
  }
  return 0;
}
