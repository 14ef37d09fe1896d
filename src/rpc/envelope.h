// SPDX-License-Identifier: Apache-2.0
// What a server and the agents of its hosts tell each other (protocol/fleet.proto).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::rpc {

inline constexpr std::size_t kMaxDocumentBytes = std::size_t{1} << 20;

// Values are part of the protocol.
enum class EnvelopeKind : std::uint32_t {
  hello = 1,      // from an agent, first: fleet::Hello
  heartbeat = 2,  // … at least each so many seconds; `number`: the generation it has
  observed = 3,   // … fleet::ObservedHost
  logs = 4,       // … what was asked for by logs_wanted
  gone = 5,       // from a relay: it does not hear `host` any more
  desired = 16,   // to an agent: fleet::DesiredHost; `number`: its generation
  refused = 17,   // … why it is not believed; `document` is a text for a person
  logs_wanted = 18,
};

struct Envelope {
  std::string host;
  EnvelopeKind kind{};
  std::uint64_t number = 0;
  std::string document;

  bool operator==(const Envelope&) const = default;
};

struct JoinRequest {
  std::string token;
  std::string request_pem;
  std::string site;
  std::vector<std::string> labels;  // NAME=VALUE
  std::string program_version;
};

struct Credentials {
  std::string certificate_pem;
  std::string authorities_pem;
};

}  // namespace segue::rpc
