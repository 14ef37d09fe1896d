# SPDX-License-Identifier: Apache-2.0
"""Handoffs that must not happen, or must be taken back: the predecessor goes on with all it has."""

import os
import pathlib

import pytest

from support import RespClient, wait_until

OPTIONS = ("--probation-ms", "5000", "--on-crash", "resume")


@pytest.fixture
def service(respkv):
    respkv.start(1, *OPTIONS)
    return respkv


def resident_bytes(program):
    pages = pathlib.Path(f"/proc/{program.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def assert_untouched(service, predecessor, client):
    info = client.info()
    assert info["process_id"] == str(predecessor.pid)
    assert info["segue_handoffs"] == "0" and info["segue_closed_on_reclaim"] == "0"
    assert client("GET", "key") == b"value"


@pytest.mark.parametrize("kind, told", [
    ("start", "fails on purpose"),
    ("other-service", "service"),
    ("form", "respkv.entry"),
    ("invariant", "broken on purpose"),
    ("rehearsal", "segue:break"),
])
def test_a_bad_successor_is_refused(service, kind, told):
    client = service.client()
    client("SET", "key", "value"), client("SET", "segue:break", "x")
    predecessor = service.current
    successor = service.spawn(2, *OPTIONS, "--break", kind)
    assert successor.wait() == 1
    assert told in successor.text()
    assert_untouched(service, predecessor, client)
    service.instances.remove(successor)
    good = service.start(3, "--probation-ms", "20")
    wait_until(lambda: client.info()["process_id"] == str(good.pid), "the good one serves")


def test_a_successor_that_is_never_ready_changes_nothing(service):
    client = service.client()
    client("SET", "key", "value")
    predecessor = service.current
    hanging = service.spawn(2, *OPTIONS, "--break", "never-ready")
    good = service.start(3, *OPTIONS)
    assert hanging.is_running() and predecessor.is_running()
    assert client.info()["process_id"] == str(good.pid)


def test_a_successor_that_is_killed_in_the_background_changes_nothing(service):
    client = service.client()
    client.send_bytes(b"".join(RespClient.encode("SET", f"k{i}", "x" * 200) for i in range(200_000)))
    for _ in range(200_000):
        assert client.read() == "OK"
    client("SET", "key", "value")
    predecessor = service.current
    successor = service.spawn(2, *OPTIONS)
    wait_until(lambda: resident_bytes(successor) > 30 << 20, "it receives the keys")
    successor.kill()
    assert "event=activated" not in successor.text()
    assert_untouched(service, predecessor, client)
    service.start(2, *OPTIONS)
    assert client("DBSIZE") == 200_001


def reclaimed(service, kind):
    """Clients before and during the probation of a successor that fails in it."""
    idle, busy, blocked, subscribed = (service.client() for _ in range(4))
    idle("CLIENT", "SETNAME", "idle"), busy("SET", "key", "old"), busy("SET", "count", 5)
    subscribed("SUBSCRIBE", "news")
    blocked.send("BLPOP", "queue", "0")
    wait_until(lambda: busy.info()["blocked_clients"] == "1", "it is blocked")
    predecessor = service.current
    successor = service.start(2, *OPTIONS, "--break", kind)
    # What the successor does is lost with it, but no client may be left in doubt.
    assert busy("SET", "key", "new") == "OK"
    predecessor.wait_for_log("reason=reclaimed")
    assert not successor.is_running()
    return idle, busy, blocked, subscribed


@pytest.mark.parametrize("kind", ["crash-in-probation", "hang-in-probation"])
def test_a_dead_successor_is_reclaimed(service, kind):
    idle, busy, blocked, subscribed = reclaimed(service, kind)
    wait_until(busy.is_closed, "the connection that the successor used is closed")
    assert idle("GET", "key") == b"old"
    assert idle("CLIENT", "GETNAME") == b"idle"
    info = idle.info()
    assert info["segue_closed_on_reclaim"] == "1"
    assert info["process_id"] == str(service.instances[0].pid)
    assert idle("PUBLISH", "news", "hello") == 1
    assert subscribed.read() == [b"message", b"news", b"hello"]
    idle("RPUSH", "queue", "x")
    assert blocked.read() == [b"queue", b"x"]


def test_a_successor_that_votes_against_itself_is_taken_back(service):
    idle, busy = service.client(), service.client()
    busy("SET", "key", "value")
    predecessor = service.current
    successor = service.start(2, *OPTIONS, "--break", "vote")
    predecessor.wait_for_log("reason=reclaimed")
    successor.wait()
    assert idle("GET", "key") == b"value" and busy("GET", "key") == b"value"
    assert idle.info()["segue_closed_on_reclaim"] == "0"


def test_after_a_reclaim_the_next_version_takes_over(service):
    idle, _, blocked, subscribed = reclaimed(service, "crash-in-probation")
    service.instances.pop()
    good = service.start(3, *OPTIONS)
    assert idle.info()["process_id"] == str(good.pid)
    idle("PUBLISH", "news", "hello"), idle("RPUSH", "queue", "x")
    assert subscribed.read() == [b"message", b"news", b"hello"]
    assert blocked.read() == [b"queue", b"x"]


def test_connections_that_were_handed_over_twice_are_judged_rightly(respkv):
    """Their byte counts begin in another process."""
    respkv.start(1, "--probation-ms", "20")
    used, idle, victim = respkv.client(), respkv.client(), respkv.client()
    used("SET", "count", "1"), idle("PING"), victim("PING")
    second = respkv.hand_over(3, *OPTIONS)
    used("INCR", "count")
    third = respkv.start(2, "--break", "crash-in-probation")
    assert victim("PING") == "PONG"
    second.wait_for_log("reason=reclaimed")
    assert not third.is_running()
    wait_until(victim.is_closed, "what the dead successor used is closed")
    assert used("GET", "count") == b"2" and idle("GET", "count") == b"2"
    assert idle.info()["segue_closed_on_reclaim"] == "1"


def test_unix_connections_are_closed_when_a_successor_is_reclaimed(respkv):
    """The kernel does not say whether the dead successor used them, so none is trusted."""
    path = respkv.directory / "kv"
    listen = ("--listen", f"unix:{path}")
    first = respkv.start(1, *listen, *OPTIONS)
    tcp, unix = respkv.client(), respkv.client(path)
    assert unix("SET", "key", "value") == "OK"
    respkv.start(2, *listen, "--break", "crash-in-probation")
    first.wait_for_log("reason=reclaimed")
    wait_until(unix.is_closed, "the Unix connection is closed")
    assert tcp("GET", "key") == b"value"
    assert respkv.client(path)("GET", "key") == b"value"
