# SPDX-License-Identifier: Apache-2.0
"""Programs in other languages, on the level 1 protocol, upgraded live under 1,000 connections."""

import pathlib
import signal
import socket
import threading

import pytest

from keeper_tools import DONE, REFUSED, Segue, is_alive, send_signal
from support import DEADLINE_S, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONNECTIONS = 1000
HALF_LINES = 50


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.stream = self.socket.makefile("rb")
        self.lines = 0

    def send(self, text):
        self.socket.sendall(text.encode())

    def read(self):
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError(f"end of stream after {line!r}")
        return line.decode().rstrip("\n")

    def check(self, text):
        """One line there and back, counted by the server across all its versions."""
        self.send(text + "\n")
        self.expect(text)

    def expect(self, text):
        self.lines += 1
        answer = self.read()
        assert answer == f"{self.lines} {text}", (answer, self.lines, text)

    def who(self):
        self.send("who\n")
        self.lines += 1
        version, pid, total = self.read().split()
        return version, int(pid), int(total)


class Load:
    """Asks one connection after the other until it is stopped; an error ends it and is kept."""

    def __init__(self, clients):
        self.clients, self.error, self.rounds = clients, None, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                for number, client in enumerate(self.clients):
                    client.check(f"hello {number}")
                self.rounds += 1
        except Exception as error:  # told to the main thread
            self.error = error

    def wait_for_rounds(self, count):
        wanted = self.rounds + count
        wait_until(lambda: self.error or self.rounds >= wanted, f"{count} rounds of requests", 60)
        assert self.error is None, repr(self.error)

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert self.error is None, repr(self.error)


@pytest.fixture
def segue(build_dir, short_dir):
    tool = Segue(build_dir, short_dir)
    yield tool
    tool.finish()


@pytest.fixture(params=["python", "go"])
def program(request, build_dir, free_port):
    bridge = [build_dir / "src/level1/segue-level1", "--freeze-ms=100", "--"]
    listen = f"tcp:127.0.0.1:{free_port}"

    def words(version, *options):
        if request.param == "python":
            return [*bridge, "/usr/bin/python3", "-B", ROOT / "examples/level1/python/echo.py",
                    "--listen", listen, "--version", version, *options]
        return [*bridge, build_dir / "examples/level1/echo-go", "-listen", listen, "-version",
                version, *options]

    words.port, words.language = free_port, request.param
    return words


def upgrade(segue, words, *options):
    return segue("upgrade", "echo", "--probation-s", "0.1", *options, "--",
                 *words)


def test_upgraded_and_undone_live_under_a_thousand_connections(segue, program):
    answer = segue("run", "echo", "--", *program("one"))
    assert answer.exit == DONE, answer
    clients = [Client(program.port) for _ in range(CONNECTIONS)]
    halves = [Client(program.port) for _ in range(HALF_LINES)]
    load = Load(clients)
    load.wait_for_rounds(1)
    for client in halves:
        client.send("half a ")
    old_pids = {Client(program.port).who()[1]}
    for version in ("two", "three"):
        answer = upgrade(segue, program(version))
        assert answer.exit == DONE, answer
        load.wait_for_rounds(1)
        now, pid, _ = Client(program.port).who()
        assert now == version
        old_pids.add(pid)
    answer = segue("undo", "echo", "--probation-s", "0.1")
    assert answer.exit == DONE, answer
    load.wait_for_rounds(1)
    load.stop()
    for client in halves:
        client.send("line\n")
        client.expect("half a line")
    version, pid, total = Client(program.port).who()
    assert version == "two"
    assert total >= sum(client.lines for client in clients + halves)
    assert pid not in old_pids
    wait_until(lambda: not any(map(is_alive, old_pids)), "no old program is left")
    assert segue("stop", "echo").exit == DONE
    wait_until(lambda: not is_alive(pid), "the program has ended")


def test_predecessor_goes_on_only_when_the_successor_s_program_is_dead(segue, program):
    assert segue("run", "echo", "--", *program("one")).exit == DONE
    client = Client(program.port)
    old = client.who()[1]
    attempt = segue.start("upgrade", "--json", "--probation-s", "60", "echo",
                          "--", *program("two"))
    wait_until(lambda: segue.status("echo").get("phase") == "probation", "probation", 60)
    version, new, _ = Client(program.port).who()
    assert version == "two"
    bridges = [entry["pid"] for entry in segue.status("echo")["instances"]
               if entry["role"] == "serving"]
    assert len(bridges) == 1
    send_signal(bridges[0], signal.SIGKILL)
    answers = set()  # until it is dead the successor's program may answer, and nobody else does

    def predecessor_answers():
        try:
            answers.add(Client(program.port).who()[:2])
        except OSError:
            return False
        return ("one", old) in answers

    wait_until(predecessor_answers, "the predecessor goes on")
    # The kernel closes its descriptors, the fence among them, a moment before it is gone.
    wait_until(lambda: not is_alive(new), "the successor's program ends")
    assert answers <= {("one", old), ("two", new)}
    with pytest.raises(OSError):  # closed, not left silent: its state is that of the freeze
        client.who()
    attempt.communicate(timeout=60)
    assert attempt.returncode != DONE


def test_forms_that_do_not_meet_are_refused_by_name(segue, program):
    if program.language != "python":
        pytest.skip("one language is enough: libsegue compares the forms")
    assert segue("run", "echo", "--", *program("one")).exit == DONE
    client = Client(program.port)
    client.check("before")
    answer = upgrade(segue, program("two", "--form", "3", "--oldest", "2"))
    assert answer.exit == REFUSED, answer
    assert "echo" in answer.text and "version" in answer.text
    client.check("after")


def test_state_is_written_in_the_version_that_the_other_side_reads(segue, program):
    if program.language != "python":
        pytest.skip("the Go example has one version of its form")
    assert segue("run", "echo", "--", *program("one")).exit == DONE
    client = Client(program.port)
    client.check("first")
    assert upgrade(segue, program("two", "--form", "2")).exit == DONE
    client.check("second")
    assert segue("undo", "echo", "--probation-s", "0.1").exit == DONE
    client.check("third")
    assert client.who()[0] == "one"


def test_a_program_that_does_not_speak_level_1_is_said_so(segue, build_dir):
    answer = segue("run", "echo", "--", build_dir / "src/level1/segue-level1",
                   "--start-ms=200", "--", "/bin/sleep", "60")
    assert answer.exit != DONE
    log = "".join(path.read_text() for path in (segue.state / "echo").glob("output.*.log"))
    assert "said no HELLO within 200 ms" in log
