// SPDX-License-Identifier: Apache-2.0
// Who may sign which part of a library: targets delegates a role's own folder of targets to it.
#pragma once

#include <string>

#include "base/error.h"
#include "tuf/repository.h"

namespace segue::library {

// With the keys of targets for a role that has none of its own.
tuf::Signers signers_for(tuf::Signers signers, const std::string& role);

// Delegates ROLE/* to the keys of signers_for(), if nobody does so yet or `anew`; then the role
// becomes part of the next publication. failed_precondition: there is no key for it.
base::Result<void> delegate_if_new(tuf::Repository& repository, const std::string& role,
                                   const tuf::Signers& signers, bool anew);

}  // namespace segue::library
