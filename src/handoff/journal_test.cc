// SPDX-License-Identifier: Apache-2.0
// A journal is whole at every instruction of its writer, and its reader trusts nothing in it.
#include "handoff/journal.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "handoff/journal_memory.h"
#include "handoff/story.h"
#include "handoff/test_link.h"

namespace segue::handoff::test {
namespace {

constexpr size_t kBytes = kSmallestJournalBytes;
constexpr uint64_t kOne = uint64_t{1} << 32;
constexpr uint64_t kTwo = uint64_t{2} << 32 | 1;

JournalEntry entry(EntryKind kind, uint64_t connection, uint64_t a, uint64_t b = 0,
                   std::string_view bytes = {}) {
  return {kind, static_cast<uint32_t>(bytes.size()), connection, a, b, 0, bytes};
}

// What a recorder does, with memory in the place of the kernel.
void write_some_of_all(JournalWriter& writer) {
  writer.begin();
  writer.append(entry(EntryKind::totals, kOne, 10, 20));
  char* place = writer.open_intent({EntryKind::input, 4096, kOne, 0, 0, 0, {}});
  memcpy(place, "INCR a", 6);
  writer.settle_intent(6, 0);
  writer.append(entry(EntryKind::note, 0, 7, 0, "the time"));
  writer.open_intent({EntryKind::sent, 300, kOne, 0, 0xAAAA, 0, {}});
  writer.settle_intent(100, 0xBBBB);
  writer.open_intent({EntryKind::input, 4096, kTwo, 0, 0, 0, {}});
  writer.drop_intent();
  writer.append(entry(EntryKind::accepted, kTwo, 3));
  writer.open_intent({EntryKind::input, 64, kTwo, 0, 0, 0, {}});
  writer.settle_intent(0, 0);
  writer.append(entry(EntryKind::closed, kTwo, 1));
}

std::string text_of(const JournalEntry& e) {
  return std::to_string(static_cast<int>(e.kind)) + " " + std::to_string(e.connection) + " " +
         std::to_string(e.a) + " " + std::to_string(e.c) + " '" + std::string(e.bytes) + "'";
}

// The entries; "broken" behind them if the reader said so.
std::vector<std::string> read_all(std::string_view memory) {
  const JournalView view(memory);
  std::vector<std::string> texts;
  size_t cursor = 0;
  JournalEntry e;
  JournalView::Got got = JournalView::Got::end;
  while ((got = view.next(cursor, e)) == JournalView::Got::entry) texts.push_back(text_of(e));
  if (got == JournalView::Got::broken) texts.emplace_back("broken");
  return texts;
}

class Journal : public testing::Test {
 protected:
  Journal() {
    const Status status = JournalMemory::create(kBytes, memory_);
    EXPECT_TRUE(status.ok()) << status.text;
  }
  JournalMemory memory_;
};

TEST_F(Journal, what_was_written_is_read) {
  EXPECT_EQ(JournalView(memory_.bytes()).state(), JournalState::unused);
  JournalWriter writer(memory_.data(), memory_.size());
  write_some_of_all(writer);
  const std::vector<std::string> expected = {"1 4294967296 10 0 ''", "2 4294967296 6 0 'INCR a'",
                                             "6 0 7 0 'the time'",   "3 4294967296 100 48059 ''",
                                             "4 8589934593 3 0 ''",  "2 8589934593 0 0 ''",
                                             "5 8589934593 1 0 ''"};
  EXPECT_EQ(read_all(memory_.bytes()), expected);
  JournalEntry e;
  EXPECT_EQ(JournalView(memory_.bytes()).open_intent(e), JournalView::Got::end);
}

TEST_F(Journal, is_whole_at_every_instruction_of_its_writer) {
  JournalMemory complete;
  ASSERT_TRUE(JournalMemory::create(kBytes, complete).ok());
  JournalWriter once(complete.data(), complete.size());
  write_some_of_all(once);
  const std::vector<std::string> all = read_all(complete.bytes());

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    JournalWriter writer(memory_.data(), memory_.size());
    raise(SIGSTOP);
    write_some_of_all(writer);
    _exit(0);
  }
  size_t steps = 0;
  size_t entries = 0;
  size_t intents = 0;
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  while (WIFSTOPPED(status)) {
    ++steps;
    const std::vector<std::string> now = read_all(memory_.bytes());
    ASSERT_TRUE(now.size() >= entries && now.size() <= all.size()) << "step " << steps;
    ASSERT_EQ(now, std::vector(all.begin(), all.begin() + static_cast<int64_t>(now.size())));
    entries = now.size();
    JournalEntry e;
    const JournalView::Got got = JournalView(memory_.bytes()).open_intent(e);
    ASSERT_NE(got, JournalView::Got::broken) << "step " << steps;
    if (got == JournalView::Got::entry) {
      ++intents;
      ASSERT_EQ(e.kind == EntryKind::input ? e.bytes.size() : e.size, e.size);
      ASSERT_TRUE(e.size == 4096 || e.size == 300 || e.size == 64) << e.size;
      ASSERT_TRUE(e.kind != EntryKind::sent || e.b == 0xAAAA);
    }
    ASSERT_EQ(ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr), 0);
    ASSERT_EQ(waitpid(child, &status, 0), child);
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(entries, all.size());
  EXPECT_GT(steps, 500U);
  EXPECT_GT(intents, 10U);
}

TEST_F(Journal, without_room_nothing_is_written) {
  JournalWriter writer(memory_.data(), memory_.size());
  writer.begin();
  const std::string large(40'000, 'x');
  EXPECT_TRUE(writer.append(entry(EntryKind::note, 0, 1, 0, large)));
  EXPECT_FALSE(writer.append(entry(EntryKind::note, 0, 2, 0, large)));
  EXPECT_EQ(writer.open_intent({EntryKind::input, 40'000, kOne, 0, 0, 0, {}}), nullptr);
  const size_t room = writer.room();
  ASSERT_NE(writer.open_intent({EntryKind::input, static_cast<uint32_t>(room), kOne, 0, 0, 0, {}}),
            nullptr);
  writer.settle_intent(room, 0);
  EXPECT_EQ(writer.room(), 0U);
  EXPECT_FALSE(writer.append(entry(EntryKind::closed, kOne, 0)));
  EXPECT_EQ(read_all(memory_.bytes()).size(), 2U);
}

TEST_F(Journal, begun_again_it_is_empty) {
  JournalWriter writer(memory_.data(), memory_.size());
  write_some_of_all(writer);
  writer.open_intent({EntryKind::sent, 1, kOne, 0, 0, 0, {}});
  writer.begin();
  EXPECT_TRUE(read_all(memory_.bytes()).empty());
  JournalEntry e;
  EXPECT_EQ(JournalView(memory_.bytes()).open_intent(e), JournalView::Got::end);
}

TEST_F(Journal, spoilt_bytes_are_never_followed_outside) {
  JournalWriter writer(memory_.data(), memory_.size());
  write_some_of_all(writer);
  writer.open_intent({EntryKind::input, 64, kOne, 0, 0, 0, {}});
  std::string copy(memory_.bytes());  // so that the sanitizer sees its end
  const size_t interesting = kJournalHeaderBytes + 400;
  for (size_t at = 0; at < interesting; at += at == 48 ? kJournalHeaderBytes - 48 : 1) {
    for (const char value : {'\x00', '\x01', '\x7F', '\xFF'}) {
      const char before = std::exchange(copy[at], value);
      for (const size_t kept : {copy.size(), kJournalHeaderBytes + 100, kJournalHeaderBytes - 1}) {
        const std::string cut = copy.substr(0, kept);
        read_all(cut);
        JournalEntry e;
        if (JournalView(cut).open_intent(e) == JournalView::Got::entry) {
          EXPECT_LE(e.bytes.size(), cut.size());
        }
        Stories stories;
        read_stories(JournalView(cut), stories);
      }
      copy[at] = before;
    }
  }
}

TEST_F(Journal, memory_of_another_size_or_without_seals_is_refused) {
  JournalMemory mapped;
  EXPECT_FALSE(JournalMemory::map(UniqueFd(dup(memory_.fd())), kBytes * 2, mapped).ok());
  UniqueFd bare(memfd_create("bare", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(bare.get(), kBytes), 0);
  EXPECT_FALSE(JournalMemory::map(std::move(bare), kBytes, mapped).ok());
  EXPECT_TRUE(JournalMemory::map(UniqueFd(dup(memory_.fd())), kBytes, mapped).ok());
}

// ---- Stories -------------------------------------------------------------------------------

TEST(Story, kernel_says_how_much_of_an_intent_happened) {
  Story story;
  story.before = KernelTotals{100, 200};
  story.consumed = 10;
  story.sent = 20;
  story.intent_is_input = true;
  story.intent_size = 64;
  settle_story(story, TotalsKind::known, {117, 220});
  EXPECT_TRUE(story.repairable);
  EXPECT_EQ(story.intent_consumed, 7U);
  settle_story(story, TotalsKind::known, {110, 221});
  EXPECT_FALSE(story.repairable) << "something was sent that nobody recorded";
  settle_story(story, TotalsKind::known, {110 + 65, 220});
  EXPECT_FALSE(story.repairable) << "more than there was room for";
  story.intent_is_input = false;
  settle_story(story, TotalsKind::known, {110, 240});
  EXPECT_TRUE(story.repairable);
  EXPECT_EQ(story.all_sent(), 40U);
  settle_story(story, TotalsKind::known, {109, 220});
  EXPECT_FALSE(story.repairable) << "less than was recorded";
}

TEST(Story, without_the_kernels_word_only_what_has_no_open_intent_can_be_repaired) {
  Story story;
  story.consumed = 10;
  settle_story(story, TotalsKind::unknown, {});
  EXPECT_TRUE(story.repairable);
  story.intent_size = 5;
  settle_story(story, TotalsKind::unknown, {});
  EXPECT_FALSE(story.repairable);
}

}  // namespace
}  // namespace segue::handoff::test
