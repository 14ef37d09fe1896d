# SPDX-License-Identifier: Apache-2.0
"""The keeper dies or stops at each of its fault points; faults.tsv has the outcomes under load."""

import signal

import pytest

from keeper_tools import DONE, FAILED, Component, Segue, is_alive, is_stopped, send_signal
from support import wait_until

# No instance stops here, so that no bound may be reached, however busy the machine is.
BOUNDS = ("--probation-s", "0.3", "--hang-ms", "5000", "--answer-ms", "5000")
POINTS = ("spawn", "hello", "attempt-sent", "background", "rehearsal", "foreground", "activated",
          "probation", "commit")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


def upgrade_until(component, is_struck):
    """A phase that is over in no time is not seen by a busy keeper, so that its fault strikes at a
    later upgrade. Returns that one, and the version that it is to come to."""
    for version in range(2, 12):
        upgrade = component.start_upgrade(str(version), *BOUNDS)
        wait_until(lambda upgrade=upgrade: is_struck() or upgrade.poll() is not None,
                   "the fault strikes, or the upgrade ends", 60)
        if is_struck() or upgrade.poll() != DONE:
            return upgrade, version
        upgrade.communicate()
    raise AssertionError("the fault never struck")


@pytest.mark.parametrize("point", POINTS[2:])
def test_a_killed_keeper_leaves_exactly_one_instance_that_serves(segue, point):
    component = Component(segue)
    assert component.run("--unsafe-fault", f"{point}:kill").exit == DONE
    keeper = component.status()["keeper_pid"]
    client = component.client()
    client("INC a")
    upgrade, version = upgrade_until(component, lambda: not is_alive(keeper))
    upgrade.communicate(timeout=60)
    wait_until(lambda: not is_alive(keeper), "the keeper is dead")
    pids = segue.left_instances(component.name)
    segue.pids.update(pids)
    wait_until(lambda: [is_alive(pid) for pid in pids].count(True) == 1,
               "the instances settle without a keeper")
    assert client("INC a") == "2"
    assert is_alive(client.pid())
    answer = segue.plain("keeper", "start", "--json", component.name)
    assert answer.exit == DONE, answer
    status = component.wait_for_phase("serving")
    assert status["pid"] == client.pid()
    assert client("INC a") == "3"
    following = str(version + 1)
    assert component.upgrade(following, *BOUNDS).exit == DONE, "it can be managed again"
    assert client("INC a") == "4" and client.version() == following


@pytest.mark.parametrize("point", POINTS[:2])
def test_a_keeper_that_is_killed_before_anything_serves_leaves_nothing(segue, point):
    component = Component(segue)
    assert component.run("--unsafe-fault", f"{point}:kill").exit != DONE
    for pid in segue.left_instances(component.name):
        send_signal(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not is_alive(pid), "it is gone")
    assert component.run().exit == DONE


@pytest.mark.parametrize("point", POINTS[2:])
def test_a_stopped_keeper_goes_on_where_it_was(segue, point):
    component = Component(segue)
    assert component.run("--unsafe-fault", f"{point}:stop").exit == DONE
    keeper = component.status()["keeper_pid"]
    client = component.client()
    client("INC a")
    upgrade, version = upgrade_until(component, lambda: is_stopped(keeper))
    wait_until(lambda: client.version() == str(version), "the handoff needs no keeper")
    assert client("INC a") == "2"
    send_signal(keeper, signal.SIGCONT)
    upgrade.communicate(timeout=60)
    wait_until(lambda: len(component.status()["instances"]) == 1, "one instance is left")
    status = component.wait_for_phase("serving")
    assert status["pid"] == client.pid() and client("INC a") == "3"


@pytest.mark.parametrize("point", ("spawn", "hello"))
def test_an_error_in_the_start_fails_it(segue, point):
    component = Component(segue)
    answer = component.run("--unsafe-fault", f"{point}:error")
    assert answer.exit == FAILED and "fault" in answer.text
