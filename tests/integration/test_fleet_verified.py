# SPDX-License-Identifier: Apache-2.0
"""A component's program is started only while it is what was signed: what was read is what runs."""

import os
import pathlib
import shutil
import signal

import pytest

from container_tools import Load
from fleet_tools import Fleet, WITHIN_S
from support import wait_until

HOST = "berlin-1"


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        fleet.join(HOST)
        for version in (1, 2):
            fleet.publish(str(version), version)
        yield fleet
    finally:
        fleet.finish()


def deploy(fleet, version, program="bin/respkv"):
    """The program itself, and not the script that starts it."""
    listen = f"tcp:127.0.0.1:{fleet.hosts[HOST].port}"
    rollout = fleet.deploy(version, {"command": [program, "--listen", listen]}, retries=0)
    progress = fleet.ended(rollout)
    assert progress["phase"] == "done", progress
    return rollout


def live(fleet):
    return fleet.hosts[HOST].path / "s/agent/fleet/instances/kv/live"


def scratch(program):
    """Other bytes under the same name, which still run; and not in the file that other trees may share."""
    other = program.with_name("other")
    shutil.copy2(program, other)
    with open(other, "ab") as file:
        file.write(b"\0")
    other.rename(program)


def printed(fleet):
    return [line["line"] for line in fleet.command("logs", "kv").lines if "line" in line]


def test_what_runs_is_the_file_that_was_verified_and_goes_by_its_own_name(fleet):
    for version in ("1", "2"):
        deploy(fleet, version)
        process = pathlib.Path(f"/proc/{fleet.hosts[HOST].segue.status('kv')['pid']}")
        assert os.path.samefile(process / "exe", live(fleet) / "bin/respkv")
        assert (process / "comm").read_text() == "respkv\n"
        words = (process / "cmdline").read_bytes().split(b"\0")
        assert words[0].endswith(f"/revisions/{version}/bin/respkv".encode()), words
    seen = fleet.instances()[0]["seen"]
    assert seen["revision"] == 2 and seen["handoff"]["lost"] == 0, seen


def test_a_program_that_was_replaced_is_not_started_after_a_crash_until_it_is_staged_anew(fleet):
    deploy(fleet, "1")
    host, place = fleet.hosts[HOST], live(fleet).parent
    scratch(live(fleet) / "bin/respkv")
    os.kill(host.segue.status("kv")["pid"], signal.SIGKILL)
    wait_until(lambda: any("is not what was verified" in line for line in printed(fleet)), "the refusal", WITHIN_S)
    assert not host.segue.status("kv").get("pid"), "nothing runs in its place"
    release = fleet.release("1")
    for words in (("stage", release["component"], "1", "--library", release["library"], "--place", place),
                  ("go-live", place, "1")):
        mended = host.segue.plain(*map(str, words))
        assert mended.exit == 0, mended
    wait_until(lambda: host.segue.status("kv").get("pid"), "its return", WITHIN_S)
    assert host.version() == "1"


def test_a_way_back_takes_the_old_program_however_it_is_by_now(fleet):
    deploy(fleet, "1")
    before = live(fleet).resolve()
    scratch(before / "bin/respkv")
    rollout = deploy(fleet, "2")
    load = Load(fleet.hosts[HOST].client, 5)
    load.round()
    fleet.done("rollout", "undo", rollout, "--why", "it is slower")
    assert fleet.ended(rollout)["phase"] == "undone"
    load.round()
    assert fleet.hosts[HOST].version() == "1"


def test_a_program_may_be_a_link_within_its_release_and_a_script(fleet):
    for version, program in (("linked", "bin/current"), ("scripted", "bin/kv")):
        tree = fleet.path / f"tree-{version}"
        shutil.copytree(fleet.path / "tree-2", tree, symlinks=True)
        (tree / "version").write_text(version)
        (tree / "bin/current").symlink_to("../bin/respkv")
        fleet.publisher.publish(tree, version)
        deploy(fleet, version, program)
        digest = live(fleet).parent / f"confined/{1 if version == 'linked' else 2}/program"
        assert digest.read_text().startswith("sha256:")
        assert fleet.hosts[HOST].version() == "2"
