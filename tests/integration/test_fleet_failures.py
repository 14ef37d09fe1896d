# SPDX-License-Identifier: Apache-2.0
"""What must not break a fleet: a full disk, a version that fails late, kills at random, floods of events."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from failure_tools import SmallDisk, decider_of, wait_for_event
from fleet_tools import FINAL, WITHIN_S, Fleet
from keeper_tools import is_alive, send_signal
from support import RespClient, wait_until

HOSTS = ("berlin-1", "berlin-2")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    with serving(build_dir, short_dir) as fleet:
        yield fleet


@contextlib.contextmanager
def serving(build_dir, path, disk=None, hosts=HOSTS):
    """Version 1 serves, and on each host clients stay."""
    fleet = Fleet(build_dir, path)
    fleet.clients = {}
    try:
        if disk:
            fleet.server_prefix = disk.prefix
            fleet.segue.environment["SEGUE_PROFILE"] = str(disk.path / "admin.json")
        fleet.start_server()
        fleet.join(*hosts)
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(fleet.deploy("1", strategy="all-at-once", limits={"max_unavailable": "100%"}))["phase"] == "done"
        for name in hosts:
            fleet.clients[name] = fleet.hosts[name].client()
            fleet.clients[name]("SET", "where", name)
        yield fleet
    finally:
        for client in fleet.clients.values():
            client.close()
        fleet.finish()


def expect_kept(fleet, version):
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), name
        assert client.info()["respkv_version"] == version, name


def observed(fleet):
    return {one["host"]: one.get("seen", {}) for one in fleet.instances()}


# ---- The server's disk is full

@pytest.fixture(name="small_disk")
def small_disk_fixture(short_dir):
    missing = SmallDisk.why_not()
    if missing:
        pytest.skip(f"NOT TESTED: {missing}")
    disk = SmallDisk(short_dir / "server", 24)
    yield disk
    disk.finish()


def refused_for_the_disk(fleet):
    """Not before the server knows: what it tries to write first waits for room."""
    wait_for_event(fleet, "full")
    refused = fleet.command("deploy", fleet.write(fleet.component("1")))
    assert refused.exit != 0, refused
    assert "nothing new is begun" in refused.text and "full" in refused.text, refused


def test_a_server_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(build_dir, short_dir, small_disk):
    with serving(build_dir, short_dir, small_disk) as fleet:
        rollout = fleet.deploy("2", waves=[1, "rest"], bake="1h")
        wait_until(lambda: fleet.progress(rollout)["step_phase"] == "baking", "the first wave", WITHIN_S)
        small_disk.fill()
        promotion = fleet.segue.start("rollout", "promote", "--all", "--json", rollout)
        refused_for_the_disk(fleet)
        assert promotion.poll() is None, "nothing is acknowledged that is not written"
        assert fleet.progress(rollout)["phase"] == "running"
        assert fleet.heard() == set(HOSTS)
        seen = observed(fleet)
        for name, client in fleet.clients.items():
            assert client("GET", "where") == name.encode()
            assert client.info()["respkv_version"] == str(seen[name]["revision"])
        assert sorted(one["revision"] for one in seen.values()) == [1, 2], "nothing moves meanwhile"
        small_disk.make_room()
        out, err = promotion.communicate(timeout=WITHIN_S)
        assert promotion.returncode == 0, (out, err)
        assert fleet.ended(rollout)["phase"] == "done"
        expect_kept(fleet, "2")

        # Killed while nothing could be written: what it had acknowledged is there.
        small_disk.fill()
        lost = fleet.segue.start("drain", "--json", HOSTS[0])
        wait_until(lambda: len([one for one in fleet.command("events", "--fleet").lines
                                if "full" in one.get("text", "")]) >= 2, "the trouble", WITHIN_S)
        fleet.kill_server()
        lost.communicate(timeout=WITHIN_S)
        assert lost.returncode != 0
        fleet.launch_server()
        small_disk.make_room()
        ended = fleet.server.poll() is not None
        if ended:
            fleet.start_server()
        wait_until(lambda: fleet.command("hosts").exit == 0, f"the server; {fleet.server_log()}", WITHIN_S)
        assert fleet.progress(rollout)["phase"] == "done"
        assert not any(host["drained"] for host in fleet.host_list())
        fleet.done("audit", "verify")
        wait_until(lambda: fleet.heard() == set(HOSTS), "the hosts", WITHIN_S)
        assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
        expect_kept(fleet, "1")


# ---- A version that fails long after it went live

def test_a_version_that_fails_after_its_rollout_is_undone_by_itself(fleet):
    """For as long as it is watched."""
    ill = fleet.path / "ill"
    check = (f"redis-cli -p $KV_PORT ping | grep -q PONG && "
             f"{{ test ! -e {ill} || redis-cli -p $KV_PORT info | grep -q respkv_version:1; }}")
    health = {"health": {"exec": check, "interval": "500ms", "timeout": "20s", "good": 1, "bad": 3}}
    rollout = fleet.deploy("2", component=health, late_watch="1h", bake="0s", limits={"max_unavailable": "2"})
    wait_until(lambda: fleet.progress(rollout)["phase"] == "watching", "the watch", WITHIN_S)
    expect_kept(fleet, "2")
    wait_until(lambda: all(one.get("health") == "good" for one in observed(fleet).values()), "its health", WITHIN_S)
    ill.touch()
    ended = fleet.ended(rollout)
    assert ended["phase"] == "undone", ended
    assert any(name in ended["why"] for name in HOSTS) and "health" in ended["why"], ended
    expect_kept(fleet, "1")
    assert all(one["handoff"]["lost"] == 0 for one in observed(fleet).values())


# ---- Which version it is

def test_versions_with_the_same_files_and_versions_that_were_tried_in_vain_are_told_apart(fleet):
    """What is undone goes back to what it was, whatever was tried since."""
    same = fleet.path / "tree-1"
    fleet.publisher.publish(same, "3")
    fleet.publish("broken", None)
    for version, serves in (("2", "2"), ("3", "1"), ("1", "1"), ("3", "1")):
        rollout = fleet.deploy(version, limits={"max_unavailable": "2"})
        assert fleet.ended(rollout)["phase"] == "done"
        expect_kept(fleet, serves)
    fleet.done("rollout", "undo", rollout)
    wait_until(lambda: fleet.progress(rollout)["phase"] == "undone", "the way back", WITHIN_S)
    expect_kept(fleet, "1")
    rollout = fleet.deploy("2", limits={"max_unavailable": "2"})
    assert fleet.ended(rollout)["phase"] == "done"
    # Tried and taken back, it is what was live last on that host; not what the undo goes to.
    assert fleet.ended(fleet.deploy("broken", retries=0))["phase"] == "undone"
    fleet.done("rollout", "undo", rollout)
    wait_until(lambda: fleet.progress(rollout)["phase"] == "undone", "the way back", WITHIN_S)
    expect_kept(fleet, "1")
    for host in fleet.hosts.values():
        place = host.path / "s/agent/fleet/instances/kv/live"
        assert (place / "version").read_text() == "1", "what the keeper would start"


# ---- Killed at random moments

KILLS_S = float(os.environ.get("SEGUE_SOAK", "90"))  # rounds begin for so long
KILLS = ("server", "agent", "decider", "keeper")


class Counter:
    """A client that stays, and whose every request counts."""

    def __init__(self, host, number):
        self.client, self.name, self.expected = host.client(), f"{host.name}-{number}", 0

    def round(self):
        self.expected += 1
        assert self.client("INCR", self.name) == self.expected, self.name

    def version(self):
        return self.client.info()["respkv_version"]


def kill(fleet, victim, host):
    """And starts it again, as systemd would; a keeper is started by its agent."""
    if victim == "server":
        fleet.kill_server()
        fleet.launch_server()
    elif victim == "agent":
        host.kill()
        host.start()
    elif victim == "decider":
        send_signal(wait_until(lambda: decider_of(host), f"the other half; {host.log()}", WITHIN_S), signal.SIGKILL)
        host.agent.wait(timeout=WITHIN_S)
        host.start()
    else:
        send_signal(host.segue.status("kv").get("keeper_pid", 0), signal.SIGKILL)


def phase_of(fleet, rollout):
    """Nothing while the server starts."""
    answer = fleet.command("rollout", "show", rollout)
    return answer.last["phase"] if answer.exit == 0 else None


def expect_no_order_twice(fleet, rollout):
    """Each rollout is to a revision of its own, and an order's name ends with how many there were."""
    revision = int(rollout.rsplit("-", 1)[1])
    for name, one in observed(fleet).items():
        of, _, count = one["order"].rsplit(".", 2)
        orders = int(count) if of == rollout else 0
        history = fleet.hosts[name].segue("history", "kv").last.get("history", [])
        attempts = [attempt for attempt in history if f"/confined/{revision}/" in attempt["program"]]
        assert len(attempts) <= orders, (name, one["order"], attempts)


def expect_round_is_whole(fleet, counters, rollout, before, after):
    ended = fleet.ended(rollout)
    assert ended["phase"] in ("done", "undone"), ended
    version = after if ended["phase"] == "done" else before
    for counter in counters:
        counter.round()
        assert counter.version() == version, (counter.name, ended)
    wait_until(lambda: fleet.heard() == set(HOSTS), "the hosts", WITHIN_S)
    wait_until(lambda: all("order" in one for one in observed(fleet).values()), "what they say", WITHIN_S)
    for name, one in observed(fleet).items():
        assert one.get("handoff", {}).get("lost", 0) == 0, (name, one)
    expect_no_order_twice(fleet, rollout)
    return version


def told_of(host):
    """What its agent, its keeper and the keeper's steps say."""
    steps = "\n".join(path.read_text()[-20_000:] for path in host.path.rglob("steps.log"))
    return f"{host.name}: {json.dumps(host.segue.status('kv'))}\n{host.log()[-20_000:]}\n{steps}"


@pytest.mark.skipif("SEGUE_SOAK" not in os.environ, reason="a soak of minutes: scripts/soak runs it")
def test_kills_at_random_moments_of_rollouts_lose_nothing(fleet):
    seed = int(os.environ.get("SEGUE_SEED", "0")) or random.randrange(1, 2**32)
    print(f"SEGUE_SEED={seed}")
    chance = random.Random(seed)
    counters = [Counter(fleet.hosts[name], number) for name in HOSTS for number in range(5)]
    version, rounds, done = "1", 0, []
    end = time.monotonic() + KILLS_S
    while time.monotonic() < end:
        after = "2" if version == "1" else "1"
        rollout = fleet.deploy(after, waves=[chance.choice([1, 2]), "rest"], first_retry="1s",
                               limits={"max_unavailable": "2"})
        for _ in range(chance.randrange(1, 5)):
            moment = time.monotonic() + chance.uniform(0, 1.5)
            while time.monotonic() < moment:
                for counter in counters:
                    counter.round()
            victim, host = chance.choice(KILLS), fleet.hosts[chance.choice(HOSTS)]
            done.append((rounds, victim, host.name))
            kill(fleet, victim, host)
        def ended(rollout=rollout):
            for counter in counters:
                counter.round()
            return phase_of(fleet, rollout) in FINAL
        try:
            wait_until(ended, f"the end of {rollout} after {done}", 2 * WITHIN_S)
        except AssertionError as error:
            told = "\n".join(told_of(host) for host in fleet.hosts.values())
            raise AssertionError(f"{error}; {json.dumps(fleet.progress(rollout))}; {fleet.done('ps')}; "
                                 f"{fleet.server_log()[-5_000:]}; {told}") from error
        version = expect_round_is_whole(fleet, counters, rollout, version, after)
        rounds += 1
    print(f"{rounds} rounds, killed: {done}")
    fleet.done("audit", "verify")


# ---- A flood of events, and somebody who does not read them

PAUSES = 1_500
WHY = "nobody knows why, " * 50  # 900 bytes
MAX_GROWN_KIB = 128 << 10  # with what a sanitizer holds back of freed memory


class Line:
    """To the server, for many requests."""

    def __init__(self, fleet):
        profile = json.loads((fleet.path / "server/admin.json").read_text())
        url = urllib.parse.urlsplit(profile["url"])
        self.context = ssl.create_default_context(cadata=profile["authority"])
        self.address = (url.hostname, url.port)
        self.fields = {"Authorization": f"Bearer {profile['token']}"}
        self.connection = http.client.HTTPSConnection(*self.address, timeout=WITHIN_S, context=self.context)

    def post(self, path, **members):
        self.connection.request("POST", path, json.dumps(members), self.fields)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)

    def follow_and_never_read(self, path):
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(WITHIN_S)
        plain.connect(self.address)
        stream = self.context.wrap_socket(plain, server_hostname=self.address[0])
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.address[0]}",
                 *(f"{name}: {value}" for name, value in self.fields.items()), "", ""]
        stream.sendall("\r\n".join(lines).encode())
        return stream


def resident_kib(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def read_events(stream, last):
    """The numbers of what comes until that one, or until the server has closed the line."""
    data = b""
    try:
        while b"id: %d\n" % last not in data[-(1 << 17):]:
            part = stream.recv(1 << 16)
            if not part:
                break
            data += part
    except (ssl.SSLError, ConnectionError):
        pass  # closed in the middle of a record
    finally:
        stream.close()
    return [int(number) for number in re.findall(rb"^id: ([0-9]+)$", data, re.MULTILINE)]


def test_a_flood_of_events_costs_no_more_than_its_bound_and_holds_up_nobody(fleet):
    rollout = fleet.deploy("2", late_watch="1h", bake="0s", limits={"max_unavailable": "2"})
    wait_until(lambda: fleet.progress(rollout)["phase"] == "watching", "the watch", WITHIN_S)
    line, path = Line(fleet), f"/v1/events/stream?object={rollout}"
    slow = line.follow_and_never_read(path)
    quick = fleet.segue.start("events", "-f", "--json", "--object", rollout, bufsize=1)
    numbers = []
    reader = threading.Thread(target=lambda: [numbers.append(json.loads(line)["number"]) for line in quick.stdout])
    reader.start()
    try:
        def pauses(count):
            for _ in range(count):
                line.post(f"/v1/rollouts/{rollout}/pause", why=WHY)
                line.post(f"/v1/rollouts/{rollout}/resume")
        pauses(PAUSES // 4)
        before = resident_kib(fleet.server.pid)
        pauses(PAUSES - PAUSES // 4)
        grown = resident_kib(fleet.server.pid) - before
        wait_until(lambda: len(numbers) >= 2 * PAUSES, f"all events; {len(numbers)}", WITHIN_S)
        assert numbers == sorted(set(numbers)), "each once, in order"
        assert grown < MAX_GROWN_KIB, f"{grown} KiB more for {PAUSES} pauses"
        # Whoever was cut off asks again from the last number that it has.
        taken = read_events(slow, numbers[-1])
        while taken[-1] != numbers[-1]:
            more = read_events(line.follow_and_never_read(f"{path}&after={taken[-1]}"), numbers[-1])
            assert more, "nothing more comes"
            taken += more
        assert taken == numbers
        assert fleet.heard() == set(HOSTS)
        expect_kept(fleet, "2")
    finally:
        quick.kill()
        reader.join()
        quick.communicate()
