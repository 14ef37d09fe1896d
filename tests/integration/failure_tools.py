# SPDX-License-Identifier: Apache-2.0
"""What befalls a fleet: programs that are replaced, agents that are away, hung or copied."""

import datetime
import json
import os
import pathlib
import shutil
import signal

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

    def is_run_by(self, pid):
        """The file as it is now, and no earlier one."""
        return os.path.samefile(f"/proc/{pid}/exe", self.program)


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


def both_halves(host):
    children = pathlib.Path(f"/proc/{host.agent.pid}/task/{host.agent.pid}/children").read_text()
    return [host.agent.pid, *(int(pid) for pid in children.split())]


def hang(host):
    """As a machine that is out of memory does; what runs there goes on."""
    pids = both_halves(host)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(is_stopped(pid) for pid in pids), "the agent stands still")
    return pids


def go_on(pids):
    for pid in pids:
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
