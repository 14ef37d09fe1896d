// SPDX-License-Identifier: Apache-2.0
// Between the library's own values and what travels.
#pragma once

#include "fleet.pb.h"
#include "rpc/envelope.h"

namespace segue::rpc {

namespace wire = segue::fleet::v1;

inline wire::Envelope to_wire(Envelope&& envelope) {
  wire::Envelope message;
  message.set_host(std::move(envelope.host));
  message.set_kind(static_cast<std::uint32_t>(envelope.kind));
  message.set_number(envelope.number);
  message.set_document(std::move(envelope.document));
  return message;
}

inline Envelope from_wire(wire::Envelope& message) {
  return {.host = std::move(*message.mutable_host()),
          .kind = static_cast<EnvelopeKind>(message.kind()),
          .number = message.number(),
          .document = std::move(*message.mutable_document())};
}

inline Credentials from_wire(wire::Credentials& message) {
  return {std::move(*message.mutable_certificate_pem()),
          std::move(*message.mutable_authorities_pem())};
}

}  // namespace segue::rpc
