#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""handoff.py [--quick] [--only PREFIX]: live upgrades measured by what clients see.

Run it through `scripts/bench handoff`, which builds what it needs. README.md describes the cases.
Results go to stdout, one JSON object per line; tables, targets and progress to stderr. Exit codes: 0
everything ran and every target was met, 1 not so, 2 usage.
"""

import argparse
import functools
import itertools
import os
import signal
import statistics
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.chain_run import Chain, run_chain
from harness.crash_run import Crashes, run_crashes
from harness.holdings import Watch
from harness.peer_run import PeerPlan, run_peer
from harness.process import BenchError, raise_descriptor_limit
from harness.programs import BUILD
from harness.progress import Progress
from harness.report import Report
from harness.targets import judge, judge_chain, judge_crash, judge_growth, judge_holdings
from peers.haproxy import HaproxyHttp, HaproxyTcp
from peers.nginx import NginxUsr2
from peers.programs import LighttpdGraceful, LighttpdUnderSegue, NginxReload, NginxUnderSegue
from peers.segue import RespkvCrashing, RespkvUnderKeeper, heapkv, respkv_class

PROBATION_MS = {"peers": 1000, "chain": 50}
BUDGET_MS = 10
LISTENERS = (NginxUnderSegue, NginxReload, LighttpdUnderSegue, LighttpdGraceful)
LAYOUTS = {"equal": (1, 1), "different": (1, 2)}
# A request of each connection per so many ms: 15,000 connections shall not saturate two cores.
PERIODS_MS = {100: 500, 1000: 500, 15000: 5000}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="shorter and fewer: 50 s in all, for a look")
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help="only the cases whose name begins so, such as chain/100")
    parser.add_argument("--threads", type=int, default=4, metavar="N",
                        help="respkv's event loops in the cases -tN (default: 4)")
    return parser.parse_args()


def percentile(values, share):
    """The least value that a share of them does not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def state_case(state_mib, layout, threads):
    return f"chain/state-{state_mib}-{layout}" + ("" if threads == 1 else f"-t{threads}")


class Bench:
    def __init__(self, quick, only, threads):
        self.quick, self._only, self._threads = quick, only, threads
        self.report = Report("handoff")
        self.failures = []
        self.plan = PeerPlan()
        self.rounds = 3
        self.sizes, self.hops, self.before_s = (100, 1000, 15000), 50, 5
        self.threaded_sizes, self.threaded_layouts = (1000, 15000), tuple(LAYOUTS)
        self.states_mib, self.state_hops = (0, 256, 1024), {1: 50, threads: 20}
        self.long_hops = 0 if quick else 1000
        self.crashes = Crashes(connections=200, count=10 if quick else 200, seed=20260131)
        if quick:
            self.plan = PeerPlan(upgrade_at_s=0.8, seconds=2.8)
            self.rounds, self.sizes, self.hops, self.before_s = 1, (100, 1000), 12, 0.8
            self.threaded_sizes, self.threaded_layouts = (1000,), ("different",)
            self.states_mib, self.state_hops = (0, 256), {1: 4}
        self.peer_results = {}  # {case: [PeerResult, ...]}, one per round

    # ---- What there is to run

    def peer_cases(self):
        """(case, makes the server, whether it is upgraded), in the order of one round."""
        def segue(threads=1):
            return respkv_class()(PROBATION_MS["peers"], threads)
        yield "peers/control", segue, False
        yield "peers/segue", segue, True
        if not self.quick:
            yield f"peers/segue-t{self._threads}", functools.partial(segue, self._threads), True
        for server in (HaproxyTcp, HaproxyHttp, NginxUsr2):
            yield f"peers/{server.name}", server, True
            if not self.quick:
                yield f"peers/control-{server.name}", server, False
        if self.quick and not self._only.startswith("listeners"):
            return
        for server in LISTENERS:
            yield f"listeners/{server.name}", server, True

    def chain_cases(self):
        """(case, its Chain, makes the server)."""
        def respkv(threads=1):
            return respkv_class()(PROBATION_MS["chain"], threads)
        for size in self.sizes:
            for layout, versions in LAYOUTS.items():
                yield f"chain/{size}-{layout}", Chain(
                    connections=size, versions=versions, hops=self.hops, before_s=self.before_s,
                    period_ms=PERIODS_MS[size]), respkv
        for size in self.threaded_sizes:
            for layout in self.threaded_layouts:
                yield f"chain/{size}-{layout}-t{self._threads}", Chain(
                    connections=size, versions=LAYOUTS[layout], hops=self.hops,
                    before_s=self.before_s, period_ms=PERIODS_MS[size]), functools.partial(
                        respkv, self._threads)
        for threads, hops in self.state_hops.items():
            for state_mib, (layout, versions) in itertools.product(self.states_mib,
                                                                   LAYOUTS.items()):
                yield state_case(state_mib, layout, threads), Chain(
                    connections=100, versions=versions, hops=hops,
                    before_s=self.before_s, period_ms=PERIODS_MS[100]), functools.partial(
                        heapkv, PROBATION_MS["chain"], state_mib, threads)

    def long_cases(self):
        """(case, its Chain, makes the server): what a process holds on to must not grow."""
        if self.long_hops == 0:
            return
        yield f"long/{self.long_hops}", Chain(
            connections=100, versions=LAYOUTS["different"], hops=self.long_hops,
            before_s=self.before_s, period_ms=PERIODS_MS[100]), functools.partial(
                respkv_class(), PROBATION_MS["chain"])

    def crash_cases(self):
        """(case, its Crashes, makes the server)."""
        for threads in (1,) if self.quick else (1, self._threads):
            yield (f"crash/{self.crashes.connections}" + ("" if threads == 1 else f"-t{threads}"),
                   self.crashes, functools.partial(RespkvCrashing, 600_000, threads))

    def steps(self):
        steps = [(f"{case} ({round_ + 1})", self.plan.seconds + 1)
                 for round_ in range(self.rounds)
                 for case, *_ in self.peer_cases() if self._wanted(case)]
        steps += [(case, chain.hops * 0.3 + chain.before_s + 2)
                  for case, chain, _ in [*self.chain_cases(), *self.long_cases()]
                  if self._wanted(case)]
        steps += [(case, crashes.count * 0.4 + 2)
                  for case, crashes, _ in self.crash_cases() if self._wanted(case)]
        return steps

    def _wanted(self, case):
        return case.startswith(self._only)

    # ---- Running

    def run(self):
        steps = self.steps()
        if not steps:
            raise BenchError(f"no case begins with '{self._only}'")
        progress = Progress(steps)
        for round_ in range(self.rounds):
            for case, make, upgrade in self.peer_cases():
                if self._wanted(case):
                    progress.begin(f"{case} ({round_ + 1})")
                    self._try(case, self._run_peer, make, upgrade)
        self._emit_peers()
        for case, chain, make in self.chain_cases():
            if self._wanted(case):
                progress.begin(case)
                self._try(case, self._run_chain, make(), chain, progress)
        for case, chain, make in self.long_cases():
            if self._wanted(case):
                progress.begin(case)
                self._try(case, self._run_long, make(), chain, progress)
        for case, crashes, make in self.crash_cases():
            if self._wanted(case):
                progress.begin(case)
                self._try(case, self._run_crashes, make(), crashes, progress)
        progress.end()

    def _try(self, case, function, *arguments):
        try:
            function(case, *arguments)
        except (BenchError, OSError) as error:
            self.failures.append(f"{case}: {error}")

    def _run_peer(self, case, make, upgrade):
        result = run_peer(make(), self.plan, upgrade)
        if upgrade and result.handoff and not result.handoff.done:
            self.failures.append(f"{case}: {result.handoff.outcome}: {result.handoff.why}")
        self.peer_results.setdefault(case, []).append(result)

    def _run_long(self, case, service, chain, progress):
        watch = Watch(warm_up=chain.hops // 10, window=chain.hops // 20)
        self._run_chain(case, service, chain, progress, lambda: watch.look(service.roles()))
        self.report.emit(case, watch.metrics())

    def _run_chain(self, case, service, chain, progress, look=lambda: None):
        def step(done):
            progress.within(case, done, chain.hops)
            if done % len(chain.versions) == 0:  # always the same version
                look()
        result = run_chain(service, chain, step)
        for number, handoff in enumerate(result.handoffs, start=1):
            if not handoff.done:
                self.failures.append(f"{case}: handoff {number} {handoff.outcome}: {handoff.why}")
        self._emit_chain(case, result)

    def _run_crashes(self, case, service, crashes, progress):
        result = run_crashes(service, crashes,
                             lambda done: progress.within(case, done, crashes.count))
        load = result.load
        metrics = {name: load[name] for name in
                   ("lost", "cut", "new_failed", "wrong", "writes_lost", "writes_acknowledged",
                    "on_new_share")}
        metrics.update({"crashes": crashes.count, "replayed": result.replayed,
                        "closed_counted": result.closed_counted,
                        "outage_ms_median": statistics.median(result.outages_s) * 1000,
                        "outage_ms_max": max(result.outages_s) * 1000})
        if load["first_wrong"]:
            self.failures.append(f"{case}: first wrong answer: {load['first_wrong']}")
        self.report.emit(case, metrics)

    # ---- Figures

    def _emit_peers(self):
        for case, make, upgrade in self.peer_cases():
            results = self.peer_results.get(case)
            if results:
                peer = getattr(make, "peer", None)
                self.report.emit(case, self._peer_metrics(results, upgrade), peer)

    def _peer_metrics(self, results, upgrade):
        loads = [result.load for result in results]

        def worst(name):
            return max(load[name] for load in loads)
        metrics = {name: worst(name) for name in
                   ("lost", "cut", "new_failed", "wrong", "writes_lost")}
        if upgrade:
            gone = [result.old_gone_s for result in results]
            metrics["on_new_share"] = min(load["on_new_share"] for load in loads)
            metrics["old_gone_s"] = None if None in gone else max(gone)
        metrics.update(latency_metrics(loads))
        handoffs = [result.handoff for result in results if result.handoff]
        if handoffs:
            metrics.update(handoff_metrics(handoffs))
        return metrics

    def _emit_chain(self, case, result):
        load = result.load
        metrics = {name: load[name] for name in
                   ("lost", "cut", "new_failed", "wrong", "writes_lost", "writes_acknowledged",
                    "on_new_share")}
        metrics.update(latency_metrics([load]))
        metrics["stall_ms_p999_before"] = load["intervals"]["before"]["p999"]
        metrics.update(handoff_metrics(result.handoffs))
        if load["verification_error"]:
            self.failures.append(f"{case}: reading back: {load['verification_error']}")
        if load["first_wrong"]:
            self.failures.append(f"{case}: first wrong answer: {load['first_wrong']}")
        self.report.emit(case, metrics)

    # ---- For people

    def judge(self):
        report = self.report
        for case in ("peers/segue", f"peers/segue-t{self._threads}"):
            if report.has(case) and report.has("peers/control"):
                judge(report, case, report.value("peers/control", "stall_ms_p999"))
        for case, *_ in self.chain_cases():
            if report.has(case):
                judge(report, case, report.value(case, "stall_ms_p999_before"))
                judge_chain(report, case)
        for case, *_ in self.long_cases():
            if report.has(case):
                judge(report, case, report.value(case, "stall_ms_p999_before"))
                judge_chain(report, case)
                judge_holdings(report, case)
        for case, *_ in self.crash_cases():
            if report.has(case):
                judge_crash(report, case)
        for layout in LAYOUTS:
            few, many = (f"chain/{size}-{layout}" for size in (self.sizes[0], self.sizes[-1]))
            judge_growth(report, few, many)
            for threads in self.state_hops:
                none, most = (state_case(mib, layout, threads)
                              for mib in (self.states_mib[0], self.states_mib[-1]))
                judge_growth(report, none, most)

    def print_tables(self):
        plan, report = self.plan, self.report
        report.print_table(
            f"Live upgrade at {plan.upgrade_at_s:g} s of {plan.seconds:g} s: {plan.connections:,} "
            f"connections, a request each per {plan.period_ms} ms, {plan.new_per_second} new "
            f"connections/s; {self.rounds} x, worst (p99.9: median)", "peers/",
            {"lost": "lost", "cut": "cut", "new failed": "new_failed", "wrong": "wrong",
             "on new": "on_new_share", "old gone s": "old_gone_s", "blackout ms": "blackout_ms_max",
             "stall p99.9 ms": "stall_ms_p999", "stall max": "stall_ms_max",
             "wake-up p99 ms": "wakeup_ms_p99", "timer max": "timer_ms_max"})
        for server in (respkv_class(), HaproxyTcp, HaproxyHttp, NginxUsr2):
            print(f"    {server.name}: {server.serves}", file=sys.stderr)
        report.print_table(
            "The same load on programs that do not link libsegue: as Segue upgrades them "
            "(`listeners`), and by their own reload", "listeners/",
            {"lost": "lost", "cut": "cut", "new failed": "new_failed", "wrong": "wrong",
             "on new": "on_new_share", "old gone s": "old_gone_s",
             "stall p99.9 ms": "stall_ms_p999", "stall max": "stall_ms_max"})
        way = "under the keeper" if respkv_class() is RespkvUnderKeeper else (
            "alone (attempts taken back cannot be seen)")
        report.print_table(
            f"Chains of {self.hops} handoffs of respkv {way}, and of heapkv with so many MiB of state "
            f"({' or '.join(map(str, self.state_hops.values()))}); under 10,000 writes/s", "chain/",
            {"lost": "lost", "cut": "cut", "new failed": "new_failed", "wrong": "wrong",
             "writes lost": "writes_lost", "on new": "on_new_share",
             "blackout ms median": "blackout_ms_median", "p90": "blackout_ms_p90",
             "p99": "blackout_ms_p99", "max": "blackout_ms_max", "frozen max": "frozen_ms_max",
             "aborts": "abort_share", "taken back": "taken_back", "over budget": "over_budget",
             "stall p99.9 ms": "stall_ms_p999", "(before)": "stall_ms_p999_before",
             "stall max": "stall_ms_max", "wake-up p99": "wakeup_ms_p99",
             "timer max": "timer_ms_max"})


    def print_holdings(self):
        self.report.print_table(
            f"{self.long_hops} upgrades in a row: descriptors and resident MiB, early and at the end",
            "long/",
            {"service fds": "service_fds_first", "then": "service_fds_last",
             "MiB": "service_rss_mib_first", "then ": "service_rss_mib_last",
             "keeper fds": "keeper_fds_first", "then  ": "keeper_fds_last",
             "MiB ": "keeper_rss_mib_first", "then   ": "keeper_rss_mib_last",
             "lost": "lost", "cut": "cut", "wrong": "wrong", "writes lost": "writes_lost",
             "blackout ms median": "blackout_ms_median", "max": "blackout_ms_max",
             "aborts": "abort_share", "over budget": "over_budget"})

    def print_crashes(self):
        self.report.print_table(
            f"{self.crashes.count} successors killed at random in probation, seed "
            f"{self.crashes.seed}", "crash/",
            {"crashes": "crashes", "replayed": "replayed", "lost": "lost", "cut": "cut",
             "new failed": "new_failed", "wrong": "wrong", "writes lost": "writes_lost",
             "answer at the end": "on_new_share", "closed, counted": "closed_counted",
             "outage ms median": "outage_ms_median", "max": "outage_ms_max"})


def latency_metrics(loads):
    return {"stall_ms_p999": statistics.median(load["stall_ms"]["p999"] for load in loads),
            "stall_ms_max": max(load["stall_ms"]["max"] for load in loads),
            "wakeup_ms_p99": statistics.median(load["wakeup_ms"]["p99"] for load in loads),
            "timer_ms_max": max(load["timer_ms"]["max"] for load in loads)}


def handoff_metrics(handoffs):
    blackouts = [handoff.blackout_ms for handoff in handoffs if handoff.blackout_ms is not None]
    frozen = [handoff.frozen_max_ms for handoff in handoffs]
    metrics = {"handoffs": len(handoffs),
               "abort_share": sum(not handoff.done for handoff in handoffs) / len(handoffs),
               "taken_back": sum(handoff.freezes - 1 for handoff in handoffs),
               "over_budget": sum(interval > BUDGET_MS for interval in frozen),
               "frozen_ms_max": max(frozen)}
    if blackouts:
        metrics.update({"blackout_ms_median": statistics.median(blackouts),
                        "blackout_ms_p90": percentile(blackouts, 0.90),
                        "blackout_ms_p99": percentile(blackouts, 0.99),
                        "blackout_ms_max": max(blackouts)})
    return metrics


def print_conditions():
    host = os.uname()
    print(f"\n{os.cpu_count()} CPUs, Linux {host.release}, load "
          f"{os.getloadavg()[0]:.1f} / {os.getloadavg()[1]:.1f} / {os.getloadavg()[2]:.1f}; "
          f"programs of {BUILD}", file=sys.stderr)


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    raise_descriptor_limit()
    bench = Bench(arguments.quick, arguments.only, arguments.threads)
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.failures.append("interrupted")
    except BenchError as error:
        print(f"handoff: {error}", file=sys.stderr)
        return 2
    bench.judge()
    bench.print_tables()
    bench.print_holdings()
    bench.print_crashes()
    met = bench.report.print_targets()
    for failure in bench.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    print_conditions()
    return 0 if met and not bench.failures else 1


if __name__ == "__main__":
    sys.exit(main())
