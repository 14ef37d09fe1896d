// SPDX-License-Identifier: Apache-2.0
// Values as the Compose specification writes them. Each fails with invalid_argument.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"

namespace segue::service {

// Without what Compose would put in place of $NAME and ${NAME}, which are refused; $$ is a $. A NUL
// is refused, too: no program can be told it.
base::Result<std::string> without_variables(const std::string& text);

// "64m", "1gb", "1048576": b, k, m and g, with powers of 1,024.
base::Result<std::uint64_t> parse_compose_size(const std::string& text);

// Words as a shell separates them, with its quotes and backslashes and nothing else of it.
base::Result<std::vector<std::string>> split_words(std::string_view text);
// The words as one command of a shell.
std::string shell_command(const std::vector<std::string>& words);

// "[HOST_ADDRESS:]HOST_PORT:PORT[/tcp]". As Compose does: of all addresses where none is named.
base::Result<fleet::PublishedPort> parse_compose_port(const std::string& text);

// An absolute path; relative ones are below `directory`. "." and ".." are resolved, links are not.
base::Result<std::string> absolute_path(const std::string& path, const std::string& directory);

struct Variable {
  std::string name;
  std::string value;
};
// NAME=VALUE per line, blank lines and comments; values in quotes without escapes. The error names
// the line.
base::Result<std::vector<Variable>> parse_environment_file(std::string_view text);

// What a container keeps where nothing is said: the default set of Docker and Podman.
const std::vector<std::string>& usual_capabilities();

}  // namespace segue::service
