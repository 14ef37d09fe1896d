// SPDX-License-Identifier: Apache-2.0
#include "relay/metadata.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/post.hpp>
#include <utility>

#include "os/files.h"
#include "relay/fields.h"

namespace segue::relay {

namespace asio = boost::asio;

using base::Result;

namespace {

constexpr std::size_t kPieceBytes = 16 * 1024;

}  // namespace

struct Metadata::Fetch {
  std::string name;
  bool is_immutable = false;
  bool is_fresh = false;
  std::vector<MetadataSource> sources;
  std::size_t next = 0;
  std::shared_ptr<UpstreamCall> call;
  std::string tag;
  std::string bytes;
  std::vector<OnAnswer> waiters;
  base::MonotonicTime until{};

  [[nodiscard]] const MetadataSource& source() const { return sources[next - 1]; }
};

Metadata::Metadata(asio::io_context& context, const os::Clock& clock, const base::Log& log,
                   Upstreams& upstreams, Cache& cache, Settings settings)
    : context_(context),
      clock_(clock),
      log_(log),
      upstreams_(upstreams),
      cache_(cache),
      settings_(std::move(settings)) {}

Metadata::~Metadata() {
  for (const auto& [name, fetch] : under_way_) {
    if (fetch->call) fetch->call->cancel();
  }
}

bool Metadata::is_current(const Known& known, bool is_immutable, bool is_fresh) const {
  const base::Duration age = clock_.monotonic_now() - known.at;
  if (is_fresh) return known.is_sure && age < settings_.max_age;
  if (known.is_absent || !is_immutable) return age < settings_.max_age;
  return known.is_sure || age < kUnsureAge;
}

Metadata::Answer Metadata::from_disk(const std::string& name) const {
  auto bytes = os::read_file(cache_.metadata_path(name), kMaxBytes);
  if (!bytes) return {.status = 502, .bytes = nullptr};
  return {.status = 200, .bytes = std::make_shared<const std::string>(*std::move(bytes))};
}

void Metadata::get(const std::string& name, bool is_immutable, bool is_fresh, OnAnswer on_answer) {
  const auto reply = [this](Answer answer, OnAnswer then) {
    asio::post(context_, [answer = std::move(answer), then = std::move(then)] { then(answer); });
  };
  const auto known = known_.find(name);
  if (known != known_.end() && is_current(known->second, is_immutable, is_fresh)) {
    if (known->second.is_absent) return reply({.status = 404, .bytes = nullptr}, on_answer);
    Answer answer = from_disk(name);
    if (answer.status == 200) return reply(std::move(answer), std::move(on_answer));
  }
  const std::pair<std::string, bool> key(name, is_fresh);
  const auto running = under_way_.find(key);
  if (running != under_way_.end()) {
    running->second->waiters.push_back(std::move(on_answer));
    return;
  }
  if (under_way_.size() >= kMaxUnderWay) {
    return reply({.status = 503, .bytes = nullptr}, std::move(on_answer));
  }
  auto fetch = std::make_shared<Fetch>();
  fetch->name = name;
  fetch->is_immutable = is_immutable;
  fetch->is_fresh = is_fresh;
  fetch->sources = settings_.sources(is_fresh);
  fetch->waiters.push_back(std::move(on_answer));
  under_way_[key] = fetch;
  ask(fetch);
}

void Metadata::ask(const std::shared_ptr<Fetch>& fetch) {
  if (fetch->next == fetch->sources.size()) {
    const Answer last = from_disk(fetch->name);
    if (last.status == 200) log_.warning("metadata.is_old", {{"name", fetch->name}});
    return finish(fetch, last);
  }
  const MetadataSource& source = fetch->sources[fetch->next++];
  UpstreamRequest request{.server = source.url,
                          .path = "/metadata/" + fetch->name,
                          .fields = {{kRelayField, settings_.relay_field}},
                          .answer_limit = kLimit};
  if (fetch->is_fresh) request.fields.emplace_back("Cache-Control", "no-cache");
  const auto known = known_.find(fetch->name);
  const bool has_last = known != known_.end() && !known->second.tag.empty() &&
                        known->second.is_sure == source.is_origin && !fetch->is_fresh;
  if (has_last) request.fields.emplace_back("If-None-Match", known->second.tag);
  fetch->until = clock_.monotonic_now() + kLimit;
  fetch->bytes.clear();
  fetch->call = upstreams_.ask(std::move(request), [this, fetch](Result<UpstreamAnswer> answer) {
    answered(fetch, std::move(answer));
  });
}

void Metadata::next_source(const std::shared_ptr<Fetch>& fetch, const std::string& why) {
  log_.info("metadata.failed",
            {{"name", fetch->name}, {"source", fetch->source().url.authority()}, {"why", why}});
  if (fetch->call) fetch->call->cancel();
  ask(fetch);
}

void Metadata::answered(const std::shared_ptr<Fetch>& fetch, Result<UpstreamAnswer> answer) {
  if (!answer) return next_source(fetch, answer.error().message());
  const unsigned status = answer->status;
  fetch->tag = answer->tag;
  if (status == 304) {
    fetch->call->finish();
    const Answer last = from_disk(fetch->name);
    if (last.status != 200) {
      known_.erase(fetch->name);
      return next_source(fetch, "what did not change is not here");
    }
    remember(*fetch, false);
    return finish(fetch, last);
  }
  if (status == 403 || status == 404 || status == 410) {
    fetch->call->finish();  // without a body the connection serves again
    remember(*fetch, true);
    return finish(fetch, {.status = 404, .bytes = nullptr});
  }
  if (status != 200) return next_source(fetch, fmt::format("status {}", status));
  if (!answer->body_bytes || *answer->body_bytes > kMaxBytes) {
    return next_source(fetch, "it is too long, or does not say how long it is");
  }
  read(fetch);
}

void Metadata::read(const std::shared_ptr<Fetch>& fetch) {
  std::array<char, kPieceBytes> piece{};
  while (true) {
    const auto got = fetch->call->read(piece.data(), piece.size());
    if (!got) return next_source(fetch, got.error().message());
    if (*got == 0) break;
    fetch->bytes.append(piece.data(), *got);
    if (fetch->source().is_origin) settings_.on_line_bytes(*got);
  }
  if (fetch->call->left_bytes() == 0) return arrived(fetch);
  const auto left = fetch->until - clock_.monotonic_now();
  if (left <= base::Duration(0)) return next_source(fetch, "it takes too long");
  fetch->call->wait_for_bytes(left, [this, fetch](bool in_time) {
    if (!in_time) return next_source(fetch, "it takes too long");
    read(fetch);
  });
}

void Metadata::arrived(const std::shared_ptr<Fetch>& fetch) {
  fetch->call->finish();
  // Without a flush: after a power failure hosts refuse what is damaged, and it is fetched again.
  const auto written = os::write_file_atomically(cache_.metadata_path(fetch->name), fetch->bytes,
                                                 0600, os::Durability::buffered);
  if (written) {
    remember(*fetch, false);
  } else {
    log_.error("cache.failed", {{"name", fetch->name}, {"error", written.error().to_string()}});
  }
  finish(fetch,
         {.status = 200, .bytes = std::make_shared<const std::string>(std::move(fetch->bytes))});
}

void Metadata::remember(const Fetch& fetch, bool is_absent) {
  if (known_.size() >= kMaxNames && !known_.contains(fetch.name)) known_.erase(known_.begin());
  known_[fetch.name] = {.is_absent = is_absent,
                        .is_sure = fetch.source().is_origin,
                        .at = clock_.monotonic_now(),
                        .tag = is_absent ? "" : fetch.tag};
}

void Metadata::finish(const std::shared_ptr<Fetch>& fetch, const Answer& answer) {
  under_way_.erase({fetch->name, fetch->is_fresh});
  fetch->call.reset();
  for (const OnAnswer& waiter : fetch->waiters) {
    asio::post(context_, [waiter, answer] { waiter(answer); });
  }
}

}  // namespace segue::relay
