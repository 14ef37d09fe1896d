# SPDX-License-Identifier: Apache-2.0
"""What every server of the bench has in common."""

from harness.process import BenchError, Workplace, accepts, free_port, wait_until

START_S = 15


class Server:
    """A server that can be replaced by its next version in its own way.

    Versions are 1 and 2. `old_pids` are all processes of the version that serves now, that is those
    which have to go in an upgrade.
    """

    name = None      # as in the case names
    serves = None    # for people: what answers what
    protocol = None  # as segue-load calls it
    peer = None      # the product, for the JSON; None for Segue

    def __init__(self):
        self.work = Workplace(self.name)
        self.port = free_port()

    def start(self):
        raise NotImplementedError

    def upgrade(self):
        """Replaces version 1 by 2; returns when the new version serves."""
        raise NotImplementedError

    def old_pids(self):
        raise NotImplementedError

    def probe(self):
        """(command, marker): what to ask, and what only the new version's answer contains."""
        raise NotImplementedError

    def stop(self):
        self.work.close()

    def wait_accepting(self, port=None):
        try:
            wait_until(lambda: accepts(port or self.port), START_S, f"{self.name} accepts")
        except BenchError as error:
            raise BenchError(f"{error}\n{self.work.output_tail()}") from None

    def wait_for(self, condition, what, timeout_s=START_S):
        try:
            return wait_until(condition, timeout_s, f"{self.name}: {what}")
        except BenchError as error:
            raise BenchError(f"{error}\n{self.work.output_tail()}") from None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
