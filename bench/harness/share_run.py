# SPDX-License-Identifier: Apache-2.0
"""`share/…`: how near the share of new connections comes to what was wanted, and what it costs."""

import os
import random
import socket
import subprocess
import sys
import time

from harness.process import BenchError, Workplace, accepts, free_port, wait_until
from harness.programs import find_program

SHARES = (1, 10, 50)  # percent
CONNECTIONS, QUICK_CONNECTIONS = 10_000, 2_000
LATENCIES, QUICK_LATENCIES, ROUND = 8_000, 1_600, 100
MAX_ERROR, QUICK_MAX_ERROR = 0.02, 0.045  # four standard deviations at 50 %
COMMAND_TIMEOUT_S = 60
CONNECTION_TIMEOUT_S = 10
SEED = 20_261_121

# Says which slot it is, and closes: on the socket that a keeper has given it, or on one of its own.
GREETER = """
import socket, sys
if sys.argv[2:]:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1024)
else:
    listener = socket.socket(fileno=3)
word = sys.argv[1].encode()
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(word)
    except OSError:
        pass
    connection.close()
"""

HAPROXY = """
global
  stats socket {directory}/admin.sock mode 600 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend hub
  bind 127.0.0.1:{port}
  default_backend hub
backend hub
  balance roundrobin
  server stable 127.0.0.1:{stable} weight 100
  server canary 127.0.0.1:{canary} weight 0
"""


class Place:
    """A keeper for each slot, one for a program that shares nothing, and HAProxy before two more."""

    def __init__(self, workplace):
        self._workplace, self._directory = workplace, workplace.directory
        self._script = self._directory / "greeter.py"
        self._script.write_text(GREETER, encoding="ascii")
        self._environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(self._directory / "r"),
                                 SEGUE_STATE_DIR=str(self._directory / "s"))
        self.split, self.plain, self.proxy = free_port(), free_port(), free_port()
        self._run("hub", self.split, ",group")
        self._run("hub.canary", self.split, ",group")
        self._run("alone", self.plain, "")
        self._start_haproxy()

    def segue(self, *words):
        done = subprocess.run([find_program("segue"), *map(str, words)], capture_output=True, text=True,
                              env=self._environment, timeout=COMMAND_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise BenchError(f"segue {words[0]} ended with {done.returncode}: {done.stderr.strip()}")

    def _run(self, name, port, group):
        word = "c" if name.endswith(".canary") else "s"
        self.segue("run", name, "--upgrade", "listeners", "--listen", f"web=tcp:127.0.0.1:{port}{group}",
                   "--", sys.executable, self._script, word)

    def _start_haproxy(self):
        servers = {"stable": free_port(), "canary": free_port()}
        for name, port in servers.items():
            self._workplace.start([sys.executable, str(self._script), name[0], str(port)])
            wait_until(lambda port=port: accepts(port), 10, f"a server on port {port}")
        config = self._directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(directory=self._directory, port=self.proxy, **servers),
                          encoding="ascii")
        self._workplace.start([find_program("haproxy"), "-db", "-f", str(config)])
        wait_until(lambda: accepts(self.proxy), 10, "HAProxy")

    def set_kernel(self, percent, *more):
        self.segue("share", "hub", f"{percent}%", *more)

    def set_haproxy(self, percent):
        self.segue("share", "front", f"{percent}%", "--haproxy", self._directory / "admin.sock",
                   "--backend", "hub", "--canary-server", "canary")

    def stop(self):
        for name in ("hub", "hub.canary", "alone"):
            try:
                self.segue("stop", name)
            except (BenchError, subprocess.TimeoutExpired):
                pass  # it had not started


def connect(port, source=None):
    """Which slot answers, and how long it took from connect(2) until its word was there."""
    with socket.socket() as client:
        client.settimeout(CONNECTION_TIMEOUT_S)
        if source is not None:
            client.bind((source, 0))
        begin = time.perf_counter_ns()
        client.connect(("127.0.0.1", port))
        word = client.recv(1)
        return word, time.perf_counter_ns() - begin


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


class Share:
    prefix = "share/"
    kinds = ("kernel-random", "kernel-source", "haproxy")

    def __init__(self, arguments):
        self._connections = QUICK_CONNECTIONS if arguments.quick else CONNECTIONS
        self._max_error = QUICK_MAX_ERROR if arguments.quick else MAX_ERROR
        self._latencies = QUICK_LATENCIES if arguments.quick else LATENCIES
        self._connect_case = f"{self.prefix}connect"

    def steps(self):
        return [(f"{self.prefix}{kind}", self._connections / 1_500) for kind in self.kinds] + [
            (self._connect_case, self._latencies / 800)]

    def run(self, case, report, progress):
        workplace = Workplace("share")
        try:
            place = Place(workplace)
            try:
                if case == self._connect_case:
                    self._measure_latency(place, report, progress)
                else:
                    self._measure_error(place, case, report, progress)
            finally:
                place.stop()
        finally:
            workplace.close()

    def _measure_error(self, place, case, report, progress):
        kind = case.removeprefix(self.prefix)
        sources = random.Random(SEED)
        for number, percent in enumerate(SHARES):
            if kind == "haproxy":
                place.set_haproxy(percent)
            else:
                more = ["--sticky", "source", "--salt", SEED] if kind == "kernel-source" else []
                place.set_kernel(percent, *more)
            port = place.proxy if kind == "haproxy" else place.split
            canary = 0
            for _ in range(self._connections):
                source = None
                if kind == "kernel-source":
                    source = ".".join(["127", *(str(sources.randint(1, 254)) for _ in range(3))])
                canary += connect(port, source)[0] == b"c"
            report.emit(f"{case}-{percent}", {"error": abs(canary / self._connections - percent / 100),
                                              "measured": canary / self._connections})
            progress.within(case, number + 1, len(SHARES))

    def _measure_latency(self, place, report, progress):
        place.set_haproxy(10)
        seen = {"no-split": [], "kernel-random": [], "kernel-source": [], "haproxy": []}
        for done in range(0, self._latencies, ROUND):
            for kind, times in seen.items():
                if kind.startswith("kernel"):
                    place.set_kernel(10, *(["--sticky", "source"] if kind == "kernel-source" else []))
                port = {"no-split": place.plain, "haproxy": place.proxy}.get(kind, place.split)
                times += [connect(port)[1] for _ in range(ROUND)]
            progress.within(self._connect_case, done + ROUND, self._latencies)
        for kind, times in seen.items():
            report.emit(f"{self._connect_case}-{kind}",
                        {"connect_ms_p50": percentile(times, 0.5) / 1e6,
                         "connect_ms_p99": percentile(times, 0.99) / 1e6},
                        peer="haproxy" if kind == "haproxy" else None)

    def judge(self, report):
        for kind in self.kinds:
            for percent in SHARES:
                case = f"{self.prefix}{kind}-{percent}"
                if not report.has(case):
                    continue
                error = report.value(case, "error")
                report.check(case, f"error {error:.4f} over {self._connections:,} connections, "
                                   f"target <= {self._max_error}", error <= self._max_error)

    def print_tables(self, report):
        report.print_table("Share of the canary", self.prefix, {"error": "error", "measured": "measured",
                           "to the first byte, p50 ms": "connect_ms_p50", "p99 ms": "connect_ms_p99"})
