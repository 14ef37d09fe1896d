# SPDX-License-Identifier: Apache-2.0
"""A real canary that those have who send a header or a cookie: HAProxy looks them up in the map that a rollout fills.
Others never come there, neither while steps change, HAProxy reloads, nor while all goes back or on."""

import collections
import pathlib
import shutil
import signal
import socket
import threading

import pytest

from fleet_tools import WITHIN_S, Fleet, Host
from support import DEADLINE_S, Program, free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = ("berlin-1", "berlin-2")
REQUESTS = 20  # of each kind
NEWCOMERS = 600
TOLERANCE = 0.08  # weights begin anew with each that changes
TUNNELS = 4  # of each kind

START = """#!/bin/sh
case "$SEGUE_NAME" in *.canary) KV_PORT="$KV_CANARY_PORT";; esac
here="$(dirname "$0")"
exec "$SEGUE_TEST_LEVEL1" --freeze-ms=5000 -- /usr/bin/python3 -B "$here/web_program.py" \\
  --listen "tcp:127.0.0.1:$KV_PORT" --version "$(cat "$here/../version")"
"""

# `routed`: a canary for those in the map alone. `shared`: for them, and for a share of all others.
CONFIG = """
global
  stats socket {socket} mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 20s
  timeout client 10m
  timeout server 10m
  timeout tunnel 10m
frontend routed
  bind 127.0.0.1:{routed}
  use_backend web_%[req.hdr(x-user),map_str({map},stable)] if {{ req.hdr(x-user) -m found }}
  use_backend web_%[req.cook(user),map_str({map},stable)] if {{ req.cook(user) -m found }}
  default_backend web_stable
frontend shared
  bind 127.0.0.1:{shared}
  use_backend web_canary if {{ req.cook(user),map_str({map},stable) -m str canary }}
  default_backend web
backend web
  balance roundrobin
  default-server check inter 500ms rise 1 fall 3
{both}
backend web_stable
  balance roundrobin
{stable}
backend web_canary
  balance roundrobin
{canary}
"""


class Proxy:
    """HAProxy, with a master that reloads it."""

    def __init__(self, path, hosts):
        path.mkdir()
        self.path, self.routed, self.shared = path, free_port(), free_port()
        self.socket, self.map = path / "admin.sock", path / "users.map"
        self.map.write_text("")
        stable = [f"  server {host.name} 127.0.0.1:{host.port}" for host in hosts]
        canary = [f"  server {host.name}.canary 127.0.0.1:{host.canary_port}" for host in hosts]
        both = [f"{line} weight {100 * (line in stable)}" for line in [*stable, *canary]]
        (path / "haproxy.cfg").write_text(CONFIG.format(
            socket=self.socket, map=self.map, routed=self.routed, shared=self.shared,
            **{name: "\n".join(lines) for name, lines in (("both", both), ("stable", stable), ("canary", canary))}))
        self.program = Program(["haproxy", "-W", "-f", path / "haproxy.cfg"], path / "haproxy.log")
        wait_until(self.worker, f"HAProxy answers; {self.program.text()}")

    def worker(self):
        """The pid of who serves new connections; nothing while nobody does."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE_S)
                client.connect(str(self.socket))
                client.sendall(b"show info\n")
                with client.makefile() as answer:
                    return next((line.split()[1] for line in answer if line.startswith("Pid: ")), "")
        except OSError:
            return ""

    def reload(self):
        before = self.worker()
        self.program.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self.worker() not in ("", before), f"another worker; {self.program.text()}", WITHIN_S)


class Stream:
    """A connection with lines of HTTP."""

    def __init__(self, port, *headers):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.lines = self.socket.makefile("rb")
        request = ["GET / HTTP/1.1", "Host: shop", *filter(None, headers), "", ""]
        self.socket.sendall("\r\n".join(request).encode())
        self.status = self.lines.readline().decode().strip()
        fields = list(iter(lambda: self.lines.readline().strip().lower(), b""))
        self.length = next((int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length")), 0)

    def close(self):
        self.lines.close()
        self.socket.close()


def ask(port, who=""):
    """Version and slot."""
    stream = Stream(port, who, "Connection: close")
    try:
        assert stream.status.startswith("HTTP/1.1 200"), (who, stream.status)
        return stream.lines.read(stream.length).decode()
    finally:
        stream.close()


class Tunnel:
    """A long-lived connection: what it counts goes up by one, whoever serves."""

    def __init__(self, port, who=""):
        self.stream, self.expected = Stream(port, who, "Connection: Upgrade", "Upgrade: count"), 0
        assert self.stream.status.startswith("HTTP/1.1 101"), self.stream.status

    def round(self):
        """Version, and pid."""
        self.stream.socket.sendall(b"more\n")
        count, version, pid = self.stream.lines.readline().decode().split()
        self.expected += 1
        assert int(count) == self.expected
        return version, pid


ALICE = ("X-User: alice", "Cookie: user=alice")  # by header, by cookie
OTHERS = ("", "X-User: bob", "Cookie: user=bob", "X-Other: alice", "Cookie: other=alice")


class Visitors:
    """Who come again and again and are not in the map, and one who is: who served them, and whom nobody did."""

    def __init__(self, proxy):
        self.proxy, self.over = proxy, threading.Event()
        self.failed, self.seen = [], collections.Counter()
        self.threads = [threading.Thread(target=self.work, args=(kinds,)) for kinds in (OTHERS, ALICE)]
        for thread in self.threads:
            thread.start()

    def work(self, kinds):
        while not self.over.wait(0.01):
            for who in kinds:
                try:
                    self.seen[who in ALICE, ask(self.proxy.routed, who)] += 1
                except (OSError, AssertionError, ValueError) as error:
                    self.failed.append((who, repr(error)))

    def of_others(self):
        return {answer for (is_alice, answer), _ in list(self.seen.items()) if not is_alice}

    def finish(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves on two hosts, and HAProxy before them."""
    fleet = Fleet(build_dir, short_dir)
    fleet.proxy = fleet.visitors = None
    try:
        fleet.start_server()
        hosts = [Host(build_dir, short_dir / name, name) for name in HOSTS]
        for host in hosts:
            host.segue.environment["SEGUE_TEST_LEVEL1"] = str(build_dir / "src/level1/segue-level1")
        fleet.admit(*hosts)
        fleet.proxy = Proxy(short_dir / "proxy", hosts)
        for version in "12":
            publish(fleet, version)
        assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
        fleet.visitors = Visitors(fleet.proxy)
        yield fleet
    finally:
        if fleet.visitors:
            fleet.visitors.finish()
        fleet.finish()
        if fleet.proxy:
            fleet.proxy.program.process.send_signal(signal.SIGTERM)
            fleet.proxy.program.wait()


def publish(fleet, version):
    tree = fleet.path / f"tree-{version}"
    (tree / "bin").mkdir(parents=True)
    (tree / "version").write_text(version)
    (tree / "bin/web").write_text(START)
    (tree / "bin/web").chmod(0o755)
    for program in (ROOT / "examples/level1/python/echo.py", ROOT / "examples/level1/python/segue_level1.py",
                    ROOT / "tests/integration/web_program.py"):
        shutil.copy(program, tree / "bin")
    fleet.publisher.publish(tree, version)


def deploy(fleet, version, **rollout):
    port = "$(case $SEGUE_NAME in *.canary) echo $KV_CANARY_PORT;; *) echo $KV_PORT;; esac)"
    more = {"command": ["bin/web"],
            "sharing": {"kind": "haproxy", "proxy_host": HOSTS[0], "proxy_socket": str(fleet.proxy.socket),
                        "backend": "web", "map": str(fleet.proxy.map), "routed": ["alice", "carol"]},
            "health": {"exec": f"curl -sf http://127.0.0.1:{port}/", "interval": "500ms", "timeout": "20s",
                       "good": 1, "bad": 3}}
    return fleet.deploy(version, component=more, limits={"max_unavailable": "2"}, **rollout)


def deploy_canary(fleet):
    steps = [{"share": share, "bake": "1h"} for share in ("10%", "50%")]
    return deploy(fleet, "2", strategy="canary", canary={"split": "proxy", "steps": steps})


def expect_routes(fleet, alice, others):
    """Each request comes where it is to come."""
    for who in (*ALICE, *OTHERS):
        answers = {ask(fleet.proxy.routed, who) for _ in range(REQUESTS)}
        assert answers == {alice if who in ALICE else others}, (who, answers)
    assert {ask(fleet.proxy.shared, ALICE[1]) for _ in range(REQUESTS)} == {alice}
    assert not fleet.visitors.failed, fleet.visitors.failed[:5]


def expect_share(fleet, share):
    seen = collections.Counter(ask(fleet.proxy.shared) for _ in range(NEWCOMERS))
    assert abs(seen["2 kv.canary"] / NEWCOMERS - share) <= TOLERANCE, seen


def tunnels(fleet):
    return {who: [Tunnel(fleet.proxy.routed, who) for _ in range(TUNNELS)] for who in ("", *ALICE)}


def versions_of(kinds):
    """By who asked; and the pids that serve them."""
    served = {who: [one.round() for one in some] for who, some in kinds.items()}
    return ({who: {version for version, _ in some} for who, some in served.items()},
            {who: [pid for _, pid in some] for who, some in served.items()})


def routed(fleet, to):
    wait_until(lambda: all(ask(fleet.proxy.routed, who) == to for who in ALICE), f"alice has {to}", WITHIN_S)


def lost(fleet):
    return [one["seen"]["handoff"]["lost"] for one in fleet.done("ps")["instances"] if "handoff" in one.get("seen", {})]


def test_a_header_or_a_cookie_leads_to_the_canary_and_nothing_else_does(fleet):
    expect_routes(fleet, "1 kv", "1 kv")
    rollout = deploy_canary(fleet)
    fleet.at_step(rollout, 0)
    expect_routes(fleet, "2 kv.canary", "1 kv")
    expect_share(fleet, 0.1)
    there = tunnels(fleet)
    versions, pids = versions_of(there)
    assert versions == {"": {"1"}, ALICE[0]: {"2"}, ALICE[1]: {"2"}}

    # A reload begins with an empty map: who is routed may be at the stable ones until it is put back, and nobody fails.
    fleet.proxy.reload()
    assert versions_of(there) == (versions, pids)
    routed(fleet, "2 kv.canary")
    expect_routes(fleet, "2 kv.canary", "1 kv")
    wait_until(lambda: fleet.progress(rollout)["shares"][0]["result"] == "done", "the share is put back", WITHIN_S)

    fleet.done("rollout", "promote", rollout)
    fleet.at_step(rollout, 1)
    expect_share(fleet, 0.5)
    expect_routes(fleet, "2 kv.canary", "1 kv")
    assert versions_of(there) == (versions, pids)
    assert fleet.visitors.of_others() == {"1 kv"}

    # Back: those of the canary are moved, and those that were never there are left alone.
    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    assert fleet.ended(rollout)["phase"] == "undone"
    expect_routes(fleet, "1 kv", "1 kv")
    after, moved = versions_of(there)
    assert after == {who: {"1"} for who in there}
    assert moved[""] == pids[""] and not set(moved[ALICE[0]] + moved[ALICE[1]]) & set(pids[ALICE[0]] + pids[ALICE[1]])
    assert set(lost(fleet)) == {0}
    assert fleet.visitors.of_others() == {"1 kv"}, "nobody without the header was at the canary"
    assert not fleet.visitors.failed, fleet.visitors.failed[:5]


def test_a_promotion_moves_who_was_not_at_the_canary_and_ends_it_once_nobody_is(fleet):
    rollout = deploy_canary(fleet)
    fleet.at_step(rollout, 0)
    there = tunnels(fleet)
    versions, pids = versions_of(there)
    assert versions == {"": {"1"}, ALICE[0]: {"2"}, ALICE[1]: {"2"}}
    fleet.done("rollout", "promote", rollout, "--all")
    fleet.proxy.reload()  # whatever it is about to be told
    assert fleet.ended(rollout)["phase"] == "done"
    expect_routes(fleet, "2 kv", "2 kv")
    after, moved = versions_of(there)
    assert after == {who: {"2"} for who in there}
    assert not set(moved[""]) & set(pids[""])
    assert all(moved[who] == pids[who] for who in ALICE), "they were on the new version already"
    assert fleet.visitors.of_others() == {"1 kv", "2 kv"}, "nobody without the header was at the canary"
    assert set(lost(fleet)) == {0}

    for who in ALICE:
        for one in there[who]:
            one.stream.close()
    wait_until(lambda: not any(one["seen"]["revision"] for one in fleet.done("ps")["instances"] if one["slot"] == "canary"),
               "canaries without connections end", WITHIN_S)
    expect_routes(fleet, "2 kv", "2 kv")
    assert versions_of({"": there[""]})[0] == {"": {"2"}}
