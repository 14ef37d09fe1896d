# SPDX-License-Identifier: Apache-2.0
"""segue, segue-keeper and the counter service, driven as a person would drive them."""

import json
import os
import pathlib
import signal
import socket
import subprocess

from support import DEADLINE_S, free_port, wait_until

DONE, FAILED, USAGE, UNDONE, REFUSED, UNKNOWN = range(6)

# What a busy machine takes back is right, but only tests of the budget ask about it; they say their own.
GENEROUS = ("--budget-ms", "5000")
HANDOFFS = ("upgrade", "undo", "rehearse")


class Answer:
    """What a command of segue came to."""

    def __init__(self, exit_code, out, err):
        self.exit, self.out, self.err = exit_code, out, err
        lines = [line for line in out.splitlines() if line.startswith("{")]
        self.lines = [json.loads(line) for line in lines]
        self.last = self.lines[-1] if lines else {}

    @property
    def text(self):
        return self.last.get("text", "")

    @property
    def attempt(self):
        return self.last.get("attempt", {})

    def __repr__(self):
        return f"exit {self.exit}\n{self.out}\n{self.err}"


class Segue:
    """A user's segue, with directories of its own."""

    def __init__(self, build_dir, directory):
        self.build_dir, self.directory = build_dir, pathlib.Path(directory)
        self.program = build_dir / "src/cli/segue"
        self.counter = build_dir / "tests/services/counter"
        self.runtime, self.state = self.directory / "r", self.directory / "s"
        self.environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(self.runtime),
                                SEGUE_STATE_DIR=str(self.state))
        self.pids = set()

    def start(self, *words, **options):
        """A handoff has a generous budget unless the words say one."""
        if words[0] in HANDOFFS and not any(str(word).startswith("--budget") for word in words):
            words = (words[0], *GENEROUS, *words[1:])
        return subprocess.Popen([str(self.program), *map(str, words)], env=self.environment,
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def plain(self, *words, deadline_s=60, **options):
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=deadline_s)
        return Answer(process.returncode, out, err)

    def __call__(self, command, name, *words, **options):
        """With --json; the words that follow may hold a program."""
        return self.plain(command, "--json", *before_program(words), name, *from_program(words),
                          **options)

    def status(self, name):
        status = self("status", name).last.get("status", {})
        self.pids.update(entry["pid"] for entry in status.get("instances", []))
        self.pids.add(status.get("keeper_pid", 0))
        return status

    def events(self, name):
        return [event["event"] for event in self("events", name).lines if "event" in event]

    def finish(self):
        """Stops everything, also what lost its keeper."""
        for name in sorted(os.listdir(self.runtime)) if self.runtime.exists() else []:
            self.status(name)
            for pid in self.pids:
                send_signal(pid, signal.SIGCONT)
            self("stop", name)
            self.pids.update(self.left_instances(name))
        for pid in self.pids:
            send_signal(pid, signal.SIGKILL)

    def left_instances(self, name):
        path = self.runtime / name / "instances"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines]


def before_program(words):
    return words[:words.index("--")] if "--" in words else words


def from_program(words):
    return words[words.index("--"):] if "--" in words else ()


def send_signal(pid, number):
    if pid <= 1:
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def state_of(pid):
    """As in proc(5); "Z" also for one that is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def is_alive(pid):
    return state_of(pid) != "Z"


def is_stopped(pid):
    return state_of(pid) == "T"


def kill_keeper(component):
    """Of a Component or a Program; returns the status from before."""
    status = component.status()
    send_signal(status["keeper_pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(status["keeper_pid"]), "the keeper is dead")
    return status


def start_keeper(component):
    return component.segue.plain("keeper", "start", "--json", component.name)


def program_of(pid):
    return os.readlink(f"/proc/{pid}/exe")


class CounterClient:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.stream = self.socket.makefile("r")

    def send(self, text):
        self.socket.sendall(text.encode())

    def read(self):
        line = self.stream.readline()
        if not line:
            raise ConnectionError("end of stream")
        return line.strip()

    def __call__(self, line):
        self.send(line + "\n")
        return self.read()

    def close(self):
        self.stream.close()
        self.socket.close()

    def version(self):
        return self("WHO").split()[0]

    def pid(self):
        return int(self("WHO").split()[1])


class Component:
    """The counter service under a keeper."""

    def __init__(self, segue, name="c"):
        self.segue, self.name, self.port = segue, name, free_port()

    def program(self, version, *misbehaviour, more=()):
        words = [self.segue.counter, "--listen", f"tcp:127.0.0.1:{self.port}", "--version", version]
        for kind in misbehaviour:
            words += ["--misbehave", kind]
        return ["--", *words, *more]

    def run(self, *options, version="1", misbehaviour=()):
        answer = self.segue("run", self.name, *options, *self.program(version, *misbehaviour))
        self.status()
        return answer

    def upgrade(self, version, *options, misbehaviour=(), more=(), command="upgrade"):
        answer = self.segue(command, self.name, *options,
                            *self.program(version, *misbehaviour, more=more))
        self.status()
        return answer

    def start_upgrade(self, version, *options, misbehaviour=(), more=()):
        return self.segue.start("upgrade", "--json", *options, self.name,
                                *self.program(version, *misbehaviour, more=more))

    def status(self):
        return self.segue.status(self.name)

    def wait_for_phase(self, *phases):
        def found():
            status = self.status()
            return status if status.get("phase") in phases else None
        return wait_until(found, f"{self.name} is in {phases}; it is {self.status()}")

    def client(self):
        return CounterClient(self.port)
