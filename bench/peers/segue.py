# SPDX-License-Identifier: Apache-2.0
"""respkv, handed over by Segue: with the keeper through the CLI, or alone.

All that depends on the CLI's words stands in SegueCli and handoff_of().
"""

import dataclasses
import json
import os
import subprocess
import time

from harness.holdings import parent_of
from harness.process import BenchError, sleep_until
from harness.programs import find_program, lookup_program
from harness.resp import info
from peers.server import Server

UPGRADE_S = 60


@dataclasses.dataclass(frozen=True)
class Handoff:
    """How one upgrade went."""

    outcome: str          # done, failed, undone, refused
    blackout_ms: float    # None: it was never activated
    frozen_max_ms: float  # the longest frozen interval, also of attempts that were taken back
    freezes: int          # how often the predecessor was frozen; 1 when nothing was taken back
    why: str
    seconds: float        # from the request to its answer

    @property
    def done(self):
        return self.outcome == "done"


class SegueCli:
    """The command `segue` with directories of its own."""

    def __init__(self, directory):
        self._environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(directory / "run"),
                                 SEGUE_STATE_DIR=str(directory / "state"))

    def call(self, *words, timeout_s=UPGRADE_S):
        """(exit code, the last JSON object on stdout, stderr)."""
        try:
            done = subprocess.run([find_program("segue"), *words], env=self._environment,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise BenchError(f"segue {words[0]}: no end within {timeout_s} s") from None
        objects = [line for line in done.stdout.splitlines() if line.startswith("{")]
        answer = json.loads(objects[-1]) if objects else {}
        return done.returncode, answer, done.stderr.strip()

    def run(self, name, argv):
        code, answer, errors = self.call("run", "--json", name, "--", *argv)
        if code != 0:
            raise BenchError(f"segue run: {errors or answer}")

    def upgrade(self, name, argv, probation_ms):
        began = time.monotonic()
        code, answer, errors = self.call("upgrade", "--json", "--probation-s",
                                         str(probation_ms / 1000), name, "--", *argv)
        return handoff_of(code, answer, errors, time.monotonic() - began)

    def stop(self, name):
        self.call("stop", "--json", name, timeout_s=30)


def handoff_of(code, answer, errors, seconds):
    """What `segue upgrade --json` said in its last object."""
    attempt = answer.get("attempt") or {}
    blackout_ns = attempt.get("blackout_ns") or 0
    frozen_ns = attempt.get("frozen_max_ns") or 0
    outcomes = {0: "done", 1: "failed", 3: "undone", 4: "refused"}
    return Handoff(outcome=attempt.get("outcome") or outcomes.get(code, "unknown"),
                   blackout_ms=blackout_ns / 1e6 if blackout_ns else None,
                   frozen_max_ms=max(blackout_ns, frozen_ns) / 1e6,
                   freezes=int(attempt.get("freezes") or 1),
                   why=answer.get("text") or errors,
                   seconds=seconds)


class Respkv(Server):
    """respkv in versions of which 1 and 2 have different layouts of their state."""

    name = "segue"
    serves = "respkv under Segue's keeper"
    protocol = "resp"

    def __init__(self, probation_ms, threads=1):
        super().__init__()
        self._probation_ms = probation_ms
        self._threads = threads
        self._pid = None
        self._upgraded = False  # by the last handoff

    def _argv(self, version):
        return [find_program(f"respkv-v{version}"), "--listen", f"tcp:127.0.0.1:{self.port}",
                "--threads", str(self._threads)]

    def _serving_pid(self):
        return int(info(self.port)["process_id"])

    def old_pids(self):
        return [self._pid]

    def upgrade(self):
        return self.upgrade_to(2)

    def upgrade_to(self, version):
        """A Handoff, whatever became of it."""
        handoff = self._hand_over(version)
        before, self._pid = self._pid, self._serving_pid()
        self._upgraded = handoff.done and self._pid != before
        return handoff

    def _hand_over(self, version):
        raise NotImplementedError

    def roles(self):
        """{role: process id} of what outlives an upgrade."""
        return {"service": self._pid}

    def probe(self):
        # No process has the number 0: after a failure nobody is on the new version.
        return "INFO", f"process_id:{self._pid if self._upgraded else 0}\r"


class RespkvUnderKeeper(Respkv):
    COMPONENT = "bench"

    def __init__(self, probation_ms, threads=1):
        super().__init__(probation_ms, threads)
        self._cli = SegueCli(self.work.directory)

    def start(self):
        self._cli.run(self.COMPONENT, self._argv(1))
        self.wait_accepting()
        self._pid = self._serving_pid()

    def roles(self):
        return {"service": self._pid, "keeper": parent_of(self._pid)}

    def _hand_over(self, version):
        return self._cli.upgrade(self.COMPONENT, self._argv(version), self._probation_ms)

    def stop(self):
        try:
            self._cli.stop(self.COMPONENT)
        finally:
            super().stop()


class RespkvAlone(Respkv):
    """Without a keeper: the next version finds the present one in a directory.

    What an attempt that was taken back cost cannot be seen here.
    """

    serves = "respkv, predecessor and successor alone"

    def _launch(self, version):
        directory = str(self.work.directory / "meeting")
        return self.work.start(self._argv(version) + ["--directory", directory,
                                                      "--probation-ms", str(self._probation_ms)])

    def start(self):
        self._pid = self._launch(1).pid
        self.wait_accepting()

    def _hand_over(self, version):
        began = time.monotonic()
        old, successor = self._pid, self._launch(version)

        def answered():
            return successor.poll() is not None or self._serving_pid() == successor.pid
        self.wait_for(answered, "the successor serves", UPGRADE_S)
        if successor.poll() is not None:
            return Handoff("failed", None, 0, 1, self.work.output_tail(),
                           time.monotonic() - began)
        self.work.wait_end(old, UPGRADE_S)
        blackout_ms = int(info(self.port)["last_blackout_ns"]) / 1e6
        return Handoff("done", blackout_ms, blackout_ms, 1, "", time.monotonic() - began)


class RespkvCrashing(RespkvAlone):
    """Whose successors are killed in probation; it goes on itself."""

    serves = "respkv, whose successors are killed in probation"

    def start(self):
        super().start()
        self._upgraded = True  # probe() asks for the process that is there from the start

    def replays(self):
        return self.work.output().count("event=resumed reason=replayed")

    def crash_successor(self, version, after_s):
        """Seconds from the kill until the predecessor answers."""
        before, successor = self.replays(), self._launch(version)
        self.wait_for(lambda: self._serving_pid() == successor.pid, "the successor serves")
        sleep_until(time.monotonic() + after_s)
        killed = time.monotonic()
        successor.kill()
        successor.wait()
        self.wait_for(lambda: self._serving_pid() == self._pid, "the predecessor goes on")
        answered_s = time.monotonic() - killed
        self.wait_for(lambda: self.replays() > before, "it has replayed")
        return answered_s


def respkv_class():
    """The way to run it that this build has."""
    alone = os.environ.get("SEGUE_BENCH_ALONE") or not lookup_program("segue")
    return RespkvAlone if alone else RespkvUnderKeeper


def heapkv(probation_ms, state_mib, threads=1):
    """heapkv, handed over likewise: its whole state lies in a heap, filled up to so many MiB."""

    class Heapkv(respkv_class()):
        serves = "heapkv, its state in a heap"

        def _argv(self, version):
            return [find_program(f"heapkv-v{version}"), "--listen", f"tcp:127.0.0.1:{self.port}",
                    "--heap-mib", str(2 * state_mib + 256), "--fill-mib", str(state_mib),
                    "--threads", str(threads)]

    return Heapkv(probation_ms)
