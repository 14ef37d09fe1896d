// SPDX-License-Identifier: Apache-2.0
// What agents send to their site's relay, as bytes of the wire, while agents and the server come
// and go: nobody speaks for somebody else, nothing stands in what the server gets but what the
// relay may say, and what waits is counted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "agent_relay/lines.h"
#include "rpc/messages.h"

namespace {

namespace rpc = segue::rpc;
using segue::agent_relay::Line;
using segue::agent_relay::Lines;

constexpr std::size_t kMaxLines = 4;

void require(bool holds) {
  if (!holds) std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool is_over() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto first = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }
  // As many as the next byte says.
  std::string_view bytes() {
    const std::size_t said = byte();
    const std::size_t count = std::min(said, rest_.size());
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view rest_;
};

class Relay {
 public:
  void step(Input& input) {
    const std::uint8_t what = input.byte();
    const Line line = what >> 4U;
    switch (what & 7U) {
      case 0:
        return open(line);
      case 1:
        lines_.closed(line);
        return;
      case 2:
        require(lines_.server_attached().size() == lines_.size());
        require(lines_.waiting_bytes() == 0);
        return;
      case 3:
        lines_.server_lost();
        require(!lines_.next() && lines_.heard().empty());
        return;
      case 4:
        for (const Line heard : lines_.heard()) (void)lines_.host_of(heard);
        return;
      case 5:
        return take();
      default:
        receive(line, input.bytes());
    }
  }

  void finish() {
    while (lines_.waiting_bytes() > 0) take();
    require(!lines_.next());
  }

 private:
  static std::string host_of(Line line) { return "host-" + std::to_string(line); }

  void open(Line line) {
    const bool is_host = line != 15;
    const segue::pki::Identity who{is_host ? segue::pki::Role::host : segue::pki::Role::relay,
                                   host_of(line)};
    const std::size_t before = lines_.size();
    const auto all = lines_.all();
    if (std::ranges::find(all, line) != all.end()) return;  // not given out while its line is there
    segue::pki::Certificate certificate;
    certificate.pem = "certificate of " + host_of(line);
    certificate.identity = who;
    const bool opened = lines_.opened(line, certificate).has_value();
    require(opened == (is_host && before < kMaxLines));
    require(lines_.size() == before + (opened ? 1 : 0));
  }

  void receive(Line line, std::string_view bytes) {
    rpc::wire::Envelope message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    if (!lines_.received(line, rpc::from_wire(message))) lines_.closed(line);
  }

  void take() {
    const auto envelope = lines_.next();
    if (!envelope) return;
    require(envelope->host == host_of(envelope->line));
    require(envelope->lines.empty());
    const bool is_hello = envelope->kind == rpc::EnvelopeKind::hello;
    require(envelope->certificate_pem == (is_hello ? "certificate of " + envelope->host : ""));
    require(envelope->kind != rpc::EnvelopeKind::heartbeats);
    const bool is_open = lines_.is(envelope->line, envelope->host);
    require(is_open || envelope->kind == rpc::EnvelopeKind::gone);
  }

  Lines lines_{kMaxLines};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Relay relay;
  while (!input.is_over()) relay.step(input);
  relay.finish();
  return 0;
}
