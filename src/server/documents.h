// SPDX-License-Identifier: Apache-2.0
// What the server keeps besides rollouts and specifications, and under which keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "fleet/instance.h"

namespace segue::server {

// Of 1970; what is before that is 0.
std::uint64_t milliseconds_of(base::RealTime time);

struct FleetRecord {
  std::string id;           // drawn at random
  std::uint64_t epoch = 1;  // raised by a person after a backup was put back
  bool stopped = false;     // by an emergency stop
  std::string stopped_by;

  bool operator==(const FleetRecord&) const = default;
};

struct HostRecord {
  std::string name;
  std::string site;
  std::vector<std::string> labels;   // NAME=VALUE
  std::string key_fingerprint;       // of the certificate that was issued last
  std::string previous_fingerprint;  // … before; counts until the last one has been shown
  std::uint64_t joined_ms = 0;
  bool drained = false;
  bool revoked = false;
  bool is_relay = false;  // of its site's hosts; nothing runs on it

  bool operator==(const HostRecord&) const = default;
};

// Lets hosts join; its secret is known to nobody but who has it.
struct TokenRecord {
  std::string id;
  std::string secret_digest;  // SHA-256, in hexadecimal digits
  std::string site;           // that its hosts are of; empty: they say so themselves
  std::uint64_t uses_left = 1;
  std::uint64_t expires_ms = 0;
  std::string by;
  bool is_relay = false;  // lets relays join, and nobody else

  bool operator==(const TokenRecord&) const = default;
};

struct ComponentRecord {
  std::string name;
  fleet::Revision newest = fleet::kNoRevision;   // the last that was written down
  fleet::Revision current = fleet::kNoRevision;  // the last that was rolled out whole
  std::uint64_t rollouts = 0;                    // so far

  bool operator==(const ComponentRecord&) const = default;
};

// One of several that share the store, whether it leads or not.
struct ServerRecord {
  std::string name;
  std::string agents;  // HOST:PORT, where they attach
  std::string people;  // https://HOST:PORT

  bool operator==(const ServerRecord&) const = default;
};

struct AuditHead {
  std::uint64_t number = 0;
  std::string digest;

  bool operator==(const AuditHead&) const = default;
};

std::string write_record(const FleetRecord& record);
std::string write_record(const AuditHead& record);
std::string write_record(const ServerRecord& record);
std::string write_record(const HostRecord& record);
std::string write_record(const TokenRecord& record);
std::string write_record(const ComponentRecord& record);
std::string write_record(const fleet::Assignment& assignment);
// data_loss: damaged.
template <class Record>
base::Result<Record> read_record(std::string_view bytes);

// ---- Keys
inline constexpr std::string_view kFleetKey = "fleet";
inline constexpr std::string_view kAuthorityKey = "authority";  // its certificate, as PEM
inline constexpr std::string_view kServers = "servers/";        // NAME
inline constexpr std::string_view kHosts = "hosts/";
inline constexpr std::string_view kTokens = "tokens/";
inline constexpr std::string_view kComponents = "components/";
inline constexpr std::string_view kSpecs = "specs/";              // COMPONENT/REVISION
inline constexpr std::string_view kRollouts = "rollouts/";        // ID
inline constexpr std::string_view kRecords = "records/";          // ID/HOST/SLOT
inline constexpr std::string_view kAssignments = "assignments/";  // HOST/COMPONENT/SLOT
inline constexpr std::string_view kGates = "gates/";  // ROLLOUT: what its gates have seen
inline constexpr std::string_view kAudit = "audit/";
inline constexpr std::string_view kAuditHead = "audit_head";

std::string server_key(const std::string& name);
std::string host_key(const std::string& host);
std::string token_key(const std::string& id);
std::string component_key(const std::string& component);
std::string spec_key(const std::string& component, fleet::Revision revision);
std::string rollout_key(const std::string& id);
std::string rollout_records(const std::string& id);  // the prefix of all of its
std::string rollout_record_key(const std::string& id, const std::string& host, fleet::Slot slot);
std::string gates_key(const std::string& rollout);
std::string assignment_key(const fleet::InstanceId& instance);
base::Result<fleet::InstanceId> instance_of(std::string_view assignment_key);
std::string audit_key(std::uint64_t number);

}  // namespace segue::server
