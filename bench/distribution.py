#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""distribution.py [--quick] [--only PREFIX]: what it takes to bring a release to a host.

Run it through `scripts/bench distribution`, which builds what it needs. README.md describes the cases.
Results go to stdout, one JSON object per line; tables, targets and progress to stderr. Exit codes: 0
everything ran and every target was met, 1 not so, 2 usage.
"""

import argparse
import os
import signal
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.lines_run import Lines
from harness.npm_pairs import default_cache
from harness.pair_run import Pairs
from harness.process import BenchError
from harness.programs import BUILD
from harness.progress import Progress
from harness.publish_run import Publish
from harness.report import Report
from harness.store_run import Store
from harness.switch_run import Switch

# Each is made with the arguments and has: prefix, that of its cases; steps(), a list of (case, seconds
# expected); run(case, report, progress), which emits figures or raises BenchError; judge(report),
# which adds checks; and print_tables(report). What it never ran it neither judges nor prints.
GROUPS = (Pairs, Publish, Store, Switch, Lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="the small cases only: 50 s in all, for a look")
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help="only the cases whose name begins so, such as pair/next")
    parser.add_argument("--cache", default=default_cache(), metavar="DIR",
                        help="where downloaded packages are kept (default: %(default)s)")
    return parser.parse_args()


class Bench:
    def __init__(self, arguments):
        self._only = arguments.only
        self._groups = [group(arguments) for group in GROUPS]
        self.report = Report("distribution")
        self.failures = []

    def _wanted(self, case):
        return case.startswith(self._only)

    def run(self):
        steps = [step for group in self._groups for step in group.steps() if self._wanted(step[0])]
        if not steps:
            raise BenchError(f"no case begins with '{self._only}'")
        progress = Progress(steps)
        for group in self._groups:
            for case, _ in group.steps():
                if self._wanted(case):
                    progress.begin(case)
                    self._try(group, case, progress)
        progress.end()

    def _try(self, group, case, progress):
        try:
            group.run(case, self.report, progress)
        except (BenchError, OSError) as error:
            self.failures.append(f"{case}: {error}")

    def print(self):
        """Whether all targets were met."""
        for group in self._groups:
            group.judge(self.report)
        for group in self._groups:
            group.print_tables(self.report)
        return self.report.print_targets()


def print_conditions():
    host = os.uname()
    print(f"\n{os.cpu_count()} CPUs, Linux {host.release}, load "
          f"{os.getloadavg()[0]:.1f} / {os.getloadavg()[1]:.1f} / {os.getloadavg()[2]:.1f}; "
          f"programs of {BUILD}", file=sys.stderr)


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary trees are removed
    bench = Bench(arguments)
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.failures.append("interrupted")
    except BenchError as error:
        print(f"distribution: {error}", file=sys.stderr)
        return 2
    met = bench.print()
    for failure in bench.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    print_conditions()
    return 0 if met and not bench.failures else 1


if __name__ == "__main__":
    sys.exit(main())
