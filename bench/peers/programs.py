# SPDX-License-Identifier: Apache-2.0
"""nginx and lighttpd as Segue upgrades them, which knows nothing of them but `listeners`, and by
their own reload."""

import os
import signal

from harness.process import BenchError, children_of
from harness.programs import find_program
from peers.nginx import NginxUsr2
from peers.segue import SegueCli, handoff_of
from peers.server import Server

NGINX = """
daemon off;
worker_processes auto;
worker_rlimit_nofile 20000;
pid {directory}/nginx{version}.pid;
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

LIGHTTPD = """
server.modules = ( "mod_setenv" )
{activation}
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{directory}/www"
server.max-connections = 9000
server.max-fds = 18000
server.max-keep-alive-requests = 1000000
server.max-keep-alive-idle = 3600
index-file.names = ( "index.html" )
setenv.add-response-header = ( "X-Version" => "{version}" )
"""


class NginxReload(NginxUsr2):
    """HUP: the master starts workers with the new configuration and lets the old ones finish."""

    name = "nginx-reload"

    def old_pids(self):
        return children_of(self._master_pid())

    def upgrade(self):
        self._write_config(2)
        old = set(self.old_pids())
        os.kill(self._master_pid(), signal.SIGHUP)
        self.wait_for(lambda: set(self.old_pids()) - old, "new workers")


class _Lighttpd(Server):
    serves = "lighttpd, a file of 3 bytes"
    protocol = "http"
    activation = ""

    def _write_config(self, version):
        directory = self.work.directory
        (directory / "www").mkdir(exist_ok=True)
        (directory / "www" / "index.html").write_text("ok\n")
        path = directory / f"lighttpd{version}.conf"
        path.write_text(LIGHTTPD.format(directory=directory, port=self.port, version=version,
                                        activation=self.activation))
        return str(path)

    def probe(self):
        return "GET", "X-Version: 2\r"


class LighttpdGraceful(_Lighttpd):
    """USR1: it stops accepting, finishes what it has begun, then reads its configuration again."""

    name = "lighttpd-usr1"
    peer = "lighttpd"

    def start(self):
        path = self._write_config(1)
        os.rename(path, self.work.directory / "lighttpd.conf")
        self._process = self.work.start([find_program("lighttpd"), "-D", "-f",
                                         str(self.work.directory / "lighttpd.conf")])
        self.wait_accepting()

    def old_pids(self):
        return [self._process.pid]

    def upgrade(self):
        os.rename(self._write_config(2), self.work.directory / "lighttpd.conf")
        os.kill(self._process.pid, signal.SIGUSR1)


class _UnderSegue:
    """A server under `--upgrade listeners`: two commands, one per version."""

    COMPONENT = "bench"
    stop_signal = "TERM"
    options = ()
    environment = ()

    def start(self):
        self._cli = SegueCli(self.work.directory)
        code, answer, errors = self._cli.call(
            "run", "--json", "--upgrade", "listeners", "--listen",
            f"web=tcp:127.0.0.1:{self.port}", "--stop-signal", self.stop_signal, *self.options,
            *self.environment, self.COMPONENT, "--", *self.argv(1))
        if code != 0:
            raise BenchError(f"segue run: {errors or answer}")
        self.wait_accepting()

    def old_pids(self):
        _, answer, _ = self._cli.call("status", "--json", self.COMPONENT)
        main = answer["status"]["pid"]
        return [main] + children_of(main)

    def upgrade(self):
        code, answer, errors = self._cli.call(
            "upgrade", "--json", "--probation-s", "0.2", *self.environment, self.COMPONENT, "--",
            *self.argv(2))
        if code != 0:
            raise BenchError(f"segue upgrade: {errors or answer}")

    def stop(self):
        try:
            self._cli.stop(self.COMPONENT)
        finally:
            super().stop()


class NginxUnderSegue(_UnderSegue, Server):
    name = "nginx-segue"
    serves = "nginx, `return 200`"
    protocol = "http"
    stop_signal = "QUIT"
    options = ("--nonblocking",)
    environment = ("--env", "NGINX={fd:web};")

    def argv(self, version):
        directory = self.work.directory
        path = directory / f"nginx{version}.conf"
        path.write_text(NGINX.format(directory=directory, port=self.port, version=version))
        return [find_program("nginx"), "-p", str(directory), "-c", str(path)]

    def probe(self):
        return "GET", "X-Version: 2\r"


class LighttpdUnderSegue(_UnderSegue, _Lighttpd):
    name = "lighttpd-segue"
    stop_signal = "INT"
    activation = 'server.systemd-socket-activation = "enable"'

    def argv(self, version):
        return [find_program("lighttpd"), "-D", "-f", self._write_config(version)]
