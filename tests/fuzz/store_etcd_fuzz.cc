// SPDX-License-Identifier: Apache-2.0
// What an etcd, or whoever answers in its place, may say. The first byte picks who reads it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "store/etcd_messages.h"
#include "store/location.h"

using namespace segue::store;

namespace {

void read_watch(std::string_view text) {
  etcd::WatchReader reader("/segue/", 2);
  Revision last = 0;
  const auto check = [&last](const Change& change) {
    SEGUE_ASSERT(change.revision > last && change.revision >= 2);
    SEGUE_ASSERT(!change.events.empty());
    last = change.revision;
  };
  const std::size_t half = text.size() / 2;
  if (reader.take(text.substr(0, half), check)) {
    static_cast<void>(reader.take(text.substr(half), check).has_value());
  }
}

void read_page(std::string_view text) {
  const auto page = etcd::read_page(text, "/segue/", {.prefix = "a", .after = {}, .limit = 3});
  if (!page) return;
  SEGUE_ASSERT(page->entries.size() <= 3);
  for (const Entry& entry : page->entries) SEGUE_ASSERT(entry.key.starts_with("a"));
}

void read_commit(std::string_view text) {
  const Transaction transaction = Transaction().expect("a", 3).expect_absent("b").put("a", "");
  const auto result = etcd::read_commit(text, transaction);
  if (!result || *result) return;
  SEGUE_ASSERT(result->error().kind == CommitFailure::Kind::conflict);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'w':
      read_watch(text);
      break;
    case 'p':
      read_page(text);
      break;
    case 'e':
      static_cast<void>(etcd::read_entry(text, "/segue/").has_value());
      break;
    case 'c':
      read_commit(text);
      break;
    case 'l':
      static_cast<void>(etcd::read_grant(text).has_value());
      static_cast<void>(etcd::read_keep_alive(text, 12).has_value());
      break;
    case 'r':
      static_cast<void>(etcd::read_refusal(503, text));
      break;
    case 'u':
      static_cast<void>(parse_location(text).has_value());
      break;
    default:
      if (const auto bytes = etcd::from_base64(text)) {
        SEGUE_ASSERT(etcd::from_base64(etcd::to_base64(*bytes)) == bytes);
      }
      break;
  }
  return 0;
}
