# SPDX-License-Identifier: Apache-2.0
"""Real programs, started and watched; a raw client of the Redis protocol. No sleeps: conditions."""

import contextlib
import fcntl
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import tempfile
import time

# What is waited for comes at once; a busy machine may take long.
DEADLINE_S = 60.0

# Event loops of respkv: one number, or several, separated by commas, for one instance after the
# other.
THREADS = [int(number) for number in os.environ.get("SEGUE_TEST_THREADS", "1").split(",")]


def thread_options(instance=0):
    """The words for the instance of this number; none for one thread, the default."""
    threads = THREADS[instance % len(THREADS)]
    return ["--threads", str(threads)] if threads > 1 else []


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Returns the condition's first true value; fails, saying what was awaited, at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        assert now < end, f"not within {deadline_s} s: {what}"
        # What takes long to ask, such as a program, leaves the processor to what is waited for.
        select.select([], [], [], min(max(0.005, (now - began) / 2), 0.1))


# Below what the kernel gives to outgoing connections: one of those would hold a port by chance.
PORTS = range(10_000, 30_000)
held_ports = []


def free_port():
    """A port that nobody listens on, and that no other test is given while this process lives."""
    locks = pathlib.Path(tempfile.gettempdir(), f"segue-test-ports-{os.getuid()}")
    locks.mkdir(exist_ok=True)
    for port in random.sample(PORTS, 1_000):
        lock = open(locks / str(port), "wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        held_ports.append(lock)
        return port
    raise AssertionError("no free port among 1,000 that were tried")


class Program:
    """A process whose stderr goes to a file."""

    def __init__(self, arguments, log, environment=None):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as stream:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], stdin=subprocess.DEVNULL,
                stdout=stream, stderr=stream, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self, deadline_s=DEADLINE_S):
        return self.process.wait(deadline_s)

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        if self.is_running():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def wait_for_log(self, text, deadline_s=DEADLINE_S):
        def found():
            was_running = self.is_running()  # what it logs as it ends is looked for once more
            logged = text in self.text()
            assert logged or was_running, (
                f"{self.process.args} ended with {self.process.returncode} "
                f"before it logged '{text}':\n{self.text()}")
            return logged
        wait_until(found, f"'{text}' in the log:\n{self.text()}", deadline_s)


class RespError(Exception):
    pass


class RespClient:
    """Sends what it is told, byte for byte, and reads one reply at a time."""

    def __init__(self, address, deadline_s=DEADLINE_S):
        """`address`: a port of 127.0.0.1, (host, port), or the path of a Unix socket."""
        if isinstance(address, (int, tuple)):
            target = address if isinstance(address, tuple) else ("127.0.0.1", address)
            self.socket = socket.create_connection(target, deadline_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(deadline_s)
            self.socket.connect(str(address))
        self.buffer = b""

    @staticmethod
    def encode(*arguments):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in arguments]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def send(self, *arguments):
        self.socket.sendall(self.encode(*arguments))

    def send_bytes(self, data):
        self.socket.sendall(data)

    def __call__(self, *arguments):
        self.send(*arguments)
        return self.read()

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("end of stream")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, size):
        if len(self.buffer) < size:
            parts, have = [self.buffer], len(self.buffer)
            while have < size:
                self.buffer = b""
                self._more()
                parts.append(self.buffer)
                have += len(self.buffer)
            self.buffer = b"".join(parts)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read(self):
        """The next reply; an error reply is returned, not raised."""
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"_" or (kind in b"$*" and rest == b"-1"):
            return None
        if kind == b"$":
            return self._exactly(int(rest) + 2)[:-2]
        if kind in b"*>~":
            items = [self.read() for _ in range(int(rest))]
            return set(items) if kind == b"~" else items
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(rest))}
        raise ValueError(f"unknown reply {line!r}")

    def has_reply(self, within_s=0.0):
        return bool(self.buffer) or bool(select.select([self.socket], [], [], within_s)[0])

    def is_closed(self):
        """True when the peer has ended or reset the connection; bytes that came are kept."""
        while select.select([self.socket], [], [], 0)[0]:
            try:
                self._more()
            except OSError:
                return True
        return False

    def close(self):
        self.socket.close()

    def info(self):
        text = self("INFO").decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Respkv:
    """A service that is handed from one respkv process to the next."""

    def __init__(self, build_dir, directory, port):
        self.build_dir = build_dir
        self.directory = directory
        self.port = port
        self.instances = []
        self.clients = []

    @property
    def current(self):
        return self.instances[-1]

    def spawn(self, version, *options, environment=None):
        # A generous budget: on a busy machine a handoff would be taken back, which is right, but not
        # what these tests ask about.
        program = Program(
            [self.build_dir / f"examples/respkv/respkv-v{version}", "--budget-us", "5000000",
             "--listen", f"tcp:127.0.0.1:{self.port}", *thread_options(len(self.instances)), *options],
            self.directory / f"{len(self.instances)}-v{version}.log",
            {"SEGUE_DIRECTORY": str(self.directory / "segue"), **(environment or {})})
        self.instances.append(program)
        return program

    def start(self, version, *options):
        program = self.spawn(version, *options)
        program.wait_for_log("event=activated")
        return program

    def hand_over(self, version, *options):
        """Returns when the successor serves for good and the predecessor has ended."""
        predecessor = self.current
        successor = self.start(version, *options)
        predecessor.wait_for_log("reason=committed")
        assert predecessor.wait() == 0
        return successor

    def client(self, address=None):
        client = RespClient(address or self.port)
        self.clients.append(client)
        return client

    def stop(self):
        for client in self.clients:
            client.close()
        for program in self.instances:
            program.kill()
