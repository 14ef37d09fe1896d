# SPDX-License-Identifier: Apache-2.0
"""Who is let into a fleet: copies of an identity, certificates that are wrong or were revoked."""

import pytest

from failure_tools import copy_disk, let_a_stranger_issue, wait_for_event
from fleet_tools import WITHIN_S, Fleet, Host
from keeper_tools import DONE, REFUSED
from support import wait_until

FIRST, SECOND = HOSTS = ("berlin-1", "berlin-2")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves, and on each host a client stays."""
    fleet = Fleet(build_dir, short_dir)
    fleet.clients = {}
    try:
        fleet.start_server()
        fleet.join(*HOSTS)
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


def test_a_copied_identity_is_refused_and_the_first_one_goes_on(fleet):
    copy = Host(fleet.build_dir, fleet.path / "copy", FIRST)
    copy_disk(fleet.hosts[FIRST], copy)
    copy.start()
    try:
        told = wait_for_event(fleet, "two agents say that they are this host", FIRST)
        assert told["severity"] == "alarm"
        wait_until(lambda: f"another agent is attached as {FIRST}" in copy.log(), "the refusal",
                   WITHIN_S)
        fleet.publish("2", 2)
        progress = fleet.ended(fleet.deploy("2"))
        assert progress["phase"] == "done", progress["why"]
    finally:
        copy.finish()
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), name
        assert client.info()["respkv_version"] == "2", name


def test_wrong_and_revoked_certificates_are_refused_and_told_of(fleet):
    host = Host(fleet.build_dir, fleet.path / "oslo-1", "oslo-1")
    fleet.admit(host)
    planned = fleet.command("hosts", "remove", "oslo-1", "--dry-run")
    assert planned.exit == DONE and "would be removed" in planned.text, planned
    fleet.done("hosts", "remove", "oslo-1")
    wait_for_event(fleet, "oslo-1 was removed from the fleet", "oslo-1")
    host.kill()
    let_a_stranger_issue(host)
    host.start()
    wait_for_event(fleet, "its certificate is refused")
    host.kill()
    assert fleet.heard() == set(HOSTS)
    for words in ((), ("--dry-run",)):
        refused = fleet.command("hosts", "remove", FIRST, *words)
        assert refused.exit == REFUSED and f"{FIRST} runs kv" in refused.text, refused
    assert fleet.command("hosts", "remove", "nobody").exit == REFUSED
