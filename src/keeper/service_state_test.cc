// SPDX-License-Identifier: Apache-2.0
#include "keeper/service_state.h"

#include <gmock/gmock.h>

#include "keeper/component_rig.h"

namespace segue::keeper {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr base::MonotonicTime kAt{std::chrono::microseconds(5)};

class Manager {
 public:
  explicit Manager(const Rig& rig) : rig_(rig) {}
  // What it would be told now.
  std::string told() {
    const ServiceState now = service_state_of(rig_.component, state_);
    return notification(std::exchange(state_, now), now, kAt);
  }

 private:
  const Rig& rig_;
  ServiceState state_;
};

TEST(ServiceState, is_ready_when_the_first_instance_serves_and_once) {
  Rig rig;
  Manager manager(rig);
  rig.to_starting();
  EXPECT_EQ(manager.told(), "STATUS=starting");
  rig.hello(rig.newest(), "1");
  rig.activate(rig.newest());
  EXPECT_EQ(manager.told(), "READY=1\nSTATUS=serving: 1 (pid 1001, generation 1)");
  EXPECT_EQ(manager.told(), "");
}

TEST(ServiceState, reloads_from_the_begin_of_an_upgrade_to_its_end) {
  Rig rig;
  Manager manager(rig);
  rig.to_serving();
  (void)manager.told();
  rig.upgrade();
  EXPECT_THAT(manager.told(), testing::StartsWith("RELOADING=1\nMONOTONIC_USEC=5\nSTATUS="));
  rig.hello(rig.newest(), "2");
  EXPECT_THAT(manager.told(), Not(HasSubstr("RELOADING")));
  const Generation successor = rig.attempt().successor;
  rig.activate(successor);
  EXPECT_THAT(manager.told(), HasSubstr("upgrade from 1 to 2"));
  rig.live(std::chrono::seconds(3));
  rig.say(successor, Said::committed);
  EXPECT_THAT(manager.told(), testing::StartsWith("READY=1\nSTATUS=serving: 2"));
}

TEST(ServiceState, a_rehearsal_is_no_reload) {
  Rig rig;
  Manager manager(rig);
  rig.to_serving();
  (void)manager.told();
  rig.upgrade({}, Rig::kUpgrade, Kind::rehearse);
  EXPECT_THAT(manager.told(), Not(HasSubstr("RELOADING")));
}

TEST(ServiceState, a_crash_leaves_it_ready_and_a_stop_is_told_once) {
  Rig rig;
  Manager manager(rig);
  rig.to_serving();
  (void)manager.told();
  rig.die(rig.owner());
  EXPECT_EQ(manager.told(), "STATUS=backoff");
  rig.send(StopRequested{});
  EXPECT_THAT(manager.told(), testing::StartsWith("STOPPING=1\nSTATUS="));
  EXPECT_THAT(manager.told(), Not(HasSubstr("STOPPING")));
}

TEST(ServiceState, what_a_program_calls_itself_cannot_speak_to_the_manager) {
  Rig rig;
  rig.to_starting();
  rig.hello(rig.newest(), "1\nMAINPID=1");
  rig.activate(rig.newest());
  EXPECT_THAT(notification({}, service_state_of(rig.component, {}), kAt),
              Not(HasSubstr("\nMAINPID")));
}

TEST(ManagerVariables, are_taken_out_of_the_environment) {
  std::vector<std::string> environment = {
      "NOTIFY_SOCKET=/run/n", "A=b",          "WATCHDOG_USEC=2000000",      "WATCHDOG_PID=7",
      "LISTEN_PID=7",         "LISTEN_FDS=2", "LISTEN_FDNAMES=segue.a:etc", "LISTEN_FDSX=1"};
  const ManagerVariables variables = take_manager_variables(environment, 7);
  EXPECT_THAT(environment, ElementsAre("A=b", "LISTEN_FDSX=1"));
  EXPECT_EQ(variables.notify_socket, "/run/n");
  EXPECT_EQ(variables.watchdog, std::chrono::seconds(2));
  EXPECT_THAT(variables.fd_names, ElementsAre("segue.a", "etc"));
}

TEST(ManagerVariables, of_another_process_are_not_followed) {
  std::vector<std::string> environment = {"WATCHDOG_USEC=2000000", "WATCHDOG_PID=8", "LISTEN_PID=8",
                                          "LISTEN_FDS=2"};
  EXPECT_EQ(take_manager_variables(environment, 7), ManagerVariables{});
  EXPECT_TRUE(environment.empty());
  for (const char* count : {"LISTEN_FDS=-1", "LISTEN_FDS=x", "LISTEN_FDS=99999999999"}) {
    environment = {"LISTEN_PID=7", count};
    EXPECT_EQ(take_manager_variables(environment, 7), ManagerVariables{}) << count;
  }
}

TEST(StoredNames, keep_what_fdname_does_not_allow) {
  EXPECT_EQ(kept_name_of(Kept::listener, "tcp:a-b.c"), "segue.tcp%3aa-b.c");
  EXPECT_EQ(kept_name_of(Kept::stored, "c0"), "segue-stored.c0");
  EXPECT_EQ(name_of_kept(Kept::listener, "segue.tcp%3aa-b.c"), "tcp:a-b.c");
  EXPECT_EQ(name_of_kept(Kept::stored, "segue-stored.c0"), "c0");
  EXPECT_EQ(name_of_kept(Kept::listener, "segue-stored.c0"), std::nullopt);
  EXPECT_EQ(name_of_kept(Kept::listener, "stored"), std::nullopt);
}

}  // namespace
}  // namespace segue::keeper
