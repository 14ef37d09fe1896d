// SPDX-License-Identifier: Apache-2.0
#include "server/documents.h"

#include "fleet/strategy_layout.h"

namespace segue::fleet {

template <>
struct Layout<server::FleetRecord> {
  static void visit(auto& archive, auto& record) {
    archive("id", record.id);
    archive("epoch", record.epoch);
    archive("stopped", record.stopped);
    archive("stopped_by", record.stopped_by);
  }
};

template <>
struct Layout<server::HostRecord> {
  static void visit(auto& archive, auto& record) {
    archive("name", record.name);
    archive("site", record.site);
    archive("labels", record.labels, 50);
    archive("key_fingerprint", record.key_fingerprint);
    archive("previous_fingerprint", record.previous_fingerprint);
    archive("joined_ms", record.joined_ms);
    archive("drained", record.drained);
    archive("revoked", record.revoked);
    archive("relay", record.is_relay);
  }
};

template <>
struct Layout<server::TokenRecord> {
  static void visit(auto& archive, auto& record) {
    archive("id", record.id);
    archive("secret_digest", record.secret_digest);
    archive("site", record.site);
    archive("uses_left", record.uses_left);
    archive("expires_ms", record.expires_ms);
    archive("by", record.by);
    archive("relay", record.is_relay);
  }
};

template <>
struct Layout<server::ComponentRecord> {
  static void visit(auto& archive, auto& record) {
    archive("name", record.name);
    archive("newest", record.newest);
    archive("current", record.current);
    archive("rollouts", record.rollouts);
  }
};

template <>
struct Layout<server::ServerRecord> {
  static void visit(auto& archive, auto& record) {
    archive("name", record.name);
    archive("agents", record.agents);
    archive("people", record.people);
  }
};

template <>
struct Layout<server::AuditHead> {
  static void visit(auto& archive, auto& record) {
    archive("number", record.number);
    archive("digest", record.digest);
  }
};

}  // namespace segue::fleet

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxRecordBytes = std::size_t{256} << 10;

// What a record's document calls its format, and what it is for a person.
template <class Record>
struct Named;
template <>
struct Named<FleetRecord> {
  static constexpr const char* kKey = "segue_fleet";
};
template <>
struct Named<HostRecord> {
  static constexpr const char* kKey = "segue_host";
};
template <>
struct Named<TokenRecord> {
  static constexpr const char* kKey = "segue_token";
};
template <>
struct Named<ComponentRecord> {
  static constexpr const char* kKey = "segue_component_record";
};
template <>
struct Named<ServerRecord> {
  static constexpr const char* kKey = "segue_server";
};
template <>
struct Named<AuditHead> {
  static constexpr const char* kKey = "segue_audit_head";
};
template <>
struct Named<fleet::Assignment> {
  static constexpr const char* kKey = "segue_assignment";
};

template <class Record>
std::string write(const Record& record) {
  return fleet::write_document(Named<Record>::kKey, 1, record);
}

}  // namespace

std::uint64_t milliseconds_of(base::RealTime time) {
  const auto count =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

std::string write_record(const FleetRecord& record) {
  return write(record);
}
std::string write_record(const HostRecord& record) {
  return write(record);
}
std::string write_record(const TokenRecord& record) {
  return write(record);
}
std::string write_record(const ComponentRecord& record) {
  return write(record);
}
std::string write_record(const ServerRecord& record) {
  return write(record);
}
std::string write_record(const AuditHead& record) {
  return write(record);
}
std::string write_record(const fleet::Assignment& assignment) {
  return write(assignment);
}

template <class Record>
Result<Record> read_record(std::string_view bytes) {
  return fleet::read_document<Record>(Named<Record>::kKey, 1, bytes, kMaxRecordBytes,
                                      Named<Record>::kKey);
}
template Result<FleetRecord> read_record(std::string_view bytes);
template Result<HostRecord> read_record(std::string_view bytes);
template Result<TokenRecord> read_record(std::string_view bytes);
template Result<ComponentRecord> read_record(std::string_view bytes);
template Result<ServerRecord> read_record(std::string_view bytes);
template Result<AuditHead> read_record(std::string_view bytes);
template Result<fleet::Assignment> read_record(std::string_view bytes);

std::string server_key(const std::string& name) {
  return fmt::format("{}{}", kServers, name);
}
std::string host_key(const std::string& host) {
  return fmt::format("{}{}", kHosts, host);
}
std::string token_key(const std::string& id) {
  return fmt::format("{}{}", kTokens, id);
}
std::string component_key(const std::string& component) {
  return fmt::format("{}{}", kComponents, component);
}
std::string spec_key(const std::string& component, fleet::Revision revision) {
  return fmt::format("{}{}/{:020}", kSpecs, component, revision);
}
std::string rollout_key(const std::string& id) {
  return fmt::format("{}{}", kRollouts, id);
}
std::string rollout_records(const std::string& id) {
  return fmt::format("{}{}/", kRecords, id);
}
std::string rollout_record_key(const std::string& id, const std::string& host, fleet::Slot slot) {
  return fmt::format("{}{}/{}/{}", kRecords, id, host, to_string(slot));
}
std::string assignment_key(const fleet::InstanceId& instance) {
  return fmt::format("{}{}/{}/{}", kAssignments, instance.host, instance.component,
                     to_string(instance.slot));
}
std::string gates_key(const std::string& rollout) {
  return fmt::format("{}{}", kGates, rollout);
}
std::string audit_key(std::uint64_t number) {
  return fmt::format("{}{:020}", kAudit, number);
}

Result<fleet::InstanceId> instance_of(std::string_view assignment_key) {
  std::string_view rest = assignment_key;
  const auto wrong = [&] {
    return fail(ErrorCode::data_loss, "'{}' names no instance", assignment_key);
  };
  if (!rest.starts_with(kAssignments)) return wrong();
  rest.remove_prefix(kAssignments.size());
  const auto first = rest.find('/');
  const auto last = rest.rfind('/');
  if (first == std::string_view::npos || first == last) return wrong();
  const auto slot = fleet::slot_of(rest.substr(last + 1));
  if (!slot) return wrong();
  return fleet::InstanceId{std::string(rest.substr(0, first)),
                           std::string(rest.substr(first + 1, last - first - 1)), *slot};
}

}  // namespace segue::server
