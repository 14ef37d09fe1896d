# SPDX-License-Identifier: Apache-2.0
"""Plans that travel through the release library: signed, fetched over HTTP, kept; and mirrors that lie."""

import json
import shutil

import pytest

from agent_tools import Host
from library_tools import running
from staging_tools import serving
from support import free_port, wait_until

FAST = ("--fetch-plans-s", "1")


@pytest.fixture(name="host")
def _host(build_dir, short_dir):
    host = Host(build_dir, short_dir)
    host.publish_server("1")
    host.make_live("1")
    host.control("start")
    wait_until(lambda: host.served() == "1", "version 1 serves")
    yield host
    host.finish()


def plan(host, name, at, version="2", *more):
    made = host.plan_in_library("create", "--component", "chat", "--version", version, "--at", at, "--id", name,
                                *more)
    assert made.returncode == 0, made
    return made


def known(host):
    """The phase of each plan that the host has."""
    state = host.path / "s/agent/places/chat/state.json"
    if not state.exists():
        return {}
    return {progress["plan"]["id"]: progress["phase"] for progress in json.loads(state.read_text())["plans"]}


class Mirror:
    """Shows the library as it was when `take` was called last; `change` may answer instead."""

    def __init__(self, host):
        self.host, self.shown = host, host.path / "mirror"
        self.change = None

    def take(self):
        fresh = self.host.path / "fresh"
        shutil.copytree(self.host.publisher.library, fresh)
        self.show(fresh)

    def show(self, directory):
        gone = self.host.path / "gone"
        if self.shown.exists():
            self.shown.rename(gone)
        directory.rename(self.shown)
        shutil.rmtree(gone, ignore_errors=True)

    def answer(self, handler):
        return self.change is not None and self.change(handler)


@pytest.fixture(name="mirror")
def _mirror(host):
    mirror = Mirror(host)
    mirror.take()
    with serving(mirror.shown, mirror.answer) as url:
        host.library = url
        yield mirror


def test_a_plan_of_the_library_goes_live_with_the_server_dead(host):
    host.publish_server("2")
    plan(host, "to-2", "+15s")
    port = free_port()
    host.library = f"http://127.0.0.1:{port}"
    server = [host.segue.program, "server", "--library", host.publisher.library, "--listen", f"127.0.0.1:{port}"]
    with running(server, port):
        host.start_classic_agent(*FAST)
        wait_until(lambda: "staging.done" in host.log(), "version 2 is staged", 60)
        listed = host.done("plan", "list", "--library", host.library, "--root",
                           host.publisher.path / "1.root.json", "--json")
        assert listed.lines[0]["id"] == "to-2" and listed.lines[0]["version"] == "2"
    report = host.report("2", "--library", host.publisher.library)
    assert report["outcome"] == "live", report
    assert host.served() == "2"


def test_a_version_may_be_built_after_its_plan_and_not_while_it_goes_live(host):
    plan(host, "to-2", "+1d")
    host.start_classic_agent(*FAST)
    wait_until(lambda: "staging.failed" in host.log(), "version 2 is asked for")
    host.kill_agent()
    host.publish_server("2")
    host.start_classic_agent(*FAST)
    wait_until(lambda: "staging.done" in host.log(), "version 2 is staged")
    plan(host, "soon", "+5m")
    refused = host.publisher.run("publish", host.path / "tree-1", "--library", "library", "--component", "chat",
                                 "--version", "3", *host.publisher.signing())
    assert refused.returncode == 4 and "while plan soon goes live" in refused.stderr, refused


def test_what_a_plan_needs_outlives_the_policy(host):
    host.publish_server("2")
    plan(host, "to-2", "+30d")
    host.publish_server("3")
    collect = ("gc", "--library", "library", "--keep", "1", "--grace-hours", "0", *host.publisher.signing())
    assert "planned" in host.publisher.done(*collect)
    assert set(host.publisher.releases()) == {"1", "2", "3"}  # from 1 there is a delta to 2
    assert host.plan_in_library("cancel", "to-2").returncode == 0
    host.publisher.done(*collect)
    assert set(host.publisher.releases()) == {"3"}
    host.plan("3", "+30d")
    host.publish_server("4")
    host.publisher.done(*collect, "--plans", host.path / "s/plans")
    assert set(host.publisher.releases()) == {"3", "4"}
    (host.path / "s/plans/broken.json").write_text("{")
    unsure = host.publisher.run(*collect, "--plans", host.path / "s/plans")
    assert unsure.returncode == 4 and "broken.json" in unsure.stderr, unsure


def test_a_mirror_cannot_bring_a_cancelled_plan_back(host, mirror):
    plan(host, "far", "+1d")
    mirror.take()
    before = host.path / "before"
    shutil.copytree(mirror.shown, before)
    host.start_classic_agent(*FAST, "--plans-alarm-s", "1")
    wait_until(lambda: known(host).get("far") == "waiting", "the plan is known")
    assert host.plan_in_library("cancel", "far", "--reason", "not yet").returncode == 0
    mirror.take()
    wait_until(lambda: known(host).get("far") == "cancelled", "the plan is cancelled")
    mirror.show(before)
    wait_until(lambda: "plans.alarm" in host.log(), "the alarm")
    assert known(host)["far"] == "cancelled"


def test_a_mirror_cannot_cancel_by_withholding_nor_keep_a_cancellation_from_who_has_its_role(host, mirror):
    plan(host, "far", "+1d")
    mirror.take()
    host.start_classic_agent(*FAST, "--plans-alarm-s", "1")
    wait_until(lambda: known(host).get("far") == "waiting", "the plan is known")

    def nothing(handler):
        handler.send_error(404)
        return True

    mirror.change = nothing
    wait_until(lambda: "plans.alarm" in host.log(), "the alarm")
    assert known(host)["far"] == "waiting"
    host.kill_agent()
    host.start_classic_agent(*FAST, "--plans-alarm-s", "1")
    wait_until(lambda: host.log().count("plans.alarm") >= 2, "the alarm of the next agent")
    assert known(host)["far"] == "waiting"

    def no_objects(handler):
        if "/objects/" not in handler.path:
            return False
        handler.send_error(404)
        return True

    assert host.plan_in_library("cancel", "far").returncode == 0
    mirror.take()
    mirror.change = no_objects
    wait_until(lambda: known(host).get("far") == "cancelled", "the plan is cancelled")


def test_a_mirror_cannot_alter_a_plan(host, mirror):
    plan(host, "far", "+1d")
    altered = []

    def alter(handler):
        if "/objects/" not in handler.path:
            return False
        body = (mirror.shown / handler.path.lstrip("/")).read_bytes().replace(b'"version":"2"', b'"version":"6"')
        altered.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    mirror.take()
    mirror.change = alter
    host.start_classic_agent(*FAST, "--plans-alarm-s", "1")
    wait_until(lambda: "plans.alarm" in host.log(), "the alarm")
    assert altered and not known(host), host.log()
    mirror.change = None
    wait_until(lambda: known(host).get("far") == "waiting", "the plan is known")


def test_plan_fetch_says_what_it_did_and_a_library_at_a_url_is_only_read(host, mirror):
    plan(host, "far", "+1d")
    mirror.take()
    words = ("plan", "fetch", "--library", host.library, "--into", host.path / "into", "--json")
    untrusted = host.segue.plain(*words)
    assert untrusted.exit == 4 and "--root" in untrusted.last["text"], untrusted
    root = ("--root", host.publisher.path / "1.root.json")
    rehearsed = host.done(*words, *root, "--dry-run").last
    assert rehearsed["changed"] == 1 and not (host.path / "into/far.json").exists()
    assert host.done(*words, *root).last["changed"] == 1
    assert host.done(*words).last["changed"] == 0
    assert json.loads((host.path / "into/far.json").read_text())["version"] == "2"
    refused = host.segue.plain("plan", "cancel", "far", "--library", host.library, *root)
    assert refused.exit == 4 and "can only be read" in refused.err, refused
