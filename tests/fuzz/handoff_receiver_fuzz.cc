// SPDX-License-Identifier: Apache-2.0
// Frames applied to a successor's inventory. Input: repetitions of u8 type, u8 descriptors (of
// /dev/null; with the highest bit the first is a sealed memfd, with the next one too a heap), u16
// size, payload. The items are those of the golden ACCEPT, a table, a class and an arena, and three
// heaps: mapped, read, sent.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "handoff/receiver.h"

namespace {

namespace handoff = segue::handoff;

class Sink : public handoff::ArrivalSink {
 public:
  handoff::Status listener_arrived(const std::string&, int) override {
    return handoff::Status::good();
  }
  handoff::Status descriptor_arrived(const std::string&, int) override {
    return handoff::Status::good();
  }
};

using Rows = std::map<std::string, std::string>;

segue_table_ops table_ops() {
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = [](void* rows, uint64_t*, uint32_t, segue_scan* out) {
    for (const auto& [key, value] : *static_cast<Rows*>(rows)) {
      segue_scan_key(out, key.data(), key.size());
    }
    return 0;
  };
  ops.encode = [](void* rows, const void* key, size_t size, segue_writer* out) {
    const std::string& row = (*static_cast<Rows*>(rows))[{static_cast<const char*>(key), size}];
    segue_put_fields(out, row.data(), row.size());
    return 0;
  };
  ops.put = [](void* rows, const void* key, size_t size, const segue_record* record) {
    (*static_cast<Rows*>(rows))[{static_cast<const char*>(key), size}] = record->bytes;
    return 0;
  };
  ops.erase = [](void* rows, const void* key, size_t size) {
    static_cast<Rows*>(rows)->erase({static_cast<const char*>(key), size});
    return 0;
  };
  ops.clear = [](void* rows) { static_cast<Rows*>(rows)->clear(); };
  return ops;
}

segue_class_ops class_ops() {
  segue_class_ops ops{};
  ops.size = sizeof ops;
  ops.encode = [](void*, segue_conn*, segue_writer*) { return 0; };
  ops.adopt = [](void*, segue_conn*, int, const segue_record*) { return 0; };
  ops.update = [](void*, segue_conn*, const segue_record*) { return 0; };
  return ops;
}

handoff::Form form(const char* name, uint32_t version) {
  segue_form declared{};
  declared.size = sizeof declared;
  declared.version = version;
  declared.oldest = version;
  declared.name = name;
  handoff::Form made;
  if (!handoff::Form::make(declared, made).ok()) abort();
  return made;
}

constexpr uint64_t kHeapBytes = 65'536;

int keep(void*, uint32_t, const segue_record* in, segue_writer* out) {
  const void* bytes = nullptr;
  size_t size = 0;
  if (segue_get(in, handoff::kHeapBytesTag, &bytes, &size) != SEGUE_OK) return SEGUE_INVALID;
  segue_put(out, handoff::kHeapBytesTag, bytes, size);
  return SEGUE_OK;
}

handoff::Form heap_form(uint32_t version) {
  segue_form declared{};
  declared.size = sizeof declared;
  declared.version = version;
  declared.oldest = 1;
  declared.name = "kv.heap";
  declared.up = keep;
  declared.down = keep;
  handoff::Form made;
  if (!handoff::Form::make(declared, made).ok()) abort();
  return made;
}

void declare(handoff::Inventory& inventory, Rows& rows) {
  auto table = std::make_unique<segue_table>();
  table->name = "data";
  table->inventory = &inventory;
  table->form = form("kv.entry", 2);
  table->ops = table_ops();
  table->user = &rows;
  inventory.tables.push_back(std::move(table));
  auto cls = std::make_unique<segue_class>();
  cls->name = "clients";
  cls->inventory = &inventory;
  cls->form = form("kv.client", 1);
  cls->ops = class_ops();
  inventory.classes.push_back(std::move(cls));
  auto arena = std::make_unique<segue_arena>();
  arena->name = "heap";
  arena->form_version = 3;
  inventory.arenas.push_back(std::move(arena));
  for (const char* name : {"mapped", "read", "sent"}) {
    auto heap = std::make_unique<segue_heap>();
    heap->name = name;
    heap->form = heap_form(name == std::string_view("read") ? 2 : 1);
    heap->max_size = kHeapBytes;
    inventory.heaps.push_back(std::move(heap));
  }
}

std::string item(handoff::ItemKind kind, uint32_t version, uint64_t max_size) {
  segue_writer out;
  handoff::put_number(out, 1, static_cast<uint64_t>(kind));
  handoff::put_number(out, 2, version);
  handoff::put_number(out, 3, max_size);
  return out.fields;
}

// `predecessor`: its own version of the form.
std::string heap_item(uint32_t version, uint32_t predecessor) {
  segue_writer out;
  out.fields = item(handoff::ItemKind::heap, version, kHeapBytes);
  handoff::put_number(out, 4, predecessor);
  handoff::put_number(out, 5, 4096);
  return out.fields;
}

// A predecessor's heap with a few records.
handoff::UniqueFd heap_memory() {
  const auto places = handoff::HeapPlaces::of(kHeapBytes);
  handoff::HeapMemory memory;
  if (!handoff::HeapMemory::create("fuzz", places, memory).ok()) abort();
  handoff::HeapImage image(memory.data(), places);
  image.format(1);
  handoff::HeapImage::Record record;
  for (uint32_t i = 0; i < 8; ++i) {
    if (image.alloc(i, i * 100, record) != SEGUE_OK) abort();
    if (image.refresh_digest(i) != SEGUE_OK) abort();
  }
  return handoff::UniqueFd(fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0));
}

constexpr uint64_t kArenaBytes = 65'536;

handoff::UniqueFd sealed_memory() {
  handoff::UniqueFd fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (ftruncate(fd.get(), static_cast<off_t>(kArenaBytes)) != 0) abort();
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) abort();
  return fd;
}

std::vector<handoff::UniqueFd> descriptors(uint8_t how) {
  constexpr int kMaxFds = 8;
  std::vector<handoff::UniqueFd> fds;
  if ((how & 0x80) != 0) fds.push_back((how & 0x40) != 0 ? heap_memory() : sealed_memory());
  for (int fd = 0; fd < how % kMaxFds; ++fd) {
    fds.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));
  }
  return fds;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int kMaxFrames = 64;
  Rows rows;
  handoff::Inventory inventory;
  declare(inventory, rows);
  Sink sink;
  handoff::Receiver receiver(inventory, sink);
  std::string items;
  handoff::append_batch_entry(items, "data", item(handoff::ItemKind::table, 2, 0));
  handoff::append_batch_entry(items, "clients", item(handoff::ItemKind::connection_class, 1, 0));
  handoff::append_batch_entry(items, "heap", item(handoff::ItemKind::arena, 3, kArenaBytes));
  handoff::append_batch_entry(items, "mapped", heap_item(1, 1));
  handoff::append_batch_entry(items, "read", heap_item(1, 1));
  handoff::append_batch_entry(items, "sent", heap_item(1, 2));
  if (!receiver.agree_items(items).ok()) abort();
  if (!receiver.heaps().prepare(handoff::MemoryRoom()).ok()) abort();
  for (int i = 0; i < kMaxFrames && size >= 4; ++i) {
    handoff::Message message;
    message.type = static_cast<handoff::FrameType>(data[0]);
    message.fds = descriptors(data[1]);
    std::uint16_t length = 0;
    memcpy(&length, data + 2, 2);
    data += 4;
    size -= 4;
    if (length > size) length = static_cast<std::uint16_t>(size);
    const std::string payload(reinterpret_cast<const char*>(data), length);
    message.payload = payload;
    data += length;
    size -= length;
    if (!handoff::Receiver::handles(message.type)) continue;
    const handoff::Status status = receiver.apply(message);
    if (!status.ok() && status.text.empty()) abort();
    if (receiver.heaps().has_work()) (void)receiver.heaps().work(UINT64_MAX);
  }
  receiver.heaps().begin_verification();
  if (receiver.heaps().has_work()) (void)receiver.heaps().work(UINT64_MAX);
  receiver.heaps().end_rehearsal();
  (void)receiver.heaps().finish();
  handoff::Receiver::Difference difference;
  (void)receiver.compare(difference);
  return 0;
}
