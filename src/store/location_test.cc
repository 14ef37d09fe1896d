// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/temp_directory.h"
#include "store/test_store.h"

namespace segue::store {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Location, names_every_member_of_an_etcd_cluster) {
  const auto location = parse_location("etcd://10.0.0.1:2379,[::1]:2380,host-c.example:1/fleet");
  ASSERT_TRUE(location) << location.error().to_string();
  const auto& settings = std::get<EtcdSettings>(*location);
  EXPECT_THAT(settings.members,
              ElementsAre("http://10.0.0.1:2379", "http://[::1]:2380", "http://host-c.example:1"));
  EXPECT_EQ(settings.root, "/fleet/");
  for (const char* text : {"etcd://a:1", "etcd://a:1/"}) {
    EXPECT_EQ(std::get<EtcdSettings>(parse_location(text).value()).root, "/segue/");
  }
}

TEST(Location, takes_certificates_with_tls) {
  const auto location = parse_location("etcds://a:1/x/y/?ca=/ca.pem&key=/k.pem&cert=/c.pem");
  ASSERT_TRUE(location) << location.error().to_string();
  const auto& settings = std::get<EtcdSettings>(*location);
  EXPECT_THAT(settings.members, ElementsAre("https://a:1"));
  EXPECT_EQ(settings.root, "/x/y/");
  EXPECT_EQ(settings.tls.authority, "/ca.pem");
  EXPECT_EQ(settings.tls.certificate, "/c.pem");
  EXPECT_EQ(settings.tls.key, "/k.pem");
}

TEST(Location, says_what_is_wrong_and_what_is_possible) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "does not name a store"},
      {"/var/lib/x", "does not name a store"},
      {"sqlite:relative", "does not name a store"},
      {"etcd://", "'' is not HOST:PORT"},
      {"etcd://a", "'a' is not HOST:PORT"},
      {"etcd://a:0", "is not HOST:PORT"},
      {"etcd://a:65536", "is not HOST:PORT"},
      {"etcd://a b:1", "is not HOST:PORT"},
      {"etcd://u@a:1", "is not HOST:PORT"},
      {"etcd://a:1,,b:1", "'' is not HOST:PORT"},
      {"etcd://a:1,a:1", "named twice"},
      {"etcd://a:1?ca=x", "are for etcds://"},
      {"etcds://a:1?tls=x", "none of ca=FILE"},
      {"etcds://a:1?ca=x&ca=y", "none of ca=FILE"},
      {"etcds://a:1?cert=x", "belong together"},
      {"etcd://a:1/" + std::string(200, 'x'), "prefix has"},
  };
  for (const auto& [text, why] : wrong) {
    const auto location = parse_location(text);
    ASSERT_FALSE(location) << text;
    EXPECT_EQ(location.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(location.error().message(), HasSubstr(why)) << text;
  }
}

TEST(Location, is_opened) {
  TestLoop loop;
  const os::TempDirectory directory;
  for (const std::string& text :
       {std::string("memory:"), "sqlite:" + directory.path("store"), std::string("etcd://a:1")}) {
    const auto store =
        open_store(parse_location(text).value(), *loop.scheduler, loop.loop, loop.clock);
    ASSERT_TRUE(store) << store.error().to_string();
    EXPECT_FALSE((*store)->name().empty());
  }
  EXPECT_FALSE(open_store(SqliteLocation{.directory = "/proc/none"}, *loop.scheduler, loop.loop,
                          loop.clock));
}

}  // namespace
}  // namespace segue::store
