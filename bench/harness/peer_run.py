# SPDX-License-Identifier: Apache-2.0
"""One server under one load, upgraded once in the middle or not at all."""

import dataclasses
import time

from harness.load import Load
from harness.process import Departure, sleep_until


@dataclasses.dataclass(frozen=True)
class PeerPlan:
    """The load of a peer run. The full bench takes the one that the peers were measured on before."""

    connections: int = 1000
    period_ms: int = 500
    new_per_second: int = 200
    upgrade_at_s: float = 3
    seconds: float = 9


@dataclasses.dataclass
class PeerResult:
    load: dict             # the result of segue-load
    upgrade_s: float = None  # how long the upgrade took for who asked for it
    old_gone_s: float = None  # from the upgrade's begin; None: not within the run
    handoff: object = None   # Segue: what the CLI said


def run_peer(server, plan, upgrade):
    """Starts `server` (not started yet), and stops it."""
    with server, Load(server.port, protocol=server.protocol, connections=plan.connections,
                      period_ms=plan.period_ms, new_per_second=plan.new_per_second,
                      seconds=plan.seconds) as load:
        load.wait_running()
        load.mark("before")
        result = PeerResult(load=None)
        if upgrade:
            sleep_until(load.started + plan.upgrade_at_s)
            _upgrade(server, load, plan, result)
        else:
            sleep_until(load.started + plan.upgrade_at_s)
            load.mark("after")
        # It drains, and reads all writes back.
        result.load = load.result(timeout_s=plan.seconds + 60)
        return result


def _upgrade(server, load, plan, result):
    load.mark("after")
    departure = Departure(server.old_pids())
    began = time.monotonic()
    result.handoff = server.upgrade()
    result.upgrade_s = time.monotonic() - began
    load.probe(*server.probe())
    result.old_gone_s = departure.wait(load.started + plan.seconds)
