// SPDX-License-Identifier: Apache-2.0
#include "handoff/golden_messages.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "handoff/fields.h"
#include "handoff/siphash.h"

namespace segue::handoff::test {
namespace {

using Numbers = std::vector<Value>;

std::string nonce() {
  std::string bytes;
  for (char c = 0; c < 32; ++c) bytes.push_back(c);
  return bytes;
}

std::string described(uint64_t kind, uint64_t version, uint64_t oldest, const std::string& form) {
  return record({{1, kind}, {2, version}, {3, oldest}, {4, form}});
}

std::string agreed(uint64_t kind, uint64_t version, uint64_t max_size) {
  return record({{1, kind}, {2, version}, {3, max_size}});
}

std::string digest_of(const std::string& value, const std::string& tags) {
  return u64s({siphash24(value)}) + tags;
}

constexpr uint64_t kConnection7 = uint64_t{9} << 32 | 7;  // generation 9, slot 7
constexpr uint64_t kConnection8 = uint64_t{3} << 32 | 8;
constexpr uint64_t kNewestGeneration = 9;
constexpr uint64_t kMonotonic = 81'234'567'890'123;

std::vector<GoldenMessage> meeting() {
  const std::string offered = batch({{"data", described(1, 2, 1, "kv.entry")},
                                     {"clients", described(2, 1, 1, "kv.client")},
                                     {"heap", described(3, 3, 3, "heap")}});
  const std::string items = batch({{"data", agreed(1, 2, 0)},
                                   {"clients", agreed(2, 1, 0)},
                                   {"heap", agreed(3, 3, 67'108'864)}});
  const Numbers hello = {{1, "SEGUE"}, {2, 1U},      {3, 1U},      {4, "kv"}, {5, "1.4.2"},
                         {6, nonce()}, {7, 19'984U}, {8, offered}, {9, 4711U}};
  Numbers newer = hello;
  newer[2] = {3, 2U};
  newer.push_back({10, "said by version 2"});
  Numbers too_new = hello;
  too_new[1] = {2, 2U};
  too_new[2] = {3, 3U};
  const Numbers accept = {{1, 1U},    {2, "1.4.1"}, {3, 2U}, {4, 17U},    {5, items},  {6, 1U},
                          {7, 5000U}, {8, 2000U},   {9, 1U}, {10, 3000U}, {11, 2000U}, {12, 0U}};
  Numbers with_lock = accept;
  with_lock[11] = {12, 1U};
  return {
      {"HELLO", FrameType::hello, 0, hello, {}},
      {"HELLO.newer", FrameType::hello, 0, newer, {}},
      {"HELLO.too_new", FrameType::hello, 0, too_new, {}},
      {"ACCEPT", FrameType::accept, 1, accept, {}},
      {"ACCEPT.with_lock", FrameType::accept, 2, with_lock, {}},
      {"REFUSE", FrameType::refuse, 0, {{1, 4U}, {2, "no common protocol version"}}, {}},
      {"READY", FrameType::ready, 0, {}, {}},
  };
}

std::vector<GoldenMessage> background() {
  const std::string entry = record({{1, "value"}, {2, 300U}});
  return {
      {"LISTENERS", FrameType::listeners, 2, {}, batch({{"main", ""}, {"admin", ""}})},
      {"DESCRIPTORS", FrameType::descriptors, 1, {}, batch({{"journal", ""}})},
      {"ARENA", FrameType::arena, 1, {{1, 2U}, {2, 4096U}, {3, 67'108'864U}}, {}},
      {"ARENA.grown", FrameType::arena, 0, {{1, 2U}, {2, 8192U}, {3, 67'108'864U}}, {}},
      {"CONNECTIONS",
       FrameType::connections,
       2,
       {{1, 1U}, {2, 2U}, {3, u64s({kConnection7, kConnection8})}},
       {}},
      {"CONNECTION_RECORDS",
       FrameType::connection_records,
       0,
       {{1, 1U},
        {2,
         batch({{u64s({kConnection7}), record({{1, "SUBSCRIBE"}})}, {u64s({kConnection8}), ""}})}},
       {}},
      {"CONNECTIONS_CLOSED", FrameType::connections_closed, 0, {{1, u64s({kConnection8})}}, {}},
      {"TABLE_PUT",
       FrameType::table_put,
       0,
       {{1, 0U}, {2, batch({{"k1", entry}, {"k2", record({{1, ""}})}})}},
       {}},
      {"TABLE_ERASE", FrameType::table_erase, 0, {{1, 0U}, {2, batch({{"k3", ""}})}}, {}},
      {"REMOVED", FrameType::removed, 0, {{1, 1U}, {2, "admin"}}, {}},
      {"REMOVED.descriptor", FrameType::removed, 0, {{1, 2U}, {2, "journal"}}, {}},
      {"ROUND",
       FrameType::round,
       0,
       {{1, 1U}, {2, 1'000'003U}, {3, 9'004U}, {4, 123'456'789U}, {5, 0U}},
       {}},
      {"ROUND.last",
       FrameType::round,
       0,
       {{1, 4U}, {2, 1'000'042U}, {3, 9'005U}, {4, 123'460'000U}, {5, 1U}},
       {}},
      {"ROUND_DONE",
       FrameType::round_done,
       0,
       {{1, 1U}, {2, 512'000'000U}, {3, 1'000'003U}, {4, 9'004U}},
       {}},
      {"MARK", FrameType::mark, 0, {}, {}},
      {"DIGESTS",
       FrameType::digests,
       0,
       {{1, 0U}, {2, batch({{"k1", digest_of(entry, std::string("\x01\x02"))}})}},
       {}},
      {"EXCLUDED", FrameType::excluded, 0, {{1, 0U}, {2, batch({{"k2", ""}})}}, {}},
      {"REHEARSE", FrameType::rehearse, 0, {}, {}},
      {"REHEARSED", FrameType::rehearsed, 0, {{1, 1U}, {2, ""}, {3, ""}, {4, ""}}, {}},
      {"REHEARSED.differs",
       FrameType::rehearsed,
       0,
       {{1, 0U}, {2, "the successor does not have this record"}, {3, "data"}, {4, "k1"}},
       {}},
  };
}

std::vector<GoldenMessage> foreground() {
  return {
      {"FINAL",
       FrameType::final,
       0,
       {{1, 17U},
        {2, kMonotonic},
        {3, kMonotonic + 10'000'000},
        {4, 1'000'044U},
        {5, 9'005U},
        {6, kNewestGeneration}},
       {}},
      {"ACTIVATED",
       FrameType::activated,
       0,
       {{1, 18U}, {2, 1'840'000U}, {3, kMonotonic + 1'830'000}},
       {}},
      {"DECLINE", FrameType::decline, 0, {{1, 1U}, {2, "the budget was used up"}}, {}},
      {"DECLINE.acquire",
       FrameType::decline,
       0,
       {{1, 3U}, {2, "a single-access resource could not be taken"}},
       {}},
      {"WITHDRAWN", FrameType::withdrawn, 0, {{1, 18U}, {2, 10'004'211U}}, {}},
      {"COMMIT", FrameType::commit, 0, {}, {}},
      {"COMMITTED", FrameType::committed, 0, {}, {}},
      {"ABORT", FrameType::abort, 0, {{1, 1U}, {2, "the operator stopped it"}}, {}},
      {"HEARTBEAT", FrameType::heartbeat, 0, {}, {}},
      {"JOURNAL", FrameType::journal, 1, {{1, 16'777'216U}}, {}},
      {"ROOM", FrameType::room, 0, {{1, 9'936U}}, {}},
      {"ACCEPTED", FrameType::accepted, 1, {{1, 1U}, {2, u64s({kConnection7})}}, {}},
  };
}

std::string u32s(std::initializer_list<uint32_t> values) {
  std::string bytes;
  for (const uint32_t value : values) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift));
  }
  return bytes;
}

std::vector<GoldenMessage> heaps() {
  constexpr uint64_t kRecord = uint64_t{5} << 32 | 3;  // generation 5, slot 3
  constexpr uint64_t kFreeSlot = uint64_t{2} << 32 | 4;
  const std::string offered =
      batch({{"state", described(4, 2, 1, "kv.state")}, {"sessions", record({{5, 1U}})}});
  const std::string agreed_heap =
      record({{1, 4U}, {2, 1U}, {3, uint64_t{1} << 30}, {4, 1U}, {5, 700'000'000U}});
  const Numbers hello = {{1, "SEGUE"}, {2, 1U},      {3, 1U},      {4, "kv"}, {5, "1.4.2"},
                         {6, nonce()}, {7, 19'984U}, {8, offered}, {9, 4711U}};
  const Numbers accept = {
      {1, 1U},     {2, "1.4.1"}, {3, 2U},    {4, 17U}, {5, batch({{"state", agreed_heap}})},
      {6, 1U},     {7, 5000U},   {8, 2000U}, {9, 1U},  {10, 3000U},
      {11, 2000U}, {12, 0U}};
  Numbers knowing = hello;
  knowing.push_back({11, 1U});
  return {
      {"HELLO.knows_clear", FrameType::hello, 0, knowing, {}},
      {"TABLE_CLEAR", FrameType::table_clear, 0, {{1, 0U}}, {}},
      {"EXCLUDED.all", FrameType::excluded, 0, {{1, 0U}, {3, 1U}}, {}},
      {"HELLO.heap", FrameType::hello, 0, hello, {}},
      {"ACCEPT.heap", FrameType::accept, 1, accept, {}},
      {"HEAP", FrameType::heap, 1, {{1, 0U}, {2, 41U}, {3, 1'000'000U}}, {}},
      {"HEAP_SLOTS", FrameType::heap_slots, 0, {{1, 0U}, {2, 42U}, {3, u32s({3, 4})}}, {}},
      {"HEAP_PUT",
       FrameType::heap_put,
       0,
       {{1, 0U},
        {2, batch({{u64s({kRecord}), record({{1, "bytes"}, {2, 7U}})}, {u64s({kFreeSlot}), ""}})}},
       {}},
      {"HEAP_MARK",
       FrameType::heap_mark,
       0,
       {{1, 0U},
        {2, 43U},
        {3, 1'000'002U},
        {4, 999'998U},
        {5, uint64_t{0x0123456789ABCDEF}},
        {6, uint64_t{0x40001000}},
        {7, kRecord}},
       {}},
  };
}

std::string kv_items() {
  segue_writer item;
  put_number(item, 1, 1);
  put_number(item, 2, 3);
  put_number(item, 3, 1);
  put_field(item, 4, "kv.entry");
  std::string batch;
  append_batch_entry(batch, "keys", item.fields);
  return batch;
}

std::string kv_loss() {
  segue_writer loss;
  put_number(loss, 1, 1);
  put_field(loss, 2, "keys");
  put_field(loss, 3, "kv.entry");
  put_number(loss, 4, 3);
  put_number(loss, 5, 2);
  put_number(loss, 6, 14);
  put_field(loss, 7, "longest rest");
  put_number(loss, 8, 12'034);
  return std::move(loss.fields);
}

std::vector<GoldenMessage> keeper_channel() {
  const std::string names = batch({{"main", ""}, {"admin", ""}});
  return {
      {"K_HELLO",
       FrameType::keeper_hello,
       0,
       {{1, 1U}, {2, 1U}, {3, "kv"}, {4, "1.4.2"}, {5, 4711U}},
       {}},
      {"K_START", FrameType::keeper_start, 3, {{1, 1U}, {2, names}}, {}},
      {"K_STORE", FrameType::keeper_store, 2, {{1, names}}, {}},
      {"K_UNSTORE", FrameType::keeper_unstore, 0, {{1, "admin"}}, {}},
      {"K_ATTEMPT",
       FrameType::keeper_attempt,
       3,
       {{1, 1U},
        {2, 7U},
        {3, nonce()},
        {4, 1U},
        {5, 10'000U},
        {6, 30U},
        {7, 5U},
        {8, 300'000U},
        {9, 60'000U},
        {10, 5'000U},
        {11, 2'000U},
        {12, 3'000U},
        {13, 1U},
        {14, 0U},
        {15, 2U}},
       {}},
      {"K_ATTEMPT.own_options",
       FrameType::keeper_attempt,
       3,
       {{1, 2U}, {2, 7U}, {3, nonce()}, {4, 2U}, {15, 2U}},
       {}},
      {"K_PROGRESS",
       FrameType::keeper_progress,
       0,
       {{1, 7U},
        {2, 1U},
        {3, 5U},
        {4, 4U},
        {5, 1U},
        {6, 1'000'044U},
        {7, 123'460'000U},
        {8, 9'005U},
        {9, 9'000U},
        {10, 700'000U},
        {11, 1'840'000U},
        {12, 0U}},
       {}},
      {"K_PROGRESS.replayed",
       FrameType::keeper_progress,
       0,
       {{1, 7U},
        {2, 1U},
        {3, 7U},
        {4, 4U},
        {5, 1U},
        {6, 1'000'044U},
        {7, 123'460'000U},
        {8, 9'005U},
        {9, 9'000U},
        {10, 700'000U},
        {11, 1'840'000U},
        {12, 0U},
        {13, 1'203U},
        {14, 2U},
        {15, 1U}},
       {}},
      {"K_EVENT",
       FrameType::keeper_event,
       0,
       {{1, 7U}, {2, 2U}, {3, 1U}, {4, ""}, {5, 1'840'000U}, {6, 18U}},
       {}},
      {"K_EVENT.failed",
       FrameType::keeper_event,
       0,
       {{1, 7U}, {2, 1U}, {3, 3U}, {4, "the successor died"}, {5, 0U}, {6, 17U}},
       {}},
      {"K_COMMIT", FrameType::keeper_commit, 0, {{1, 7U}}, {}},
      {"K_ABORT", FrameType::keeper_abort, 0, {{1, 7U}, {2, "the operator stopped it"}}, {}},
      {"K_END", FrameType::keeper_end, 0, {{1, 4U}}, {}},
      {"K_PING", FrameType::keeper_ping, 0, {{1, 99U}}, {}},
      {"K_PONG", FrameType::keeper_pong, 0, {{1, 99U}, {2, 1U}, {3, 9'000U}}, {}},
      {"K_PING.that_asks", FrameType::keeper_ping, 0, {{1, 99U}, {2, 1U}}, {}},
      {"K_PONG.with_inventory",
       FrameType::keeper_pong,
       0,
       {{1, 99U}, {2, 1U}, {3, 2U}, {4, "\x01\x01\x01\x02\x03web\x03\x01\x02\x04\x02\x07\x02"}},
       {}},
      {"K_HELLO.abilities",
       FrameType::keeper_hello,
       0,
       {{1, 1U}, {2, 1U}, {3, "kv"}, {4, "2.0"}, {5, 4'711U}, {6, 3U}},
       {}},
      {"K_RENDEZVOUS",
       FrameType::keeper_rendezvous,
       1,
       {{1, "/run/segue/kv/instances.sock"}, {2, std::string(32, 'n')}, {3, 4U}},
       {}},
      {"K_REJOIN",
       FrameType::keeper_rejoin,
       2,
       {{1, 1U},
        {2, 1U},
        {3, "kv"},
        {4, "2.0"},
        {5, 4'711U},
        {6, 3U},
        {7, std::string(32, 'n')},
        {8, 4U},
        {9, 6U},
        {10, 9'000U}},
       {}},
      {"K_RELEASE", FrameType::keeper_release, 0, {}, {}},
      {"K_HELLO.items",
       FrameType::keeper_hello,
       0,
       {{1, 1U}, {2, 1U}, {3, "kv"}, {4, "2.0"}, {5, 4'711U}, {6, 7U}, {11, kv_items()}},
       {}},
      {"K_SURVEY", FrameType::keeper_survey, 0, {{1, 5U}, {2, kv_items()}}, {}},
      {"K_LOSSES",
       FrameType::keeper_losses,
       0,
       {{1, 5U}, {2, kv_loss()}, {3, 20'000U}, {4, 0U}},
       {}},
      {"K_ATTEMPT.keeper_fences",
       FrameType::keeper_attempt,
       3,
       {{1, 1U}, {2, 7U}, {3, nonce()}, {4, 1U}, {11, 2'000U}, {15, 2U}, {17, 1U}},
       {}},
      {"K_FENCE", FrameType::keeper_fence, 0, {{1, 7U}, {2, 2U}}, {}},
      {"K_REJOIN.that_fences",
       FrameType::keeper_rejoin,
       2,
       {{1, 1U},
        {2, 1U},
        {3, "kv"},
        {4, "2.0"},
        {5, 4'711U},
        {6, 3U},
        {7, std::string(32, 'n')},
        {8, 4U},
        {9, 6U},
        {10, 9'000U},
        {12, 7U}},
       {}},
      {"K_CHANNEL", FrameType::keeper_channel, 2, {{1, batch({{"keeper", ""}, {"lock", ""}})}}, {}},
  };
}

[[noreturn]] void give_up(const std::string& why) {
  fprintf(stderr, "%s: %s\n", SEGUE_GOLDEN_FILE, why.c_str());
  abort();
}

std::string from_hex(const std::string& line, const std::string& hex) {
  if (hex.size() % 2 != 0) give_up("half a byte in: " + line);
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, bad] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (bad != std::errc{} || end != hex.data() + i + 2) give_up("not hex: " + line);
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::map<std::string, std::string> read_golden_file() {
  std::ifstream file(SEGUE_GOLDEN_FILE);
  if (!file) give_up("cannot be read");
  std::map<std::string, std::string> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    std::string hex;
    for (std::string word; words >> word;) hex += word;
    if (!lines.emplace(name, from_hex(line, hex)).second) give_up(name + " is there twice");
  }
  return lines;
}

}  // namespace

const std::vector<GoldenMessage>& golden_messages() {
  static const std::vector<GoldenMessage> messages = [] {
    std::vector<GoldenMessage> all;
    for (auto* part : {&meeting, &background, &foreground, &heaps, &keeper_channel}) {
      for (GoldenMessage& message : part()) all.push_back(std::move(message));
    }
    return all;
  }();
  return messages;
}

const std::map<std::string, std::string>& golden_file() {
  static const std::map<std::string, std::string> lines = read_golden_file();
  return lines;
}

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    hex.append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
  }
  return hex;
}

}  // namespace segue::handoff::test
