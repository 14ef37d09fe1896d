// SPDX-License-Identifier: Apache-2.0
// A journal that a hostile successor has written, replayed. Input: the journal's memory; it is
// given a header that is kept if it has none. There are two connections, and one that was accepted.
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "handoff/journal.h"
#include "handoff/replay.h"

namespace {

namespace handoff = segue::handoff;

constexpr uint64_t kAccepted = uint64_t{3} << 32 | 2;

int one_end() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return -1;
  close(ends[1]);
  return ends[0];
}

// Reads what there is and says it again; closes at the end.
void echo(void* /*user*/, segue_conn* conn) {
  char bytes[512];
  const ssize_t size = segue_read(conn, bytes, sizeof bytes);
  if (size == 0) {
    segue_conn_close(conn, SEGUE_CLOSE_FIN);
    return;
  }
  char note[16] = "";
  conn->cls->inventory->traffic->note(1, note, 3, sizeof note);
  if (size > 0) (void)segue_write(conn, bytes, static_cast<size_t>(size));
}

void add_class(handoff::Inventory& inventory) {
  auto cls = std::make_unique<segue_class>();
  cls->number = 1;
  cls->inventory = &inventory;
  cls->ops.readable = echo;
  cls->ops.writable = [](void*, segue_conn* conn) { (void)segue_write(conn, "pending", 7); };
  cls->ops.accepted = [](void*, segue_conn*, int) { return int{SEGUE_OK}; };
  cls->ops.drop = [](void*, segue_conn*) {};
  inventory.classes.push_back(std::move(cls));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string memory(reinterpret_cast<const char*>(data), size);
  if (handoff::JournalView(memory).state() == handoff::JournalState::unused) {
    // The rest as it is: entries, whose tail is their end.
    std::string header(handoff::kJournalHeaderBytes, '\0');
    handoff::prepare_journal(header.data(), 1, 2);
    handoff::JournalWriter(header.data(), header.size()).begin();
    const uint64_t tail = memory.size();
    memcpy(header.data() + 32, &tail, sizeof tail);
    memory.insert(0, header);
  }
  handoff::Inventory inventory;
  add_class(inventory);
  for (uint32_t slot = 0; slot < 2; ++slot) {
    inventory.connections.adopt(inventory.classes[0].get(), one_end(),
                                uint64_t{slot + 1} << 32 | slot);
  }
  handoff::AcceptedFds accepted;
  accepted[kAccepted] = {1, handoff::UniqueFd(one_end())};
  auto replay = std::make_unique<handoff::Replay>(inventory, memory, std::move(accepted),
                                                  [](uint32_t, const void*, size_t) {});
  if (!replay->prepare()) return 0;
  handoff::Replay& running = *replay;
  inventory.traffic = std::move(replay);
  (void)running.run();
  inventory.traffic.reset();
  return 0;
}
