# SPDX-License-Identifier: Apache-2.0
"""What an agent asks an instance by HTTP, gRPC and TCP: good answers carry a rollout, bad ones undo what is watched."""

import http.server
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from fleet_tools import WITHIN_S, Fleet
from support import wait_until

HOST = "berlin-1"
SERVICE = "shop.Kv"
# grpc.health.v1.HealthCheckRequest{service} and HealthCheckResponse{status}
REQUEST, SERVING, NOT_SERVING = b"\x0a" + bytes([len(SERVICE)]) + SERVICE.encode(), b"\x08\x01", b"\x08\x02"


class HttpHealth:
    """Answers 200, or 503 once it is ill."""

    says = "503"

    def __init__(self):
        self.is_ill = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # as http.server wants it
                self.send_response(503 if outer.is_ill or self.path != "/ready" else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.check = {"http": f"http://127.0.0.1:{self.server.server_port}/ready"}

    def fall_ill(self):
        self.is_ill = True

    def finish(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class GrpcHealth:
    """A server of grpc.health.v1.Health with one service, which does not serve once it is ill."""

    says = "NOT_SERVING"

    def __init__(self):
        self.is_ill = False
        self.server = grpc.server(ThreadPoolExecutor(max_workers=2))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(self.answer)})])
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.check = {"grpc": f"127.0.0.1:{port}/{SERVICE}"}

    def answer(self, request, context):
        if request != REQUEST:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return NOT_SERVING if self.is_ill else SERVING

    def fall_ill(self):
        self.is_ill = True

    def finish(self):
        self.server.stop(None).wait()


class TcpHealth:
    """A socket that takes connections until it is closed."""

    says = "connect"

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.check = {"tcp": f"127.0.0.1:{self.listener.getsockname()[1]}"}
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        while True:
            try:
                self.listener.accept()[0].close()
            except OSError:
                return  # it is closed

    def fall_ill(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # accept() ends, too
        self.thread.join()
        self.listener.close()

    def finish(self):
        if self.listener.fileno() >= 0:
            self.fall_ill()


@pytest.fixture(name="fleet")
def fleet_fixture(build_dir, short_dir):
    """Version 1 serves, and a client stays."""
    fleet = Fleet(build_dir, short_dir)
    fleet.client = None
    try:
        fleet.start_server()
        fleet.join(HOST)
        fleet.publish("1", 1)
        fleet.publish("2", 2)
        assert fleet.ended(fleet.deploy("1"))["phase"] == "done"
        fleet.client = fleet.hosts[HOST].client()
        fleet.client("SET", "where", HOST)
        yield fleet
    finally:
        if fleet.client:
            fleet.client.close()
        fleet.finish()


def observed(fleet):
    return fleet.instances()[0].get("seen", {})


def expect_kept(fleet, version):
    assert fleet.client("GET", "where") == HOST.encode()
    assert fleet.client.info()["respkv_version"] == version


def watched(fleet, health):
    """Version 2 with that check, rolled out and watched; which rollout."""
    check = {**health.check, "interval": "500ms", "timeout": "20s", "good": 1, "bad": 2}
    rollout = fleet.deploy("2", component={"health": check}, late_watch="1h")
    wait_until(lambda: fleet.progress(rollout)["phase"] == "watching", f"the watch; {fleet.hosts[HOST].log()}", WITHIN_S)
    wait_until(lambda: observed(fleet).get("health") == "good", f"its health; {observed(fleet)}", WITHIN_S)
    expect_kept(fleet, "2")
    return rollout


def expect_undone_when_ill(fleet, health):
    rollout = watched(fleet, health)
    health.fall_ill()
    ended = fleet.ended(rollout)
    assert ended["phase"] == "undone", ended
    assert HOST in ended["why"] and "health" in ended["why"] and health.says in ended["why"], ended
    expect_kept(fleet, "1")
    assert observed(fleet)["handoff"]["lost"] == 0


def test_a_bad_answer_by_http_grpc_or_tcp_undoes_what_is_watched(fleet):
    for kind in (HttpHealth, GrpcHealth, TcpHealth):
        health = kind()
        try:
            expect_undone_when_ill(fleet, health)
        finally:
            health.finish()
