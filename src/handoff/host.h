// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "handoff/inventory.h"
#include "handoff/owner_page.h"
#include "handoff/receiver.h"
#include "handoff/terms.h"

namespace segue::handoff {

// What the two sides of a handoff need of the process they run in.
class Host : public ArrivalSink {
 public:
  virtual Inventory& inventory() = 0;
  virtual OwnerPage& page() = 0;
  virtual OwnerName me() const = 0;
  virtual void set_me(OwnerName name) = 0;
  virtual const std::string& service() const = 0;
  virtual const std::string& version() const = 0;
  virtual segue_progress& progress() = 0;
  // For the keeper, and for segue_error().
  virtual void report(AttemptRole role, uint64_t attempt, KeeperEvent event, uint64_t number,
                      const std::string& text) = 0;
  virtual void progressed(AttemptRole role, uint64_t attempt) = 0;

  // Binds the listeners and creates the arenas that are declared and not there. `anew`: arenas that
  // are there are replaced by empty ones.
  virtual Status provide_missing(bool anew) = 0;

  // The service's callbacks.
  virtual bool freeze() = 0;
  virtual bool has_release() const = 0;
  virtual bool release() = 0;
  virtual void resume(segue_resume_reason reason, bool released) = 0;
  virtual bool check(std::string& why) = 0;
  // Of what a dead successor left.
  virtual bool check_left_arenas(std::string& why) = 0;
  virtual bool acquire() = 0;
  virtual void yield() = 0;
  virtual void activate(bool first, uint32_t epoch, uint64_t blackout_ns) = 0;
  virtual void terminate(segue_end_reason reason) = 0;
  virtual bool has_replay_note() const = 0;
  virtual void replay_note(uint32_t tag, const void* data, size_t size) = 0;

  // owner.lock of the directory where instances meet alone; -1 under the keeper.
  virtual int lock_fd() const = 0;
  virtual void take_lock(UniqueFd fd) = 0;
  // True where nobody else would start the service again if both sides were gone.
  virtual bool alone() const = 0;
  // Alone: looks for a predecessor, or an abandoned service, once more. False under the keeper.
  virtual bool seek_again() = 0;
  // Ends the other side of a handoff under `terms`: good when it is killed, or when a keeper that
  // can kill it was asked, or will be. Its pidfd tells when it has ended.
  virtual Status end_peer(const Terms& terms, int pidfd, OwnerName other) = 0;
  // How long the keeper has said nothing.
  virtual uint64_t keeper_silent_ns(uint64_t now) const = 0;
  // True while this process is the predecessor of a handoff under way.
  virtual bool handing_over() const = 0;
};

}  // namespace segue::handoff
