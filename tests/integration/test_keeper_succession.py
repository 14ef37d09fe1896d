# SPDX-License-Identifier: Apache-2.0
"""The keeper is replaced: by another program in its place, or by a new keeper after its death."""

import os
import shutil
import signal
import socket
import struct
import subprocess

import pytest

from keeper_tools import (
    DONE, REFUSED, Component, Segue, is_alive, kill_keeper,
    program_of, send_signal, start_keeper)
from support import wait_until

QUICK = ("--probation-s", "0.1")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def component(segue):
    return Component(segue)


@pytest.fixture
def next_keeper(build_dir, short_dir):
    """The keeper's program at another place, as a new package would put it there."""
    path = short_dir / "segue-keeper-2"
    shutil.copy(build_dir / "src/keeper/segue-keeper", path)
    return path


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def upgrade_keeper(component, program, *options):
    return component.segue.plain("keeper", "upgrade", "--json", *options, "--keeper", program,
                                 component.name)


def expect_the_old_one_goes_on(component, before, client, answer, part):
    assert answer.exit == REFUSED and part in answer.text, answer
    assert "it goes on" in answer.text
    status = component.status()
    assert status["keeper_pid"] == before["keeper_pid"] and status["pid"] == before["pid"]
    assert program_of(status["keeper_pid"]).endswith("/src/keeper/segue-keeper")
    assert client("INC a").isdigit()
    assert component.upgrade("9", *QUICK).exit == DONE


# ---- Replaced by another program

def test_a_keeper_becomes_another_program_and_keeps_everything(component, segue, next_keeper):
    component.run()
    component.upgrade("2", *QUICK)
    before = component.status()
    client = component.client()
    assert client("INC a") == "1"
    answer = upgrade_keeper(component, next_keeper)
    assert answer.exit == DONE, answer
    assert str(next_keeper) in answer.text and "1 instance and 1 listener go on" in answer.text
    after = component.status()
    assert after["keeper_pid"] == before["keeper_pid"] and after["keeper_replaced"] == 1
    assert program_of(after["keeper_pid"]) == str(next_keeper)
    for same in ("pid", "generation", "epoch", "version", "previous", "listeners", "program"):
        assert after[same] == before[same], same
    assert client("INC a") == "2"
    names = segue.events(component.name)
    assert names.index("attempt.end") < names.index("keeper.replaced"), "no event is forgotten"
    assert [a["to"] for a in segue("history", component.name).last["history"]] == ["2"]

    assert component.upgrade("3", *QUICK).exit == DONE
    assert client("INC a") == "3" and client.version() == "3"
    assert segue("undo", component.name, *QUICK).exit == DONE
    assert client("INC a") == "4" and client.version() == "2"


def test_after_fifty_replacements_nothing_is_left_over(component, next_keeper):
    component.run()
    client = component.client()
    keeper = component.status()["keeper_pid"]
    assert upgrade_keeper(component, next_keeper).exit == DONE
    descriptors = sorted(os.listdir(f"/proc/{keeper}/fd"))
    for turn in range(50):
        assert upgrade_keeper(component, next_keeper).exit == DONE
        assert client("INC a") == str(turn + 1)
    assert component.status()["keeper_replaced"] == 51
    assert len(os.listdir(f"/proc/{keeper}/fd")) == len(descriptors)


def test_children_are_still_its_children_afterwards(component, next_keeper):
    component.run()
    assert upgrade_keeper(component, next_keeper).exit == DONE
    old = component.status()["pid"]
    send_signal(old, signal.SIGKILL)
    status = wait_until(lambda: (s := component.status()).get("phase") == "serving" and
                        s["pid"] != old and s, "it is started again")
    assert status["restarts"] == 1
    ended = [event for event in component.segue("events", component.name).lines
             if event.get("event") == "instance.ended"]
    assert "was killed by signal 9" in ended[-1]["how"]
    assert not is_alive(old) and not os.path.exists(f"/proc/{old}"), "no zombie is left"


def test_who_follows_or_watches_goes_on(component, segue, next_keeper):
    component.run()
    follower = segue.start("events", "--json", "-f", component.name, bufsize=1)
    watcher = segue.start("status", "--json", "-w", component.name, bufsize=1)
    assert '"version":"1"' in watcher.stdout.readline()
    assert upgrade_keeper(component, next_keeper).exit == DONE
    assert component.upgrade("2", *QUICK).exit == DONE
    names = []
    while not names or names[-1] != "attempt.committed":
        names.append(follower.stdout.readline().split('"event":"')[1].split('"')[0])
    assert names.index("keeper.replaced") < names.index("attempt.begin")
    line = watcher.stdout.readline()
    while '"version":"2"' not in line:
        line = watcher.stdout.readline()
        assert line, "the watcher ended"
    assert segue("stop", component.name).exit == DONE
    follower.communicate(timeout=60)
    watcher.communicate(timeout=60)
    assert follower.returncode == DONE


def test_a_dry_run_asks_the_new_program_and_replaces_nothing(component, segue, next_keeper):
    component.run()
    answer = upgrade_keeper(component, next_keeper, "--dry-run")
    assert answer.exit == DONE and "would become" in answer.text
    assert component.status()["keeper_replaced"] == 0
    answer = upgrade_keeper(component, script(segue.directory / "no", "exit 1\n"), "--dry-run")
    assert answer.exit == REFUSED


@pytest.mark.parametrize("text, part", [
    ("echo 'the state has version 9'; exit 4\n", "the state has version 9"),
    ("kill -9 $$\n", "was killed by signal 9"),
    ("sleep 60\n", "did not answer --check-state within 10 s"),
])
def test_a_program_that_cannot_read_the_state_is_refused(component, segue, text, part):
    component.run()
    before, client = component.status(), component.client()
    answer = upgrade_keeper(component, script(segue.directory / "bad", text))
    expect_the_old_one_goes_on(component, before, client, answer, part)


def test_where_the_exec_fails_the_old_one_goes_on(component, segue):
    component.run()
    before, client = component.status(), component.client()
    program = script(segue.directory / "fades", 'chmod 644 "$0"; exit 0\n')
    answer = upgrade_keeper(component, program)
    expect_the_old_one_goes_on(component, before, client, answer, "Permission denied")


def test_a_program_that_is_not_there_is_refused(component, segue):
    component.run()
    assert upgrade_keeper(component, "/no/such/keeper").exit == REFUSED
    assert component.client()("INC a") == "1"


def test_during_an_upgrade_it_is_refused_and_the_upgrade_goes_on(component, next_keeper):
    component.run()
    upgrade = component.start_upgrade("2", "--probation-s", "10")
    component.wait_for_phase("probation")
    answer = upgrade_keeper(component, next_keeper)
    assert answer.exit == REFUSED and "upgrade 1 (v1 → v2) has been under way" in answer.text
    upgrade.communicate(timeout=60)
    assert upgrade.returncode == DONE
    wait_until(lambda: upgrade_keeper(component, next_keeper).exit == DONE, "then it is replaced")
    assert component.client().version() == "2"


def test_a_state_on_the_command_line_that_is_none_is_refused(build_dir):
    for words in (["--check-state=0"], ["--check-state=99"], ["c", "--resume-state=99"]):
        process = subprocess.run([build_dir / "src/keeper/segue-keeper", *words], check=False,
                                 capture_output=True, stdin=subprocess.DEVNULL)
        assert process.returncode != 0


# ---- Killed, and followed by another keeper

def expect_adopted(component, before):
    after = component.wait_for_phase("serving")
    assert after["keeper_pid"] != before["keeper_pid"]
    for same in ("pid", "generation", "epoch", "version", "previous", "listeners", "program"):
        assert after[same] == before[same], same
    return after


def test_instances_serve_on_and_come_to_the_next_keeper(component, segue):
    component.run()
    component.upgrade("2", *QUICK)
    client = component.client()
    assert client("INC a") == "1"
    before = kill_keeper(component)
    assert client("INC a") == "2"
    for words in (("status",), ("stop",), ("upgrade", *component.program("3"))):
        answer = segue(words[0], component.name, *words[1:])
        assert answer.exit == REFUSED and f"segue keeper start {component.name}" in answer.text
    answer = start_keeper(component)
    assert answer.exit == DONE and "has a keeper again" in answer.text, answer
    expect_adopted(component, before)
    names = segue.events(component.name)
    assert names.index("attempt.end") < names.index("keeper.adopted"), "events go on"
    assert client("INC a") == "3"
    assert component.upgrade("3", *QUICK).exit == DONE
    assert segue("undo", component.name, *QUICK).exit == DONE
    assert client("INC a") == "4" and client.version() == "2"
    assert segue("stop", component.name).exit == DONE


def test_run_adopts_what_serves_instead_of_starting_a_second_owner(component):
    component.run()
    client = component.client()
    before = kill_keeper(component)
    answer = component.run(version="2")
    assert answer.exit == DONE and "no program was started" in answer.text, answer
    expect_adopted(component, before)
    assert client.version() == "1"


def test_a_keeper_in_the_foreground_adopts_too_as_a_unit_starts_it_again(component, segue):
    component.run()
    client = component.client()
    before = kill_keeper(component)
    keeper = segue.start("run", "--foreground", component.name, *component.program("1"))
    expect_adopted(component, before)
    assert client("INC a") == "1"
    keeper.send_signal(signal.SIGTERM)
    keeper.communicate(timeout=60)
    assert keeper.returncode == DONE and not is_alive(before["pid"])


def test_ten_keepers_in_a_row_are_killed(component):
    component.run()
    client = component.client()
    before = component.status()
    for turn in range(10):
        kill_keeper(component)
        assert start_keeper(component).exit == DONE
        before["keeper_pid"] = 0
        expect_adopted(component, before)
        assert client("INC a") == str(turn + 1)


def test_an_adopted_instance_is_buried_and_its_program_started_again(component, segue):
    component.run()
    before = kill_keeper(component)
    assert start_keeper(component).exit == DONE
    send_signal(before["pid"], signal.SIGKILL)
    status = wait_until(lambda: (s := component.status()).get("phase") == "serving" and
                        s["pid"] != before["pid"] and s, "it is started again")
    assert status["restarts"] == 1 and component.client().version() == "1"
    ended = [event for event in segue("events", component.name).lines
             if event.get("event") == "instance.ended"]
    assert "how is not known" in ended[-1]["how"]


def test_an_upgrade_that_the_instances_finish_alone_is_written_down(component, segue):
    component.run("--unsafe-fault", "attempt-sent:kill")
    client = component.client()
    assert client("INC a") == "1"
    upgrade = component.start_upgrade("2", *QUICK)
    upgrade.communicate(timeout=60)
    assert start_keeper(component).exit == DONE
    status = component.wait_for_phase("serving")
    assert status["version"] == "2" and status["previous"] == "1"
    wait_until(lambda: len(component.status()["instances"]) == 1, "the predecessor has gone")
    past = segue("history", component.name).last["history"]
    assert [(attempt["outcome"], attempt["to"]) for attempt in past] == [("done", "2")]
    assert "keeper died" in past[0]["why"]
    assert client("INC a") == "2"
    assert segue("undo", component.name, *QUICK).exit == DONE
    assert client("INC a") == "3" and client.version() == "1"


def test_a_stopped_instance_is_waited_for_and_then_left_as_it_is(component):
    component.run()
    client = component.client()
    before = kill_keeper(component)
    send_signal(before["pid"], signal.SIGSTOP)
    answer = start_keeper(component)
    assert answer.exit == REFUSED and "nothing was changed" in answer.text, answer
    assert f"process {before['pid']}" in answer.text
    send_signal(before["pid"], signal.SIGCONT)
    assert start_keeper(component).exit == DONE
    expect_adopted(component, before)
    assert client("INC a") == "1"


def test_where_nobody_serves_any_more_there_is_nothing_to_adopt(component):
    component.run()
    before = kill_keeper(component)
    send_signal(before["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(before["pid"]), "it is dead")
    answer = start_keeper(component)
    assert answer.exit == REFUSED and f"segue run {component.name}" in answer.text, answer
    assert component.run().exit == DONE


def test_a_state_that_is_damaged_is_not_believed(component, segue):
    component.run()
    client = component.client()
    before = kill_keeper(component)
    state = segue.state / component.name / "keeper.state"
    good = state.read_bytes()
    state.write_bytes(good[:-1])
    answer = start_keeper(component)
    assert answer.exit == REFUSED and f"kill {before['pid']}" in answer.text
    state.write_bytes(good)
    assert start_keeper(component).exit == DONE
    assert client("INC a") == "1"


def test_a_stranger_at_the_rendezvous_is_sent_away(component, segue):
    """The right user with the wrong nonce, at the socket where a keeper waits for a stopped one."""
    component.run()
    before = kill_keeper(component)
    send_signal(before["pid"], signal.SIGSTOP)
    starting = segue.start("keeper", "start", "--json", component.name)
    path = str(segue.runtime / component.name / "instances.sock")

    def visited():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            try:
                stranger.connect(path)
            except OSError:
                return False
            record = b"\x03\x07counter\x07\x20" + b"x" * 32 + b"\x08\x01\x01"
            stranger.sendall(struct.pack("<HHIIHH", 77, 1, len(record), 1, 0, 0) + record)
            stranger.settimeout(10)
            return stranger.recv(100) == b""

    wait_until(visited, "a keeper waits there, and closes")
    send_signal(before["pid"], signal.SIGCONT)
    starting.communicate(timeout=30)
    assert starting.returncode == DONE
    expect_adopted(component, before)


def test_an_instance_of_an_older_library_is_left_as_before(segue):
    program = ["--", "/usr/bin/python3", os.path.join(os.path.dirname(__file__), "old_instance.py")]
    assert segue("run", "old", *program).exit == DONE
    status = segue.status("old")
    assert segue.plain("eject", "--json", "old").exit == REFUSED
    send_signal(status["keeper_pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(status["keeper_pid"]), "the keeper is dead")
    answer = segue.plain("keeper", "start", "--json", "old")
    assert answer.exit == REFUSED and "too old" in answer.text, answer
    assert f"kill {status['pid']}" in answer.text and is_alive(status["pid"])


# ---- Leaving

def test_an_ejected_component_serves_on_without_a_keeper(component, segue):
    component.run()
    client = component.client()
    before = component.status()
    answer = segue.plain("eject", "--dry-run", "--json", component.name)
    assert answer.exit == DONE and "would be ejected" in answer.text
    answer = segue.plain("eject", "--json", component.name)
    assert answer.exit == DONE and f"(pid {before['pid']}) serves on" in answer.text, answer
    wait_until(lambda: not is_alive(before["keeper_pid"]), "the keeper ends")
    assert client("INC a") == "1" and component.client().pid() == before["pid"]
    answer = component.run(version="2")
    assert answer.exit == REFUSED and f"kill {before['pid']}" in answer.text
    send_signal(before["pid"], signal.SIGTERM)
    wait_until(lambda: not is_alive(before["pid"]), "it ends")
    assert component.run(version="2").exit == DONE


def test_an_ejected_component_with_a_directory_is_found_by_its_successor(component, segue):
    directory = segue.directory / "alone"
    component.run("--env", f"SEGUE_DIRECTORY={directory}")
    client = component.client()
    assert client("INC a") == "1"
    answer = segue.plain("eject", "--json", component.name)
    assert answer.exit == DONE and str(directory) in answer.text
    successor = subprocess.Popen([str(word) for word in component.program("2")[1:]],
                                 env=dict(os.environ, SEGUE_DIRECTORY=str(directory)))
    segue.pids.add(successor.pid)
    wait_until(lambda: client.version() == "2", "it takes over")
    assert client("INC a") == "2"


def test_during_an_upgrade_nothing_is_ejected(component, segue):
    component.run()
    upgrade = component.start_upgrade("2", "--probation-s", "10")
    component.wait_for_phase("probation")
    answer = segue.plain("eject", "--force", "--json", component.name)
    assert answer.exit == REFUSED and "under way" in answer.text
    upgrade.communicate(timeout=60)
    assert upgrade.returncode == DONE
