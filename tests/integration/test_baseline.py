# SPDX-License-Identifier: Apache-2.0
"""A baseline of the canary's age: the stable slot is handed over to itself before the first share."""

import pytest

from fleet_tools import WITHIN_S, Fleet
from support import wait_until

HOST = "berlin-1"


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
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


def deploy(fleet, version, **rollout):
    host = fleet.hosts[HOST]
    component = {"sharing": {"kind": "kernel"},
                 "listen": {"clients.0": f"tcp:127.0.0.1:{host.port},group"},
                 "gates": {"moves": {"kind": "handoff", "every": "1s"}}}
    return fleet.deploy(version, component=component, **rollout)


def canary(fleet, version, bake):
    step = {"share": "50%", "bake": bake, "gates": ["moves"]}
    return deploy(fleet, version, strategy="canary",
                  canary={"baseline": "renewed", "steps": [step]})


def stable_of(fleet):
    return next(one for one in fleet.instances() if one["slot"] == "stable")


def test_it_is_renewed_without_losing_anything_and_moves_with_its_wave(fleet):
    clients = [fleet.hosts[HOST].client() for _ in range(20)]
    for number, client in enumerate(clients):
        client("SET", f"of-{number}", number)
    pid = clients[0].info()["process_id"]

    rollout = canary(fleet, "2", "1h")
    fleet.at_step(rollout, 0)
    for client in clients:
        info = client.info()
        assert info["respkv_version"] == "1" and info["process_id"] != pid, info
    stable = stable_of(fleet)["seen"]
    assert stable["revision"] == 1 and stable["health"] == "good"
    assert stable["handoff"]["lost"] == 0 and stable["handoff"]["connections"] >= len(clients)
    progress = fleet.progress(rollout)
    assert progress["traffic"]["lost"] == 0 and progress["traffic"]["handoffs"] == 1, progress
    standing = [one["standing"] for one in progress["instances"] if one["slot"] == "stable"]
    assert standing == ["renewed"] and progress["steps"][1]["moved"] == 0, progress

    fleet.done("rollout", "promote", rollout)  # its gate has still to hold for the wave: none does
    assert fleet.ended(rollout)["phase"] == "done"
    for number, client in enumerate(clients):
        assert client.info()["respkv_version"] == "2"
        assert client("GET", f"of-{number}") == str(number).encode()
        client.close()


def test_an_agent_that_is_killed_meanwhile_renews_once_and_the_server_goes_on(fleet):
    client = fleet.hosts[HOST].client()
    client("SET", "kept", "1")
    rollout = canary(fleet, "2", "0s")
    wait_until(lambda: fleet.progress(rollout)["step_phase"] not in ("approving", "moving"),
               "the renewal", WITHIN_S)
    fleet.hosts[HOST].kill()
    fleet.kill_server()
    fleet.start_server()
    fleet.hosts[HOST].start()
    assert fleet.ended(rollout)["phase"] == "done"
    assert client.info()["respkv_version"] == "2" and client("GET", "kept") == b"1"
    # Of the stable slot: the first start, the renewal, the wave.
    assert fleet.hosts[HOST].segue.status("kv")["generation"] == 3
    client.close()
