// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of the journal: after the successor's death the service does again what
// the successor did, on the input that the successor consumed. What had been sent is not sent
// again, what was missing is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string_view>

#include "handoff/inventory.h"
#include "handoff/journal.h"
#include "handoff/siphash.h"
#include "handoff/story.h"
#include "handoff/traffic.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

// Descriptors that the successor accepted, by connection id.
struct AcceptedFd {
  uint32_t item = 0;
  UniqueFd fd;
};
using AcceptedFds = std::map<uint64_t, AcceptedFd>;

struct ReplayCounts {
  uint64_t replayed = 0;  // inputs
  uint64_t repaired = 0;  // connections whose answer was completed
  uint64_t closed = 0;    // connections that could not be repaired
};

class Replay final : public Traffic {
 public:
  using NoteSink = std::function<void(uint32_t tag, const void* data, size_t size)>;
  Replay(Inventory& inventory, std::string_view memory, AcceptedFds accepted, NoteSink notes);

  // False if the journal does not tell all, or cannot be believed: then nothing was done.
  bool prepare();
  // Calls the service. This is the inventory's traffic meanwhile.
  ReplayCounts run();

  ssize_t read(segue_conn& conn, void* data, size_t size) override;
  ssize_t write(segue_conn& conn, const void* data, size_t size) override;
  size_t note(uint32_t tag, void* data, size_t size, size_t capacity) override;
  void opened(segue_conn& conn) override;
  void closing(segue_conn& conn, segue_close_how how) override;
  void hand_on() override {}
  [[nodiscard]] bool replaying() const override { return true; }
  // All loops are held; the turns come back one after the other by themselves.
  bool begin_turn() override { return true; }

 private:
  struct Progress {
    explicit Progress(const JournalView& journal) : produced(journal.key0(), journal.key1()) {}
    SipStream produced;     // of what had been sent
    uint64_t expected = 0;  // as far as the entries have come
    bool verified = false;
    bool differs = false;
    bool completed = false;
    bool over = false;  // closed here
  };

  void step(const JournalEntry& entry);
  void give_input(const JournalEntry& entry, std::string_view bytes);
  void catch_up(uint64_t id);
  void adopt(uint64_t id, uint32_t item);
  void end(uint64_t id);
  void finish(uint64_t id, const Story& story);
  void drop(segue_conn& conn);
  Progress& progress_of(uint64_t id);
  bool verify(const Story& story, Progress& progress, std::string_view data);
  [[nodiscard]] segue_class* class_of(uint64_t item) const;
  [[nodiscard]] size_t descriptors_needed() const;

  Inventory& inventory_;
  JournalView journal_;
  AcceptedFds accepted_;
  NoteSink notes_;
  Stories stories_;
  std::map<uint64_t, Progress> progress_;
  ReplayCounts counts_;

  size_t cursor_ = 0;          // behind the entry being replayed
  size_t notes_taken_to_ = 0;  // notes before this were asked for
  uint64_t reader_ = 0;        // the connection whose input waits to be read
  bool input_waits_ = false;
  int64_t input_result_ = 0;  // where there are no bytes
  std::string_view input_;
};

}  // namespace segue::handoff
