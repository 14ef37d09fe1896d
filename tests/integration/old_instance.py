# SPDX-License-Identifier: Apache-2.0
"""An instance as the first libsegue was: it knows neither K_RENDEZVOUS nor K_RELEASE."""

import array
import mmap
import os
import socket
import struct

HELLO, START, EVENT, END, PING, PONG = 64, 65, 70, 73, 74, 75


def record(*fields):
    return b"".join(bytes([tag, len(value)]) + value for tag, value in fields)


class Keeper:
    def __init__(self):
        self.socket = socket.socket(fileno=int(os.environ["SEGUE_KEEPER_FD"]))
        self.socket.setblocking(True)
        self.sequence = 0

    def say(self, kind, *fields):
        self.sequence += 1
        payload = record(*fields)
        self.socket.sendall(struct.pack("<HHIIHH", kind, 0, len(payload), self.sequence, 0, 0) +
                            payload)

    def hear(self):
        data, ancillary, _, _ = self.socket.recvmsg(1 << 16, 1 << 12)
        fds = array.array("i")
        for _, _, raw in ancillary:
            fds.frombytes(raw)
        kind = struct.unpack("<H", data[:2])[0] if data else None
        return kind, data[16:], list(fds)


def main():
    keeper = Keeper()
    keeper.say(HELLO, (1, b"\1"), (2, b"\1"), (3, b"old"), (4, b"1"), (5, b"\1"))
    while True:
        kind, payload, fds = keeper.hear()
        if kind is None:
            break
        if kind == START:
            page = mmap.mmap(fds[0], 4096)
            page[:8] = struct.pack("<Q", 1 << 32 | 1 << 24 | payload[2])
            keeper.say(EVENT, (1, b"\0"), (2, b"\2"), (3, b"\1"), (5, b"\0"), (6, b"\1"))
        elif kind == PING:
            keeper.say(PONG, (1, payload[2:]), (2, b"\1"), (3, b"\0"))
        elif kind == END:
            return
    while True:  # the keeper is dead: it serves on
        signal_free = socket.socketpair()
        signal_free[0].recv(1)


main()
