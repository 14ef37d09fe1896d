// SPDX-License-Identifier: Apache-2.0
#include "library/delegation.h"

#include <algorithm>

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

bool is_delegated(const tuf::Repository& repository, const std::string& role) {
  const tuf::Targets* targets = repository.role();
  if (targets == nullptr || !targets->delegations) return false;
  const auto& roles = targets->delegations->roles;
  return std::ranges::find(roles, role, &tuf::DelegatedRole::name) != roles.end();
}

}  // namespace

tuf::Signers signers_for(tuf::Signers signers, const std::string& role) {
  const auto targets = signers.find(std::string(tuf::kTargets));
  if (!signers.contains(role) && targets != signers.end()) {
    const auto keys = targets->second;
    signers.emplace(role, keys);
  }
  return signers;
}

Result<void> delegate_if_new(tuf::Repository& repository, const std::string& role,
                             const tuf::Signers& signers, bool anew) {
  if (is_delegated(repository, role) && !anew) return {};
  const tuf::Signers all = signers_for(signers, role);
  const auto own = all.find(role);
  if (own == all.end() || own->second.empty()) {
    return fail(ErrorCode::failed_precondition,
                "there is no key for '{}': sign with a key of '{}' or of 'targets'", role, role);
  }
  std::vector<tuf::Key> keys;
  for (const auto& key : own->second) keys.push_back(tuf::Key::of(key.public_key()));
  tuf::DelegatedRole delegated;
  delegated.name = role;
  delegated.terminating = true;
  delegated.paths = {role + "/*"};
  return repository.delegate(tuf::kTargets, std::move(delegated), keys);
}

}  // namespace segue::library
