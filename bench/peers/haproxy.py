# SPDX-License-Identifier: Apache-2.0
"""HAProxy, reloaded as its unit file does it: SIGUSR2 to the master, which starts new workers with
the listening sockets of the old ones and tells these to finish."""

import signal

from harness.process import accepts, children_of, free_port
from harness.programs import find_program
from peers.server import Server

COMMON = """
global
    maxconn 9000
    stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
"""


class HaproxyReload(Server):
    peer = "haproxy"

    def __init__(self):
        super().__init__()
        self._master = None

    def _config(self, version):
        raise NotImplementedError

    def _write_config(self, version):
        text = COMMON.format(directory=self.work.directory) + self._config(version)
        (self.work.directory / "haproxy.cfg").write_text(text)

    def start(self):
        self._write_config(1)
        self._master = self.work.start([find_program("haproxy"), "-W", "-f", "haproxy.cfg"])
        self.wait_accepting()

    def old_pids(self):
        return children_of(self._master.pid)

    def upgrade(self):
        old = set(self.old_pids())
        self._write_config(2)
        self._master.send_signal(signal.SIGUSR2)
        self.wait_for(lambda: set(children_of(self._master.pid)) - old, "a new worker")
        self.wait_for(self._new_version_answers, "the new version answers")

    def _new_version_answers(self):
        raise NotImplementedError


class HaproxyTcp(HaproxyReload):
    name = "haproxy-tcp"
    serves = "HAProxy, mode tcp, before a redis-server that stays up"
    protocol = "resp"

    # The versions reach the server from different addresses, so it can tell who asks.
    SOURCE = "127.0.0.{version}1"

    def __init__(self):
        super().__init__()
        self._redis_port = free_port()

    def start(self):
        self.work.start([find_program("redis-server"), "--port", str(self._redis_port),
                         "--bind", "127.0.0.1", "--protected-mode", "no", "--save", "",
                         "--appendonly", "no", "--maxclients", "18000"])
        self.wait_accepting(self._redis_port)
        super().start()

    def _config(self, version):
        source = self.SOURCE.format(version=version)
        return (f"listen resp\n    mode tcp\n    bind 127.0.0.1:{self.port}\n"
                f"    source {source}\n    server redis 127.0.0.1:{self._redis_port}\n")

    def _new_version_answers(self):
        return accepts(self.port) and self._master_is_ready()

    def _master_is_ready(self):
        # The master says so on its standard error: "Loading success."
        log = (self.work.directory / "output.log").read_text(errors="replace")
        return log.count("Loading success") >= 2

    def probe(self):
        return "CLIENT INFO", f" addr={self.SOURCE.format(version=2)}:"


class HaproxyHttp(HaproxyReload):
    name = "haproxy-http"
    serves = "HAProxy, mode http, `http-request return`: no server behind it"
    protocol = "http"

    def _config(self, version):
        return (f"frontend web\n    mode http\n    bind 127.0.0.1:{self.port}\n"
                f"    http-request return status 200 content-type text/plain string ok"
                f" hdr X-Version {version}\n")

    def _new_version_answers(self):
        log = (self.work.directory / "output.log").read_text(errors="replace")
        return log.count("Loading success") >= 2

    def probe(self):
        return "GET", "x-version: 2\r"
