// SPDX-License-Identifier: Apache-2.0
#include "service/compose_values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <optional>
#include <utility>

#include "service/component_keys.h"

namespace segue::service {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::pair<std::string_view, unsigned>, 8> kSizeUnits = {
    {{"", 0}, {"b", 0}, {"k", 10}, {"kb", 10}, {"m", 20}, {"mb", 20}, {"g", 30}, {"gb", 30}}};
constexpr std::uint64_t kMaxSizeBytes = std::uint64_t{1} << 50U;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

// One word of `text`, which is without it afterwards.
Result<std::string> take_word(std::string_view& text) {
  std::string word;
  char quote = 0;
  while (!text.empty()) {
    const char c = text.front();
    if (quote == 0 && std::isspace(static_cast<unsigned char>(c)) != 0) break;
    text.remove_prefix(1);
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (text.empty()) {
        return fail(ErrorCode::invalid_argument, "a backslash stands at the end");
      }
      if (quote == '"' && text.front() != '"' && text.front() != '\\') word += '\\';
      word += text.front();
      text.remove_prefix(1);
    } else {
      word += c;
    }
  }
  if (quote != 0) return fail(ErrorCode::invalid_argument, "a quote {} is not closed", quote);
  return word;
}

Result<Variable> parse_variable(std::string_view line) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(ErrorCode::invalid_argument, "not NAME=VALUE");
  }
  Variable variable{std::string(trimmed(line.substr(0, equals))), ""};
  std::string_view value = trimmed(line.substr(equals + 1));
  if (variable.name.find_first_of(" \t") != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "a name has no blanks; `export` is not of such files");
  }
  const char quote = value.empty() ? '\0' : value.front();
  if (quote == '\'' || quote == '"') {
    if (value.size() < 2 || value.back() != quote) {
      return fail(ErrorCode::invalid_argument, "a quote is not closed");
    }
    value = value.substr(1, value.size() - 2);
    if (value.find(quote) != std::string_view::npos) {
      return fail(ErrorCode::invalid_argument, "a quote within quotes");
    }
  } else if (value.find(" #") != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "a comment behind a value: put it on its own line");
  }
  if (quote != '\'' && value.find_first_of("$\\") != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument,
                "'$' and '\\' have a meaning here: write the value itself in single quotes");
  }
  variable.value = value;
  return variable;
}

}  // namespace

Result<std::string> without_variables(const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "it holds a NUL");
  }
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$') {
      if (i + 1 == text.size() || text[i + 1] != '$') {
        return fail(ErrorCode::invalid_argument,
                    "'{}': Compose would put a variable's value here; write the value itself, or "
                    "$$ for a $",
                    text.substr(i, 40));
      }
      ++i;
    }
    result += text[i];
  }
  return result;
}

Result<std::uint64_t> parse_compose_size(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit = problem == std::errc() ? lower({end, text.data() + text.size()}) : "?";
  for (const auto& [name, shift] : kSizeUnits) {
    if (name == unit && number <= kMaxSizeBytes >> shift) return number << shift;
  }
  return fail(ErrorCode::invalid_argument, "'{}' is not a size, as 512m or 1g", text.substr(0, 40));
}

Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    SEGUE_ASSIGN(std::string word, take_word(text));
    words.push_back(std::move(word));
  }
  return words;
}

std::string shell_command(const std::vector<std::string>& words) {
  std::string command;
  for (const auto& word : words) {
    if (!command.empty()) command += ' ';
    const bool is_safe = !word.empty() && std::ranges::all_of(word, [](unsigned char c) {
      return std::isalnum(c) != 0 ||
             std::string_view("_./-:=,@%+").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (is_safe) {
      command += word;
      continue;
    }
    command += '\'';
    for (const char c : word) command += c == '\'' ? "'\\''" : std::string(1, c);
    command += '\'';
  }
  return command;
}

Result<fleet::PublishedPort> parse_compose_port(const std::string& text) {
  std::string rest = text;
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    if (lower(rest.substr(slash)) != "/tcp") {
      return fail(ErrorCode::invalid_argument, "'{}': only TCP ports are published",
                  text.substr(0, 80));
    }
    rest.resize(slash);
  }
  if (rest.find('-') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "'{}': write each port of the range",
                text.substr(0, 80));
  }
  if (rest.find(':') == std::string::npos) {
    return fail(ErrorCode::invalid_argument,
                "'{}': Compose would pick a port of the host; name it, as 8080:80",
                text.substr(0, 80));
  }
  SEGUE_ASSIGN(auto port, parse_port(rest));
  if (std::ranges::count(rest, ':') == 1) port.host = "0.0.0.0";
  return port;
}

Result<std::string> absolute_path(const std::string& path, const std::string& directory) {
  if (path.starts_with('~')) {
    return fail(ErrorCode::invalid_argument, "'{}': whose home? Write the whole path",
                path.substr(0, 80));
  }
  const std::filesystem::path joined = std::filesystem::path(directory) / path;
  std::string normal = joined.lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return normal;
}

Result<std::vector<Variable>> parse_environment_file(std::string_view text) {
  std::vector<Variable> variables;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    auto variable = parse_variable(line);
    if (!variable) {
      return fail(ErrorCode::invalid_argument, "line {}: {}", number, variable.error().message());
    }
    variables.push_back(*std::move(variable));
  }
  return variables;
}

const std::vector<std::string>& usual_capabilities() {
  static const std::vector<std::string> kUsual = {
      "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER", "FSETID",  "KILL",   "MKNOD",
      "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",      "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"};
  return kUsual;
}

}  // namespace segue::service
