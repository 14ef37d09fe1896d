# SPDX-License-Identifier: Apache-2.0
"""segue agent with a real release library, real trees and real services: goes live by itself."""

import json
import random
import shutil
import signal
import subprocess

import pytest

from agent_tools import Host
from keeper_tools import CounterClient
from support import wait_until

@pytest.fixture(name="host")
def _host(build_dir, short_dir):
    host = Host(build_dir, short_dir)
    yield host
    host.finish()


@pytest.fixture(name="server_host")
def _server_host(host):
    host.publish_server("1")
    host.make_live("1")
    host.control("start")
    wait_until(lambda: host.served() == "1", "version 1 serves")
    return host


def test_goes_live_at_the_preset_time_with_the_library_gone(server_host):
    host = server_host
    host.publish_server("2")
    host.plan("2", "+30s")
    host.start_classic_agent()
    wait_until(lambda: "staging.done" in host.log(), "version 2 is staged", 60)
    shutil.move(host.publisher.library, host.path / "gone")
    report = host.report("2")
    assert report["outcome"] == "live", report
    assert [step["step"] for step in report["steps"]] == ["stop-old", "switch-over", "start-new",
                                                          "check-new"]
    assert report["began"] >= report["planned"]
    assert host.served() == "2"


def test_a_bad_version_is_undone_and_the_old_one_serves(server_host):
    host = server_host
    host.publish_server("bad")
    host.plan("bad")
    host.start_classic_agent(health_within_s=10)
    report = host.report("bad")
    assert report["outcome"] == "undone" and "answers with 503" in report["text"], report
    assert host.served() == "1"
    host.done("verify", host.place)


def test_an_old_tree_that_was_edited_by_hand_is_put_back_as_it_was(server_host):
    host = server_host
    host.publish_server("bad")
    with open(host.place / "live/version", "a", encoding="utf-8") as edited:
        edited.write("# as the administrator wants it\n")
    (host.place / "live/notes").write_text("mine")
    before = (host.place / "live/version").read_text()
    host.plan("bad")
    host.start_classic_agent(health_within_s=10)
    report = host.report("bad")
    assert report["outcome"] == "undone", report
    assert (host.place / "live/version").read_text() == before
    assert (host.place / "live/notes").read_text() == "mine"
    wait_until(lambda: host.served() is not None, "the old one serves")


@pytest.mark.parametrize("version", ["2", "bad"])
def test_killed_again_and_again_it_finishes_or_reverts(server_host, version):
    host = server_host
    host.publish_server(version)
    host.plan(version)
    generator = random.Random(version)
    within = 10 if version == "bad" else 30
    for _ in range(8):
        host.start_classic_agent(health_within_s=within)
        try:
            host.agent.wait(timeout=generator.uniform(0.05, 1.5))
        except subprocess.TimeoutExpired:
            host.kill_agent()
    host.start_classic_agent(health_within_s=within)
    report = host.report(version)
    assert report["outcome"] == ("live" if version == "2" else "undone"), report
    assert host.served() == ("2" if version == "2" else "1")
    host.done("verify", host.place)


def test_a_version_that_is_published_later_goes_live_late_within_its_limit(server_host):
    host = server_host
    host.plan("2", "+0s", "--missed", "at-once")
    host.start_classic_agent()
    wait_until(lambda: "will be late" in host.log(), "the alarm")
    host.kill_agent()
    host.publish_server("2")
    host.start_classic_agent()
    assert host.report("2")["outcome"] == "live"
    assert host.served() == "2"


def test_a_live_handoff_keeps_the_connection(host):
    counter = host.segue.counter.read_bytes()
    for version in ("1", "2"):
        host.publish(version, {"counter": counter})
    host.make_live("1")
    program = [f"{host.place}/live/bin/counter", "--listen", f"tcp:127.0.0.1:{host.port}", "--version"]
    assert host.segue("run", "c", "--", *program, "1").exit == 0
    client = CounterClient(host.port)
    assert client.version() == "1"
    host.plan("2")
    upgrade = f'{host.segue.program} upgrade --budget-ms 5000 c {" ".join(program)} "$(cat {host.place}/live/version)"'
    host.start_agent("--upgrade", upgrade, "--health-tcp", f"127.0.0.1:{host.port}")
    report = host.report("2")
    assert report["outcome"] == "live", report
    assert client.version() == "2"


def test_publishing_is_refused_while_a_plan_goes_live(server_host):
    host = server_host
    tree = host.path / "tree-1"
    plans = ("--plans", host.path / "s/plans")
    host.plan("2", "2030-01-01T02:00 UTC")
    host.publisher.publish(tree, "1.1", *plans)
    host.plan("3", "+5m")
    publish = ("publish", tree, "--library", "library", "--component", "chat", "--version", "1.2",
               *host.publisher.signing(), *plans)
    refused = host.publisher.run(*publish)
    assert refused.returncode == 4 and "while plan to-3 goes live" in refused.stderr, refused
    host.done("plan", "cancel", "to-3")
    host.publisher.done(*publish)


def test_a_second_agent_is_refused_and_a_dry_run_does_nothing(server_host):
    host = server_host
    host.plan("2", "2030-01-01T02:00 UTC")
    host.start_classic_agent()
    wait_until(lambda: "agent.started" in host.log(), "the agent")
    words = ["agent", "--component", "chat", "--place", host.place, "--library", "l"]
    second = host.segue.plain(*words)
    assert second.exit == 4 and "another agent" in second.err
    planned = host.segue.plain(*words, "--dry-run", "--json")
    assert planned.exit == 0 and planned.lines[0]["plan"] == "to-2", planned
    host.agent.send_signal(signal.SIGTERM)
    assert host.agent.wait(timeout=30) == 0
    assert json.loads((host.path / "s/agent/places/chat/state.json").read_text())["plans"]
