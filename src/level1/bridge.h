// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "level1/channel.h"
#include "level1/message.h"
#include "level1/state_form.h"
#include "os/clock.h"
#include "os/unique_fd.h"
#include "segue/segue.hpp"

namespace segue::level1 {

// What a program on the level 1 protocol owns, held on its behalf as a service of libsegue: its
// descriptors are registered here, its state passes through as memfds, and libsegue's words are
// passed on to it. One thread.
//
// Never two owners: a program that was told to serve holds the write end of its predecessor's
// `fence`, a pipe. A predecessor that takes the service back lets the program go on only when the
// kernel says that nobody holds that end any more.
class Bridge final : private segue::Service, private segue::ConnectionSource {
 public:
  static constexpr std::size_t kMaxListeners = 64;
  static constexpr int kFenceLimitMs = 5'000;

  // From the program's HELLO. The bridge takes the channel; `clock` outlives it.
  static base::Result<std::unique_ptr<Bridge>> create(Channel channel, const Message& hello,
                                                      std::uint32_t freeze_ms,
                                                      const os::Clock& clock);

  // WELCOME, and libsegue's start.
  base::Result<void> start();

  [[nodiscard]] int segue_descriptor() const { return instance_->fd(); }
  void dispatch_segue() { (void)instance_->dispatch(); }
  [[nodiscard]] const Channel& channel() const { return channel_; }
  // The program's socket is ready. An error ends the program: it is not to be relied on.
  base::Result<void> on_channel();
  // What went wrong within a callback of libsegue, once.
  base::Result<void> take_failure();

  // Why the program is to end; nullopt: it is not.
  [[nodiscard]] std::optional<segue_end_reason> ending() const { return ending_; }
  [[nodiscard]] std::string error() const { return instance_->error(); }
  // The program ends by itself.
  void program_ended() { segue_stop(instance_->handle()); }

 private:
  struct Entry {
    std::uint64_t id = 0;
    std::string name;
    std::string record;
    segue::Connection handle;
  };
  enum class Kind : std::uint64_t { listener = 1, connection = 2, descriptor = 3, fence = 4 };

  Bridge(Channel channel, std::uint32_t freeze_ms, const os::Clock& clock)
      : channel_(std::move(channel)), freeze_ms_(freeze_ms), clock_(clock) {}
  base::Result<void> declare(const Message& hello);
  base::Result<void> declare_form(const std::string& nested);
  base::Result<void> declare_listener(const std::string& nested);

  // From the program
  base::Result<void> on_message(Channel::Received received);
  base::Result<void> on_store(Channel::Received received);
  base::Result<void> on_close(const Message& message);
  base::Result<void> on_state(Channel::Received received);
  base::Result<void> on_frozen(const Message& message);
  base::Result<void> on_serving(const Message& message);
  StateForm* find_form(std::string_view name);

  // To the program
  void tell(Message message, int fd = -1);
  void tell_store(Kind kind, std::uint64_t id, const std::string& name, const std::string& record,
                  int fd);
  void tell_freeze();
  void note(const base::Result<void>& result);

  bool raise_fence();
  bool pass_fence();

  // segue::Service
  bool listener(const char* name, int fd) override;
  bool descriptor(const char* name, int fd) override;
  bool freeze() override;
  void resume(segue_resume_reason reason, bool released) override;
  void activate(const segue_activation& activation) override;
  void terminate(segue_end_reason reason) override;

  // segue::ConnectionSource
  bool encode(segue::Connection conn, segue::Writer& out) override;
  bool adopt(segue::Connection conn, int fd, const segue::Record& record) override;
  bool update(segue::Connection conn, const segue::Record& record) override;
  void drop(segue::Connection conn) override;

  Channel channel_;
  std::uint32_t freeze_ms_;
  const os::Clock& clock_;
  std::vector<std::unique_ptr<StateForm>> forms_;
  std::map<std::uint64_t, std::unique_ptr<Entry>> entries_;
  segue::ConnectionClass class_;
  os::UniqueFd fence_;  // the read end of the one that the successor's program holds
  std::uint64_t freezes_ = 0;
  bool waits_for_frozen_ = false;
  bool frozen_ = false;
  std::string cannot_freeze_;
  std::optional<segue_end_reason> ending_;
  base::Result<void> failure_;
  std::unique_ptr<segue::Instance> instance_;  // last: its callbacks use all of the above
};

}  // namespace segue::level1
