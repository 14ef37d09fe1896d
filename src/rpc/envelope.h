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
  hello = 1,       // from an agent, first: fleet::Hello
  heartbeat = 2,   // … at least each so many seconds; `number`: the generation it has
  observed = 3,    // … fleet::ObservedHost
  logs = 4,        // … what was asked for by logs_wanted
  gone = 5,        // from a relay: `line` has ended
  heartbeats = 6,  // … `lines` are heard; what generation they have is as it was
  desired = 16,    // to an agent: fleet::DesiredHost; `number`: its generation
  refused = 17,    // … why it is not believed; `document` is a text for a person
  logs_wanted = 18,
  again_wanted = 19,  // … say hello, and what is observed
  servers = 20,       // to an agent or a relay: where the fleet's servers are (fleet/servers.h)
};

struct Envelope {
  std::string host;
  EnvelopeKind kind{};
  std::uint64_t number = 0;
  std::string document;

  // Between a relay and its server only.
  std::uint64_t line = 0;       // the relay's connection that it is from or for
  std::string certificate_pem;  // with hello: shown by the host at the other end of that
  std::vector<std::uint64_t> lines;
  std::string signature;  // of the authority, over signed_text(); of `servers` always

  bool operator==(const Envelope&) const = default;
};

// Begins as nothing else that the authority signs.
inline std::string signed_text(const Envelope& envelope) {
  if (envelope.kind == EnvelopeKind::servers) return "segue servers\n" + envelope.document;
  const char* kind =
      envelope.kind == EnvelopeKind::logs_wanted ? "segue logs wanted\n" : "segue desired\n";
  return kind + envelope.host + "\n" + envelope.document;
}

struct JoinRequest {
  std::string token;
  std::string request_pem;
  std::string site;
  std::vector<std::string> labels;  // NAME=VALUE
  std::string program_version;
};

struct RenewRequest {
  std::string request_pem;
  std::string certificate_pem;  // of the host that a relay asks for; empty: for itself
  std::string proof;            // by that host (pki/request.h)
};

struct Credentials {
  std::string certificate_pem;
  std::string authorities_pem;
  std::string site = {};  // of the host, as the server has it; empty: it does not say
};

}  // namespace segue::rpc
