# SPDX-License-Identifier: Apache-2.0
"""segue doctor NAME|PID: what of a real process would survive an upgrade."""

import socket
import subprocess
import sys

import pytest

from keeper_tools import DONE, REFUSED, Component, Segue
from support import free_port


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


def survey(segue, target):
    answer = segue.plain("doctor", "--json", str(target))
    assert answer.exit == DONE, answer
    return answer.last, {row["what"]: row for row in answer.last["rows"]}


def test_what_a_component_has_registered_moves(segue):
    component = Component(segue)
    component.run()
    clients = [component.client() for _ in range(25)]
    for client in clients:
        assert client("INC a")
    last, rows = survey(segue, component.name)
    assert last["registered"] and last["pid"] == component.status()["pid"]
    moves = rows["connections of class clients"]
    assert moves["fate"] == "moves" and moves["count"] == 25
    assert rows["listening sockets"]["count"] == 1
    assert rows["tables of records"]["count"] == 1
    assert "connections that are not registered" not in rows
    assert last["text"].startswith("c (pid ") and "25 connections move" in last["text"]
    plain = segue.plain("doctor", component.name)
    assert plain.exit == DONE and "connections of class clients" in plain.out
    assert survey(segue, last["pid"])[0]["name"] == "c", "a number finds its component"

    assert component.upgrade("2", "--probation-s", "0").exit == DONE
    for client in clients:
        assert client.version() == "2", "as it was said"


FOREIGN = """
import fcntl, os, select, socket, sys, tempfile, threading
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
ends = [listener.accept()[0] for _ in range(3)]
epoll = select.epoll()
lock = tempfile.TemporaryFile()
fcntl.flock(lock, fcntl.LOCK_EX)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
thread = threading.Thread(target=sys.stdin.read)
thread.start()
print("ready", flush=True)
thread.join()
"""


def test_a_process_that_is_not_under_segue_shows_what_it_would_have_to_register(segue):
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", FOREIGN, str(port)], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        clients = []
        while len(clients) < 3:
            try:
                clients.append(socket.create_connection(("127.0.0.1", port), 20))
            except ConnectionRefusedError:
                assert process.poll() is None
        assert process.stdout.readline() == "ready\n"
        last, rows = survey(segue, process.pid)
        assert not last["registered"] and last["name"] == ""
        assert "not under Segue" in last["text"] and "3 are in a library" in last["text"]
        expected = {"connections that are not registered": (3, "lost"),
                    "listening sockets that are not registered": (1, "lost"),
                    "epoll instances": (1, "made anew"),
                    "files with locks": (1, "lost"),
                    "pipes that are not registered": (2, "lost"),
                    "child processes": (1, "lost"),
                    "threads": (2, "made anew")}
        for what, (count, fate) in expected.items():
            assert (rows[what]["count"], rows[what]["fate"]) == (count, fate), what
            assert rows[what]["why"] and bool(rows[what]["remedy"]) == (fate == "lost")
    finally:
        process.communicate("", timeout=60)


def test_a_process_or_component_that_is_not_there_is_refused(segue):
    assert segue.plain("doctor", "--json", str(2 ** 22 + 1)).exit == REFUSED
    assert segue.plain("doctor", "--json", "nobody").exit == REFUSED
