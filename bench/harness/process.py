# SPDX-License-Identifier: Apache-2.0
"""Processes, ports and waiting; every wait has a deadline."""

import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

POLL_S = 0.005
# Below Linux's range of ports that connections are made from.
PORTS = range(17000, 30000)


class BenchError(Exception):
    """For a person: what failed, on what, why."""


def wait_until(condition, timeout_s, what):
    """Returns what `condition` returns as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


def sleep_until(moment):
    """For what belongs to the schedule of a measurement; never to wait for something."""
    time.sleep(max(0.0, moment - time.monotonic()))


def free_port():
    """A port that nobody listens on, nobody connects from, and that was not given out before."""
    for _ in range(len(PORTS)):
        free_port.last = PORTS[(free_port.last - PORTS[0] + 1) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", free_port.last))
            except OSError:
                continue
            return free_port.last
    raise BenchError("no free port")


free_port.last = PORTS[os.getpid() % 1000 * 10]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def raise_descriptor_limit():
    """Servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def children_of(pid):
    """Their ids; none where the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


class Departure:
    """When a set of processes, children or not, is gone."""

    def __init__(self, pids):
        self.began = time.monotonic()
        self._pidfds = []
        for pid in pids:
            try:
                self._pidfds.append(os.pidfd_open(pid))
            except ProcessLookupError:
                pass

    def wait(self, deadline):
        """Seconds from the making of this object until all are gone; None: not by `deadline`."""
        left = self._pidfds
        gone_s = None
        while left:
            timeout_s = deadline - time.monotonic()
            ready = select.select(left, [], [], max(timeout_s, 0))[0]
            if not ready:
                break
            left = [pidfd for pidfd in left if pidfd not in ready]
        if not left:
            gone_s = time.monotonic() - self.began
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._pidfds = []
        return gone_s


class Workplace:
    """A temporary directory and the processes started in it; both are gone at the end."""

    def __init__(self, name, parent=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"segue-bench-{name}-", dir=parent))
        self._processes = []

    def start(self, argv, **more):
        with open(self.directory / "output.log", "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self.directory, start_new_session=True, **more)
        self._processes.append(process)
        return process

    def wait_end(self, pid, timeout_s):
        """Of a process that was started here."""
        process = next(process for process in self._processes if process.pid == pid)
        wait_until(lambda: process.poll() is not None, timeout_s, f"the end of process {pid}")

    def output(self):
        log = self.directory / "output.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def output_tail(self):
        return "\n".join(self.output().splitlines()[-8:])

    def close(self):
        for process in self._processes:
            end_group(process)
        shutil.rmtree(self.directory, ignore_errors=True)


def end_group(process, grace_s=3):
    """Ends a process that leads a session, and what it has left there."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            wait_until(lambda: process.poll() is not None and not group_lives(process.pid),
                       grace_s, "the end of a server")
            break
        except BenchError:
            continue
    process.wait()


def group_lives(group):
    try:
        os.killpg(group, 0)
        return True
    except (ProcessLookupError, PermissionError):
        return False
