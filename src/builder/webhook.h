// SPDX-License-Identifier: Apache-2.0
// What forges send when somebody pushes: POST /build/REPOSITORY with a signature or a token. Pure.
//   GitHub, Gitea, Forgejo   X-Hub-Signature-256: sha256=HEX, or X-Gitea-Signature: HEX, the
//                            HMAC-SHA-256 of the body
//   GitLab                   X-Gitlab-Token: the secret
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "builder/notice.h"

namespace segue::builder {

inline constexpr std::size_t kMaxWebhookBytes = std::size_t{4} << 20;

struct WebhookRequest {
  std::string method;
  std::string target;
  std::string body;
  // The header's value, or nothing; the name's case does not matter.
  std::function<std::string(std::string_view name)> header;
};

struct WebhookAnswer {
  int status = 500;  // of HTTP
  std::string text;  // one line
  std::optional<Notice> notice;
};

// `secrets`: of the repositories that have one.
WebhookAnswer answer_webhook(const WebhookRequest& request,
                             const std::map<std::string, std::string>& secrets);

}  // namespace segue::builder
