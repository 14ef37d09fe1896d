// SPDX-License-Identifier: Apache-2.0
// Webhooks that tell others what happens here, after https://www.standardwebhooks.com (version 1).
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::server {

// Who is told.
struct WebhookRecord {
  static constexpr std::size_t kMaxKinds = 50;
  static constexpr std::size_t kMaxUrlBytes = 1'000;
  static constexpr std::size_t kSecretBytes = 32;

  std::string name;
  std::string url;
  std::string secret;  // base64 of its bytes: "whsec_" stands before it for people
  std::vector<std::string>
      kinds;  // "rollout.done", or "rollout" for all of them; empty: every kind
  std::string by;
  std::uint64_t created_ms = 0;
  std::uint64_t next = 1;  // the first notification that it has neither taken nor missed
  std::uint64_t sent = 0;  // so far, and were taken
  std::uint64_t missed = 0;
  bool gone = false;  // it has answered that it wants nothing more (410)

  [[nodiscard]] bool wants(std::string_view kind) const;
  bool operator==(const WebhookRecord&) const = default;
};

// What they are told, kept until all have taken it.
struct Notification {
  std::uint64_t number = 0;
  std::uint64_t time_ms = 0;
  std::string kind;       // "rollout.done"
  std::string object;     // "chat-7", "berlin-1"
  std::string component;  // of a rollout
  std::string version;    // … that it leads to
  std::string title;      // …
  std::string by;
  std::string text;

  bool operator==(const Notification&) const = default;
};

inline constexpr std::string_view kWebhooks = "webhooks/";
inline constexpr std::string_view kOutbox = "outbox/";
std::string webhook_key(const std::string& name);
std::string outbox_key(std::uint64_t number);
std::string write_record(const WebhookRecord& webhook);
std::string write_record(const Notification& notification);
base::Result<WebhookRecord> read_webhook(std::string_view bytes);
base::Result<Notification> read_notification(std::string_view bytes);

// One POST.
struct WebhookPost {
  std::string url;
  std::string body;
  std::vector<std::string> fields;  // of the header: "webhook-id: …"
};
// `sent_s`: of this attempt, in seconds of 1970. All attempts have one id, so that who gets two of
// them can tell.
WebhookPost webhook_post(const WebhookRecord& webhook, const Notification& notification,
                         const std::string& fleet, std::uint64_t sent_s);

// "v1,…" over the id, the time and the body.
std::string webhook_signature(const std::string& secret, std::string_view id, std::uint64_t sent_s,
                              std::string_view body);

// invalid_argument: not http:// or https://, too long, or nothing that a kind may be.
base::Result<void> check_webhook_url(std::string_view url);
base::Result<void> check_webhook_kinds(const std::vector<std::string>& kinds);

}  // namespace segue::server
