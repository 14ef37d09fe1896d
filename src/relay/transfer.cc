// SPDX-License-Identifier: Apache-2.0
#include "relay/transfer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "delta/bytes.h"
#include "relay/fields.h"

namespace segue::relay {

namespace asio = boost::asio;

using base::Result;

namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::size_t kHashBytes = 1024 * 1024;  // at once, so that nobody waits long for it
constexpr base::Duration kQuestionLimit = std::chrono::seconds(1);
// The line's own buffers never hold more than half a second of it: what is paused, or cut off,
// comes twice.
constexpr std::uint64_t kMinWindowBytes = 16 * 1024;
constexpr std::uint64_t kMaxWindowBytes = 4 * 1024 * 1024;

std::uint32_t window_for(std::optional<std::uint64_t> rate) {
  if (!rate) return 0;
  return static_cast<std::uint32_t>(std::clamp(*rate / 2, kMinWindowBytes, kMaxWindowBytes));
}

}  // namespace

Transfer::Transfer(const TransferParts& parts, std::string digest, std::uint64_t number)
    : parts_(parts),
      digest_(std::move(digest)),
      number_(number),
      timer_(parts.context),
      buffer_(kPieceBytes) {}

Transfer::~Transfer() {
  stop_source();
}

std::string Transfer::path() const {
  return fmt::format("/objects/{}/{}", digest_.substr(0, 2), digest_);
}

bool Transfer::is_soon_back_at_line() const {
  return is_pausing_ && is_after_line_ && pause_ < FetchDecider::kMaxWait;
}

bool Transfer::is_from_line() const {
  return source_ && source_->kind == Source::Kind::origin;
}

std::string Transfer::name_of(const Source& source) const {
  return source.kind == Source::Kind::origin ? "origin" : parts_.members[source.member].name;
}

void Transfer::begin(std::optional<Cache::Held> held) {
  unwanted_since_ = parts_.clock.monotonic_now();
  if (held) {
    file_ = held->file;
    held_bytes_ = held->bytes;
    if (held->is_whole) total_bytes_ = held->bytes;
  } else if (auto begun = parts_.cache.begin(digest_)) {
    file_ = begun->file;
  } else {
    return fail_cache(begun.error().to_string());
  }
  parts_.cache.use(digest_);
  decider_.emplace(held_bytes_);
  if (held_bytes_ > 0) hash_more();
  if (total_bytes_) return act(Check{});
  go_on();
}

void Transfer::go_on() {
  asio::post(parts_.context, [self = shared_from_this(), turn = ++turn_] {
    if (self->state_ != State::under_way || self->turn_ != turn) return;
    self->act(self->decider_->next(self->parts_.view(), self->held_bytes_));
  });
}

void Transfer::act(const FetchCommand& command) {
  if (decider_->blamed()) {
    const Source source = *decider_->blamed();
    parts_.log.warning("source.is_wrong", {{"object", digest_}, {"source", name_of(source)}});
    parts_.on_blamed(source, "it did not give " + digest_);
  }
  std::visit([this](const auto& typed) { do_command(typed); }, command);
}

// ---- Where from

void Transfer::do_command(const AskMembers& /*command*/) {
  struct Answers {
    std::size_t left = 0;
    std::vector<Kept> kept;
  };
  const auto answers = std::make_shared<Answers>();
  const SiteView view = parts_.view();
  answers->left = view.others.size();
  if (view.others.empty()) return act(decider_->on_kept({}, held_bytes_));
  const std::uint64_t turn = ++turn_;
  questions_.clear();
  for (const std::size_t member : view.others) {
    UpstreamRequest request{.server = parts_.members[member].url,
                            .path = path(),
                            .is_head = true,
                            .fields = {{kOnlyKeptField, "1"}, {kRelayField, parts_.relay_field}},
                            .connect_limit = kQuestionLimit,
                            .answer_limit = kQuestionLimit};
    questions_.push_back(parts_.upstreams.ask(
        std::move(request),
        [weak = weak_from_this(), answers, member, turn](const Result<UpstreamAnswer>& answer) {
          const auto self = weak.lock();
          if (!self || self->turn_ != turn || self->state_ != State::under_way) return;
          if (answer && answer->status == 200 && answer->kept_bytes) {
            answers->kept.push_back({member, *answer->kept_bytes});
          }
          if (--answers->left > 0) return;
          for (const auto& question : self->questions_) question->finish();
          self->questions_.clear();
          self->act(self->decider_->on_kept(answers->kept, self->held_bytes_));
        }));
  }
}

void Transfer::do_command(const FetchFrom& command) {
  source_ = command.source;
  got_bytes_ = 0;
  if (!is_from_line()) return request();
  parts_.line.enter(digest_, go_live(), number_, [weak = weak_from_this(), turn = ++turn_] {
    const auto self = weak.lock();
    if (self && self->turn_ == turn && self->state_ == State::under_way) self->request();
  });
}

void Transfer::request() {
  UpstreamRequest request{
      .server = is_from_line() ? parts_.origin : parts_.members[source_->member].url,
      .path = path(),
      .first_byte = held_bytes_,
      .fields = {{kRelayField, parts_.relay_field}}};
  const GoLive at = is_from_line() ? go_live() : own_go_live();
  if (at) request.fields.emplace_back(kGoLiveField, std::to_string(*at));
  if (source_->kind == Source::Kind::leader) request.answer_limit = kLeaderStall;
  if (source_->kind == Source::Kind::kept_by_member) {
    request.fields.emplace_back(kOnlyKeptField, "1");
  }
  if (source_->kind == Source::Kind::leader) look_at_leader();
  if (is_from_line()) request.window_bytes = window_for(parts_.line.rate());
  call_ = parts_.upstreams.ask(
      std::move(request), [weak = weak_from_this(), turn = ++turn_](Result<UpstreamAnswer> answer) {
        const auto self = weak.lock();
        if (self && self->turn_ == turn && self->state_ == State::under_way) {
          self->answered(std::move(answer));
        }
      });
}

FetchEnd Transfer::judge(const UpstreamAnswer& answer, bool& has_body) {
  has_body = false;
  switch (answer.status) {
    case 200:
      if (held_bytes_ > 0) return FetchEnd::no_range;
      break;
    case 206:
      if (answer.first_byte != held_bytes_) return FetchEnd::no_range;
      break;
    case 403:
    case 404:
    case 410:
      return FetchEnd::absent;
    case 416:
      return answer.total_bytes == held_bytes_ && held_bytes_ > 0 ? FetchEnd::whole
                                                                  : FetchEnd::no_range;
    case 421:
      return FetchEnd::not_leader;
    default:
      // What stands between us and the server may answer in its place, for a while.
      return answer.status >= 300 ? FetchEnd::broken : FetchEnd::wrong;
  }
  if (!answer.body_bytes) return FetchEnd::wrong;
  const std::uint64_t max = parts_.max_object_bytes;
  if (answer.total_bytes.value_or(0) > max || *answer.body_bytes > max - held_bytes_) {
    return FetchEnd::wrong;
  }
  // They do not agree; nobody knows who is right.
  if (answer.total_bytes && total_bytes_ && answer.total_bytes != total_bytes_) {
    return FetchEnd::no_range;
  }
  has_body = true;
  return FetchEnd::whole;
}

void Transfer::answered(Result<UpstreamAnswer> answer) {
  if (!answer) return ended(FetchEnd::broken, answer.error().message());
  bool has_body = false;
  const FetchEnd end = judge(*answer, has_body);
  if (!has_body) {
    if (end == FetchEnd::whole) total_bytes_ = held_bytes_;
    const bool is_namesake = is_from_line() && end == FetchEnd::not_leader;
    return ended(end, fmt::format("status {}{}", answer->status,
                                  is_namesake ? ": its relays need another --site than ours" : ""));
  }
  if (answer->total_bytes) {
    total_bytes_ = answer->total_bytes;
    tell();
  }
  read_more();
}

void Transfer::read_more() {
  if (call_->left_bytes() == 0) {
    call_->finish();
    const bool is_whole = total_bytes_ && held_bytes_ == *total_bytes_;
    return ended(is_whole ? FetchEnd::whole : FetchEnd::broken, "it has no more of it");
  }
  base::Duration stall = kMemberStall;
  if (is_from_line()) stall = kLineStall;
  if (source_->kind == Source::Kind::leader) stall = kLeaderStall;
  call_->wait_for_bytes(stall, [weak = weak_from_this(), turn = turn_](bool in_time) {
    const auto self = weak.lock();
    if (!self || self->turn_ != turn || self->state_ != State::under_way) return;
    if (!in_time) return self->ended(FetchEnd::broken, "nothing came for too long");
    if (!self->is_from_line()) return self->read(kPieceBytes);
    const std::uint64_t wanted = std::min<std::uint64_t>(kPieceBytes, self->call_->left_bytes());
    self->parts_.line.take(self->digest_, wanted, [weak, turn](std::uint64_t given) {
      const auto same = weak.lock();
      if (same && same->turn_ == turn && same->state_ == State::under_way) same->read(given);
    });
  });
}

void Transfer::read(std::uint64_t given) {
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(given, buffer_.size()));
  const auto got = call_->read(buffer_.data(), size);
  if (is_from_line()) parts_.line.came(got.value_or(0), given);
  if (!got) return ended(FetchEnd::broken, got.error().message());
  take({buffer_.data(), *got});
  if (state_ == State::under_way) read_more();
}

void Transfer::take(std::string_view bytes) {
  if (bytes.empty()) return;
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t written = ::pwrite(file_->get(), bytes.data() + done, bytes.size() - done,
                                     static_cast<off_t>(held_bytes_ + done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == ENOSPC && parts_.cache.evict(bytes.size())) continue;
    if (written <= 0) return fail_cache(std::strerror(errno));
    done += static_cast<std::size_t>(written);
  }
  if (hashed_bytes_ == held_bytes_ && !is_hashing_) {
    hasher_.add(delta::view_of(bytes));
    hashed_bytes_ += bytes.size();
  }
  held_bytes_ += bytes.size();
  got_bytes_ += bytes.size();
  parts_.cache.grew(digest_, bytes.size());
  tell();
}

void Transfer::fail_cache(const std::string& why) {
  parts_.log.error("cache.failed", {{"object", digest_}, {"error", why}});
  parts_.on_cache_failed();
  finish(State::failed);
}

void Transfer::look_at_leader() {
  timer_.expires_after(kLeaderLook);
  timer_.async_wait([weak = weak_from_this(), had = held_bytes_,
                     member = source_->member](const boost::system::error_code& problem) {
    const auto self = weak.lock();
    if (problem || !self || self->state_ != State::under_way) return;
    const bool is_same = self->source_ && self->source_->kind == Source::Kind::leader &&
                         self->source_->member == member && !self->is_pausing_;
    if (!is_same) return;
    const bool has_come = self->held_bytes_ != had;
    if (has_come || self->parts_.is_working(member, self->digest_, had)) {
      return self->look_at_leader();
    }
    self->ended(FetchEnd::withheld, "it gives nothing, and is not after it");
  });
}

void Transfer::stop_source() {
  ++turn_;
  if (call_) call_->cancel();
  call_.reset();
  for (const auto& question : questions_) question->cancel();
  questions_.clear();
  timer_.cancel();
  is_pausing_ = false;
  if (source_ && is_from_line()) parts_.line.leave(digest_);
}

void Transfer::ended(FetchEnd end, const std::string& why) {
  const Source source = *source_;
  is_after_line_ = is_from_line();
  if (end != FetchEnd::whole) {
    parts_.log.info(
        "transfer.interrupted",
        {{"object", digest_}, {"source", name_of(source)}, {"bytes", held_bytes_}, {"why", why}});
  }
  stop_source();
  source_.reset();
  act(decider_->on_ended(end, got_bytes_, parts_.clock.monotonic_now()));
}

void Transfer::do_command(const Wait& command) {
  is_pausing_ = true;
  pause_ = command.duration;
  timer_.expires_after(command.duration);
  timer_.async_wait(
      [weak = weak_from_this(), turn = ++turn_](const boost::system::error_code& problem) {
        const auto self = weak.lock();
        if (problem || !self || self->turn_ != turn || self->state_ != State::under_way) return;
        self->is_pausing_ = false;
        self->go_on();
      });
}

void Transfer::site_changed() {
  if (state_ != State::under_way) return;
  if (is_pausing_) {
    stop_source();
    return go_on();
  }
  if (!source_ || !decider_->is_over(parts_.view(), got_bytes_)) return;
  stop_source();
  source_.reset();
  go_on();
}

// ---- Is it right

void Transfer::hash_more() {
  is_hashing_ = true;
  asio::post(parts_.context, [weak = weak_from_this(), generation = generation_] {
    const auto self = weak.lock();
    if (!self || self->generation_ != generation || self->state_ != State::under_way) return;
    std::vector<char> piece(kHashBytes);
    const std::uint64_t left = self->held_bytes_ - self->hashed_bytes_;
    const ssize_t got =
        ::pread(self->file_->get(), piece.data(), std::min<std::uint64_t>(left, piece.size()),
                static_cast<off_t>(self->hashed_bytes_));
    if (got > 0) {
      self->hasher_.add(delta::view_of({piece.data(), static_cast<std::size_t>(got)}));
      self->hashed_bytes_ += static_cast<std::uint64_t>(got);
    }
    // What cannot be read is not right.
    if (got > 0 && self->hashed_bytes_ < self->held_bytes_) return self->hash_more();
    self->is_hashing_ = false;
    if (self->is_check_due_) self->check();
  });
}

void Transfer::do_command(const Check& /*command*/) {
  is_check_due_ = true;
  if (!is_hashing_) check();
}

void Transfer::check() {
  is_check_due_ = false;
  const bool is_right = hashed_bytes_ == held_bytes_ && hasher_.finish().hex() == digest_;
  act(decider_->on_checked(is_right));
}

void Transfer::do_command(const StartAnew& /*command*/) {
  parts_.log.warning("transfer.anew", {{"object", digest_}, {"bytes", held_bytes_}});
  auto begun = parts_.cache.begin(digest_);
  if (!begun) {
    return fail_cache(begun.error().to_string());
  }
  file_ = begun->file;
  held_bytes_ = hashed_bytes_ = 0;
  total_bytes_.reset();
  hasher_ = delta::Hasher();
  is_hashing_ = is_check_due_ = false;
  ++generation_;
  tell();
  go_on();
}

void Transfer::do_command(const GiveUp& command) {
  parts_.log.warning("transfer.failed",
                     {{"object", digest_}, {"why", command.is_absent ? "absent" : "wrong"}});
  finish(command.is_absent ? State::absent : State::failed);
}

void Transfer::do_command(const Done& /*command*/) {
  if (auto kept = parts_.cache.keep(digest_); !kept) {
    return fail_cache(kept.error().to_string());
  }
  finish(State::done);
}

void Transfer::finish(State state) {
  stop_source();
  source_.reset();
  state_ = state;
  parts_.cache.end_use(digest_);
  // An origin that gave a part of it may have it again.
  if (state == State::absent && held_bytes_ == 0) parts_.cache.remove(digest_);
  tell();
}

void Transfer::abandon() {
  if (state_ == State::under_way) finish(State::failed);
}

// ---- Who waits

std::uint64_t Transfer::ready_bytes() const {
  if (state_ == State::done) return held_bytes_;
  if (!total_bytes_) return 0;
  return std::min(held_bytes_, *total_bytes_ == 0 ? 0 : *total_bytes_ - 1);
}

Transfer::WaiterId Transfer::add_waiter(GoLive go_live, std::function<void()> changed) {
  const WaiterId id = next_waiter_++;
  waiters_[id] = {go_live, std::move(changed)};
  unwanted_since_.reset();
  refresh_priority();
  return id;
}

void Transfer::remove_waiter(WaiterId id) {
  waiters_.erase(id);
  if (waiters_.empty()) unwanted_since_ = parts_.clock.monotonic_now();
  refresh_priority();
}

GoLive Transfer::go_live() const {
  return soonest(remote_, own_go_live());
}

GoLive Transfer::own_go_live() const {
  GoLive at;
  for (const auto& [id, waiter] : waiters_) at = soonest(at, waiter.go_live);
  return at;
}

void Transfer::refresh_priority() {
  if (state_ == State::under_way && is_from_line()) parts_.line.change(digest_, go_live());
}

void Transfer::tell() {
  if (std::exchange(is_telling_, true)) return;
  asio::post(parts_.context, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->is_telling_ = false;
    std::vector<std::function<void()>> all;
    all.reserve(self->waiters_.size());
    for (const auto& [id, waiter] : self->waiters_) all.push_back(waiter.changed);
    for (const auto& changed : all) changed();
  });
}

}  // namespace segue::relay
