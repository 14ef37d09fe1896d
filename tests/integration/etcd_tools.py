# SPDX-License-Identifier: Apache-2.0
"""An etcd cluster of real members on ports of their own."""

import base64
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from support import free_port, wait_until

WITHIN_S = 180  # on a busy machine


def is_installed():
    return shutil.which("etcd") is not None


# Elections within what a test waits for, and not because a machine is busy.
PATIENT = ("--heartbeat-interval", "500", "--election-timeout", "5000")


class Etcd:
    def __init__(self, path, count=3, options=PATIENT):
        self.path, self.options = path, options
        path.mkdir()
        self.ports = [(free_port(), free_port()) for _ in range(count)]
        self.members = [None] * count
        for member in range(count):
            self.start(member)

    @staticmethod
    def url(port):
        return f"http://127.0.0.1:{port}"

    @property
    def store(self):
        """As `segue server --store` takes it."""
        return "etcd://" + ",".join(f"127.0.0.1:{client}" for client, _ in self.ports) + "/segue"

    def start(self, member):
        client, peer = self.ports[member]
        cluster = ",".join(f"m{i}={self.url(ports[1])}" for i, ports in enumerate(self.ports))
        with open(self.path / f"m{member}.log", "ab") as log:
            self.members[member] = subprocess.Popen(
                ["etcd", "--name", f"m{member}", "--data-dir", str(self.path / f"m{member}"),
                 "--listen-client-urls", self.url(client), "--advertise-client-urls", self.url(client),
                 "--listen-peer-urls", self.url(peer), "--initial-advertise-peer-urls", self.url(peer),
                 "--initial-cluster", cluster, "--initial-cluster-state", "new",
                 "--logger", "zap", "--log-outputs", "stderr", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})

    def kill(self, member):
        self.members[member].send_signal(signal.SIGKILL)
        self.members[member].wait(timeout=60)

    def kill_all(self):
        for process in self.members:
            process.send_signal(signal.SIGKILL)
        for process in self.members:
            process.wait(timeout=60)

    def start_all(self):
        for member in range(len(self.members)):
            self.start(member)

    def ask(self, member, path, body):
        """The answer; None where the member gives none."""
        request = urllib.request.Request(f"{self.url(self.ports[member][0])}/v3/{path}",
                                         data=json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def leader(self):
        """The number of the member that leads, once all that run agree."""
        def agreed():
            running = [i for i, process in enumerate(self.members) if process.poll() is None]
            said = {i: self.ask(i, "maintenance/status", {}) for i in running}
            leaders = {one and one.get("leader") for one in said.values()}
            if len(leaders) != 1 or not leaders - {None, "0"}:
                return None
            return next(([i] for i, one in said.items()
                         if one["header"]["member_id"] == one["leader"]), None)
        return wait_until(agreed, "a leader of etcd", WITHIN_S)[0]

    def value(self, key):
        """Of one of the store's keys; None where there is none."""
        wanted = {"key": base64.b64encode(f"/segue/{key}".encode()).decode()}
        def answered():
            for member in range(len(self.members)):
                answer = self.ask(member, "kv/range", wanted)
                if answer is not None and "header" in answer:
                    return [answer.get("kvs", [])]
            return None
        entries = wait_until(answered, f"{key} in etcd", WITHIN_S)[0]
        return base64.b64decode(entries[0]["value"]).decode() if entries else None

    def finish(self):
        for process in self.members:
            if process and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=60)
