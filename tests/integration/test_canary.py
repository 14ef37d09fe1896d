# SPDX-License-Identifier: Apache-2.0
"""A rollout gives canaries their share by the kernel, and neither abort nor promotion loses anybody."""

import collections

import pytest

from fleet_tools import Fleet

HOST = "berlin-1"
# Six standard deviations of so many connections are 0.04 at most.
CONNECTIONS = 3_000
TOLERANCE = 0.05


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves, on a socket that a canary may share."""
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        fleet.join(HOST)
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
        yield fleet
    finally:
        fleet.finish()


def deploy(fleet, version, steps=None, **rollout):
    host = fleet.hosts[HOST]
    component = {"sharing": {"kind": "kernel"},
                 "listen": {"clients.0": f"tcp:127.0.0.1:{host.port},group"},
                 "gates": {"moves": {"kind": "handoff", "every": "1s"},
                           "well": {"kind": "health", "every": "1s", "good": 2}}}
    if steps is None:
        return fleet.deploy(version, component=component)
    return fleet.deploy(version, component=component, strategy="canary",
                        canary={"steps": steps}, **rollout)


def version_of(client):
    return client.info()["respkv_version"]


def share_of(fleet, version):
    """Of new connections, as clients see it."""
    seen = collections.Counter()
    for _ in range(CONNECTIONS):
        client = fleet.hosts[HOST].client()
        seen[version_of(client)] += 1
        client.close()
    return seen[version] / CONNECTIONS


def clients_that_stay(fleet, count, first=0):
    """Each has stored what nobody else knows; by the version that serves it."""
    clients = collections.defaultdict(list)
    for number in range(first, first + count):
        client = fleet.hosts[HOST].client()
        client("SET", f"of-{number}", number)
        clients[version_of(client)].append((client, number))
    return clients


def expect_kept(clients, version):
    for client, number in clients:
        assert client("GET", f"of-{number}") == str(number).encode()
        assert version_of(client) == version


def instances(fleet):
    seen = {}
    for one in fleet.instances():
        seen[one["slot"]] = one.get("seen", {})
    return seen


def test_shares_reach_new_connections_and_an_abort_takes_the_canarys_back(fleet):
    before = clients_that_stay(fleet, 20)["1"]
    rollout = deploy(fleet, "2", [{"share": "10%", "bake": "1h"}, {"share": "50%", "bake": "1h"}])
    fleet.at_step(rollout, 0)
    tenth = share_of(fleet, "2")
    assert abs(tenth - 0.1) <= TOLERANCE, tenth
    fleet.done("rollout", "promote", rollout)
    fleet.at_step(rollout, 1)
    half = share_of(fleet, "2")
    assert abs(half - 0.5) <= TOLERANCE, half
    during = clients_that_stay(fleet, 60, first=100)
    assert during["1"] and during["2"]

    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    assert fleet.ended(rollout)["phase"] == "undone"
    expect_kept(before + during["1"] + during["2"], "1")
    seen = instances(fleet)
    assert seen["canary"]["revision"] == 1, "with connections it stays"
    assert seen["canary"]["handoff"]["lost"] == 0
    assert seen["canary"]["handoff"]["connections"] >= len(during["2"])
    # What the canary has learnt stays there; the others are served by the stable slot.
    late = fleet.hosts[HOST].client()
    assert late("GET", f"of-{during['1'][0][1]}") is not None
    assert late("GET", f"of-{during['2'][0][1]}") is None
    for client, _ in before + during["1"] + during["2"] + [(late, 0)]:
        client.close()


def test_a_promotion_moves_the_stable_slot_and_ends_an_idle_canary(fleet):
    before = clients_that_stay(fleet, 20)["1"]
    rollout = deploy(fleet, "2", [{"share": "50%", "bake": "1h", "gates": []}], gates=["moves"],
                     late_watch="2s", late_gates=["well"])
    fleet.at_step(rollout, 0)
    during = clients_that_stay(fleet, 40, first=100)
    assert during["1"] and during["2"]
    fleet.done("rollout", "promote", rollout)  # the gates of the wave and of the watch still hold
    assert fleet.ended(rollout)["phase"] == "done"
    expect_kept(before + during["1"] + during["2"], "2")
    seen = instances(fleet)
    assert seen["stable"]["revision"] == 2 and seen["stable"]["handoff"]["lost"] == 0
    assert seen["stable"]["handoff"]["connections"] >= len(before + during["1"])
    # All new ones go to the stable slot, which knows what its clients stored.
    late = fleet.hosts[HOST].client()
    assert late("GET", f"of-{during['1'][0][1]}") is not None
    for client, _ in before + during["1"] + during["2"] + [(late, 0)]:
        client.close()
