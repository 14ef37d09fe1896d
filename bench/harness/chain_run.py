# SPDX-License-Identifier: Apache-2.0
"""One service handed over many times in a row, under writes whose every acknowledgement counts."""

import dataclasses
import time

from harness.load import Load
from harness.process import sleep_until


GIVE_UP_AFTER = 3  # failed handoffs in a row


@dataclasses.dataclass(frozen=True)
class Chain:
    connections: int
    versions: tuple  # by turns; the chain starts with the first
    hops: int
    before_s: float  # without a handoff: the control of this very run
    period_ms: int
    writes_per_second: int = 10_000
    new_per_second: int = 50
    pause_s: float = 0.02  # between the end of a handoff and the next request for one


@dataclasses.dataclass
class ChainResult:
    load: dict      # the result of segue-load
    handoffs: list  # of peers.segue.Handoff


def run_chain(service, chain, step=lambda done: None):
    """Starts `service` (not started yet), and stops it. `step` is told the handoffs done so far."""
    with service, Load(service.port, connections=chain.connections, period_ms=chain.period_ms,
                       new_per_second=chain.new_per_second,
                       writes_per_second=chain.writes_per_second) as load:
        load.wait_running()
        load.mark("before")
        sleep_until(load.started + chain.before_s)
        load.mark("after")
        handoffs = []
        for hop in range(1, chain.hops + 1):
            version = chain.versions[hop % len(chain.versions)]
            handoffs.append(service.upgrade_to(version))
            step(hop)
            if not any(handoff.done for handoff in handoffs[-GIVE_UP_AFTER:]) and \
                    hop >= GIVE_UP_AFTER:
                break
            sleep_until(time.monotonic() + chain.pause_s)
        # Every connection of the start has to answer from the last instance.
        load.probe(*service.probe())
        load.wait_probed(chain.period_ms / 1000 * 2 + 10)
        load.stop()
        return ChainResult(load.result(), handoffs)
