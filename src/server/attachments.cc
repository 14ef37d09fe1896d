// SPDX-License-Identifier: Apache-2.0
#include "server/attachments.h"

#include <utility>

namespace segue::server {

using base::ErrorCode;
using base::fail;
using base::Result;

Attachments::Attachments(store::Scheduler& scheduler, OnSilence on_silence, OnCopy on_copy)
    : scheduler_(scheduler), on_silence_(std::move(on_silence)), on_copy_(std::move(on_copy)) {}

void Attachments::expect(const std::string& host) {
  const auto [found, is_new] = hosts_.try_emplace(host);
  if (!is_new) return;
  found->second.heard = scheduler_.now();
  found->second.silent = false;
  watch_lease(host, scheduler_.now() + kLease);
}

void Attachments::forget(const std::string& host) {
  hosts_.erase(host);
}

Result<Attachments::Way> Attachments::hello(const std::string& host, Way way, fleet::Hello hello) {
  expect(host);
  Attachment& attachment = hosts_.at(host);
  if (attachment.said_hello && attachment.hello.incarnation != hello.incarnation) {
    if (hello.incarnation == attachment.last_incarnation) {
      return fail(ErrorCode::failed_precondition,
                  "two agents say that they are {}: was its disk copied? Remove the host, and let "
                  "one of them join again under another name",
                  host);
    }
    // One that was started anew finds the line of the one before closed; a copy does not.
    if (attachment.way.session != 0 && attachment.way != way && !attachment.silent) {
      attachment.contender = hello.incarnation;
      return fail(
          ErrorCode::failed_precondition,
          "another agent is attached as {}: if its disk was copied, let this one join under "
          "another name; if it was started anew, it is let in when the one before is not "
          "heard any more",
          host);
    }
    attachment.last_incarnation = attachment.hello.incarnation;
  }
  attachment.contender.clear();
  const Way old = std::exchange(attachment.way, way);
  attachment.hello = std::move(hello);
  attachment.said_hello = true;
  heard(host, way, std::nullopt);
  return old == way ? Way{} : old;
}

void Attachments::heard(const std::string& host, Way way, std::optional<std::uint64_t> generation) {
  const auto found = hosts_.find(host);
  if (found == hosts_.end() || found->second.way != way) return;
  found->second.heard = scheduler_.now();
  if (generation) found->second.generation = *generation;
  set_silent(host, found->second, false);
  // It goes on, so the other one is no successor of it.
  const std::string contender = std::exchange(found->second.contender, "");
  if (contender.empty() || contender == found->second.told_of) return;
  found->second.told_of = contender;
  if (on_copy_) on_copy_(host);
}

void Attachments::observed(const std::string& host, fleet::ObservedHost observed) {
  const auto found = hosts_.find(host);
  if (found != hosts_.end()) found->second.observed = std::move(observed);
}

void Attachments::detached(const std::string& host, Way way) {
  const auto found = hosts_.find(host);
  if (found != hosts_.end() && found->second.way == way)
    found->second.way = {};  // the lease goes on
}

const Attachments::Attachment* Attachments::find(const std::string& host) const {
  const auto found = hosts_.find(host);
  return found == hosts_.end() ? nullptr : &found->second;
}

bool Attachments::is_silent(const std::string& host) const {
  const Attachment* attachment = find(host);
  return attachment == nullptr || attachment->silent;
}

void Attachments::set_silent(const std::string& host, Attachment& attachment, bool silent) {
  if (attachment.silent == silent) return;
  attachment.silent = silent;
  if (!silent) watch_lease(host, attachment.heard + kLease);
  on_silence_(host, silent);
}

// One timer per host that is not silent.
void Attachments::watch_lease(const std::string& host, base::MonotonicTime at) {
  scheduler_.call_at(at, [this, alive = std::weak_ptr<char>(alive_), host] {
    if (alive.expired()) return;
    const auto found = hosts_.find(host);
    if (found == hosts_.end() || found->second.silent) return;
    const base::MonotonicTime ends = found->second.heard + kLease;
    if (ends > scheduler_.now()) return watch_lease(host, ends);
    set_silent(host, found->second, true);
  });
}

}  // namespace segue::server
