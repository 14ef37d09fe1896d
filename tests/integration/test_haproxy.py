# SPDX-License-Identifier: Apache-2.0
"""segue share --haproxy: a real HAProxy gives the canary its share, also after it has forgotten."""

import contextlib
import signal

import pytest

from haproxy_tools import Proxy
from keeper_tools import DONE, FAILED, REFUSED, USAGE, Segue
from share_tools import Client, versions
from support import wait_until


@pytest.fixture
def segue(build_dir, short_dir):
    return Segue(build_dir, short_dir)


@pytest.fixture(params=["one process", "master and worker"])
def proxy(request, short_dir):
    proxy = Proxy(short_dir, master=request.param != "one process")
    yield proxy
    proxy.stop()


@pytest.fixture
def single(short_dir):
    proxy = Proxy(short_dir, master=False)
    yield proxy
    proxy.stop()


def share(segue, *words, expect=DONE):
    answer = segue.plain("share", "--json", "hub", *words)
    assert answer.exit == expect, answer
    return answer.last


def begin(segue, proxy, size, *words, expect=DONE):
    return share(segue, size, "--haproxy", str(proxy.socket), "--backend", "hub", "--canary-server",
                 "canary1", *words, expect=expect)


@contextlib.contextmanager
def kept(segue):
    keeper = segue.start("share", "--json", "--keep-s", "0.1", "hub")
    try:
        yield keeper
    finally:
        keeper.send_signal(signal.SIGTERM)
        keeper.communicate(timeout=60)


def canaries(port, count):
    return versions(port, count).count("version 2")


def test_weights_move_the_share_that_is_counted(segue, proxy):
    assert canaries(proxy.port, 20) == 0
    told = begin(segue, proxy, "10%")
    assert abs(told["weights_share"] - 0.1) < 0.005 and not told["problems"]
    staying = [Client(proxy.port) for _ in range(40)]
    seen = [client.version for client in staying] + versions(proxy.port, 360)
    moved = share(segue)["moved"]
    assert moved["stable"] + moved["canary"] == 400
    assert moved["canary"] == seen.count("version 2")
    assert abs(moved["measured"] - 0.1) <= 0.02
    wait_until(lambda: sum(share(segue)["current"].values()) == len(staying),
               "only those are counted that have not ended")

    share(segue, "100%")
    assert canaries(proxy.port, 40) == 40
    share(segue, "0%")
    assert canaries(proxy.port, 40) == 0
    weights = {server["name"]: server["weight"] for server in share(segue)["servers"]}
    assert weights == {"stable1": 100, "stable2": 100, "canary1": 0}, "as configured"
    assert all(client.is_served() for client in staying)


def test_what_a_reload_loses_is_put_back(segue, short_dir):
    proxy = Proxy(short_dir, master=True)
    try:
        begin(segue, proxy, "50%", "--map", str(proxy.directory / "users.map"),
              "--route", "bob=web_canary")
        assert proxy.get("X-User: bob") == "canary"
        staying = [Client(proxy.port) for _ in range(10)]
        with kept(segue):
            for _ in range(2):
                before = proxy.pid()
                proxy.program.process.send_signal(signal.SIGUSR2)
                wait_until(lambda: proxy.pid() not in ("", before), "another worker answers")
                wait_until(lambda: abs(share(segue)["weights_share"] - 0.5) < 0.01
                           and not share(segue)["problems"], "the weights are back")
                wait_until(lambda: proxy.get("X-User: bob") == "canary", "the map is back")
                assert 10 <= canaries(proxy.port, 40) <= 30
            wait_until(lambda: share(segue)["moved"]["restarts"] == 2, "reloads are seen")
        assert share(segue)["moved"]["canary"] >= 20
        assert all(client.is_served() for client in staying)
    finally:
        proxy.stop()


def test_what_a_killed_haproxy_loses_is_put_back(segue, single):
    begin(segue, single, "100%")
    with kept(segue):
        single.program.kill()
        answer = segue.plain("share", "--json", "hub")
        assert answer.exit == REFUSED and "HAProxy does not run" in answer.text, answer
        single.start()
        wait_until(lambda: canaries(single.port, 5) == 5, "the canary gets all again")
    assert not share(segue)["problems"]


def test_a_share_that_was_lost_is_said(segue, single):
    begin(segue, single, "100%")
    single.program.kill()
    single.start()
    assert "is not as it was set" in " ".join(share(segue)["problems"])
    assert canaries(single.port, 10) == 0, "the configuration's own weight of a canary should be 0"
    share(segue, "100%")
    assert canaries(single.port, 10) == 10


def test_servers_come_and_go(segue, proxy):
    address = f"127.0.0.1:{proxy.ports['canary2']}"
    begin(segue, proxy, "50%", "--canary-server", f"canary2={address}", "--check")
    wait_until(lambda: not share(segue, "50%")["problems"], "its check is good")
    names = {server["name"]: server for server in share(segue)["servers"]}
    assert names["canary2"]["canary"] and names["canary2"]["weight"] > 0
    assert 15 <= canaries(proxy.port, 60) <= 45

    # Canaries alone, the first one drained: all come to the one that was added.
    told = share(segue, "100%", "--drain-server", "canary1")
    assert not told["problems"]
    staying = Client(proxy.port)
    assert staying.version == "version 2"

    told = share(segue, "0%", "--remove-server", "canary2", "--remove-server", "canary1")
    assert "canary2 still has 1 sessions" in " ".join(told["problems"])
    assert canaries(proxy.port, 20) == 0
    assert staying.is_served()
    staying.close()

    def gone():
        return "canary2" not in [server["name"] for server in share(segue, "0%")["servers"]]
    wait_until(gone, "it is removed once its session has ended")


def test_headers_and_cookies_pick_by_maps(segue, proxy):
    users, cookies = proxy.directory / "users.map", proxy.directory / "cookies.map"
    begin(segue, proxy, "0%", "--map", str(users), "--route", "bob=web_canary", "--route",
          "eve=web_canary")
    share(segue, "--map", str(cookies), "--route", "next=web_canary")
    assert proxy.get("X-User: bob") == "canary"
    assert proxy.get("X-User: eve") == "canary"
    assert proxy.get("X-User: alice") == "stable"
    assert proxy.get("Cookie: release=next") == "canary"
    assert proxy.get("Cookie: release=this") == "stable"
    share(segue, "--map", str(users), "--route", "alice=web_canary")
    assert proxy.get("X-User: alice") == "canary"
    assert proxy.get("X-User: bob") == "stable"
    assert proxy.get("Cookie: release=next") == "canary", "the other map stays"
    # More than one message to HAProxy holds.
    routes = [word for i in range(1_000) for word in ("--route", f"user-{i:04}=web_canary")]
    share(segue, "--map", str(users), *routes)
    assert proxy.get("X-User: user-0000") == proxy.get("X-User: user-0999") == "canary"
    assert proxy.get("X-User: alice") == "stable"


def test_the_api_may_be_reached_over_tcp(segue, single):
    share(segue, "100%", "--haproxy", single.api, "--backend", "hub", "--canary-server", "canary1")
    assert canaries(single.port, 10) == 10


def test_what_haproxy_refuses_is_said(segue, single):
    def refuse(*words, expect=REFUSED):
        return share(segue, "10%", *words, expect=expect)["text"]
    socket = str(single.socket)
    assert "HAProxy does not run" in refuse("--haproxy", "/nowhere/sock", "--backend", "hub")
    assert "name a backend" in refuse("--haproxy", socket, "--backend", "nope")
    refuse("--haproxy", "nowhere", "--backend", "hub", expect=USAGE)
    refuse("--haproxy", socket, expect=USAGE)
    refuse("--haproxy", socket, "--backend", "a;b", expect=USAGE)
    assert "name a file" in refuse("--haproxy", socket, "--backend", "hub", "--map", "/etc/nope.map",
                                   "--route", "a=b")
    operator = str(single.directory / "operator.sock")
    told = refuse("--haproxy", operator, "--backend", "hub", "--canary-server", "canary1")
    assert "level admin" in told
    told = refuse("--haproxy", socket, "--backend", "fixed", "--canary-server", "canary1",
                  expect=FAILED)
    assert "hash-type consistent" in told
    share(segue, "--forget")
    told = share(segue, "10%", "--haproxy", socket, "--backend", "hub", "--canary-server", "nope")
    assert "no server nope" in " ".join(told["problems"])
    assert canaries(single.port, 10) == 0


def test_a_dry_run_says_what_it_would_say(segue, single):
    told = begin(segue, single, "50%", "--dry-run")
    assert [order for order in told["orders"] if "canary1 weight" in order]
    assert canaries(single.port, 10) == 0
    assert segue.plain("share", "--json", "hub").exit == REFUSED, "nothing is remembered"
