# SPDX-License-Identifier: Apache-2.0
"""Upgrades, rehearsals and undo through the keeper, with clients that stay connected."""

import os
import signal
import socket

import pytest

from keeper_tools import (DONE, FAILED, REFUSED, UNDONE, UNKNOWN, Answer, Component, Segue, is_alive,
                          send_signal)
from support import RespClient, wait_until

QUICK = ("--probation-s", "0.2")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def component(segue):
    component = Component(segue)
    component.run()
    return component


def answer_of(process):
    out, err = process.communicate(timeout=60)
    return Answer(process.returncode, out, err)


# ---- Upgrades that are done

def test_an_upgrade_moves_clients_state_and_half_a_request(component):
    client = component.client()
    assert client("INC a") == "1"
    client.send("IN")
    answer = component.upgrade("2", *QUICK)
    assert answer.exit == DONE, answer
    client.send("C a\n")
    assert client.read() == "2" and client.version() == "2"
    assert answer.text.startswith("upgraded c v1 → v2: blackout ")
    assert "1 connection moved, 0 lost" in answer.text
    attempt = answer.attempt
    assert attempt["outcome"] == "done" and attempt["connections_lost"] == 0
    assert 0 < attempt["blackout_ns"] < 10_000_000
    assert attempt["predecessor_gone_s"] is not None
    status = component.status()
    assert (status["version"], status["previous"], status["old_processes"]) == ("2", "1", 0)


def test_clients_that_leave_and_come_in_probation_are_neither_lost_nor_moved(component):
    clients = [component.client() for _ in range(3)]
    for client in clients:
        client("INC a")
    upgrade = component.start_upgrade("2", "--probation-s", "30")
    component.wait_for_phase("probation")
    for client in clients[1:]:
        client.close()
    wait_until(lambda: component.status()["connections"] == 1, "the service has noticed")
    latest = component.client()
    assert latest.version() == "2"
    assert component.segue("undo", component.name, *QUICK).exit == DONE
    assert latest.version() == "1"
    back = component.segue("history", component.name).last["history"]
    assert [(one["connections_moved"], one["connections_lost"]) for one in back] == [(3, 0), (2, 0)], back
    assert component.segue("history", component.name, "--last", "1").last["history"] == back[-1:]
    assert answer_of(upgrade).exit == UNDONE
    assert component.upgrade("2", *QUICK).attempt["connections_lost"] == 0


def test_progress_is_reported_line_by_line(component):
    lines = component.upgrade("2", *QUICK).lines
    phases = [line["progress"]["keeper_phase"] for line in lines if "progress" in line]
    assert "probation" in phases
    assert lines[-1]["done"] is True
    plain = component.segue.plain("upgrade", *QUICK, component.name, *component.program("3"))
    assert "probation" in plain.err and "upgraded c v2 → v3" in plain.out


def test_the_state_may_go_through_the_keeper(component):
    clients = [component.client() for _ in range(300)]  # more than one message's descriptors
    for number, client in enumerate(clients):
        assert client(f"INC name{number}") == "1"
    answer = component.upgrade("2", "--relay", *QUICK)
    assert answer.exit == DONE, answer
    assert answer.attempt["connections_moved"] == 300
    for number, client in enumerate(clients):
        assert client(f"INC name{number}") == "2"
    assert clients[0].version() == "2"


def test_many_upgrades_leave_nothing_behind(component):
    client = component.client()
    keeper = component.status()["keeper_pid"]

    def descriptors():
        return len(os.listdir(f"/proc/{keeper}/fd"))

    for version in range(2, 5):
        assert component.upgrade(str(version), "--probation-s", "0").exit == DONE
    before = descriptors()
    for version in range(5, 15):
        assert component.upgrade(str(version), "--probation-s", "0").exit == DONE
        assert client.version() == str(version)
    assert descriptors() <= before
    assert len(component.status()["instances"]) == 1
    history = component.segue("history", component.name).last["history"]
    assert [attempt["outcome"] for attempt in history] == ["done"] * 13
    assert len(list((component.segue.state / component.name).glob("output.*.log"))) <= 8


def test_the_history_outlives_the_keeper(component):
    component.upgrade("2", *QUICK)
    component.segue("stop", component.name)
    history = component.segue("history", component.name).last["history"]
    assert history[0]["to"] == "2"
    component.run()
    component.upgrade("2", *QUICK)
    assert len(component.segue("history", component.name).last["history"]) == 2


def test_a_log_that_cannot_be_written_stops_no_upgrade(segue):
    component = Component(segue)
    folder = segue.state / component.name
    folder.mkdir(parents=True, mode=0o700)
    segue.state.chmod(0o700)
    for name in ("steps.log", "history.log"):  # every write fails: no space left on device
        (folder / name).symlink_to("/dev/full")
    component.run()
    assert component.upgrade("2", *QUICK).exit == DONE
    assert component.status()["log_lines_lost"] > 0
    assert "log.not_written" in component.segue.events(component.name)
    assert len(segue("history", component.name).last["history"]) == 1


# ---- Refused

def test_an_upgrade_while_one_runs_is_refused_or_waits(component):
    first = component.start_upgrade("2", "--probation-s", "10")
    component.wait_for_phase("probation")
    refused = component.upgrade("3", *QUICK)
    assert refused.exit == REFUSED
    assert "upgrade 1 (v1 → v2) has been under way for" in refused.text
    queued = component.start_upgrade("3", "--queue", *QUICK)
    assert answer_of(first).exit == DONE
    answer = answer_of(queued)
    assert answer.exit == DONE and "queued" in answer.lines[0]
    assert component.client().version() == "3"


def test_another_service_is_refused_by_name(component):
    answer = component.upgrade("2", more=("--service", "shop"))
    assert answer.exit == REFUSED
    assert "is of the service 'shop', and c runs 'counter'" in answer.text
    assert component.client().version() == "1"


def test_an_incompatible_form_is_refused_by_name(component):
    answer = component.upgrade("2", more=("--form-version", "2"))
    assert answer.exit == REFUSED, answer
    assert "counter" in answer.text
    assert component.client().version() == "1"


# ---- Failed: the predecessor goes on

@pytest.mark.parametrize("kind, part", [
    ("exit", "exited with 3"),
    ("check", "the sum is odd"),
    ("acquire", "resource could not be taken"),
    ("mute", "was not ready within 0.50 s"),
])
def test_a_bad_successor_is_ended_and_the_predecessor_goes_on(component, kind, part):
    client = component.client()
    assert client("INC a") == "1"
    answer = component.upgrade("2", "--start-s", "0.5", misbehaviour=(kind,))
    assert answer.exit == FAILED and part in answer.text, answer
    assert answer.text.endswith("; v1 goes on")
    assert client("INC a") == "2" and client.version() == "1"
    status = component.status()
    assert status["phase"] == "serving" and len(status["instances"]) == 1


def test_over_budget_is_tried_again_as_often_as_asked(segue):
    component = Component(segue)
    component.run(misbehaviour=("slow-freeze",))
    client = component.client()
    answer = component.upgrade("2", "--budget-ms", "5", "--retries", "2", "--max-attempts", "2")
    assert answer.exit == FAILED
    assert answer.attempt["tries"] == 3 and "in 3 tries" in answer.text
    assert client.version() == "1"


def test_a_timeout_ends_the_attempt(component):
    answer = component.upgrade("2", "--timeout", "0.5", misbehaviour=("mute",))
    assert answer.exit == UNKNOWN and "--timeout" in answer.text
    assert component.client().version() == "1"


# ---- Rehearsal

def test_a_rehearsal_changes_nothing(component):
    client = component.client()
    client("INC a")
    pid = component.status()["pid"]
    answer = component.upgrade("2", command="rehearse")
    assert answer.exit == DONE and "nothing was changed" in answer.text, answer
    status = component.status()
    assert (status["pid"], status["previous"], len(status["instances"])) == (pid, None, 1)
    assert client("INC a") == "2"
    bad = component.upgrade("2", command="rehearse", misbehaviour=("check",))
    assert bad.exit == FAILED and "the sum is odd" in bad.text


# ---- Undone

def test_undo_hands_back_with_what_was_written_meanwhile(component):
    client = component.client()
    client("INC a")
    component.upgrade("2", *QUICK)
    assert client("INC a") == "2"
    answer = component.segue("undo", component.name)
    assert answer.exit == DONE and "handed back c v2 → v1" in answer.text, answer
    assert client("INC a") == "3" and client.version() == "1"
    again = component.segue("undo", component.name)
    assert again.exit == REFUSED and "nothing to go back to" in again.text


def test_undo_in_probation_keeps_what_was_written_in_it(component):
    client = component.client()
    client("INC a")
    upgrade = component.start_upgrade("2", "--probation-s", "30")
    component.wait_for_phase("probation")
    assert client("INC a") == "2" and client.version() == "2"
    answer = component.segue("undo", component.name, *QUICK)
    assert answer.exit == DONE, answer
    assert client("INC a") == "3" and client.version() == "1"
    outcome = answer_of(upgrade)
    assert outcome.exit == UNDONE and "the operator undid it" in outcome.text
    wait_until(lambda: len(component.status()["instances"]) == 1, "the frozen one ends")


def test_undo_before_the_activation_ends_the_attempt(component):
    upgrade = component.start_upgrade("2", misbehaviour=("mute",))
    component.wait_for_phase("preparing")
    assert component.segue("undo", component.name).exit == DONE
    assert answer_of(upgrade).exit == FAILED
    assert component.client().version() == "1"


@pytest.mark.parametrize("options, part", [
    (("--health-cmd", "exit 7"), "'exit 7' exited with 7"),
    (("--health-tcp", "localhost:1"), "Connection refused"),
    (("--health-cmd", "sleep 60", "--health-timeout-ms", "100"), "did not end within"),
])
def test_bad_health_hands_back(component, options, part):
    client = component.client()
    client("INC a")
    answer = component.upgrade("2", "--probation-s", "5", *options)
    assert answer.exit == UNDONE and part in answer.text, answer
    assert client("INC a") == "2" and client.version() == "1"


def test_good_health_is_looked_at_during_the_whole_probation(component, short_dir):
    marks = short_dir / "marks"
    answer = component.upgrade("2", "--probation-s", "5", "--health-cmd",
                               f"echo $SEGUE_NAME $SEGUE_PID >> {marks}", "--health-tcp",
                               f"localhost:{component.port}")
    assert answer.exit == DONE, answer
    lines = marks.read_text().splitlines()
    assert len(lines) >= 3 and set(lines) == {f"c {component.status()['pid']}"}


def test_the_programs_own_vote_counts(component):
    assert component.upgrade("2", "--vote", *QUICK, misbehaviour=("vote-yes",)).exit == DONE
    answer = component.upgrade("3", "--vote", *QUICK, misbehaviour=("vote-no",))
    assert answer.exit == UNDONE and "the cache is cold" in answer.text
    assert component.client().version() == "2"


@pytest.mark.parametrize("kind, part", [
    ("crash-active", "was killed by signal 9"),
    ("hang-active", "stopped answering and was ended"),
])
def test_a_successor_that_dies_or_hangs_in_probation_is_undone(component, kind, part):
    client = component.client()
    client("INC a")
    answer = component.upgrade("2", "--probation-s", "5", "--hang-ms", "500", misbehaviour=(kind,))
    assert answer.exit == UNDONE and part in answer.text, answer
    assert client("INC a") == "2" and client.version() == "1"
    assert len(component.wait_for_phase("serving")["instances"]) == 1


# ---- Stopping in the middle

@pytest.mark.parametrize("phase, misbehaviour", [("preparing", ("mute",)), ("probation", ())])
def test_stop_in_an_attempt_leaves_no_process(component, phase, misbehaviour):
    upgrade = component.start_upgrade("2", "--probation-s", "30", misbehaviour=misbehaviour)
    pids = [entry["pid"] for entry in component.wait_for_phase(phase)["instances"]]
    assert component.segue("stop", component.name).exit == DONE
    assert answer_of(upgrade).exit == FAILED
    wait_until(lambda: not any(is_alive(pid) for pid in pids if pid), "all instances end")
    with pytest.raises(ConnectionRefusedError):
        component.client()


# ---- Watching

def test_status_watch_prints_a_line_for_each_change(component):
    watch = component.segue.start("status", "--watch", component.name)
    assert watch.stdout.readline().startswith("c serving v1")
    component.upgrade("2", "--probation-s", "1")
    lines = []
    while not lines or not lines[-1].startswith("c serving v2"):
        lines.append(watch.stdout.readline())
        assert lines[-1], "it ended"
    assert any(line.startswith("c probation v2") for line in lines), lines
    assert all(one != next_one for one, next_one in zip(lines, lines[1:])), lines
    component.segue("stop", component.name)
    _, err = watch.communicate(timeout=60)
    assert "does not run" in err


def test_events_can_be_followed(component):
    follow = component.segue.start("events", "--follow", component.name)
    component.upgrade("2", *QUICK)
    component.segue("stop", component.name)
    out, _ = follow.communicate(timeout=60)
    assert follow.returncode == DONE
    for event in ("instance.active", "attempt.activated", "attempt.committed", "stop"):
        assert event in out


# ---- A real server

def test_respkv_goes_up_two_versions_and_back(segue, build_dir, free_port):
    def program(version):
        return ["--", build_dir / f"examples/respkv/respkv-v{version}", "--listen",
                f"tcp:127.0.0.1:{free_port}"]
    assert segue("run", "kv", *program(1)).exit == DONE
    client = RespClient(free_port)
    client("SET", "a", "1")
    blocked = RespClient(free_port)
    blocked.send("BLPOP", "queue", "0")
    for version in (2, 3):
        answer = segue("upgrade", "kv", *QUICK, *program(version))
        assert answer.exit == DONE, answer
        assert answer.attempt["connections_moved"] == 2
        client("INCR", "a")
    for _ in range(2):
        assert segue("undo", "kv", *QUICK).exit == DONE
        client("INCR", "a")
    assert client("GET", "a") == b"5"
    assert segue.status("kv")["version"] == "1"
    client("RPUSH", "queue", "x")
    assert blocked.read() == [b"queue", b"x"]
