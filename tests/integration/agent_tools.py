# SPDX-License-Identifier: Apache-2.0
"""A host for `segue agent`: a place, the service that runs from it, and the library that releases come from."""

import subprocess
import urllib.error
import urllib.request

from keeper_tools import Segue
from library_tools import Publisher
from support import free_port, wait_until

SERVER = """#!/usr/bin/python3 -S
import http.server, pathlib, sys
version = pathlib.Path(__file__).parent.parent.joinpath("version").read_text().strip()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if version.startswith("bad") else 200)
        self.end_headers()
        self.wfile.write(version.encode())
    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# Stops and starts so that doing it twice comes to the same, also at the same time: an agent that is
# killed leaves its script behind, and the next agent runs another. Who holds the lock is alone until
# the server's pid is written.
CONTROL = """#!/bin/sh
stop() {
  [ -e pid ] || return 0
  kill "$(cat pid)" 2>/dev/null
  while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done
  rm -f pid
}
cd "$(dirname "$0")" || exit 1
exec 9>lock
flock 9
stop
[ "$1" = start ] || exit 0
setsid sh -c 'echo $$ >pid; exec place/live/bin/server "$1" 9>&-' sh "$2" </dev/null >/dev/null 2>&1 &
while [ ! -s pid ]; do sleep 0.02; done
"""


class Host:
    """A place with version 1 live, its library, and the agent."""

    def __init__(self, build_dir, path):
        self.path, self.place = path, path / "place"
        self.segue = Segue(build_dir, path)
        (path / "publisher").mkdir()
        self.publisher = Publisher(build_dir, path / "publisher")
        self.library = self.publisher.library
        self.port = free_port()
        self.agent = None
        self.place.mkdir()
        (path / "control").write_text(CONTROL)
        (path / "control").chmod(0o755)

    def publish(self, version, files):
        tree = self.path / f"tree-{version}"
        (tree / "bin").mkdir(parents=True)
        (tree / "version").write_text(version + "\n")
        for name, content in files.items():
            file = tree / "bin" / name
            file.write_bytes(content)
            file.chmod(0o755)
        self.publisher.publish(tree, version)

    def publish_server(self, version):
        self.publish(version, {"server": SERVER.encode()})

    def make_live(self, version):
        self.done("stage", "chat", version, "--library", self.publisher.library, "--place", self.place,
                  "--root", self.publisher.path / "1.root.json")
        self.done("go-live", self.place, version)

    def control(self, command):
        subprocess.run([self.path / "control", command, str(self.port)], check=True, timeout=30)

    def done(self, *words):
        answer = self.segue.plain(*words)
        assert answer.exit == 0, answer
        return answer

    def plan(self, version, at="+0s", *more):
        self.done("plan", "create", "--component", "chat", "--version", version, "--at", at,
                  "--id", f"to-{version}", *more)

    def plan_in_library(self, *words):
        return self.publisher.run("plan", *words, "--library", "library", *self.publisher.signing())

    def start_agent(self, *more):
        words = ["agent", "--component", "chat", "--place", self.place, "--library",
                 self.library, *more]
        with open(self.path / "agent.log", "a", encoding="utf-8") as log:
            self.agent = subprocess.Popen([self.segue.program, *map(str, words)], stderr=log,
                                          stdin=subprocess.DEVNULL, env=self.segue.environment)

    def start_classic_agent(self, *more, health_within_s=30):
        """What is good is so at once, but for a busy machine; only a bad version takes all the time."""
        control = self.path / "control"
        self.start_agent("--stop", f"{control} stop", "--start", f"{control} start {self.port}",
                         "--health-http", f"http://127.0.0.1:{self.port}/",
                         "--health-within-s", health_within_s, *more)

    def kill_agent(self):
        self.agent.kill()
        self.agent.wait(timeout=30)

    def log(self):
        return (self.path / "agent.log").read_text()

    def report(self, version, *where):
        def arrived():
            shown = self.done("plan", "show", f"to-{version}", "--json", *where)
            reports = shown.last.get("reports", [])
            return next((report for report in reports if report["outcome"] != "alarm"), None)
        return wait_until(arrived, f"the report about {version}; {self.log()}", 120)

    def served(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=30) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def finish(self):
        if self.agent and self.agent.poll() is None:
            self.kill_agent()
        self.control("stop")
        self.segue.finish()
