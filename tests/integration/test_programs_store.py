# SPDX-License-Identifier: Apache-2.0
"""sd_notify in full: the file descriptor store, the watchdog, start-up extensions, strangers."""

import os
import signal
import socket

import pytest

from keeper_tools import DONE, FAILED, CounterClient, Segue, is_alive
from program_tools import Program
from support import wait_until


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def depositor(segue, build_dir, free_port):
    return Program(segue, free_port, [build_dir / "tests/services/depositor"], name="depositor",
                   mode="fdstore", options=["--ready", "notify"])


def test_connections_and_memory_survive_a_restart(depositor, free_port):
    answer = depositor.run()
    assert answer.exit == DONE, answer
    clients = [CounterClient(free_port) for _ in range(20)]
    assert [client("INC") for client in clients] == [str(n + 1) for n in range(20)]

    answer = depositor.upgrade("2", "--probation-s", "0.1")
    assert answer.exit == DONE, answer
    assert answer.attempt["connections_kept"] == 20 and answer.attempt["connections_cut"] == 0
    assert "20 connections that it had stored went on" in answer.text
    assert [client.version() for client in clients] == ["2"] * 20
    assert clients[0]("INC") == "21"

    assert depositor.undo("--probation-s", "0.1").exit == DONE
    assert clients[7].version() == "1" and clients[7]("INC") == "22"
    assert CounterClient(free_port)("INC") == "23"


def test_connections_and_memory_survive_a_crash(depositor, free_port):
    depositor.run()
    clients = [CounterClient(free_port) for _ in range(3)]
    assert [client("INC") for client in clients] == ["1", "2", "3"]
    old = clients[0].pid()
    os.kill(old, signal.SIGKILL)
    assert [client("INC") for client in clients] == ["4", "5", "6"]
    assert clients[0].pid() != old


def test_what_is_removed_or_hangs_up_is_not_stored_any_more(depositor, free_port):
    depositor.run()
    client = CounterClient(free_port)
    assert client("INC") == "1"
    wait_until(lambda: depositor.status()["stored"] == ["counter", "c0"], "both are stored")
    client.socket.close()
    client.stream.close()
    wait_until(lambda: depositor.status()["stored"] == ["counter"], "the connection is forgotten")


def test_the_store_is_bounded(segue, depositor, free_port):
    depositor.run("--fd-store-max", "3")
    clients = [CounterClient(free_port) for _ in range(4)]
    assert [client("INC") for client in clients] == ["1", "2", "3", "4"]
    wait_until(lambda: "fdstore.full" in segue.events("depositor"), "the bound is noted")
    assert len(depositor.status()["stored"]) == 3


def test_a_barrier_opens_when_all_before_it_was_handled(segue, build_dir, free_port):
    program = Program(segue, free_port, [build_dir / "tests/services/depositor", "--barrier"],
                      name="d", mode="fdstore", options=["--ready", "notify"])
    assert program.run().exit == DONE


def test_a_slow_start_may_ask_for_more_time(segue, build_dir, free_port):
    slow = [build_dir / "tests/services/depositor", "--slow-start-ms", "1500"]
    program = Program(segue, free_port, slow, name="d", mode="fdstore", options=["--ready", "notify"])
    answer = program.run("--timeout", "0.5")
    assert answer.exit == DONE, answer


def test_one_that_stops_pinging_is_ended_and_started_again(depositor, free_port):
    depositor.run("--watchdog-s", "1")
    client = CounterClient(free_port)
    assert client("INC") == "1"
    old = client.pid()
    other = CounterClient(free_port)
    other.send("HANG\n")
    wait_until(lambda: not is_alive(old), "the hung one is ended")
    assert client("INC") == "2"
    assert client.pid() != old
    assert "instance.hung" in depositor.segue.events("depositor")


def test_a_stranger_is_not_listened_to(segue, depositor, short_dir):
    depositor.run()
    pid = depositor.status()["pid"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        path = f"{segue.runtime}/depositor/notify"
        stranger.sendto(b"WATCHDOG=trigger", path)
        stranger.sendto(b"FDSTOREREMOVE=1\nFDNAME=counter", path)
    wait_until(lambda: segue.events("depositor").count("notify.refused") == 2, "both are refused")
    status = depositor.status()
    assert status["pid"] == pid and status["stored"] == ["counter"]


def test_it_is_not_started_without_its_socket(segue, depositor, free_port):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port))
        other.listen()
        answer = segue("run", "d", "--upgrade", "fdstore", "--listen",
                       f"web=tcp:127.0.0.1:{free_port}", "--", *depositor.command)
    assert answer.exit in (FAILED, 4) and "another process listens there" in answer.text
