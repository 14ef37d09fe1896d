# SPDX-License-Identifier: Apache-2.0
"""Clients that know what every answer has to be, whatever process gives it.

Each keeps a model of the keys that it alone uses. Two requests are always under way on a connection,
so that a process that dies has read some that it has not answered. A connection that is closed
(before its first answer: unborn; after it: broken) or falls silent is counted; the client goes on
over a new one, and finds out which of the two requests were executed.
"""

import random
import selectors
import socket
import threading
import time

from support import RespClient

SILENT_S = 10.0
LARGE_BYTES = 200_000  # several reads, and more than a socket takes at once
UNDER_WAY = 2


class Client:
    """One connection, not blocking: requests in turn, answers checked in turn."""

    def __init__(self, port, number, seed, lives):
        self.port, self.number, self.lives = port, number, lives
        self.random = random.Random(seed * 10_000 + number)
        self.counter, self.list, self.set = 0, [], set()
        self.shared = []  # what this client was answered of the counter that all have in common
        self.broken, self.silent, self.wrong, self.answers = 0, 0, [], 0
        self.unborn = 0
        self.connections = 0
        self.requests = []  # (encoded, check), of which none is executed yet or their order is known
        self.connect()

    def key(self, name):
        return f"{name}:{self.number}"

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), SILENT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = RespClient.__new__(RespClient)  # its parser, on the bytes that have come
        self.reader.socket, self.reader.buffer = self.socket, b""
        self.connections += 1
        self.life = self.lives and self.random.randrange(1, self.lives)
        self.last_heard = time.monotonic()

    # ---- Requests: each changes the model when its answer has come.

    def next_request(self):
        kind = self.random.random()
        if kind < 0.25:
            return self.increment()
        if kind < 0.45:
            return self.increment_shared()
        if kind < 0.60:
            return self.append()
        if kind < 0.70:
            return self.pop()
        if kind < 0.80:
            return self.add_or_take()
        if kind < 0.88:
            return self.transaction()
        if kind < 0.885:
            return self.large()
        if kind < 0.95:
            return RespClient.encode("INFO"), lambda answer: b"respkv_version" in answer
        return RespClient.encode("RANDOMKEY"), lambda answer: answer is None or isinstance(answer, bytes)

    def increment(self):
        def check(answer):
            self.counter += 1
            return answer == self.counter
        return RespClient.encode("INCR", self.key("count")), check

    def increment_shared(self):
        """What another client is answered, over whichever event loop, decides on this answer."""
        def check(answer):
            grows = isinstance(answer, int) and (not self.shared or answer > self.shared[-1])
            self.shared.append(answer)
            return grows
        return RespClient.encode("INCR", "shared"), check

    def append(self):
        value = b"%d" % self.random.randrange(1 << 30)

        def check(answer):
            self.list.append(value)
            return answer == len(self.list)
        return RespClient.encode("RPUSH", self.key("list"), value), check

    def pop(self):
        def check(answer):
            return answer == (self.list.pop(0) if self.list else None)
        return RespClient.encode("LPOP", self.key("list")), check

    def add_or_take(self):
        if self.random.random() < 0.5:
            member = b"m%d" % self.random.randrange(1000)

            def check_added(answer):
                is_new = member not in self.set
                self.set.add(member)
                return answer == (1 if is_new else 0)
            return RespClient.encode("SADD", self.key("set"), member), check_added

        def check_taken(answer):
            if not self.set:
                return answer is None
            known = answer in self.set
            self.set.discard(answer)
            return known
        return RespClient.encode("SPOP", self.key("set")), check_taken

    def transaction(self):
        """Four answers; the last one is that of EXEC."""
        key = self.key("count")
        answers = []

        def check(answer):
            answers.append(answer)
            if len(answers) < 4:
                return answer == ("OK" if len(answers) == 1 else "QUEUED")
            self.counter += 11
            return answer == [self.counter - 10, self.counter]
        words = (("MULTI",), ("INCR", key), ("INCRBY", key, 10), ("EXEC",))
        check.count = 4
        return b"".join(RespClient.encode(*command) for command in words), check

    def large(self):
        letter = bytes([self.random.randrange(97, 123)])
        key, value = self.key("large"), letter * self.random.randrange(1, LARGE_BYTES)
        answers = []

        def check(answer):
            answers.append(answer)
            return answer == ("OK" if len(answers) == 1 else value)
        check.count = 2
        return RespClient.encode("SET", key, value) + RespClient.encode("GET", key), check

    # ---- Driving

    def fill(self, accept_more=True):
        while accept_more and len(self.requests) < UNDER_WAY and not self.ends_life():
            encoded, check = self.next_request()
            self.requests.append([check, getattr(check, "count", 1)])
            self.socket.settimeout(SILENT_S)
            self.socket.sendall(encoded)
            self.socket.setblocking(False)

    def ends_life(self):
        return bool(self.life) and self.answers_on_this >= self.life

    @property
    def answers_on_this(self):
        return self.answers - self.answers_before

    answers_before = 0

    def on_readable(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("end of stream")
        self.last_heard = time.monotonic()
        self.reader.buffer += data
        while self.requests:
            answer, rest = parse(self.reader.buffer)
            if rest is None:
                return
            self.reader.buffer = rest
            check = self.requests[0]
            if not check[0](answer):
                self.wrong.append((self.number, repr(answer)[:200]))
            self.answers += 1
            check[1] -= 1
            if check[1] == 0:
                self.requests.pop(0)

    def reconnect(self):
        self.socket.close()
        self.requests.clear()
        self.connect()
        self.answers_before = self.answers
        self.learn()

    def learn(self):
        """What of the unanswered requests was executed: either is right."""
        while True:
            try:
                client = RespClient(self.port, SILENT_S)
                self.counter = int(client("GET", self.key("count")) or 0)
                self.list = client("LRANGE", self.key("list"), 0, -1)
                self.set = set(client("SMEMBERS", self.key("set")))
                return client.close()
            except OSError:
                self.broken += 1


def parse(buffer):
    """The first answer and what follows it; (None, None) where it is not whole yet."""
    reader = RespClient.__new__(RespClient)
    reader.buffer, reader._more = buffer, incomplete
    try:
        return reader.read(), reader.buffer
    except BlockingIOError:
        return None, None


def incomplete():
    raise BlockingIOError


class Load(threading.Thread):
    """All clients on one thread. Those with a short life close after some answers and come again."""

    def __init__(self, port, clients, seed, short_lived=0):
        super().__init__(daemon=True)
        self.clients = [Client(port, number, seed, 0) for number in range(clients)]
        self.clients += [Client(port, clients + number, seed, 20) for number in range(short_lived)]
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            self.serve()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
            raise

    def serve(self):
        while not (self.stopping.is_set() and not any(client.requests for client in self.clients)):
            with selectors.DefaultSelector() as selector:
                for client in self.clients:
                    self.attend(client, client.fill, not self.stopping.is_set())
                    selector.register(client.socket, selectors.EVENT_READ, client)
                for key, _ in selector.select(0.05):
                    self.attend(key.data, key.data.on_readable)
            for client in self.clients:
                if client.ends_life() and not client.requests:
                    client.socket.close()
                    client.connect()
                    client.answers_before = client.answers
                elif client.requests and time.monotonic() - client.last_heard > SILENT_S:
                    client.silent += 1
                    client.reconnect()

    def attend(self, client, action, *arguments):
        try:
            action(*arguments)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # Of one that was just accepted libsegue may not have been told yet.
            if client.answers_on_this > 0:
                client.broken += 1
            else:
                client.unborn += 1
            client.reconnect()

    def total(self, name):
        return sum(getattr(client, name) for client in self.clients)

    def wrong(self):
        return [wrong for client in self.clients for wrong in client.wrong]
