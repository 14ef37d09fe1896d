# SPDX-License-Identifier: Apache-2.0
"""Segue itself is upgraded while components run and rollouts are under way: nobody notices."""

import signal

import pytest

from failure_tools import Installation
from fleet_tools import WITHIN_S, Fleet, Host
from support import wait_until

HOSTS = ("berlin-1", "berlin-2")
# As long as it is not let go on, whoever started it waits for it.
SLOW = """#!/bin/sh
while [ ! -e "$KV_GO" ]; do sleep 0.05; done
exec "$(dirname "$0")/respkv" --listen "tcp:127.0.0.1:$KV_PORT"
"""


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves, everything from one installation, and on each host a client stays."""
    fleet = Fleet(build_dir, short_dir)
    fleet.installation = Installation(build_dir, short_dir / "bin")
    fleet.installation.use_for(fleet.segue)
    fleet.clients = {}
    try:
        fleet.start_server()
        join(fleet)
        fleet.publish("1", 1)
        assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
        for name in HOSTS:
            fleet.clients[name] = fleet.hosts[name].client()
            fleet.clients[name]("SET", "where", name)
        yield fleet
    finally:
        for client in fleet.clients.values():
            client.close()
        fleet.finish()


def join(fleet):
    hosts = [Host(fleet.build_dir, fleet.path / name, name) for name in HOSTS]
    for host in hosts:
        fleet.installation.use_for(host.segue)
        host.segue.environment["KV_GO"] = str(fleet.path / "go")
    fleet.admit(*hosts)


def upgrade_agent(fleet, host):
    """As `systemctl restart` does it after a package has put the new file there."""
    assert not fleet.installation.is_run_by(host.agent.pid)
    host.agent.send_signal(signal.SIGTERM)
    assert host.agent.wait(timeout=60) == 0, host.log()
    host.start()
    wait_until(lambda: fleet.installation.is_run_by(host.agent.pid), "the new program")


def upgrade_server(fleet):
    fleet.server.send_signal(signal.SIGTERM)
    assert fleet.server.wait(timeout=60) == 0, fleet.server_log()
    fleet.start_server()
    assert fleet.installation.is_run_by(fleet.server.pid)


def expect_kept(fleet, version):
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), name
        assert client.info()["respkv_version"] == version, name


def seen(fleet):
    return {one["host"]: one.get("seen", {}) for one in fleet.instances()}


def keepers(fleet):
    return {name: fleet.hosts[name].segue.status("kv")["keeper_pid"] for name in HOSTS}


def test_agents_and_server_are_upgraded_between_two_waves(fleet):
    before = keepers(fleet)
    fleet.publish("2", 2)
    rollout = fleet.deploy("2", waves=[1, "rest"], bake="1h")
    wait_until(lambda: fleet.progress(rollout)["step_phase"] == "baking", "the first wave",
               WITHIN_S)
    fleet.installation.install()
    for host in fleet.hosts.values():
        upgrade_agent(fleet, host)
    upgrade_server(fleet)
    wait_until(lambda: fleet.heard() == set(HOSTS), "the hosts", WITHIN_S)
    assert fleet.progress(rollout)["phase"] == "running"
    fleet.done("rollout", "promote", rollout, "--all")
    assert fleet.ended(rollout)["phase"] == "done"
    expect_kept(fleet, "2")
    assert keepers(fleet) == before, "they are none of the agent's or the server's business"
    for name, one in seen(fleet).items():
        assert one["handoff"]["connections"] >= 1 and one["handoff"]["lost"] == 0, (name, one)


def test_an_agent_is_upgraded_in_the_middle_of_a_handoff(fleet):
    tree = fleet.path / "tree-2"
    (tree / "bin").mkdir(parents=True)
    for name, content in (("kv", SLOW.encode()),
                          ("respkv", (fleet.build_dir / "examples/respkv/respkv-v2").read_bytes())):
        (tree / "bin" / name).write_bytes(content)
        (tree / "bin" / name).chmod(0o755)
    fleet.publisher.publish(tree, "2")
    rollout = fleet.deploy("2", strategy="all-at-once", limits={"max_unavailable": "100%"})
    wait_until(lambda: all(one.get("activity") == "handing-off" for one in seen(fleet).values()),
               f"the handoffs; {fleet.server_log()}", WITHIN_S)
    fleet.installation.install()
    for host in fleet.hosts.values():
        upgrade_agent(fleet, host)
    upgrade_server(fleet)
    expect_kept(fleet, "1")
    (fleet.path / "go").touch()
    assert fleet.ended(rollout)["phase"] == "done"
    expect_kept(fleet, "2")
    for name in HOSTS:
        attempts = fleet.hosts[name].segue("history", "kv").last["history"]
        assert [one["outcome"] for one in attempts if one["kind"] == "upgrade"] == ["done"], attempts
