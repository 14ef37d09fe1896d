# SPDX-License-Identifier: Apache-2.0
"""nginx, upgraded as its manual says: USR2 starts a new master on the same sockets, QUIT to the old
one lets its workers finish."""

import os
import signal
import time

from harness.process import Departure, children_of
from harness.programs import find_program
from peers.server import Server

# Not `daemon off`: nginx takes USR2 only when it is not a child of the process that started it.
CONFIG = """
worker_processes auto;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            add_header X-Version {version};
            return 200 "ok\\n";
        }}
    }}
}}
"""


class NginxUsr2(Server):
    name = "nginx-usr2"
    serves = "nginx, `return 200`: no server behind it"
    protocol = "http"
    peer = "nginx"

    def _write_config(self, version):
        text = CONFIG.format(directory=self.work.directory, port=self.port, version=version)
        (self.work.directory / "nginx.conf").write_text(text)

    def start(self):
        self._write_config(1)
        directory = self.work.directory
        self.work.start([find_program("nginx"), "-p", str(directory), "-c",
                         str(directory / "nginx.conf")])
        self.wait_accepting()
        self.wait_for(self._master_pid, "its pid file")

    def _master_pid(self, name="nginx.pid"):
        try:
            return int((self.work.directory / name).read_text())
        except (OSError, ValueError):
            return None

    def old_pids(self):
        master = self._master_pid()
        return [master] + children_of(master)

    def upgrade(self):
        old = self._master_pid()
        self._write_config(2)
        os.kill(old, signal.SIGUSR2)
        self.wait_for(lambda: self._master_pid() not in (None, old), "a new master")
        self.wait_for(lambda: children_of(self._master_pid()), "new workers")
        os.kill(old, signal.SIGQUIT)

    def probe(self):
        return "GET", "X-Version: 2\r"

    def stop(self):
        masters = [self._master_pid("nginx.pid"), self._master_pid("nginx.pid.oldbin")]
        for master in filter(None, masters):
            end_daemon([master] + children_of(master))
        super().stop()


def end_daemon(pids):
    """The first of `pids` is a master, the others are its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        departure = Departure(pids)
        for pid in pids if number == signal.SIGKILL else pids[:1]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if departure.wait(time.monotonic() + 5) is not None:
            return
