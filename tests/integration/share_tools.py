# SPDX-License-Identifier: Apache-2.0
"""Both slots of a component on one address, and clients that see which one answers."""

import socket

from support import DEADLINE_S

# Says its version to whoever connects, then echoes. When it is told to end it serves on until the
# last connection has ended.
HUB = """
import os, signal, socket, sys, threading

listener = socket.socket(fileno=3)
version = os.environ["VERSION"].encode()
connections = []

def serve(connection):
    with connection:
        connection.sendall(b"version " + version + b"\\n")
        while data := connection.recv(4096):
            connection.sendall(data)

def accept():
    while True:
        connection, _ = listener.accept()
        thread = threading.Thread(target=serve, args=(connection,), daemon=True)
        connections.append(thread)
        thread.start()

class Retired(Exception):
    pass

def retire(*_):
    raise Retired

signal.signal(signal.SIGTERM, retire)
try:
    accept()
except Retired:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listener.close()
    for thread in connections:
        thread.join()
"""


class Slot:
    """One slot of the hub, under a keeper of its own."""

    def __init__(self, segue, directory, name, address, group=True):
        self.segue, self.name, self.address = segue, name, address
        self.suffix = ",group" if group else ""
        self.script = directory / "hub.py"
        self.script.write_text(HUB)

    def program(self, version):
        return ["--env", f"VERSION={version}", "--", "/usr/bin/python3", self.script]

    def run(self, version):
        answer = self.segue("run", self.name, "--upgrade", "listeners", "--listen",
                            f"web=tcp:{self.address}{self.suffix}", "--drain-s", "600",
                            *self.program(version))
        self.segue.status(self.name)
        return answer

    def upgrade(self, version):
        answer = self.segue("upgrade", self.name, "--probation-s", "0.1", *self.program(version))
        self.segue.status(self.name)
        return answer

    def start_upgrade(self, version):
        """It ends when the old process has; that waits for its connections."""
        *options, mark, program, script = self.program(version)
        return self.segue.start("upgrade", "--json", "--probation-s", "0.1", *options, self.name,
                                mark, program, script)

    def status(self):
        return self.segue.status(self.name)


class Client:
    """A connection that stays."""

    def __init__(self, port, source=None, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), DEADLINE_S,
                                               source_address=(source, 0) if source else None)
        self.stream = self.socket.makefile("rb")
        self.version = self.stream.readline().decode().strip()

    def is_served(self):
        self.socket.sendall(b"x\n")
        return self.stream.readline() == b"x\n"

    def close(self):
        self.stream.close()
        self.socket.close()


def versions(port, count, sources=None):
    """Of so many new connections, one after the other; or of one from each source."""
    seen = []
    for source in sources or [None] * count:
        client = Client(port, source)
        seen.append(client.version)
        client.close()
    return seen
