# SPDX-License-Identifier: Apache-2.0
"""A rollout gives canaries their share by HAProxy, which one host's agent speaks with for all."""

import collections
import socket
import threading

import pytest

from fleet_tools import WITHIN_S, Fleet
from support import DEADLINE_S, Program, RespClient, free_port, wait_until

HOSTS = ("berlin-1", "berlin-2")
SPEAKS = "berlin-1"
# Round robin by weights is exact, but begins anew with each weight that changes: some dozens of connections.
CONNECTIONS = 1_000
TOLERANCE = 0.06
ROUTED = "127.0.0.7"

CONFIG = """
global
  stats socket {socket} mode 600 level admin
defaults
  mode tcp
  timeout connect 20s
  timeout client 10m
  timeout server 10m
frontend kv
  bind 127.0.0.1:{port}
  use_backend %[src,map_str({map},kv)]
backend kv
  balance roundrobin
  default-server check inter 500ms rise 1 fall 3
{servers}
backend canary
  balance roundrobin
{canaries}
frontend web
  mode http
  bind 127.0.0.1:{web_port}
  use_backend web_%[req.hdr(x-user),map_str({map},kv)] if {{ req.hdr(x-user) -m found }}
  use_backend web_%[req.cook(user),map_str({map},kv)] if {{ req.cook(user) -m found }}
  default_backend web_kv
backend web_kv
  mode http
  http-request return status 200 content-type text/plain string stable
backend web_canary
  mode http
  http-request return status 200 content-type text/plain string canary
"""


class Proxy:
    def __init__(self, path, hosts):
        path.mkdir()
        self.path, self.port, self.web_port = path, free_port(), free_port()
        self.socket, self.map = path / "admin.sock", path / "users.map"
        self.starts, self.program = 0, None
        self.map.write_text("")
        servers, canaries = [], []
        for host in hosts:
            canary = host.canary_port
            servers.append(f"  server {host.name} 127.0.0.1:{host.port} weight 100")
            servers.append(f"  server {host.name}.canary 127.0.0.1:{canary} weight 0")
            canaries.append(f"  server {host.name} 127.0.0.1:{canary}")
        (path / "haproxy.cfg").write_text(CONFIG.format(
            socket=self.socket, port=self.port, web_port=self.web_port, map=self.map,
            servers="\n".join(servers), canaries="\n".join(canaries)))

    def start(self):
        self.starts += 1
        self.program = Program(["haproxy", "-db", "-f", self.path / "haproxy.cfg"],
                               self.path / f"haproxy{self.starts}.log")
        wait_until(lambda: self.ask("show info"), "HAProxy answers")

    def kill(self):
        if self.program:
            self.program.kill()

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            try:
                client.connect(str(self.socket))
                client.sendall(command.encode() + b"\n")
                answer = b""
                while part := client.recv(65536):
                    answer += part
            except OSError:
                return ""
        return answer.decode()

    def weights(self):
        """By server, as HAProxy has them now."""
        lines = self.ask("show servers state kv").splitlines()
        if len(lines) < 2:
            return {}
        names = lines[1][2:].split(" ")
        rows = [dict(zip(names, line.split(" "))) for line in lines[2:] if line]
        return {row["srv_name"]: int(row["srv_uweight"]) for row in rows}

    def web(self, header):
        request = f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.web_port), DEADLINE_S) as client:
            client.sendall(request.encode())
            answer = b""
            while part := client.recv(65536):
                answer += part
        return answer.decode().rsplit("\r\n", 1)[1]


class Client(RespClient):
    def __init__(self, port, source="127.0.0.1"):  # pylint: disable=super-init-not-called
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S, (source, 0))
        self.buffer = b""

    def version(self):
        return self.info()["respkv_version"]


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves on two hosts, and HAProxy before them."""
    fleet = Fleet(build_dir, short_dir)
    fleet.proxy = None
    fleet.start_server()
    try:
        fleet.join(*HOSTS)
        fleet.proxy = Proxy(short_dir / "proxy", fleet.hosts.values())
        fleet.proxy.start()
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
        yield fleet
    finally:
        fleet.finish()
        if fleet.proxy:
            fleet.proxy.kill()


def component(fleet):
    port = "$(case $SEGUE_NAME in *.canary) echo $KV_CANARY_PORT;; *) echo $KV_PORT;; esac)"
    return {"sharing": {"kind": "haproxy", "proxy_host": SPEAKS,
                        "proxy_socket": str(fleet.proxy.socket), "backend": "kv",
                        "map": str(fleet.proxy.map), "routed": ["alice", ROUTED]},
            "health": {"exec": f"redis-cli -p {port} ping | grep -q PONG",
                       "interval": "500ms", "timeout": "20s", "good": 1, "bad": 3}}


def deploy(fleet, version, steps=None, **rollout):
    limits = {"max_unavailable": "2"}
    if steps is None:
        return fleet.deploy(version, component=component(fleet), limits=limits)
    return fleet.deploy(version, component=component(fleet), limits=limits, strategy="canary",
                        canary={"split": "proxy", "steps": steps}, **rollout)


def share_of(fleet, version, connections=CONNECTIONS):
    """Of new connections, as clients see it."""
    seen = collections.Counter()
    for _ in range(connections):
        client = Client(fleet.proxy.port)
        seen[client.version()] += 1
        client.close()
    return seen[version] / connections


def clients_that_stay(fleet, count, first=0):
    """Each has stored what is its own; by the version that serves it."""
    clients = collections.defaultdict(list)
    for number in range(first, first + count):
        client = Client(fleet.proxy.port)
        client("SET", f"of-{number}", number)
        clients[client.version()].append((client, number))
    return clients


def expect_kept(clients, version):
    for client, number in clients:
        assert client("GET", f"of-{number}") == str(number).encode()
        assert client.version() == version


def close(clients):
    for client, _ in clients:
        client.close()


def who_is_routed(fleet):
    """What those get who have the header, the cookie or the address that the map names."""
    client = Client(fleet.proxy.port, ROUTED)
    version = client.version()
    client.close()
    return [fleet.proxy.web("X-User: alice"), fleet.proxy.web("Cookie: user=alice"),
            fleet.proxy.web("X-User: bob"), version]


def test_shares_survive_the_proxy_and_an_abort_cuts_nobody(fleet):
    rollout = deploy(fleet, "2", [{"share": "10%", "bake": "1h"}, {"share": "50%", "bake": "1h"}])
    fleet.at_step(rollout, 0)
    tenth = share_of(fleet, "2")
    assert abs(tenth - 0.1) <= TOLERANCE, tenth
    assert who_is_routed(fleet) == ["canary", "canary", "stable", "2"]
    # What the proxy counted reaches those who look.
    wait_until(lambda: sum(share["canary"] for share in fleet.progress(rollout)["shares"]) >= 20,
               "the measured share", WITHIN_S)

    weights = fleet.proxy.weights()
    fleet.proxy.kill()
    wait_until(lambda: fleet.progress(rollout)["shares"][0]["result"] == "under-way",
               "the server hears that the proxy does not answer", WITHIN_S)
    fleet.proxy.start()
    wait_until(lambda: fleet.proxy.weights() == weights, "the share is put back", WITHIN_S)
    wait_until(lambda: fleet.progress(rollout)["shares"][0]["result"] == "done",
               "the server hears of it", WITHIN_S)
    assert fleet.progress(rollout)["shares"][0]["restarts"] == 1
    wait_until(lambda: who_is_routed(fleet) == ["canary", "canary", "stable", "2"],
               "who is routed is so again", WITHIN_S)

    fleet.done("rollout", "promote", rollout)
    fleet.at_step(rollout, 1)
    half = share_of(fleet, "2")
    assert abs(half - 0.5) <= TOLERANCE, half
    during = clients_that_stay(fleet, 40)
    assert during["1"] and during["2"]
    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    assert fleet.ended(rollout)["phase"] == "undone"
    expect_kept(during["1"] + during["2"], "1")
    assert share_of(fleet, "1", 200) == 1
    assert who_is_routed(fleet) == ["stable", "stable", "stable", "1"]
    for name, weight in fleet.proxy.weights().items():
        assert weight == (0 if name.endswith(".canary") else 100)
    canaries = [one for one in fleet.instances() if one["slot"] == "canary"]
    assert sum(one["seen"]["handoff"]["connections"] for one in canaries) >= len(during["2"])
    assert all(one["seen"]["handoff"]["lost"] == 0 for one in canaries)
    close(during["1"] + during["2"])


def expect_stopped_by_a_proxy_that_is_not_as_it_is_said(fleet):
    wrong = component(fleet)
    wrong["sharing"]["backend"] = "other"
    rollout = fleet.deploy("2", component=wrong, strategy="canary", retries=0,
                           canary={"split": "proxy", "steps": ["10%"]})
    ended = fleet.ended(rollout)
    assert ended["phase"] == "undone", ended
    assert "backend" in ended["why"], ended
    wrong["sharing"].update(backend="kv", proxy_host="nobody")
    refused = fleet.command("deploy", fleet.write(fleet.component("2", wrong), strategy="canary",
                                                  canary={"split": "proxy"}))
    assert refused.exit != 0 and "sharing.proxy_host" in str(refused), refused


def test_a_promotion_moves_all_and_ends_the_canaries_once_nobody_is_sent_there(fleet):
    expect_stopped_by_a_proxy_that_is_not_as_it_is_said(fleet)
    rollout = deploy(fleet, "2", [{"share": "50%", "bake": "1h"}], late_watch="1h")
    fleet.at_step(rollout, 0)
    during = clients_that_stay(fleet, 40)
    assert during["1"] and during["2"]
    fleet.done("rollout", "promote", rollout)
    wait_until(lambda: fleet.progress(rollout)["phase"] == "watching", "all has moved", WITHIN_S)
    expect_kept(during["1"] + during["2"], "2")

    def canaries():
        return [one["seen"]["revision"] for one in fleet.instances()
                if one["slot"] == "canary"]
    assert all(canaries()), "with connections they stay"
    # While they end, nobody comes to one that has ended.
    close(during["2"])
    late = []
    def have_ended():
        late.append(Client(fleet.proxy.port))
        assert late[-1].version() == "2"
        return not any(canaries())
    wait_until(have_ended, "canaries without connections end", WITHIN_S)
    fleet.done("rollout", "promote", rollout)
    assert fleet.ended(rollout)["phase"] == "done"
    expect_kept(during["1"], "2")
    close(during["1"])
    for client in late:
        client.close()


def shows_share(fleet, rollout, result):
    return lambda: fleet.progress(rollout)["shares"][0]["result"] == result


def test_a_share_is_set_and_put_back_whoever_is_killed(fleet):
    """The agent of the proxy's host, HAProxy and the server; and nobody is sent to a canary that nobody leads."""
    rollout = deploy(fleet, "2", [{"share": "10%", "bake": "1h"}, {"share": "50%", "bake": "1h"}])
    fleet.at_step(rollout, 0)
    weights = fleet.proxy.weights()
    speaker = fleet.hosts[SPEAKS]
    fleet.kill_server()
    speaker.kill()
    fleet.proxy.kill()
    fleet.proxy.start()
    assert fleet.proxy.weights() != weights
    speaker.start()
    wait_until(lambda: fleet.proxy.weights() == weights, "what the agent has on its disk", WITHIN_S)
    fleet.start_server()
    wait_until(lambda: fleet.heard() == set(HOSTS), "the hosts", WITHIN_S)

    # HAProxy is dead when a share is to be set, and then the agent that is to set it.
    fleet.proxy.kill()
    wait_until(shows_share(fleet, rollout, "under-way"), "the server hears of it", WITHIN_S)
    fleet.done("rollout", "promote", rollout)
    wait_until(lambda: fleet.progress(rollout)["step"] == 1, "the next step", WITHIN_S)
    speaker.kill()
    fleet.proxy.start()
    speaker.start()
    fleet.at_step(rollout, 1)
    half = share_of(fleet, "2")
    assert abs(half - 0.5) <= TOLERANCE, half
    during = clients_that_stay(fleet, 40)
    assert during["1"] and during["2"]

    gone = next(name for name in HOSTS if name != SPEAKS)
    fleet.done("hosts", "remove", gone, "--force")
    wait_until(lambda: is_drained(fleet, f"{gone}.canary"), "nobody new comes to its canary", WITHIN_S)
    wait_until(shows_share(fleet, rollout, "done"), "the share of the other", WITHIN_S)
    half = share_of(fleet, "2")
    assert abs(half - 0.5) <= TOLERANCE, half
    for version in "12":
        expect_kept(during[version], version)
    close(during["1"] + during["2"])


def test_a_host_that_leaves_a_component_is_drained_first_and_sent_to_when_it_is_back(fleet):
    left = next(name for name in HOSTS if name != SPEAKS)
    failed, over = [], threading.Event()

    def come_again_and_again():
        while not over.is_set():
            try:
                client = Client(fleet.proxy.port)
                client("PING")
                client.close()
            except OSError as error:
                failed.append(repr(error))
    newcomers = threading.Thread(target=come_again_and_again)
    newcomers.start()
    try:
        limits = {"max_unavailable": "2"}
        fewer = {**component(fleet), "hosts": {"names": [SPEAKS]}}
        assert fleet.ended(fleet.deploy("2", component=fewer, limits=limits))["phase"] == "done"
        assert is_drained(fleet, left) and not is_drained(fleet, SPEAKS)
        wait_until(lambda: not fleet.hosts[left].segue.status("kv").get("pid"), "it has ended", WITHIN_S)
    finally:
        over.set()
        newcomers.join()
    # Those that were connected to it went down with it; nobody came who was not served.
    assert len(failed) <= 1, failed
    assert fleet.ended(deploy(fleet, "2"))["phase"] == "done"
    wait_until(lambda: not is_drained(fleet, left), "it is sent to again", WITHIN_S)
    client = Client(fleet.hosts[left].port)
    client("SET", "here", left)
    client.close()
    def reached():
        client = Client(fleet.proxy.port)
        here = client("GET", "here")
        client.close()
        return here == left.encode()
    wait_until(reached, "clients of the proxy reach it", WITHIN_S)


def is_drained(fleet, server):
    lines = fleet.proxy.ask("show servers state kv").splitlines()
    names = lines[1][2:].split(" ")
    rows = [dict(zip(names, line.split(" "))) for line in lines[2:] if line]
    return next(int(row["srv_admin_state"]) & 8 for row in rows if row["srv_name"] == server) != 0
