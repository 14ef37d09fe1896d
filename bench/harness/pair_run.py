# SPDX-License-Identifier: Apache-2.0
"""`pair/…`: the bytes between two releases of real packages, against other tools."""

import json
import math
import pathlib
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from harness.library_run import metadata_bytes
from harness.measured import run_measured
from harness.npm_pairs import PAIRS, QUICK_PAIRS, unpack_trees
from harness.process import BenchError
from peers.delta_tools import TOOLS, scratch, size_of

MAX_MEAN_SHARE = 0.90
MIN_APPLY_MIB_PER_S = 100
MAX_APPLY_RSS_ANON_MIB = 64
MAX_METADATA_BYTES = 2048
# bench_delta's figures that are passed on; the median of the rounds.
FIGURES = ("bytes", "make_cpu_s", "make_peak_mib", "apply_cpu_s", "apply_mib_per_s",
           "apply_rss_anon_mib")


class Pairs:
    prefix = "pair/"

    def __init__(self, arguments):
        self._cache = pathlib.Path(arguments.cache)
        self._pairs = PAIRS[:QUICK_PAIRS] if arguments.quick else PAIRS
        # With --quick two tools at a time; what counts is CPU time, not how long they take.
        self._workers, self._rounds = (2, 1) if arguments.quick else (1, 3)

    def steps(self):
        return [(self.prefix + pair.name, pair.expected_s / self._workers) for pair in self._pairs]

    def run(self, case, report, progress):
        pair = next(pair for pair in self._pairs if case == self.prefix + pair.name)
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="segue-bench-pair-") as directory:
            old, new = unpack_trees(self._cache, pair, pathlib.Path(directory))
            tree_bytes = size_of(new)
            tools = [tool for tool in TOOLS if tool.takes(tree_bytes)]
            jobs = [lambda tool=tool: tool(old, new, scratch(directory, tool.name)).run()
                    for tool in tools]
            # Segue's rounds stand between the others.
            own_jobs = [lambda: run_own(old, new)] * self._rounds
            for number, job in enumerate(own_jobs):
                jobs.insert(number * len(tools) // self._rounds + number, job)
            jobs.append(lambda: metadata_bytes(old, new, scratch(directory, "library")))
            *results, metadata = self._run_all(case, jobs, progress)
            own = [result for result in results if isinstance(result, dict)]
            others = [result for result in results if not isinstance(result, dict)]
            self._emit(case, report, {"tree_bytes": tree_bytes, "metadata_bytes": metadata}, own,
                       zip(tools, others))

    def _run_all(self, case, jobs, progress):
        results = []
        with ThreadPoolExecutor(self._workers) as pool:
            for result in pool.map(lambda job: job(), jobs):
                results.append(result)
                progress.within(case, len(results), len(jobs))
        return results

    def _emit(self, case, report, sizes, own, others):
        figures = {metric: statistics.median(result[metric] for result in own)
                   for metric in FIGURES}
        report.emit(case, {**figures, **sizes})
        for tool, outcome in others:
            metrics = {"bytes": outcome.bytes, "make_cpu_s": outcome.make_cpu_s,
                       "make_peak_mib": outcome.make_peak_mib}
            if outcome.apply_cpu_s is not None:
                metrics["apply_cpu_s"] = outcome.apply_cpu_s
            report.emit(f"{case}/{tool.name}", metrics, tool.name)

    def judge(self, report):
        shares = []
        for pair in self._pairs:
            case = self.prefix + pair.name
            best = best_of_others(report, case)
            if not report.has(case) or best is None:
                continue
            own = report.value(case, "bytes")
            share = own / best[0]
            if not pair.is_archive:
                shares.append(share)
            report.check(case, f"{own:,} bytes, {share:.2f} x those of {best[1]} ({best[0]:,}), "
                               "target no more", own <= best[0])
            metadata = report.value(case, "metadata_bytes")
            report.check(case, f"{metadata:,} bytes of signed metadata, target <= "
                               f"{MAX_METADATA_BYTES:,}", metadata <= MAX_METADATA_BYTES)
            speed = report.value(case, "apply_mib_per_s")
            if not pair.is_archive:  # there it is the speed of packing
                report.check(case, f"applied at {speed:.0f} MiB/s, target >= {MIN_APPLY_MIB_PER_S}",
                             speed >= MIN_APPLY_MIB_PER_S)
            anonymous = report.value(case, "apply_rss_anon_mib")
            report.check(case, f"applied with {anonymous:.1f} MiB of anonymous memory, target <= "
                               f"{MAX_APPLY_RSS_ANON_MIB}", anonymous <= MAX_APPLY_RSS_ANON_MIB)
        if shares:
            mean = math.exp(statistics.fmean(map(math.log, shares)))
            report.check("pair/", f"bytes in the geometric mean {mean:.2f} x those of each pair's "
                                  f"best peer, target <= {MAX_MEAN_SHARE}", mean <= MAX_MEAN_SHARE)

    def print_tables(self, report):
        for pair in self._pairs:
            case = self.prefix + pair.name
            if not report.has(case):
                continue
            report.print_table(
                f"{pair.package} {pair.old} to {pair.new}, {report.value(case, 'tree_bytes'):,} "
                "bytes", case,
                {"bytes": "bytes", "metadata": "metadata_bytes", "make CPU s": "make_cpu_s", "make MiB": "make_peak_mib",
                 "apply CPU s": "apply_cpu_s", "apply MiB/s": "apply_mib_per_s",
                 "apply anonymous MiB": "apply_rss_anon_mib"})
        if any(report.has(case) for case, _ in self.steps()):
            for tool in TOOLS:
                print(f"    {tool.name}: {tool.says}", file=sys.stderr)


def best_of_others(report, case):
    """(bytes, tool's name) of the tool that needs fewest; None: none ran."""
    found = [(report.value(f"{case}/{tool.name}", "bytes"), tool.name) for tool in TOOLS
             if report.has(f"{case}/{tool.name}")]
    return min(found) if found else None


def run_own(old, new):
    """{metric: value} of a delta that was made, applied, and gave the new tree's root."""
    lines = run_measured("bench_delta", old, new).output.splitlines()
    figures = {line["metric"]: line["value"] for line in map(json.loads, lines)}
    figures["bytes"] = int(figures.get("bytes", 0))
    missing = [metric for metric in FIGURES if metric not in figures]
    if missing:
        raise BenchError(f"bench_delta gave no {', '.join(missing)}")
    return figures
