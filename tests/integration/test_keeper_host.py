# SPDX-License-Identifier: Apache-2.0
"""Several components on one host: room for old and new, and turns."""

import os
import pathlib

import pytest

from keeper_tools import DONE, REFUSED, Component, Segue
from support import free_port, wait_until

MEMORY = pathlib.Path("/sys/fs/cgroup/memory")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


def start(segue, count):
    components = [Component(segue, f"c{number}") for number in range(count)]
    for component in components:
        run_at_a_free_port(component)
    return components


def run_at_a_free_port(component):
    """Somebody's outgoing connection may have taken the port meanwhile: then another one."""
    for _ in range(5):
        answer = component.run()
        if answer.exit == DONE:
            return
        assert "Address already in use" in answer.text, answer
        component.port = free_port()
    raise AssertionError("five ports were taken in a row")


def test_a_busy_host_is_refused_with_its_figures_unless_forced(segue):
    component, = start(segue, 1)
    answer = component.upgrade("2", "--max-load", "0")
    assert answer.exit == REFUSED, answer
    assert "the host is too busy" in answer.text and "; load " in answer.text
    assert "--force" in answer.text and component.client().version() == "1"
    assert "attempt.not_admitted" in segue.events(component.name)
    assert component.upgrade("2", "--max-load", "0", "--force").exit == DONE
    assert segue("undo", component.name, "--max-load", "0").exit == REFUSED
    assert component.client().version() == "2"


@pytest.mark.skipif(not os.access(MEMORY / "cgroup.procs", os.W_OK),
                    reason="needs a writable memory cgroup (v1)")
def test_old_and_new_have_to_fit_into_the_cgroup_together(segue):
    group = MEMORY / f"segue-test-{os.getpid()}"
    group.mkdir()
    component = Component(segue)
    try:
        limit = group / "memory.limit_in_bytes"
        enter = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))  # noqa: E731
        answer = segue("run", component.name, *component.program("1"), preexec_fn=enter)
        assert answer.exit == DONE, answer
        used = int((group / "memory.usage_in_bytes").read_text())
        limit.write_text(str(used + (8 << 20)))
        answer = component.upgrade("2")
        assert answer.exit == REFUSED and "do not fit into memory" in answer.text, answer
        assert "until the cgroup's limit" in answer.text
        assert component.client().version() == "1"
        limit.write_text(str(used + (4 << 30)))
        assert component.upgrade("2").exit == DONE
    finally:
        segue.finish()
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "everybody has left it")
        group.rmdir()


def test_further_attempts_wait_and_say_for_whom_and_each_has_its_turn(segue):
    components = start(segue, 4)
    upgrades = [component.start_upgrade("2", "--probation-s", "10") for component in components[:2]]
    for component in components[:2]:
        component.wait_for_phase("probation")
    late = components[2].start_upgrade("2", "--probation-s", "0")
    assert '"queued":"2 attempts run at once' in (line := late.stdout.readline()), line
    assert "c0 (keeper " in line and "c1 (keeper " in line
    answer = components[3].upgrade("2", "--turn-s", "0.3")
    assert answer.exit == REFUSED and "not its turn within 0.30 s" in answer.text, answer
    answer = components[3].upgrade("2", "--max-parallel", "3", "--probation-s", "0")
    assert answer.exit == DONE, "who allows more does not wait"
    for process in (*upgrades, late):
        process.communicate(timeout=60)
        assert process.returncode == DONE
    assert [component.client().version() for component in components] == ["2"] * 4


def test_ten_upgrades_asked_for_at_once_run_two_at_a_time(segue):
    components = start(segue, 10)
    clients = [component.client() for component in components]
    for client in clients:
        assert client("INC a") == "1"
    upgrades = [component.start_upgrade("2", "--probation-s", "0.2") for component in components]
    most = 0
    while any(upgrade.poll() is None for upgrade in upgrades):
        busy = [component.status().get("attempt") for component in components]
        most = max(most, sum(attempt is not None for attempt in busy))
    for upgrade in upgrades:
        upgrade.communicate()
        assert upgrade.returncode == DONE
    for client in clients:
        assert client("INC a") == "2" and client.version() == "2"
