// SPDX-License-Identifier: Apache-2.0
#include "fleet/component_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "fleet/component_check.h"
#include "fleet/test_components.h"
#include "tuf/json.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

constexpr const char* kGolden =
    R"({"segue_component":1,"service":"chat","name":"hub","driver":"container",)"
    R"("release":{"library":"/srv/library","component":"chat-hub","version":"2.0.0-rc.1",)"
    R"("root":"/etc/segue/root.json"},)"
    R"("command":["/bin/hub","--greeting","hello \"you\"\n",""],)"
    R"("environment":["LEVEL=info","EMPTY=","WORDS=a=b"],)"
    R"("secrets":[{"name":"token","file":"/etc/chat/token"},)"
    R"({"name":"tls.key","file":"/etc/chat/tls.key"}],)"
    R"("volumes":[{"source":"/srv/chat","target":"/data"},)"
    R"({"source":"/etc/chat","target":"/etc/chat","read_only":true}],)"
    R"("network":"bridge",)"
    R"("ports":[{"host_port":7000,"port":7000},{"host":"::1","host_port":8443,"port":443}],)"
    R"("capabilities":["NET_BIND_SERVICE"],)"
    R"("limits":{"memory_bytes":536870912,"cpu_thousandths":1500,"processes":200,)"
    R"("descriptors":16384},)"
    R"("health":{"kind":"http","target":"http://127.0.0.1:7000/healthy","interval_ms":1000,)"
    R"("timeout_ms":500,"good_in_row":3,"bad_in_row":5},)"
    R"("sharing":{"kind":"haproxy","proxy_host":"edge-1",)"
    R"("proxy_socket":"/run/haproxy/admin.sock","backend":"chat","stable_server":"{host}",)"
    R"("canary_server":"{host}-canary"},)"
    R"("hosts":{"names":["berlin-1"],"sites":["berlin","oslo"],"labels":["tier=front"]},)"
    R"("contract":["upgrade=listeners","drain-ms=30000","listen=web=tcp:[::1]:8080",)"
    R"("listen=control=unix:/run/hub.sock"],)"
    R"("run":["start-ms=10000","max-restarts=3"],)"
    R"("attempt":["budget-us=5000","start-ms=20000","vote=1","on-crash=replay"]})";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = kGolden;
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
  const auto spec = read_component(text);
  return spec ? "accepted" : spec.error().message();
}

TEST(ComponentDocument, is_written_and_read_as_recorded) {
  EXPECT_EQ(write_component(whole_component()), kGolden);
  const auto spec = read_component(kGolden);
  ASSERT_TRUE(spec) << spec.error().to_string();
  EXPECT_EQ(*spec, whole_component());
}

TEST(ComponentDocument, leaves_out_what_is_at_its_default) {
  EXPECT_EQ(write_component(process_component()),
            R"({"segue_component":1,"service":"chat","name":"hub",)"
            R"("release":{"library":"https://releases.example/","version":"1.4.2"},)"
            R"("command":["bin/hub","--port","7000"]})");
  EXPECT_EQ(read_component(write_component(process_component())), process_component());
}

TEST(ComponentDocument, of_a_newer_writer_is_read_unless_it_requires_more) {
  const auto newer = read_component(
      changed(R"("name":"hub",)", R"("name":"hub","colour":{"a":[1]},"requires":[],"since":9,)"));
  ASSERT_TRUE(newer) << newer.error().to_string();
  EXPECT_EQ(*newer, whole_component());
  const auto option = read_component(changed(R"("max-restarts=3")", R"("max-restarts=3","new=1")"));
  ASSERT_TRUE(option) << option.error().to_string();
  EXPECT_EQ(*option, whole_component());

  const auto requiring =
      read_component(changed(R"("name":"hub",)", R"("name":"hub","requires":["shared-memory"],)"));
  ASSERT_FALSE(requiring);
  EXPECT_EQ(requiring.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(requiring.error().message(), HasSubstr("shared-memory"));
  const auto format = read_component(changed(R"("segue_component":1)", R"("segue_component":2)"));
  ASSERT_FALSE(format);
  EXPECT_EQ(format.error().code(), ErrorCode::failed_precondition);
}

TEST(ComponentDocument, with_anything_wrong_is_refused_with_the_place) {
  EXPECT_THAT(refusal(""), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not a component"));
  EXPECT_THAT(refusal("{}"), HasSubstr("segue_component"));
  EXPECT_THAT(refusal(std::string(kMaxComponentBytes + 1, ' ')), HasSubstr("at most"));
  EXPECT_EQ(refusal(changed("\"container\"", "\"vm\"")), "driver: not a word that is known");
  EXPECT_EQ(refusal(changed("\"container\"", "7")), "driver: not a word that is known");
  EXPECT_EQ(refusal(changed("200", "4294967296")),
            "limits.processes: not a whole number of at most 4294967295");
  EXPECT_EQ(refusal(changed("200", "-1")),
            "limits.processes: not a whole number of at most 4294967295");
  EXPECT_EQ(refusal(changed("443}", "65536}")),
            "ports[1].port: not a whole number of at most 65535");
  EXPECT_EQ(refusal(changed("\"/srv/chat\"", "null")), "volumes[0].source: not a string");
  EXPECT_EQ(refusal(changed("true", "1")), "volumes[1].read_only: not true or false");
  EXPECT_EQ(refusal(changed("[\"LEVEL=info\"", "[[]")), "environment[0]: not a string");
  EXPECT_EQ(refusal(changed("vote=1", "vote")), "attempt: not a list of KEY=VALUE");
  EXPECT_EQ(refusal(changed("vote=1", "vote=yes")), "attempt.vote: 'yes' is neither 0 nor 1");
  EXPECT_EQ(refusal(changed("\"hub\"", "\"../hub\"")).substr(0, 5), "name:");
}

TEST(ComponentDocument, of_any_component_is_read_as_what_was_written) {
  std::mt19937_64 numbers(20'261'121);
  const auto any = [&](std::uint64_t count) { return numbers() % count; };
  const auto text = [&] {
    static constexpr std::string_view kPieces[] = {"a", "\"", "\\", "\n", "ü", "=", " ", "\x01"};
    std::string result;
    for (auto left = any(6); left > 0; --left) result += kPieces[any(std::size(kPieces))];
    return result;
  };
  for (int round = 0; round < 2'000; ++round) {
    ComponentSpec spec = any(2) == 0 ? whole_component() : process_component();
    if (any(2) == 0) spec.command.push_back(text());
    if (any(2) == 0) spec.environment.push_back("X=" + text());
    spec.limits.memory_bytes = any(2) == 0 ? 0 : (std::uint64_t{4} << 20U) + any(1U << 30U);
    spec.limits.processes = static_cast<std::uint32_t>(any(4'000'000));
    spec.health.good_in_row = 1 + static_cast<std::uint32_t>(any(100));
    if (spec.driver == Driver::container && any(2) == 0) {
      spec.ports.clear();
      spec.network = static_cast<Network>(any(3));
    }
    spec.attempt.retries = static_cast<std::uint32_t>(any(3));
    spec.attempt.probation_ms = static_cast<std::uint32_t>(any(5'000));
    if (any(2) == 0) spec.attempt.hang_ms = 8 + static_cast<std::uint32_t>(any(100));
    spec.attempt.health_cmd = any(2) == 0 ? "" : text();
    spec.contract.nonblocking = any(2) == 0;
    if (any(2) == 0) spec.hosts = {};
    if (any(2) == 0) {
      spec.sharing = {};
      spec.sharing.kind = static_cast<Sharing::Kind>(any(2));
    }
    const auto problems = problems_of(spec);
    ASSERT_TRUE(problems.empty()) << problems.front().field << ": " << problems.front().text;
    const std::string written = write_component(spec);
    EXPECT_EQ(written.find('\n'), std::string::npos);
    const auto read = read_component(written);
    ASSERT_TRUE(read) << read.error().to_string() << "\n" << written;
    ASSERT_EQ(*read, spec) << written;
  }
}

}  // namespace
}  // namespace segue::fleet
