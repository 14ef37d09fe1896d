# SPDX-License-Identifier: Apache-2.0
"""A real HAProxy before hubs of both versions."""

import socket
import sys

from share_tools import HUB
from support import DEADLINE_S, Program, free_port, wait_until

CONFIG = """
global
  stats socket {directory}/admin.sock mode 600 level admin
  stats socket {directory}/operator.sock mode 600 level operator
  stats socket ipv4@127.0.0.1:{api_port} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend hub
  bind 127.0.0.1:{port}
  default_backend hub
backend hub
  balance roundrobin
  server stable1 127.0.0.1:{stable1} weight 100
  server stable2 127.0.0.1:{stable2} weight 100
  server canary1 127.0.0.1:{canary1} weight 0
backend fixed
  balance source
  server stable1 127.0.0.1:{stable1}
  server canary1 127.0.0.1:{canary1}
frontend web
  mode http
  bind 127.0.0.1:{web_port}
  use_backend %[req.hdr(x-user),map({directory}/users.map,web_stable)] if {{ req.hdr(x-user) -m found }}
  use_backend %[req.cook(release),map({directory}/cookies.map,web_stable)] if {{ req.cook(release) -m found }}
  default_backend web_stable
backend web_stable
  mode http
  http-request return status 200 content-type text/plain string stable
backend web_canary
  mode http
  http-request return status 200 content-type text/plain string canary
"""

LISTEN = """
import socket, sys
socket_3 = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
import os
os.dup2(socket_3.fileno(), 3)
"""


class Proxy:
    """HAProxy, and a hub for each of its servers."""

    def __init__(self, directory, master):
        self.directory, self.master = directory, master
        names = ("port", "web_port", "api_port", "stable1", "stable2", "canary1", "canary2")
        self.ports = {name: free_port() for name in names}
        self.port, self.api = self.ports["port"], f"127.0.0.1:{self.ports['api_port']}"
        self.config, self.socket = directory / "haproxy.cfg", directory / "admin.sock"
        self.config.write_text(CONFIG.format(directory=directory, **self.ports))
        for name in ("users", "cookies"):
            (directory / f"{name}.map").write_text("")
        script = directory / "listening_hub.py"
        script.write_text(LISTEN + HUB)
        self.hubs = [self.start_hub(script, name, "1" if name.startswith("stable") else "2")
                     for name in names[3:]]
        self.program, self.starts = None, 0
        self.start()

    def start_hub(self, script, name, version):
        hub = Program([sys.executable, script, self.ports[name]], self.directory / f"{name}.log",
                      {"VERSION": version})
        wait_until(lambda: can_connect(self.ports[name]), f"{name} listens")
        return hub

    def start(self):
        self.starts += 1
        mode = ["-W"] if self.master else ["-db"]
        self.program = Program(["haproxy", *mode, "-f", self.config],
                               self.directory / f"haproxy{self.starts}.log")
        wait_until(lambda: self.ask("show info") and can_connect(self.port), "HAProxy serves")

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            try:
                client.connect(str(self.socket))
                client.sendall(command.encode() + b"\n")
                answer = b""
                while part := client.recv(65536):
                    answer += part
            except OSError:
                return ""
        return answer.decode()

    def pid(self):
        lines = self.ask("show info").splitlines()
        return next((line.split()[1] for line in lines if line.startswith("Pid: ")), "")

    def get(self, header):
        request = f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.ports["web_port"]), DEADLINE_S) as client:
            client.sendall(request.encode())
            answer = b""
            while part := client.recv(65536):
                answer += part
        return answer.decode().rsplit("\r\n", 1)[1]

    def stop(self):
        self.program.kill()
        for hub in self.hubs:
            hub.kill()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except OSError:
        return False
    return True
