# SPDX-License-Identifier: Apache-2.0
"""Containers on a bridge, of both engines, each on a host with a network of its own: what can be handed over is, what
cannot is said before anything changes, and published ports follow a restart."""

import pathlib
import shutil
import socket
import tempfile

import pytest

from container_hosts import PORT, ContainerHost
from container_tools import Engine, Load, image_of, why_not
from fleet_tools import FINAL, WITHIN_S, Fleet
from network_tools import Network, inside
from support import RespClient, wait_until

HOSTS = ("podman-1", "docker-1")
CONNECTIONS = 5  # of each kind, to each host
REFUSED = 4
PUBLISHED, TAKEN = 7001, 7002  # ports of each host


@pytest.fixture(scope="module", name="hosts")
def hosts_fixture(build_dir):
    """By their names: an engine, and the network that it runs in."""
    kinds = [name.split("-", 1)[0] for name in HOSTS]
    missing = [*filter(None, map(why_not, kinds)), *(tool for tool in ("iptables", "ip") if not shutil.which(
        tool, path="/usr/sbin:/sbin:/usr/bin"))]
    if missing:
        pytest.skip(f"NOT TESTED: bridges need both engines and iptables: {missing}")
    redis = shutil.which("redis-server")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="se", dir="/tmp"))
    networks = [Network() for _ in HOSTS]
    engines = []
    try:
        for kind, network in zip(kinds, networks):
            engines.append(Engine(kind, directory / kind[0], network.prefix, bridge=True))
        for version in "12":
            kv = image_of(build_dir / f"examples/respkv/respkv-v{version}", f"localhost/respkv:{version}")
            plain = image_of(redis, f"localhost/redis:{version}", tools=["/bin/true"] if version == "2" else [])
            for engine in engines:
                engine.load(kv)
                engine.load(plain)
        yield dict(zip(HOSTS, zip(engines, networks)))
    finally:
        for engine in engines:
            engine.finish()
        for network in networks:
            network.finish()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir, hosts):
    fleet = Fleet(build_dir, short_dir)
    try:
        fleet.agents_address, fleet.advertised = "0.0.0.0", next(iter(hosts.values()))[1].outer
        fleet.start_server()
        fleet.admit(*(ContainerHost(build_dir, short_dir / name, name, engine, network)
                      for name, (engine, network) in hosts.items()))
        yield fleet
    finally:
        fleet.finish()


def deploy(fleet, component):
    return fleet.deploy_component({"driver": "container", "network": "bridge", **component}, max_unavailable="2",
                                  strategy="all-at-once", retries=0)


def expect_end(fleet, rollout, phase, during=lambda: None):
    def ended():
        during()
        return fleet.progress(rollout)["phase"] == phase
    wait_until(lambda: ended() or fleet.progress(rollout)["phase"] in FINAL, f"the end of {rollout}", WITHIN_S)
    wait_until(ended, f"{rollout} is {phase}; {fleet.progress(rollout)}", WITHIN_S)
    return fleet.progress(rollout)


def inspected(host):
    """The one container of the component that runs."""
    def one():
        running = [each for each in host.engine.containers()
                   if each["State"] == "running" and any("/segue-kv-" in name for name in each["Names"])]
        return running[0]["Id"] if len(running) == 1 else None
    return host.engine.container(wait_until(one, f"one container on {host.name}: {host.engine.containers()}", WITHIN_S))


class Neighbour:
    """Another container on the bridge of a host, from which clients come."""

    def __init__(self, host):
        self.engine = host.engine
        body = {"Image": "localhost/redis:1", "Cmd": ["--port", "1", "--save", ""],
                "HostConfig": {"NetworkMode": "bridge", "Ulimits": [
                    {"Name": name, "Soft": 1024, "Hard": 1024} for name in ("nofile", "nproc")]}}
        self.id = self.engine.json_of("POST", "/containers/create", body)["Id"]
        status, answer = self.engine.ask("POST", f"/containers/{self.id}/start")
        assert status == 204, answer
        state = self.engine.container(self.id)
        self.gateway, self.pid = state["NetworkSettings"]["Gateway"], state["State"]["Pid"]

    def client(self, address):
        with inside(f"/proc/{self.pid}/ns/net"):
            return RespClient(address)

    def finish(self):
        self.engine.ask("DELETE", f"/containers/{self.id}?force=true")


@pytest.fixture(name="neighbours")
def neighbours_fixture(fleet):
    neighbours = {}
    try:
        for name, host in fleet.hosts.items():
            neighbours[name] = Neighbour(host)
        yield neighbours
    finally:
        for one in neighbours.values():
            one.finish()


# ---- What links libsegue: the keeper's sockets

def kv(version, **more):
    return {"image": f"localhost/respkv:{version}", "command": ["--listen", f"tcp:0.0.0.0:{PORT}"],
            "listen": {"clients.0": f"tcp:0.0.0.0:{PORT}"}, "environment": {"ASAN_OPTIONS": "detect_leaks=0"},
            "handoff": {"probation": "500ms", "start": "60s", "budget": "5s"}, **more}


def test_a_container_on_a_bridge_is_upgraded_and_undone_live(fleet, neighbours):
    """With clients of the host's address, of the bridge's own, and in another container of the bridge."""
    expect_end(fleet, deploy(fleet, kv("1")), "done")
    loads = []
    for name, host in fleet.hosts.items():
        settings = inspected(host)
        assert settings["HostConfig"]["NetworkMode"] in ("bridge", "default"), settings["HostConfig"]
        assert settings["NetworkSettings"]["IPAddress"], settings["NetworkSettings"]
        gateway = (neighbours[name].gateway, PORT)
        loads.append(Load(host.client, CONNECTIONS, "outside"))
        loads.append(Load(lambda n=neighbours[name], g=gateway: n.client(g), CONNECTIONS, "neighbour"))
        with host.network.inside():
            loads.append(Load(lambda g=gateway: RespClient(g), CONNECTIONS, "bridge"))

    def rounds():
        for load in loads:
            load.round()
    rollout = deploy(fleet, kv("2"))
    for phase, version in (("done", "2"), ("undone", "1")):
        expect_end(fleet, rollout, phase, rounds)
        for name, host in fleet.hosts.items():
            inspected(host)  # the other one is gone
            for client in (host.client(), neighbours[name].client((neighbours[name].gateway, PORT))):
                assert client.info()["respkv_version"] == version
                client.close()
        rounds()
        for one in fleet.done("ps")["instances"]:
            assert one["seen"]["handoff"]["lost"] == 0, one
            assert one["seen"]["handoff"]["connections"] >= 3 * CONNECTIONS, one
        if phase == "done":
            fleet.done("rollout", "undo", rollout)
    for load in loads:
        load.close()


def test_what_a_bridge_would_cut_is_refused_with_what_to_do_instead_before_anything_changes(fleet):
    for more, field in (({"ports": [f"0.0.0.0:{PUBLISHED}:{PORT}"]}, "ports"),
                        ({"ports": [f"0.0.0.0:{PUBLISHED}:{PORT}"], "listen": {}}, "ports"), ({"listen": {}}, "network")):
        file = fleet.write({"driver": "container", "network": "bridge", **kv("1"), **more})
        for words in (["check", file], ["deploy", file], ["deploy", "--dry-run", file]):
            refused = fleet.segue.plain(*words)
            assert refused.exit != 0, (words, refused)
            assert f"kv.{field}: " in refused.err and "cannot be handed over" in refused.err, refused
            assert "listen: {" in refused.err and "upgrade: restart" in refused.err, refused
    assert not fleet.done("ps")["instances"]
    host = fleet.hosts[HOSTS[0]]
    for words in (["--publish", f"0.0.0.0:{PUBLISHED}:{PORT}"], []):
        refused = host.segue.plain("run", "kv", "--container", "localhost/respkv:1", "--engine", host.engine.url,
                                   "--network", "bridge", *words, "--", "--listen", f"tcp:0.0.0.0:{PORT}")
        assert refused.exit != 0 and "handed over" in refused.err and "--listen" in refused.err, refused
    for host in fleet.hosts.values():
        assert not host.engine.containers()


# ---- What is restarted: published ports

def redis(version, *ports):
    return {"image": f"localhost/redis:{version}", "upgrade": "restart",
            "command": ["--port", str(PORT), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", "/tmp"],
            "ports": [f"0.0.0.0:{port}:{PORT}" for port in ports], "stop": {"grace": "10s"},
            "health": {"tcp": f"127.0.0.1:{PUBLISHED}", "interval": "500ms", "timeout": "10s", "good": 1, "bad": 3}}


def expect_reached(fleet, neighbours, version):
    """By each way, as far as the one container that runs."""
    for name, host in fleet.hosts.items():
        state = inspected(host)
        image = host.engine.json(f"/images/localhost/redis:{version}/json")["Id"]
        assert state["Image"].split(":")[-1] == image.split(":")[-1], (name, version, state["Image"], image)
        address = state["NetworkSettings"]["IPAddress"]
        with host.network.inside():
            own = [RespClient((address, PORT)), RespClient(("127.0.0.1", PUBLISHED))]
        near = neighbours[name]
        for client in (*own, RespClient((host.network.inner, PUBLISHED)), near.client((address, PORT)),
                       near.client((near.gateway, PUBLISHED))):
            assert client("PING") == "PONG"
            client.close()


def test_a_published_port_is_reached_from_everywhere_after_each_restart_and_back(fleet, neighbours):
    expect_end(fleet, deploy(fleet, redis("1", PUBLISHED)), "done")
    expect_reached(fleet, neighbours, "1")
    rollout = deploy(fleet, redis("2", PUBLISHED))
    expect_end(fleet, rollout, "done")
    expect_reached(fleet, neighbours, "2")
    fleet.done("rollout", "undo", rollout)
    expect_end(fleet, rollout, "undone")
    expect_reached(fleet, neighbours, "1")

    # A port that somebody else has: said, and the old one is started again.
    holders = []
    for host in fleet.hosts.values():
        with host.network.inside():
            holders.append(socket.create_server(("0.0.0.0", TAKEN)))
    progress = expect_end(fleet, deploy(fleet, redis("2", PUBLISHED, TAKEN)), "undone")
    assert any(name in progress["why"] for name in HOSTS), progress
    printed = fleet.command("logs", "kv").lines
    assert {line["host"] for line in printed if str(TAKEN) in line["line"]} == set(HOSTS), printed
    expect_reached(fleet, neighbours, "1")
    for holder in holders:
        holder.close()
