// SPDX-License-Identifier: Apache-2.0
// What instances have printed.
#include <nlohmann/json.hpp>
#include <utility>

#include "control/name.h"
#include "fleet/logs.h"
#include "server/api.h"
#include "server/api_answers.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::uint32_t kUsualLines = 100;

Result<fleet::LogsWanted> wanted_by(const HttpRequest& request) {
  fleet::LogsWanted wanted{.component = text_asked(request, "component"),
                           .from = text_asked(request, "from")};
  SEGUE_TRY(control::check_name(wanted.component));
  const std::string slot = text_asked(request, "slot");
  const auto known = slot.empty() ? fleet::Slot::stable : fleet::slot_of(slot);
  if (!known) {
    return fail(ErrorCode::invalid_argument, "slot: '{}' is neither stable nor canary", slot);
  }
  wanted.slot = *known;
  SEGUE_ASSIGN(const std::uint64_t lines, number_asked(request, "lines"));
  if (lines > fleet::kMaxLogLines || wanted.from.size() > fleet::kMaxLogPlaceBytes) {
    return fail(ErrorCode::invalid_argument, "lines: at most {}", fleet::kMaxLogLines);
  }
  wanted.lines = lines == 0 ? kUsualLines : static_cast<std::uint32_t>(lines);
  return wanted;
}

HttpAnswer answer_with(const fleet::LogsRead& read) {
  Json lines = Json::array();
  for (const auto& line : read.lines) {
    lines.push_back(Json{{"generation", line.generation}, {"text", line.text}});
  }
  return json_answer(Json{{"lines", std::move(lines)}, {"at", read.at}, {"more", read.more}});
}

}  // namespace

void Api::logs(const Call& call) {
  const std::string& host = call.rest[0];
  const auto wanted = wanted_by(call.request);
  if (!wanted) return call.give(answer_of(wanted.error()));
  if (!call.person.may(Right::deploy, wanted->component)) {
    return call.give(
        answer_of({ErrorCode::permission_denied,
                   fmt::format("{} may not see logs of {}: that takes the right 'deploy'",
                               call.person.name, wanted->component)}));
  }
  const auto found = control_.books().hosts.find(host);
  if (found == control_.books().hosts.end() || found->second.revoked) {
    return call.give(answer_of({ErrorCode::not_found, fmt::format("there is no host '{}'", host)}));
  }
  control_.logs().ask(host, *wanted, [give = call.give](Result<fleet::LogsRead> read) {
    give(read ? answer_with(*read) : answer_of(read.error()));
  });
}

}  // namespace segue::server
