// SPDX-License-Identifier: Apache-2.0
#include "crypto/hmac.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"

namespace segue::crypto {
namespace {

TEST(Hmac, gives_what_rfc_4231_says) {
  EXPECT_EQ(to_hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(std::string(131, '\xaa'),
                               "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(EqualSecrets, differ_by_length_and_by_any_byte) {
  EXPECT_TRUE(equal_secrets("secret", "secret"));
  EXPECT_TRUE(equal_secrets("", ""));
  EXPECT_FALSE(equal_secrets("secret", "secre"));
  EXPECT_FALSE(equal_secrets("secret", "sEcret"));
}

}  // namespace
}  // namespace segue::crypto
