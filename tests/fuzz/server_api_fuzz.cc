// SPDX-License-Identifier: Apache-2.0
// Whatever a person's program sends: the first line is the request's target, the rest its body,
// which each parser gets. What is accepted is within its bounds.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "control/name.h"
#include "fleet/audit.h"
#include "server/api.h"
#include "server/api_bodies.h"
#include "server/requests.h"
#include "server/signing.h"
#include "server/webhook_record.h"

namespace {

using namespace segue::server;  // NOLINT(google-build-using-namespace)

void check_signatures(const std::vector<segue::fleet::DeploymentSignature>& signatures) {
  SEGUE_ASSERT(signatures.size() <= segue::fleet::kMaxDeploymentSignatures);
  for (const auto& one : signatures) SEGUE_ASSERT(one.key.size() == 64);
}

void parse_bodies(std::string_view body) {
  (void)read_switch_body(body);
  (void)read_action_body(body);
  (void)read_token_body(body);
  if (const auto deployment = read_deployment_body(body)) {
    SEGUE_ASSERT(!deployment->title.empty());
    check_signatures(deployment->signatures);
  }
  if (const auto wanted = read_version_body(body)) {
    SEGUE_ASSERT(segue::control::check_version(wanted->version).has_value());
    check_signatures(wanted->signatures);
  }
  if (const auto person = read_person_body(body)) {
    SEGUE_ASSERT(person->rights.size() <= Person::kMaxRights);
    SEGUE_ASSERT(person->components.size() <= Person::kMaxComponents);
    SEGUE_ASSERT(person->keys.size() <= Person::kMaxKeys);
    for (const auto& key : person->keys) SEGUE_ASSERT(signing_key_of(key.pem) == key);
  }
  if (const auto webhook = read_webhook_body(body)) {
    // It becomes a line of a header's neighbour: nothing in it ends a line.
    SEGUE_ASSERT(webhook->url.find_first_of("\r\n ") == std::string::npos);
    SEGUE_ASSERT(webhook->kinds.size() <= WebhookRecord::kMaxKinds);
  }
}

// What the store holds is read by the next process.
void read_records(std::string_view bytes) {
  if (const auto person = read_person(bytes)) {
    SEGUE_ASSERT(read_person(write_record(*person)) == *person);
  }
  if (const auto signatures = read_signatures(bytes)) {
    SEGUE_ASSERT(read_signatures(write_record(*signatures)) == *signatures);
  }
  if (const auto webhook = read_webhook(bytes)) {
    SEGUE_ASSERT(read_webhook(write_record(*webhook)) == *webhook);
  }
  if (const auto notification = read_notification(bytes)) {
    SEGUE_ASSERT(read_notification(write_record(*notification)) == *notification);
  }
  if (const auto request = read_request(bytes)) {
    SEGUE_ASSERT(read_request(write_record(*request)) == *request);
  }
  if (const auto entry = segue::fleet::read_audit_entry(bytes)) {
    SEGUE_ASSERT(segue::fleet::read_audit_entry(segue::fleet::write_audit_entry(*entry)) == *entry);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto end = text.find('\n');
  const std::string_view target = text.substr(0, end);
  const std::string_view body = end == std::string_view::npos ? "" : text.substr(end + 1);
  HttpRequest request;
  if (parse_target(target, request)) {
    SEGUE_ASSERT(request.path.starts_with('/'));
    SEGUE_ASSERT(request.path.find('\0') == std::string::npos);
    for (const auto& route : Api::routes()) (void)match_route(route.path, request.path);
  }
  parse_bodies(body);
  read_records(body);
  // A text of any kind can be said in an entry, and be read again.
  const segue::fleet::AuditEntry entry{
      .number = 1, .by = std::string(target), .text = std::string(body)};
  SEGUE_ASSERT(segue::fleet::read_audit_entry(segue::fleet::write_audit_entry(entry)).has_value());
  return 0;
}
