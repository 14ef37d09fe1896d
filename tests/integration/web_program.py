#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""web_program.py --listen tcp:127.0.0.1:7000 --version NAME: answers each request of HTTP with its version and slot. A
connection that asks for `Upgrade: count` answers each line from then on with how many there were, version and pid. It
is upgraded live as examples/level1/python/echo.py is, beside which it lies."""

import os

import echo


class Web(echo.Echo):
    def read(self, id):
        connection = self.connections[id]
        try:
            data = connection.socket.recv(echo.READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.rest += data
        while self.answer(connection):
            pass
        if not data or len(connection.rest) > echo.MAX_LINE_BYTES:
            self.close(id)
        else:
            self.flush(id)

    def answer(self, connection):
        """One line, or one request; False: there is none as a whole."""
        counts = connection.lines > 0
        first, end, rest = connection.rest.partition(b"\n" if counts else b"\r\n\r\n")
        if not end:
            return False
        connection.rest = rest
        version = self.options.version
        if counts:
            connection.unsent += f"{connection.lines} {version} {os.getpid()}\n".encode()
            connection.lines += 1
        elif b"upgrade: count" in first.lower():
            connection.unsent += b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: count\r\n\r\n"
            connection.lines = 1
        else:
            body = f"{version} {os.environ['SEGUE_NAME']}"
            connection.unsent += f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        return True


if __name__ == "__main__":
    echo.main(Web)
