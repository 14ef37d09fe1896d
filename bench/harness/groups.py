# SPDX-License-Identifier: Apache-2.0
"""Runs the groups of cases that a benchmark is made of."""

import os
import sys

from harness.process import BenchError
from harness.programs import BUILD
from harness.progress import Progress
from harness.report import Report


class Bench:
    """Each group is made with the arguments and has: prefix, that of its cases; steps(), a list of
    (case, seconds expected); run(case, report, progress), which emits figures or raises BenchError;
    judge(report), which adds checks; and print_tables(report). What it never ran it neither judges nor
    prints."""

    def __init__(self, name, groups, arguments):
        self._only = arguments.only
        self._groups = [group(arguments) for group in groups]
        self.report = Report(name)
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
