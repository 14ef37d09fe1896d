# SPDX-License-Identifier: Apache-2.0
"""Successors killed at random moments of their probation, under a load that checks every answer."""

import dataclasses
import random
import time

from harness.load import Load
from harness.process import sleep_until
from harness.resp import info


@dataclasses.dataclass(frozen=True)
class Crashes:
    connections: int
    count: int
    seed: int
    latest_s: float = 0.15  # after the successor was seen to serve
    period_ms: int = 100
    writes_per_second: int = 5_000
    new_per_second: int = 50
    pause_s: float = 0.02

    def moments(self):
        generator = random.Random(self.seed)
        return [generator.uniform(0, self.latest_s) for _ in range(self.count)]


@dataclasses.dataclass
class CrashResult:
    load: dict            # the result of segue-load
    replayed: int         # how often the predecessor did again what the dead one had done
    closed_counted: int   # connections that it closed because they could not be repaired
    outages_s: list       # from each kill until the predecessor answers


def run_crashes(service, crashes, step=lambda done: None):
    """Starts `service` (not started yet), and stops it. `step` is told the crashes done so far."""
    with service, Load(service.port, connections=crashes.connections, period_ms=crashes.period_ms,
                       new_per_second=crashes.new_per_second,
                       writes_per_second=crashes.writes_per_second) as load:
        load.wait_running()
        load.mark("before")
        load.mark("after")
        outages_s = []
        for done, moment in enumerate(crashes.moments(), start=1):
            outages_s.append(service.crash_successor(done % 2 + 2, moment))
            step(done)
            sleep_until(time.monotonic() + crashes.pause_s)
        # Every connection of the start has to answer from the process that was there first.
        load.probe(*service.probe())
        load.wait_probed(crashes.period_ms / 1000 * 2 + 10)
        load.stop()
        return CrashResult(load.result(), service.replays(),
                           int(info(service.port)["segue_closed_on_reclaim"]), outages_s)
