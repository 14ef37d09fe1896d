# SPDX-License-Identifier: Apache-2.0
"""Agents that hang or are away for a week hold their rollout back, and then go on."""

import pytest

from failure_tools import go_on, hang, let_a_week_pass, wait_for_event
from fleet_tools import WITHIN_S, Fleet
from people_tools import Receiver
from support import free_port, wait_until

QUICK, HUNG, AWAY = HOSTS = ("berlin-1", "berlin-2", "oslo-1")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    fleet.clients, fleet.receiver = {}, Receiver(free_port())
    try:
        fleet.start_server()
        fleet.receiver.secret = fleet.done("webhook", "add", "pager", f"http://127.0.0.1:{fleet.receiver.port}/hook",
                                           "--kind", "host")["secret"]
        fleet.receiver.start()
        fleet.join(*HOSTS)
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(fleet.deploy("1", strategy="all-at-once"))["phase"] == "done"
        for name in HOSTS:
            fleet.clients[name] = fleet.hosts[name].client()
            fleet.clients[name]("SET", "where", name)
        yield fleet
    finally:
        for client in fleet.clients.values():
            client.close()
        fleet.receiver.stop()
        fleet.finish()


def versions(fleet):
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), name
    return {name: client.info()["respkv_version"] for name, client in fleet.clients.items()}


def test_who_hangs_and_who_is_away_is_waited_for_and_told_of(fleet):
    hung = hang(fleet.hosts[HUNG])
    fleet.hosts[AWAY].kill()
    rollout = fleet.deploy("2", waves=[1, "rest"], limits={"max_unavailable": "1"})
    for name in (HUNG, AWAY):
        wait_for_event(fleet, "is not heard any more", name)
    def called():
        return {body["data"]["object"] for _, body in fleet.receiver.taken if body["type"] == "host.silent"}
    wait_until(lambda: called() >= {HUNG, AWAY}, "who is told by webhooks", WITHIN_S)
    wait_until(lambda: "to be heard of" in fleet.progress(rollout)["waits_for"], "what it waits for",
               WITHIN_S)
    assert fleet.progress(rollout)["phase"] == "running"
    assert versions(fleet) == {QUICK: "2", HUNG: "1", AWAY: "1"}, "what runs needs no agent"

    go_on(hung)
    wait_until(lambda: versions(fleet)[HUNG] == "2", "the one that hung", WITHIN_S)
    assert fleet.progress(rollout)["phase"] == "running"

    # What it has kept is a generation of long ago, and its certificate has expired.
    host = fleet.hosts[AWAY]
    let_a_week_pass(fleet, host)
    host.start()
    assert fleet.ended(rollout)["phase"] == "done", host.log()
    assert "agent.renewed" in host.log()
    assert versions(fleet) == {name: "2" for name in HOSTS}
    for one in fleet.instances():
        assert one["seen"]["handoff"]["lost"] == 0, one
