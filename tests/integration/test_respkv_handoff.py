# SPDX-License-Identifier: Apache-2.0
"""Real handoffs of respkv between real processes, while real clients are connected."""

import os
import pathlib
import random
import signal
import threading

import pytest

from support import RespClient, RespError, wait_until

# Every direction between neighbours, and both jumps.
CHAIN = [2, 3, 2, 1, 3, 1]
QUICK = ("--probation-ms", "20")


@pytest.fixture
def service(respkv):
    respkv.start(1, *QUICK)
    return respkv


def each_handoff(service, versions=tuple(CHAIN)):
    for version in versions:
        service.hand_over(version, *QUICK)
        yield version


def test_the_successor_serves_the_same_connection(service):
    client = service.client()
    client("SET", "key", "value")
    identity = client("CLIENT", "ID")
    for number, version in enumerate(each_handoff(service), start=1):
        info = client.info()
        assert info["respkv_version"] == str(version)
        assert info["process_id"] == str(service.current.pid)
        assert info["segue_handoffs"] == str(number)
        assert int(info["segue_epoch"]) > number
        assert int(info["last_blackout_ns"]) > 0
        assert client("GET", "key") == b"value"
        assert client("CLIENT", "ID") == identity


def test_all_types_and_their_ends_move(service):
    client = service.client()
    client("SET", "string", "\x00\r\n\xff")
    client("RPUSH", "list", *[f"e{i}" for i in range(300)])
    client("HSET", "hash", *[word for i in range(300) for word in (f"f{i}", f"v{i}")])
    client("SADD", "set", *[f"m{i}" for i in range(300)])
    client("ZADD", "zset", *[word for i in range(300) for word in (i / 7, f"z{i}")])
    client("SET", "ends", "x", "EX", "1000")
    client("SET", "soon", "x", "PX", "1500")
    client("SET", "", "the empty key")
    client("HDEL", "hash", "f7", "f0")
    client("SREM", "set", "m7", "m299")
    requests = [("GET", "string"), ("LRANGE", "list", 0, -1), ("HGETALL", "hash"),
                ("SMEMBERS", "set"), ("ZRANGE", "zset", 0, -1, "WITHSCORES"), ("GET", "")]
    before = [client(*request) for request in requests]
    for _ in each_handoff(service):
        assert [client(*request) for request in requests] == before
        assert 0 < client("TTL", "ends") <= 1000
    wait_until(lambda: client("DBSIZE") == 7, "the key that ends soon is gone")


def test_what_older_versions_do_not_know_comes_back(service):
    service.hand_over(2, *QUICK)
    client = service.client()
    for _ in range(5):
        client("INCR", "counter")
    client("MULTI"), client("PING"), client("EXEC")
    for version in (1, 2, 3, 1, 3, 2):
        service.hand_over(version, *QUICK)
        if version > 1:
            assert client("OBJECT", "FREQ", "counter") == 5
            assert b"tot-exec=1 " in client("CLIENT", "INFO")


def test_a_subscriber_misses_nothing(service):
    for protocol in (2, 3):
        subscriber, publisher = service.client(), service.client()
        subscriber("HELLO", protocol)
        subscriber("SUBSCRIBE", "news")
        subscriber("PSUBSCRIBE", "n?ws")
        sent = [0]
        stop = threading.Event()

        def publish(publisher=publisher, sent=sent, stop=stop):
            while not stop.is_set():
                assert publisher("PUBLISH", "news", sent[0]) == 2
                sent[0] += 1

        thread = threading.Thread(target=publish)
        thread.start()
        for _ in each_handoff(service, (2, 3, 2, 1)):
            pass
        stop.set()
        thread.join()
        for i in range(sent[0]):
            assert subscriber.read() == [b"message", b"news", b"%d" % i]
            assert subscriber.read() == [b"pmessage", b"n?ws", b"news", b"%d" % i]
        assert not subscriber.has_reply()
        subscriber("UNSUBSCRIBE"), subscriber("PUNSUBSCRIBE")


def test_a_transaction_goes_on(service):
    client, other = service.client(), service.client()
    client("WATCH", "watched", "absent")
    assert client("MULTI") == "OK"
    for number, _ in enumerate(each_handoff(service)):
        assert client("INCRBY", "sum", number) == "QUEUED"
        assert other("GET", "sum") is None
    assert client("EXEC") == [0, 1, 3, 6, 10, 15]
    assert isinstance(client("EXEC"), RespError)


@pytest.mark.parametrize("changed_before", [True, False])
def test_a_watched_key_that_changes_on_either_side_fails_the_transaction(service, changed_before):
    other = service.client()
    other("SET", "watched", "1")
    for version in (2, 3, 2, 1):
        client = service.client()
        client("WATCH", "watched")
        if changed_before:
            other("INCR", "watched")
        service.hand_over(version, *QUICK)
        if not changed_before:
            other("INCR", "watched")
        client("MULTI"), client("PING")
        assert client("EXEC") is None
        client("WATCH", "watched", "none"), client("MULTI"), client("PING")
        assert client("EXEC") == ["PONG"]


def test_a_failed_transaction_stays_failed(service):
    client = service.client()
    client("MULTI"), client("NONSENSE")
    service.hand_over(2, *QUICK)
    assert str(client("EXEC")).startswith("EXECABORT")


def test_blocked_clients_keep_their_turn(service):
    pusher = service.client()
    waiting = [service.client() for _ in range(5)]
    for number, client in enumerate(waiting, start=1):
        client.send("BLPOP" if number % 2 else "BRPOP", "none", "queue", "0")
        wait_until(lambda n=number: pusher.info()["blocked_clients"] == str(n), "it is blocked")
    for client in waiting:
        for _ in each_handoff(service, (2, 1)):
            assert not client.has_reply()
        pusher("RPUSH", "queue", "left", "right")
        expected = b"left" if waiting.index(client) % 2 == 0 else b"right"
        assert client.read() == [b"queue", expected]
        if client is not waiting[-1]:
            assert waiting[waiting.index(client) + 1].read()[0] == b"queue"
            break
    assert pusher.info()["blocked_clients"] == "3"


def test_blocked_clients_time_out_after_a_handoff(service):
    client = service.client()
    client.send_bytes(RespClient.encode("BLPOP", "queue", "0.7") + RespClient.encode("ECHO", "next"))
    service.hand_over(2, *QUICK)
    assert client.read() is None
    assert client.read() == b"next"


def test_requests_behind_a_blocking_one_move(service):
    client, pusher = service.client(), service.client()
    client.send_bytes(RespClient.encode("BLPOP", "queue", "0") +
                      b"".join(RespClient.encode("ECHO", i) for i in range(1000)) + b"*2\r\n$4\r\nEC")
    for _ in each_handoff(service):
        assert not client.has_reply()
    pusher("LPUSH", "queue", "x")
    assert client.read() == [b"queue", b"x"]
    for i in range(1000):
        assert client.read() == b"%d" % i
    client.send_bytes(b"HO\r\n$3\r\nend\r\n")
    assert client.read() == b"end"


def test_a_request_that_is_sent_byte_by_byte_across_handoffs(service):
    client = service.client()
    request = RespClient.encode("SET", "key", "value\r\n*1") + b"ECHO 'in line'\n"
    step = len(request) // len(CHAIN)
    for i, _ in enumerate(each_handoff(service)):
        last = i == len(CHAIN) - 1
        client.send_bytes(request[i * step:len(request) if last else (i + 1) * step])
    assert client.read() == "OK"
    assert client.read() == b"in line"
    assert client("GET", "key") == b"value\r\n*1"


def test_a_large_value_is_uploaded_across_handoffs(service):
    client = service.client()
    value = random.Random(3).randbytes(24 << 20)
    request = RespClient.encode("SET", "large", value)
    step = len(request) // 4
    for i, _ in enumerate(each_handoff(service, (2, 3, 1))):
        client.send_bytes(request[i * step:(i + 1) * step])
    client.send_bytes(request[3 * step:])
    assert client.read() == "OK"
    assert client("GET", "large") == value


def test_answers_that_nobody_reads_yet_are_not_lost(service):
    client = service.client()
    client("SET", "big", "x" * 100_000)
    for i in range(300):
        client.send_bytes(RespClient.encode("ECHO", i) + RespClient.encode("GET", "big"))
    for _ in each_handoff(service, (2, 3)):
        pass
    for i in range(300):
        assert client.read() == b"%d" % i
        assert len(client.read()) == 100_000


def test_pipelines_are_answered_once_and_in_order(service):
    """Several clients pipeline increments of their own counter through all handoffs."""
    failures, stop = [], threading.Event()

    def work(client, key):
        expected = 0
        while not stop.is_set():
            client.send_bytes(RespClient.encode("INCR", key) * 200)
            for _ in range(200):
                expected += 1
                got = client.read()
                if got != expected:
                    failures.append((key, expected, got))
                    return

    threads = [threading.Thread(target=work, args=(service.client(), f"counter:{i}"))
               for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in each_handoff(service):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_session_moves(service):
    client = service.client()
    client("HELLO", 3, "SETNAME", "tester")
    client("CLIENT", "SETINFO", "LIB-NAME", "mine")
    client.send("CLIENT", "REPLY", "OFF")
    for _ in each_handoff(service, (2, 1)):
        client.send("PING")
    assert client("CLIENT", "REPLY", "ON") == "OK"
    assert client("CLIENT", "GETNAME") == b"tester"
    assert client("HGETALL", "none") == {}  # protocol 3
    assert b"lib-name=mine" in client("CLIENT", "INFO")
    other = service.client()
    assert other("CLIENT", "ID") == client("CLIENT", "ID") + 1


def test_connections_closed_and_opened_around_handoffs(service):
    """What closes is closed for the peer at once; what opens is served; nothing is left over."""
    stop, failures = threading.Event(), []

    def churn(seed):
        rng = random.Random(seed)
        clients = []
        try:
            while not stop.is_set():
                if len(clients) < 20 or rng.random() < 0.5:
                    clients.append(RespClient(service.port))
                    assert clients[-1]("INCR", "opened") > 0
                else:
                    client = clients.pop(rng.randrange(len(clients)))
                    if rng.random() < 0.5:
                        assert client("QUIT") == "OK"
                        wait_until(client.is_closed, "QUIT closes")
                    client.close()
                if clients:
                    assert rng.choice(clients)("PING") == "PONG"
        except Exception as error:  # told to the main thread
            failures.append(repr(error))
        for client in clients:
            client.close()

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for _ in each_handoff(service, CHAIN * 2):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    client = service.client()
    wait_until(lambda: client.info()["connected_clients"] == "1", "the others are gone")


def test_a_hundred_handoffs_agree_with_a_model(service):
    """Random commands and a model of what they do; compared as a whole after each handoff."""
    rng = random.Random(11)
    client, idle = service.client(), service.client()
    strings, lists, hashes = {}, {}, {}

    def change():
        key = rng.randrange(40)
        kind = rng.randrange(7)
        value = str(rng.random()) * rng.randrange(1, 5)
        if kind == 0:
            client("SET", f"s{key}", value)
            strings[key] = value
        elif kind == 1:
            client("APPEND", f"s{key}", value)
            strings[key] = strings.get(key, "") + value
        elif kind == 2:
            client("DEL", f"s{key}")
            strings.pop(key, None)
        elif kind == 3:
            client("RPUSH", f"l{key}", value)
            lists.setdefault(key, []).append(value)
        elif kind == 4 and key in lists:
            assert client("LPOP", f"l{key}").decode() == lists[key].pop(0)
            if not lists[key]:
                del lists[key]
        elif kind == 5:
            client("HSET", f"h{key}", value[:4], value)
            hashes.setdefault(key, {})[value[:4]] = value
        elif kind == 6 and key in hashes:
            field = next(iter(hashes[key]))
            assert client("HDEL", f"h{key}", field) == 1
            del hashes[key][field]
            if not hashes[key]:
                del hashes[key]

    def compare():
        assert client("DBSIZE") == len(strings) + len(lists) + len(hashes)
        for key, value in strings.items():
            assert client("GET", f"s{key}").decode() == value
        for key, value in lists.items():
            assert [e.decode() for e in client("LRANGE", f"l{key}", 0, -1)] == value
        for key, value in hashes.items():
            words = [word.decode() for word in client("HGETALL", f"h{key}")]
            assert dict(zip(words[::2], words[1::2])) == value

    for number in range(100):
        predecessor = service.current
        successor = service.spawn(1 + (number + 1) % 3, "--probation-ms", "1")
        while "reason=committed" not in predecessor.text():
            assert successor.is_running(), successor.text()
            for _ in range(20):
                change()
        compare()
        assert predecessor.wait() == 0
    assert idle("PING") == "PONG"
    info = idle.info()
    assert info["segue_handoffs"] == "100" and info["connected_clients"] == "2"


def test_a_flush_in_the_middle_of_the_snapshot_leaves_the_same_state(respkv):
    keys = 60_000
    predecessor = respkv.start(2)
    client = respkv.client()
    for first in range(0, keys, 10_000):
        client.send_bytes(b"".join(client.encode("SET", f"key:{number}", "x" * 200)
                                   for number in range(first, first + 10_000)))
        assert [client.read() for _ in range(10_000)] == ["OK"] * 10_000
    # It stops once it is ready: the predecessor sends until no more fits in between.
    successor = respkv.spawn(3, environment={"SEGUE_UNSAFE_FAULT": "successor:background:stop"})
    stat = pathlib.Path(f"/proc/{successor.pid}/stat")
    wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", "the successor stops")
    assert client("FLUSHALL") == "OK"
    for number in range(0, 300, 3):
        client("SET", f"key:{number}", "after")
    client("DEL", "key:3")
    assert client("FLUSHALL") == "OK"
    for number in range(0, 300, 2):
        client("SET", f"key:{number}", "again")
    os.kill(successor.pid, signal.SIGCONT)
    successor.wait_for_log("event=activated")
    predecessor.wait_for_log("reason=committed")
    assert client.info()["respkv_version"] == "3"
    assert client("DBSIZE") == 150
    assert [client("GET", f"key:{number}") for number in range(6)] == [
        b"again", None, b"again", None, b"again", None]
