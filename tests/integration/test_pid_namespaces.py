# SPDX-License-Identifier: Apache-2.0
"""Instances that are not the keeper's own children, in PID namespaces that do not see each other."""

import os
import signal
import subprocess

import pytest

from keeper_tools import (DONE, UNDONE, Answer, Component, Segue, is_alive, kill_keeper, send_signal,
                          start_keeper, state_of)
from support import wait_until

QUICK = ("--probation-s", "0.2")
# Whatever else a busy machine does, only what is stopped hangs for so long.
HANGS = ("--probation-s", "60", "--hang-ms", "3000")


class Wrapped(Component):
    """Each instance is process 1 of a PID namespace of its own; the keeper starts unshare(1)."""

    namespaces = ("--pid", "--fork")

    def program(self, version, *misbehaviour, more=()):
        words = super().program(version, *misbehaviour, more=more)
        return ["--", "unshare", *self.namespaces, *words[1:]]

    def serving_pid(self):
        return self.status()["pid"]

    def parent_of(self, pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])


@pytest.fixture
def component(build_dir, short_dir):
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode != 0:
        pytest.skip("a PID namespace of its own takes root")
    segue = Segue(build_dir, short_dir)
    component = Wrapped(segue)
    answer = component.run()
    assert answer.exit == DONE, answer
    yield component
    segue.finish()


def program_of(pid):
    return os.path.basename(os.readlink(f"/proc/{pid}/exe"))


def test_whoever_says_hello_is_the_instance_and_hands_over_to_a_sibling(component):
    pid = component.serving_pid()
    assert program_of(pid) == "counter" and program_of(component.parent_of(pid)) == "unshare"
    client = component.client()
    assert client("INC a") == "1"
    for command, version, expected in (("upgrade", "2", "2"), ("upgrade", "3", "3"), ("undo", None, "4")):
        answer = (component.upgrade(version, *QUICK) if version
                  else component.segue(command, component.name, *QUICK))
        assert answer.exit == DONE, answer
        assert client("INC a") == expected
    assert client.version() == "2"
    assert "instance.fenced" not in component.segue.events(component.name)


def stop_successor(component):
    """In probation, from outside: process 1 of a namespace does not stop itself."""
    client = component.client()
    client("INC a")
    upgrade = component.start_upgrade("2", *HANGS)
    status = component.wait_for_phase("probation")
    successor = next(entry["pid"] for entry in status["instances"] if entry["role"] == "serving")
    assert client.version() == "2"
    send_signal(successor, signal.SIGSTOP)
    return client, upgrade, successor


def test_a_successor_that_hangs_in_probation_is_ended_by_the_keeper(component):
    client, upgrade, successor = stop_successor(component)
    out, err = upgrade.communicate(timeout=60)
    assert upgrade.returncode == UNDONE, (out, err)
    assert not is_alive(successor)
    assert client("INC a") == "2" and client.version() == "1"
    assert "instance.fenced" in component.segue.events(component.name)
    assert len(component.wait_for_phase("serving")["instances"]) == 1
    assert component.upgrade("3", *QUICK).exit == DONE
    assert client("INC a") == "3" and client.version() == "3"


def test_a_stopped_successor_is_ended_by_the_next_keeper_where_the_first_one_is_dead(component):
    client, upgrade, successor = stop_successor(component)
    kill_keeper(component)
    send_signal(successor, signal.SIGSTOP)  # again: an orphaned process group is continued
    upgrade.communicate(timeout=60)
    answer = start_keeper(component)
    assert answer.exit == DONE, answer
    assert not is_alive(successor)
    assert client("INC a") == "2" and client.version() == "1"
    assert component.upgrade("3", *QUICK).exit == DONE
    assert client("INC a") == "3"


def test_a_killed_instance_is_started_again_and_how_it_ended_is_known(component):
    pid = component.serving_pid()
    send_signal(pid, signal.SIGKILL)
    wait_until(lambda: component.status().get("pid") not in (None, 0, pid), "it is started again")
    ended = next(line for line in component.segue("events", component.name).lines
                 if line.get("event") == "instance.ended")
    # Before Linux 6.15 nobody but its parent can know.
    assert "signal 9" in ended["how"] or "is not known" in ended["how"], ended


def test_an_instance_outlives_what_had_started_it(component):
    pid = component.serving_pid()
    starter = component.parent_of(pid)
    client = component.client()
    client("INC a")
    send_signal(starter, signal.SIGKILL)
    wait_until(lambda: state_of(starter) == "Z" and "instance.starter_ended" in str(
        component.segue("events", component.name).lines), "the keeper has seen it end")
    assert component.serving_pid() == pid and client("INC a") == "2"
    assert component.upgrade("2", *QUICK).exit == DONE
    assert client("INC a") == "3"
    wait_until(lambda: not is_alive(pid), "the predecessor has ended")
    current = component.serving_pid()
    assert component.segue("stop", component.name).exit == DONE
    assert not is_alive(current)


def test_another_program_of_the_keeper_goes_on_with_both(component):
    pid = component.serving_pid()
    starter = component.parent_of(pid)
    client = component.client()
    client("INC a")
    answer = component.segue.plain("keeper", "upgrade", "--json", component.name)
    assert answer.exit == DONE, answer
    assert component.serving_pid() == pid
    assert component.upgrade("2", *QUICK).exit == DONE
    assert client("INC a") == "2"
    wait_until(lambda: not os.path.exists(f"/proc/{starter}"), "the starter is waited for")


def test_an_instance_without_a_keeper_comes_to_the_next_one(component):
    pid = component.serving_pid()
    client = component.client()
    client("INC a")
    kill_keeper(component)
    assert client("INC a") == "2"
    answer = start_keeper(component)
    assert isinstance(answer, Answer) and answer.exit == DONE, answer
    assert component.serving_pid() == pid
    assert component.upgrade("2", *QUICK).exit == DONE
    assert client("INC a") == "3" and client.version() == "2"


def test_a_listener_that_the_keeper_binds_reaches_instances_without_a_network(build_dir, short_dir):
    if os.geteuid() != 0:
        pytest.skip("namespaces of its own take root")
    segue = Segue(build_dir, short_dir)
    component = Wrapped(segue)
    component.namespaces = ("--pid", "--net", "--fork")
    try:
        answer = component.run("--listen", f"main=tcp:127.0.0.1:{component.port}")
        assert answer.exit == DONE, answer
        client = component.client()
        assert client("INC a") == "1"
        assert component.upgrade("2", *QUICK).exit == DONE
        assert client("INC a") == "2" and component.client().version() == "2"
        send_signal(component.serving_pid(), signal.SIGKILL)
        wait_until(lambda: segue.events(component.name).count("instance.active") == 2, "it is started again")
        assert component.client()("INC b") == "1"
    finally:
        segue.finish()


def test_a_listener_by_a_name_that_libsegue_does_not_take_is_refused(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    component = Component(segue)
    answer = component.run("--listen", f"we,b=tcp:127.0.0.1:{component.port}")
    assert answer.exit not in (DONE, UNDONE) and "no name of a listener" in answer.text + answer.err, answer
    segue.finish()
