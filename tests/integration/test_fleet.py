# SPDX-License-Identifier: Apache-2.0
"""A server, agents on three hosts, respkv as their component, and clients that stay connected."""

import json
import ssl
import urllib.error
import urllib.request

import pytest

from fleet_tools import WITHIN_S, Fleet, Host
from support import wait_until

HOSTS = ("berlin-1", "berlin-2", "oslo-1")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        yield fleet
    finally:
        fleet.finish()


@pytest.fixture(name="serving")
def serving_fixture(fleet):
    """Version 1 serves on all hosts, and on each a client has stored something and stays."""
    fleet.join(*HOSTS)
    fleet.publish("1", 1)
    assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
    clients = {}
    for name in HOSTS:
        clients[name] = fleet.hosts[name].client()
        clients[name]("SET", "where", name)
    fleet.clients = clients
    yield fleet
    for client in clients.values():
        client.close()


def expect_kept(fleet, version):
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), name
        assert client.info()["respkv_version"] == version, name


def observed(fleet):
    instances = fleet.done("ps")["instances"]
    return {(one["host"], one["slot"]): one.get("seen", {}) for one in instances}


def test_a_new_version_reaches_every_host_and_no_connection_is_lost(serving):
    serving.publish("2", 2)
    file = serving.write(serving.component("2"), waves=[1, "rest"])
    planned = serving.segue.plain("deploy", "--dry-run", file)
    assert planned.exit == 0 and "2 would become revision 2" in planned.out, planned
    assert "step 1 of 2, 1 host: berlin-1\n" in planned.out, planned
    assert "step 2 of 2, rest: berlin-2, oslo-1" in planned.out, planned
    assert len(serving.done("rollout", "list")["rollouts"]) == 1
    progress = serving.ended(serving.deploy("2"))
    assert progress["phase"] == "done", progress
    expect_kept(serving, "2")
    for key, seen in observed(serving).items():
        assert seen["revision"] == 2 and seen["result"] == "done", (key, seen)
        assert seen["handoff"]["connections"] >= 1 and seen["handoff"]["lost"] == 0, (key, seen)


def test_a_version_that_never_serves_stops_at_its_first_host_and_is_taken_back(serving):
    serving.publish("broken", None)
    progress = serving.ended(serving.deploy("broken", retries=0))
    assert progress["phase"] == "undone", progress
    expect_kept(serving, "1")
    moved = [key for key, seen in observed(serving).items() if seen["revision"] != 1]
    assert not moved


def test_what_was_rolled_out_is_undone_by_handoffs(serving):
    serving.publish("2", 2)
    rollout = serving.deploy("2")
    assert serving.ended(rollout)["phase"] == "done"
    serving.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    wait_until(lambda: serving.progress(rollout)["phase"] == "undone", "the way back", WITHIN_S)
    expect_kept(serving, "1")


def test_a_pause_holds_and_a_promotion_goes_on(serving):
    serving.publish("2", 2)
    rollout = serving.deploy("2", waves=[1, "rest"], step_approvals=0, bake="1h")
    def first_has_moved():
        return [key for key, seen in observed(serving).items() if seen["revision"] == 2]
    moved = wait_until(first_has_moved, "the first host", WITHIN_S)
    assert len(moved) == 1
    serving.done("rollout", "pause", rollout)
    assert serving.progress(rollout)["paused"]
    serving.done("rollout", "resume", rollout)
    serving.done("rollout", "promote", rollout, "--all")
    assert serving.ended(rollout)["phase"] == "done"
    expect_kept(serving, "2")


def test_a_killed_server_goes_on_where_it_was(serving):
    serving.publish("2", 2)
    rollout = serving.deploy("2", waves=[1, 1, "rest"])
    serving.kill_server()
    serving.start_server()
    assert serving.ended(rollout)["phase"] == "done"
    expect_kept(serving, "2")
    orders = [seen["order"] for seen in observed(serving).values()]
    assert len(set(orders)) == len(HOSTS), orders


def test_a_killed_agent_goes_on_where_it_was(serving):
    serving.publish("2", 2)
    rollout = serving.deploy("2")
    for name in HOSTS:
        serving.hosts[name].kill()
        serving.hosts[name].start()
    assert serving.ended(rollout)["phase"] in ("done", "undone")
    version = serving.hosts[HOSTS[0]].version()
    expect_kept(serving, version)


def test_a_token_is_good_once_and_a_removed_host_is_not_let_in(fleet, build_dir):
    token = fleet.done("token")["token"]
    first = fleet.hosts["a"] = Host(build_dir, fleet.path / "a", "a")
    first.start("--join", token)
    wait_until(lambda: fleet.heard() == {"a"}, f"host a; {fleet.server_log()}", WITHIN_S)
    second = fleet.hosts["b"] = Host(build_dir, fleet.path / "b", "b")
    second.start("--join", token)
    assert second.agent.wait(timeout=WITHIN_S) == 4, second.log()
    assert "used up" in second.log()
    assert ask(fleet, "DELETE", "/v1/hosts/a")[0] == 200
    first.kill()
    first.start()
    wait_until(lambda: "was removed from the fleet" in first.log(), "the refusal", WITHIN_S)
    assert fleet.heard() == set()


def ask(fleet, method, path, body=None, token=None):
    """Status and answer of the HTTP interface."""
    profile = json.loads((fleet.path / "server/admin.json").read_text())
    context = ssl.create_default_context(cadata=profile["authority"])
    request = urllib.request.Request(
        profile["url"] + path, method=method, data=None if body is None else body.encode(),
        headers={"Authorization": f"Bearer {token or profile['token']}"})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_people_may_do_what_their_rights_say(fleet):
    status, answer = ask(fleet, "PUT", "/v1/people/ada", '{"rights": ["approve"]}')
    assert status == 201
    ada = answer["token"]
    assert ask(fleet, "GET", "/v1/hosts", token=ada)[0] == 200
    status, answer = ask(fleet, "POST", "/v1/deployments", "{}", token=ada)
    assert status == 403 and "'deploy'" in answer["error"]
    assert ask(fleet, "POST", "/v1/tokens", "{}", token=ada)[0] == 403
    assert ask(fleet, "GET", "/v1/hosts", token="segue-person-1.guessed")[0] == 401
    assert ask(fleet, "DELETE", "/v1/people/ada")[0] == 200
    assert ask(fleet, "GET", "/v1/hosts", token=ada)[0] == 401


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), [
    ("POST", "/v1/deployments", "{", 400, ""),
    ("POST", "/v1/deployments", "{}", 400, "'component' is missing"),
    ("POST", "/v1/deployments", '{"component": {}, "moon": 1}', 400, "'moon'"),
    ("POST", "/v1/deployments", '{"component": {"segue_component": 1}}', 400, ""),
    ("POST", "/v1/tokens", '{"uses": -1}', 400, "'uses'"),
    ("POST", "/v1/tokens", '{"uses": 0}', 400, "1 to"),
    ("POST", "/v1/rollouts/none/pause", "{}", 404, "'none'"),
    ("POST", "/v1/rollouts/none/dance", "{}", 404, "dance"),
    ("DELETE", "/v1/hosts", None, 405, ""),
    ("GET", "/v1/moon", None, 404, "/v1/moon"),
    ("GET", "/v1/events?after=x", None, 400, "after"),
])
def test_a_request_that_is_wrong_is_refused_and_changes_nothing(fleet, method, path, body, status,
                                                                said):
    before = ask(fleet, "GET", "/v1/status")[1]["audit_entries"]
    answer = ask(fleet, method, path, body)
    assert answer[0] == status and said in answer[1]["error"], answer
    assert ask(fleet, "GET", "/v1/status")[1]["audit_entries"] == before
