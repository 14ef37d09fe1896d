// SPDX-License-Identifier: Apache-2.0
#include "tuf/test_repository.h"

#include <fmt/format.h>

#include "crypto/digest.h"

namespace segue::tuf {

using base::ErrorCode;
using base::fail;
using base::Result;

crypto::PrivateKey test_key(unsigned number) {
  return crypto::PrivateKey::ed25519_from_seed(crypto::digest_of(fmt::format("key {}", number)))
      .value();
}

TestRepository::TestRepository(bool consistent) {
  root.consistent_snapshot = consistent;
  roles.emplace(kTargets, Targets{});
  unsigned number = 1;
  for (const auto role : {kRoot, kTimestamp, kSnapshot, kTargets}) {
    rotate(std::string(role), number++);
  }
  root.expires = timestamp.expires = snapshot.expires = kLater;
  roles.at("targets").expires = kLater;
  publish("targets", false);
  publish("snapshot", false);
  publish("timestamp", false);
  publish("root", false);
}

void TestRepository::rotate(const std::string& role, unsigned number) {
  root.roles[role].key_ids.clear();
  signers[role].clear();
  add_key(role, number);
}

void TestRepository::add_key(const std::string& role, unsigned number,
                             const std::string& delegator) {
  const crypto::PrivateKey private_key = test_key(number);
  const Key key = Key::of(private_key.public_key());
  signers[role].push_back(private_key);
  if (is_top_level(role)) {
    root.keys.insert_or_assign(key.id, key);
    root.roles[role].key_ids.push_back(key.id);
    return;
  }
  Delegations& delegations = *roles.at(delegator).delegations;
  delegations.keys.insert_or_assign(key.id, key);
  for (auto& each : delegations.roles) {
    if (each.name == role) each.keys.key_ids.push_back(key.id);
  }
}

void TestRepository::delegate(const std::string& delegator, DelegatedRole role) {
  Targets& from = roles.at(delegator);
  if (!from.delegations) from.delegations.emplace();
  const std::string name = role.name;
  from.delegations->roles.push_back(std::move(role));
  if (!roles.contains(name)) roles[name].expires = kLater;
  const auto number = static_cast<unsigned>(std::hash<std::string>{}(name) % 1'000'000 + 1'000);
  if (signers[name].empty()) {
    add_key(name, number, delegator);
  } else {  // delegated to by several: all trust the same key
    signers[name].pop_back();
    add_key(name, number, delegator);
  }
}

void TestRepository::describe(std::uint64_t version, const std::string& bytes,
                              MetaFile& file) const {
  file.version = version;
  file.length.reset();
  file.hashes.clear();
  if (!describe_files) return;
  file.length = bytes.size();
  file.hashes["sha256"] = crypto::to_hex(crypto::digest_of(bytes));
}

void TestRepository::publish(const std::string& role, bool bump) {
  const auto keep = [&](Common& metadata, const Json& json) {
    const bool versioned = role == kRoot || (*root.consistent_snapshot && role != kTimestamp);
    const std::string name = file_name_of(role);
    const std::string bytes = sign(json, signers[role]).value();
    files[versioned ? fmt::format("{}.{}", metadata.version, name) : name] = bytes;
    return bytes;
  };
  if (role == kRoot) {
    root.version += bump ? 1 : 0;
    keep(root, to_json(root));
  } else if (role == kTimestamp) {
    timestamp.version += bump ? 1 : 0;
    keep(timestamp, to_json(timestamp));
  } else if (role == kSnapshot) {
    snapshot.version += bump ? 1 : 0;
    describe(snapshot.version, keep(snapshot, to_json(snapshot)), timestamp.snapshot);
  } else {
    Targets& targets = roles.at(role);
    targets.version += bump ? 1 : 0;
    describe(targets.version, keep(targets, to_json(targets)), snapshot.meta[role]);
  }
}

void TestRepository::publish_all() {
  for (const char* role : {"targets", "snapshot", "timestamp"}) publish(role);
}

TestClient::TestClient(TestRepository& repository, ClientLimits limits)
    : repository_(repository), client_(limits) {
  disk["root"] = repository.files.at("1.root.json");
}

Result<void> TestClient::refresh(Time now) {
  fetched.clear();
  story.clear();
  return run(client_.refresh(now));
}

Result<FoundTarget> TestClient::find(const std::string& path) {
  fetched.clear();
  SEGUE_TRY(run(client_.find(path)));
  return *client_.found();
}

Result<Targets> TestClient::find_role(const std::string& path) {
  fetched.clear();
  SEGUE_TRY(run(client_.find_role(path)));
  return client_.found_role();
}

std::uint64_t TestClient::version(const std::string& role) const {
  const auto kept = disk.find(role);
  if (kept == disk.end()) return 0;
  return Json::parse(kept->second).at("signed").at("version").get<std::uint64_t>();
}

Result<void> TestClient::run(Command command) {
  while (!is_last(command)) command = client_.on(carry_out(command));
  if (auto* failed = std::get_if<Failed>(&command)) return fail(std::move(failed->error));
  return {};
}

Event TestClient::carry_out(const Command& command) {
  if (const auto* load = std::get_if<Load>(&command)) {
    const auto kept = disk.find(load->role);
    if (kept == disk.end()) return Absent{};
    return Bytes{kept->second};
  }
  if (const auto* fetch = std::get_if<Fetch>(&command)) {
    fetched.push_back(fetch->file);
    story.push_back("fetch " + fetch->file);
    if (repository_.before_fetch) repository_.before_fetch(fetch->file);
    const auto file = repository_.files.find(fetch->file);
    if (file == repository_.files.end()) return Absent{};
    return Bytes{file->second.substr(0, fetch->max_bytes + 1)};
  }
  if (disk_fails) return Broken{{ErrorCode::resource_exhausted, "the disk is full"}};
  if (const auto* persist = std::get_if<Persist>(&command)) {
    story.push_back("persist " + persist->role);
    disk[persist->role] = persist->bytes;
  } else {
    story.push_back("forget " + std::get<Forget>(command).role);
    disk.erase(std::get<Forget>(command).role);
  }
  return Finished{};
}

}  // namespace segue::tuf
