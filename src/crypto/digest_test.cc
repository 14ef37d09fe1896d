// SPDX-License-Identifier: Apache-2.0
#include "crypto/digest.h"

#include <gtest/gtest.h>

namespace segue::crypto {
namespace {

TEST(Digest, of_the_examples_of_the_standard) {
  EXPECT_EQ(to_hex(digest_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(digest_of("abc", HashAlgorithm::sha512)),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST(Digest, does_not_depend_on_how_the_bytes_come) {
  Digest digest(HashAlgorithm::sha256);
  digest.update("a");
  digest.update("");
  digest.update("bc");
  EXPECT_EQ(std::move(digest).finish(), digest_of("abc"));
}

TEST(Hex, is_read_as_it_is_written) {
  const std::string bytes("\x00\x7f\x80\xff", 4);
  EXPECT_EQ(to_hex(bytes), "007f80ff");
  EXPECT_EQ(from_hex("007F80ff"), bytes);
  EXPECT_EQ(from_hex(""), "");
}

TEST(Hex, refuses_what_is_no_digit_and_half_a_byte) {
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
  EXPECT_FALSE(from_hex(" 0"));
}

}  // namespace
}  // namespace segue::crypto
