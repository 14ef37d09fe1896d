# SPDX-License-Identifier: Apache-2.0
"""A way back that fails on one host: what is told, where each host is, and how people go on."""

import os
import pathlib
import shutil
import tempfile

import pytest

from container_hosts import PORT, ContainerHost
from container_tools import Engine, image_of, why_not
from fleet_tools import WITHIN_S, Fleet
from network_tools import Network
from support import wait_until

HOSTS = ("berlin-1", "berlin-2")
LEFT = "berlin-2"
REFUSED = 4
# A release that does not start on a host where a file says so.
START = """#!/bin/sh
if [ -e "{marks}/$(cat "$(dirname "$0")/../version")-$KV_PORT" ]; then echo "no luck here" >&2; exit 1; fi
exec "$(dirname "$0")/respkv" --listen "tcp:127.0.0.1:$KV_PORT"
"""


class Counter:
    """A client that stays, and whose every request counts."""

    def __init__(self, host):
        self.client, self.expected = host.client(), 0

    def round(self):
        self.expected += 1
        assert self.client("INCR", "count") == self.expected

    def version(self):
        self.round()
        return self.client.info()["respkv_version"]


@pytest.fixture(name="fleet", scope="module")
def fleet_fixture(build_dir):
    """Version 1, then version 2, by the rollouts kv-1 and kv-2; the second test begins where the first one ends."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="sg", dir="/tmp"))
    fleet = Fleet(build_dir, path)
    fleet.revisions = {}
    counters = {}
    try:
        fleet.start_server()
        fleet.join(*HOSTS)
        for version in (1, 2, 3):
            publish(fleet, str(version), version)
        for version in "12":
            assert fleet.ended(deploy(fleet, version))["phase"] == "done"
            for host in fleet.hosts.values():
                counters.setdefault(host.name, Counter(host)).round()
        fleet.counters = counters
        yield fleet
    finally:
        for counter in counters.values():
            counter.client.close()
        fleet.finish()
        shutil.rmtree(path, ignore_errors=True)


def publish(fleet, version, program):
    tree = fleet.path / f"tree-{version}"
    (tree / "bin").mkdir(parents=True)
    (tree / "version").write_text(version)
    (tree / "bin/kv").write_text(START.format(marks=fleet.path))
    (tree / "bin/kv").chmod(0o755)
    os.link(fleet.build_dir / f"examples/respkv/respkv-v{program}", tree / "bin/respkv")
    fleet.publisher.publish(tree, version)


def deploy(fleet, version, **more):
    """Each time it is a revision of its own; which rollout."""
    deployed = fleet.done("deploy", fleet.write(fleet.component(version, more.pop("component", None)), **{
        "strategy": "all-at-once", "retries": 1, "first_retry": "500ms", "max_unavailable": "2", **more}))["rollouts"][0]
    fleet.revisions[version] = deployed["revision"]
    return deployed["rollout"]


def refuse(fleet, version, refuses=True):
    """On the one host, from now on."""
    mark = fleet.path / f"{version}-{fleet.hosts[LEFT].port}"
    if refuses:
        mark.touch()
    else:
        mark.unlink()


def versions(fleet):
    return [fleet.counters[name].version() for name in HOSTS]


def observed(fleet):
    return {one["host"]: one.get("seen", {}) for one in fleet.done("ps")["instances"]}


def expect_known(fleet, *serving):
    """Each host serves its version, and the server knows which."""
    assert versions(fleet) == list(serving)
    revisions = [fleet.revisions[version] for version in serving]
    def known():
        seen = observed(fleet)
        return [seen[name].get("revision") for name in HOSTS] == revisions
    wait_until(known, f"revisions {revisions}: {observed(fleet)}", WITHIN_S)
    assert all(one.get("handoff", {}).get("lost", 0) == 0 for one in observed(fleet).values())


def go_bad(fleet):
    """Version 3 does not stay well, and the one host does not take version 2 back; which rollout."""
    ill = fleet.path / "ill"
    health = {"health": {"exec": f"test ! -e {ill}", "interval": "500ms", "timeout": "20s", "good": 1, "bad": 3}}
    rollout = deploy(fleet, "3", component=health, late_watch="1h")
    wait_until(lambda: fleet.progress(rollout)["phase"] == "watching", f"the watch of {rollout}", WITHIN_S)
    expect_known(fleet, "3", "3")
    expect_refused(fleet, "kv-2", f"{rollout} of kv is watching: undo that one first")
    refuse(fleet, "2")
    ill.touch()
    expect_failed(fleet, rollout)
    ill.unlink()
    return rollout


def expect_failed(fleet, rollout):
    """The host, why, and what can be done; the other one is back."""
    progress = fleet.ended(rollout)
    assert progress["phase"] == "failed", progress
    why = progress["why"]
    assert f"1 instance could not be brought back: {LEFT} (" in why and HOSTS[0] not in why.split("Undo it")[0], why
    assert "exited with 1 before it was ready" in why, why
    assert "Undo it again" in why and "undo the rollout before it" in why and "deploy another" in why, why
    assert LEFT in fleet.segue.plain("rollout", "show", rollout).out
    expect_known(fleet, "2", "3")


def expect_refused(fleet, rollout, text):
    refused = fleet.command("rollout", "undo", rollout)
    assert refused.exit == REFUSED and text in refused.text, refused


def undone(fleet, rollout):
    wait_until(lambda: fleet.progress(rollout)["phase"] == "undone", f"{rollout} undone; {fleet.progress(rollout)}",
               WITHIN_S)


def test_who_could_not_go_back_is_named_serves_on_and_is_tried_again(fleet):
    rollout = go_bad(fleet)
    expect_refused(fleet, "kv-1", "kv has come to revision 2 since")
    fleet.done("rollout", "undo", rollout)
    wait_until(lambda: fleet.progress(rollout)["phase"] != "failed", "once more", WITHIN_S)
    expect_failed(fleet, rollout)

    # What is to be tried again during an emergency stop waits for its end.
    fleet.done("emergency-stop")
    refuse(fleet, "2", False)
    fleet.done("rollout", "undo", rollout)
    progress = fleet.progress(rollout)
    assert progress["phase"] == "undoing" and progress["stopped"], progress
    assert progress["waits_for"] == "the end of the emergency stop", progress
    expect_known(fleet, "2", "3")
    fleet.done("emergency-stop", "--lift")
    undone(fleet, rollout)
    expect_known(fleet, "2", "2")
    expect_refused(fleet, rollout, "undone already")


def test_from_a_way_back_that_failed_people_go_further_back_or_forward(fleet):
    rollout = go_bad(fleet)
    fleet.done("rollout", "undo", "kv-2", "--why", "version 2 is of no use there")
    undone(fleet, "kv-2")
    expect_known(fleet, "1", "1")
    expect_refused(fleet, rollout, "kv has come to revision 1 since")
    again = deploy(fleet, "3")
    assert fleet.ended(again)["phase"] == "done"
    assert versions(fleet) == ["3", "3"]
    fleet.done("rollout", "undo", again)
    undone(fleet, again)
    expect_known(fleet, "1", "1")


# ---- Containers: the image of the version before is gone

@pytest.fixture(name="shop")
def shop_fixture(build_dir, short_dir):
    missing = why_not("podman")
    if missing:
        pytest.skip(f"NOT TESTED: {missing}")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="se", dir="/tmp"))
    engine, network, fleet = Engine("podman", directory / "e"), Network(), Fleet(build_dir, short_dir)
    try:
        for version in "123":
            engine.load(image_of(build_dir / f"examples/respkv/respkv-v{version}", f"localhost/respkv:{version}"))
        fleet.agents_address, fleet.advertised = "0.0.0.0", network.outer
        fleet.start_server()
        fleet.admit(ContainerHost(build_dir, short_dir / "oslo-1", "oslo-1", engine, network))
        fleet.engine = engine
        yield fleet
    finally:
        fleet.finish()
        engine.finish()
        network.finish()
        shutil.rmtree(directory, ignore_errors=True)


def deploy_image(fleet, version):
    component = {"driver": "container", "image": f"localhost/respkv:{version}", "network": "none",
                 "command": ["--listen", f"tcp:0.0.0.0:{PORT}"], "listen": {"clients.0": f"tcp:0.0.0.0:{PORT}"},
                 "environment": {"ASAN_OPTIONS": "detect_leaks=0"},
                 "handoff": {"probation": "500ms", "start": "60s", "budget": "5s"}}
    return fleet.deploy_component(component, retries=1, first_retry="500ms")


def test_an_image_that_is_gone_fails_the_way_back_and_the_one_before_it_is_still_there(shop):
    host = shop.hosts["oslo-1"]
    assert shop.ended(deploy_image(shop, "1"))["phase"] == "done"
    counter = Counter(host)
    for version in "23":
        rollout = deploy_image(shop, version)
        assert shop.ended(rollout)["phase"] == "done"
        assert counter.version() == version
    status, answer = shop.engine.ask("DELETE", "/images/localhost/respkv:2?force=true")
    assert status == 200, answer
    shop.done("rollout", "undo", rollout)
    progress = shop.ended(rollout)
    assert progress["phase"] == "failed" and "localhost/respkv:2" in progress["why"], progress
    assert counter.version() == "3"
    shop.done("rollout", "undo", "kv-2")
    undone(shop, "kv-2")
    assert counter.version() == "1"
    assert shop.done("ps")["instances"][0]["seen"]["handoff"]["lost"] == 0
    counter.client.close()
