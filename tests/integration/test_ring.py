# SPDX-License-Identifier: Apache-2.0
"""The ring example: client processes that share memory and eventfds with the service go on through
many handoffs, and every answer comes once and in order."""

import mmap
import os
import signal
import socket as sockets

from support import Program

HANDOFFS = 50
CLIENTS = 3
LANE_BYTES = 8 + 8 + 256 * 8 + 8 + 8 + 256 * 24 + 8  # ring.h


def test_clients_with_shared_memory_go_on_through_fifty_handoffs(build_dir, short_dir):
    socket, directory = short_dir / "ring.sock", short_dir / "segue"

    def start_server(number):
        server = Program([build_dir / "examples/ring/ring-server", f"unix:{socket}", directory],
                         short_dir / f"server-{number}.log")
        server.wait_for_log("event=activated")
        return server

    server, clients = start_server(0), []
    try:
        for number in range(CLIENTS):
            clients.append(Program([build_dir / "examples/ring/ring-client", socket],
                                   short_dir / f"client-{number}.log"))
        for number in range(1, HANDOFFS + 1):
            for client in clients:  # each is served by each server
                client.wait_for_log(f"server={server.pid} ")
            successor = start_server(number)
            assert server.wait() == 0, server.text()
            server = successor
        for client in clients:
            client.wait_for_log(f"server={server.pid} ")
            client.process.send_signal(signal.SIGTERM)
            assert client.wait() == 0, client.text()
            assert f"servers={HANDOFFS + 1} " in client.text()
    finally:
        for program in [server, *clients]:
            program.kill()


def test_client_with_a_broken_ring_is_shut_out_and_the_others_go_on(build_dir, short_dir):
    socket = short_dir / "ring.sock"
    server = Program([build_dir / "examples/ring/ring-server", f"unix:{socket}",
                      short_dir / "segue"], short_dir / "server.log")
    server.wait_for_log("event=activated")
    client = Program([build_dir / "examples/ring/ring-client", socket], short_dir / "client.log")
    try:
        client.wait_for_log(f"server={server.pid} ")
        assert break_a_ring(socket) == b"", "the server ends the connection"
        assert client.is_running(), client.text()
    finally:
        server.kill()
        client.kill()


def break_a_ring(path):
    """Joins, writes nonsense where a client's position belongs; what the server then says."""
    with sockets.socket(sockets.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        data, fds, _, _ = sockets.recv_fds(connection, 4, 3)
        lane = int.from_bytes(data, "little")
        arena, requests, _ = fds
        with mmap.mmap(arena, os.fstat(arena).st_size) as memory:
            at = lane * LANE_BYTES  # its first number is how many requests there are
            memory[at:at + 8] = (2 ** 63).to_bytes(8, "little")
            os.write(requests, (1).to_bytes(8, "little"))
            answer = connection.recv(1)
        for fd in fds:
            os.close(fd)
        return answer
