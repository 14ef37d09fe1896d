// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "keyspace.h"
#include "note.h"
#include "registry.h"
#include "session.h"

namespace respkv {

using Arguments = std::span<const std::string_view>;

struct Command;

// What the engine asks of the program around it.
class Host : public KeyspaceObserver {
 public:
  virtual std::string address_of(const Session& session) = 0;
  // "name:value" lines for INFO, each ended by \r\n.
  virtual std::string information() = 0;
  virtual void sleep(double seconds) = 0;
  // `text` is what another process would not find; where something is done again, it is replaced.
  virtual void note(Note what, std::string& text) = 0;

 protected:
  ~Host() = default;
};

// Counts since the service began, whatever process it ran in.
struct Statistics {
  std::uint64_t connections = 0;
  std::uint64_t commands = 0;
  std::uint64_t keyspace_hits = 0;
  std::uint64_t keyspace_misses = 0;
  std::uint64_t closed_on_reclaim = 0;
  std::uint64_t closed_over_limit = 0;
  std::uint64_t handoffs = 0;
};

// Executes commands. It knows neither sockets nor handoffs; replies are appended to the sessions'
// output.
class Engine final : public KeyspaceObserver {
 public:
  Engine(Host& the_host, std::uint64_t random_seed);

  // Executes one request, with all that follows from it: on return nothing is half done.
  void execute(Session& session, Arguments arguments);

  // Sessions other than the executing one that got output, may go on, or changed, since the last
  // call. The engine forgets them.
  void take_attention(std::vector<Session*>& out);
  void draw_attention(Session& session);

  // A new client, with an id of its own; or one that was handed over (its id is set).
  void add(Session& session);
  void remove(Session& session);

  // Ends keys and waits whose time has come, a bounded number of them.
  void do_due();
  // When do_due() has something to do, in milliseconds of the time of day; 0: never.
  [[nodiscard]] std::uint64_t next_due_ms() const;

  // Empty if all that was received agrees; else what does not.
  std::string check();

  // For the commands.
  void run(Session& session, const Command& command, Arguments arguments);
  void run_transaction(Session& session);
  void discard_transaction(Session& session);
  void block(Session& session, std::vector<std::string> keys, bool from_left,
             std::uint64_t deadline_ms);
  std::int64_t publish(std::string_view channel, std::string_view message);
  void reset(Session& session);
  std::uint64_t random();

  Host& host;
  Keyspace keys;
  Registry registry;
  Statistics statistics;
  std::uint64_t next_client_id = 1;
  std::uint64_t next_rank = 1;

 private:
  void key_changed(const std::string& key) override;
  void key_erased(const std::string& key) override;
  void all_keys_erased() override;
  void break_watches(const std::string& key);
  void dispatch(Session& session, Arguments arguments);
  void queue(Session& session, Arguments arguments);
  void serve_ready_keys();
  void serve(const std::string& key);
  bool deliver(Session& session, std::string_view bytes);

  std::vector<std::string> ready_keys_;  // changed, and somebody waits for them
  std::vector<Session*> attention_;
  std::uint64_t random_state_;
};

}  // namespace respkv
