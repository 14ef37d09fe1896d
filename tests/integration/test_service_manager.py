# SPDX-License-Identifier: Apache-2.0
"""What systemd gets to see of a keeper and does with it, played here: its notify socket, its watchdog, its store
of descriptors, and the commands that `segue adopt` writes for it."""

import array
import os
import pathlib
import shlex
import signal
import socket
import subprocess

import pytest

from keeper_tools import DONE, REFUSED, Component, Segue, is_alive, send_signal
from support import DEADLINE_S, wait_until


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def component(segue):
    return Component(segue)


class Manager:
    """The end of NOTIFY_SOCKET that is systemd's."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(DEADLINE_S)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.lines, self.senders, self.stored = [], set(), {}

    def take(self):
        """The next message, as systemd would take it."""
        size = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 253)
        text, ancillary, _, _ = self.socket.recvmsg(4096, size)
        lines = text.decode().split("\n")
        fds = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[:len(data) // 4 * 4])
            elif kind == socket.SCM_CREDENTIALS:
                self.senders.add(int.from_bytes(data[:4], "little"))
        names = [line.partition("=")[2] for line in lines if line.startswith("FDNAME=")]
        if "FDSTORE=1" in lines:
            self.stored.setdefault(names[0], []).extend(fds)
        elif "FDSTOREREMOVE=1" in lines:
            self.stored.pop(names[0], None)
        self.lines += lines
        return lines

    def wait_for(self, line):
        """Takes messages up to the one with `line`; returns that one."""
        while True:
            lines = self.take()
            if line in lines:
                return lines

    def close(self):
        self.socket.close()
        for fd in sum(self.stored.values(), []):
            os.close(fd)


@pytest.fixture
def manager(short_dir):
    manager = Manager(short_dir)
    yield manager
    manager.close()


class Unit:
    """A main process that the manager has started."""

    def __init__(self, segue, manager, words, variables=(), fds=(), preexec=None):
        environment = dict(segue.environment, NOTIFY_SOCKET=manager.path, **dict(variables))
        self.process = subprocess.Popen(list(map(str, words)), env=environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, pass_fds=fds,
                                        preexec_fn=preexec)

    def finish(self):
        return self.process.communicate(timeout=60)


def start(segue, manager, component, version="1", **options):
    return Unit(segue, manager, [segue.program, "run", "--foreground", component.name, *component.program(version)],
                **options)


def start_with_stored(segue, manager, words):
    """As systemd starts a main process again: with what it has stored, from 3 up."""
    stored = [(name, fd) for name, fds in manager.stored.items() for fd in fds]
    environment = {"LISTEN_FDS": str(len(stored)), "LISTEN_FDNAMES": ":".join(name for name, _ in stored)}
    places = range(3, 3 + len(stored))
    assert all(fd > places[-1] for _, fd in stored)
    redirections = " ".join(f"{place}<&{fd} {fd}<&-" for place, (_, fd) in zip(places, stored))
    # systemd writes LISTEN_PID after its fork, which is what the shell does here.
    script = f"exec {redirections}; export LISTEN_PID=$$; exec {shlex.join(map(str, words))}"
    return Unit(segue, manager, ["bash", "-c", script], variables=environment, fds=[fd for _, fd in stored])


def environment_of(pid):
    return dict(variable.split("=", 1) for variable in
                pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in variable)


def test_systemd_hears_of_the_start_of_an_upgrade_and_of_the_end(segue, manager, component):
    unit = start(segue, manager, component)
    ready = manager.wait_for("READY=1")
    assert any(line.startswith("STATUS=serving: 1") for line in ready)
    assert component.client().version() == "1"
    # NotifyAccess=main: only who was started may speak, and it has become the keeper.
    assert manager.senders == {unit.process.pid} == {component.status()["keeper_pid"]}

    assert component.upgrade("2", "--probation-s", "0").exit == DONE
    reloading = manager.wait_for("RELOADING=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in reloading)
    ready = manager.wait_for("READY=1")
    assert any(line.startswith("STATUS=serving: 2") for line in ready)

    unit.process.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    unit.finish()
    assert unit.process.returncode == 0
    assert manager.lines.count("STOPPING=1") == 1


def test_a_program_that_never_serves_is_never_ready(segue, manager, component):
    unit = Unit(segue, manager, [segue.program, "run", "--foreground", "--timeout", "0.3", component.name,
                                 *component.program("1", "mute")])
    unit.finish()
    assert unit.process.returncode == 1
    manager.wait_for("STOPPING=1")
    assert "READY=1" not in manager.lines


def test_a_crash_of_the_program_is_the_keepers_to_repair(segue, manager, component):
    start(segue, manager, component)
    manager.wait_for("READY=1")
    old = component.status()["pid"]
    send_signal(old, signal.SIGKILL)
    wait_until(lambda: component.status().get("pid") not in (0, old, None), "it was started again")
    assert component.client().version() == "1"
    unit_said = manager.lines
    assert "STOPPING=1" not in unit_said and "RELOADING=1" not in unit_said


def test_instances_do_not_get_what_is_meant_for_the_keeper(segue, manager, component):
    start(segue, manager, component, variables={"WATCHDOG_USEC": "60000000", "LISTEN_PID": "1", "LISTEN_FDS": "1"})
    manager.wait_for("READY=1")
    environment = environment_of(component.status()["pid"])
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS"} & set(environment)


def test_the_watchdog_hears_of_a_live_keeper_and_not_of_a_stopped_one(segue, manager, component):
    unit = start(segue, manager, component, variables={"WATCHDOG_USEC": "300000"})
    manager.wait_for("READY=1")
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    unit.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: pathlib.Path(f"/proc/{unit.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T",
               "it is stopped")
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            manager.take()
    unit.process.send_signal(signal.SIGCONT)
    manager.socket.settimeout(DEADLINE_S)
    manager.wait_for("WATCHDOG=1")


def test_listening_sockets_are_stored_and_come_back_to_the_next_keeper(segue, manager, component):
    """Keeper and instance killed at once: clients wait, because the manager has the socket."""
    unit = start(segue, manager, component)
    manager.wait_for("READY=1")
    while "segue.main" not in manager.stored:
        manager.take()
    pid = component.status()["pid"]
    send_signal(unit.process.pid, signal.SIGKILL)
    send_signal(pid, signal.SIGKILL)
    unit.finish()
    wait_until(lambda: not is_alive(pid), "the instance is dead")
    waiting = socket.create_connection(("127.0.0.1", component.port), DEADLINE_S)  # not refused
    waiting.sendall(b"WHO\n")

    start_with_stored(segue, manager,
                      [segue.program, "run", "--foreground", component.name, *component.program("2")])
    waiting.settimeout(DEADLINE_S)
    assert waiting.recv(100).split()[0] == b"2"


@pytest.mark.parametrize("program_dies", [False, True])
def test_what_a_program_has_stored_is_stored_with_systemd_too(segue, manager, component, build_dir, program_dies):
    """The keeper is killed, alone or with its program; the program has closed what it had stored."""
    words = [segue.program, "run", "--foreground", "--upgrade", "fdstore", "--ready", "notify", "--listen",
             f"web=tcp:127.0.0.1:{component.port}", component.name, "--", build_dir / "tests/services/depositor",
             "--close-memory"]
    unit = Unit(segue, manager, words)
    manager.wait_for("READY=1")
    client = component.client()
    assert client("INC") == "1"
    while not {"segue.web", "segue-stored.counter", "segue-stored.c0"} <= set(manager.stored):
        manager.take()
    pid = component.status()["pid"]
    send_signal(unit.process.pid, signal.SIGKILL)
    unit.process.wait(DEADLINE_S)
    if program_dies:
        send_signal(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "the program is dead")

    start_with_stored(segue, manager, words)
    status = component.wait_for_phase("serving")
    assert (status["pid"] == pid) is not program_dies
    assert sorted(status["stored"]) == ["c0", "counter"] and status["listeners"] == ["web"]
    assert client("INC") == "2"
    send_signal(status["pid"], signal.SIGKILL)
    assert client("INC") == "3"
    assert component.client()("INC") == "4"


def test_a_keeper_that_becomes_another_program_goes_on_speaking(segue, manager, component):
    unit = start(segue, manager, component)
    manager.wait_for("READY=1")
    assert segue.plain("keeper", "upgrade", component.name).exit == DONE
    manager.wait_for("READY=1")
    assert component.upgrade("2", "--probation-s", "0").exit == DONE
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1")
    assert manager.senders == {unit.process.pid}
    assert "NOTIFY_SOCKET" not in environment_of(component.status()["pid"])


# ---- segue adopt

@pytest.fixture
def unit_root(short_dir, component):
    """A system with a unit that runs the counter service."""
    root = short_dir / "root"
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    command = shlex.join(map(str, component.program("1")[1:]))
    (units / "counter.service").write_text(
        f"[Service]\nUser=root\nEnvironment=COLOUR=red\nExecStart={command}\nRestart=on-failure\nLimitNOFILE=1000\n")
    return root


def test_adopt_and_release_leave_the_unit_as_it_was(segue, unit_root):
    drop_in = unit_root / "etc/systemd/system/counter.service.d/segue.conf"
    answer = segue.plain("adopt", "--json", "--root", unit_root, "--dry-run", "counter")
    assert answer.exit == DONE and not drop_in.parent.exists()
    assert segue.plain("adopt", "--json", "--root", unit_root, "counter").exit == DONE
    assert drop_in.read_text() == answer.last["drop_in"]
    assert segue.plain("adopt", "--root", unit_root, "counter").exit == DONE  # again, over its own

    drop_in.write_text(answer.last["drop_in"] + "Nice=5\n")
    for command in ("adopt", "release-unit"):
        refused = segue.plain(command, "--json", "--root", unit_root, "counter")
        assert refused.exit == REFUSED and "changed after it had been written" in refused.text
    assert drop_in.exists()
    assert segue.plain("release-unit", "--root", unit_root, "--dry-run", "--force", "counter").exit == DONE
    assert drop_in.exists()
    assert segue.plain("release-unit", "--root", unit_root, "--force", "counter").exit == DONE
    assert not drop_in.parent.exists()
    assert segue.plain("release-unit", "--root", unit_root, "counter").exit == REFUSED

    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nNice=5\n")
    foreign = segue.plain("release-unit", "--json", "--root", unit_root, "--force", "counter")
    assert foreign.exit == REFUSED and "was not written by segue" in foreign.text


def test_a_refusal_writes_nothing_and_says_why(segue, unit_root):
    unit = unit_root / "etc/systemd/system/counter.service"
    unit.write_text(unit.read_text() + "Type=forking\nDynamicUser=yes\n")
    refused = segue.plain("adopt", "--json", "--root", unit_root, "counter")
    assert refused.exit == REFUSED and not (unit_root / "etc/systemd/system/counter.service.d").exists()
    assert "Type=forking" in refused.text and "DynamicUser=" in refused.text


def test_systemd_reads_the_drop_in(segue, unit_root):
    for folder in ("usr/bin", "usr/lib/systemd/system"):
        (unit_root / folder).mkdir(parents=True)
    for program in ("segue", "install"):
        (unit_root / "usr/bin" / program).write_text("#!/bin/sh\n")
        (unit_root / "usr/bin" / program).chmod(0o755)
    for kind in ("target", "slice"):
        for path in pathlib.Path("/lib/systemd/system").glob(f"*.{kind}"):
            (unit_root / "usr/lib/systemd/system" / path.name).write_text(path.read_text())
    assert segue.plain("adopt", "--root", unit_root, "counter").exit == DONE
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--root={unit_root}", "counter.service"],
                             check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (checked.returncode, checked.stdout) == (0, "")


def command_of(segue, drop_in, key):
    lines = [line.partition("=")[2] for line in drop_in.splitlines() if line.startswith(f"{key}=")]
    assert lines[-2] == ""  # it replaces what there was
    return [str(segue.program), *shlex.split(lines[-1])[1:]]


def test_the_adopted_unit_starts_reloads_and_stops(segue, manager, component, unit_root):
    """The commands of the drop-in, run as systemd would run them."""
    drop_in = segue.plain("adopt", "--json", "--root", unit_root, "--name", component.name,
                          "--run-option=--max-restarts=3", "--run-option=--timeout=20",
                          "--upgrade-option=--probation-s=0", "counter").last["drop_in"]
    unit = Unit(segue, manager, command_of(segue, drop_in, "ExecStart"))
    manager.wait_for("READY=1")
    client = component.client()
    assert client("INC a") == "1"
    first = client.pid()
    reload = subprocess.run(command_of(segue, drop_in, "ExecReload"), env=segue.environment, check=False, timeout=60)
    assert reload.returncode == DONE
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1")
    assert client("INC a") == "2" and client.pid() != first
    unit.process.send_signal(signal.SIGTERM)
    unit.finish()
    assert unit.process.returncode == 0


def test_a_unit_that_links_no_libsegue_is_adopted_with_the_contract_that_it_shows(segue, manager, component, unit_root,
                                                                                  build_dir):
    unit = unit_root / "etc/systemd/system/counter.service"
    unit.write_text(f"[Service]\nType=notify\nFileDescriptorStoreMax=16\nWatchdogSec=20\nKillSignal=SIGTERM\n"
                    f"ExecStart={build_dir}/tests/services/depositor\n")
    drop_in = segue.plain("adopt", "--json", "--root", unit_root, "--name", component.name,
                          f"--run-option=--listen=web=tcp:127.0.0.1:{component.port}",
                          "--upgrade-option=--probation-s=0.1", "counter").last["drop_in"]
    Unit(segue, manager, command_of(segue, drop_in, "ExecStart"))
    manager.wait_for("READY=1")
    assert component.status()["upgrade"] == "fdstore"
    client = component.client()
    assert client("INC") == "1"
    first = client.pid()
    assert "WATCHDOG_USEC" in environment_of(first)
    reload = subprocess.run(command_of(segue, drop_in, "ExecReload"), env=segue.environment, check=False, timeout=60)
    assert reload.returncode == DONE
    assert client("INC") == "2" and client.pid() != first


@pytest.mark.parametrize("unit, named", [
    ("nginx.service", "Type=forking"),
    ("haproxy.service", None),
    ("redis-server.service", None),
])
def test_units_of_debian_are_adopted_or_refused_by_name(segue, unit, named):
    """The units themselves, as their packages ship them; nothing is written."""
    answer = segue.plain("adopt", "--json", "--dry-run", unit)
    if named is None:
        assert answer.exit == DONE, answer
    else:
        assert answer.exit == REFUSED and named in answer.text
