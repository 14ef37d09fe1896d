// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_heap.h"

#include <cstring>
#include <iterator>

#include "handoff/siphash.h"

namespace segue::handoff::test {
namespace {

constexpr uint32_t kType = 7;
constexpr size_t kStampBytes = sizeof(uint64_t);

std::string bytes_of(const segue_record* in) {
  const void* data = nullptr;
  size_t size = 0;
  if (segue_get(in, SEGUE_HEAP_BYTES, &data, &size) != SEGUE_OK) return {};
  return {static_cast<const char*>(data), size};
}

std::string with_stamp(const std::string& value) {
  const uint64_t stamp = stamp_of(value);
  std::string bytes(kStampBytes, '\0');
  memcpy(bytes.data(), &stamp, sizeof stamp);
  return bytes + value;
}

int up(void*, uint32_t, const segue_record* in, segue_writer* out) {
  const std::string bytes = with_stamp(bytes_of(in));
  segue_put(out, SEGUE_HEAP_BYTES, bytes.data(), bytes.size());
  return SEGUE_OK;
}

int down(void*, uint32_t, const segue_record* in, segue_writer* out) {
  const std::string bytes = bytes_of(in);
  if (bytes.size() < kStampBytes) return SEGUE_INVALID;
  segue_put(out, SEGUE_HEAP_BYTES, bytes.data() + kStampBytes, bytes.size() - kStampBytes);
  return SEGUE_OK;
}

}  // namespace

uint64_t stamp_of(const std::string& value) {
  return siphash24(value);
}

HeapService::HeapService(const ServiceOptions& options, uint32_t form_version, size_t max_size)
    : Service(options), version(form_version) {
  segue_form form{};
  form.size = sizeof form;
  form.version = version;
  form.oldest = 1;
  form.name = "test.heap";
  form.up = up;
  form.down = down;
  heap = segue_heap_open(instance.get(), "state", &form, max_size);
  EXPECT_NE(heap, nullptr) << error();
}

std::string HeapService::pack(const std::string& value) const {
  return version == 1 ? value : with_stamp(value);
}

std::map<uint64_t, std::string> HeapService::contents() const {
  std::map<uint64_t, std::string> all;
  uint64_t cursor = 0;
  uint64_t id = 0;
  int code = SEGUE_OK;
  while ((code = segue_heap_next(heap, &cursor, &id)) == SEGUE_OK) {
    size_t size = 0;
    uint32_t type = 0;
    EXPECT_EQ(segue_heap_copy(heap, id, nullptr, 0, &size, &type), SEGUE_OK);
    EXPECT_EQ(type, kType);
    std::string bytes(size, '\0');
    EXPECT_EQ(segue_heap_copy(heap, id, bytes.data(), size, nullptr, nullptr), SEGUE_OK);
    const std::string value = version == 1 ? bytes : bytes.substr(kStampBytes);
    EXPECT_EQ(bytes, pack(value));
    all[id] = value;
  }
  EXPECT_EQ(code, SEGUE_GONE);
  return all;
}

uint64_t HeapService::add(const std::string& value) {
  const std::string bytes = pack(value);
  uint64_t id = 0;
  void* there = nullptr;
  const int code = segue_heap_alloc(heap, kType, bytes.size(), &id, &there);
  if (code == SEGUE_LIMIT) return 0;
  EXPECT_EQ(code, SEGUE_OK);
  memcpy(there, bytes.data(), bytes.size());
  model[id] = value;
  return id;
}

void HeapService::set(uint64_t id, const std::string& value) {
  const std::string bytes = pack(value);
  void* there = nullptr;
  const bool same = model[id].size() == value.size();
  const int code =
      same ? segue_heap_write(heap, id, &there) : segue_heap_resize(heap, id, bytes.size(), &there);
  if (code == SEGUE_LIMIT) return;
  ASSERT_EQ(code, SEGUE_OK);
  memcpy(there, bytes.data(), bytes.size());
  model[id] = value;
}

void HeapService::remove(uint64_t id) {
  EXPECT_EQ(segue_heap_free(heap, id), SEGUE_OK);
  model.erase(id);
}

void HeapService::change_something(std::mt19937_64& generator) {
  const std::string value(generator() % 300 + 1, static_cast<char>('a' + generator() % 26));
  const uint64_t what = generator() % 4;
  if (model.empty() || what == 0) {
    add(value);
    return;
  }
  const uint64_t id =
      std::next(model.begin(), static_cast<long>(generator() % model.size()))->first;
  if (what == 1) return remove(id);
  if (what == 2) return set(id, value);
  set(id, std::string(model[id].size(), value[0]));
}

}  // namespace segue::handoff::test
