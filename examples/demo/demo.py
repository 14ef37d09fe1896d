#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py BUILD_DIR: upgrades a Redis-speaking server under real clients, and counts what they notice.

respkv runs under the keeper; redis-benchmark loads it without a pause; three redis-cli sessions are
held open: one subscribed, one inside MULTI, one blocked in BLPOP. Meanwhile the server is upgraded
v1 -> v2 -> v3 and taken back once. Ends within two minutes; exit code 0 only if nobody lost anything.
"""

import pathlib
import signal
import socket
import subprocess
import threading
import time

from tools import Failure, Segue, free_port, run_demo, say

LIMIT_S = 110.0
QUIET_S = 4.0          # of the control, before the first upgrade
SETTLE_S = 1.5         # of load between two upgrades
BENCHMARK_CLIENTS = 50


class Session:
    """A redis-cli session held open, typed into through a pipe."""

    def __init__(self, port):
        self.process = subprocess.Popen(
            ["redis-cli", "-p", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines = []
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def type(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def expect(self, text, within_s=10.0):
        deadline = time.monotonic() + within_s
        with self.changed:
            while not any(text in line for line in self.lines):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failure(f"a redis-cli session never saw {text!r}; it saw {self.lines}")
                self.changed.wait(left)

    def close(self):
        self.process.kill()
        self.process.wait()


class Prober(threading.Thread):
    """One connection that increments a counter every millisecond and remembers how long it took."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.phase = "control"
        self.worst_ms = {"control": 0.0, "upgrades": 0.0}
        self.count = 0
        self.errors = []
        self.stopping = threading.Event()

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not self.stopping.wait(0.001):
                    self.probe(connection)
        except OSError as error:
            self.errors.append(str(error))

    def probe(self, connection):
        phase, started = self.phase, time.monotonic()
        connection.sendall(b"INCR demo:probe\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            part = connection.recv(64)
            if not part:
                raise OSError("the server closed the connection")
            answer += part
        took_ms = (time.monotonic() - started) * 1000
        self.worst_ms[phase] = max(self.worst_ms[phase], took_ms)
        self.count += 1
        if answer != f":{self.count}\r\n".encode():
            self.errors.append(f"increment {self.count} was answered {answer!r}")


def ask(port, *words):
    run = subprocess.run(["redis-cli", "-p", str(port), *words], text=True, check=True,
                         stdout=subprocess.PIPE, timeout=10)
    return run.stdout.strip()


def info(port):
    pairs = (line.split(":", 1) for line in ask(port, "INFO").splitlines() if ":" in line)
    return {key: value.strip() for key, value in pairs}


class Demo:
    def __init__(self, build, home):
        self.build = build
        self.port = free_port()
        self.segue = Segue(build, home)
        self.rows = []
        self.started = time.monotonic()
        self.sessions = {}
        self.benchmark = None

    def program(self, version):
        return self.build / f"examples/respkv/respkv-v{version}"

    def run(self):
        listen = f"tcp:127.0.0.1:{self.port}"
        say(f"starting respkv v1 under the keeper, port {self.port}")
        self.segue.call("run", "demo", "--json", "--", self.program(1), "--listen", listen)
        self.open_sessions()
        self.benchmark = subprocess.Popen(
            ["redis-benchmark", "-p", str(self.port), "-c", str(BENCHMARK_CLIENTS), "-n", "100000000",
             "-r", "10000", "-t", "set,get,incr,lpush,hset", "-q"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        prober = Prober(self.port)
        prober.start()
        say(f"control: {QUIET_S:.0f} s of load without an upgrade")
        self.load_for(QUIET_S)
        prober.phase = "upgrades"
        pids = [info(self.port)["process_id"]]
        for step, version in (("v1 -> v2", 2), ("v2 -> v3", 3), ("undo to v2", None)):
            self.hand_over(step, version, listen)
            pids.append(info(self.port)["process_id"])
            self.load_for(SETTLE_S)
        prober.stopping.set()
        prober.join()
        served = info(self.port)
        self.finish_sessions()
        return self.report(prober, served, pids)

    def load_for(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if time.monotonic() - self.started > LIMIT_S:
                raise Failure(f"the demo did not end within {LIMIT_S:.0f} s")
            try:
                self.benchmark.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise Failure(f"redis-benchmark lost the server: {self.benchmark.stderr.read().strip()}")

    def hand_over(self, step, version, listen):
        if version is None:
            result = self.segue.call("undo", "demo", "--json")
        else:
            result = self.segue.call("upgrade", "demo", "--json", "--probation-s", "1", "--",
                                     self.program(version), "--listen", listen)
        attempt = result.get("attempt", result)
        blackout_ms = attempt["blackout_ns"] / 1e6
        say(f"{step}: blackout {blackout_ms:.3f} ms, {attempt['connections']} connections")
        self.rows.append((step, blackout_ms, attempt["connections"], attempt["rounds"]))

    def open_sessions(self):
        names = ("subscribed", "in MULTI", "blocked")
        self.sessions = {name: Session(self.port) for name in names}
        self.sessions["subscribed"].type("SUBSCRIBE news")
        self.sessions["subscribed"].expect("subscribe")
        for line, answer in (("MULTI", "OK"), ("INCR demo:queued", "QUEUED"),
                             ("SET demo:note held", "QUEUED")):
            self.sessions["in MULTI"].type(line)
            self.sessions["in MULTI"].expect(answer)
        self.sessions["blocked"].type("BLPOP demo:queue 0")

    def finish_sessions(self):
        """Each session gets what it waited for through three handoffs."""
        ask(self.port, "PUBLISH", "news", "still-here")
        self.sessions["subscribed"].expect("still-here")
        self.sessions["in MULTI"].type("EXEC")
        self.sessions["in MULTI"].expect("1")
        if ask(self.port, "GET", "demo:note") != "held":
            raise Failure("the transaction that was open through the upgrades did not take effect")
        ask(self.port, "RPUSH", "demo:queue", "job")
        self.sessions["blocked"].expect("job")

    def old_processes(self, pids):
        return sum(pathlib.Path(f"/proc/{pid}").exists() for pid in set(pids[:-1]) - {pids[-1]})

    def report(self, prober, served, pids):
        lost = sum(session.process.poll() is not None for session in self.sessions.values())
        lost += self.benchmark.poll() is not None
        errors = len(prober.errors)
        old = self.old_processes(pids)
        print()
        print(f"{'handoff':<12} {'blackout':>12} {'connections':>12} {'rounds':>7}")
        for step, blackout_ms, connections, rounds in self.rows:
            print(f"{step:<12} {blackout_ms:>9.3f} ms {connections:>12,} {rounds:>7}")
        print()
        facts = (
            ("commands served", f"{int(served['total_commands_processed']):,}"),
            ("errors", f"{errors}"),
            ("connections lost", f"{lost}"),
            ("worst stall, upgrades", f"{prober.worst_ms['upgrades']:.1f} ms"),
            ("worst stall, control", f"{prober.worst_ms['control']:.1f} ms"),
            ("old processes left", f"{old}"),
            ("held sessions", "subscribed, in MULTI, blocked in BLPOP: all answered"),
        )
        for name, value in facts:
            print(f"{name:<24} {value}")
        for error in prober.errors:
            say(f"error: {error}")
        return 0 if errors == lost == old == 0 else 1

    def clean_up(self):
        for session in self.sessions.values():
            session.close()
        if self.benchmark is not None and self.benchmark.poll() is None:
            self.benchmark.send_signal(signal.SIGKILL)
            self.benchmark.wait()
        self.segue.call("stop", "demo", "--json", check=False)


if __name__ == "__main__":
    run_demo(__doc__, Demo)
