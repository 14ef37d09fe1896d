// SPDX-License-Identifier: Apache-2.0
#include "control/request.h"

#include <utility>

namespace segue::control {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kProtocol = "segue/1";

Result<void> append_word(std::string& message, std::string_view word) {
  if (word.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "an argument holds a NUL byte");
  }
  if (!message.empty()) message += '\0';
  message += word;
  if (message.size() > kMaxRequestBytes) {
    return fail(ErrorCode::invalid_argument,
                "the command line is longer than {} KiB: put the arguments into a file",
                kMaxRequestBytes >> 10);
  }
  return {};
}

Result<std::vector<std::string>> split_words(std::string_view message) {
  std::vector<std::string> words;
  while (true) {
    if (words.size() == kMaxRequestWords) {
      return fail(ErrorCode::invalid_argument, "the request has more than {} words",
                  kMaxRequestWords);
    }
    const std::size_t end = message.find('\0');
    words.emplace_back(message.substr(0, end));
    if (end == std::string_view::npos) return words;
    message.remove_prefix(end + 1);
  }
}

Result<Request::Option> parse_option(std::string_view word) {
  if (word.starts_with("--")) word.remove_prefix(2);
  const std::size_t equals = word.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "'{}' is not KEY=VALUE", word.substr(0, 80));
  }
  return Request::Option{std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))};
}

}  // namespace

Result<std::string> encode(const Request& request) {
  std::string message;
  SEGUE_TRY(append_word(message, kProtocol));
  SEGUE_TRY(append_word(message, request.command));
  for (const auto& option : request.options) {
    SEGUE_TRY(append_word(message, option.key + '=' + option.value));
  }
  if (!request.program.empty()) {
    SEGUE_TRY(append_word(message, "--"));
    for (const auto& word : request.program) SEGUE_TRY(append_word(message, word));
  }
  const std::size_t words =
      2 + request.options.size() + (request.program.empty() ? 0 : 1 + request.program.size());
  if (words > kMaxRequestWords) {
    return fail(ErrorCode::invalid_argument,
                "the command line has more than {} words: put the arguments into a file",
                kMaxRequestWords);
  }
  return message;
}

Result<Request> decode(std::string_view message) {
  if (message.size() > kMaxRequestBytes) {
    return fail(ErrorCode::invalid_argument, "the request is longer than {} KiB",
                kMaxRequestBytes >> 10);
  }
  SEGUE_ASSIGN(auto words, split_words(message));
  if (words.size() < 2 || words.front() != kProtocol) {
    return fail(ErrorCode::invalid_argument,
                "this keeper speaks {}: use the `segue` that was installed with it", kProtocol);
  }
  std::string command = std::move(words[1]);
  words.erase(words.begin(), words.begin() + 2);
  return parse_words(std::move(command), words);
}

Result<Request> parse_words(std::string command, const std::vector<std::string>& words) {
  Request request{std::move(command), {}, {}};
  auto word = words.begin();
  for (; word != words.end() && *word != "--"; ++word) {
    SEGUE_ASSIGN(auto option, parse_option(*word));
    request.options.push_back(std::move(option));
  }
  if (word == words.end()) return request;
  request.program.assign(word + 1, words.end());
  if (request.program.empty()) {
    return fail(ErrorCode::invalid_argument, "no program stands behind '--'");
  }
  return request;
}

Result<void> set_option(Request& request, const std::string& setting) {
  SEGUE_ASSIGN(auto option, parse_option(setting));
  const bool may_be_repeated = option.key == "listen" || option.key == "env";
  if (!may_be_repeated) {
    std::erase_if(request.options, [&](const auto& known) { return known.key == option.key; });
  }
  request.options.push_back(std::move(option));
  return {};
}

}  // namespace segue::control
