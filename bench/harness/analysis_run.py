# SPDX-License-Identifier: Apache-2.0
"""`aa/…`, `regression/…`, `margin/…`: whether the analysis of a canary cries wolf, and how soon it finds one."""

import json
import subprocess

from harness.process import BenchError
from harness.programs import find_program

TIMEOUT_S = 3600
MAX_FALSE_ABORT, MIN_DETECTED, MAX_FALSE_PASS = 0.01, 0.99, 0.05
# metric: (what has to hold, in words)
TARGETS = {"false_abort": (lambda share: share <= MAX_FALSE_ABORT, f"at most {MAX_FALSE_ABORT}"),
           "detected": (lambda share: share >= MIN_DETECTED, f"at least {MIN_DETECTED}"),
           "false_pass": (lambda share: share <= MAX_FALSE_PASS, f"at most {MAX_FALSE_PASS}")}


class Analysis:
    def __init__(self, arguments):
        self._options = ["--quick"] if arguments.quick else []
        self._expected_s = 4 if arguments.quick else 60
        self._figures = {}  # {case: {(metric, is a peer's): value}}

    def steps(self):
        listed = subprocess.run([find_program("bench_analysis"), "--list", *self._options], check=True,
                                capture_output=True, text=True, timeout=TIMEOUT_S).stdout
        return [(case, self._expected_s) for case in listed.split()]

    def run(self, case, _report, _progress):
        done = subprocess.run([find_program("bench_analysis"), "--case", case, *self._options], check=False,
                              capture_output=True, text=True, timeout=TIMEOUT_S)
        for line in done.stdout.splitlines():
            figure = json.loads(line)
            self._figures.setdefault(case, {})[figure["metric"], figure["peer"] is not None] = figure["value"]
            print(line, flush=True)
        if case not in self._figures:
            raise BenchError(f"bench_analysis ended with {done.returncode}: {done.stderr.strip()}")

    def judge(self, report):
        for case, figures in self._figures.items():
            for (metric, is_peer), value in figures.items():
                if metric in TARGETS and not is_peer:
                    holds, words = TARGETS[metric]
                    peer = figures.get((metric, True))
                    beside = "" if peer is None else f"; a fixed-sample test at each look {peer:g}"
                    report.check(case, f"{metric} {value:g}, {words}{beside}", holds(value))

    def print_tables(self, _report):
        """The targets say it all."""
