# SPDX-License-Identifier: Apache-2.0
"""respkv with one event loop per thread: what crosses loops, and handoffs to more or fewer of them."""

import threading

import pytest

from support import RespClient, wait_until

QUICK = ("--probation-ms", "20")


@pytest.fixture
def service(respkv):
    respkv.start(1, *QUICK, "--threads", "4")
    return respkv


def spread_clients(service, count=40):
    """Clients on at least two event loops."""
    clients = []

    def is_spread():
        numbers = clients[0].info()["clients_per_thread"].split(",")
        return sum(int(number) > 0 for number in numbers) >= 2

    for _ in range(20):
        late = [service.client() for _ in range(count)]  # all at once: one loop alone is too slow
        assert all(client("PING") == "PONG" for client in late)  # so all are accepted
        clients += late
        if is_spread():
            return clients
    raise AssertionError(f"one event loop has accepted all of {len(clients)} clients")


def test_every_loop_accepts_in_the_end(service):
    clients = spread_clients(service)
    info = clients[0].info()
    assert info["threads"] == "4"
    assert sum(int(number) for number in info["clients_per_thread"].split(",")) == len(clients)


def test_messages_and_wakeups_cross_loops(service):
    clients = spread_clients(service)
    subscribers, waiting, pusher = clients[:15], clients[15:30], clients[30]
    for client in subscribers:
        client("SUBSCRIBE", "news")
    for client in waiting:
        client.send_bytes(RespClient.encode("BLPOP", "queue", "0") +
                          RespClient.encode("ECHO", "behind"))
    wait_until(lambda: pusher.info()["blocked_clients"] == "15", "all are blocked")
    for number in range(50):
        assert pusher("PUBLISH", "news", number) == 15
    for number in range(15):
        pusher("RPUSH", "queue", number)
    for client in subscribers:
        assert [client.read()[2] for _ in range(50)] == [b"%d" % n for n in range(50)]
    assert sorted(int(client.read()[1]) for client in waiting) == list(range(15))
    assert all(client.read() == b"behind" for client in waiting)


def test_a_client_that_quits_while_another_loop_ends_its_wait_gets_all_replies(service):
    """It may be told to close by the other loop just as its own has nothing left to send."""
    pusher = spread_clients(service)[0]
    for number in range(300):
        client = service.client()
        client.send("BLPOP", "queue", "0")
        wait_until(lambda: pusher.info()["blocked_clients"] == "1", "it is blocked")
        client.send("QUIT")
        pusher("RPUSH", "queue", number)
        assert client.read() == [b"queue", b"%d" % number]
        assert client.read() == "OK"
        with pytest.raises(ConnectionError):
            client.read()


def test_a_blocked_client_times_out_on_every_loop(service):
    clients = spread_clients(service)
    for client in clients:
        client.send("BLPOP", "none", "0.2")
    assert [client.read() for client in clients] == [None] * len(clients)


@pytest.mark.parametrize("threads", [(1, 4), (4, 1), (2, 3)])
def test_handoffs_to_more_and_fewer_loops_under_load(service, threads):
    """Increments of one counter and of own ones, messages, and clients that come and go."""
    failures, stop, total = [], threading.Event(), [0] * 6

    def work(number):
        try:
            own, expected = RespClient(service.port), 0
            while not stop.is_set():
                own.send_bytes(RespClient.encode("INCR", f"own:{number}") * 20 +
                               RespClient.encode("INCR", "all") * 20)
                for i in range(40):
                    answer = own.read()
                    expected += i < 20
                    if i < 20 and answer != expected:
                        failures.append((number, expected, answer))
                        return
                total[number] += 20
                visitor = RespClient(service.port)
                assert visitor("PUBLISH", "news", number) == 1
                visitor.close()
            own.close()
        except Exception as error:  # told to the main thread
            failures.append(repr(error))

    subscriber = service.client()
    subscriber("SUBSCRIBE", "news")
    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    clients = spread_clients(service)
    for hop in range(6):
        service.hand_over(1 + (hop + 1) % 3, *QUICK, "--threads", threads[hop % 2])
        assert clients[0].info()["threads"] == str(threads[hop % 2])
    stop.set()
    for worker in workers:
        worker.join()
    assert not failures
    assert int(clients[0]("GET", "all")) == sum(total)
    for _ in range(sum(total) // 20):
        assert subscriber.read()[:2] == [b"message", b"news"]
    assert not subscriber.has_reply(0.2)
    for client in clients:
        assert client("PING") == "PONG"


def test_a_loop_in_a_long_request_is_waited_for(service):
    """It costs attempts, not the upgrade."""
    clients = spread_clients(service)
    for client in clients[:8]:
        client.send("DEBUG", "SLEEP", "0.1")
    predecessor = service.current
    successor = service.spawn(2, *QUICK, "--threads", "4")
    for client in clients[:8]:
        assert client.read() == "OK"
    predecessor.wait_for_log("reason=committed")
    assert clients[0].info()["process_id"] == str(successor.pid)
