#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""echo.py --listen tcp:127.0.0.1:7000 --version NAME [--form 1|2] [--oldest 1|2]: answers each line with how many
its connection has sent so far and the line; "who" with its version and pid. Upgraded live: run it as

    segue run echo -- segue-level1 -- ./echo.py --listen tcp:127.0.0.1:7000 --version one

Its state is a JSON object: form 1 {id: [lines, unfinished line]}, form 2 the same with a total.
"""

import argparse
import json
import os
import selectors
import socket

import segue_level1

MAX_LINE_BYTES = 4096
READ_BYTES = 16384


class Connection:
    def __init__(self, sock):
        self.socket = sock
        self.lines = 0
        self.rest = b""
        self.unsent = b""


class Echo(segue_level1.Handler):
    def __init__(self, options):
        self.options = options
        self.selector = selectors.DefaultSelector()
        self.listeners, self.connections = {}, {}
        self.next_id, self.total = 1, 0
        self.serving = self.ended = False
        self.client = segue_level1.Client(self)
        self.client.hello("echo", options.version, forms={"echo": (options.form, options.oldest)},
                          listeners={"main": options.listen})

    # ---- What Segue says

    def listener(self, name, fd):
        old = self.listeners.pop(name, None)
        if old is not None:
            self.selector.unregister(old)
            old.close()
        if fd is not None:
            listener = socket.socket(fileno=fd)
            listener.setblocking(False)
            self.listeners[name] = listener
            self.selector.register(listener, selectors.EVENT_READ, self.accept)

    def connection(self, id, name, record, fd):
        if fd is not None:
            self.add(id, socket.socket(fileno=fd))

    def connection_closed(self, id):
        self.forget(id)

    def freeze(self, versions):
        self.serving = False
        rows = {str(id): [c.lines, c.rest.hex(), c.unsent.hex()]
                for id, c in self.connections.items()}
        state = {"rows": rows, "next_id": self.next_id}
        if versions["echo"] >= 2:
            state["total"] = self.total
        return {"echo": json.dumps(state).encode()}

    def state(self, form, version, data):
        state = json.loads(data)
        self.next_id = state["next_id"]
        for id, (lines, rest, unsent) in state["rows"].items():
            connection = self.connections[int(id)]
            connection.lines, connection.rest = lines, bytes.fromhex(rest)
            connection.unsent = bytes.fromhex(unsent)
        self.total = state["total"] if version >= 2 else sum(
            lines for lines, _, _ in state["rows"].values())

    def activate(self, is_first, epoch):
        self.serving = True
        for id in list(self.connections):
            self.flush(id)

    def resume(self, reason):
        self.serving = True
        if reason == segue_level1.RECLAIMED:  # what the successor read is not here
            for id in list(self.connections):
                self.close(id, reset=True)

    def end(self, reason):
        self.ended = True

    # ---- What clients say

    def add(self, id, sock):
        sock.setblocking(False)
        self.connections[id] = Connection(sock)
        self.selector.register(sock, selectors.EVENT_READ, lambda: self.read(id))

    def accept(self):
        for listener in self.listeners.values():
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                continue
            id, self.next_id = self.next_id, self.next_id + 1
            self.client.store_connection(id, sock.fileno())
            self.add(id, sock)

    def read(self, id):
        connection = self.connections[id]
        try:
            self.flush(id)
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.rest += data
        *lines, connection.rest = connection.rest.split(b"\n")
        for line in lines:
            connection.lines += 1
            self.total += 1
            answer = (f"{self.options.version} {os.getpid()} {self.total}".encode()
                      if line == b"who" else b"%d %s" % (connection.lines, line))
            connection.unsent += answer + b"\n"
        if not data or len(connection.rest) > MAX_LINE_BYTES:
            return self.close(id)
        self.flush(id)

    def flush(self, id):
        connection = self.connections[id]
        try:
            sent = connection.socket.send(connection.unsent) if connection.unsent else 0
            connection.unsent = connection.unsent[sent:]
        except BlockingIOError:
            pass
        except OSError:
            return self.close(id)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self.selector.get_key(connection.socket)
        if key.events != events:
            self.selector.modify(connection.socket, events, key.data)

    def close(self, id, reset=False):
        self.forget(id)
        self.client.close_connection(id, reset)

    def forget(self, id):
        connection = self.connections.pop(id)
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def run(self):
        idle = selectors.DefaultSelector()
        for selector in (self.selector, idle):
            selector.register(self.client, selectors.EVENT_READ, self.client.dispatch)
        while not self.ended:
            ready = (self.selector if self.serving else idle).select()
            # Segue's word comes last: there nothing is half done.
            for key, _ in sorted(ready, key=lambda item: item[0].fileobj is self.client):
                if key.fileobj is self.client or key.fileobj.fileno() >= 0:
                    key.data()


def main(program=Echo):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--form", type=int, default=1)
    parser.add_argument("--oldest", type=int, default=1)
    program(parser.parse_args()).run()


if __name__ == "__main__":
    main()
