# SPDX-License-Identifier: Apache-2.0
"""`segue rollout watch`: a tree that is redrawn on a terminal, a log elsewhere; three agents."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest

from fleet_tools import WITHIN_S, Fleet
from support import wait_until

HOSTS = ("berlin-1", "berlin-2", "oslo-1")
COLUMNS, ROWS = 100, 30


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    fleet = Fleet(build_dir, short_dir)
    fleet.start_server()
    try:
        fleet.join(*HOSTS)
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
        yield fleet
    finally:
        fleet.finish()


def start(fleet, *words, **options):
    return subprocess.Popen([str(fleet.segue.program), "rollout", *words], text=True,
                            stdin=subprocess.DEVNULL,
                            env={**fleet.segue.environment, "LC_ALL": "C.UTF-8"}, **options)


class Terminal:
    """What a command draws on a terminal of its own."""

    def __init__(self, fleet, *words):
        self.outer, inner = os.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(inner)
        self.inner = inner
        self.drawn = b""
        self.process = start(fleet, *words, stdout=inner, stderr=inner)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                piece = os.read(self.outer, 65536)
            except OSError:  # nobody has it open any more
                return
            if not piece:
                return
            self.drawn += piece

    def text(self):
        return self.drawn.decode(errors="replace")

    def frames(self):
        """Without colours; each as its lines."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.text())
        return [frame.split("\x1b[J")[0].replace("\x1b[K", "").split("\r\n")
                for frame in plain.split("\x1b[H")[1:]]

    def end(self):
        """What stands on the first screen."""
        exit_code = self.process.wait(timeout=WITHIN_S)
        os.close(self.inner)
        self.reader.join(timeout=60)
        os.close(self.outer)
        before, _, after = self.text().rpartition("\x1b[?1049l")
        assert before.startswith("\x1b[?1049h"), "everything before is on the second screen"
        assert "\x1b[?25h" in before, "the cursor is back"
        return exit_code, re.sub(r"\x1b\[[0-9;]*m", "", after)


def test_it_is_a_log_of_changes_where_there_is_no_terminal(fleet):
    rollout = fleet.deploy("2", waves=[1, "rest"])
    log = start(fleet, "watch", rollout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    objects = start(fleet, "watch", rollout, "--json", stdout=subprocess.PIPE)
    lines = log.communicate(timeout=WITHIN_S)[0].splitlines()
    told = [json.loads(line) for line in objects.communicate(timeout=WITHIN_S)[0].splitlines()]
    assert log.returncode == 0 and objects.returncode == 0, lines
    assert lines[-1] == f"{rollout} is done"
    for line in lines[:-1]:
        assert re.fullmatch(r"\d\d:\d\d:\d\d (rollout|step|host|waits|gate): .+"
                            r"|\d\d:\d\d:\d\d (step|host|gate) .+: .+", line), line
    bare = [line[9:] for line in lines[:-1]]
    assert all(one != other for one, other in zip(bare, bare[1:])), lines
    for host in HOSTS:
        assert any(re.match(rf"host {host}: good, revision 2, .*moved \d+, lost 0, blackout", line)
                   for line in bare), lines
    assert told[-1] == {"done": True, "exit": 0, "text": f"{rollout} is done"}
    assert {one["what"] for one in told[:-1]} >= {"rollout", "step", "host"}
    assert all({"time_ms", "what", "subject", "text", "now"} == set(one) for one in told[:-1])


def test_it_is_redrawn_in_place_on_a_terminal_and_leaves_nothing_behind(fleet):
    file = fleet.write(fleet.component("2"), approvals=1)
    rollout = fleet.done("deploy", file, "--title", "kv 2\x1b[2J")["rollouts"][0]["rollout"]
    terminal = Terminal(fleet, "watch", rollout)
    wait_until(lambda: any("approval of 1 more person" in line for frame in terminal.frames()
                           for line in frame), f"the tree; {terminal.text()}", WITHIN_S)
    # Narrower and lower: it is drawn anew, within what there is.
    drawn = len(terminal.frames())
    fcntl.ioctl(terminal.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 40, 0, 0))
    terminal.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: len(terminal.frames()) > drawn + 1, "a smaller tree", WITHIN_S)
    frame = terminal.frames()[-2]
    assert len(frame) <= 5 and max(map(len, frame)) <= 40, frame
    assert "\x1b[2J" not in terminal.text(), "a title is obeyed by no terminal"

    terminal.process.send_signal(signal.SIGINT)
    exit_code, left = terminal.end()
    assert exit_code == 5, left
    assert f"{rollout} is not watched any more; it is running" in left and "goes on" in left, left
    assert fleet.progress(rollout)["phase"] == "running"

    fleet.done("rollout", "undo", rollout)
    terminal = Terminal(fleet, "watch", rollout)
    exit_code, left = terminal.end()
    assert exit_code == 3, left
    assert f"{rollout} is undone" in left and "left-alone" in left, left


def test_it_waits_for_a_server_that_is_away_and_says_so(fleet):
    rollout = fleet.deploy("2", approvals=1)
    log = start(fleet, "watch", rollout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert "rollout: running" in log.stdout.readline()
    fleet.kill_server()
    seen = [log.stdout.readline()]
    while " server: " not in seen[-1]:
        assert seen[-1], seen
        seen.append(log.stdout.readline())
    fleet.start_server()
    while "server: answers again" not in seen[-1]:
        assert seen[-1], seen
        seen.append(log.stdout.readline())
    assert len([line for line in seen if " server: " in line]) == 2, seen
    log.send_signal(signal.SIGTERM)
    rest = log.communicate(timeout=WITHIN_S)[0]
    assert log.returncode == 5 and "is not watched any more" in rest, rest
