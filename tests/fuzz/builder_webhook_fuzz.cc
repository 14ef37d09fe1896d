// SPDX-License-Identifier: Apache-2.0
// Whatever body comes with the right token: an answer that HTTP knows, and a sound notice or none.
// Without the token never a notice.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "builder/webhook.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using segue::builder::answer_webhook;
  segue::builder::WebhookRequest request{
      .method = "POST",
      .target = "/build/chat",
      .body = std::string(reinterpret_cast<const char*>(data), size),
      .header = [](std::string_view name) {
        return name == "X-Gitlab-Token" ? std::string("secret") : std::string();
      }};
  const auto answer = answer_webhook(request, {{"chat", "secret"}});
  SEGUE_ASSERT(answer.status == 200 || answer.status == 202 || answer.status == 400);
  SEGUE_ASSERT((answer.status == 202) == answer.notice.has_value());
  if (answer.notice) SEGUE_ASSERT(segue::builder::check(*answer.notice).has_value());

  request.header = [&](std::string_view name) {
    return name == "X-Hub-Signature-256" ? request.body.substr(0, 80) : std::string();
  };
  SEGUE_ASSERT(answer_webhook(request, {{"chat", "secret"}}).status == 401);
  return 0;
}
