# SPDX-License-Identifier: Apache-2.0
"""What a component of processes may take, and its secrets: kept over a live upgrade, refused where they cannot be."""

import os
import pathlib

import pytest

from container_tools import Load
from fleet_tools import Fleet

HOST = "berlin-1"
CONNECTIONS = 10
MEMORY = 2 << 30
# Of control groups, whichever version has the controller.
LIMITS = {"memory": [("memory.max", str(MEMORY)), ("memory.limit_in_bytes", str(MEMORY))],
          "cpu": [("cpu.max", "3000000 100000"), ("cpu.cfs_quota_us", "3000000")],
          "pids": [("pids.max", "500")]}


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: control groups and mounts are root's")
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        fleet.join(HOST)
        for version in (1, 2):
            fleet.publish(str(version), version)
        folder = short_dir / "secrets"
        folder.mkdir(mode=0o700)
        fleet.secret = folder / "token"
        fleet.secret.write_text("known to few")
        fleet.secret.chmod(0o400)
        yield fleet
    finally:
        fleet.finish()


def deploy(fleet, version, **rollout):
    limits = {"memory": "2GiB", "cpus": "30", "processes": 500, "descriptors": 4_096}
    return fleet.deploy(version, {"limits": limits, "secrets": {"token": str(fleet.secret)}}, **rollout)


def group_of(pid, controller):
    """Its control group's directory."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            before, after = mount.split(" - ")
            kind, _, options = after.split(" ", 2)
            is_it = controller in options.split(",") if controllers else kind == "cgroup2"
            if kind.startswith("cgroup") and is_it and "/segue/" in path:
                return pathlib.Path(before.split()[4] + path)
    raise AssertionError(f"process {pid} is in no control group of Segue's for {controller}")


def expect_confined(fleet):
    pid = fleet.hosts[HOST].segue.status("kv")["pid"]
    for controller, files in LIMITS.items():
        group = group_of(pid, controller)
        assert group.name == f"kv-{pid}"
        assert any((group / file).exists() and (group / file).read_text().strip() == value
                   for file, value in files), (controller, group)
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()
    assert next(line for line in limits if line.startswith("Max open files")).split()[3:5] == ["4096", "4096"]
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    assert b"known to few" not in environment
    folder = next(one for one in environment.split(b"\0") if one.startswith(b"SEGUE_SECRETS=")).split(b"=")[1].decode()
    seen = pathlib.Path(f"/proc/{pid}/root{folder}/token")
    assert seen.read_text() == "known to few"
    assert seen.stat().st_mode & 0o777 == 0o400
    assert not os.listdir(folder), "nobody else sees it"
    return pid


def test_limits_and_secrets_of_processes_are_kept_over_a_live_upgrade_and_its_undo(fleet):
    assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
    load = Load(fleet.hosts[HOST].client, CONNECTIONS)
    load.round()
    first = expect_confined(fleet)
    rollout = deploy(fleet, "2")
    assert fleet.ended(rollout)["phase"] == "done"
    load.round()
    assert expect_confined(fleet) != first
    seen = fleet.instances()[0]["seen"]
    assert seen["revision"] == 2 and seen["handoff"] == {**seen["handoff"], "lost": 0, "connections": CONNECTIONS}
    fleet.done("rollout", "undo", rollout, "--why", "the operator has changed her mind")
    assert fleet.ended(rollout)["phase"] == "undone"
    load.round()
    expect_confined(fleet)
    assert fleet.hosts[HOST].version() == "1"


def test_a_secret_that_others_may_read_is_refused_and_what_serves_goes_on(fleet):
    assert fleet.ended(deploy(fleet, "1"))["phase"] == "done"
    load = Load(fleet.hosts[HOST].client, CONNECTIONS)
    fleet.secret.chmod(0o444)
    progress = fleet.ended(deploy(fleet, "2", retries=0))
    assert progress["phase"] == "undone", progress
    assert "may be read by others" in str(fleet.hosts[HOST].log())
    load.round()
    segue = fleet.hosts[HOST].segue
    refused = segue("run", "other", "--secret", f"token={fleet.secret}", "--", "/bin/sleep", "60")
    assert refused.exit == 4 and "mode 0400" in refused.text, refused
    refused = segue("run", "other", "--nofile", "1000000000", "--", "/bin/sleep", "60")
    assert refused.exit == 4 and "descriptors" in refused.text, refused
