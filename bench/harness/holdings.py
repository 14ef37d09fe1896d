# SPDX-License-Identifier: Apache-2.0
"""What processes hold on to, looked at again and again: descriptors and resident memory."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Holding:
    fds: int
    rss_mib: float


def holding_of(pid):
    process = pathlib.Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    rss_kib = next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]
    return Holding(len(list((process / "fd").iterdir())), int(rss_kib) / 1024)


def parent_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


class Watch:
    """One Holding per step and role; compares what is held early with what is held late.

    The least of a window counts: connections of the moment come and go.
    """

    def __init__(self, warm_up, window):
        self._warm_up, self._window = warm_up, window
        self._seen = {}  # {role: [Holding, ...]}

    def look(self, pids):
        """`pids` is {role: process id}."""
        for role, pid in pids.items():
            self._seen.setdefault(role, []).append(holding_of(pid))

    def metrics(self):
        metrics = {}
        for role, seen in self._seen.items():
            windows = {"first": seen[self._warm_up:self._warm_up + self._window],
                       "last": seen[-self._window:]}
            for name, window in windows.items():
                metrics[f"{role}_fds_{name}"] = min(holding.fds for holding in window)
                metrics[f"{role}_rss_mib_{name}"] = min(holding.rss_mib for holding in window)
        return metrics
