# SPDX-License-Identifier: Apache-2.0
"""Agents that reach their server through a relay of their site, and what happens when it dies."""

import json
import ssl
import urllib.request

import pytest

from fleet_tools import WITHIN_S, Fleet, Host, Relay
from support import wait_until

HOSTS = ("berlin-1", "berlin-2")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    relay = fleet.relay = Relay(fleet, "berlin-relay")
    try:
        fleet.start_server()
        relay.start("--join", fleet.done("token", "--relay", "--site", "berlin")["token"])
        wait_until(lambda: fleet.heard() == {"berlin-relay"},
                   f"the relay; {fleet.server_log()}; {relay.log()}", WITHIN_S)
        yield fleet
    finally:
        fleet.finish()
        relay.finish()


def join(fleet, *names, site="berlin", relays=(), more=()):
    token = fleet.done("token", "--site", site, "--uses", len(names))["token"]
    ways = [word for address in relays or [fleet.relay.address] for word in ("--relay", address)]
    for name in names:
        host = fleet.hosts[name] = Host(fleet.build_dir, fleet.path / name, name)
        host.start("--join", token, *ways, *more)


def through(fleet):
    return {host["name"]: host.get("through") for host in fleet.host_list()
            if host.get("attached") and not host["relay"]}


def wait_for(fleet, wanted):
    try:
        wait_until(lambda: through(fleet) == wanted, f"hosts {wanted}", WITHIN_S)
    except AssertionError as error:
        logs = "\n".join(host.log() for host in fleet.hosts.values())
        raise AssertionError(f"{error}; {through(fleet)}; {fleet.server_log()}; "
                             f"{fleet.relay.log()}; {logs}") from error


def test_a_rollout_goes_on_when_the_relay_is_killed_and_nothing_is_lost(fleet):
    join(fleet, *HOSTS)
    wait_for(fleet, {name: "berlin-relay" for name in HOSTS})
    fleet.publish("1", 1)
    assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
    printed = fleet.command("logs", "kv").lines
    assert {line["host"] for line in printed if "version=1" in line["line"]} == set(HOSTS), printed
    clients = {name: fleet.hosts[name].client() for name in HOSTS}
    try:
        for name, client in clients.items():
            client("SET", "where", name)
        fleet.publish("2", 2)
        rollout = fleet.deploy("2", waves=[1, "rest"])
        fleet.relay.kill()
        for name, client in clients.items():
            assert client("GET", "where") == name.encode()  # they need nobody
        fleet.relay.start()
        assert fleet.ended(rollout)["phase"] == "done", fleet.relay.log()
        for name, client in clients.items():
            assert client("GET", "where") == name.encode()
            assert client.info()["respkv_version"] == "2"
        orders = []
        for one in fleet.instances():
            seen = one["seen"]
            assert seen["handoff"]["connections"] >= 1 and seen["handoff"]["lost"] == 0, one
            orders.append(seen["order"])
        assert len(set(orders)) == len(HOSTS), orders
    finally:
        for client in clients.values():
            client.close()


def test_a_killed_server_hears_the_hosts_of_a_relay_again(fleet):
    join(fleet, *HOSTS)
    wanted = {name: "berlin-relay" for name in HOSTS}
    wait_for(fleet, wanted)
    fleet.kill_server()
    fleet.start_server()
    wait_for(fleet, wanted)


def test_an_agent_takes_the_next_way_of_its_list(fleet):
    second = Relay(fleet, "berlin-relay-2")
    second.start("--join", fleet.done("token", "--relay", "--site", "berlin")["token"])
    try:
        join(fleet, "berlin-1", relays=[fleet.relay.address, second.address], more=["--direct"])
        wait_for(fleet, {"berlin-1": "berlin-relay"})
        fleet.relay.kill()
        wait_for(fleet, {"berlin-1": "berlin-relay-2"})
        second.kill()
        wait_for(fleet, {"berlin-1": ""})
    finally:
        second.finish()


def test_whom_the_relay_may_not_speak_for_is_refused(fleet):
    join(fleet, "oslo-1", site="oslo")
    host = fleet.hosts["oslo-1"]
    wait_until(lambda: "may not speak for 'oslo-1'" in host.log(), "the refusal", WITHIN_S)
    join(fleet, "berlin-1")
    wait_for(fleet, {"berlin-1": "berlin-relay"})
    remove(fleet, "berlin-1")
    wait_until(lambda: "was removed from the fleet" in fleet.hosts["berlin-1"].log(),
               "the refusal", WITHIN_S)
    assert not through(fleet)
    # Its relay stays, and others join through it.
    join(fleet, "berlin-2")
    wait_for(fleet, {"berlin-2": "berlin-relay"})


def test_a_token_for_hosts_makes_no_relay(fleet):
    relay = Relay(fleet, "another")
    relay.start("--join", fleet.done("token", "--site", "berlin")["token"])
    try:
        assert relay.process.wait(timeout=WITHIN_S) == 4, relay.log()
        assert "the token is for a host" in relay.log()
        assert fleet.command("token", "--relay").exit != 0  # of which site?
    finally:
        relay.finish()


def remove(fleet, host):
    profile = json.loads((fleet.path / "server/admin.json").read_text())
    request = urllib.request.Request(f"{profile['url']}/v1/hosts/{host}", method="DELETE",
                                     headers={"Authorization": f"Bearer {profile['token']}"})
    context = ssl.create_default_context(cadata=profile["authority"])
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        assert answer.status == 200
