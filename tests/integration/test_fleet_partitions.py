# SPDX-License-Identifier: Apache-2.0
"""Partitions that nobody is told of, of one direction or both: packets between the server, a relay and hosts get lost
during a rollout."""

import os

import pytest

from container_tools import Load
from failure_tools import wait_for_event
from fleet_tools import FINAL, WITHIN_S, Fleet, Host, Relay
from network_tools import Network
from support import wait_until

MUTE, DEAF, AWAY, RELAY = "berlin-1", "berlin-2", "berlin-3", "oslo-relay"  # with a network each
BEHIND = "oslo-1"  # the relay
CONNECTIONS = 10  # to each host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can make networks")


class NetworkHost(Host):
    """Its clients are on it, and the server is at the other end of its cable."""

    def __init__(self, build_dir, path, name, network):
        super().__init__(build_dir, path, name)
        self.network, self.prefix = network, network.prefix

    def client(self):
        with self.network.inside():
            return super().client()


class DividedFleet(Fleet):
    """Version 1 serves, and has clients that stay."""

    def __init__(self, build_dir, path):
        super().__init__(build_dir, path)
        self.networks, self.loads, self.relay = {}, {}, None

    def begin(self, *names):
        self.networks = {name: Network() for name in names}
        self.agents_address, self.advertised = "0.0.0.0", self.networks[names[0]].outer
        self.start_server()
        self.publish("1", 1)
        self.publish("2", 2, "--deltas", 0)  # they take long to make, and are not what is tried here
        self.admit(*(NetworkHost(self.build_dir, self.path / name, name, self.networks[name])
                     for name in names if name != RELAY))
        if RELAY in names:
            self.admit_behind_relay(self.networks[RELAY])
        assert self.ended(self.move_to("1", max_unavailable="100%"))["phase"] == "done"
        self.loads = {name: Load(host.client, CONNECTIONS) for name, host in self.hosts.items()}
        self.rounds()

    def admit_behind_relay(self, network):
        self.relay = Relay(self, RELAY, network.inner)
        self.relay.prefix = network.prefix
        self.relay.start("--join", self.done("token", "--relay", "--site", "oslo")["token"])
        host = self.hosts[BEHIND] = Host(self.build_dir, self.path / BEHIND, BEHIND)
        host.start("--join", self.done("token", "--site", "oslo")["token"], "--relay", self.relay.address)
        wait_until(lambda: BEHIND in self.heard(), f"who is behind the relay: {self.relay.log()}; {host.log()}",
                   WITHIN_S)

    def move_to(self, version, **rollout):
        """With a probation that is long enough to be met in the middle."""
        component = self.component(version, {"handoff": {"probation": "3s", "start": "60s", "budget": "5s"}})
        return self.deploy_component(component, strategy="all-at-once", **rollout)

    def rounds(self):
        """Nobody who is connected notices anything."""
        for load in self.loads.values():
            load.round()
        return True

    def versions(self):
        return {name: load.clients[0].info()["respkv_version"] for name, load in self.loads.items()}

    def await_silence(self, *names):
        for name in names:
            wait_for_event(self, "is not heard any more", name)
        self.rounds()

    def heal(self):
        for network in self.networks.values():
            network.heal()

    def expect_all_moved_once(self, rollout):
        """No client has lost anything on the way, and no host was told, or has done, anything twice."""
        wait_until(lambda: self.rounds() and self.progress(rollout)["phase"] in FINAL, f"the end of {rollout}", WITHIN_S)
        assert self.ended(rollout)["phase"] == "done"
        self.rounds()
        assert set(self.versions().values()) == {"2"}
        for one in self.instances():
            handoff = one["seen"]["handoff"]
            assert handoff["lost"] == 0 and handoff["connections"] >= CONNECTIONS, one
        for name, host in self.hosts.items():
            history = host.segue("history", "kv").last["history"]
            assert [attempt["outcome"] for attempt in history] == ["done"], (name, history)
            assert host.segue.status("kv")["generation"] == 2, name

    def finish(self):
        try:
            for load in self.loads.values():
                load.close()
            self.heal()
            super().finish()
            if self.relay:
                self.relay.finish()
        finally:
            for network in self.networks.values():
                network.finish()


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = DividedFleet(build_dir, short_dir)
    try:
        yield fleet
    finally:
        fleet.finish()


def test_what_is_ordered_and_what_is_told_get_through_once_the_partition_heals(fleet):
    fleet.begin(MUTE, DEAF, AWAY, RELAY)
    fleet.networks[DEAF].lose_what_it_is_sent()
    fleet.networks[AWAY].lose_what_it_sends()
    fleet.networks[AWAY].lose_what_it_is_sent()
    rollout = fleet.move_to("2", max_unavailable="100%")
    keeper = fleet.hosts[MUTE].segue
    def moves():
        """Or has moved: a busy machine sees nothing of the middle, and what follows holds all the same."""
        status = keeper.status("kv")
        return fleet.rounds() and (status.get("attempt") or status.get("generation") == 2)
    wait_until(moves, f"the handoff; {fleet.hosts[MUTE].log()}", WITHIN_S)
    fleet.networks[MUTE].lose_what_it_sends()
    fleet.networks[RELAY].lose_what_it_sends()
    fleet.await_silence(MUTE, DEAF, AWAY, BEHIND)
    wait_until(lambda: fleet.versions()[MUTE] == "2", "what was ordered is done without the server", WITHIN_S)
    assert (fleet.versions()[DEAF], fleet.versions()[AWAY]) == ("1", "1")
    assert fleet.progress(rollout)["phase"] == "running"
    fleet.heal()
    fleet.expect_all_moved_once(rollout)


def test_who_is_not_heard_counts_as_unavailable(fleet):
    fleet.begin(MUTE, DEAF)
    fleet.networks[DEAF].lose_what_it_is_sent()
    fleet.await_silence(DEAF)
    rollout = fleet.move_to("2", max_unavailable="1")
    wait_until(lambda: fleet.rounds() and fleet.progress(rollout)["waits_for"], "what it waits for", WITHIN_S)
    assert set(fleet.versions().values()) == {"1"}, fleet.progress(rollout)
    fleet.heal()
    def one_at_a_time():
        fleet.rounds()
        moving = [one["host"] for one in fleet.instances() if one["seen"].get("activity") == "handing-off"]
        assert len(moving) <= 1, moving
        return fleet.progress(rollout)["phase"] in FINAL
    wait_until(one_at_a_time, f"the end of {rollout}", WITHIN_S)
    fleet.expect_all_moved_once(rollout)
