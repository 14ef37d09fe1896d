# SPDX-License-Identifier: Apache-2.0
"""What an agent may, and may not: alone without its server, observing, on a drained host, confined."""

import os
import pathlib

import pytest

from failure_tools import decider_of
from fleet_tools import WITHIN_S, Fleet, Host
from keeper_tools import is_alive, send_signal
from support import wait_until

HOSTS = ("berlin-1", "oslo-1")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        yield fleet
    finally:
        fleet.finish()


@pytest.fixture(name="serving")
def serving_fixture(fleet):
    """Version 1 serves on all hosts, and on each a client has stored something and stays."""
    fleet.join(*HOSTS)
    assert fleet.ended(fleet.deploy("1", strategy="all-at-once"))["phase"] == "done"
    fleet.clients = {name: fleet.hosts[name].client() for name in HOSTS}
    for name, client in fleet.clients.items():
        client("SET", "where", name)
    yield fleet
    for client in fleet.clients.values():
        client.close()


def seen(fleet):
    return {one["host"]: one.get("seen", {}) for one in fleet.instances()}


def version_at(fleet, name):
    assert fleet.clients[name]("GET", "where") == name.encode()
    return fleet.clients[name].info()["respkv_version"]


def test_without_its_server_an_agent_starts_again_what_died(serving):
    host = serving.hosts[HOSTS[0]]
    before = seen(serving)
    serving.kill_server()
    host.kill()
    status = host.segue.status("kv")
    for pid in (status["keeper_pid"], status["pid"]):
        send_signal(pid, 9)
    wait_until(lambda: not is_alive(status["pid"]), "nothing runs there")
    host.start()

    def serves():
        try:
            return host.version() == "1"
        except OSError:
            return False
    wait_until(serves, f"it is started again; {host.log()}", WITHIN_S)
    assert version_at(serving, HOSTS[1]) == "1", "the other host noticed nothing"
    serving.start_server()
    wait_until(lambda: serving.heard() == set(HOSTS), "all are heard again", WITHIN_S)
    wait_until(lambda: seen(serving)[HOSTS[0]].get("health") == "good", "it is well", WITHIN_S)
    after = seen(serving)
    assert {name: one["order"] for name, one in after.items()} == {
        name: one["order"] for name, one in before.items()}, "no order was given again"


def test_an_agent_that_observes_reports_and_acts_on_nothing(fleet):
    host = Host(fleet.build_dir, fleet.path / "a", "a")
    host.options = ["--observe-only"]
    fleet.admit(host)
    shown, = fleet.done("hosts")["hosts"]
    assert shown["observe_only"] and "observes" in fleet.segue.plain("hosts").out
    rollout = fleet.deploy("1", strategy="all-at-once")
    wait_until(lambda: fleet.host_list()[0]["generation"] > shown["generation"], "it was told", WITHIN_S)
    assert host.segue.status("kv") == {}, "nothing was started"
    assert fleet.progress(rollout)["phase"] == "running"

    host.kill()
    host.options = []
    host.start()
    assert fleet.ended(rollout)["phase"] == "done"
    assert host.version() == "1"


def test_a_drained_host_is_passed_by_and_gets_it_with_the_next_deployment(serving):
    there, drained = HOSTS
    serving.done("drain", drained)
    shown = {one["name"]: one["drained"] for one in serving.done("hosts")["hosts"]}
    assert shown == {there: False, drained: True}
    assert serving.ended(serving.deploy("2"))["phase"] == "done"
    assert (version_at(serving, there), version_at(serving, drained)) == ("2", "1")
    pid = serving.hosts[there].segue.status("kv")["pid"]
    serving.done("drain", drained, "--off")
    assert serving.ended(serving.deploy("2"))["phase"] == "done"
    assert (version_at(serving, there), version_at(serving, drained)) == ("2", "2")
    assert seen(serving)[drained]["handoff"]["lost"] == 0
    assert serving.hosts[there].segue.status("kv")["pid"] == pid, "it had it already"
    assert serving.command("drain", "nowhere").exit != 0


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def listening(pid):
    """Inodes of the sockets that it waits for connections at."""
    kept = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            kept.add(os.readlink(fd))
        except FileNotFoundError:
            pass
    waiting = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                waiting.add(f"socket:[{words[9]}]")
    return kept & waiting


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give an agent's halves different users")
def test_the_half_that_talks_to_the_server_may_do_nothing(serving):
    host = serving.hosts[HOSTS[0]]
    executor, deciding = host.agent.pid, decider_of(host)
    status = status_of(deciding)
    assert "0" not in status["Uid"] and "0" not in status["Gid"], status
    assert status["Seccomp"] == ["2"] and status["NoNewPrivs"] == ["1"], status
    assert status["CapEff"] == status["CapPrm"] == ["0" * 16], status
    assert status_of(executor)["Uid"][0] == "0"
    assert not listening(executor) and not listening(deciding), "agents connect outwards only"
