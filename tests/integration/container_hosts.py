# SPDX-License-Identifier: Apache-2.0
"""Hosts of a fleet with a container engine, and a network, of their own."""

from fleet_tools import Host
from support import RespClient

PORT = 6379  # on each host


class ContainerHost(Host):
    def __init__(self, build_dir, path, name, engine, network):
        super().__init__(build_dir, path, name)
        self.engine, self.network = engine, network
        self.prefix = network.prefix
        self.options = ["--engine", engine.url]

    def client(self):
        return RespClient((self.network.inner, PORT))

    def containers(self):
        """Images of those that run."""
        return sorted(one["Image"].split(":")[-1] if "@" not in one["Image"] else one["Image"]
                      for one in self.engine.containers() if one["State"] == "running")

    def status(self):
        return self.segue.status("kv")
