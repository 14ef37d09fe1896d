# SPDX-License-Identifier: Apache-2.0
"""Networks of their own for hosts, which packets get lost in."""

import contextlib
import ctypes
import ipaddress
import os
import subprocess

from support import free_port

CLONE_NEWNET = 0x40000000
NOBODY = "02:00:00:00:00:01"  # a hardware address that nobody has


@contextlib.contextmanager
def inside(namespace):
    """Sockets that are made meanwhile are in the network namespace of that path, and stay there."""
    here, there = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/thread-self/ns/net", namespace))
    try:
        enter(there)
        yield
    finally:
        enter(here)
        os.close(here)
        os.close(there)


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """A network namespace with one cable, to the namespace of this test."""

    def __init__(self):
        number = free_port()  # nobody else's while this process lives
        self.name = f"sg{number}"
        net = ipaddress.ip_address("10.220.0.0") + 4 * (number - 10_000)
        self.outer, self.inner = str(net + 1), str(net + 2)
        self.ip("netns", "add", self.name)
        self.ip("link", "add", self.name, "type", "veth", "peer", "name", "cable", "netns", self.name)
        self.ip("addr", "add", f"{self.outer}/30", "dev", self.name)
        self.ip("link", "set", self.name, "up")
        for words in (("addr", "add", f"{self.inner}/30", "dev", "cable"), ("link", "set", "cable", "up"),
                      ("link", "set", "lo", "up"), ("route", "add", "default", "via", self.outer)):
            self.ip("-n", self.name, *words)

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def finish(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    @property
    def prefix(self):
        """Words before those of a program that is to be on the host."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def inside(self):
        """Sockets that are made meanwhile are on the host, and stay there."""
        return inside(f"/run/netns/{self.name}")

    # ---- What is sent on the cable gets lost, and nobody is told

    def lose_what_it_sends(self):
        self.ip("-n", self.name, "neigh", "replace", self.outer, "lladdr", NOBODY, "nud", "permanent", "dev", "cable")

    def lose_what_it_is_sent(self):
        self.ip("neigh", "replace", self.inner, "lladdr", NOBODY, "nud", "permanent", "dev", self.name)

    def heal(self):
        """Whichever it was."""
        for words in (["-n", self.name, "neigh", "flush", "all", "nud", "permanent", "dev", "cable"],
                      ["neigh", "flush", "all", "nud", "permanent", "dev", self.name]):
            self.ip(*words)
