# SPDX-License-Identifier: Apache-2.0
"""People, programs and Prometheus ask the server of a fleet."""

import concurrent.futures
import contextlib
import json
import sqlite3
import subprocess
import threading
import urllib.request

import pytest

from fleet_tools import FINAL, WITHIN_S, Fleet
from people_tools import Api, Receiver
from support import free_port, wait_until


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
    """Version 1 serves on one host."""
    fleet.join("berlin-1")
    fleet.publish("1", 1)
    assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
    return fleet


def api_of(fleet, profile=None):
    return Api(profile or fleet.path / "server/admin.json")


def person(fleet, name, *words):
    """Their profile."""
    path = fleet.path / f"{name}.json"
    fleet.done("person", "set", name, *words, "--write", path)
    assert path.stat().st_mode & 0o077 == 0
    return path


def test_answers_are_what_the_description_says(serving):
    api = api_of(serving)
    served = json.loads(api.raw("GET", "/v1/openapi.json")[2])
    assert served == api.document
    assert api("POST", "/v1/tokens", {"uses": 2})[0] == 201
    key = key_pair(serving, "ada")[0].with_suffix(".key.pub").read_text()
    assert api("PUT", "/v1/people/ada", {"rights": ["sign"], "components": ["web"], "keys": [key]})[0] == 201
    assert api("PUT", "/v1/webhooks/nobody", {"url": f"http://127.0.0.1:{free_port()}/"})[0] == 201
    assert api("POST", "/v1/webhooks/nobody/test")[1]["taken"] is False
    assert api("POST", "/v1/hosts/berlin-1/drain")[0] == 200
    waiting = serving.deploy("2", approvals=1)
    assert api("POST", "/v1/components/kv/deployments", {"version": "3"})[0] == 201
    for path in ("/v1/status", "/v1/hosts", "/v1/instances", "/v1/components", "/v1/rollouts",
                 "/v1/rollouts/kv-1", f"/v1/rollouts/{waiting}",
                 f"/v1/rollouts/{waiting}/instances", "/v1/tokens", "/v1/people",
                 "/v1/hosts/berlin-1/logs?component=kv", "/v1/events?after=0", "/v1/audit?after=2", "/v1/webhooks"):
        status, answer = api("GET", path)
        assert status == 200 and answer, path
    token = api("GET", "/v1/tokens")[1]["tokens"][0]["id"]
    for path in (f"/v1/tokens/{token}", "/v1/people/ada", "/v1/webhooks/nobody",
                 "/v1/hosts/berlin-1?force=true"):
        assert api("DELETE", path)[0] == 200, path
    assert api("POST", f"/v1/rollouts/{waiting}/undo", {"why": "enough"})[0] == 200
    assert api("POST", "/v1/stop", {"on": True})[0] == 200
    assert api("POST", "/v1/stop", {"on": False})[0] == 200
    assert api("POST", "/v1/deployments", {"component": {}})[0] == 400
    described = {(method.upper(), path) for path, operations in api.document["paths"].items()
                 for method in operations}
    not_json = {("GET", "/v1/openapi.json"), ("GET", "/v1/events/stream"), ("GET", "/metrics")}
    assert api.checked == described - not_json


def test_logs_are_read_from_the_host_and_followed_over_a_handoff(serving):
    serving.publish("2", 2)
    lines = serving.command("logs", "kv").lines
    assert any("version=1" in line["line"] and "event=activated" in line["line"] for line in lines), lines
    assert {(line["host"], line["slot"], line["generation"]) for line in lines} == {("berlin-1", "stable", 1)}
    assert len(serving.command("logs", "kv", "-n", "1").lines) == 1
    following = serving.segue.start("logs", "kv", "--follow", "--json", "-n", "1")
    deadline = threading.Timer(2 * WITHIN_S, following.kill)
    deadline.start()
    try:
        first = json.loads(following.stdout.readline())
        assert first == lines[-1]
        assert serving.ended(serving.deploy("2"))["phase"] == "done"
        seen = []
        while not any("version=2" in line["line"] and "event=activated" in line["line"] for line in seen):
            seen.append(json.loads(following.stdout.readline()))
        assert {line["generation"] for line in seen} >= {2}
    finally:
        deadline.cancel()
        following.kill()
        following.communicate()
    limited = person(serving, "eve", "--right", "deploy", "--component", "web")
    assert serving.command("logs", "kv", "--profile", limited).exit == 4
    assert serving.command("logs", "web").exit == 4
    serving.hosts["berlin-1"].kill()
    wait_until(lambda: serving.heard() == set(), "the agent has gone", WITHIN_S)
    gone = serving.command("logs", "kv")
    assert gone.exit != 0 and "berlin-1" in gone.text, gone


def test_a_second_person_approves(serving):
    ada = person(serving, "ada", "--right", "deploy", "--right", "approve")
    bob = person(serving, "bob", "--right", "approve")
    serving.publish("2", 2)
    serving.segue.environment["SEGUE_PROFILE"] = str(ada)
    rollout = serving.deploy("2", approvals=1)
    wait_until(lambda: "approv" in serving.progress(rollout)["waits_for"] or
               serving.progress(rollout)["step_phase"] == "approving", "the question", WITHIN_S)
    own = serving.command("rollout", "approve", rollout)
    assert own.exit == 4 and "somebody else has to" in own.text, own
    assert serving.command("rollout", "pause", rollout, "--profile", bob).exit == 4
    assert serving.hosts["berlin-1"].version() == "1"
    serving.done("rollout", "approve", rollout, "--profile", bob)
    assert serving.ended(rollout)["phase"] == "done"
    assert serving.hosts["berlin-1"].version() == "2"
    serving.done("person", "remove", "bob", "--profile", serving.path / "server/admin.json")
    assert serving.command("hosts", "--profile", bob).exit == 4


def key_pair(fleet, name, *words):
    """The file of the private half; the public one is beside it."""
    path = fleet.path / f"{name}.key"
    return path, fleet.done("key", "make", path, *words)["keyid"]


def test_nothing_new_is_deployed_that_nobody_signs_who_may(serving):
    passphrase = serving.path / "passphrase"
    passphrase.write_text("correct horse\n")
    ada_key, ada_id = key_pair(serving, "ada", "--passphrase-file", passphrase)
    eve_key, _ = key_pair(serving, "eve")
    secret = serving.command("person", "set", "ada", "--right", "sign", "--key", ada_key)
    assert secret.exit == 2 and "is a private key" in secret.text, secret
    ada = person(serving, "ada", "--right", "sign", "--component", "kv", "--key", f"{ada_key}.pub")
    ci = person(serving, "ci", "--right", "deploy")
    assert f"sign of kv with key {ada_id[:12]}" in serving.segue.plain("person", "list").out
    serving.publish("2", 2)
    file = serving.write(serving.component("2"))
    signatures = serving.path / "signatures.json"
    serving.segue.environment["SEGUE_PROFILE"] = str(ci)

    dry = serving.done("deploy", file, "--dry-run")
    assert "a signature is missing, by ada" in dry["text"], dry
    unsigned = serving.command("deploy", file)
    assert unsigned.exit == 4 and "has to be signed by somebody who may sign it (ada)" in unsigned.text
    by_eve = serving.command("deploy", file, "--sign-with", eve_key)
    assert by_eve.exit == 4 and "nobody has who may sign 'kv'" in by_eve.text, by_eve
    # Ada signs where there is no line to the server.
    away = serving.path / "away.json"
    away.write_text(json.dumps({**json.loads(ada.read_text()), "urls": [f"https://127.0.0.1:{free_port()}"]}))
    serving.done("deploy", file, "--sign-with", ada_key, "--passphrase-file", passphrase,
                 "--write-signatures", signatures, "--profile", away)
    signed = json.loads(signatures.read_text())["components"]["kv"]["signatures"]
    assert [one["key"] for one in signed] == [ada_id]

    changed = serving.component("2", {"environment": {"MORE": "1"}})
    elsewise = serving.command("deploy", serving.write(changed), "--signatures", signatures)
    assert elsewise.exit == 4 and "another specification of 'kv'" in elsewise.text, elsewise
    api = api_of(serving, ci)
    call = ("POST", "/v1/components/kv/deployments")
    status, answer = api(*call, {"version": "3", "signatures": signed})
    assert status == 403 and "the signature by ada" in answer["error"]
    assert serving.command("rollout", "show", "kv-2").exit == 4, "nothing has begun"

    begun = serving.done("deploy", serving.write(serving.component("2")), "--signatures", signatures)
    assert "signed by ada" in begun["text"], begun
    assert serving.ended("kv-2")["phase"] == "done"
    serving.kill_server()
    serving.start_server()
    assert api("GET", "/v1/rollouts/kv-2")[1]["signed_by"] == [{"person": "ada", "key": ada_id}]
    assert "signed by  ada" in serving.segue.plain("rollout", "show", "kv-2").out
    assert any("signed by ada" in line["text"] for line in serving.command("audit", "list").lines)

    serving.done("rollout", "undo", "kv-2")
    assert serving.ended("kv-2")["phase"] == "undone", "what was let in before needs nobody's word"
    assert api(*call, {"version": "2"})[0] == 403
    assert api(*call, {"version": "2", "signatures": signed})[0] == 201
    assert serving.ended("kv-3")["phase"] == "done"
    assert serving.hosts["berlin-1"].version() == "2"


def test_a_program_that_calls_again_and_again_starts_one_rollout(serving):
    kv = api_of(serving, person(serving, "ci", "--right", "deploy", "--component", "kv"))
    other = api_of(serving, person(serving, "other", "--right", "deploy", "--component", "web"))
    serving.publish("2", 2)
    call = ("POST", "/v1/components/kv/deployments", {"version": "2"})
    assert other(*call)[0] == 403
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: kv(*call, **{"Idempotency-Key": "build-7"}), range(10)))
    assert {answer["rollout"] for _, answer in answers} == {"kv-2"}
    assert sorted(status for status, _ in answers) == [200] * 9 + [201]
    assert serving.ended("kv-2")["phase"] == "done"
    serving.kill_server()
    serving.start_server()
    assert kv(*call, **{"Idempotency-Key": "build-7"})[1]["repeated"]
    assert kv("POST", call[1], {"version": "1"}, **{"Idempotency-Key": "build-7"})[0] == 422
    assert len(serving.done("rollout", "list")["rollouts"]) == 2


def test_webhooks_are_signed_and_none_is_lost_while_the_server_is_dead(serving):
    receiver = Receiver(free_port())
    receiver.secret = serving.done("webhook", "add", "ci", f"http://127.0.0.1:{receiver.port}/hook",
                                   "--kind", "rollout")["secret"]
    try:
        receiver.start()
        serving.done("webhook", "test", "ci")
        assert receiver.kinds()[0][1] == "webhook.test"
        receiver.stop()
        # Nobody listens; then the server dies with what it has not told.
        serving.publish("2", 2)
        rollout = serving.deploy("2")
        assert serving.ended(rollout)["phase"] == "done"
        serving.kill_server()
        receiver.start()
        serving.start_server()
        wanted = ["rollout.preparing", "rollout.running", "rollout.watching", "rollout.done"]
        wait_until(lambda: [kind for _, kind in receiver.kinds()][1:] == wanted,
                   f"the notifications {wanted}", WITHIN_S)
        assert not receiver.refused
        assert all(body["data"]["object"] == rollout for _, body in receiver.taken[1:])
        serving.done("webhook", "remove", "ci")
    finally:
        receiver.stop()


def test_the_audit_log_is_verified_and_what_was_changed_is_found(fleet):
    fleet.done("person", "set", "ada")
    noted = fleet.done("audit", "verify")
    assert noted["whole"] and noted["entries"] >= 3
    fleet.done("person", "set", "bob")
    later = fleet.done("audit", "verify", "--expect", noted["digest"])
    assert later["entries"] == noted["entries"] + 1 and later["expected_at"] == noted["entries"]
    wrong = fleet.command("audit", "verify", "--expect", "0" * 64)
    assert wrong.exit == 1 and "written anew" in wrong.text
    listed = fleet.command("audit", "list", "-n", "2").lines
    assert [entry["object"] for entry in listed] == ["ada", "bob"]

    store = f"sqlite:{fleet.path}/server/store"
    held = fleet.command("audit", "verify", "--store", store)
    assert held.exit != 0 and "store" in held.text, held
    fleet.kill_server()
    assert fleet.done("audit", "verify", "--store", store)["digest"] == later["digest"]
    assert fleet.command("audit", "verify", "--store", f"sqlite:{fleet.path}/none").exit == 4
    with contextlib.closing(sqlite3.connect(fleet.path / "server/store/store.db")) as database:
        database.execute("DELETE FROM entry WHERE key = ?", (f"audit/{2:020}".encode(),))
        database.commit()
    broken = fleet.command("audit", "verify", "--store", store)
    assert broken.exit == 1 and "after entry 1 comes entry 3" in broken.text, broken
    fleet.start_server()
    broken = fleet.command("audit", "verify")
    assert broken.exit == 1 and broken.last["entries"] == 1, broken


def test_events_are_followed_over_the_death_of_the_server(serving):
    follower = serving.segue.start("events", "-f", "--json", "--object", "kv-2", bufsize=1)
    events = []
    reader = threading.Thread(
        target=lambda: [events.append(json.loads(line)) for line in follower.stdout])
    reader.start()

    def said(text):
        return lambda: any(text in event["text"] for event in events)
    try:
        serving.publish("2", 2)
        assert serving.ended(serving.deploy("2"))["phase"] == "done"
        wait_until(lambda: events, "the first event", WITHIN_S)
        serving.kill_server()
        serving.start_server()
        serving.done("rollout", "undo", "kv-2", "--why", "somebody tries it")
        wait_until(said("somebody tries it"), "what the next server says", WITHIN_S)
        assert serving.ended("kv-2")["phase"] == "undone"
        numbers = [event["number"] for event in events]
        assert numbers == sorted(set(numbers)), "each once, in order"
        assert {event["object"] for event in events} == {"kv-2"}
    finally:
        follower.kill()
        reader.join()
        follower.communicate()
    past = serving.done("history", "--fleet", "kv")["history"]
    assert [(one["id"], one["phase"], one["target_version"]) for one in past] == [
        ("kv-1", "done", "1"), ("kv-2", "undone", "2")]
    assert "nothing" not in serving.segue.plain("history").out
    assert "has not been rolled out" in serving.segue.plain("history", "--fleet", "web").out


def test_an_emergency_stop_holds_everything_until_it_is_lifted(serving):
    serving.publish("2", 2)
    assert "not stopped" in serving.done("emergency-stop", "--dry-run")["text"]
    serving.done("emergency-stop")
    rollout = serving.deploy("2")
    wait_until(lambda: serving.progress(rollout)["stopped"], "the stop", WITHIN_S)
    assert serving.progress(rollout)["phase"] not in FINAL
    assert serving.hosts["berlin-1"].version() == "1"
    dan = person(serving, "dan", "--right", "deploy")
    assert serving.command("emergency-stop", "--lift", "--profile", dan).exit == 4
    serving.done("emergency-stop", "--lift")
    assert serving.ended(rollout)["phase"] == "done"
    assert serving.hosts["berlin-1"].version() == "2"


def test_prometheus_takes_the_figures(fleet):
    fleet.join("berlin-1")
    profile = json.loads(person(fleet, "prometheus").read_text())
    status, kind, text = api_of(fleet, fleet.path / "prometheus.json").raw("GET", "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                             check=False)
    assert checked.returncode == 0, checked.stdout

    directory = fleet.path / "prometheus"
    directory.mkdir()
    (directory / "token").write_text(profile["token"])
    (directory / "authority.pem").write_text(profile["authority"])
    (directory / "prometheus.yml").write_text(json.dumps({
        "scrape_configs": [{
            "job_name": "segue", "scheme": "https", "scrape_interval": "5s", "scrape_timeout": "5s",
            "authorization": {"credentials_file": str(directory / "token")},
            "tls_config": {"ca_file": str(directory / "authority.pem")},
            "static_configs": [{"targets": [profile["url"].removeprefix("https://")]}]}]}))
    port = free_port()
    with open(directory / "log", "w", encoding="utf-8") as log:
        prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={directory}/prometheus.yml",
             f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        def attached():
            url = f"http://127.0.0.1:{port}/api/v1/query?query=segue_server_agents_attached"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    found = json.loads(answer.read())["data"]["result"]
            except OSError:
                return None
            return found and found[0]["value"][1]
        assert wait_until(attached, "a scrape", WITHIN_S) == "1", (directory / "log").read_text()
    finally:
        prometheus.terminate()
        prometheus.wait(timeout=60)
