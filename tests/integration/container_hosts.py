# SPDX-License-Identifier: Apache-2.0
"""Hosts of a fleet with a network, and a container engine, of their own."""

import ipaddress
import subprocess

from fleet_tools import Host
from support import RespClient, free_port

PORT = 6379  # on each host


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


class ContainerHost(Host):
    def __init__(self, build_dir, path, name, engine, network):
        super().__init__(build_dir, path, name)
        self.engine, self.network = engine, network
        self.prefix = ["nsenter", f"--net=/run/netns/{network.name}"]
        self.options = ["--engine", engine.url]

    def client(self):
        return RespClient((self.network.inner, PORT))

    def containers(self):
        """Images of those that run."""
        return sorted(one["Image"].split(":")[-1] if "@" not in one["Image"] else one["Image"]
                      for one in self.engine.containers() if one["State"] == "running")

    def status(self):
        return self.segue.status("kv")
