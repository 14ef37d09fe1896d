// SPDX-License-Identifier: Apache-2.0
#include "runtime/conversation.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace segue::runtime {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kFirstGood = 200;
constexpr int kLastGood = 299;
constexpr int kNotModified = 304;  // it is so already

// What to do about an engine that is not reached.
std::string_view hint(ErrorCode code) {
  switch (code) {
    case ErrorCode::unavailable:
      return "start the engine (systemctl start docker.socket or podman.socket), or name the "
             "socket "
             "that it listens on";
    case ErrorCode::permission_denied:
      return "run as root, or as a member of the group that owns the socket";
    case ErrorCode::unknown_outcome:
      return "look at the container's state before it is tried again";
    default:
      return {};
  }
}

}  // namespace

std::string EngineLine::place() const {
  const std::string_view name = version ? to_string(version->kind) : "the container engine";
  return fmt::format("{} at {}", name, options.socket_path);
}

Conversation::~Conversation() {
  if (timer_) line_->loop.cancel(*timer_);
}

Error Conversation::explained(const Question& question, Error error) const {
  const std::string context =
      question.object.empty()
          ? fmt::format("cannot {} {}", question.verb, line_->place())
          : fmt::format("cannot {} {} with {}", question.verb, question.object, line_->place());
  return std::move(error).with(context);
}

void Conversation::ask(ApiRequest request, OnApiAnswer on_answer, OnBody on_body, OnSent on_sent) {
  if (line_->version) {
    return send(std::move(request), std::move(on_answer), std::move(on_body), std::move(on_sent));
  }
  // A function has to be copyable, and an archive is not.
  auto waiting = std::make_shared<ApiRequest>(std::move(request));
  ask_version([this, waiting, on_answer = std::move(on_answer), on_body = std::move(on_body),
               on_sent = std::move(on_sent)](Result<EngineVersion> version) {
    if (!version)
      return on_answer(fail(std::move(version).error().with(
          fmt::format("cannot {} {}", waiting->question.verb, waiting->question.object))));
    send(std::move(*waiting), on_answer, on_body, on_sent);
  });
}

void Conversation::ask_version(OnAnswer<EngineVersion> on_answer) {
  line_->version.reset();
  const Question question{.verb = "ask", .object = ""};
  http::Request request{.url = "http://engine/_ping", .unix_socket = line_->options.socket_path};
  request.limits = {.connect = line_->options.connect_limit,
                    .total = line_->options.answer_limit,
                    .answer_bytes = line_->options.answer_bytes};
  http::Handlers handlers;
  handlers.on_end = [this, question,
                     on_answer = std::move(on_answer)](Result<http::Answer> answer) {
    if (!answer) {
      auto error = std::move(answer).error();
      return on_answer(fail(explained(
          question,
          Error(error.code(), fmt::format("{}; {}", error.message(), hint(error.code()))))));
    }
    if (answer->status != kFirstGood) {
      return on_answer(fail(explained(question, refusal(question, answer->status, answer->body))));
    }
    auto version = parse_ping(answer->fields);
    if (!version) return on_answer(fail(explained(question, std::move(version).error())));
    line_->version = *version;
    on_answer(std::move(version));
  };
  exchange_ = line_->client->start(std::move(request), std::move(handlers));
}

void Conversation::send(ApiRequest request, OnApiAnswer on_answer, OnBody on_body, OnSent on_sent) {
  if (request.body_for) request.body = request.body_for(line_->version->kind);
  http::Request sent{
      .method = std::move(request.method),
      .url = fmt::format("http://engine/v{}{}", line_->version->api_version, request.path),
      .unix_socket = line_->options.socket_path,
      .fields = std::move(request.fields),
      .body = std::move(request.body),
      .body_source = std::move(request.archive),
      .changes_nothing = request.changes_nothing};
  sent.fields.emplace_back(sent.body_source ? "Content-Type: application/x-tar"
                                            : "Content-Type: application/json");
  sent.limits = {.connect = line_->options.connect_limit,
                 .total = request.limit,
                 .answer_bytes = line_->options.answer_bytes};
  http::Handlers handlers;
  handlers.on_body = std::move(on_body);
  handlers.on_sent = std::move(on_sent);
  handlers.on_end = [this, question = std::move(request.question),
                     on_answer = std::move(on_answer)](Result<http::Answer> answer) {
    if (!answer) {
      auto error = std::move(answer).error();
      if (error.code() == ErrorCode::unavailable) line_->version.reset();  // it may be another soon
      const std::string_view what_next = hint(error.code());
      if (!what_next.empty()) {
        error = Error(error.code(), fmt::format("{}; {}", error.message(), what_next));
      }
      return on_answer(fail(explained(question, std::move(error))));
    }
    const bool is_good = (answer->status >= kFirstGood && answer->status <= kLastGood) ||
                         answer->status == kNotModified;
    if (is_good) return on_answer(std::move(answer));
    if (answer->status == 400) line_->version.reset();  // perhaps it does not speak it any more
    on_answer(fail(explained(question, refusal(question, answer->status, answer->body))));
  };
  exchange_ = line_->client->start(std::move(sent), std::move(handlers));
}

void Conversation::refuse(const Question& question, Error error, OnApiAnswer on_answer) {
  http::Handlers handlers;
  handlers.on_end = [on_answer = std::move(on_answer)](Result<http::Answer> answer) {
    on_answer(std::move(answer));
  };
  exchange_ = line_->client->refuse(explained(question, std::move(error)), std::move(handlers));
}

void Conversation::pause(base::Duration duration, std::function<void()> on_time) {
  auto timer = line_->loop.call_at(line_->clock.monotonic_now() + duration,
                                   [this, on_time = std::move(on_time)] {
                                     timer_.reset();
                                     on_time();
                                   });
  if (timer) {
    timer_ = *timer;
    return;
  }
  refuse({.verb = "wait for"}, std::move(timer).error(),
         [on_time](const Result<http::Answer>&) { on_time(); });
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
    if (is_plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string label_filters(const Labels& labels, std::string_view type) {
  nlohmann::json filters = nlohmann::json::object();
  for (const auto& [name, value] : labels)
    filters["label"].push_back(value.empty() ? name : name + "=" + value);
  if (!type.empty()) filters["type"] = nlohmann::json::array({std::string(type)});
  return percent_encoded(filters.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

std::string time_text(base::RealTime time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  return fmt::format("{}.{:09}", seconds.count(), (since - seconds).count());
}

}  // namespace segue::runtime
