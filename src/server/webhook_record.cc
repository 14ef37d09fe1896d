// SPDX-License-Identifier: Apache-2.0
#include "server/webhook_record.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "crypto/hmac.h"
#include "fleet/layout.h"

namespace segue::fleet {

template <>
struct Layout<server::WebhookRecord> {
  static void visit(auto& archive, auto& webhook) {
    archive("name", webhook.name);
    archive("url", webhook.url);
    archive("secret", webhook.secret);
    archive("kinds", webhook.kinds, server::WebhookRecord::kMaxKinds);
    archive("by", webhook.by);
    archive("created_ms", webhook.created_ms);
    archive("next", webhook.next);
    archive("sent", webhook.sent);
    archive("missed", webhook.missed);
    archive("gone", webhook.gone);
  }
};

template <>
struct Layout<server::Notification> {
  static void visit(auto& archive, auto& notification) {
    archive("number", notification.number);
    archive("time_ms", notification.time_ms);
    archive("kind", notification.kind);
    archive("object", notification.object);
    archive("component", notification.component);
    archive("version", notification.version);
    archive("title", notification.title);
    archive("by", notification.by);
    archive("text", notification.text);
  }
};

}  // namespace segue::fleet

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 10;

// What stands before the dot of a kind.
constexpr std::array<std::string_view, 4> kFamilies = {"rollout", "host", "fleet", "webhook"};

std::string iso_time(std::uint64_t time_ms) {
  return fmt::format("{:%FT%T}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(time_ms / 1'000)),
                     time_ms % 1'000);
}

}  // namespace

bool WebhookRecord::wants(std::string_view kind) const {
  return kinds.empty() || std::ranges::any_of(kinds, [kind](const std::string& wanted) {
           return kind == wanted || (kind.starts_with(wanted) && kind[wanted.size()] == '.');
         });
}

std::string webhook_key(const std::string& name) {
  return fmt::format("{}{}", kWebhooks, name);
}
std::string outbox_key(std::uint64_t number) {
  return fmt::format("{}{:020}", kOutbox, number);
}
std::string write_record(const WebhookRecord& webhook) {
  return fleet::write_document("segue_webhook", 1, webhook);
}
std::string write_record(const Notification& notification) {
  return fleet::write_document("segue_notification", 1, notification);
}
Result<WebhookRecord> read_webhook(std::string_view bytes) {
  return fleet::read_document<WebhookRecord>("segue_webhook", 1, bytes, kMaxRecordBytes,
                                             "a webhook");
}
Result<Notification> read_notification(std::string_view bytes) {
  return fleet::read_document<Notification>("segue_notification", 1, bytes, kMaxRecordBytes,
                                            "a notification");
}

std::string webhook_signature(const std::string& secret, std::string_view id, std::uint64_t sent_s,
                              std::string_view body) {
  const auto key = base::from_base64(secret);
  return "v1," + base::to_base64(crypto::hmac_sha256(key.value_or(""),
                                                     fmt::format("{}.{}.{}", id, sent_s, body)));
}

WebhookPost webhook_post(const WebhookRecord& webhook, const Notification& notification,
                         const std::string& fleet, std::uint64_t sent_s) {
  const Json body{{"type", notification.kind},
                  {"timestamp", iso_time(notification.time_ms)},
                  {"data", Json{{"fleet", fleet},
                                {"object", notification.object},
                                {"component", notification.component},
                                {"version", notification.version},
                                {"title", notification.title},
                                {"by", notification.by},
                                {"text", notification.text}}}};
  WebhookPost post{webhook.url, body.dump(-1, ' ', false, Json::error_handler_t::replace), {}};
  const std::string id = fmt::format("msg_{}_{}", fleet, notification.number);
  post.fields = {fmt::format("webhook-id: {}", id), fmt::format("webhook-timestamp: {}", sent_s),
                 fmt::format("webhook-signature: {}",
                             webhook_signature(webhook.secret, id, sent_s, post.body))};
  return post;
}

Result<void> check_webhook_url(std::string_view url) {
  const bool is_known = url.starts_with("https://") || url.starts_with("http://");
  const bool is_plain =
      std::ranges::all_of(url, [](unsigned char c) { return c > ' ' && c < 0x7F; });
  if (is_known && is_plain && url.size() <= WebhookRecord::kMaxUrlBytes) return {};
  return fail(ErrorCode::invalid_argument,
              "'url' is not https://HOST/… (or http://…) of at most {} bytes",
              WebhookRecord::kMaxUrlBytes);
}

Result<void> check_webhook_kinds(const std::vector<std::string>& kinds) {
  for (const auto& kind : kinds) {
    const std::string_view family = std::string_view(kind).substr(0, kind.find('.'));
    const bool is_known = std::ranges::find(kFamilies, family) != kFamilies.end();
    if (is_known && kind.size() <= 60 && !kind.ends_with('.')) continue;
    return fail(ErrorCode::invalid_argument,
                "'{}' is no kind: 'rollout', 'rollout.done', 'host', 'fleet' are",
                kind.substr(0, 60));
  }
  return {};
}

}  // namespace segue::server
