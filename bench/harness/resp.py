# SPDX-License-Identifier: Apache-2.0
"""Asks a Redis-speaking server one thing over a connection of its own."""

import socket

from harness.process import BenchError

MAX_ANSWER_BYTES = 1 << 20


def info(port, timeout_s=5):
    """INFO as a dictionary of strings."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(b"*1\r\n$4\r\nINFO\r\n")
        while len(answer) < MAX_ANSWER_BYTES:
            head, separator, body = answer.partition(b"\r\n")
            if separator and not head.startswith(b"$"):
                raise BenchError(f"INFO was answered with {head!r}")
            if separator and len(body) >= int(head[1:]) + 2:
                return _fields(body.decode())
            received = connection.recv(65536)
            if not received:
                raise BenchError("INFO was answered with the end of the connection")
            answer += received
    raise BenchError("the answer to INFO has no end")


def _fields(text):
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value for name, value in pairs}
