# SPDX-License-Identifier: Apache-2.0
"""A component whose instances run in containers without a network and without capabilities, on real engines."""

import json
import os
import pathlib
import shutil
import signal
import tempfile

import pytest

from container_tools import Engine, Load, image_of, why_not
from keeper_tools import (DONE, FAILED, REFUSED, UNDONE, USAGE, Answer, Segue, is_alive, kill_keeper, send_signal,
                          start_keeper, state_of)
from support import RespClient, free_port, wait_until

QUICK = ("--probation-s", "0.5")
# Whatever else a busy machine does, only what is stopped hangs for so long.
HANGS = ("--probation-s", "120", "--hang-ms", "4000")
CONNECTIONS = 20


class Containers:
    """respkv in containers of one engine."""

    def __init__(self, segue, engine, name="kv"):
        self.segue, self.engine, self.name, self.port = segue, engine, name, free_port()

    def options(self, version):
        return ["--container", f"localhost/respkv:{version}", "--engine", self.engine.url, "--network", "none",
                "--cap-drop", "all", "--memory", "512m", "--env", "ASAN_OPTIONS=detect_leaks=0"]

    def arguments(self):
        # A generous budget: what a busy machine takes back is right, but not what is asked here.
        return ["--", "--listen", f"tcp:127.0.0.1:{self.port}", "--budget-us", "5000000"]

    def run(self, version="1"):
        answer = self.segue("run", self.name, "--timeout", "60", "--listen",
                            f"clients.0=tcp:127.0.0.1:{self.port}", *self.options(version), *self.arguments())
        self.status()
        return answer

    def upgrade(self, version, *options, command="upgrade"):
        return self.segue(command, self.name, *options, *self.options(version), *self.arguments(), deadline_s=120)

    def start_upgrade(self, version, *options):
        return self.segue.start("upgrade", "--json", *options, *self.options(version), self.name, *self.arguments())

    def undo(self, *options):
        return self.segue("undo", self.name, *options, deadline_s=120)

    def status(self):
        return self.segue.status(self.name)

    def client(self):
        return RespClient(self.port)

    def load(self, count=CONNECTIONS):
        return Load(self.client, count)

    def wait_for_phase(self, phase):
        def found():
            status = self.status()
            return status if status.get("phase") == phase else None
        return wait_until(found, f"{self.name} is {phase}; it is {self.status()}", 60)

    def running(self):
        return [container["Id"] for container in self.engine.containers() if container["State"] == "running"]

    def wait_for_containers(self, count):
        wait_until(lambda: len(self.engine.containers()) == count,
                   f"{count} containers are left of {self.engine.containers()}", 60)

    def starters(self):
        """Both processes of each segue-container of this component."""
        mark = f"SEGUE_RUNTIME_DIR={self.segue.runtime}".encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "exe").endswith("segue-container"):
                    if mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
            except OSError:
                continue
        return found


@pytest.fixture(scope="module", params=("podman", "docker"))
def any_engine(request, build_dir, tmp_path_factory):
    yield from engine_of(request.param, build_dir)


@pytest.fixture(scope="module")
def podman(build_dir):
    yield from engine_of("podman", build_dir)


def engine_of(kind, build_dir):
    missing = why_not(kind)
    if missing:
        pytest.skip(f"NOT TESTED with {kind}: {missing}")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="se", dir="/tmp"))
    engine = Engine(kind, directory / "e")
    for version in ("1", "2"):
        engine.load(image_of(build_dir / f"examples/respkv/respkv-v{version}", f"localhost/respkv:{version}"))
    yield engine
    engine.finish()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def kv(segue, podman):
    component = Containers(segue, podman)
    answer = component.run()
    assert answer.exit == DONE, (answer, logs_of(segue))
    yield component
    segue("stop", component.name)
    component.wait_for_containers(0)


def logs_of(segue):
    return "".join(path.read_text(errors="replace") for path in segue.state.rglob("*.log"))


def answer_of(process, deadline_s=120):
    out, err = process.communicate(timeout=deadline_s)
    return Answer(process.returncode, out, err)


def test_connections_and_state_go_from_container_to_container_and_back(segue, any_engine):
    kv = Containers(segue, any_engine)
    answer = kv.run()
    assert answer.exit == DONE, (answer, logs_of(segue))
    load = kv.load()
    load.round()
    one = kv.status()["container"]
    assert one["image"] == "localhost/respkv:1"
    inspected = any_engine.container(one["container"])
    assert inspected["HostConfig"]["NetworkMode"] == "none" and inspected["HostConfig"]["CapAdd"] in (None, [])
    assert inspected["HostConfig"]["Memory"] == 512 << 20
    status = pathlib.Path(f"/proc/{kv.status()['pid']}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert os.readlink(f"/proc/{kv.status()['pid']}/ns/net") != os.readlink("/proc/self/ns/net")

    for change, version in ((lambda: kv.start_upgrade("2", *QUICK), "2"),
                            (lambda: segue.start("undo", "--json", *QUICK, kv.name), "1")):
        process = change()
        load.rounds_for(process)
        answer = answer_of(process)
        assert answer.exit == DONE, (answer, logs_of(segue))
        assert answer.attempt["connections_lost"] == 0
        assert answer.attempt["connections_moved"] >= CONNECTIONS
        load.round()
        assert kv.status()["version"].startswith(version)
        kv.wait_for_containers(1)
    assert kv.status()["container"]["container"] != one["container"]
    assert kv.client()("GET", "own:0") == str(load.expected[0]).encode()
    assert segue("stop", kv.name).exit == DONE
    kv.wait_for_containers(0)
    wait_until(lambda: not kv.starters(), "the starters end")


def test_a_rehearsal_and_a_dry_run_change_nothing(kv):
    pid = kv.status()["pid"]
    answer = kv.upgrade("2", "--dry-run")
    assert answer.exit == DONE, answer
    assert len(kv.engine.containers()) == 1
    answer = kv.upgrade("2", command="rehearse")
    assert answer.exit == DONE, answer
    kv.wait_for_containers(1)
    assert kv.status()["pid"] == pid


def test_an_image_that_is_not_there_is_refused_before_anything_happens(kv):
    answer = kv.upgrade("99")
    assert answer.exit == REFUSED and "respkv:99" in answer.text, answer
    answer = kv.segue.plain("upgrade", "--json", "--container", "x", "--engine", "unix:///nonexistent", kv.name)
    assert answer.exit == REFUSED, answer
    assert len(kv.engine.containers()) == 1 and "attempt.begin" not in kv.segue.events(kv.name)


def test_a_container_that_is_killed_in_probation_is_undone(kv):
    load = kv.load()
    load.round()
    upgrade = kv.start_upgrade("2", *HANGS)
    kv.wait_for_phase("probation")
    load.round()
    successor = kv.status()["container"]["container"]
    kv.engine.ask("POST", f"/containers/{successor}/kill?signal=KILL")
    answer = answer_of(upgrade)
    assert answer.exit == UNDONE, answer
    load.round()
    assert kv.status()["version"].startswith("1")
    kv.wait_for_containers(1)


def test_a_stopped_container_is_ended_by_the_keeper_before_its_predecessor_goes_on(kv):
    load = kv.load()
    load.round()
    upgrade = kv.start_upgrade("2", *HANGS)
    status = kv.wait_for_phase("probation")
    successor = status["pid"]
    load.round()
    send_signal(successor, signal.SIGSTOP)
    answer = answer_of(upgrade)
    assert answer.exit == UNDONE, answer
    assert not is_alive(successor)
    assert "instance.fenced" in kv.segue.events(kv.name)
    load.round()
    assert kv.status()["version"].startswith("1")
    kv.wait_for_containers(1)


def test_a_stopped_container_is_ended_by_the_next_keeper(kv):
    load = kv.load()
    load.round()
    upgrade = kv.start_upgrade("2", *HANGS)
    successor = kv.wait_for_phase("probation")["pid"]
    load.round()
    send_signal(successor, signal.SIGSTOP)
    kill_keeper(kv)
    upgrade.communicate(timeout=120)
    answer = start_keeper(kv)
    assert answer.exit == DONE, answer
    assert not is_alive(successor)
    load.round()
    assert kv.status()["version"].startswith("1")
    answer = kv.upgrade("2", *QUICK)
    assert answer.exit == DONE, answer
    load.round()
    kv.wait_for_containers(1)


def test_an_instance_serves_on_when_its_starter_is_killed(kv):
    load = kv.load()
    load.round()
    pid = kv.status()["pid"]
    for starter in kv.starters():
        send_signal(starter, signal.SIGKILL)
    wait_until(lambda: "instance.starter_ended" in kv.segue.events(kv.name), "the keeper has seen it")
    load.round()
    assert kv.status()["pid"] == pid
    answer = kv.upgrade("2", *QUICK)
    assert answer.exit == DONE and answer.attempt["connections_lost"] == 0, answer
    load.round()
    # What nobody cleared away, the next start does.
    answer = kv.undo(*QUICK)
    assert answer.exit == DONE, answer
    load.round()
    kv.wait_for_containers(1)


def test_instances_serve_on_without_a_keeper_and_come_to_the_next_one(kv):
    load = kv.load()
    load.round()
    pid = kv.status()["pid"]
    kill_keeper(kv)
    load.round()
    answer = start_keeper(kv)
    assert answer.exit == DONE, answer
    assert kv.status()["pid"] == pid
    answer = kv.upgrade("2", *QUICK)
    assert answer.exit == DONE and answer.attempt["connections_lost"] == 0, answer
    load.round()
    kv.wait_for_containers(1)


def test_a_killed_engine_changes_nothing_for_what_serves(kv):
    load = kv.load()
    load.round()
    kv.engine.kill()
    load.round()
    answer = kv.upgrade("2", *QUICK)
    assert answer.exit == REFUSED, answer
    load.round()
    kv.engine.start()
    answer = kv.upgrade("2", *QUICK)
    assert answer.exit == DONE and answer.attempt["connections_lost"] == 0, answer
    load.round()
    kv.wait_for_containers(1)


def test_a_program_that_never_asks_for_its_keeper_is_killed_and_removed(kv):
    kv.engine.load(image_of("/bin/sleep", "localhost/sleep:1"))
    answer = kv.segue("upgrade", kv.name, "--start-s", "3", "--container", "localhost/sleep:1", "--engine",
                      kv.engine.url, "--", "1000", deadline_s=120)
    assert answer.exit in (FAILED, REFUSED), answer
    kv.wait_for_containers(1)
    assert kv.client()("PING") == "PONG"


@pytest.fixture
def redis(segue, podman):
    """A program that knows nothing of Segue."""
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("NOT TESTED: redis-server is not installed")
    for version in ("1", "2"):
        podman.load(image_of(program, f"localhost/redis:{version}"))
    component = Containers(segue, podman, "redis")
    yield component
    segue("stop", component.name)
    component.wait_for_containers(0)


def plain_words(component, version):
    return ["--container", f"localhost/redis:{version}", "--engine", component.engine.url, "--network", "host", "--",
            "--port", component.port, "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]


def test_a_program_that_does_not_link_libsegue_is_restarted_in_a_new_container(segue, redis):
    answer = segue("run", redis.name, "--upgrade", "listeners", *plain_words(redis, "1"))
    assert answer.exit == USAGE and "--upgrade restart" in answer.text, answer
    answer = segue("run", redis.name, "--upgrade", "restart", *plain_words(redis, "1"))
    assert answer.exit == DONE, (answer, logs_of(segue))
    def version():
        return redis.status()["container"]["image"]
    assert version() == "localhost/redis:1"
    def answers():
        try:
            return redis.client()("PING") == "PONG"
        except OSError:
            return False
    wait_until(answers, "redis answers", 60)
    kill_keeper(redis)
    answer = start_keeper(redis)
    assert answer.exit == DONE, answer
    assert answers()
    answer = segue("upgrade", redis.name, *QUICK, *plain_words(redis, "2"), deadline_s=120)
    assert answer.exit == DONE, (answer, logs_of(segue))
    wait_until(answers, "redis answers", 60)
    assert version() == "localhost/redis:2"
    redis.wait_for_containers(1)
    # What the keeper stops ends as the program ends, not killed.
    assert segue("stop", redis.name).exit == DONE
    redis.wait_for_containers(0)
    assert "Redis is now ready to exit, bye bye" in logs_of(segue)


def test_a_crashed_container_is_started_again(kv):
    pid = kv.status()["pid"]
    send_signal(pid, signal.SIGKILL)
    wait_until(lambda: kv.segue.events(kv.name).count("instance.active") == 2, "it is started again", 60)
    assert kv.client()("PING") == "PONG"
    assert state_of(pid) == "Z"
    kv.wait_for_containers(1)
    assert json.dumps(kv.status()["container"])
