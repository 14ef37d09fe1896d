# SPDX-License-Identifier: Apache-2.0
"""`agents/…`: what an agent costs its server, and how long a command takes to reach all of them."""

import json
import os
import pathlib
import queue
import ssl
import subprocess
import threading
import time
import urllib.request

from harness.process import BenchError, Workplace, free_port, raise_descriptor_limit, wait_until
from harness.programs import find_program

HEARTBEAT_S = 5
AGENTS_OF_RELAY = 1_000
COMMANDS = 20
MAX_KIB = {"relays": 16, "process": 16, "direct": 160}  # per agent
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S, JOIN_TIMEOUT_S, COMMAND_TIMEOUT_S, ROLLOUT_TIMEOUT_S = 30, 600, 120, 600
SERVICE = {
    "service": "bench",
    "components": {"hub": {
        "release": {"library": "/nowhere", "version": "1"}, "command": ["bin/hub"],
        "upgrade": "libsegue", "health": {"tcp": "127.0.0.1:1"},
        "rollout": {"strategy": "all-at-once", "bake": "0s", "late_watch": "0s"}}}}


class Measured:
    """A process, and what it takes."""

    def __init__(self, process):
        self._pid = process.pid

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self._pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))

    def cpu_s(self):
        text = pathlib.Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii")
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S


class Relay(Measured):
    """`segue relay agents`."""

    def __init__(self, workplace, server):
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(workplace.start(
            [find_program("segue"), "relay", "agents", "--name", "real-relay", "--listen", self.address,
             "--max-agents", "15000", "--state", str(workplace.directory / "relay"), "--join",
             server.token(1, relay=True)]))
        wait_until(lambda: "carries agents" in workplace.output(), START_TIMEOUT_S, "the relay")


class Server(Measured):
    """`segue server` of the release build, with a store on disk unless another is named."""

    def __init__(self, workplace, *more):
        self._directory = workplace.directory
        self.state = self._directory / "server"
        self._environment = dict(os.environ, SEGUE_PROFILE=str(self.state / "admin.json"),
                                 SEGUE_STATE_DIR=str(self._directory / "state"),
                                 SEGUE_RUNTIME_DIR=str(self._directory / "runtime"))
        raise_descriptor_limit()
        super().__init__(workplace.start(
            [find_program("segue"), "server", "--state", str(self.state), "--advertise", "127.0.0.1",
             "--agents", f"127.0.0.1:{free_port()}", "--listen", f"127.0.0.1:{free_port()}", *more],
            env=self._environment))
        wait_until(lambda: "leads fleet" in workplace.output(), START_TIMEOUT_S,
                   f"the server: {workplace.output_tail()}")
        self._profile = json.loads((self.state / "admin.json").read_text())
        self._context = ssl.create_default_context(cadata=self._profile["authority"])

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self._profile["url"] + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._profile['token']}"})
        with urllib.request.urlopen(request, timeout=COMMAND_TIMEOUT_S,
                                    context=self._context) as answer:
            return json.loads(answer.read())

    def token(self, uses, relay=False):
        return self.ask("POST", "/v1/tokens", {"site": "bench", "uses": uses, "relay": relay})["token"]

    def deploy(self):
        file = self._directory / "segue.yaml"
        file.write_text(json.dumps(SERVICE), encoding="ascii")
        done = subprocess.run([find_program("segue"), "deploy", str(file), "--json"], check=False,
                              capture_output=True, text=True, env=self._environment,
                              timeout=COMMAND_TIMEOUT_S)
        if done.returncode != 0:
            raise BenchError(f"segue deploy ended with {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])["rollouts"][0]["rollout"]


class Agents:
    """bench_agents, and what it says."""

    def __init__(self, server, count, relays=0, through=None, *more):
        words = [find_program("bench_agents"), "--agents", str(count), "--relays", str(relays),
                 "--token", server.token(count)]
        if through:
            words += ["--through", through.address]
        words += more
        if relays:
            words += ["--relay-token", server.token(relays, relay=True)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)
        self._said = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put({"event": "end", "why": self._process.stderr.read()})

    def hear(self, event, timeout_s, after_ns=0, **wanted):
        """The next one of that name, all of which is later than `after_ns`, and that is as wanted."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                said = self._said.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise BenchError(f"'{event}': not within {timeout_s} s") from None
            if said["event"] in ("end", "ended", "refused"):
                raise BenchError(f"the agents end: {said}")
            is_late = said.get("first_ns", after_ns) >= after_ns
            if said["event"] == event and is_late and wanted.items() <= said.items():
                return said

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class AgentsAtServer:
    prefix = "agents/"

    def __init__(self, arguments):
        self._heartbeats = 1 if arguments.quick else 6
        counts = {"relays": (1_000,) if arguments.quick else (100, 1_000, 10_000),
                  "direct": () if arguments.quick else (100, 1_000),
                  "process": () if arguments.quick else (1_000,)}
        self._cases = {f"{self.prefix}{way}-{count}": (way, count)
                       for way, all_counts in counts.items() for count in all_counts}
        self._rss_kib = {}  # {(way, count): of the server, with them}

    def steps(self):
        return [(case, 20 + count / 50 + self._heartbeats * HEARTBEAT_S) for case, (_, count) in self._cases.items()]

    def run(self, case, report, _progress):
        way, count = self._cases[case]
        workplace = Workplace("agents")
        try:
            server = Server(workplace)
            relays = -(-count // AGENTS_OF_RELAY) if way == "relays" else 0
            relay = Relay(workplace, server) if way == "process" else None
            empty_kib = server.rss_kib()
            relay_kib = relay.rss_kib() if relay else 0
            begun = time.monotonic()
            agents = Agents(server, count, relays, relay)
            try:
                agents.hear("joined", JOIN_TIMEOUT_S)
                report.emit(case, {"joins_per_s": count / (time.monotonic() - begun)})
                agents.hear("attached", JOIN_TIMEOUT_S)
                self._roll_out(server, case, report)
                self._beat({"": server, "relay_": relay}, case, report, count)
                rss_kib = self._rss_kib[way, count] = server.rss_kib()
                report.emit(case, {"rss_per_agent_kib": (rss_kib - empty_kib) / count})
                if relay:
                    report.emit(case, {"relay_rss_per_agent_kib": (relay.rss_kib() - relay_kib) / count})
                self._command(server, agents, case, report)
            finally:
                agents.close()
        finally:
            workplace.close()
        few = self._rss_kib.get((way, 100))
        if count > 100 and few is not None:
            report.emit(case, {"rss_growth_kib": (rss_kib - few) / (count - 100)})

    @staticmethod
    def _roll_out(server, case, report):
        begun = time.monotonic()
        rollout = server.deploy()
        wait_until(lambda: server.ask("GET", f"/v1/rollouts/{rollout}")["phase"] == "done" or
                   time.sleep(0.05), ROLLOUT_TIMEOUT_S, f"the end of {rollout}")
        report.emit(case, {"rollout_s": time.monotonic() - begun})

    def _beat(self, processes, case, report, count):
        """Nothing but heartbeats."""
        measured = {word: process for word, process in processes.items() if process}
        time.sleep(HEARTBEAT_S)
        begun, before = time.monotonic(), {word: one.cpu_s() for word, one in measured.items()}
        time.sleep(self._heartbeats * HEARTBEAT_S)
        beats = count * (time.monotonic() - begun) / HEARTBEAT_S
        for word, one in measured.items():
            report.emit(case, {f"{word}cpu_us_per_heartbeat":
                               (one.cpu_s() - before[word]) / beats * 1e6})

    @staticmethod
    def _command(server, agents, case, report):
        """A word that concerns every host, again and again: from its being said to the last host."""
        last_ms, each_ms = [], []
        for i in range(COMMANDS):
            begun_ns = time.monotonic_ns()
            server.ask("POST", "/v1/stop", {"on": i % 2 == 0})
            told = agents.hear("told", COMMAND_TIMEOUT_S, begun_ns)
            last_ms.append((told["last_ns"] - begun_ns) / 1e6)
            each_ms.append((told["median_ns"] - begun_ns) / 1e6)
        last_ms.sort()
        each_ms.sort()
        report.emit(case, {"command_ms_median_host": each_ms[len(each_ms) // 2]})
        report.emit(case, {"command_ms_last_host_p50": last_ms[len(last_ms) // 2]})
        report.emit(case, {"command_ms_last_host_p99": last_ms[-1]})

    def judge(self, report):
        for case, (way, count) in self._cases.items():
            value = report.value(case, "rss_per_agent_kib")
            # With few of them what the server needs once is most of it.
            if value is not None and count >= 1_000:
                report.check(case, f"{value:.1f} KiB of memory per agent, target <= {MAX_KIB[way]}",
                             value <= MAX_KIB[way])

    def print_tables(self, _report):
        """The targets say it all."""
