// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue publish`, `deltas`, `releases`, `diff`, `gc`, `pin`, `renew`, `server`.
void add_library_commands(Arguments& arguments, const AddCommand& add);

// What any command takes that signs; root, signers and how long what is signed is valid.
void add_signing(CLI::App& app, LibraryOptions& options);
// --wait-s and --dry-run.
void add_writing(CLI::App& app, Arguments& arguments);
void add_root(CLI::App& app, LibraryOptions& options);

}  // namespace segue::cli
