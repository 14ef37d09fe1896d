# SPDX-License-Identifier: Apache-2.0
"""Debian's own servers under a keeper: upgraded while clients connect, and no connection refused."""

import os
import signal

import pytest

from keeper_tools import DONE, FAILED, REFUSED, UNDONE, USAGE, Component, is_alive
from program_tools import Clients, Program, Segue, ask, connect, write_programs
from support import wait_until

PROGRAMS = ["gunicorn", "uvicorn", "node", "haproxy", "lighttpd", "nginx", "uwsgi"]
# How each is asked to finish what it has begun.
STOP = {"lighttpd": "INT", "haproxy": "USR1", "nginx": "QUIT"}
# It takes what it is given for a socket that another nginx has made non-blocking.
OPTIONS = {"nginx": ["--nonblocking"]}
# When they are told to end these close what they have accepted and not read from yet.
CLOSES_UNREAD = {"uvicorn"}


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def commands(short_dir, free_port):
    return write_programs(short_dir, free_port)


def make(segue, commands, port, which, mode="listeners"):
    options = ["--stop-signal", STOP[which]] if which in STOP and mode == "listeners" else []
    return Program(segue, port, commands[which], options + OPTIONS.get(which, []), name=which, mode=mode)


@pytest.mark.parametrize("which", PROGRAMS)
def test_listeners_upgrade_and_undo_refuse_nobody(segue, commands, free_port, which):
    program = make(segue, commands, free_port, which)
    answer = program.run()
    assert answer.exit == DONE, answer
    clients = Clients(free_port)
    clients.wait_for("version 1")
    old = program.status()["pid"]

    answer = program.upgrade("2", "--probation-s", "0.3")
    assert answer.exit == DONE, answer
    assert "nobody was refused" in answer.text
    clients.wait_for("version 2")
    wait_until(lambda: not is_alive(old), "the predecessor ends")

    answer = program.undo("--probation-s", "0.3")
    assert answer.exit == DONE, answer
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused
    assert which in CLOSES_UNREAD or not clients.failed, clients.failed[:5]
    assert program.status()["upgrade"] == "listeners"


@pytest.mark.parametrize("which", ["gunicorn", "node"])
def test_restart_keeps_the_socket_so_that_clients_wait(segue, commands, free_port, which):
    program = make(segue, commands, free_port, which, mode="restart")
    assert program.run().exit == DONE
    clients = Clients(free_port)
    clients.wait_for("version 1")
    answer = program.upgrade("2", "--probation-s", "0.2")
    assert answer.exit == DONE, answer
    assert "new connections waited" in answer.text
    clients.wait_for("version 2")
    clients.stop()
    assert not clients.refused


def test_a_successor_that_is_not_ready_leaves_the_predecessor_alone(segue, commands, free_port):
    program = make(segue, commands, free_port, "gunicorn")
    program.run()
    old = program.status()["pid"]
    answer = segue("upgrade", "gunicorn", "--start-s", "1", "--", "sleep", "60")
    assert answer.exit == 1, answer
    assert "was not ready within" in answer.text and "goes on" in answer.text
    assert ask(free_port) == "version 1" and program.status()["pid"] == old


def test_a_bad_health_check_in_probation_takes_it_back(segue, commands, free_port):
    program = make(segue, commands, free_port, "gunicorn")
    program.run()
    old = program.status()["pid"]
    answer = program.upgrade("2", "--probation-s", "30", "--health-cmd", "false")
    assert answer.exit == UNDONE, answer
    status = program.status()
    assert status["pid"] == old and status["phase"] == "serving"
    wait_until(lambda: len(program.status()["instances"]) == 1, "the successor ends")
    assert ask(free_port) == "version 1"


def test_restart_goes_back_when_the_new_program_does_not_start(segue, commands, free_port):
    program = make(segue, commands, free_port, "gunicorn", mode="restart")
    program.run()
    clients = Clients(free_port)
    answer = segue("upgrade", "gunicorn", "--", "false")
    assert answer.exit == 1, answer
    assert "serves again" in answer.text
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused


def test_idle_connections_are_cut_at_the_drain_limit_in_portions(segue, commands, free_port):
    program = make(segue, commands, free_port, "haproxy")
    program.run("--drain-s", "0.5", "--reconnect-per-second", "5")
    idle = [connect(free_port) for _ in range(12)]
    wait_until(lambda: segue("status", "haproxy").exit == DONE, "it answers")
    answer = program.upgrade("2", "--probation-s", "0.1")
    assert answer.exit == DONE, answer
    assert answer.attempt["connections_cut"] == 12, answer
    assert "12 were cut at the limit of 0.50 s" in answer.text
    assert segue.events("haproxy").count("connections.cut") >= 3
    for client in idle:
        assert client.recv(100) == b""
        client.close()


def test_a_crash_is_followed_by_a_start_and_nobody_is_refused(segue, commands, free_port):
    program = make(segue, commands, free_port, "node")
    program.run()
    clients = Clients(free_port)
    clients.wait_for("version 1")
    old = program.status()["pid"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: program.status().get("pid") not in (old, 0, None) and
               program.status()["phase"] == "serving", "it is started again")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused


def test_a_rehearsal_is_refused_as_there_is_nothing_to_compare(segue, commands, free_port):
    program = make(segue, commands, free_port, "gunicorn")
    program.run()
    answer = segue("rehearse", "gunicorn", "--", *program.command)
    assert answer.exit == REFUSED and "moves no state" in answer.text


# ---- Finding out what a program can do

def test_auto_finds_listeners(segue, commands, free_port):
    program = make(segue, commands, free_port, "node", mode="auto")
    answer = program.run()
    assert answer.exit == DONE and "upgrade: listeners) (found out)" in answer.text, answer
    assert program.status()["upgrade"] == "listeners"
    assert program.upgrade("2", "--probation-s", "0.1").exit == DONE
    assert ask(free_port) == "version 2"


def test_auto_finds_the_descriptor_store(segue, build_dir, free_port):
    program = Program(segue, free_port, [build_dir / "tests/services/depositor"], name="d",
                      mode="auto")
    assert program.run().exit == DONE
    assert program.status()["upgrade"] == "fdstore"


def test_auto_finds_libsegue_and_hands_over(segue):
    component = Component(segue)
    answer = component.run("--upgrade", "auto")
    assert answer.exit == DONE, answer
    client = component.client()
    assert client("INC a") == "1"
    assert component.status()["upgrade"] == "libsegue"
    assert component.upgrade("2", "--probation-s", "0.1").exit == DONE
    assert client.version() == "2" and client("INC a") == "2"


def test_auto_asks_for_a_name_where_nothing_shows(segue):
    answer = segue("run", "s", "--upgrade", "auto", "--timeout", "0.5", "--", "sleep", "60")
    assert answer.exit == FAILED
    assert "name what it can do with --upgrade listeners" in answer.text


# ---- segue.yaml

YAML = """
name: web
command: [gunicorn, --workers, "1", wsgi_app:app]
environment: {VERSION: "%s"}
listen: {web: "tcp:127.0.0.1:%d"}
upgrade: listeners
ready: notify
stop: {signal: TERM, drain_s: 10}
health: {command: "true"}
"""


def test_a_component_file_says_it_all(segue, commands, short_dir, free_port):
    file = short_dir / "segue.yaml"
    file.write_text(YAML % ("1", free_port))
    answer = segue.plain("run", "--json", "--file", file)
    assert answer.exit == DONE, answer
    assert ask(free_port) == "version 1"
    file.write_text(YAML % ("2", free_port))
    answer = segue.plain("upgrade", "--json", "--probation-s", "0.1", "--file", file)
    assert answer.exit == DONE, answer
    assert ask(free_port) == "version 2"
    segue.status("web")


def test_a_component_file_with_an_unknown_key_starts_nothing(segue, short_dir):
    file = short_dir / "segue.yaml"
    file.write_text("name: web\ncommand: [sleep, '9']\nupgrad: restart\n")
    answer = segue.plain("run", "--json", "--file", file)
    assert answer.exit == USAGE
    assert "segue.yaml:3: there is no key 'upgrad'; did you mean 'upgrade'?" in answer.text
