# SPDX-License-Identifier: Apache-2.0
"""A fleet whose component runs in containers: two hosts with an engine and a network of their own, clients that stay."""

import collections
import pathlib
import shutil
import signal
import tempfile

import pytest

from container_hosts import PORT, ContainerHost
from container_tools import Engine, Load, image_of, why_not
from fleet_tools import FINAL, WITHIN_S, Fleet
from keeper_tools import is_alive, send_signal
from network_tools import Network
from registry_tools import Registry, why_no_registry
from support import wait_until

CONNECTIONS = 10  # to each host
HOSTS = ("berlin-1", "oslo-1")


@pytest.fixture(scope="module", name="engines")
def engines_fixture(build_dir):
    missing = why_not("podman")
    if missing:
        pytest.skip(f"NOT TESTED: {missing}")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="se", dir="/tmp"))
    second = "podman" if why_not("docker") else "docker"
    engines = [Engine("podman", directory / "a"), Engine(second, directory / "b")]
    for engine in engines:
        engine.load(image_of(build_dir / "examples/respkv/respkv-v1", "localhost/respkv:1", shell=True))
        engine.load(image_of("/bin/false", "localhost/respkv:broken"))
    yield engines
    for engine in engines:
        engine.finish()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir, engines):
    networks = [Network() for _ in HOSTS]
    fleet = Fleet(build_dir, short_dir)
    try:
        fleet.agents_address, fleet.advertised = "0.0.0.0", networks[0].outer
        fleet.start_server()
        fleet.admit(*(ContainerHost(build_dir, short_dir / name, name, engine, network)
                      for name, engine, network in zip(HOSTS, engines, networks)))
        secret = short_dir / "secrets/token"
        secret.parent.mkdir(mode=0o700)
        secret.write_text("known to few")
        secret.chmod(0o400)
        fleet.secret = secret
        yield fleet
    finally:
        fleet.finish()
        for network in networks:
            network.finish()


def component(fleet, source, group=""):
    return {**source, "driver": "container", "network": "none", "upgrade": "libsegue",
            "command": ["--listen", f"tcp:0.0.0.0:{PORT}"], "listen": {"clients.0": f"tcp:0.0.0.0:{PORT}{group}"},
            "environment": {"ASAN_OPTIONS": "detect_leaks=0", "LEVEL": "7"},
            "secrets": {"token": str(fleet.secret)}, "limits": {"memory": "512MiB"},
            # A generous budget: what a busy machine takes back is right, but not what is asked here.
            "handoff": {"probation": "500ms", "start": "60s", "budget": "5s"},
            "health": {"exec": 'test "$LEVEL" = 7 && test -s /run/secrets/token',
                       "interval": "500ms", "timeout": "20s", "good": 1, "bad": 3}}


def deploy(fleet, source, **rollout):
    return fleet.deploy_component(component(fleet, source), **rollout)


def image(version):
    return {"image": f"localhost/respkv:{version}"}


def serve_version_1(fleet, source=None):
    progress = fleet.ended(deploy(fleet, source or image("1")))
    assert progress["phase"] == "done", (progress, [host.log() for host in fleet.hosts.values()])
    loads = [Load(host.client, CONNECTIONS) for host in fleet.hosts.values()]
    for load in loads:
        load.round()
    return loads


def rounds_until_ended(fleet, loads, rollout):
    """Each client's next request is answered, with what it stored before, while the rollout goes on."""
    def ended():
        for load in loads:
            load.round()
        return fleet.progress(rollout)["phase"] in FINAL
    wait_until(ended, f"the end of {rollout}: {fleet.server_log()}", WITHIN_S)
    for load in loads:
        load.round()
    return fleet.ended(rollout)


def observed(fleet):
    return {one["host"]: one.get("seen", {}) for one in fleet.instances() if one["slot"] == "stable"}


def expect_version(fleet, version, revision):
    for host in fleet.hosts.values():
        client = host.client()
        assert client.info()["respkv_version"] == version
        client.close()
        # The predecessor's is removed after the last word.
        wait_until(lambda host=host: len(host.containers()) == 1, f"one container of {host.containers()}", 60)
    # After a handoff the next check says how it is.
    wait_until(lambda: all(seen.get("revision") == revision and seen.get("health") == "good"
                           for seen in observed(fleet).values()),
               f"revision {revision} is well on all hosts: {observed(fleet)}", WITHIN_S)


def test_a_new_version_out_of_the_library_reaches_each_container_live_and_is_undone_live(fleet, build_dir):
    loads = serve_version_1(fleet)
    inspected = [host.engine.container(host.status()["container"]["container"]) for host in fleet.hosts.values()]
    for container in inspected:
        assert container["HostConfig"]["NetworkMode"] == "none"
        assert container["HostConfig"]["Memory"] == 512 << 20
    printed = fleet.command("logs", "kv").lines
    assert {line["host"] for line in printed if "version=1" in line["line"]} == set(HOSTS), printed
    archive = fleet.path / "respkv-2.tar"
    archive.write_bytes(image_of(build_dir / "examples/respkv/respkv-v2", "localhost/respkv:2", shell=True))
    fleet.publisher.publish(archive, "2")
    rollout = deploy(fleet, {"release": fleet.release("2")})
    assert rounds_until_ended(fleet, loads, rollout)["phase"] == "done"
    expect_version(fleet, "2", 2)
    for name, seen in observed(fleet).items():
        assert seen["handoff"]["lost"] == 0 and seen["handoff"]["connections"] >= CONNECTIONS, (name, seen)
    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    def undone():
        for load in loads:
            load.round()
        return fleet.progress(rollout)["phase"] == "undone"
    wait_until(undone, "the way back", WITHIN_S)
    expect_version(fleet, "1", 1)


@pytest.fixture(name="registry")
def registry_fixture(short_dir):
    missing = why_no_registry()
    if missing:
        pytest.skip(f"NOT TESTED: {missing}")
    registry = Registry(short_dir / "registry")
    yield registry
    registry.finish()


def test_each_engine_pulls_what_a_registry_has_and_the_next_version_takes_over_live(fleet, registry, build_dir):
    sources = {}
    for host in fleet.hosts.values():
        host.segue.environment["REGISTRY_AUTH_FILE"] = str(registry.login)
        host.kill()
        host.start()
    for version in ("1", "2"):
        # With a tool that no other image has: its layer is in no engine yet.
        archive = image_of(build_dir / f"examples/respkv/respkv-v{version}", "pushed", shell=True, tools=["/bin/true"])
        sources[version] = {"image": registry.push(archive, "shop/respkv", version)}
    loads = serve_version_1(fleet, sources["1"])
    pulled = registry.pulls("shop/respkv")
    assert pulled >= len(HOSTS), registry.process.text()
    rollout = deploy(fleet, sources["2"])
    assert rounds_until_ended(fleet, loads, rollout)["phase"] == "done"
    expect_version(fleet, "2", 2)
    assert registry.pulls("shop/respkv") >= pulled + len(HOSTS), registry.process.text()
    for name, seen in observed(fleet).items():
        assert seen["handoff"]["lost"] == 0 and seen["handoff"]["connections"] >= CONNECTIONS, (name, seen)


def test_an_image_that_never_serves_is_taken_back_and_nobody_notices(fleet):
    loads = serve_version_1(fleet)
    progress = rounds_until_ended(fleet, loads, deploy(fleet, image("broken"), retries=0))
    assert progress["phase"] == "undone", progress
    expect_version(fleet, "1", 1)


def test_what_was_killed_finds_its_container_again(fleet, engines):
    loads = serve_version_1(fleet)
    host = fleet.hosts[HOSTS[0]]
    before = host.status()
    host.kill()
    send_signal(before["keeper_pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(before["keeper_pid"]), "the keeper is dead")
    engines[0].kill()
    for load in loads:
        load.round()
    engines[0].start()
    host.start()
    wait_until(lambda: host.status().get("keeper_pid", 0) not in (0, before["keeper_pid"]),
               f"another keeper; {host.log()}", WITHIN_S)
    assert host.status()["pid"] == before["pid"]
    engines[0].load(image_of_2(fleet))
    engines[1].load(image_of_2(fleet))
    assert rounds_until_ended(fleet, loads, deploy(fleet, image("2")))["phase"] == "done"
    expect_version(fleet, "2", 2)
    for name, seen in observed(fleet).items():
        assert seen["handoff"]["lost"] == 0, (name, seen)


@pytest.mark.parametrize("moment", ["staging", "handing-off"])
def test_an_engine_that_is_killed_in_the_middle_of_a_rollout_is_found_again(fleet, engines, moment):
    loads = serve_version_1(fleet)
    for engine in engines:
        engine.load(image_of_2(fleet))
    host = fleet.hosts[HOSTS[0]]
    if moment == "staging":
        engines[0].kill()
    patient = {"retries": 20, "first_retry": "1s", "max_unavailable": "2"}
    rollout = deploy(fleet, image("2"), strategy="all-at-once", **patient)
    if moment == "handing-off":
        wait_until(lambda: observed(fleet)[host.name].get("activity") == "handing-off"
                   or fleet.progress(rollout)["phase"] in FINAL, "the handoff", WITHIN_S)
        engines[0].kill()
    def others_go_on():
        for load in loads:
            load.round()
        other = observed(fleet)[HOSTS[1]]
        return other.get("revision") == 2 or fleet.progress(rollout)["phase"] in ("undoing", *FINAL)
    try:
        wait_until(others_go_on, f"the other host: {observed(fleet)}; {host.log()}", WITHIN_S)
    finally:
        engines[0].start()
    ended = rounds_until_ended(fleet, loads, rollout)
    assert ended["phase"] == "done" or (moment == "handing-off" and ended["phase"] == "undone"), ended
    if ended["phase"] == "undone":  # the handoff did not survive it, and what served serves
        expect_version(fleet, "1", 1)
        ended = rounds_until_ended(fleet, loads, deploy(fleet, image("2"), **patient))
        assert ended["phase"] == "done", ended
        expect_version(fleet, "2", 3)
    else:
        expect_version(fleet, "2", 2)
    for load in loads:
        load.round()


# ---- Shares of the kernel

NEWCOMERS = 400  # to each host
TOLERANCE = 0.15  # six standard deviations of so many at 50 %
STAYING = 30
STEPS = [{"share": "10%", "bake": "1h"}, {"share": "50%", "bake": "1h"}]


def deploy_shared(fleet, version, **rollout):
    shared = {**component(fleet, image(version), ",group"), "sharing": {"kind": "kernel"}}
    return fleet.deploy_component(shared, **rollout)


def version_of(client):
    return client.info()["respkv_version"]


def expect_share(fleet, share):
    for host in fleet.hosts.values():
        seen = collections.Counter()
        for _ in range(NEWCOMERS):
            client = host.client()
            seen[version_of(client)] += 1
            client.close()
        assert abs(seen["2"] / NEWCOMERS - share) <= TOLERANCE and seen["2"] > 0, (host.name, seen)


def expect_all_on(fleet, loads, version):
    for load in loads:
        load.round()
        assert {version_of(client) for client in load.clients} == {version}
    for one in fleet.instances():
        if "handoff" in one.get("seen", {}):
            assert one["seen"]["handoff"]["lost"] == 0, one


def test_the_kernel_gives_canaries_in_containers_their_share_and_abort_and_promotion_cut_nobody(fleet, engines):
    for engine in engines:
        engine.load(image_of_2(fleet))
    assert fleet.ended(deploy_shared(fleet, "1"))["phase"] == "done"
    loads = [Load(host.client, CONNECTIONS) for host in fleet.hosts.values()]
    canary = {"strategy": "canary", "canary": {"steps": STEPS}, "max_unavailable": "2"}
    rollout = deploy_shared(fleet, "2", **canary)
    fleet.at_step(rollout, 0)
    expect_share(fleet, 0.1)
    fleet.done("rollout", "promote", rollout)
    fleet.at_step(rollout, 1)
    expect_share(fleet, 0.5)
    loads += [Load(host.client, STAYING, f"late-{host.name}") for host in fleet.hosts.values()]
    assert {version_of(client) for load in loads[2:] for client in load.clients} == {"1", "2"}
    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    assert rounds_until_ended(fleet, loads, rollout)["phase"] == "undone"
    expect_all_on(fleet, loads, "1")

    rollout = deploy_shared(fleet, "2", **canary)
    fleet.at_step(rollout, 0)
    fleet.done("rollout", "promote", rollout, "--all")
    assert rounds_until_ended(fleet, loads, rollout)["phase"] == "done"
    expect_all_on(fleet, loads, "2")


def image_of_2(fleet):
    return image_of(fleet.build_dir / "examples/respkv/respkv-v2", "localhost/respkv:2", shell=True)
