// SPDX-License-Identifier: Apache-2.0
#include "agent/executor_protocol.h"

#include <algorithm>
#include <array>
#include <utility>

#include "control/name.h"
#include "fleet/component_document.h"
#include "fleet/proxy_share_layout.h"
#include "reconcile/action_layout.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using reconcile::InstanceKey;

constexpr std::size_t kMaxStaged = 1'000;

// Of a set, which documents have as a list.
struct SeenDocument {
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;
  std::vector<fleet::Revision> staged;
  fleet::Activity activity = fleet::Activity::idle;
  fleet::Health health = fleet::Health::unknown;
  std::string health_text;
  std::uint64_t health_since_ms = 0;
  std::optional<std::uint64_t> connections;
  std::uint64_t accepted = 0;
  std::uint64_t crashes = 0;
  std::uint64_t generation = 0;
};
// A specification is longer than a text may be: as lines of it.
struct KnowDocument {
  std::string component;
  fleet::Revision revision = fleet::kNoRevision;
  std::vector<std::string> spec;
};
struct LogsDocument {
  std::uint64_t request = 0;
  std::vector<std::string> document;
};
struct GiveUpDocument {
  std::uint64_t code = 0;
  std::string text;
};

}  // namespace
}  // namespace segue::agent

namespace segue::fleet {

template <>
struct Layout<reconcile::InstanceKey> {
  static void visit(auto& archive, auto& key) {
    archive("component", key.component);
    archive("slot", key.slot);
  }
};

template <>
struct Layout<agent::KnowDocument> {
  static void visit(auto& archive, auto& know) {
    archive("component", know.component);
    archive("revision", know.revision);
    archive("spec", know.spec, kMaxComponentBytes / kMaxTextBytes + 1);
  }
};

template <>
struct Layout<agent::LogsDocument> {
  static void visit(auto& archive, auto& logs) {
    archive("request", logs.request);
    archive("document", logs.document, kMaxHostDocumentBytes / kMaxTextBytes + 1);
  }
};

template <>
struct Layout<agent::ReadLogs> {
  static void visit(auto& archive, auto& order) {
    archive("key", order.key);
    archive("request", order.request);
    archive("from", order.from);
    archive("lines", order.lines);
  }
};

template <>
struct Layout<agent::GiveUpDocument> {
  static void visit(auto& archive, auto& give_up) {
    archive("code", give_up.code);
    archive("text", give_up.text);
  }
};

template <>
struct Layout<agent::Watch> {
  static void visit(auto& archive, auto& watch) { archive("key", watch.key); }
};

// Stage, Restore, CheckHealth
template <class T>
  requires std::same_as<T, reconcile::Stage> || std::same_as<T, reconcile::Restore> ||
           std::same_as<T, reconcile::CheckHealth>
struct Layout<T> {
  static void visit(auto& archive, auto& order) {
    archive("key", order.key);
    archive("revision", order.revision);
  }
};

// Act, LookUp
template <class T>
  requires std::same_as<T, reconcile::Act> || std::same_as<T, reconcile::LookUp>
struct Layout<T> {
  static void visit(auto& archive, auto& order) {
    archive("key", order.key);
    archive("intent", order.intent);
  }
};

template <>
struct Layout<reconcile::SetShare> {
  static void visit(auto& archive, auto& order) {
    archive("key", order.key);
    archive("share_ppm", order.share_ppm);
    archive("share_salt", order.share_salt);
    archive("revision", order.revision);
  }
};

template <>
struct Layout<agent::SeenDocument> {
  static void visit(auto& archive, auto& seen) {
    archive("key", seen.key);
    archive("revision", seen.revision);
    archive("staged", seen.staged, agent::kMaxStaged);
    archive("activity", seen.activity);
    archive("health", seen.health);
    archive("health_text", seen.health_text);
    archive("health_since_ms", seen.health_since_ms);
    archive("connections", seen.connections);
    archive("accepted", seen.accepted);
    archive("crashes", seen.crashes);
    archive("generation", seen.generation);
  }
};

template <>
struct Layout<reconcile::StageEnded> {
  static void visit(auto& archive, auto& ended) {
    archive("key", ended.key);
    archive("revision", ended.revision);
    archive("good", ended.good);
    archive("text", ended.text);
  }
};

template <>
struct Layout<reconcile::ActionEnded> {
  static void visit(auto& archive, auto& ended) {
    archive("key", ended.key);
    archive("order", ended.order);
    archive("result", ended.result);
    archive("text", ended.text);
    archive("handoff", ended.handoff);
  }
};

template <>
struct Layout<reconcile::LookedUp> {
  static void visit(auto& archive, auto& ended) {
    archive("key", ended.key);
    archive("order", ended.order);
    archive("result", ended.result);
    archive("text", ended.text);
    archive("handoff", ended.handoff);
    archive("revision", ended.revision);
  }
};

template <>
struct Layout<reconcile::ShareEnded> {
  static void visit(auto& archive, auto& ended) {
    archive("key", ended.key);
    archive("share_ppm", ended.share_ppm);
    archive("good", ended.good);
    archive("text", ended.text);
  }
};

template <>
struct Layout<reconcile::KeepShare> {
  static void visit(auto& archive, auto& order) {
    archive("component", order.component);
    archive("share", order.share);
  }
};

template <>
struct Layout<reconcile::ShareKept> {
  static void visit(auto& archive, auto& kept) {
    archive("component", kept.component);
    archive("seen", kept.seen);
  }
};

}  // namespace segue::fleet

namespace segue::agent {
namespace {

constexpr const char* kKind = "kind";
constexpr const char* kWhat = "a message between the halves of the agent";

template <class T>
std::string write(std::string_view kind, const T& value) {
  tuf::Json json = fleet::LayoutWriter::of(value);
  json[kKind] = kind;
  return json.dump(-1, ' ', false, tuf::Json::error_handler_t::replace);
}

std::string cut(std::string text) {
  text.resize(std::min(text.size(), fleet::kMaxTextBytes / 4));  // a byte may become three
  return text;
}

// Without its code, which stands beside it.
std::string text_of(const base::Error& error) {
  std::string text;
  for (auto context = error.context().rbegin(); context != error.context().rend(); ++context) {
    text += *context + ": ";
  }
  return text + error.message();
}

struct Kinded {
  std::string kind;
  tuf::Json rest;
};

Result<Kinded> parse(std::string_view message) {
  SEGUE_ASSIGN(tuf::Json json, tuf::parse_json(message));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), kWhat));
  SEGUE_ASSIGN(std::string kind, fields.string(kKind));
  return Kinded{std::move(kind), std::move(fields).rest()};
}

Result<void> check(const InstanceKey& key) {
  const auto checked = control::check_name(key.component);
  if (checked) return {};
  return fail(ErrorCode::data_loss, "{}: {}", kWhat, checked.error().message());
}

// Every order and answer but these names an instance.
template <class T>
Result<T> read_keyed(tuf::Json json) {
  SEGUE_ASSIGN(auto value, fleet::LayoutReader::read<T>(std::move(json), kWhat));
  SEGUE_TRY(check(value.key));
  return value;
}

std::vector<std::string> pieces_of(std::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    std::size_t length = std::min(text.size(), fleet::kMaxTextBytes);
    // Not in the middle of a character of UTF-8.
    while (length < text.size() && length > 1 && (text[length] & 0xC0) == 0x80) --length;
    pieces.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return pieces;
}

std::string together(const std::vector<std::string>& pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece;
  return text;
}

Result<Order> read_know(tuf::Json json) {
  SEGUE_ASSIGN(const auto document,
               fleet::LayoutReader::read<KnowDocument>(std::move(json), kWhat));
  SEGUE_ASSIGN(auto spec, fleet::read_component(together(document.spec)));
  SEGUE_TRY(check({.component = document.component}));
  if (spec.name != document.component) {
    return fail(ErrorCode::data_loss, "a specification of {} says that it is of {}",
                document.component, spec.name);
  }
  return Know{document.component, document.revision, std::move(spec)};
}

Result<Order> read_give_up(tuf::Json json) {
  SEGUE_ASSIGN(const auto document,
               fleet::LayoutReader::read<GiveUpDocument>(std::move(json), kWhat));
  const bool is_code = document.code <= static_cast<std::uint64_t>(ErrorCode::unknown_outcome);
  return GiveUp{
      {is_code ? static_cast<ErrorCode>(document.code) : ErrorCode::internal, document.text}};
}

template <class T>
Result<Order> read_one_order(tuf::Json json) {
  SEGUE_ASSIGN(auto value, read_keyed<T>(std::move(json)));
  return Order(std::move(value));
}

template <class T>
Result<OrderAnswer> read_one_answer(tuf::Json json) {
  SEGUE_ASSIGN(auto value, read_keyed<T>(std::move(json)));
  return OrderAnswer(reconcile::Event(std::move(value)));
}

Result<OrderAnswer> read_logs_read(tuf::Json json) {
  SEGUE_ASSIGN(const auto document,
               fleet::LayoutReader::read<LogsDocument>(std::move(json), kWhat));
  return OrderAnswer(LogsRead{document.request, together(document.document)});
}

Result<OrderAnswer> read_seen(tuf::Json json) {
  SEGUE_ASSIGN(auto document, read_keyed<SeenDocument>(std::move(json)));
  return OrderAnswer(
      reconcile::Event(reconcile::Seen{.key = std::move(document.key),
                                       .revision = document.revision,
                                       .staged = {document.staged.begin(), document.staged.end()},
                                       .activity = document.activity,
                                       .health = document.health,
                                       .health_text = std::move(document.health_text),
                                       .health_since_ms = document.health_since_ms,
                                       .connections = document.connections,
                                       .accepted = document.accepted,
                                       .crashes = document.crashes,
                                       .generation = document.generation}));
}

Result<Order> read_keep_share(tuf::Json json) {
  SEGUE_ASSIGN(auto order, fleet::LayoutReader::read<reconcile::KeepShare>(std::move(json), kWhat));
  SEGUE_TRY(fleet::check_share(order.component, order.share));
  return Order(std::move(order));
}

Result<OrderAnswer> read_share_kept(tuf::Json json) {
  SEGUE_ASSIGN(auto kept, fleet::LayoutReader::read<reconcile::ShareKept>(std::move(json), kWhat));
  SEGUE_TRY(check({.component = kept.component}));
  return OrderAnswer(reconcile::Event(std::move(kept)));
}

struct OrderKind {
  std::string_view word;
  Result<Order> (*read)(tuf::Json json);
};
constexpr std::array<OrderKind, std::variant_size_v<Order>> kOrders{{
    {"know", read_know},
    {"watch", read_one_order<Watch>},
    {"give-up", read_give_up},
    {"stage", read_one_order<reconcile::Stage>},
    {"act", read_one_order<reconcile::Act>},
    {"restore", read_one_order<reconcile::Restore>},
    {"look-up", read_one_order<reconcile::LookUp>},
    {"set-share", read_one_order<reconcile::SetShare>},
    {"check-health", read_one_order<reconcile::CheckHealth>},
    {"keep-share", read_keep_share},
    {"read-logs", read_one_order<ReadLogs>},
}};

struct AnswerKind {
  std::string_view word;
  Result<OrderAnswer> (*read)(tuf::Json json);
};
constexpr std::array<AnswerKind, 7> kAnswers{{
    {"seen", read_seen},
    {"stage-ended", read_one_answer<reconcile::StageEnded>},
    {"action-ended", read_one_answer<reconcile::ActionEnded>},
    {"looked-up", read_one_answer<reconcile::LookedUp>},
    {"share-ended", read_one_answer<reconcile::ShareEnded>},
    {"logs-read", read_logs_read},
    {"share-kept", read_share_kept},
}};

std::string write_event(const reconcile::Event& event) {
  return std::visit(
      []<class T>(T one) -> std::string {
        if constexpr (std::same_as<T, reconcile::Seen>) {
          SeenDocument document{one.key,
                                one.revision,
                                {one.staged.begin(), one.staged.end()},
                                one.activity,
                                one.health,
                                cut(one.health_text),
                                one.health_since_ms,
                                one.connections,
                                one.accepted,
                                one.crashes,
                                one.generation};
          if (document.staged.size() > kMaxStaged) document.staged.resize(kMaxStaged);
          return write("seen", document);
        } else if constexpr (std::same_as<T, reconcile::ShareKept>) {
          one.seen.text = cut(std::move(one.seen.text));
          return write("share-kept", one);
        } else if constexpr (requires { one.text; }) {
          one.text = cut(one.text);
          constexpr std::string_view kWord = std::same_as<T, reconcile::StageEnded> ? "stage-ended"
                                             : std::same_as<T, reconcile::ActionEnded>
                                                 ? "action-ended"
                                             : std::same_as<T, reconcile::LookedUp> ? "looked-up"
                                                                                    : "share-ended";
          return write(kWord, one);
        } else {
          return {};
        }
      },
      event);
}

}  // namespace

std::string write_order(const Order& order) {
  const std::string_view word = kOrders[order.index()].word;
  return std::visit(
      [word]<class T>(const T& one) {
        if constexpr (std::same_as<T, Know>) {
          return write(word, KnowDocument{one.component, one.revision,
                                          pieces_of(fleet::write_component(one.spec))});
        } else if constexpr (std::same_as<T, GiveUp>) {
          return write(word, GiveUpDocument{static_cast<std::uint64_t>(one.why.code()),
                                            cut(text_of(one.why))});
        } else {
          return write(word, one);
        }
      },
      order);
}

Result<Order> read_order(std::string_view message) {
  SEGUE_ASSIGN(Kinded parsed, parse(message));
  for (const auto& [word, read] : kOrders) {
    if (word == parsed.kind) return read(std::move(parsed.rest));
  }
  return fail(ErrorCode::data_loss, "an order of no known kind");
}

std::string write_answer(const OrderAnswer& answer) {
  if (const auto* logs = std::get_if<LogsRead>(&answer)) {
    return write("logs-read", LogsDocument{logs->request, pieces_of(logs->document)});
  }
  return write_event(std::get<reconcile::Event>(answer));
}

Result<OrderAnswer> read_answer(std::string_view message) {
  SEGUE_ASSIGN(Kinded parsed, parse(message));
  for (const auto& [word, read] : kAnswers) {
    if (word == parsed.kind) return read(std::move(parsed.rest));
  }
  return fail(ErrorCode::data_loss, "an answer of no known kind");
}

}  // namespace segue::agent
