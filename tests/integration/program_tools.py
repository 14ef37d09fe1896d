# SPDX-License-Identifier: Apache-2.0
"""Real programs that know nothing of libsegue, and clients that connect to them without a pause."""

import collections
import re
import shutil
import socket
import threading

from keeper_tools import Segue
from support import DEADLINE_S, wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

WSGI_APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("version " + os.environ["VERSION"]).encode()]
"""

ASGI_APP = """
import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ("version " + os.environ["VERSION"]).encode()})
"""

NODE_APP = """
const http = require('http');
const server = http.createServer((request, response) => {
  response.end('version ' + process.env.VERSION);
});
server.listen({fd: Number(process.argv[2])});
process.on('SIGTERM', () => server.close(() => process.exit(0)));
"""

HAPROXY_CONFIG = """
global
  maxconn 200
defaults
  mode http
  timeout client 20s
  timeout connect 5s
  timeout server 5s
frontend web
  bind fd@${WEB_FD}
  http-request return status 200 content-type text/plain string "version ${VERSION}"
"""

LIGHTTPD_CONFIG = """
server.modules = ( "mod_setenv" )
server.systemd-socket-activation = "enable"
server.bind = "127.0.0.1"
server.port = %(port)d
server.document-root = "%(directory)s/www" + env.VERSION
index-file.names = ( "index.html" )
"""


NGINX_CONFIG = """
pid %(directory)s/%(pid_file)s;
error_log %(directory)s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %(directory)s/body;
  proxy_temp_path %(directory)s/proxy;
  fastcgi_temp_path %(directory)s/fastcgi;
  uwsgi_temp_path %(directory)s/uwsgi;
  scgi_temp_path %(directory)s/scgi;
  server {
    listen 127.0.0.1:%(port)d;
    location / { return 200 "version %(version)s"; }
  }
}
"""


class Clients:
    """Threads that connect, ask once and read the answer, again and again."""

    def __init__(self, address, threads=4):
        self.address, self.stopped = address, threading.Event()
        self.answers, self.refused, self.failed = collections.Counter(), [], []
        self.threads = [threading.Thread(target=self.loop, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def loop(self):
        while not self.stopped.is_set():
            try:
                self.answers[ask(self.address)] += 1
            except ConnectionRefusedError as error:
                self.refused.append(error)
            except OSError as error:
                self.failed.append(error)

    def wait_for(self, version):
        before = self.answers[version]
        wait_until(lambda: self.answers[version] > before, f"an answer '{version}': {self.answers}")

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(DEADLINE_S)
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"


def connect(address):
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), DEADLINE_S)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE_S)
    client.connect(str(address))
    return client


def ask(address):
    """The version in the answer to one request."""
    with connect(address) as client:
        client.sendall(REQUEST)
        answer = b""
        while part := client.recv(65536):
            answer += part
    found = re.search(rb"version \d+", answer)
    if not answer.startswith(b"HTTP/1.1 200") or not found:
        raise OSError(f"answered {answer[:80]!r}")
    return found[0].decode()


class Program:
    """One real program under a keeper, in versions that differ in an environment variable."""

    def __init__(self, segue, port, command, options=(), name="web", mode="listeners"):
        self.segue, self.port, self.command = segue, port, [str(word) for word in command]
        self.options, self.name, self.mode = list(options), name, mode
        self.sockets = True

    def run(self, *more, listen=True):
        self.sockets = listen
        sockets = ["--listen", f"web=tcp:127.0.0.1:{self.port}"] if listen else []
        answer = self.segue("run", self.name, "--upgrade", self.mode, *sockets, *self.options, *more,
                            *self.environment("1"), "--", *self.command)
        self.segue.status(self.name)
        return answer

    def environment(self, version):
        socket_fd = ["--env", "WEB_FD={fd:web}"] if self.sockets else []
        return ["--env", f"VERSION={version}", *socket_fd]

    def upgrade(self, version, *more):
        answer = self.segue("upgrade", self.name, *more, *self.environment(version), "--",
                            *self.command)
        self.segue.status(self.name)
        return answer

    def undo(self, *more):
        return self.segue("undo", self.name, *more)

    def status(self):
        return self.segue.status(self.name)


def nginx_config(directory, port, version, pid_file):
    return NGINX_CONFIG % {"directory": directory, "port": port, "version": version, "pid_file": pid_file}


def nginx_command(directory, version):
    return [f"{directory}/{version}/nginx", "-c", f"{directory}/nginx.conf"]


def nginx_program(segue, directory, port):
    """Under the contract `signal`; its versions are copies of one binary, told apart by their paths."""
    (directory / "nginx.conf").write_text(nginx_config(directory, port, "1", "nginx.pid"))
    for version in ("1", "2"):
        (directory / version).mkdir()
        shutil.copy("/usr/sbin/nginx", directory / version / "nginx")
    options = ["--upgrade-signal", "USR2", "--new-pid", f"{directory}/nginx.pid", "--stop-signal", "QUIT",
               "--retire-signal", "WINCH", "--resume-signal", "HUP"]
    return Program(segue, port, nginx_command(directory, 1), options, name="nginx", mode="signal")


def write_programs(directory, port):
    """Each program's own files; returns its command line."""
    files = {"wsgi_app.py": WSGI_APP, "asgi_app.py": ASGI_APP, "server.js": NODE_APP,
             "haproxy.cfg": HAPROXY_CONFIG,
             "lighttpd.conf": LIGHTTPD_CONFIG % {"port": port, "directory": directory}}
    for name, text in files.items():
        (directory / name).write_text(text)
    for version in ("1", "2", "3"):
        (directory / f"www{version}").mkdir()
        (directory / f"www{version}" / "index.html").write_text(f"version {version}")
        (directory / f"nginx{version}.conf").write_text(
            "daemon off; worker_processes 2;" + nginx_config(directory, port, version, f"nginx{version}.pid"))
    return {
        "gunicorn": ["gunicorn", "--chdir", directory, "--workers", "2", "wsgi_app:app"],
        "uvicorn": ["/usr/bin/python3", "-m", "uvicorn", "--app-dir", directory, "--fd", "{fd:web}",
                    "asgi_app:app"],
        "node": ["node", directory / "server.js", "{fd:web}"],
        "haproxy": ["haproxy", "-Ws", "-f", directory / "haproxy.cfg"],
        "lighttpd": ["lighttpd", "-D", "-f", directory / "lighttpd.conf"],
        "nginx": ["sh", "-c", f'NGINX="$WEB_FD;" exec nginx -c {directory}/nginx$VERSION.conf'],
        "uwsgi": ["uwsgi", "--plugin", "python3", "--http-socket", "fd://{fd:web}", "--chdir",
                  directory, "--module", "wsgi_app:app", "--master", "--hook-master-start",
                  "unix_signal:15 gracefully_kill_them_all", "--threads", "4"],
    }


__all__ = ["Clients", "Program", "Segue", "ask", "connect", "nginx_command", "nginx_program", "write_programs"]
