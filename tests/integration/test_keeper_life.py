# SPDX-License-Identifier: Apache-2.0
"""A component's life under its keeper, apart from upgrades: start, crash, stop, and bad words."""

import os
import signal
import socket
import subprocess

import pytest

from keeper_tools import (DONE, FAILED, REFUSED, USAGE, Component, Segue, is_alive, send_signal)
from support import wait_until


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def component(segue):
    return Component(segue)


# ---- Start and stop

def test_run_returns_when_the_program_serves_and_stop_when_it_has_ended(component):
    answer = component.run()
    assert answer.exit == DONE, answer
    status = component.status()
    assert status["phase"] == "serving" and status["service"] == "counter"
    assert status["listeners"] == ["main"] and status["old_processes"] == 0
    assert component.client()("INC a") == "1"

    assert component.segue("stop", component.name).exit == DONE
    wait_until(lambda: not is_alive(status["keeper_pid"]), "the keeper ends")
    assert not is_alive(status["pid"])
    assert not (component.segue.runtime / component.name / "control.sock").exists()


def test_run_again_after_stop(component):
    for version in ("1", "2"):
        assert component.run(version=version).exit == DONE
        assert component.client().version() == version
        assert component.segue("stop", component.name).exit == DONE


def test_a_program_that_ends_at_once_fails_and_leaves_nothing(component):
    answer = component.run(misbehaviour=("exit",))
    assert answer.exit == FAILED
    assert "exited with 3" in answer.text
    output = answer.text.split("its output is in ")[1]
    assert "told to exit" in open(output, encoding="utf-8").read()
    assert "does not run" in component.segue("status", component.name).text


def test_a_program_that_is_never_ready_fails_at_the_timeout(component):
    answer = component.run("--timeout", "0.3", misbehaviour=("mute",))
    assert answer.exit == FAILED
    assert "not active within 0.30 s" in answer.text


def test_a_second_run_is_refused_and_the_first_goes_on(component):
    component.run()
    client = component.client()
    answer = component.run(version="2")
    assert answer.exit == REFUSED
    assert f"segue upgrade {component.name}" in answer.text
    assert client.version() == "1"


def test_the_program_has_the_given_directory_and_variables(component):
    component.run("--cwd", "/usr", "--env", "COLOUR=red", "--env", "SHAPE=a=b")
    pid = component.status()["pid"]
    assert os.readlink(f"/proc/{pid}/cwd") == "/usr"
    environment = open(f"/proc/{pid}/environ", encoding="utf-8").read().split("\0")
    assert "COLOUR=red" in environment and "SHAPE=a=b" in environment


def test_in_the_foreground_an_interrupt_stops_it(component, segue):
    process = segue.start("run", "--foreground", component.name,
                          *component.program("1", "chatter"))
    wait_until(lambda: component.status().get("phase") == "serving", "it serves")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == DONE
    assert "counter 1: activate" in out


def test_a_program_that_does_not_end_is_killed(component):
    component.run("--grace-s", "0.2", misbehaviour=("stay",))
    pid = component.status()["pid"]
    assert component.segue("stop", component.name).exit == DONE
    assert not is_alive(pid)


def test_output_is_kept_apart_by_generation(component):
    component.run(misbehaviour=("chatter",))
    component.upgrade("2", "--probation-s", "0", misbehaviour=("chatter",))
    state = component.segue.state / component.name
    assert "counter 1: activate" in (state / "output.1.log").read_text()
    assert "counter 2: activate" in (state / "output.2.log").read_text()


# ---- Crashes

def test_a_crashed_program_is_started_again_and_no_connect_is_refused(component):
    component.run()
    for _ in range(3):
        old = component.status()["pid"]
        send_signal(old, signal.SIGKILL)
        wait_until(lambda: not is_alive(old), "it is dead")
        waiting = socket.create_connection(("127.0.0.1", component.port), 5)  # the keeper's listener
        waiting.sendall(b"WHO\n")
        waiting.settimeout(20)
        assert waiting.recv(100).split()[1] != str(old).encode()
    assert component.wait_for_phase("serving")["restarts"] == 3


def test_a_program_that_crashes_again_and_again_is_given_up(component):
    component.run("--max-restarts", "2")
    keeper = component.status()["keeper_pid"]

    def crash():
        pid = component.status().get("pid", 0)
        send_signal(pid, signal.SIGKILL)
        return not is_alive(keeper)

    wait_until(crash, "the keeper gives up")
    with pytest.raises(ConnectionRefusedError):
        component.client()


def test_a_hung_program_is_reported_and_left_alone(component):
    component.run()
    pid = component.status()["pid"]
    send_signal(pid, signal.SIGSTOP)
    wait_until(lambda: component.status()["hung"], "it is reported")
    assert is_alive(pid) and component.status()["phase"] == "serving"
    send_signal(pid, signal.SIGCONT)
    wait_until(lambda: not component.status()["hung"], "it answers again")


# ---- Bad words

def test_an_unknown_name_is_refused_and_a_near_one_suggested(component, segue):
    component.name = "respkv"
    component.run()
    answer = segue("status", "repskv")
    assert answer.exit == REFUSED
    assert "did you mean respkv?" in answer.text
    assert "segue run" in segue("stop", "something-else").text


@pytest.mark.parametrize("words, part", [
    (["run", "--json", "c"], "PROGRAM is missing"),
    (["run", "--json", "../x", "--", "/bin/true"], "cannot name a component"),
    (["run", "--json", "--nonsense", "c", "/bin/true"], "no option --nonsense"),
    (["upgrade", "--json", "--budget-us", "1", "c", "/bin/true"], "--budget-us"),
    (["upgrade", "--json", "--retries", "many", "c", "/bin/true"], "--retries"),
    (["stop", "--json", "c", "d"], "not expected: d"),
    (["stop", "--json", "c", "--", "d"], "do not belong here"),
    (["frobnicate", "--json"], "frobnicate"),
    (["status", "--json", "--watch"], "NAME"),
    (["stop", "--json"], "NAME"),
])
def test_a_bad_command_line_is_one_line_and_nothing_happens(segue, words, part):
    answer = segue.plain(*words)
    assert answer.exit == USAGE, answer
    assert len(answer.lines) == 1 and answer.err == ""
    assert part in answer.text, answer
    plain = segue.plain(*[word for word in words if word != "--json"])
    assert plain.exit == USAGE and plain.out == ""
    assert len(plain.err.splitlines()) == 1 and plain.err.startswith("segue: ")
    assert not segue.runtime.exists()


@pytest.mark.parametrize("program, part", [
    ("/no/such/program", "there is no program /no/such/program"),
    ("/etc/passwd", "cannot be executed: chmod +x"),
    ("/usr", "is not a program file"),
    ("no-such-program", "not in PATH"),
])
def test_a_program_that_cannot_be_run_is_refused(component, segue, program, part):
    answer = segue("run", component.name, "--", program)
    assert answer.exit == REFUSED and part in answer.text
    component.run()
    answer = segue("upgrade", component.name, "--", program)
    assert answer.exit == REFUSED and part in answer.text
    assert component.client().version() == "1"
    assert len(component.status()["instances"]) == 1


def test_a_program_without_rights_to_execute_it_here_is_named(component, segue, short_dir):
    program = short_dir / "script"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    answer = segue("run", component.name, "--", program)
    assert answer.exit == FAILED and str(program) in answer.text


def test_a_folder_that_others_can_enter_is_not_trusted(component, segue):
    component.run()
    folder = segue.runtime / component.name
    folder.chmod(0o755)
    answer = segue("status", component.name)
    assert answer.exit == REFUSED and "chmod 700" in answer.text
    folder.chmod(0o700)
    assert segue("status", component.name).exit == DONE
    segue("stop", component.name)
    folder.chmod(0o755)
    assert component.run().exit == REFUSED


def test_a_malformed_request_is_answered_and_does_no_harm(component, segue):
    component.run()
    path = str(segue.runtime / component.name / "control.sock")
    for message in (b"nonsense", b"segue/1\0dance", b"segue/1\0upgrade\0retries=x\0--\0/bin/true",
                    b"segue/1\0upgrade\0--\0relative", b"segue/1\0upgrade", b"\0" * 5000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(path)
            client.sendall(message)
            client.settimeout(10)
            reply = client.recv(1 << 17)
            assert b'"exit":2' in reply or b'"exit":4' in reply, (message, reply)
    assert component.client().version() == "1"


def test_dry_runs_change_nothing(component, segue):
    answer = segue.plain("run", "--dry-run", component.name, *component.program("1"))
    assert answer.exit == DONE and "would be started" in answer.out
    assert not segue.runtime.exists()
    component.run()
    before = component.status()
    plan = segue.plain("upgrade", "--dry-run", "--probation-s", "9", component.name,
                       *component.program("2"))
    assert plan.exit == DONE and "probation: 9000 ms" in plan.out
    assert segue.plain("undo", "--dry-run", component.name).exit == REFUSED
    assert segue.plain("stop", "--dry-run", component.name).exit == DONE
    after = component.status()
    assert (after["pid"], after["phase"]) == (before["pid"], "serving")
    assert len(after["instances"]) == 1


def test_doctor_tries_what_a_handoff_needs(segue):
    answer = segue.plain("doctor", "--json")
    found = {finding["what"]: finding for finding in answer.last["findings"]}
    assert {"memfd seals", "pidfd", "SO_PEERPIDFD", "RLIMIT_NOFILE", "runtime directory", "kernel",
            "tcp_migrate_req", "MADV_POPULATE_WRITE", "memory"} <= set(found)
    assert found["pidfd"]["health"] == "ok"
    assert all(finding["remedy"] for finding in found.values() if finding["health"] != "ok")


def test_doctor_finds_a_low_limit(segue):
    low = subprocess.run(["sh", "-c", f"ulimit -n 512; {segue.program} doctor --json"],
                         env=segue.environment, capture_output=True, text=True, check=False)
    assert low.returncode == FAILED and '"RLIMIT_NOFILE"' in low.stdout


def test_help_tags_what_is_unsafe(segue):
    assert "UNSAFE" in segue.plain("run", "--help").out
    keeper = segue.build_dir / "src/keeper/segue-keeper"
    text = subprocess.run([str(keeper), "--help"], capture_output=True, text=True, check=True).stdout
    assert "UNSAFE" in text and "--unsafe-fault" in text
