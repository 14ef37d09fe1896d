#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""release.py BUILD_DIR: from a commit to go-live at two sites, under clients that stay connected.

A git repository, a builder, a release library behind nginx, and two sites, each with a line of 1 Mbit/s, a place and an
agent, all on this machine. A commit is pushed; it is built, tested, signed and published; both sites stage it ahead; then
the builder and the library are stopped, and at the planned second both sites hand their service over. Ends within two
minutes; exit code 0 only if nobody lost anything.
"""

import collections
import datetime
import pathlib
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time

from tools import Failure, Segue, free_port, run_demo, say

LIMIT_S = 110.0
GO_LIVE_IN_S = 30
CLIENTS = 50                   # of each site
LINE_BYTES_PER_S = 125_000     # 1 Mbit/s
SITES = {"berlin": "Europe/Berlin", "shanghai": "Asia/Shanghai"}
PYTHON = "/usr/bin/python3"
LEVEL1 = pathlib.Path(__file__).resolve().parents[1] / "level1/python"
# Real files that the application ships with, so that its tree is not tiny.
BUNDLED = ("email", "http", "json", "xml")

SEGUE_YAML = """\
name: echo
build:
  - mkdir out && cp echo.py segue_level1.py out/ && cp -r bundled out/
  - printf '%s' "$SEGUE_VERSION" > out/VERSION
test: cd out && python3 -B -c 'import echo, segue_level1'
output: out
version: "1.{commits}"
"""

NGINX = """\
daemon off; pid %(home)s/nginx.pid; error_log %(home)s/nginx.log;
events {}
http {
  log_format bytes "$http_user_agent $uri $body_bytes_sent";
  access_log %(home)s/access.log bytes;
  client_body_temp_path %(home)s/body; proxy_temp_path %(home)s/proxy; fastcgi_temp_path %(home)s/fastcgi;
  uwsgi_temp_path %(home)s/uwsgi; scgi_temp_path %(home)s/scgi;
  server { listen 127.0.0.1:%(port)d; root %(library)s; }
}
"""

BUILDER_YAML = """\
state: %(home)s/builder
publish: [--library, %(library)s, --root, %(home)s/1.root.json%(signers)s]
repositories:
  echo: {url: %(home)s/forge.git, refs: [refs/heads/main], poll_s: 0}
"""


class Clients(threading.Thread):
    """Connections that ask again and again; each answer has to carry that connection's next number."""

    def __init__(self, port, count):
        super().__init__(daemon=True)
        self.port, self.count = port, count
        self.answers, self.errors, self.worst_ms = 0, [], 0.0
        self.versions = collections.Counter()
        self.stopping = threading.Event()

    def run(self):
        selector = selectors.DefaultSelector()
        for _ in range(self.count):
            link = socket.create_connection(("127.0.0.1", self.port), 10)
            link.setblocking(False)
            link.sendall(b"hello\n")
            selector.register(link, selectors.EVENT_READ, [1, time.monotonic(), b""])
        while not self.stopping.is_set() and selector.get_map():
            for key, _ in selector.select(0.1):
                self.take(selector, key.fileobj, key.data)

    def take(self, selector, link, state):
        try:
            data = link.recv(4096)
        except OSError as error:
            data, state[2] = b"", str(error).encode()
        if not data:
            self.errors.append(f"a connection ended after {state[0]} answers: {state[2].decode()}")
            selector.unregister(link)
            return
        state[2] += data
        if not state[2].endswith(b"\n"):
            return
        number, sent_at, answer = state
        if answer != b"%d hello\n" % number:
            self.errors.append(f"answer {number} was {answer!r}")
        self.answers += 1
        self.worst_ms = max(self.worst_ms, (time.monotonic() - sent_at) * 1000)
        time.sleep(0.0005)  # the pace of the load
        state[:] = [number + 1, time.monotonic(), b""]
        link.sendall(b"hello\n")


def version_at(port):
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(b"who\n")
        return link.makefile("r").readline().split()[0]


class Site:
    def __init__(self, demo, name):
        self.demo, self.name, self.port = demo, name, free_port()
        self.place = demo.home / name
        self.clients = self.agent = self.live_at = None

    @property
    def component(self):
        return f"echo-{self.name}"

    def command(self):
        """What runs from the live tree, whichever that is when the command is given."""
        live = self.place / "live"
        return (f"{self.demo.build}/src/level1/segue-level1 --freeze-ms=100 -- {PYTHON} -B {live}/echo.py "
                f"--listen tcp:127.0.0.1:{self.port} --version $(cat {live}/VERSION)")

    def shell(self, text):
        self.demo.execute(["sh", "-c", text], self.demo.segue.environment)

    def start(self, version):
        """The first release, by hand."""
        self.place.mkdir()
        self.demo.segue.call("stage", "--json", "echo", version, "--library", self.demo.url, "--place",
                             self.place, "--root", self.demo.home / "1.root.json")
        self.demo.segue.call("go-live", "--json", self.place)
        self.shell(f"{self.demo.segue.program} run {self.component} -- {self.command()}")
        self.clients = Clients(self.port, CLIENTS)
        self.clients.start()
        self.agent = self.demo.spawn(
            f"agent-{self.name}", "agent", "--component", "echo", "--place", self.place, "--site", self.name,
            "--library", self.demo.url, "--fetch-plans-s", "1",
            "--state", self.demo.home / f"agent-{self.name}",
            f"--stage-option=--max-bytes-per-s={LINE_BYTES_PER_S}", "--health-tcp", f"127.0.0.1:{self.port}",
            "--upgrade", f"{self.demo.segue.program} upgrade --probation-s 1 --budget-ms 300 {self.component} "
            f"-- {self.command()}")

    def watch(self, version):
        """Until the service says that version; notes when."""
        while version_at(self.port) != version:
            self.demo.check_time(f"{version} serves at {self.name}")
            time.sleep(0.02)  # the resolution of the table
        self.live_at = datetime.datetime.now(datetime.timezone.utc)

    def stop(self):
        if self.clients:
            self.clients.stopping.set()
        self.demo.segue.call("stop", "--json", self.component, check=False)


class Demo:
    def __init__(self, build, home):
        self.build, self.home = build, home
        self.segue = Segue(build, home)
        self.library = home / "library"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes, self.rows = {}, []
        self.started = time.monotonic()
        self.sites = [Site(self, name) for name in SITES]

    # ---- Tools

    def check_time(self, what):
        if time.monotonic() - self.started > LIMIT_S:
            logs = "".join(f"\n-- {name}\n{(self.home / f'{name}.out').read_text()[-1500:]}"
                           for name in self.processes)
            raise Failure(f"not within {LIMIT_S:.0f} s: {what}{logs}")

    def execute(self, words, environment=None, cwd=None):
        done = subprocess.run(list(map(str, words)), env=environment, cwd=cwd, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        if done.returncode != 0:
            raise Failure(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stdout.strip()}")
        return done.stdout.strip()

    def git(self, *words):
        return self.execute(["git", "-c", "user.name=dev", "-c", "user.email=dev@localhost", *words],
                        cwd=self.home / "work")

    def spawn(self, name, *words):
        with open(self.home / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.segue.program), *map(str, words)], env=self.segue.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.processes[name]

    def end(self, name):
        process = self.processes.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait(timeout=20)

    def wait_for(self, condition, what):
        while True:
            result = condition()
            if result:
                return result
            self.check_time(what)
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise Failure(f"{name} ended while waiting until {what}:\n"
                                  f"{(self.home / f'{name}.out').read_text()[-2000:]}")
            time.sleep(0.05)

    def note(self, text):
        self.rows.append((time.monotonic() - self.started, text))
        say(f"{self.rows[-1][0]:6.1f} s  {text}")

    # ---- Steps

    def set_up(self):
        keys = ("root", "targets", "echo", "snapshot", "timestamp")
        for key in (*keys, "plans"):
            self.execute([self.segue.program, "key", "make", self.home / key])
        roles = [word for role in ("root", "targets", "snapshot", "timestamp")
                 for word in ("--add-key", f"{role}={self.home / role}.pub")]
        self.execute([self.segue.program, "key", "root", self.home / "1.root.json", *roles, "--sign-with",
                  self.home / "root"])
        signers = "".join(f", --sign-with, {role}={self.home / role}" for role in keys[1:])
        fill = {"home": self.home, "library": self.library, "port": self.port, "signers": signers}
        (self.home / "builder.yaml").write_text(BUILDER_YAML % fill)
        (self.home / "nginx.conf").write_text(NGINX % fill)
        self.execute(["git", "init", "-q", "--bare", "-b", "main", self.home / "forge.git"])
        self.execute([self.segue.program, "build", "hook", self.home / "forge.git", "--name", "echo", "--config",
                  self.home / "builder.yaml"])
        self.write_application()
        self.spawn("builder", "build", "run", "--config", self.home / "builder.yaml")

    def write_application(self):
        tree = self.home / "work"
        self.execute(["git", "clone", "-q", self.home / "forge.git", tree])
        for name in ("echo.py", "segue_level1.py"):
            shutil.copy(LEVEL1 / name, tree)
        for name in BUNDLED:
            shutil.copytree(pathlib.Path(collections.__file__).parents[1] / name, tree / "bundled" / name,
                            ignore=shutil.ignore_patterns("__pycache__"))
        (tree / "segue.yaml").write_text(SEGUE_YAML)

    def commit(self, text):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", text)
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "--short", "HEAD")

    def wait_published(self, version):
        def published():
            if not (self.library / "metadata/timestamp.json").exists():
                return False
            listed = self.execute([self.segue.program, "releases", "--json", "--library", self.library])
            return f'"{version}"' in listed
        self.wait_for(published, f"{version} is published")

    def serve(self):
        with open(self.home / "library.out", "ab") as log:
            self.processes["library"] = subprocess.Popen(
                ["nginx", "-p", str(self.home), "-c", str(self.home / "nginx.conf")], stdout=log, stderr=log)

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        self.wait_for(answers, "the library is served")

    def is_staged(self, site, version):
        answer = self.segue.call("go-live", "--json", "--dry-run", site.place, version, check=False)
        return answer.get("exit") == 0

    def run(self):
        say("making keys, a library and a repository")
        self.set_up()
        self.note(f"commit {self.commit('An echo service')} is pushed")
        self.wait_published("1.1")
        self.note("1.1 is built, tested and published")
        self.serve()
        for site in self.sites:
            site.start("1.1")
        self.note(f"1.1 serves {CLIENTS} clients at each of {len(self.sites)} sites")
        sent_before = self.bytes_sent()

        sites = [word for name, zone in SITES.items() for word in ("--site", f"{name}={zone}")]
        signers = [f"--sign-with={role}={self.home / role}" for role in ("plans", "targets", "snapshot", "timestamp")]
        plan = self.segue.call("plan", "create", "--json", "--library", self.library, *signers, "--component", "echo",
                               "--version", "1.2", "--at", f"+{GO_LIVE_IN_S}s", "--publishing-freeze-s", "0",
                               "--staging-takes-s", "5", *sites)
        self.go_live_at = self.moment_of(plan)
        self.note(f"a plan, signed: 1.2 goes live at {self.go_live_at:%H:%M:%S} UTC; it is not built yet")
        program = self.home / "work/echo.py"
        program.write_text(program.read_text().replace('"""echo.py', '"""The second edition. echo.py', 1))
        self.note(f"commit {self.commit('A second edition')} is pushed")
        self.wait_published("1.2")
        self.note("1.2 is built, tested and published")
        for site in self.sites:
            self.wait_for(lambda site=site: self.is_staged(site, "1.2"), f"{site.name} has staged 1.2")
            self.note(f"1.2 waits, verified, at {site.name}")
        sent = self.bytes_sent() - sent_before
        self.end("builder")
        self.end("library")
        self.note("the builder and the library are stopped: each site is on its own")
        watchers = [threading.Thread(target=site.watch, args=("1.2",), daemon=True) for site in self.sites]
        for watcher in watchers:
            watcher.start()
        for site, watcher in zip(self.sites, watchers):
            self.wait_for(lambda watcher=watcher: not watcher.is_alive(), f"1.2 is live at {site.name}")
            if site.live_at is None:
                raise Failure(f"nobody answers at {site.name}")
            late = (site.live_at - self.go_live_at).total_seconds()
            self.note(f"1.2 is live at {site.name}, {late:+.2f} s from the planned moment")
        return self.report(sent)

    def moment_of(self, plan):
        found = re.search(r"(\d{8}T\d{4})(\d\d)?Z", plan["text"])  # in its name, without seconds that are zero
        if not found:
            raise Failure(f"the plan names no moment: {plan}")
        at = datetime.datetime.strptime(found[1] + (found[2] or "00"), "%Y%m%dT%H%M%S")
        return at.replace(tzinfo=datetime.timezone.utc)

    def bytes_sent(self):
        lines = (self.home / "access.log").read_text().splitlines()
        return sum(int(line.rsplit(" ", 1)[1]) for line in lines)

    def report(self, sent):
        time.sleep(1.5)  # of load after the handoff, its probation included
        for site in self.sites:
            site.clients.stopping.set()
            site.clients.join()
        errors = [f"{site.name}: {error}" for site in self.sites for error in site.clients.errors]
        tree = sum(path.stat().st_size for path in (self.sites[0].place / "live").rglob("*") if path.is_file())
        print()
        for at, text in self.rows:
            print(f"{at:7.1f} s  {text}")
        print()
        for name, value in (
                ("application", f"{tree:,} bytes"),
                ("over both lines for 1.2", f"{sent:,} bytes, metadata included"),
                ("requests answered", f"{sum(site.clients.answers for site in self.sites):,}"),
                ("connections lost, wrong answers", f"{len(errors)}"),
                ("longest answer", f"{max(site.clients.worst_ms for site in self.sites):.1f} ms")):
            print(f"{name:<32} {value}")
        for error in errors[:10]:
            say(f"error: {error}")
        return 0 if not errors else 1

    def clean_up(self):
        for site in self.sites:
            site.stop()
        for name in list(self.processes):
            self.end(name)


if __name__ == "__main__":
    run_demo(__doc__, Demo)
