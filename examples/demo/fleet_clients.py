# SPDX-License-Identifier: Apache-2.0
"""Who is served while a fleet changes: connections that stay, and new ones that say whom they reached."""

import collections
import selectors
import socket
import threading
import time

from tools import Failure

PAUSE_S = 0.02  # between an answer and the next request of a connection
TIMEOUT_S = 20


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def version_of(address):
    """Of whom a new connection reaches."""
    with socket.create_connection(address, TIMEOUT_S) as link:
        link.sendall(request(b"INFO"))
        text = b""
        while b"respkv_version:" not in text or not text.endswith(b"\r\n"):
            data = link.recv(65536)
            if not data:
                raise Failure(f"{address[0]}:{address[1]} closed a new connection")
            text += data
    return text.split(b"respkv_version:")[1].split()[0].decode()


class Clients(threading.Thread):
    """Connections to one address that stay; of those that are active each counts in a key of its own there."""

    def __init__(self, address, idle, active):
        super().__init__(daemon=True)
        self.address, self.name = address, f"{address[0]}:{address[1]}"
        self.idle_count, self.active_count = idle, active
        self.answers, self.errors, self.worst_ms = 0, [], 0.0
        self.stopping = threading.Event()

    def run(self):
        selector = selectors.DefaultSelector()
        idle = []
        for number in range(self.idle_count + self.active_count):
            link = socket.create_connection(self.address, TIMEOUT_S)
            if number < self.idle_count:
                idle.append(link)
                continue
            link.setblocking(False)
            state = {"key": b"count-%d" % number, "next": 1, "due": 0.0, "sent": None, "answer": b""}
            selector.register(link, selectors.EVENT_READ, state)
        while not self.stopping.is_set() and selector.get_map():
            for key, _ in selector.select(PAUSE_S / 2):
                self.take(selector, key.fileobj, key.data)
            self.send_due(selector)
        self.look_at(idle)

    def send_due(self, selector):
        now = time.monotonic()
        for key in list(selector.get_map().values()):
            if key.data["sent"] is None and key.data["due"] <= now:
                key.data.update(sent=now, answer=b"")
                try:
                    key.fileobj.sendall(request(b"INCR", key.data["key"]))
                except OSError as error:
                    self.lose(selector, key.fileobj, str(error))

    def take(self, selector, link, state):
        try:
            data = link.recv(4096)
        except OSError as error:
            return self.lose(selector, link, str(error))
        if not data:
            return self.lose(selector, link, "closed")
        state["answer"] += data
        if not state["answer"].endswith(b"\r\n"):
            return None
        if state["answer"] != b":%d\r\n" % state["next"]:
            self.errors.append(f"{self.name}: {state['key'].decode()} is {state['answer']!r}, not {state['next']}")
        now = time.monotonic()
        self.answers += 1
        self.worst_ms = max(self.worst_ms, (now - state["sent"]) * 1000)
        state.update(next=state["next"] + 1, due=now + PAUSE_S, sent=None)
        return None

    def lose(self, selector, link, why):
        self.errors.append(f"{self.name}: a connection ended: {why}")
        selector.unregister(link)

    def look_at(self, idle):
        for link in idle:
            try:
                link.settimeout(TIMEOUT_S)
                link.sendall(request(b"PING"))
                if link.recv(64) != b"+PONG\r\n":
                    raise OSError("a wrong answer")
            except OSError as error:
                self.errors.append(f"{self.name}: an idle connection was lost: {error}")


class Newcomers(threading.Thread):
    """New connections to all addresses, one after the other; which version each reached, by what the rollout is at.

    What was seen between two looks at the rollout counts if it is at the same in both.
    """

    def __init__(self, addresses):
        super().__init__(daemon=True)
        self.addresses, self.errors = addresses, []
        self.seen, self.unsure = collections.defaultdict(collections.Counter), collections.Counter()
        self.where, self.lock = None, threading.Lock()
        self.stopping = threading.Event()

    def rollout_is_at(self, where):
        with self.lock:
            if where is not None and where == self.where:
                self.seen[where].update(self.unsure)
            self.where = where
            self.unsure.clear()

    def run(self):
        while not self.stopping.is_set():
            for address in self.addresses:
                where = self.where
                try:
                    version = version_of(address)
                except (OSError, Failure) as error:
                    self.errors.append(f"{address[0]}:{address[1]}: a new connection failed: {error}")
                    continue
                with self.lock:
                    if where == self.where:
                        self.unsure[version] += 1
            time.sleep(0.002)  # the pace of the load

    def share(self, where, version):
        seen = self.seen[where]
        total = sum(seen.values())
        return (seen[version] / total if total else 0.0), total
