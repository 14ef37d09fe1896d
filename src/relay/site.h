// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "os/clock.h"
#include "relay/election.h"
#include "relay/fetch_decider.h"
#include "relay/state.h"
#include "relay/upstream.h"

namespace segue::relay {

// The other members of the site: asks each of them every second how it is, and knows who leads.
class Site {
 public:
  struct Settings {
    std::string site;
    std::string name;                  // of this relay
    std::vector<Member> members;       // in their order, this one too
    std::function<void()> on_changed;  // another leads, or one is gone
    std::function<void()> on_states;   // a member said how it is
  };
  // All outlive it.
  Site(boost::asio::io_context& context, const os::Clock& clock, const base::Log& log,
       Upstreams& upstreams, Settings settings);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  // Each Election::kAskInterval.
  void tick(bool is_busy, bool is_able);
  // From then on it is not believed for a while.
  void distrust(std::size_t member, const std::string& why);

  [[nodiscard]] SiteView view() const;
  [[nodiscard]] std::string leader_name() const;
  [[nodiscard]] const std::vector<Member>& members() const { return settings_.members; }
  [[nodiscard]] std::vector<MemberState> member_states() const;
  // Whether it said that it is after an object, and has no more of it than `held_bytes`; also if
  // it cannot be asked now.
  [[nodiscard]] bool is_working(std::size_t member, const std::string& object,
                                std::uint64_t held_bytes) const;
  // What the living ones said last.
  [[nodiscard]] std::vector<const RelayState*> states() const;

 private:
  struct Question {
    std::shared_ptr<UpstreamCall> call;
    std::string bytes;
    base::MonotonicTime until{};
  };
  struct Peer {
    std::unique_ptr<Question> question;
    std::optional<RelayState> state;
  };

  void ask(std::size_t member);
  void answered(std::size_t member, const base::Result<UpstreamAnswer>& answer);
  void read(std::size_t member);
  void arrived(std::size_t member);
  void failed(std::size_t member, bool is_refused);
  void review();

  boost::asio::io_context& context_;
  const os::Clock& clock_;
  const base::Log& log_;
  Upstreams& upstreams_;
  Settings settings_;
  std::size_t self_ = 0;
  Election election_;
  std::vector<Peer> peers_;
  SiteView last_view_;
};

}  // namespace segue::relay
