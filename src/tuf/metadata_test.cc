// SPDX-License-Identifier: Apache-2.0
// Values of metadata: what is read, what is written again, what is refused.
#include "tuf/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "tuf/test_repository.h"

namespace segue::tuf {
namespace {

using testing::HasSubstr;

TEST(Time, is_read_as_it_is_written) {
  for (const char* text :
       {"1985-10-21T01:21:00Z", "2028-02-29T23:59:59Z", "9999-12-31T00:00:00Z"}) {
    EXPECT_EQ(to_string(parse_time(text).value()), text);
  }
}

TEST(Time, has_one_form) {
  for (const char* text : {"", "2030-01-01", "2030-01-01T00:00:00", "2030-01-01T00:00:00+00:00",
                           "2030-01-01T00:00:00.5Z", "2030-02-30T00:00:00Z", "2030-01-01T24:00:00Z",
                           "2030-01-01T00:60:00Z", "2030-1-01T000:00:00Z", "2030-01-01 00:00:00Z",
                           "+030-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(Pattern, wildcards_stop_at_slashes) {
  EXPECT_TRUE(matches_pattern("targets/foo.tgz", "targets/*.tgz"));
  EXPECT_FALSE(matches_pattern("targets/foo.txt", "targets/*.tgz"));
  EXPECT_FALSE(matches_pattern("targets/foo.tgz", "*.tgz"));
  EXPECT_FALSE(matches_pattern("targets/a/foo.tgz", "targets/*"));
  EXPECT_TRUE(matches_pattern("foo-version-a.tgz", "foo-version-?.tgz"));
  EXPECT_FALSE(matches_pattern("foo-version-alpha.tgz", "foo-version-?.tgz"));
  EXPECT_FALSE(matches_pattern("a/b", "a?b"));
  EXPECT_FALSE(matches_pattern("README.MD", "*.md"));
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_TRUE(matches_pattern("", "*"));
  EXPECT_FALSE(matches_pattern("a", ""));
  EXPECT_FALSE(matches_pattern("a/b", "a"));
  EXPECT_FALSE(matches_pattern("a", "a/b"));
}

TEST(Pattern, stars_try_again) {
  EXPECT_TRUE(matches_pattern("abcabd", "*abd"));
  EXPECT_TRUE(matches_pattern("aXbXc", "a*X*c"));
  EXPECT_FALSE(matches_pattern("aXb", "a*Xc"));
  // Many stars take no exponential time.
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_FALSE(matches_pattern(std::string(2'000, 'a'), pattern + "b"));
}

TEST(Pattern, sets_and_characters_of_several_bytes) {
  EXPECT_TRUE(matches_pattern("v1", "v[0-9]"));
  EXPECT_FALSE(matches_pattern("vx", "v[0-9]"));
  EXPECT_TRUE(matches_pattern("vx", "v[!0-9]"));
  EXPECT_TRUE(matches_pattern("v]", "v[]]"));
  EXPECT_TRUE(matches_pattern("v[1", "v[1"));
  EXPECT_TRUE(matches_pattern("v\xC3\xA9", "v?"));
  EXPECT_TRUE(matches_pattern("v\xC3\xA9", "v[a\xC3\xA9]"));
}

TEST(Key, has_the_digest_of_its_canonical_form_as_id) {
  for (const auto type : {crypto::KeyType::ed25519, crypto::KeyType::ecdsa_p256}) {
    const auto key = Key::of(crypto::PrivateKey::generate(type).value().public_key());
    const auto again = Key::parse(key.id, key.json).value();
    EXPECT_EQ(again.key->fingerprint(), key.key->fingerprint());
    EXPECT_FALSE(Key::parse(std::string(64, '0'), key.json));
  }
}

// The example of the specification, section 4.3.
TEST(Key, of_the_example_of_the_specification) {
  const Json json = {
      {"keytype", "ed25519"},
      {"scheme", "ed25519"},
      {"keyval", {{"public", "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c"}}}};
  EXPECT_TRUE(
      Key::parse(crypto::to_hex(crypto::digest_of(canonical_json(json).value())), json)->key);
}

TEST(Key, that_is_damaged_or_unknown_is_known_but_of_no_use) {
  for (Json json :
       {Json{{"keytype", "ed25519"}, {"scheme", "ed25519"}, {"keyval", {{"public", "ff"}}}},
        Json{{"keytype", "rsa"}, {"scheme", "rsassa-pss-sha256"}, {"keyval", {{"public", "x"}}}},
        Json{{"keytype", "rsa"}, {"scheme", "unknown"}, {"keyval", {{"public", "x"}}}}}) {
    const std::string id = crypto::to_hex(crypto::digest_of(canonical_json(json).value()));
    EXPECT_FALSE(Key::parse(id, json).value().key) << json;
  }
}

TEST(Metadata, of_each_type_is_written_as_it_was_read) {
  TestRepository repository;
  DelegatedRole role;
  role.name = "d";
  role.paths = std::vector<std::string>{"d/*"};
  repository.delegate("targets", role);
  TargetFile& file = repository.roles.at("targets").targets["x"];
  file.hashes["sha256"] = std::string(64, '0');
  file.custom = Json{{"z", {1, 2}}, {"a", "text"}};
  const auto with_strangers = [](Json json) {
    json["x-field"] = Json{{"a", 1}};
    return json;
  };
  const Json root = with_strangers(to_json(repository.root));
  EXPECT_EQ(to_json(from_json<Root>(root).value()), root);
  const Json targets = with_strangers(to_json(repository.roles.at("targets")));
  EXPECT_EQ(to_json(from_json<Targets>(targets).value()), targets);
  const Json snapshot = with_strangers(to_json(repository.snapshot));
  EXPECT_EQ(to_json(from_json<Snapshot>(snapshot).value()), snapshot);
  const Json timestamp = with_strangers(to_json(repository.timestamp));
  EXPECT_EQ(to_json(from_json<Timestamp>(timestamp).value()), timestamp);
}

struct Damage {
  const char* pointer;
  Json value;  // discarded: the member is taken away
};

class DamagedTargets : public testing::TestWithParam<Damage> {};

TEST_P(DamagedTargets, are_refused) {
  TestRepository repository;
  DelegatedRole role;
  role.name = "d";
  role.paths = std::vector<std::string>{"d/*"};
  repository.delegate("targets", role);
  repository.roles.at("targets").targets["x"].hashes["sha256"] = std::string(64, '0');
  Json json = to_json(repository.roles.at("targets"));
  ASSERT_TRUE(from_json<Targets>(json));
  json[Json::json_pointer(GetParam().pointer)] = GetParam().value;
  const auto refused = from_json<Targets>(json);
  ASSERT_FALSE(refused) << json;
  EXPECT_FALSE(refused.error().message().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Metadata, DamagedTargets,
    testing::Values(Damage{"/version", 0}, Damage{"/version", -1}, Damage{"/version", "1"},
                    Damage{"/version", 9223372036854775808U}, Damage{"/spec_version", "2.0.0"},
                    Damage{"/expires", "tomorrow"}, Damage{"/_type", "root"},
                    Damage{"/targets", Json::array()}, Damage{"/targets/x/length", -1},
                    Damage{"/targets/x/hashes", Json::object()},
                    Damage{"/targets/x/hashes/sha256", "../../etc"},
                    Damage{"/targets/x/hashes/sha256", 7}, Damage{"/targets/x/custom", 7},
                    Damage{"/delegations/roles/0/name", "timestamp"},
                    Damage{"/delegations/roles/0/name", ""},
                    Damage{"/delegations/roles/0/name", std::string(201, 'a')},
                    Damage{"/delegations/roles/0/threshold", 0},
                    Damage{"/delegations/roles/0/keyids", Json{"a", "a"}},
                    Damage{"/delegations/roles/0/path_hash_prefixes", Json{"ab"}},
                    Damage{"/delegations/roles/0/terminating", 1},
                    Damage{"/delegations/keys/00", Json::object()}));

TEST(Metadata, with_one_delegation_twice_is_refused) {
  TestRepository repository;
  DelegatedRole role;
  role.name = "d";
  repository.delegate("targets", role);
  Json json = to_json(repository.roles.at("targets"));
  json["delegations"]["roles"].push_back(json["delegations"]["roles"][0]);
  EXPECT_THAT(from_json<Targets>(json).error().message(), HasSubstr("delegated twice"));
}

TEST(Metadata, a_timestamp_describes_the_snapshot_alone) {
  TestRepository repository;
  Json json = to_json(repository.timestamp);
  json["meta"]["targets.json"] = json["meta"]["snapshot.json"];
  EXPECT_FALSE(from_json<Timestamp>(json));
}

TEST(Hashes, all_that_are_known_have_to_be_right_and_one_has_to_be_known) {
  const std::string sha256 = crypto::to_hex(crypto::digest_of("data"));
  const std::string sha512 =
      crypto::to_hex(crypto::digest_of("data", crypto::HashAlgorithm::sha512));
  EXPECT_TRUE(check_hashes("data", {{"sha256", sha256}, {"sha512", sha512}, {"new", "1"}}));
  EXPECT_FALSE(check_hashes("data", {{"sha256", sha256}, {"sha512", std::string(128, '0')}}));
  EXPECT_FALSE(check_hashes("data", {{"new", "1"}}));
  EXPECT_FALSE(check_hashes("data", {}));
}

}  // namespace
}  // namespace segue::tuf
