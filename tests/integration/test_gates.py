# SPDX-License-Identifier: Apache-2.0
"""Gates judge a canary by a real Prometheus: a bad version is taken back, a good one passes."""

import pathlib

import pytest

from fleet_tools import WITHIN_S, Fleet
from gate_tools import HUB, Load, Prometheus
from support import wait_until

HOST = "berlin-1"

pytestmark = pytest.mark.skipif(not pathlib.Path("/usr/bin/prometheus").exists(),
                                reason="THERE IS NO /usr/bin/prometheus")


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves clients who count, and Prometheus asks them."""
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    fleet.join(HOST)
    fleet.load = Load(fleet.hosts[HOST].port)
    fleet.prometheus = None
    try:
        publish(fleet, "1")
        assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
        fleet.load.start()
        fleet.prometheus = Prometheus(short_dir, fleet.load.exporter.server_address[1])
        yield fleet
    finally:
        if fleet.prometheus:
            fleet.load.finish()
            fleet.prometheus.finish()
        fleet.finish()


def publish(fleet, version, failing=0, mean_ms=8):
    tree = fleet.path / f"tree-{version}"
    (tree / "bin").mkdir(parents=True)
    program = tree / "bin/kv"
    program.write_text(HUB.format(version=version, failing=failing, mean_ms=mean_ms))
    program.chmod(0o755)
    fleet.publisher.publish(tree, version)


def queries(version):
    def of(counter):
        return f'sum by (worker) (increase(hub_{counter}_total{{version="{version}"}}[10s]))'
    return {"requests": of("requests"), "failures": of("failures")}


def buckets(version):
    return {"buckets": 'sum by (worker, le) (increase(hub_seconds_bucket{version='
                       f'"{version}"}}[10s]))'}


def deploy(fleet, version, **rollout):
    port = fleet.hosts[HOST].port
    component = {
        "upgrade": "listeners", "stop": {"drain": "60s"},
        "handoff": {"probation": "500ms", "start": "60s", "budget": "5s"},
        "sharing": {"kind": "kernel"}, "listen": {"hub": f"tcp:127.0.0.1:{port},group"},
        "health": {"tcp": f"127.0.0.1:{port}", "interval": "500ms", "timeout": "20s", "good": 1}}
    if rollout:
        component["gates"] = {
            "errors": {"kind": "compare", "prometheus": fleet.prometheus.url, "every": "10s",
                       "canary": queries("{{version}}"),
                       "baseline": queries("{{baseline_version}}"),
                       "absolute_margin": "40%", "minimum_clusters": 20, "minimum_requests": 200},
            "speed": {"kind": "latency", "prometheus": fleet.prometheus.url, "every": "10s",
                      "canary": buckets("{{version}}"),
                      "baseline": buckets("{{baseline_version}}"), "quantile": "90%",
                      "pass": "unrefuted", "minimum_clusters": 20, "minimum_requests": 200},
            "memory": {"kind": "query", "prometheus": fleet.prometheus.url, "every": "1s",
                       "query": "max(hub_nothing_of_this_name)", "above": 1},
            "well": {"kind": "health", "every": "1s", "good": 2}}
    return fleet.deploy(version, component=component, **rollout)


def canary(fleet, version, *gates):
    return deploy(fleet, version, strategy="canary", late_watch="3s", late_gates=["well"],
                  canary={"steps": [{"share": "50%", "bake": "0s", "gates": list(gates)}]})


def test_a_version_that_fails_is_taken_back_by_its_gate(fleet):
    publish(fleet, "2", failing=0.5)
    rollout = canary(fleet, "2", "errors")
    progress = fleet.ended(rollout)
    assert progress["phase"] == "undone", progress
    assert "gate errors says bad" in progress["why"], progress
    assert "in the canary against" in progress["why"], progress
    assert not [one for one in fleet.instances() if one["wanted"] == 2]
    assert not fleet.load.broken


def test_a_version_that_is_slower_is_taken_back_as_far_as_its_buckets_tell(fleet):
    publish(fleet, "2", mean_ms=80)
    progress = fleet.ended(canary(fleet, "2", "speed"))
    assert progress["phase"] == "undone", progress
    assert "gate speed says bad" in progress["why"], progress
    assert "in the canary against 10 ms to 25 ms in the baseline" in progress["why"], progress
    assert "with buckets that end at 25 ms and 50 ms, 'worse' begins at 50 ms" in progress["why"]
    assert not fleet.load.broken


def test_a_version_that_is_as_good_passes_and_one_without_data_does_not(fleet):
    publish(fleet, "2")
    progress = fleet.ended(canary(fleet, "2", "errors", "speed"))
    assert progress["phase"] == "done", progress
    assert fleet.load.versions() >= {"1", "2"}
    assert not fleet.load.broken

    publish(fleet, "3")
    rollout = canary(fleet, "3", "memory")
    wait_for_gate(fleet, rollout, "no data")
    fleet.done("rollout", "undo", rollout)
    assert fleet.ended(rollout)["phase"] == "undone"
    assert not fleet.load.broken


def wait_for_gate(fleet, rollout, text):
    def said():
        progress = fleet.progress(rollout)
        assert progress["phase"] == "running", progress
        gates = {gate["name"]: gate for gate in progress["gates"]}
        return (progress["step_phase"] == "judging" and text in gates["memory"]["text"]
                and gates["memory"]["verdict"] == "wait")
    wait_until(said, f"'{text}' of the gate; {fleet.server_log()}", WITHIN_S)
