# SPDX-License-Identifier: Apache-2.0
"""`canary/…`: what clients notice when a canary gets its share, is taken back, and is promoted after all."""

import dataclasses
import sys
import time

from harness.canary_clients import Clients
from harness.canary_places import (BUILD, HOSTS, SERVED_PORT, SLOT_PORTS, Hosts, Proxy, has_engine, image_name, places,
                                   respkv_image)
from harness.process import BenchError, raise_descriptor_limit, sleep_until

# Of the integration tests; canary_places says where they are.
# pylint: disable=wrong-import-order
from container_hosts import ContainerHost
from container_tools import Engine
from fleet_tools import FINAL, Fleet, Host
from support import wait_until

SHARES = (10, 50)  # percent, at each step
MAX_LOST = 0
LOOK_S = 0.3
ROLLOUT_TIMEOUT_S = 240
BUDGET = "100ms"  # of a blackout: generous, as three hosts share the cores of one machine; what it was is measured


@dataclasses.dataclass(frozen=True)
class Plan:
    idle: int = 10_000
    idle_late: int = 2_000  # of these, when the canary has half of the new connections
    active: int = 200
    period_ms: int = 100
    new_per_second: int = 20  # to each host
    before_s: float = 4.0     # of load before anything is changed
    bake_s: float = 8.0
    drain_s: float = 20.0     # how long HAProxy's peers wait for connections to end


QUICK = Plan(idle=900, idle_late=300, active=60, before_s=2.0, bake_s=2.0, drain_s=4.0)


def rest(seconds):
    """A part of the schedule."""
    sleep_until(time.monotonic() + seconds)


class SegueHost(ContainerHost):
    """Its instances are containers, or processes where no engine can be had."""

    def __init__(self, path, name, engine, network):
        if engine is not None:
            super().__init__(BUILD, path, name, engine, network)
        else:
            Host.__init__(self, BUILD, path, name)
            self.network = network
            self.prefix = ["nsenter", f"--net=/run/netns/{network.name}"]


class SegueFleet:
    """A server and three agents of the release build."""

    def __init__(self, hosts, plan):
        self._hosts, self._plan, self._fleet = hosts, plan, Fleet(BUILD, hosts.directory)
        self._engines, self._with_engine = [], not has_engine()
        self.blackout_us = self.lost = self.moved = 0

    def start(self):
        fleet, networks = self._fleet, self._hosts.networks
        fleet.agents_address, fleet.advertised = "0.0.0.0", networks[HOSTS[0]].outer
        if self._with_engine:
            for number, _ in enumerate(HOSTS):
                self._engines.append(Engine("podman", self._hosts.directory / f"e{number}"))
            for version in (1, 2):
                archive = respkv_image(version)
                for engine in self._engines:
                    engine.load(archive)
        else:
            for version in (1, 2):
                fleet.publish(str(version), version)
        fleet.start_server()
        engines = self._engines or [None] * len(HOSTS)
        fleet.admit(*(SegueHost(self._hosts.directory / name, name, engine, networks[name])
                      for name, engine in zip(HOSTS, engines)))
        first = self.deploy(1)
        if self.follow(first) != "done":
            raise BenchError(f"version 1 could not be rolled out: {fleet.progress(first).get('why')}")

    def deploy(self, version, canary=False, held=False):
        """`held`: the last share stays until somebody decides."""
        component = {"sharing": {"kind": "kernel"}, "listen": {"clients.0": f"tcp:0.0.0.0:{SERVED_PORT},group"},
                     "handoff": {"probation": "500ms", "start": "60s", "budget": BUDGET},
                     "health": {"tcp": f"127.0.0.1:{SERVED_PORT}", "interval": "1s", "good": 1, "bad": 5}}
        if self._with_engine:
            component |= {"driver": "container", "network": "none", "upgrade": "libsegue", "image": image_name(version),
                          "command": ["--listen", f"tcp:0.0.0.0:{SERVED_PORT}"]}
        else:
            component |= {"release": self._fleet.release(str(version)), "command": ["bin/kv"], "upgrade": "libsegue"}
        rollout = {"max_unavailable": str(len(HOSTS))}
        if canary:
            steps = [{"share": f"{share}%", "bake": f"{int(self._plan.bake_s * 1000)}ms"} for share in SHARES]
            if held:
                steps[-1]["bake"] = "1h"
            rollout |= {"strategy": "canary", "canary": {"split": "kernel", "steps": steps}}
        return self._fleet.deploy_component(component, **rollout)

    def at_step(self, rollout, step):
        def bakes():
            progress = self._fleet.progress(rollout)
            if progress["phase"] in FINAL:
                raise BenchError(f"{rollout} is {progress['phase']}: {progress.get('why')}")
            rest(LOOK_S)
            return progress["step"] == step and progress["step_phase"] == "baking"
        wait_until(bakes, f"step {step} of {rollout}", ROLLOUT_TIMEOUT_S)

    def undo(self, rollout):
        self._fleet.done("rollout", "undo", rollout, "--why", "the schedule says so")

    def follow(self, rollout):
        """To its end: which one."""
        def final():
            rest(LOOK_S)
            phase = self._fleet.progress(rollout)["phase"]
            return phase if phase in FINAL else None
        phase = wait_until(final, f"the end of {rollout}", ROLLOUT_TIMEOUT_S)
        for one in self._fleet.instances():
            handoff = one.get("seen", {}).get("handoff")
            if handoff:
                self.blackout_us = max(self.blackout_us, handoff["blackout_us"])
                self.moved += handoff["connections"]
        return phase

    def close(self):
        self._fleet.finish()
        for engine in self._engines:
            engine.finish()


class Canary:
    prefix = "canary/"

    def __init__(self, arguments):
        self._plan = QUICK if arguments.quick else Plan()
        # Three fleets are more than a quick look has time for.
        self._is_wanted = not arguments.quick or arguments.only.startswith("canary")
        self._said = False

    def steps(self):
        plan = self._plan
        if not self._is_wanted:
            return []
        return [(f"{self.prefix}segue", 45 + 4 * plan.bake_s), (f"{self.prefix}stop-start", 25 + 2 * plan.bake_s),
                (f"{self.prefix}haproxy-drain", 35 + 4 * plan.bake_s + 2 * plan.drain_s)]

    def run(self, case, report, progress):
        raise_descriptor_limit()
        if not self._said:
            self._said = True
            print(f"respkv runs in containers of Podman's on {len(HOSTS)} hosts" if not has_engine() else
                  f"respkv runs as processes on {len(HOSTS)} hosts: {has_engine()}", file=sys.stderr)
        work = {"segue": self._segue, "stop-start": self._stop_start, "haproxy-drain": self._haproxy}
        name = case.removeprefix(self.prefix)
        hosts = Hosts()
        try:
            figures = work[name](hosts)
        except AssertionError as error:  # of the fleet's tools
            raise BenchError(str(error)) from error
        finally:
            hosts.close()
        report.emit(case, figures, peer=None if name == "segue" else name)
        progress.within(case, 1, 1)

    def _segue(self, hosts):
        fleet = SegueFleet(hosts, self._plan)
        try:
            fleet.start()
            with Clients(self._plan, hosts.addresses()) as clients:
                first = fleet.deploy(2, canary=True, held=True)
                fleet.at_step(first, 1)
                clients.come_late()
                rest(self._plan.bake_s)
                fleet.undo(first)
                if fleet.follow(first) != "undone":
                    raise BenchError("the canary was not taken back")
                if fleet.follow(fleet.deploy(2, canary=True)) != "done":
                    raise BenchError("the canary was not promoted")
                figures = clients.figures()
            return {**figures, "blackout_ms_max": fleet.blackout_us / 1000, "handoff_connections": fleet.moved}
        finally:
            fleet.close()

    def _stop_start(self, hosts):
        """To the new version, back, and to the new one: host by host, one container in the place of the other."""
        where = places(hosts)
        try:
            for host in HOSTS:
                where.start(host, "only", 1, SERVED_PORT)
            with Clients(self._plan, hosts.addresses()) as clients:
                for number, version in enumerate((2, 1, 2)):
                    if number == 1:
                        clients.come_late()
                    for host in HOSTS:
                        where.stop(host, "only")
                        where.start(host, "only", version, SERVED_PORT)
                    rest(self._plan.bake_s)
                return clients.figures()
        finally:
            where.close()

    def _haproxy(self, hosts):
        """Both slots behind HAProxy: weights for shares, and a slot is drained before it is stopped."""
        where, proxies = places(hosts), {}
        try:
            for host in HOSTS:
                where.start(host, "stable", 1, SLOT_PORTS["stable"])
                proxies[host] = Proxy(hosts, host)
            with Clients(self._plan, hosts.addresses()) as clients:
                self._grow(where, proxies, clients.come_late)
                self._end_slot(where, proxies, "canary")
                self._grow(where, proxies)
                self._end_slot(where, proxies, "stable")
                return clients.figures()
        finally:
            for proxy in proxies.values():
                proxy.close()
            where.close()

    def _grow(self, where, proxies, at_half=None):
        for host in HOSTS:
            where.start(host, "canary", 2, SLOT_PORTS["canary"])
        for share in SHARES:
            for proxy in proxies.values():
                proxy.share(share)
            if share == SHARES[-1] and at_half:
                at_half()
            rest(self._plan.bake_s)

    def _end_slot(self, where, proxies, slot):
        for proxy in proxies.values():
            proxy.share(0 if slot == "canary" else 100)
            proxy.drain(slot)
        until = time.monotonic() + self._plan.drain_s
        while time.monotonic() < until and any(proxy.sessions(slot) for proxy in proxies.values()):
            rest(LOOK_S)
        for host in HOSTS:
            where.stop(host, slot)

    def judge(self, report):
        case = f"{self.prefix}segue"
        if report.has(case):
            lost, errors = report.value(case, "lost"), report.value(case, "errors")
            report.check(case, f"lost {lost}, errors {errors}, target {MAX_LOST} each",
                         lost == MAX_LOST and errors == MAX_LOST)

    def print_tables(self, report):
        report.print_table("A canary at 10 % and 50 %, taken back, and promoted the second time", self.prefix,
                           {"lost": "lost", "of all": "lost_share", "errors": "errors",
                            "longest answer, ms": "answer_ms_max", "p99.9, ms": "answer_ms_p999",
                            "p99.9 before, ms": "answer_ms_p999_before",
                            "blackout, ms": "blackout_ms_max", "s": "rollouts_s"})
