# SPDX-License-Identifier: Apache-2.0
"""grpc_health_server.py FILE: a real gRPC server with grpc.health.v1.Health; writes its port into FILE."""

import concurrent.futures
import os
import sys

import grpc

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
STATES = {b"": SERVING, b"\x0a\x04good": SERVING, b"\x0a\x03bad": NOT_SERVING}


def check(request, context):
    if request not in STATES:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return STATES[request]


server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
    "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with open(sys.argv[1] + ".new", "w", encoding="ascii") as file:
    file.write(str(port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.wait_for_termination()
