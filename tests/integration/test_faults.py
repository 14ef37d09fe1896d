# SPDX-License-Identifier: Apache-2.0
"""Every row of faults.tsv: a fault strikes one process in one state of an upgrade under load.

Outcomes
  upgraded   the successor serves; every client was answered, nothing is lost
  kept       the predecessor goes on; every client was answered, nothing is lost
  undone     handed back to the previous version; every client was answered, nothing is lost
  restarted  the predecessor died before it had handed over, or ends because its successor did in
             probation: the keeper starts its program again, as it would without an upgrade; clients
             connect again, none is refused, the state is gone
  re-adopted the two instances finish the upgrade without the keeper, which was killed; the next
             keeper finds them, writes down what it came to, and manages them; nothing is lost
  replayed   the successor died or hung in probation: the predecessor has done again what it did;
             every client was answered, nothing is lost
  reclaimed  the successor died or hung in probation: the predecessor goes on from its freeze;
             what was acknowledged in between may be gone, connections used in between are closed
  resumed    likewise, with the heap as the successor left it: nothing that was acknowledged is
             gone, connections used in between are closed
Everywhere: at most one process serves at any time, and one does within the deadline.
The keeper stands outside the blackout, so its word may come too late there: a|b|c allows each.
SEGUE_FAULTS=victim or victim:state:fault runs these rows only, SEGUE_FAULTS=kills those in which a
predecessor or successor is killed; SEGUE_SEED repeats a run's load; SEGUE_TEST_THREADS: see support.py.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import threading

import pytest

from keeper_tools import is_alive, is_stopped, send_signal
from support import DEADLINE_S, RespClient, thread_options, wait_until

TABLE = pathlib.Path(__file__).with_name("faults.tsv")
# Where an instance stops, every bound has to end within the test's own; elsewhere none may be reached,
# however busy the machine is.
TIGHT = ("--answer-ms", "700", "--hang-ms", "600", "--rehearsal-ms", "1000",
         "--background-ms", "1000", "--probation-s", "0.3", "--budget-ms", "100")
WIDE = ("--answer-ms", "5000", "--hang-ms", "5000", "--rehearsal-ms", "10000",
        "--background-ms", "10000", "--probation-s", "0.3", "--budget-ms", "500")
CLIENTS = 4
NOTHING_LOST = ("upgraded", "kept", "undone", "re-adopted", "replayed")
SERVING_VERSION = {"upgraded": "2", "re-adopted": "2", "kept": "1", "undone": "1", "restarted": "1",
                   "reclaimed": "1", "replayed": "1", "resumed": "1"}


def columns(line):
    return (*line[:4], line[4] if len(line) > 4 else "replay")


def rows():
    lines = [line.split("\t") for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    only = os.environ.get("SEGUE_FAULTS")
    if only == "kills":
        # heapkv goes on from its arenas with one event loop only.
        return [columns(line) for line in lines if line[1] != "keeper" and line[2] == "kill"
                and line[3] != "resumed"]
    return [columns(line) for line in lines
            if only in (None, line[1], f"{line[1]}:{line[0]}:{line[2]}")]


class Load(threading.Thread):
    """One client that increments a key of its own and knows what every answer has to be."""

    def __init__(self, port, number, seed):
        super().__init__(daemon=True)
        self.port, self.key = port, f"client:{number}"
        self.random = random.Random(seed * 1000 + number)
        self.acknowledged = 0
        self.answers_since_mark = 0
        self.wrong, self.broken = [], 0
        self.gone, self.refused, self.unanswered = 0, 0, False
        self.servers = []  # process ids in the order in which they answered
        self.stopping = threading.Event()

    def run(self):
        client = None
        while not self.stopping.is_set():
            try:
                client = client or RespClient(self.port, DEADLINE_S)
                self.step(client)
            except OSError as error:
                self.broken += 1
                self.refused += isinstance(error, ConnectionRefusedError)
                client = None
                self.unanswered = True
                self.stopping.wait(0.01)

    def step(self, client):
        if self.random.random() < 0.2:
            server = int(client.info()["process_id"])
            if not self.servers or self.servers[-1] != server:
                self.servers.append(server)
            return
        answer = client("INCR", self.key)
        if answer != self.acknowledged + 1:
            self.wrong.append((self.acknowledged, answer))
            # One that was not answered may have been executed, once.
            self.gone += not (self.unanswered and answer == self.acknowledged + 2)
        self.unanswered = False
        self.acknowledged = answer if isinstance(answer, int) else self.acknowledged
        self.answers_since_mark += 1


class Rig:
    """A component under a keeper of its own, and a load on it."""

    def __init__(self, build_dir, directory, port, seed):
        self.build_dir, self.port = build_dir, port
        self.on_crash = "replay"
        self.bounds = WIDE
        self.program = build_dir / "src/cli/segue"
        self.environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(directory / "r"),
                                SEGUE_STATE_DIR=str(directory / "s"))
        self.loads = [Load(port, number, seed) for number in range(CLIENTS)]
        self.pids = set()

    def service(self, version):
        if self.on_crash == "arenas":
            # Of one form, so that both have the same heap: they differ in name.
            return [str(self.build_dir / "examples/heapkv/heapkv-v1"), "--listen",
                    f"tcp:127.0.0.1:{self.port}", "--on-crash", "arenas", "--label", str(version)]
        return [str(self.build_dir / f"examples/respkv/respkv-v{version}"),
                "--listen", f"tcp:127.0.0.1:{self.port}", "--on-crash", self.on_crash,
                *thread_options(version - 1)]

    def start_segue(self, *words):
        return subprocess.Popen([str(self.program), *words], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def segue(self, *words):
        process = self.start_segue(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def status(self):
        code, out, _ = self.segue("status", "svc", "--json")
        if code != 0:
            return {}
        answer = json.loads(out.splitlines()[-1])
        status = answer.get("status", answer)
        self.pids.update(instance["pid"] for instance in status["instances"])
        self.pids.add(status["keeper_pid"])
        return status

    def run(self, run_options=(), environment=()):
        variables = [word for pair in environment for word in ("--env", pair)]
        code, out, err = self.segue("run", "svc", "--json", *run_options, *variables, "--",
                                    *self.service(1))
        assert code == 0, out + err
        self.status()
        for load in self.loads:
            load.start()

    def upgrade(self, environment=()):
        variables = [word for pair in environment for word in ("--env", pair)]
        return self.start_segue("upgrade", "svc", "--json", *self.bounds, *variables, "--",
                                *self.service(2))

    def stopped_processes(self):
        """Those of ours that a fault has stopped."""
        pids = set(self.pids)
        for pid in list(pids):
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                pids.update(int(child) for child in children.read_text().split())
        self.pids = pids
        return [pid for pid in pids if is_stopped(pid)]

    def answered_by_one(self):
        """The process that answers new clients, once the same one answers twice."""
        try:
            version = "version" if self.on_crash == "arenas" else "respkv_version"
            answers = {tuple(RespClient(self.port, 2.0).info()[name]
                             for name in ("process_id", version)) for _ in range(2)}
        except OSError:
            return None
        return answers.pop() if len(answers) == 1 else None

    def stop(self):
        for load in self.loads:
            load.stopping.set()
        for load in self.loads:
            if load.is_alive():
                load.join(DEADLINE_S)
        self.stopped_processes()
        self.segue("stop", "svc", "--json")
        self.pids.update(self.listeners())  # a dead keeper told nobody of its last instance
        for pid in self.pids:
            if is_alive(pid):
                send_signal(pid, signal.SIGKILL)

    def listeners(self):
        """Processes that were started to listen at this rig's port."""
        mark = f"tcp:127.0.0.1:{self.port}".encode()
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "cmdline").read_bytes().split(b"\0"):
                    yield int(folder.name)
            except OSError:
                continue  # it has ended


@pytest.fixture
def rig(build_dir, short_dir, free_port):
    seed = int(os.environ.get("SEGUE_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"SEGUE_SEED={seed}")
    rig = Rig(build_dir, short_dir, free_port, seed)
    yield rig
    rig.stop()


def strike(rig, state, victim, fault):
    """Starts the component and an upgrade in which the fault strikes; returns the upgrade."""
    instance_fault = (f"SEGUE_UNSAFE_FAULT={victim}:{state}:{fault}",)
    if victim == "keeper":
        rig.run(run_options=("--unsafe-fault", f"{state}:{fault}"))
        return rig.upgrade()
    rig.run(environment=instance_fault if victim == "predecessor" else ())
    return rig.upgrade(environment=instance_fault if victim == "successor" else ())


def wait_for_end(rig, upgrade, fault):
    """Continues what the fault stopped once all deadlines have passed, and awaits the upgrade."""
    try:
        upgrade.wait(8.0 if fault == "stop" else 30.0)
    except subprocess.TimeoutExpired:
        for pid in rig.stopped_processes():
            send_signal(pid, signal.SIGCONT)
        upgrade.wait(30.0)
    for pid in rig.stopped_processes():
        send_signal(pid, signal.SIGCONT)


@pytest.mark.parametrize("state, victim, fault, outcome, on_crash", rows())
def test_outcome(rig, state, victim, fault, outcome, on_crash):
    rig.on_crash = on_crash
    rig.bounds = TIGHT if fault == "stop" and victim != "keeper" else WIDE
    upgrade = strike(rig, state, victim, fault)
    wait_for_end(rig, upgrade, fault)
    text = upgrade.stdout.read() + upgrade.stderr.read()
    if outcome == "re-adopted":
        code, out, err = rig.segue("keeper", "start", "svc", "--json")
        # A phase that is over in no time is not seen by a keeper: then the fault did not strike.
        assert code == 0 or "runs already" in out, out + err

    outcomes = outcome.split("|")
    versions = {SERVING_VERSION[name] for name in outcomes}
    served = []

    def settled():
        answer = rig.answered_by_one()
        if answer is not None and answer[1] in versions:
            served[:] = [answer]
        return bool(served)

    wait_until(settled, f"version {versions} serves; segue said: {text}")
    for load in rig.loads:
        load.answers_since_mark = 0
    wait_until(lambda: all(load.answers_since_mark > 5 for load in rig.loads),
               f"every client is answered again; segue said: {text}")
    for load in rig.loads:
        load.stopping.set()
    for load in rig.loads:
        load.join(DEADLINE_S)

    servers = max((load.servers for load in rig.loads), key=len)
    returns = len(servers) - len(set(servers))
    if set(outcomes) <= set(NOTHING_LOST):
        assert [load.broken for load in rig.loads] == [0] * CLIENTS, text
        assert [load.wrong for load in rig.loads] == [[]] * CLIENTS, text
        # A successor that has answered may be followed by its predecessor where that replays.
        assert returns <= (1 if outcomes == ["replayed"] else 0), f"{servers}: a process served again after another had"
    if outcome in ("resumed", "restarted"):
        assert [load.refused for load in rig.loads] == [0] * CLIENTS, text
    if outcome == "resumed":
        assert [load.gone for load in rig.loads] == [0] * CLIENTS, text
    client = RespClient(rig.port)
    for load in rig.loads:
        assert int(client("GET", load.key) or 0) == load.acknowledged, text
    if victim != "keeper" or outcome == "re-adopted":
        status = wait_until(lambda: settled_status(rig), f"the keeper comes to rest: {rig.status()}")
        assert status["pid"] == int(served[0][0])
    if outcome == "re-adopted":
        _, out, _ = rig.segue("history", "svc", "--json")
        assert [(past["outcome"], past["to"]) for past in json.loads(out)["history"]] == [("done", "2")]


def settled_status(rig):
    status = rig.status()
    return status if status.get("attempt") is None and status.get("old_processes") == 0 else None
