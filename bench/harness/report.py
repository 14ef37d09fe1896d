# SPDX-License-Identifier: Apache-2.0
"""What comes out: JSON lines for programs, a table and the targets for people."""

import json
import sys

UNITS = {"lost": "connections", "cut": "connections", "new_failed": "connections",
         "reconnect_failed": "connections", "on_new_share": "share", "abort_share": "share",
         "over_budget": "handoffs", "handoffs": "handoffs", "taken_back": "freezes", "wrong": "answers",
         "writes_lost": "writes", "writes_acknowledged": "writes", "unanswered": "requests",
         "overruns": "requests", "files": "files", "tries": "tries", "error": "share",
         "measured": "share", "lost_share": "share", "errors": "requests", "answers": "requests",
         "handoff_connections": "connections", "lost_commands": "commands",
         "repeated_commands": "commands"}


def unit_of(metric):
    if metric in UNITS:
        return UNITS[metric]
    if "_over_" in metric:
        return "share"
    if metric == "bytes" or metric.endswith("_bytes"):
        return "B"
    if "_fds_" in metric:
        return "descriptors"
    if metric.endswith("_mib_per_s"):
        return "MiB/s"
    if metric.endswith("_mib") or "_mib_" in metric:
        return "MiB"
    if metric.endswith("_kib"):
        return "KiB"
    if metric.endswith("_per_s"):
        return "1/s"
    if "_us_" in metric:
        return "us"
    return "s" if metric.endswith("_s") else "ms"


class Report:
    def __init__(self, bench):
        self._bench = bench
        self._cases = {}  # {case: {metric: value}}, in the order of their coming
        self._checks = []

    def emit(self, case, metrics, peer=None):
        """`metrics` is {metric: value}; None is "not within the run"."""
        self._cases.setdefault(case, {}).update(metrics)
        for metric, value in metrics.items():
            if isinstance(value, float):
                value = round(value, 6)
            print(json.dumps({"bench": self._bench, "case": case, "metric": metric, "value": value,
                              "unit": unit_of(metric), "peer": peer}), flush=True)

    def value(self, case, metric):
        return self._cases.get(case, {}).get(metric)

    def has(self, case):
        return case in self._cases

    def check(self, case, text, met):
        self._checks.append((case, text, met))

    def print_table(self, title, prefix, columns):
        """`columns` is {heading: metric}."""
        rows = [(case, metrics) for case, metrics in self._cases.items()
                if case.startswith(prefix)]
        if not rows:
            return
        cells = [["", *columns]]
        for case, metrics in rows:
            cells.append([case.removeprefix(prefix).lstrip("/") or "segue"] +
                         [_cell(metrics, metric) for metric in columns.values()])
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        print(f"\n{title}", file=sys.stderr)
        for row in cells:
            head, *others = (cell.rjust(width) for cell, width in zip(row, widths))
            print("  " + row[0].ljust(widths[0]) + "  " + "  ".join(others), file=sys.stderr)

    def print_targets(self):
        """Whether all were met."""
        print("\nTargets", file=sys.stderr)
        for case, text, met in self._checks:
            print(f"  {'met   ' if met else 'MISSED'}  {case}: {text}", file=sys.stderr)
        missed = sum(1 for *_, met in self._checks if not met)
        print(f"  {len(self._checks) - missed} of {len(self._checks)} met", file=sys.stderr)
        return missed == 0


def _cell(metrics, metric):
    if metric not in metrics:
        return ""
    value = metrics[metric]
    if value is None:
        return "not within run"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"
