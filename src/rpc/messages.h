// SPDX-License-Identifier: Apache-2.0
// Between the library's own values and what travels.
#pragma once

#include "fleet.pb.h"
#include "rpc/envelope.h"

namespace segue::rpc {

namespace wire = segue::fleet::v1;

// With room for what is not the document.
inline constexpr int kMaxMessageBytes = static_cast<int>(kMaxDocumentBytes) + (256 << 10);

inline wire::Envelope to_wire(Envelope&& envelope) {
  wire::Envelope message;
  message.set_host(std::move(envelope.host));
  message.set_kind(static_cast<std::uint32_t>(envelope.kind));
  message.set_number(envelope.number);
  message.set_document(std::move(envelope.document));
  message.set_line(envelope.line);
  message.set_certificate_pem(std::move(envelope.certificate_pem));
  message.set_signature(std::move(envelope.signature));
  message.mutable_lines()->Add(envelope.lines.begin(), envelope.lines.end());
  return message;
}

inline Envelope from_wire(wire::Envelope& message) {
  return {.host = std::move(*message.mutable_host()),
          .kind = static_cast<EnvelopeKind>(message.kind()),
          .number = message.number(),
          .document = std::move(*message.mutable_document()),
          .line = message.line(),
          .certificate_pem = std::move(*message.mutable_certificate_pem()),
          .lines = {message.lines().begin(), message.lines().end()},
          .signature = std::move(*message.mutable_signature())};
}

inline Credentials from_wire(wire::Credentials& message) {
  return {std::move(*message.mutable_certificate_pem()),
          std::move(*message.mutable_authorities_pem()), std::move(*message.mutable_site())};
}

}  // namespace segue::rpc
