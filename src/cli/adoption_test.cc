// SPDX-License-Identifier: Apache-2.0
#include "cli/adoption.h"

#include <gmock/gmock.h>

namespace segue::cli {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kPlain = "[Service]\nExecStart=/usr/bin/kv --port 1 $MORE\n";

base::Result<Adoption> adopted(const std::string& text, const std::string& unit = "kv.service",
                               const std::string& name = "") {
  return adopt_unit({unit, {{"/lib/systemd/system/" + unit, text}}, {}}, {.component = name});
}

std::string refusal(const std::string& text) {
  const auto adoption = adopted(text);
  if (adoption) return "";
  EXPECT_EQ(adoption.error().code(), ErrorCode::failed_precondition);
  return adoption.error().message();
}

// What the unit says once the drop-in stands beside it.
UnitSettings after(const std::string& text) {
  const std::vector<UnitSource> sources = {{"unit", text}, {"drop-in", adopted(text)->drop_in}};
  return UnitSettings::parse(sources).value();
}

TEST(Adoption, runs_the_same_command_under_the_keeper) {
  const auto adoption = adopted(kPlain);
  ASSERT_TRUE(adoption) << adoption.error().to_string();
  EXPECT_EQ(adoption->component, "kv");
  EXPECT_THAT(adoption->notes, ElementsAre(HasSubstr("has to link libsegue")));
  const auto unit = after(kPlain);
  EXPECT_THAT(unit.list("Service", "ExecStart"),
              ElementsAre("/usr/bin/segue run --foreground --timeout=90 --grace-s=30 "
                          "--max-restarts=0 kv -- /usr/bin/kv --port 1 $MORE"));
  EXPECT_THAT(unit.list("Service", "ExecReload"),
              ElementsAre("/usr/bin/segue upgrade kv -- /usr/bin/kv --port 1 $MORE"));
  EXPECT_EQ(unit.last("Service", "Type"), "notify");
  EXPECT_EQ(unit.last("Service", "KillMode"), "process");
  EXPECT_EQ(unit.last("Service", "OOMPolicy"), "continue");
}

TEST(Adoption, leaves_user_environment_limits_and_sandbox_alone) {
  const std::string text =
      "[Service]\nExecStart=/usr/bin/kv\nUser=kv\nGroup=kv\nEnvironment=A=1 \"B=2 3\"\n"
      "LimitNOFILE=9\nUMask=0027\nProtectSystem=strict\nReadWritePaths=/srv\nNice=5\n"
      "WorkingDirectory=/srv\n";
  const auto unit = after(text);
  for (const char* key :
       {"User", "Group", "LimitNOFILE", "UMask", "ProtectSystem", "Nice", "WorkingDirectory"}) {
    EXPECT_EQ(unit.list("Service", key).size(), 1U) << key;
  }
  EXPECT_THAT(
      unit.list("Service", "Environment"),
      ElementsAre("A=1 \"B=2 3\"", "SEGUE_RUNTIME_DIR=/run/segue SEGUE_STATE_DIR=/var/lib/segue"));
  EXPECT_THAT(unit.list("Service", "ReadWritePaths"),
              ElementsAre("/srv", "-/run/segue/kv -/var/lib/segue/kv"));
  EXPECT_THAT(unit.list("Service", "ExecStartPre").back(), HasSubstr("-o kv /run/segue/kv"));
  // Nothing that the unit does not restrict is touched.
  EXPECT_EQ(unit.last("Service", "RestrictAddressFamilies"), std::nullopt);
  EXPECT_EQ(unit.last("Service", "SystemCallFilter"), std::nullopt);
}

TEST(Adoption, opens_a_sandbox_for_what_the_keeper_does_and_no_further) {
  const auto unit = after(
      "[Service]\nExecStart=/usr/bin/kv\nRestrictAddressFamilies=AF_INET\n"
      "SystemCallFilter=@system-service\nSystemCallFilter=~@resources\n");
  EXPECT_THAT(unit.list("Service", "RestrictAddressFamilies"), ElementsAre("AF_INET", "AF_UNIX"));
  EXPECT_THAT(unit.list("Service", "SystemCallFilter").back(), HasSubstr("pidfd_open"));
  EXPECT_THAT(unit.list("Service", "SystemCallFilter").back(), Not(HasSubstr("@")));
  EXPECT_THAT(after("[Service]\nExecStart=/usr/bin/kv\nNoExecPaths=/\nExecPaths=/usr/bin/kv\n")
                  .list("Service", "ExecPaths"),
              ElementsAre("/usr/bin/kv", "/usr/bin/segue /usr/libexec/segue"));
}

TEST(Adoption, keeps_how_long_starting_and_ending_may_take) {
  const std::string run =
      after(
          "[Service]\nExecStart=/usr/bin/kv\nTimeoutStartSec=2min\nTimeoutStopSec=infinity\n"
          "Restart=on-failure\n")
          .last("Service", "ExecStart")
          .value();
  EXPECT_THAT(run, HasSubstr(" --timeout=120 --grace-s=86400 kv -- "));
}

TEST(Adoption, lets_the_keeper_come_back_and_the_program_crash_as_before) {
  const auto never = after(kPlain);
  EXPECT_EQ(never.last("Service", "Restart"), "on-abnormal");
  EXPECT_THAT(*never.last("Service", "ExecStart"), HasSubstr("--max-restarts=0"));
  const auto always = after("[Service]\nExecStart=/usr/bin/kv\nRestart=always\n");
  EXPECT_EQ(always.last("Service", "Restart"), "always");
  EXPECT_THAT(*always.last("Service", "ExecStart"), Not(HasSubstr("--max-restarts")));
}

TEST(Adoption, keeps_harmless_prefixes_and_refuses_the_others_by_name) {
  EXPECT_THAT(*after("[Service]\nExecStart=-:/usr/bin/kv $A\n").last("Service", "ExecStart"),
              StartsWith("-:/usr/bin/segue run "));
  EXPECT_THAT(*after("[Service]\nExecStart=:/usr/bin/kv $A\n").last("Service", "ExecReload"),
              StartsWith(":/usr/bin/segue upgrade "));
  for (const char* prefix : {"@", "+", "!", "!!", "-@"}) {
    EXPECT_THAT(refusal(std::string("[Service]\nExecStart=") + prefix + "/usr/bin/kv kv\n"),
                HasSubstr("ExecStart="))
        << prefix;
  }
  EXPECT_THAT(refusal("[Service]\nExecStart=\"+/usr/bin/kv\"\n"), HasSubstr("prefix in quotes"));
  EXPECT_EQ(refusal("[Service]\nExecStart=\"/usr/bin/my kv\" -x\n"), "");
}

TEST(Adoption, refuses_what_it_cannot_keep_by_name) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"Type=forking", "Type=forking"},
      {"Type=oneshot", "Type=oneshot"},
      {"Type=dbus", "Type=dbus"},
      {"Type=strange", "Type=strange"},
      {"BusName=org.kv", "BusName="},
      {"DynamicUser=yes", "DynamicUser="},
      {"RootDirectory=/srv", "RootDirectory="},
      {"Sockets=kv.socket", "kv.socket"},
      {"RemainAfterExit=yes", "RemainAfterExit="},
      {"ExecStop=/usr/bin/kv-shutdown", "kv-shutdown"},
      {"ExecStartPost=/bin/echo $MAINPID", "ExecStartPost="},
      {"KillSignal=SIGMAGIC", "KillSignal=SIGMAGIC"},
      {"StandardInput=socket", "StandardInput=socket"},
      {"TemporaryFileSystem=/run:ro", "TemporaryFileSystem=/run"},
      {"InaccessiblePaths=-/var", "InaccessiblePaths=/var"},
      {"SystemCallFilter=read write", "SystemCallFilter="},
      {"TimeoutStopSec=soon", "TimeoutStopSec=soon"},
      {"User=a b", "User=a b"},
      {"ExecStart=/usr/bin/other", "2 ExecStart="},
      {"ExecStart=", "0 ExecStart="},
      {"ExecStart=\nExecStart=/bin/a ; /bin/b", "several commands"},
  };
  for (const auto& [line, named] : cases) {
    EXPECT_THAT(refusal(kPlain + std::string(line) + "\n"), HasSubstr(named)) << line;
  }
}

TEST(Adoption, names_everything_that_would_be_lost_at_once) {
  EXPECT_THAT(refusal("[Service]\nExecStart=@/bin/a b\nType=oneshot\nDynamicUser=1\n"),
              testing::AllOf(HasSubstr("Type=oneshot"), HasSubstr("ExecStart=@"),
                             HasSubstr("DynamicUser=")));
}

TEST(Adoption, takes_over_a_stop_that_only_signals) {
  for (const char* stop :
       {"/bin/kill -TERM $MAINPID", "-/usr/bin/kill -s TERM ${MAINPID}", "/bin/kill $MAINPID"}) {
    const std::string text = kPlain + std::string("ExecStop=") + stop + "\n";
    EXPECT_EQ(refusal(text), "") << stop;
    EXPECT_THAT(after(text).list("Service", "ExecStop"), IsEmpty());
  }
}

TEST(Adoption, passes_options_of_run_and_upgrade_on) {
  const UnitFacts facts{"kv.service", {{"u", kPlain}}, {}};
  const auto adoption = adopt_unit(
      facts, {.run_options = {"--max-restarts=3", "--timeout=5"}, .upgrade_options = {"--queue"}});
  ASSERT_TRUE(adoption) << adoption.error().to_string();
  EXPECT_THAT(adoption->drop_in,
              HasSubstr("run --foreground --grace-s=30 --max-restarts=3 --timeout=5 kv -- "));
  EXPECT_THAT(adoption->drop_in, HasSubstr("segue upgrade --queue kv -- /usr/bin/kv"));
  for (const char* wrong : {"--", "-x", "word", "--a b", "--a=$B", "--a=%i", "--a\nUser=root"}) {
    EXPECT_EQ(adopt_unit(facts, {.run_options = {wrong}}).error().code(),
              ErrorCode::invalid_argument)
        << wrong;
  }
}

TEST(Adoption, says_what_is_different_from_now_on) {
  const auto adoption = adopted(kPlain + std::string("ExecReload=/bin/kill -HUP $MAINPID\n"
                                                     "MemoryMax=1G\nWatchdogSec=5\n"));
  ASSERT_TRUE(adoption);
  EXPECT_THAT(adoption->notes,
              testing::UnorderedElementsAre(HasSubstr("reload"), HasSubstr("MemoryMax=1G"),
                                            HasSubstr("link libsegue"), HasSubstr("WatchdogSec=")));
}

// The options of `segue run` that a unit leads to.
std::string run_of(const std::string& lines, const AdoptionOptions& options = {}) {
  const auto adoption = adopt_unit({"kv.service", {{"u", kPlain + lines}}, {}}, options);
  if (!adoption) return adoption.error().message();
  const std::vector<UnitSource> sources = {{"drop-in", adoption->drop_in}};
  return *UnitSettings::parse(sources)->last("Service", "ExecStart");
}

TEST(Adoption, finds_the_contract_that_the_unit_shows) {
  EXPECT_THAT(run_of(""), Not(HasSubstr("--upgrade")));
  EXPECT_THAT(run_of("Type=notify\n"), HasSubstr(" --upgrade=auto --ready=notify kv -- "));
  EXPECT_THAT(run_of("Type=notify\nFileDescriptorStoreMax=9\n"),
              HasSubstr(" --upgrade=fdstore --ready=notify --fd-store-max=9 kv -- "));
  EXPECT_THAT(run_of("Type=notify\nFileDescriptorStoreMax=9 --listen=a\n"),
              HasSubstr(" --upgrade=auto --ready=notify kv -- "));
  EXPECT_THAT(
      run_of("Type=notify\nExecReload=/bin/kv -check\n"
             "ExecReload=/bin/kill -USR2 $MAINPID\n"),
      HasSubstr(" --upgrade=signal --upgrade-signal=USR2 --new-pid=MAINPID --ready=notify "));
  EXPECT_THAT(run_of("Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n"),
              HasSubstr("--upgrade=auto"));
  EXPECT_THAT(run_of("Type=notify\nWatchdogSec=2min\n"), HasSubstr(" --watchdog-s=120 kv -- "));
}

TEST(Adoption, takes_the_contract_that_is_named) {
  EXPECT_THAT(run_of("Type=notify\n", {.upgrade = "restart"}),
              HasSubstr(" --upgrade=restart --ready=notify kv -- "));
  EXPECT_THAT(run_of("", {.upgrade = "restart"}), HasSubstr(" --upgrade=restart kv -- "));
  EXPECT_THAT(run_of("Type=notify\n", {.upgrade = "libsegue"}),
              HasSubstr(" --upgrade=libsegue kv -- "));
  const std::string given =
      run_of("Type=notify\n", {.run_options = {"--upgrade=restart", "--ready=started"}});
  EXPECT_THAT(given, HasSubstr("--max-restarts=0 --upgrade=restart --ready=started kv -- "));
  EXPECT_THAT(
      run_of("", {.run_options = {"--listen=web=tcp:127.0.0.1:80"}, .upgrade = "listeners"}),
      HasSubstr(" --upgrade=listeners --listen=web=tcp:127.0.0.1:80 kv -- "));
  EXPECT_THAT(run_of("", {.upgrade = "listeners"}), HasSubstr("name what it listens on"));
  EXPECT_THAT(run_of("", {.upgrade = "signal"}),
              testing::AllOf(HasSubstr("does not show --upgrade-signal"),
                             HasSubstr("does not show --new-pid")));
  EXPECT_THAT(run_of("", {.upgrade = "magic"}), HasSubstr("magic"));
}

TEST(Adoption, keeps_the_signal_that_ends_the_program) {
  EXPECT_THAT(run_of("KillSignal=SIGQUIT\n"), HasSubstr(" --stop-signal=QUIT kv -- "));
  EXPECT_THAT(run_of("KillSignal=2\n"), HasSubstr(" --stop-signal=2 kv -- "));
  EXPECT_THAT(run_of("KillSignal=SIGTERM\n"), Not(HasSubstr("--stop-signal")));
}

TEST(Adoption, refuses_a_unit_that_a_socket_starts) {
  const auto adoption = adopt_unit({"kv.service", {{"kv.service", kPlain}}, {"kv.socket"}});
  ASSERT_FALSE(adoption);
  EXPECT_THAT(adoption.error().message(), HasSubstr("kv.socket starts it"));
}

TEST(Adoption, refuses_when_a_later_drop_in_could_take_it_back) {
  const auto with = [](const std::string& drop_in) {
    return adopt_unit({"kv.service", {{"kv.service", kPlain}, {"/etc/x/" + drop_in, ""}}, {}});
  };
  EXPECT_TRUE(with("override.conf"));
  ASSERT_FALSE(with("z.conf"));
  EXPECT_THAT(with("z.conf").error().message(), HasSubstr("/etc/x/z.conf"));
}

TEST(Adoption, names_the_component_after_the_unit_or_as_it_is_told) {
  EXPECT_EQ(adopted(kPlain, "worker@a.service")->component, "worker-a");
  EXPECT_EQ(adopted(kPlain, "kv.service", "other")->component, "other");
  EXPECT_FALSE(adopted(kPlain, "a\\x2db.service"));
  EXPECT_FALSE(adopted(kPlain, "kv.service", "../x"));
}

TEST(UnitName, is_that_of_one_service) {
  EXPECT_EQ(service_unit_name("kv").value(), "kv.service");
  EXPECT_EQ(service_unit_name("a.b@c.service").value(), "a.b@c.service");
  for (const char* wrong : {"kv.socket", "", "../kv", "a b", "worker@.service", "worker@"}) {
    EXPECT_EQ(service_unit_name(wrong).error().code(), ErrorCode::invalid_argument) << wrong;
  }
}

TEST(Authorship, is_known_by_the_marker_and_what_follows_it) {
  std::string text = adopted(kPlain)->drop_in;
  EXPECT_EQ(authorship_of(text), Authorship::adopted);
  EXPECT_EQ(authorship_of(text + "Nice=5\n"), Authorship::edited);
  EXPECT_EQ(authorship_of(text.substr(text.find('\n') + 1)), Authorship::foreign);
  EXPECT_EQ(authorship_of(""), Authorship::foreign);
}

}  // namespace
}  // namespace segue::cli
