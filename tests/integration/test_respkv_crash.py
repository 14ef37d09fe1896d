# SPDX-License-Identifier: Apache-2.0
"""Successors killed in probation: the predecessor does again what they did, and nobody notices.

SEGUE_SEED repeats a run's load and moments, SEGUE_CRASHES sets how many successors die."""

import os
import random
import select
import time

import pytest

from crash_load import Load
from support import DEADLINE_S, RespClient, wait_until

# Room for what a slow machine lets happen between the activation and the kill.
OPTIONS = ("--probation-ms", "60000", "--journal-bytes", str(64 << 20))
ROUNDS = 40
CRASHES = int(os.environ.get("SEGUE_CRASHES", "24"))


def replays(program):
    return program.text().count("reason=replayed")


def crash(service, successor_version, after_s):
    """Hands over, kills the successor after so long in probation, waits for the predecessor."""
    predecessor = service.current
    before = replays(predecessor)
    successor = service.start(successor_version, *OPTIONS)
    if after_s > 0:
        select.select([], [], [], after_s)
    successor.kill()
    service.instances.insert(0, service.instances.pop())  # the predecessor is the current one
    end = time.monotonic() + DEADLINE_S
    while replays(predecessor) == before and predecessor.is_running() and (
            "reason=reclaimed" not in predecessor.text()):
        assert time.monotonic() < end, predecessor.text() + successor.text()
        select.select([], [], [], 0.005)
    assert predecessor.is_running(), predecessor.text()
    assert "reason=reclaimed" not in predecessor.text(), predecessor.text()
    return predecessor


def test_successors_killed_at_random_moments_under_load_lose_nothing(respkv):
    seed = int(os.environ.get("SEGUE_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"SEGUE_SEED={seed}")
    moments = random.Random(seed)
    respkv.start(1, *OPTIONS)
    load = Load(respkv.port, 12, seed, short_lived=4)
    load.start()
    for number in range(CRASHES):
        predecessor = crash(respkv, (2, 3)[number % 2], moments.uniform(0, 0.12))
        answers = load.total("answers")
        wait_until(lambda: load.failure or load.total("answers") > answers + 200, "answers come")
        assert load.failure is None and load.wrong() == [], predecessor.text()
    load.stopping.set()
    load.join(30)
    assert not load.is_alive() and load.failure is None
    client = respkv.client()
    counted = int(client.info()["segue_closed_on_reclaim"])
    assert load.wrong() == []
    assert load.total("silent") == 0
    assert load.total("broken") <= counted
    assert load.total("unborn") <= counted + CRASHES
    assert counted <= CRASHES  # a rare one dies in the middle of what cannot be repaired
    shared = [answer for each in load.clients for answer in each.shared]
    assert len(set(shared)) == len(shared), "two clients had the same answer"
    last = int(client("GET", "shared"))
    assert last == len(shared) if load.total("broken") + load.total("unborn") == 0 else last >= len(shared)
    for each in load.clients:
        assert int(client("GET", each.key("count")) or 0) == each.counter
        assert client("LRANGE", each.key("list"), 0, -1) == each.list
        assert set(client("SMEMBERS", each.key("set"))) == each.set


@pytest.mark.parametrize("kind", ["crash-in-probation", "hang-in-probation"])
def test_what_a_dead_successor_did_is_done_again(respkv, kind):
    path = respkv.directory / "kv"
    listen = ("--listen", f"unix:{path}")
    predecessor = respkv.start(1, *listen, *OPTIONS)
    idle, busy, blocked, unix = (respkv.client(address) for address in (None, None, None, path))
    busy("SET", "key", "old"), unix("SET", "other", "old")
    blocked.send("BLPOP", "queue", "0")
    wait_until(lambda: busy.info()["blocked_clients"] == "1", "it is blocked")
    successor = respkv.start(2, *listen, *OPTIONS, "--break", kind)
    late = respkv.client()
    assert busy("SET", "key", "new") == "OK" and unix("SET", "other", "new") == "OK"
    assert late("RPUSH", "queue", "x") == 1 and blocked.read() == [b"queue", b"x"]
    seen = busy("INFO")
    predecessor.wait_for_log("reason=replayed")
    assert not successor.is_running() and b"respkv_version:2" in seen
    for client in (idle, busy, blocked, unix, late):
        assert client("MGET", "key", "other") == [b"new", b"new"]
    assert idle.info()["segue_closed_on_reclaim"] == "0"
    assert idle.info()["process_id"] == str(predecessor.pid)


def test_what_clients_did_to_each_other_is_done_again_in_its_order(respkv):
    """With several event loops they are served by different ones."""
    predecessor = respkv.start(1, *OPTIONS)
    clients = [respkv.client() for _ in range(16)]
    waiting = [respkv.client() for _ in range(8)]
    subscribers = [respkv.client() for _ in range(4)]
    for client in subscribers:
        client("SUBSCRIBE", "news")
    for client in waiting:
        client.send_bytes(RespClient.encode("BLPOP", "queue", "0") + RespClient.encode("INCR", "all"))
    wait_until(lambda: clients[0].info()["blocked_clients"] == "8", "all are blocked")
    successor = respkv.start(2, *OPTIONS)
    seen = []
    for number in range(ROUNDS):
        for client in clients:
            client.send_bytes(RespClient.encode("INCR", "all") * 5 +
                              RespClient.encode("PUBLISH", "news", number))
        for client in clients:
            seen += [client.read() for _ in range(5)]
            assert client.read() == len(subscribers)
        if number < len(waiting):
            clients[number]("RPUSH", "queue", number)
    successor.kill()
    predecessor.wait_for_log("reason=replayed")
    for client in waiting:
        client.read()
        seen.append(client.read())
    seen += [client("INCR", "all") for client in clients + waiting]
    assert sorted(seen) == list(range(1, len(seen) + 1)), "each number is given once"
    for client in subscribers:
        messages = [client.read()[2] for _ in range(ROUNDS * len(clients))]
        assert sorted(messages) == sorted(b"%d" % n for n in range(ROUNDS) for _ in clients)
    assert clients[0].info()["segue_closed_on_reclaim"] == "0"
    assert clients[0].info()["process_id"] == str(predecessor.pid)


def test_a_full_journal_is_as_none(respkv):
    """The connections that the successor used are closed and counted, the others go on."""
    few = ("--probation-ms", "60000", "--journal-bytes", "65536")
    predecessor = respkv.start(1, *few)
    idle, busy = respkv.client(), respkv.client()
    busy("SET", "key", "old")
    successor = respkv.start(2, *few)
    for _ in range(20):
        assert busy("SET", "key", "x" * 10_000) == "OK"
    successor.kill()
    predecessor.wait_for_log("reason=reclaimed")
    wait_until(busy.is_closed, "what the dead successor used is closed")
    assert idle("GET", "key") == b"old"
    assert idle.info()["segue_closed_on_reclaim"] == "1"


def test_after_a_replay_the_next_version_takes_over(respkv):
    predecessor = respkv.start(1, *OPTIONS)
    client = respkv.client()
    client("SADD", "set", "a", "b", "c")
    successor = respkv.start(2, *OPTIONS)
    taken = client("SPOP", "set")
    late = respkv.client()
    assert late("INCR", "count") == 1
    successor.kill()
    predecessor.wait_for_log("reason=replayed")
    respkv.instances.insert(0, respkv.instances.pop())
    assert late("INCR", "count") == 2
    good = respkv.start(3, "--probation-ms", "20")
    assert client("SMEMBERS", "set") is not None and client("SISMEMBER", "set", taken) == 0
    assert late("INCR", "count") == 3
    assert client.info()["process_id"] == str(good.pid)
