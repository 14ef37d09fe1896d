# SPDX-License-Identifier: Apache-2.0
"""Runs the load generator and talks to it."""

import json
import queue
import subprocess
import threading
import time

from harness.process import BenchError
from harness.programs import find_program


END_S = 8  # it drains what is unanswered, and reads the writes back


class Load:
    """One run of segue-load against a port. Use it in a `with`: at the end it is gone."""

    def __init__(self, port, *, host="127.0.0.1", protocol="resp", connections, period_ms,
                 new_per_second=0, writes_per_second=0, write_keys=0, seconds=0):
        options = {"host": host, "port": port, "protocol": protocol, "connections": connections,
                   "period-ms": period_ms, "new-per-second": new_per_second,
                   "writes-per-second": writes_per_second, "seconds": seconds}
        if write_keys:
            options["write-keys"] = write_keys
        argv = [find_program("segue-load")]
        argv += [f"--{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, bufsize=1)
        self._events = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.started = None  # time.monotonic() when the schedule began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._process.stdin.close()  # which it takes as the order to end
            self._process.wait(timeout=END_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                stream.close()
            except OSError:
                pass

    def _read(self):
        for line in self._process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _wait(self, name, timeout_s):
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise BenchError(f"segue-load: no '{name}' within {timeout_s:g} s") from None
            if event is None:
                raise BenchError(f"segue-load ended: {self._process.stderr.read().strip()}")
            if event["event"] == name:
                return event

    def _say(self, *words):
        try:
            self._process.stdin.write("\t".join(words) + "\n")
        except (OSError, ValueError):
            raise BenchError(f"segue-load ended early: {self._process.stderr.read()}") from None

    def wait_running(self):
        self._wait("running", 70)
        self.started = time.monotonic()

    def mark(self, interval):
        self._say("mark", interval)

    def probe(self, command, marker):
        self._say("probe", command, marker)

    def wait_probed(self, timeout_s):
        return self._wait("probed", timeout_s)

    def stop(self):
        self._say("stop")

    def result(self, timeout_s=60):
        return self._wait("result", timeout_s)

    @property
    def pid(self):
        return self._process.pid
