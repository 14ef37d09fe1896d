# SPDX-License-Identifier: Apache-2.0
"""What befalls a fleet: programs that are replaced, agents that are away, hung or copied."""

import datetime
import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_tools import WITHIN_S
from keeper_tools import is_stopped
from support import wait_until


class Installation:
    """A `segue` of its own, as a package puts it there."""

    def __init__(self, build_dir, path):
        self.built = build_dir / "src/cli/segue"
        self.keeper = build_dir / "src/keeper/segue-keeper"
        self.confine = build_dir / "src/confine/segue-confine"
        path.mkdir()
        self.program = path / "segue"
        self.upgrades = 0
        self.install()

    def install(self):
        """Another file under the same name, by one rename: nobody sees half of it."""
        self.upgrades += 1
        new = self.program.with_suffix(".dpkg-new")
        shutil.copy2(self.built, new)
        with open(new, "ab") as file:  # which makes it other bytes, and the same program
            file.write(f"upgrade {self.upgrades}\n".encode())
        os.rename(new, self.program)

    def use_for(self, segue):
        segue.program = self.program
        segue.environment["SEGUE_KEEPER"] = str(self.keeper)
        segue.environment["SEGUE_CONFINE"] = str(self.confine)

    def is_run_by(self, pid):
        """The file as it is now, and no earlier one."""
        return os.path.samefile(f"/proc/{pid}/exe", self.program)


class SmallDisk:
    """A file system of few bytes below `path`, in a mount namespace that ends with this object."""

    def __init__(self, path, mebibytes):
        path.mkdir()
        words = f"mount -t tmpfs -o size={mebibytes}m,mode=700 none {path} && exec sleep 100000"
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", words])
        self.prefix = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        self.path = pathlib.Path(f"/proc/{self.holder.pid}/root{path}")  # as it is seen from here
        def mounted():
            assert self.holder.poll() is None, "the file system could not be mounted"
            return self.path.exists() and self.path.stat().st_dev != path.stat().st_dev
        wait_until(mounted, "the small file system")

    @staticmethod
    def why_not():
        if os.geteuid() != 0:
            return "a file system is mounted by root alone"
        tried = subprocess.run(["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"],
                               check=False, capture_output=True, text=True)
        return "" if tried.returncode == 0 else tried.stderr.strip()

    def fill(self):
        with open(self.path / "of-somebody-else", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC, error

    def make_room(self):
        (self.path / "of-somebody-else").unlink()

    def finish(self):
        self.holder.kill()
        self.holder.wait()


def membership_of(host):
    return host.path / "s/agent/fleet/line/membership/membership.json"


def change_membership(host, **changes):
    file = membership_of(host)  # the agent sees to its owner when it starts
    document = json.loads(file.read_text())
    document.update(changes)
    file.write_text(json.dumps(document) + "\n")


def issue_anew(pem, authority_key, not_before, not_after):
    """The same certificate with other times, signed by that key."""
    old = x509.load_pem_x509_certificate(pem.encode())
    new = (x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer)
           .public_key(old.public_key()).serial_number(old.serial_number)
           .not_valid_before(not_before).not_valid_after(not_after))
    for extension in old.extensions:
        new = new.add_extension(extension.value, extension.critical)
    signed = new.sign(authority_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def let_a_week_pass(fleet, host):
    """Its certificate is as one that was given out eight days ago, for a day."""
    authority = serialization.load_pem_private_key(
        (fleet.path / "server/authority.key").read_bytes(), None)
    now = datetime.datetime.utcnow()
    pem = json.loads(membership_of(host).read_text())["certificate"]
    change_membership(host, certificate=issue_anew(
        pem, authority, now - datetime.timedelta(days=8), now - datetime.timedelta(days=7)))


def let_a_stranger_issue(host):
    now = datetime.datetime.utcnow()
    pem = json.loads(membership_of(host).read_text())["certificate"]
    change_membership(host, certificate=issue_anew(
        pem, ec.generate_private_key(ec.SECP256R1()), now - datetime.timedelta(hours=1),
        now + datetime.timedelta(days=7)))


def copy_disk(host, other):
    """What an agent keeps, as after a clone of its machine."""
    shutil.copytree(host.path / "s/agent", other.path / "s/agent", symlinks=True)


def agent_processes(host):
    """The agent and what it has started."""
    children = pathlib.Path(f"/proc/{host.agent.pid}/task/{host.agent.pid}/children").read_text()
    return [host.agent.pid, *(int(pid) for pid in children.split())]


def decider_of(host):
    """The half of the agent that may do nothing: the same program as the other one, which starts it first."""
    words = command_line(host.agent.pid)
    return next((pid for pid in agent_processes(host)[1:] if command_line(pid) == words), None)


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has gone meanwhile


def hang(host):
    """As a machine that is out of memory does; what runs there goes on."""
    pids = agent_processes(host)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(is_stopped(pid) for pid in pids), "the agent stands still")
    return pids


def go_on(pids):
    for pid in reversed(pids):  # the agent last: it may end and reap what took too long
        os.kill(pid, signal.SIGCONT)


def wait_for_event(fleet, text, about=None):
    def said():
        events = fleet.command("events", "--fleet", *(("--object", about) if about else ())).lines
        return next((one for one in events if text in one.get("text", "")), None)
    try:
        return wait_until(said, f"an event '{text}'", WITHIN_S)
    except AssertionError as error:
        told = fleet.command("events", "--fleet").lines
        raise AssertionError(f"{error}; told was {told}; {fleet.server_log()}") from error
