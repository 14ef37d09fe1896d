# SPDX-License-Identifier: Apache-2.0
"""A hub whose versions fail more or less often, clients that count it, and a real Prometheus."""

import collections
import http.server
import socket
import threading

from support import DEADLINE_S, Program, free_port

# Answers each line with its version, whether all went well, and how long it says that it took, in
# milliseconds; retires without cutting anybody.
HUB = """#!/usr/bin/python3
import os, random, select, signal, socket, threading

listener = socket.socket(fileno=3)
listener.setblocking(False)
told, teller = os.pipe()
signal.signal(signal.SIGTERM, lambda *_: os.write(teller, b"x"))
connections = []

def serve(connection):
    with connection:
        while connection.recv(64):
            word = b"bad" if random.random() < {failing} else b"ok"
            took_ms = random.expovariate(1 / {mean_ms})
            connection.sendall(b"{version} %s %.3f\\n" % (word, took_ms))

def accept():
    try:
        connection, _ = listener.accept()
    except BlockingIOError:  # the other version was quicker
        return
    connection.setblocking(True)
    thread = threading.Thread(target=serve, args=(connection,), daemon=True)
    connections.append(thread)
    thread.start()

poll = select.epoll()
poll.register(listener, select.EPOLLIN)
poll.register(told, select.EPOLLIN)
while told not in (ready := [fd for fd, _ in poll.poll()]):
    if ready:
        accept()
poll.close()
listener.close()
for thread in connections:
    thread.join()
"""

REQUESTS = 10  # of one connection
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, float("inf"))  # of the histogram's buckets


class Load:
    """Clients who connect again and again, and what they count, for Prometheus to ask."""

    def __init__(self, port, workers=12):
        self.port = port
        self.lock = threading.Lock()
        self.requests, self.failures = collections.Counter(), collections.Counter()
        self.buckets = collections.Counter()
        self.broken = []  # connections that ended before their last answer
        self.ends = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number,), daemon=True)
                        for number in range(workers)]
        load = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = load.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.exporter = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.threads.append(threading.Thread(target=self.exporter.serve_forever, daemon=True))

    def start(self):
        for thread in self.threads:
            thread.start()

    def work(self, number):
        while not self.ends.is_set():
            try:
                self.talk(str(number))
            except OSError as error:
                self.broken.append(repr(error))
            self.ends.wait(0.02)

    def talk(self, worker):
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as connection:
            stream = connection.makefile("rb")
            for _ in range(REQUESTS):
                connection.sendall(b"?\n")
                words = stream.readline().decode().split()
                if len(words) != 3:
                    raise ConnectionError("the end of the stream")
                with self.lock:
                    self.requests[words[0], worker] += 1
                    self.failures[words[0], worker] += words[1] == "bad"
                    for bound in BOUNDS_S:
                        self.buckets[words[0], worker, bound] += float(words[2]) / 1000 <= bound

    def page(self):
        lines = []
        with self.lock:
            for name, counter in (("requests", self.requests), ("failures", self.failures)):
                lines.append(f"# TYPE hub_{name}_total counter")
                lines += [f'hub_{name}_total{{version="{version}",worker="{worker}"}} {value}'
                          for (version, worker), value in counter.items()]
            lines.append("# TYPE hub_seconds_bucket counter")
            lines += [f'hub_seconds_bucket{{version="{version}",worker="{worker}",'
                      f'le="{"+Inf" if bound == BOUNDS_S[-1] else bound}"}} {value}'
                      for (version, worker, bound), value in self.buckets.items()]
        return "\n".join(lines) + "\n"

    def versions(self):
        with self.lock:
            return {version for version, _ in self.requests}

    def finish(self):
        self.ends.set()
        self.exporter.shutdown()
        for thread in self.threads:
            thread.join(timeout=60)
        self.exporter.server_close()


class Prometheus:
    def __init__(self, directory, exporter_port):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = directory / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            "scrape_configs: [{job_name: hub, static_configs: "
            f"[{{targets: ['127.0.0.1:{exporter_port}']}}]}}]\n")
        self.program = Program(
            ["/usr/bin/prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            directory / "prometheus.log", {"GOMAXPROCS": "2"})
        self.program.wait_for_log("Server is ready to receive web requests", 120)

    def finish(self):
        self.program.kill()
