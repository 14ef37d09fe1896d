# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of libsegue outlive their keeper: it becomes another program, it is killed and followed
by another one, or it leaves."""

import os
import shutil
import signal
import socket
import struct

import pytest

from keeper_tools import (
    DONE, REFUSED, CounterClient, Segue, is_alive, kill_keeper,
    program_of, send_signal, start_keeper)
from program_tools import Clients, Program, nginx_command, nginx_program, write_programs
from support import wait_until

QUICK = ("--probation-s", "0.1")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def lighttpd(segue, short_dir, free_port):
    command = write_programs(short_dir, free_port)["lighttpd"]
    return Program(segue, free_port, command, ["--stop-signal", "INT"], name="lighttpd")


@pytest.fixture
def depositor(segue, build_dir, free_port):
    return Program(segue, free_port, [build_dir / "tests/services/depositor"], name="depositor", mode="fdstore",
                   options=["--ready", "notify"])


@pytest.fixture
def nginx(segue, short_dir, free_port):
    return nginx_program(segue, short_dir, free_port)


@pytest.fixture
def next_keeper(build_dir, short_dir):
    path = short_dir / "segue-keeper-2"
    shutil.copy(build_dir / "src/keeper/segue-keeper", path)
    return path


def replace_keeper(program, keeper):
    return program.segue.plain("keeper", "upgrade", "--json", "--keeper", keeper, program.name)


def expect_same(program, before):
    after = program.status()
    for same in ("phase", "pid", "generation", "listeners", "program", "previous", "upgrade"):
        assert after[same] == before[same], same
    assert sorted(after["stored"]) == sorted(before["stored"])
    return after


def counting(port, count):
    clients = [CounterClient(port) for _ in range(count)]
    assert [client("INC") for client in clients] == [str(n + 1) for n in range(count)]
    return clients


# ---- The keeper becomes another program

def test_lighttpd_serves_while_its_keeper_becomes_another_program(lighttpd, next_keeper, free_port):
    assert lighttpd.run().exit == DONE
    clients = Clients(free_port)
    clients.wait_for("version 1")
    before = lighttpd.status()
    answer = replace_keeper(lighttpd, next_keeper)
    assert answer.exit == DONE and "1 instance and 1 listener go on" in answer.text, answer
    after = expect_same(lighttpd, before)
    assert after["keeper_pid"] == before["keeper_pid"] and after["keeper_replaced"] == 1
    assert program_of(after["keeper_pid"]) == str(next_keeper)
    assert lighttpd.upgrade("2", *QUICK).exit == DONE
    clients.wait_for("version 2")
    assert replace_keeper(lighttpd, next_keeper).exit == DONE
    assert lighttpd.undo(*QUICK).exit == DONE
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]


def test_what_was_stored_stays_with_the_keeper_that_becomes_another(segue, depositor, next_keeper, free_port):
    depositor.run("--watchdog-s", "20")
    clients = counting(free_port, 5)
    before = depositor.status()
    assert len(before["stored"]) == 6
    assert replace_keeper(depositor, next_keeper).exit == DONE
    expect_same(depositor, before)

    send_signal(before["pid"], signal.SIGSTOP)  # so that only the keeper can see the hang-up
    gone = clients.pop()
    gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    gone.stream.close()
    gone.socket.close()
    wait_until(lambda: len(depositor.status()["stored"]) == 5, "what hangs up is still forgotten")

    send_signal(before["pid"], signal.SIGKILL)
    assert [client("INC") for client in clients] == ["6", "7", "8", "9"]
    assert clients[0].pid() != before["pid"]
    assert "watchdog" not in " ".join(segue.events("depositor"))
    wait_until(lambda: not os.path.exists(f"/proc/{before['pid']}"), "no zombie is left")


def test_nginx_replaces_its_binary_under_a_keeper_that_became_another(nginx, next_keeper, short_dir, free_port):
    assert nginx.run(listen=False).exit == DONE
    assert replace_keeper(nginx, next_keeper).exit == DONE
    clients = Clients(free_port)
    nginx.command = nginx_command(short_dir, 2)
    assert nginx.upgrade("2", "--probation-s", "0.5").exit == DONE
    assert program_of(nginx.status()["pid"]) == str(short_dir / "2/nginx")
    wait_until(lambda: replace_keeper(nginx, next_keeper).exit == DONE, "it is replaced once more")
    assert nginx.undo("--probation-s", "0.5").exit == DONE
    assert program_of(nginx.status()["pid"]) == str(short_dir / "1/nginx")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]


def test_during_an_upgrade_a_keeper_is_not_replaced_and_nothing_is_ejected(segue, lighttpd, next_keeper):
    lighttpd.run()
    upgrade = segue.start("upgrade", "--json", "--probation-s", "10", *lighttpd.environment("2"), "lighttpd", "--",
                          *lighttpd.command)
    wait_until(lambda: lighttpd.status().get("phase") == "probation", "the probation")
    for answer in (replace_keeper(lighttpd, next_keeper), segue.plain("eject", "--json", "lighttpd")):
        assert answer.exit == REFUSED and "upgrade 1" in answer.text and "under way" in answer.text, answer
    upgrade.communicate(timeout=60)
    assert upgrade.returncode == DONE
    assert replace_keeper(lighttpd, next_keeper).exit == DONE


def test_after_twenty_replacements_nothing_is_left_over(depositor, next_keeper, free_port):
    depositor.run()
    client, = counting(free_port, 1)
    keeper = depositor.status()["keeper_pid"]
    assert replace_keeper(depositor, next_keeper).exit == DONE
    descriptors = len(os.listdir(f"/proc/{keeper}/fd"))
    for turn in range(20):
        assert replace_keeper(depositor, next_keeper).exit == DONE
        assert client("INC") == str(turn + 2)
    # The last client's connection may still be there for a moment.
    wait_until(lambda: len(os.listdir(f"/proc/{keeper}/fd")) <= descriptors, "twenty times nothing is left open")


# ---- The keeper is killed

def test_lighttpd_serves_on_and_the_next_keeper_has_its_sockets(segue, lighttpd, free_port):
    assert lighttpd.run().exit == DONE
    clients = Clients(free_port)
    before = kill_keeper(lighttpd)
    clients.wait_for("version 1")
    answer = start_keeper(lighttpd)
    assert answer.exit == DONE and "has a keeper again" in answer.text and "dead keeper" not in answer.text, answer
    after = expect_same(lighttpd, before)
    assert after["keeper_pid"] != before["keeper_pid"]
    assert lighttpd.upgrade("2", *QUICK).exit == DONE
    clients.wait_for("version 2")

    kill_keeper(lighttpd)
    answer = lighttpd.run()
    assert answer.exit == DONE and "no program was started" in answer.text, answer
    assert lighttpd.undo(*QUICK).exit == DONE
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]
    assert segue("stop", "lighttpd").exit == DONE
    wait_until(lambda: not is_alive(lighttpd.status().get("pid", 0)), "it ends")


def test_stored_descriptors_that_the_program_has_too_come_back(depositor, free_port):
    depositor.run()
    clients = counting(free_port, 5)
    before = kill_keeper(depositor)
    assert clients[0]("INC") == "6"
    answer = start_keeper(depositor)
    assert answer.exit == DONE and "dead keeper" not in answer.text, answer
    expect_same(depositor, before)
    clients[0].stream.close()
    clients[0].socket.close()
    wait_until(lambda: len(depositor.status()["stored"]) == 5, "the program's word for it is heard")
    send_signal(before["pid"], signal.SIGKILL)
    assert [client("INC") for client in clients[1:]] == ["7", "8", "9", "10"]
    assert depositor.upgrade("2", *QUICK).exit == DONE
    assert clients[1].version() == "2" and clients[1]("INC") == "11"


def test_what_only_the_dead_keeper_held_is_named(segue, build_dir, free_port):
    command = [build_dir / "tests/services/depositor", "--close-memory"]
    depositor = Program(segue, free_port, command, name="d", mode="fdstore", options=["--ready", "notify"])
    depositor.run()
    client, = counting(free_port, 1)
    kill_keeper(depositor)
    answer = start_keeper(depositor)
    assert answer.exit == DONE, answer
    assert "1 descriptor that it had stored went with the dead keeper: counter" in answer.text
    assert depositor.status()["stored"] == ["c0"] and client("INC") == "2"
    adopted = [event for event in segue("events", "d").lines if event.get("event") == "keeper.adopted"]
    assert "counter" in adopted[0]["lost"]


def test_nginx_replaces_its_binary_under_the_next_keeper(nginx, short_dir, free_port):
    assert nginx.run(listen=False).exit == DONE
    clients = Clients(free_port)
    before = kill_keeper(nginx)
    clients.wait_for("version 1")
    assert start_keeper(nginx).exit == DONE
    expect_same(nginx, before)
    nginx.command = nginx_command(short_dir, 2)
    assert nginx.upgrade("2", "--probation-s", "0.5").exit == DONE
    assert program_of(nginx.status()["pid"]) == str(short_dir / "2/nginx")
    assert nginx.undo("--probation-s", "0.5").exit == DONE
    assert program_of(nginx.status()["pid"]) == str(short_dir / "1/nginx")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]


def test_the_next_keeper_restarts_a_program_while_clients_wait(segue, short_dir, free_port):
    command = write_programs(short_dir, free_port)["gunicorn"]
    program = Program(segue, free_port, command, name="gunicorn", mode="restart")
    assert program.run().exit == DONE
    clients = Clients(free_port)
    before = kill_keeper(program)
    clients.wait_for("version 1")
    assert start_keeper(program).exit == DONE
    expect_same(program, before)
    assert program.upgrade("2", *QUICK).exit == DONE
    clients.wait_for("version 2")

    before = kill_keeper(program)
    send_signal(before["pid"], signal.SIGSTOP)
    assert start_keeper(program).exit == DONE
    send_signal(before["pid"], signal.SIGKILL)
    wait_until(lambda: program.status()["pid"] not in (before["pid"], 0), "what crashed is started again")
    clients.wait_for("version 2")
    assert program.undo(*QUICK).exit == DONE
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused


def test_a_probation_goes_on_under_the_next_keeper(segue, lighttpd, free_port):
    lighttpd.run("--unsafe-fault", "probation:kill")
    clients = Clients(free_port)
    keeper = lighttpd.status()["keeper_pid"]
    upgrade = segue.start("upgrade", "--json", "--probation-s", "0.5", *lighttpd.environment("2"), "lighttpd", "--",
                          *lighttpd.command)
    upgrade.communicate(timeout=60)
    assert upgrade.returncode != DONE and not is_alive(keeper)
    assert start_keeper(lighttpd).exit == DONE
    wait_until(lambda: segue("history", "lighttpd").last.get("history"), "the upgrade ends")
    past = segue("history", "lighttpd").last["history"]
    assert [(attempt["outcome"], attempt["upgrade"]) for attempt in past] == [("done", "listeners")], past
    wait_until(lambda: len(lighttpd.status()["instances"]) == 1, "the old one has gone")
    clients.wait_for("version 2")
    assert lighttpd.undo(*QUICK).exit == DONE
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]


def test_an_upgrade_whose_successor_died_too_is_taken_back(segue, lighttpd, free_port):
    lighttpd.run("--unsafe-fault", "probation:kill")
    segue.start("upgrade", "--json", "--probation-s", "5", *lighttpd.environment("2"), "lighttpd", "--",
                *lighttpd.command).communicate(timeout=60)
    successor = max(int(pid) for pid in segue.left_instances("lighttpd"))
    send_signal(successor, signal.SIGKILL)
    wait_until(lambda: not is_alive(successor), "it is dead")
    assert start_keeper(lighttpd).exit == DONE
    wait_until(lambda: lighttpd.status().get("phase") == "serving", "the old one goes on")
    past = segue("history", "lighttpd").last["history"]
    assert past[0]["outcome"] == "undone" and "while it had no keeper" in past[0]["why"]
    clients = Clients(free_port)
    clients.wait_for("version 1")
    clients.stop()


def test_an_adopted_program_that_crashes_is_started_again(depositor, free_port):
    depositor.run()
    client, = counting(free_port, 1)
    before = kill_keeper(depositor)
    assert start_keeper(depositor).exit == DONE
    send_signal(before["pid"], signal.SIGKILL)
    assert client("INC") == "2" and client.pid() != before["pid"]
    assert depositor.status()["restarts"] == 1


def test_ten_keepers_in_a_row_are_killed(depositor, free_port):
    depositor.run()
    client, = counting(free_port, 1)
    before = depositor.status()
    for turn in range(10):
        kill_keeper(depositor)
        assert start_keeper(depositor).exit == DONE
        expect_same(depositor, before)
        assert client("INC") == str(turn + 2)


def test_where_the_program_died_too_there_is_nothing_to_adopt(segue, lighttpd, free_port):
    lighttpd.run()
    before = kill_keeper(lighttpd)
    send_signal(before["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(before["pid"]), "it is dead")
    answer = start_keeper(lighttpd)
    assert answer.exit == REFUSED and "segue run lighttpd" in answer.text, answer
    assert lighttpd.run().exit == DONE
    clients = Clients(free_port)
    clients.wait_for("version 1")
    clients.stop()


# ---- The keeper leaves

def test_lighttpd_is_ejected_without_a_restart(segue, lighttpd, free_port):
    lighttpd.run()
    clients = Clients(free_port)
    before = lighttpd.status()
    answer = segue.plain("eject", "--dry-run", "--json", "lighttpd")
    assert answer.exit == DONE and "would be ejected" in answer.text
    answer = segue.plain("eject", "--json", "lighttpd")
    assert answer.exit == DONE and f"(pid {before['pid']}) serves on without a keeper" in answer.text, answer
    assert "its sockets end with it" in answer.text
    wait_until(lambda: not is_alive(before["keeper_pid"]), "the keeper ends")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused and not clients.failed, clients.failed[:3]
    answer = lighttpd.run()
    assert answer.exit == REFUSED and f"kill {before['pid']}" in answer.text, answer


def test_nginx_that_was_ejected_still_replaces_its_binary(segue, nginx, free_port):
    nginx.run(listen=False)
    before = nginx.status()
    answer = segue.plain("eject", "--json", "nginx")
    assert answer.exit == DONE and "its own signal" in answer.text, answer
    wait_until(lambda: not is_alive(before["keeper_pid"]), "the keeper ends")
    pid_file = segue.directory / "nginx.pid"
    send_signal(before["pid"], signal.SIGUSR2)
    successor = wait_until(lambda: (text := pid_file.exists() and pid_file.read_text().strip()) and
                           int(text) != before["pid"] and int(text), "its new main process")
    segue.pids.add(successor)
    clients = Clients(free_port)
    clients.wait_for("version 1")
    clients.stop()
    send_signal(successor, signal.SIGTERM)


def test_stored_descriptors_that_nobody_else_has_are_not_given_up_unasked(segue, build_dir, free_port):
    command = [build_dir / "tests/services/depositor", "--close-memory"]
    depositor = Program(segue, free_port, command, name="d", mode="fdstore", options=["--ready", "notify"])
    depositor.run()
    client, = counting(free_port, 1)
    before = depositor.status()
    answer = segue.plain("eject", "--json", "d")
    assert answer.exit == REFUSED and "(counter)" in answer.text and "--force" in answer.text, answer
    assert is_alive(before["keeper_pid"]) and client("INC") == "2"
    answer = segue.plain("eject", "--json", "--force", "d")
    assert answer.exit == DONE and "2 descriptors that it had stored end with it" in answer.text, answer
    wait_until(lambda: not is_alive(before["keeper_pid"]), "the keeper ends")
    assert client("INC") == "3"
