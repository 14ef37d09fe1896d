// SPDX-License-Identifier: Apache-2.0
#include "relay/site.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace segue::relay {
namespace {

constexpr base::Duration kQuestionLimit = std::chrono::milliseconds(2'500);
constexpr std::size_t kPieceBytes = 16 * 1024;

std::size_t index_of(const std::vector<Member>& members, const std::string& name) {
  const auto found = std::ranges::find(members, name, &Member::name);
  return static_cast<std::size_t>(found - members.begin());
}

}  // namespace

Site::Site(boost::asio::io_context& context, const os::Clock& clock, const base::Log& log,
           Upstreams& upstreams, Settings settings)
    : context_(context),
      clock_(clock),
      log_(log),
      upstreams_(upstreams),
      settings_(std::move(settings)),
      self_(index_of(settings_.members, settings_.name)),
      election_(self_, settings_.members.size(), clock.monotonic_now()),
      peers_(settings_.members.size()) {
  last_view_ = view();
}

Site::~Site() {
  for (const Peer& peer : peers_) {
    if (peer.question && peer.question->call) peer.question->call->cancel();
  }
}

void Site::tick(bool is_busy, bool is_able) {
  election_.set_busy(is_busy);
  election_.set_able(is_able);
  for (std::size_t member = 0; member < peers_.size(); ++member) {
    if (member != self_ && !peers_[member].question) ask(member);
  }
  review();
}

void Site::ask(std::size_t member) {
  auto question = std::make_unique<Question>();
  question->until = clock_.monotonic_now() + kQuestionLimit;
  UpstreamRequest request{.server = settings_.members[member].url,
                          .path = "/relay/state",
                          .fields = {{"Segue-Relay", settings_.site + "/" + settings_.name}},
                          .connect_limit = kQuestionLimit,
                          .answer_limit = kQuestionLimit};
  question->call = upstreams_.ask(
      std::move(request),
      [this, member](const base::Result<UpstreamAnswer>& answer) { answered(member, answer); });
  peers_[member].question = std::move(question);
}

void Site::answered(std::size_t member, const base::Result<UpstreamAnswer>& answer) {
  if (!answer) {
    return failed(member, answer.error().code() == base::ErrorCode::failed_precondition);
  }
  if (answer->status != 200 || answer->body_bytes.value_or(UINT64_MAX) > kMaxStateBytes) {
    return failed(member, false);
  }
  read(member);
}

void Site::read(std::size_t member) {
  Question& question = *peers_[member].question;
  std::array<char, kPieceBytes> piece{};
  while (true) {
    const auto got = question.call->read(piece.data(), piece.size());
    if (!got) return failed(member, false);
    if (*got == 0) break;
    question.bytes.append(piece.data(), *got);
  }
  if (question.call->left_bytes() == 0) return arrived(member);
  const auto left = question.until - clock_.monotonic_now();
  if (left <= base::Duration(0)) return failed(member, false);
  question.call->wait_for_bytes(left, [this, member](bool in_time) {
    if (!in_time) return failed(member, false);
    read(member);
  });
}

void Site::arrived(std::size_t member) {
  const auto question = std::move(peers_[member].question);
  question->call->finish();
  auto state = read_state(question->bytes);
  if (!state || state->site != settings_.site || state->name != settings_.members[member].name) {
    log_.warning("member.is_another", {{"member", settings_.members[member].name},
                                       {"url", settings_.members[member].url.authority()}});
    return;
  }
  election_.answered(member, {state->leads, state->is_busy, state->is_able},
                     clock_.monotonic_now());
  peers_[member].state = *std::move(state);
  review();
  settings_.on_states();
}

void Site::failed(std::size_t member, bool is_refused) {
  const auto question = std::move(peers_[member].question);
  question->call->cancel();
  if (is_refused) election_.refused(member);
  review();
}

void Site::distrust(std::size_t member, const std::string& why) {
  log_.warning("member.distrusted", {{"member", settings_.members[member].name}, {"why", why}});
  election_.distrust(member, clock_.monotonic_now());
  review();
}

SiteView Site::view() const {
  const auto now = clock_.monotonic_now();
  const auto leader = election_.leader(now);
  SiteView view{.is_settled = leader.has_value(), .leads = leader == self_};
  view.leader = leader.value_or(self_);
  for (std::size_t member = 0; member < settings_.members.size(); ++member) {
    if (member != self_ && election_.is_alive(member, now) && election_.is_trusted(member, now)) {
      view.others.push_back(member);
    }
  }
  return view;
}

void Site::review() {
  SiteView now = view();
  if (now == last_view_) return;
  if (now.is_settled != last_view_.is_settled || now.leader != last_view_.leader) {
    log_.info("site.leader", {{"leader", leader_name()}, {"alive", now.others.size() + 1}});
  }
  last_view_ = std::move(now);
  settings_.on_changed();
}

std::string Site::leader_name() const {
  const auto leader = election_.leader(clock_.monotonic_now());
  return leader ? settings_.members[*leader].name : "";
}

std::vector<MemberState> Site::member_states() const {
  const auto now = clock_.monotonic_now();
  std::vector<MemberState> all;
  for (std::size_t member = 0; member < settings_.members.size(); ++member) {
    const Member& known = settings_.members[member];
    MemberState state{.name = known.name,
                      .url = "http://" + known.url.authority() + known.url.path};
    state.is_alive = election_.is_alive(member, now);
    state.is_trusted = election_.is_trusted(member, now);
    if (const auto seen = election_.last_seen(member)) {
      state.seen_s_ago = std::chrono::duration<double>(now - *seen).count();
    }
    if (peers_[member].state) state.line = peers_[member].state->line;
    all.push_back(std::move(state));
  }
  return all;
}

bool Site::is_working(std::size_t member, const std::string& object,
                      std::uint64_t held_bytes) const {
  const auto& state = peers_[member].state;
  if (!state || !election_.is_alive(member, clock_.monotonic_now())) return true;
  const auto found = std::ranges::find(state->transfers, object, &TransferState::object);
  return found != state->transfers.end() && found->bytes <= held_bytes + 1;
}

std::vector<const RelayState*> Site::states() const {
  const auto now = clock_.monotonic_now();
  std::vector<const RelayState*> all;
  for (std::size_t member = 0; member < peers_.size(); ++member) {
    if (member == self_ || !peers_[member].state || !election_.is_alive(member, now)) continue;
    all.push_back(&*peers_[member].state);
  }
  return all;
}

}  // namespace segue::relay
