// SPDX-License-Identifier: Apache-2.0
#include "builder/webhook.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "crypto/digest.h"
#include "crypto/hmac.h"

namespace segue::builder {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrefix = "/build/";
constexpr int kOk = 200;
constexpr int kAccepted = 202;
constexpr int kBadRequest = 400;
constexpr int kUnauthorized = 401;
constexpr int kNotFound = 404;
constexpr int kMethodNotAllowed = 405;

bool is_signed(const WebhookRequest& request, const std::string& secret) {
  if (const auto token = request.header("X-Gitlab-Token"); !token.empty()) {
    // Of both the digest, so that the time says nothing about the length either.
    return crypto::equal_secrets(crypto::digest_of(token), crypto::digest_of(secret));
  }
  std::string signature = request.header("X-Hub-Signature-256");
  constexpr std::string_view kMethod = "sha256=";
  if (signature.starts_with(kMethod)) {
    signature.erase(0, kMethod.size());
  } else {
    signature = request.header("X-Gitea-Signature");
  }
  const auto bytes = crypto::from_hex(signature);
  return bytes && crypto::equal_secrets(*bytes, crypto::hmac_sha256(secret, request.body));
}

// "" where there is no such text.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

WebhookAnswer answer_push(const std::string& repository, const std::string& body) {
  const Json push = Json::parse(body, nullptr, false);
  if (!push.is_object()) return {kBadRequest, "the body is not a JSON object", {}};
  const std::string ref = text_of(push, "ref");
  const std::string after = text_of(push, "after");
  if (ref.empty() || after.empty()) return {kOk, "not a push: nothing to do", {}};
  if (is_no_commit(after)) return {kOk, "a ref was removed: nothing to do", {}};
  // An annotated tag is named by its own object; the fetch finds the commit.
  const bool is_tag = ref.starts_with("refs/tags/");
  Notice notice{.repository = repository, .ref = ref, .commit = is_tag ? "" : after};
  if (const auto fine = check(notice); !fine) {
    return {kBadRequest, fine.error().message(), {}};
  }
  return {kAccepted, fmt::format("{} {} is looked at", ref, after), std::move(notice)};
}

}  // namespace

WebhookAnswer answer_webhook(const WebhookRequest& request,
                             const std::map<std::string, std::string>& secrets) {
  const std::string_view target = std::string_view(request.target);
  const auto found = target.starts_with(kPrefix)
                         ? secrets.find(std::string(target.substr(kPrefix.size())))
                         : secrets.end();
  if (found == secrets.end()) return {kNotFound, "there is no such webhook", {}};
  if (request.method != "POST") return {kMethodNotAllowed, "only POST", {}};
  if (!is_signed(request, found->second)) {
    return {kUnauthorized, "the signature or the token is missing or wrong", {}};
  }
  return answer_push(found->first, request.body);
}

}  // namespace segue::builder
