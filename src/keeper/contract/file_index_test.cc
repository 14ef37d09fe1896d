// SPDX-License-Identifier: Apache-2.0
// One process stands for two here: what it holds is fetched from itself.
#include "keeper/contract/file_index.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace segue::keeper {
namespace {

class Pair {
 public:
  explicit Pair(int (*make)(int*)) {
    std::array<int, 2> ends{};
    EXPECT_EQ(make(ends.data()), 0);
    one.reset(ends[0]);
    other.reset(ends[1]);
  }
  os::UniqueFd one;
  os::UniqueFd other;
};

int make_sockets(int* ends) {
  return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

FileIndex own_index() {
  const pid_t self = ::getpid();
  return FileIndex({&self, 1});
}

TEST(FileIndex, tells_sockets_memory_and_the_ends_of_a_pipe_apart) {
  const Pair sockets(make_sockets);
  const Pair pipe(::pipe);
  const os::UniqueFd memory(::memfd_create("one", 0));
  const os::UniqueFd other_memory(::memfd_create("one", 0));
  const std::array all = {&sockets.one, &sockets.other, &pipe.one,
                          &pipe.other,  &memory,        &other_memory};
  for (const auto* one : all) {
    EXPECT_TRUE(identity_of(one->get()).is_known());
    for (const auto* other : all) {
      EXPECT_EQ(identity_of(one->get()) == identity_of(other->get()), one == other);
    }
  }
}

TEST(FileIndex, another_descriptor_of_the_same_file_has_its_identity) {
  const os::UniqueFd memory(::memfd_create("one", 0));
  const auto copy = os::duplicate(memory.get());
  ASSERT_TRUE(copy);
  EXPECT_EQ(identity_of(memory.get()), identity_of(copy->get()));
}

TEST(FileIndex, has_no_identity_for_what_cannot_be_told_apart) {
  const os::UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(identity_of(event.get()).is_known());
  EXPECT_FALSE(identity_of(-1).is_known());
  EXPECT_FALSE(own_index().fetch({}));
}

TEST(FileIndex, fetches_what_is_still_held_and_nothing_else) {
  Pair sockets(make_sockets);
  const FileIdentity wanted = identity_of(sockets.one.get());
  const FileIndex index = own_index();
  ASSERT_TRUE(index.holds(wanted));
  const os::UniqueFd fetched = index.fetch(wanted);
  ASSERT_TRUE(fetched);
  ASSERT_EQ(::write(fetched.get(), "a", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(sockets.other.get(), &byte, 1), 1);

  // Its number belongs to another file now.
  const int number = sockets.one.release();
  ::close(number);
  const os::UniqueFd memory(::memfd_create("other", 0));
  EXPECT_EQ(memory.get(), number);
  EXPECT_FALSE(index.fetch(wanted));
}

}  // namespace
}  // namespace segue::keeper
