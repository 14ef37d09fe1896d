// SPDX-License-Identifier: Apache-2.0
// A program in a container: what the keeper starts then, and what is known of it.
#pragma once

#include <string>

#include "cli/arguments.h"
#include "cli/component_folder.h"
#include "cli/output.h"

namespace segue::cli {

// Where --container names an image, the program becomes segue-container with all that it has to
// know, the image as it is now. failed_precondition: the engine does not run, or has no such image;
// nothing was touched.
base::Result<void> expand_container(Arguments& arguments);

// For people: what is started.
std::string program_text(const Arguments& arguments, const std::string& program);

// Adds `container` to each instance that has one, and to the status of the one that serves.
void describe_containers(const ComponentFolders& folders, const std::string& name, Json& status);

}  // namespace segue::cli
