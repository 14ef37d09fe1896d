// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/state.h"
#include "relay/transfer.h"

namespace segue::relay {

// Every object that is asked for, and no object twice at a time.
class Transfers {
 public:
  // Agents try again after a while: what nobody waits for goes on for so long.
  static constexpr base::Duration kLinger = std::chrono::minutes(15);

  // `parts` outlives it.
  explicit Transfers(const TransferParts& parts) : parts_(parts) {}

  // Where an object is: in the cache, or on its way. Neither: too many are, or the cache cannot be
  // read now.
  struct Place {
    std::optional<Cache::Held> held;
    std::shared_ptr<Transfer> transfer;
  };
  // `is_doubted`: who asks got wrong bytes; what is here is read again.
  Place find(const std::string& digest, bool is_doubted);

  void site_changed();
  // What the hosts of other relays wait for, as those say.
  void set_remote(const std::vector<const RelayState*>& states);
  void tick();
  void abandon_all();

  [[nodiscard]] std::vector<TransferState> states() const;
  // One is about to take the line again that it just lost.
  [[nodiscard]] bool are_soon_back_at_line() const;

 private:
  const TransferParts& parts_;
  std::map<std::string, std::shared_ptr<Transfer>> transfers_;
  std::uint64_t next_number_ = 0;
};

}  // namespace segue::relay
