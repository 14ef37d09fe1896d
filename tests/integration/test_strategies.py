# SPDX-License-Identifier: Apache-2.0
"""Each kind of strategy and limit, with clients that count on every host and never stop."""

import itertools
import os
import pathlib
import shutil
import tempfile
import threading

import pytest

from fleet_tools import WITHIN_S, Fleet, Host
from support import wait_until

HOSTS = {"berlin-1": ("berlin", "front"), "berlin-2": ("berlin", "back"), "oslo-1": ("oslo", "front")}
# A release that serves on all hosts but the one that this names.
START = """#!/bin/sh
if [ "$KV_PORT" = "{broken_on}" ]; then echo "no luck here" >&2; exit 1; fi
exec "$(dirname "$0")/respkv" --listen "tcp:127.0.0.1:$KV_PORT"
"""


class Counter:
    """A client that stays: what it counts has to go up by one, on one connection, whoever serves."""

    def __init__(self, host):
        self.client = host.client()
        self.lock = threading.Lock()
        self.count = int(self.client("INCR", "count"))
        self.trouble = None
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.ends.wait(0.01):
            with self.lock:
                try:
                    answer = int(self.client("INCR", "count"))
                    assert answer == self.count + 1, f"{self.count}, then {answer}"
                    self.count = answer
                except (OSError, ValueError, AssertionError) as error:
                    self.trouble = repr(error)
                    return

    def version(self):
        with self.lock:
            assert self.trouble is None, self.trouble
            return self.client.info()["respkv_version"]

    def finish(self):
        self.ends.set()
        self.thread.join(timeout=60)
        self.client.close()


class Shop(Fleet):
    def __init__(self, build_dir, path):
        super().__init__(build_dir, path)
        self.counters = {}
        self.names = (f"r{number}" for number in itertools.count())

    def admit_all(self):
        for site in ("berlin", "oslo"):
            of_site = []
            for name, (its, tier) in HOSTS.items():
                if its == site:
                    of_site.append(Host(self.build_dir, self.path / name, name))
                    of_site[-1].options = ["--site", site, "--label", f"tier={tier}"]
            self.admit(*of_site)

    def new_release(self, respkv, broken_on=""):
        """What it is called; `respkv` is one of its versions."""
        name = next(self.names)
        tree = self.path / f"tree-{name}"
        (tree / "bin").mkdir(parents=True)
        (tree / "name").write_text(name)
        (tree / "bin/kv").write_text(START.format(broken_on=broken_on))
        (tree / "bin/kv").chmod(0o755)
        os.link(self.build_dir / f"examples/respkv/respkv-v{respkv}", tree / "bin/respkv")
        self.publisher.publish(tree, name)
        return name

    def expect(self, *versions):
        """That every client is still connected, by host."""
        assert [self.counters[name].version() for name in HOSTS] == [str(one) for one in versions]

    def all_on(self, respkv):
        rollout = self.deploy(self.new_release(respkv), strategy="all-at-once",
                              max_unavailable="100%")
        assert self.ended(rollout)["phase"] == "done"
        self.expect(respkv, respkv, respkv)

    def lost(self):
        return sum(one["seen"]["handoff"]["lost"] for one in self.instances()
                   if "handoff" in one.get("seen", {}))

    def steps(self, rollout):
        return [(step["name"], step["instances"]) for step in self.progress(rollout)["steps"]]

    def until(self, rollout, step_phase, step=0):
        def there():
            progress = self.progress(rollout)
            assert progress["phase"] in ("waiting", "running"), progress
            return progress["step"] == step and progress["step_phase"] == step_phase
        wait_until(there, f"{step_phase} of step {step} of {rollout}", WITHIN_S)

    def finish(self):
        for counter in self.counters.values():
            counter.finish()
        super().finish()


@pytest.fixture(name="shop", scope="module")
def shop_fixture(build_dir):
    path = pathlib.Path(tempfile.mkdtemp(prefix="sg", dir="/tmp"))
    shop = Shop(build_dir, path)
    try:
        shop.start_server()
        shop.admit_all()
        assert shop.ended(shop.deploy(shop.new_release(1), strategy="all-at-once"))["phase"] == "done"
        shop.counters = {name: Counter(host) for name, host in shop.hosts.items()}
        yield shop
    finally:
        shop.finish()
        shutil.rmtree(path, ignore_errors=True)


def test_waves_by_site_label_and_percent_and_never_more_than_may_be_unavailable(shop):
    waves = [{"site": "oslo"}, {"label": "tier=front"}, "rest"]
    rollout = shop.deploy(shop.new_release(2), waves=waves)
    assert shop.steps(rollout) == [("site oslo", 1), ("tier=front", 1), ("rest", 1)]
    assert shop.ended(rollout)["phase"] == "done"
    shop.expect(2, 2, 2)

    rollout = shop.deploy(shop.new_release(1), waves=["67%", "rest"], max_unavailable=1)
    most = 0
    while shop.progress(rollout)["phase"] not in ("done", "undone", "failed"):
        progress = shop.progress(rollout)
        most = max([most, *(step["moving"] for step in progress["steps"])])
    assert most <= 1
    assert shop.ended(rollout)["phase"] == "done"
    assert shop.steps(rollout)[0][1] == 3, "67% of 3 hosts are rounded up"
    shop.expect(1, 1, 1)
    assert shop.lost() == 0


def test_all_at_once(shop):
    rollout = shop.deploy(shop.new_release(2), strategy="all-at-once", max_unavailable="100%")
    assert shop.steps(rollout) == [("all", 3)]
    assert shop.ended(rollout)["phase"] == "done"
    shop.expect(2, 2, 2)
    assert shop.lost() == 0


def test_as_many_failures_as_are_allowed_are_left_and_one_more_undoes(shop):
    shop.all_on(1)
    release = shop.new_release(2, broken_on=shop.hosts["oslo-1"].port)
    progress = shop.ended(shop.deploy(release, waves=["rest"], max_failures=1, retries=0))
    assert progress["phase"] == "done" and "could not be moved" in progress["why"], progress
    shop.expect(2, 2, 1)
    shop.all_on(1)  # the way back is to what was wanted last, on each host
    release = shop.new_release(3, broken_on=shop.hosts["oslo-1"].port)
    progress = shop.ended(shop.deploy(release, waves=["rest"], retries=0))
    assert progress["phase"] == "undone" and "oslo-1" in progress["why"], progress
    shop.expect(1, 1, 1)
    assert shop.lost() == 0


def test_approval_bake_and_promotion_of_one_step_and_of_all(shop):
    ada = shop.path / "ada.json"
    shop.done("person", "set", "ada", "--right", "approve", "--write", ada)
    shop.all_on(2)
    rollout = shop.deploy(shop.new_release(1), waves=[1, 1, "rest"], approvals=1, bake="1h")
    shop.until(rollout, "approving")
    refused = shop.command("rollout", "approve", rollout)
    assert refused.exit == 4 and "somebody else has to approve" in refused.last["text"], refused
    shop.done("rollout", "approve", rollout, "--profile", ada)
    shop.until(rollout, "baking")
    shop.expect(1, 2, 2)
    shop.done("rollout", "promote", rollout)
    shop.until(rollout, "baking", step=1)
    shop.expect(1, 1, 2)
    assert shop.progress(rollout)["phase"] == "running"
    shop.done("rollout", "promote", rollout, "--all")
    assert shop.ended(rollout)["phase"] == "done"
    shop.expect(1, 1, 1)
    assert shop.lost() == 0


def test_a_change_that_comes_meanwhile_waits_or_takes_over_as_its_policy_says(shop):
    first = shop.deploy(shop.new_release(2), waves=[1, "rest"], bake="1h")
    shop.until(first, "baking")
    second = shop.deploy(shop.new_release(3), meanwhile="queue")
    assert shop.progress(second)["phase"] == "waiting"
    assert first in shop.progress(second)["waits_for"]
    third = shop.deploy(shop.new_release(1), waves=["rest"], meanwhile="supersede")
    assert shop.progress(third)["phase"] == "waiting", "it takes the place of who waits"
    shop.done("rollout", "promote", first, "--all")
    assert shop.ended(first)["phase"] == "done"
    assert shop.ended(third)["phase"] == "done"
    assert shop.progress(second)["phase"] == "superseded"
    shop.expect(1, 1, 1)

    first = shop.deploy(shop.new_release(2), waves=[1, "rest"], bake="1h")
    shop.until(first, "baking")
    shop.expect(2, 1, 1)
    second = shop.deploy(shop.new_release(3), meanwhile="supersede")
    assert shop.ended(first)["phase"] == "superseded"
    assert shop.ended(second)["phase"] == "done"
    shop.expect(3, 3, 3)
    assert shop.lost() == 0


def test_configuration_alone_is_rolled_out_and_undone_by_handoffs(shop):
    release = shop.new_release(2)
    assert shop.ended(shop.deploy(release))["phase"] == "done"
    before = {one["host"]: one["seen"]["revision"] for one in shop.instances()}
    pids = {name: counter.client.info()["process_id"] for name, counter in quiet(shop)}
    rollout = shop.deploy(release, component={"environment": {"COLOUR": "blue"}})
    assert rollout and shop.ended(rollout)["phase"] == "done"
    for one in shop.instances():
        assert one["seen"]["revision"] == before[one["host"]] + 1, one
        assert one["seen"]["handoff"]["connections"] >= 1, one
    for name, counter in quiet(shop):
        assert counter.client.info()["process_id"] != pids[name]
    shop.done("rollout", "undo", rollout)
    assert shop.ended(rollout)["phase"] == "undone"
    shop.expect(2, 2, 2)
    assert shop.lost() == 0


def quiet(shop):
    """Each client, while it does not count."""
    for name, counter in shop.counters.items():
        with counter.lock:
            assert counter.trouble is None, counter.trouble
            yield name, counter


def test_blue_green_gives_new_connections_to_the_new_ones_and_keeps_the_old_for_its_window(
        build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    counters = []
    try:
        fleet.start_server()
        fleet.join("berlin-1")
        host = fleet.hosts["berlin-1"]
        shared = {"sharing": {"kind": "kernel"},
                  "listen": {"clients.0": f"tcp:127.0.0.1:{host.port},group"}}
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(fleet.deploy("1", component=shared))["phase"] == "done"
        counters.append(Counter(host))
        rollout = fleet.deploy("2", component=shared, strategy="blue-green", undo_window="1h")
        fleet.at_step(rollout, 1)
        assert counters[0].version() == "1"
        late = host.client()
        assert late.info()["respkv_version"] == "2"
        fleet.done("rollout", "promote", rollout, "--all")
        assert fleet.ended(rollout)["phase"] == "done"
        assert counters[0].version() == "2" and late.info()["respkv_version"] == "2"
        late.close()
    finally:
        for counter in counters:
            counter.finish()
        fleet.finish()
