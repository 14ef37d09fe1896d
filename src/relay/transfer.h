// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "delta/digest.h"
#include "os/clock.h"
#include "relay/cache.h"
#include "relay/fetch_decider.h"
#include "relay/line.h"
#include "relay/upstream.h"

namespace segue::relay {

// What every transfer shares; all of it outlives them.
struct TransferParts {
  boost::asio::io_context& context;
  const os::Clock& clock;
  const base::Log& log;
  Upstreams& upstreams;
  Line& line;
  Cache& cache;
  std::vector<Member> members;
  SourceUrl origin;
  std::string relay_field;  // SITE/NAME of this relay
  std::uint64_t max_object_bytes = 0;
  std::function<SiteView()> view;
  // Whether the member says that it is after an object, and has no more of it than `held_bytes`.
  std::function<bool(std::size_t member, const std::string& digest, std::uint64_t held_bytes)>
      is_working;
  std::function<void(const Source& source, const std::string& why)> on_blamed;
  std::function<void()> on_cache_failed;
};

// Brings one object into the cache, from wherever it is; whoever waits for it reads its file as it
// grows. One thread; nothing is called back from within a call.
class Transfer : public std::enable_shared_from_this<Transfer> {
 public:
  // Without a byte for so long a connection is given up: of the line, and of a relay, which may
  // have to wait for its own turn.
  static constexpr base::Duration kLineStall = std::chrono::seconds(10);
  static constexpr base::Duration kMemberStall = std::chrono::seconds(10);
  static constexpr base::Duration kLeaderStall = std::chrono::minutes(10);

  // So often it is looked whether a leader that gives nothing works on it at all.
  static constexpr base::Duration kLeaderLook = std::chrono::seconds(8);

  enum class State : std::uint8_t { under_way, done, absent, failed };

  // `parts` outlives it.
  Transfer(const TransferParts& parts, std::string digest, std::uint64_t number);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void begin(std::optional<Cache::Held> held);
  // Another leads now, or the old one is gone.
  void site_changed();
  // Lets go of everything; what is here stays in the cache. Those who wait are told that it failed.
  void abandon();

  [[nodiscard]] const std::string& digest() const { return digest_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] State state() const { return state_; }
  // Of the file; nothing until somebody said it.
  [[nodiscard]] std::optional<std::uint64_t> total_bytes() const { return total_bytes_; }
  [[nodiscard]] std::uint64_t held_bytes() const { return held_bytes_; }
  // That may be passed on: the last byte only once the digest is known to be right.
  [[nodiscard]] std::uint64_t ready_bytes() const;
  // Changes when all that was passed on so far was wrong.
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  [[nodiscard]] const std::shared_ptr<os::UniqueFd>& file() const { return file_; }
  [[nodiscard]] const std::optional<Source>& source() const { return source_; }
  // The line broke, and not so long ago that another may have one that is better.
  [[nodiscard]] bool is_soon_back_at_line() const;

  // Those who wait are told, soon after something of the above has changed.
  using WaiterId = std::uint64_t;
  WaiterId add_waiter(GoLive go_live, std::function<void()> changed);
  void remove_waiter(WaiterId id);
  // Another relay has hosts that wait for it.
  void set_remote(GoLive go_live) { remote_ = go_live; }
  [[nodiscard]] std::size_t waiter_count() const { return waiters_.size(); }
  [[nodiscard]] GoLive go_live() const;
  // Of those who wait here, also through other relays. What is said to the site: relays that said
  // what they heard of each other would never forget it.
  [[nodiscard]] GoLive own_go_live() const;
  // Since when nobody waits; nothing: somebody does.
  [[nodiscard]] std::optional<base::MonotonicTime> unwanted_since() const {
    return unwanted_since_;
  }
  void refresh_priority();

 private:
  struct Waiter {
    GoLive go_live;
    std::function<void()> changed;
  };

  void act(const FetchCommand& command);
  void go_on();
  void do_command(const AskMembers& command);
  void do_command(const FetchFrom& command);
  void do_command(const Wait& command);
  void do_command(const Check& command);
  void do_command(const StartAnew& command);
  void do_command(const GiveUp& command);
  void do_command(const Done& command);

  void request();
  void answered(base::Result<UpstreamAnswer> answer);
  FetchEnd judge(const UpstreamAnswer& answer, bool& has_body);
  void read_more();
  void read(std::uint64_t given);
  void take(std::string_view bytes);
  void fail_cache(const std::string& why);
  void ended(FetchEnd end, const std::string& why);
  void look_at_leader();
  void stop_source();
  void hash_more();
  void check();
  void tell();
  void finish(State state);
  [[nodiscard]] std::string path() const;
  [[nodiscard]] std::string name_of(const Source& source) const;
  [[nodiscard]] bool is_from_line() const;

  const TransferParts& parts_;
  std::string digest_;
  std::uint64_t number_;
  State state_ = State::under_way;
  std::shared_ptr<os::UniqueFd> file_;
  std::uint64_t held_bytes_ = 0;
  std::optional<std::uint64_t> total_bytes_;
  std::uint32_t generation_ = 0;
  std::optional<FetchDecider> decider_;
  std::optional<Source> source_;
  std::shared_ptr<UpstreamCall> call_;
  std::vector<std::shared_ptr<UpstreamCall>> questions_;
  std::uint64_t got_bytes_ = 0;  // from the source, this time
  boost::asio::steady_timer timer_;
  bool is_pausing_ = false;
  base::Duration pause_{};      // so long
  bool is_after_line_ = false;  // the last source was the origin
  std::uint64_t turn_ = 0;      // what was begun before it changed is over
  std::vector<char> buffer_;

  delta::Hasher hasher_;
  std::uint64_t hashed_bytes_ = 0;
  bool is_hashing_ = false;
  bool is_check_due_ = false;

  std::map<WaiterId, Waiter> waiters_;
  WaiterId next_waiter_ = 1;
  GoLive remote_;
  std::optional<base::MonotonicTime> unwanted_since_;
  bool is_telling_ = false;
};

}  // namespace segue::relay
