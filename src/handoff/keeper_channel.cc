// SPDX-License-Identifier: Apache-2.0
#include "handoff/keeper_channel.h"

#include <unistd.h>

#include "handoff/clock.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kAbilities = kAbilityRejoin | kAbilityRelease | kAbilitySurvey;
constexpr size_t kMaxStoreBatch = kMaxFdsPerMessage;

Terms terms_of(std::string_view payload, const Terms& own) {
  Terms terms = own;
  const auto scaled = [&](uint32_t tag, uint64_t unit, uint64_t otherwise) {
    const auto field = find_field(payload, tag);
    const auto number = field ? number_of(*field) : std::nullopt;
    return number ? *number * unit : otherwise;
  };
  terms.attempt = get_number(payload, 2, 0);
  terms.nonce = std::string(get_bytes(payload, 3));
  terms.mode = static_cast<AttemptMode>(get_number(payload, 4, 1));
  terms.budget_ns = scaled(5, kMicrosecond, own.budget_ns);
  terms.max_rounds = scaled(6, 1, own.max_rounds);
  terms.max_attempts = scaled(7, 1, own.max_attempts);
  terms.background_ns = scaled(8, kMillisecond, own.background_ns);
  terms.rehearsal_ns = scaled(9, kMillisecond, own.rehearsal_ns);
  terms.answer_ns = scaled(10, kMillisecond, own.answer_ns);
  terms.probation_ns = scaled(11, kMillisecond, own.probation_ns);
  terms.hang_ns = scaled(12, kMillisecond, own.hang_ns);
  terms.vote_required = scaled(13, 1, own.vote_required ? 1 : 0) == 1;
  terms.skip_rehearsal = scaled(14, 1, own.skip_rehearsal ? 1 : 0) == 1;
  terms.successor = static_cast<OwnerName>(get_number(payload, 15, 0) & 0xFFFFFF);
  // One more than the word, as 0 is one; a word that is not known here is none.
  const uint64_t on_crash = get_number(payload, 16, 0);
  if (on_crash >= 1 && on_crash <= uint64_t{SEGUE_ON_CRASH_RESTART} + 1) {
    terms.on_crash = static_cast<segue_on_crash>(on_crash - 1);
  }
  terms.keeper_fences = get_number(payload, 17, 0) == 1;
  return terms;
}

}  // namespace

KeeperChannel::KeeperChannel(KeeperOrders& orders, UniqueFd fd)
    : orders_(orders), link_(std::move(fd)), last_heard_ns_(monotonic_ns()) {}

void KeeperChannel::send(FrameType type, std::string_view payload, std::span<const int> fds) {
  if (lost_) return;
  if (!link_.send(type, payload, fds).ok()) lost_ = true;
}

void KeeperChannel::hello(const std::string& service, const std::string& version) {
  segue_writer out;
  put_number(out, 1, kLowestProtocol);
  put_number(out, 2, kHighestProtocol);
  put_field(out, 3, service);
  put_field(out, 4, version);
  put_number(out, 5, static_cast<uint64_t>(getpid()));
  put_number(out, 6, kAbilities);
  put_field(out, 11, orders_.items());
  send(FrameType::keeper_hello, out.fields);
}

void KeeperChannel::rejoin(const std::string& service, const std::string& version,
                           const Rendezvous& rendezvous, OwnerName me, const OwnerPage& page,
                           OwnerName fence) {
  segue_writer out;
  put_number(out, 1, kLowestProtocol);
  put_number(out, 2, kHighestProtocol);
  put_field(out, 3, service);
  put_field(out, 4, version);
  put_number(out, 5, static_cast<uint64_t>(getpid()));
  put_number(out, 6, kAbilities);
  put_field(out, 7, rendezvous.nonce);
  put_number(out, 8, rendezvous.generation);
  put_number(out, 9, me);
  put_number(out, 10, orders_.connection_count());
  put_field(out, 11, orders_.items());
  if (fence != kNobody) put_number(out, 12, fence);
  const int fds[] = {page.fd(), rendezvous.lock.get()};
  send(FrameType::keeper_rejoin, out.fields, fds);
}

void KeeperChannel::on_ready() {
  if (!link_.flush().ok()) lost_ = true;
  constexpr int kMaxMessages = 16;
  for (int i = 0; i < kMaxMessages && !lost_; ++i) {
    Message message;
    switch (link_.receive(message)) {
      case Link::Got::message:
        last_heard_ns_ = monotonic_ns();
        on_message(message);
        break;
      case Link::Got::nothing:
        return;
      case Link::Got::ended:
      case Link::Got::broken:
        lost_ = true;  // the service goes on without a keeper
        return;
    }
  }
}

void KeeperChannel::on_message(Message& message) {
  const std::string_view payload = message.payload;
  if (!is_record(payload)) {
    lost_ = true;
    return;
  }
  switch (message.type) {
    case FrameType::keeper_start:
      return on_start(message);
    case FrameType::keeper_attempt:
      return on_attempt(message);
    case FrameType::keeper_commit:
      return orders_.keeper_commits(get_number(payload, 1, 0));
    case FrameType::keeper_abort:
      return orders_.keeper_aborts(get_number(payload, 1, 0), std::string(get_bytes(payload, 2)));
    case FrameType::keeper_end:
      return orders_.keeper_ends(static_cast<segue_end_reason>(get_number(payload, 1, 4)));
    case FrameType::keeper_ping: {
      segue_writer out;
      put_number(out, 1, get_number(payload, 1, 0));
      put_number(out, 2, orders_.serving() ? 1 : 0);
      put_number(out, 3, orders_.connection_count());
      if (get_number(payload, 2, 0) == 1) orders_.describe(out);
      return send(FrameType::keeper_pong, out.fields);
    }
    case FrameType::keeper_rendezvous:
      return on_rendezvous(message);
    case FrameType::keeper_survey:
      return orders_.keeper_surveys(get_number(payload, 1, 0), get_bytes(payload, 2));
    case FrameType::keeper_release:
      return orders_.keeper_releases();
    default:
      lost_ = true;
  }
}

// A malformed one costs only this: the next keeper is not found.
void KeeperChannel::on_rendezvous(Message& message) {
  if (message.fds.size() != 1) return;
  orders_.keeper_can_be_found({std::string(get_bytes(message.payload, 1)),
                               std::string(get_bytes(message.payload, 2)),
                               get_number(message.payload, 3, 0), std::move(message.fds[0])});
}

void KeeperChannel::on_start(Message& message) {
  OwnerPage page;
  if (message.fds.empty() || !OwnerPage::map(std::move(message.fds[0]), page).ok()) {
    lost_ = true;
    return;
  }
  NamedFds stored;
  std::string_view names = get_bytes(message.payload, 2);
  for (size_t i = 1; i < message.fds.size(); ++i) {
    const auto entry = take_batch_entry(names);
    if (!entry || !is_name(entry->key)) break;
    stored.put(std::string(entry->key), std::move(message.fds[i]), false);
  }
  const auto name = static_cast<OwnerName>(get_number(message.payload, 1, 0) & 0xFFFFFF);
  orders_.start_first(name, std::move(page), std::move(stored));
}

void KeeperChannel::on_attempt(Message& message) {
  OwnerPage page;
  if (message.fds.size() != 3 || !OwnerPage::map(std::move(message.fds[1]), page).ok()) {
    lost_ = true;
    return;
  }
  const auto role = static_cast<AttemptRole>(get_number(message.payload, 1, 0));
  const Terms terms = terms_of(message.payload, orders_.own_terms());
  orders_.begin_attempt(role, terms, std::move(message.fds[0]), std::move(page),
                        std::move(message.fds[2]));
}

void KeeperChannel::event(AttemptRole role, uint64_t attempt, KeeperEvent event, uint64_t number,
                          const std::string& text, uint32_t epoch) {
  segue_writer out;
  put_number(out, 1, attempt);
  put_number(out, 2, static_cast<uint64_t>(role));
  put_number(out, 3, static_cast<uint64_t>(event));
  put_field(out, 4, text);
  put_number(out, 5, number);
  put_number(out, 6, epoch);
  send(FrameType::keeper_event, out.fields);
}

void KeeperChannel::progress(AttemptRole role, uint64_t attempt, const segue_progress& progress) {
  if (link_.congested()) return;  // progress is for people; do not queue it
  segue_writer out;
  put_number(out, 1, attempt);
  put_number(out, 2, static_cast<uint64_t>(role));
  put_number(out, 3, progress.phase);
  put_number(out, 4, progress.rounds);
  put_number(out, 5, progress.attempts);
  put_number(out, 6, progress.records);
  put_number(out, 7, progress.bytes);
  put_number(out, 8, progress.fds);
  put_number(out, 9, progress.connections);
  put_number(out, 10, progress.predicted_ns);
  put_number(out, 11, progress.blackout_ns);
  put_number(out, 12, progress.frozen_max_ns);
  if (progress.replayed + progress.repaired + progress.closed_on_reclaim > 0) {
    put_number(out, 13, progress.replayed);
    put_number(out, 14, progress.repaired);
    put_number(out, 15, progress.closed_on_reclaim);
  }
  send(FrameType::keeper_progress, out.fields);
}

void KeeperChannel::fence(uint64_t attempt, OwnerName other) {
  segue_writer out;
  put_number(out, 1, attempt);
  put_number(out, 2, other);
  send(FrameType::keeper_fence, out.fields);
}

void KeeperChannel::losses(const segue_writer& found) {
  send(FrameType::keeper_losses, found.fields);
}

void KeeperChannel::store(const NamedFds& listeners) {
  std::string batch;
  std::vector<int> fds;
  const auto flush = [&] {
    if (fds.empty()) return;
    segue_writer out;
    put_field(out, 1, batch);
    send(FrameType::keeper_store, out.fields, fds);
    batch.clear();
    fds.clear();
  };
  for (const NamedFds::Entry& entry : listeners.entries) {
    append_batch_entry(batch, entry.name, {});
    fds.push_back(entry.fd.get());
    if (fds.size() == kMaxStoreBatch) flush();
  }
  flush();
}

void KeeperChannel::unstore(const std::string& name) {
  segue_writer out;
  put_field(out, 1, name);
  send(FrameType::keeper_unstore, out.fields);
}

}  // namespace segue::handoff
