# SPDX-License-Identifier: Apache-2.0
"""A fleet on one machine: a server, and agents that each take their directories for a host."""

import http.client
import json
import pathlib
import signal
import ssl
import subprocess
import threading
import urllib.parse

from keeper_tools import Segue
from library_tools import Publisher
from support import RespClient, free_port, wait_until

# What a release is: the program, and how it is started on whichever host, in whichever slot.
START = """#!/bin/sh
case "$SEGUE_NAME" in *.canary) KV_PORT="$KV_CANARY_PORT";; esac
exec "$(dirname "$0")/respkv" --listen "tcp:127.0.0.1:$KV_PORT"
"""
# A program that never serves.
BROKEN = """#!/bin/sh
echo "cannot read its configuration" >&2
exit 1
"""
FINAL = ("done", "undone", "failed", "superseded")
WITHIN_S = 180  # on a busy machine


class Host:
    """An agent with its own directories and port."""

    def __init__(self, build_dir, path, name):
        path.mkdir()
        self.name, self.path = name, path
        self.segue = Segue(build_dir, path)
        self.port, self.canary_port = free_port(), free_port()
        self.segue.environment["KV_PORT"] = str(self.port)
        self.segue.environment["KV_CANARY_PORT"] = str(self.canary_port)  # where no socket is shared
        self.agent = None
        self.prefix = []  # words before those of the agent, and more of its options
        self.options = []

    def start(self, *more):
        with open(self.path / "agent.log", "a", encoding="utf-8") as log:
            self.agent = subprocess.Popen(
                [*self.prefix, str(self.segue.program), "agent", "--name", self.name,
                 *map(str, [*self.options, *more])],
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=self.segue.environment)

    def kill(self):
        self.agent.kill()
        self.agent.wait(timeout=60)

    def log(self):
        return (self.path / "agent.log").read_text(errors="replace")

    def client(self):
        return RespClient(self.port)

    def version(self):
        client = self.client()
        try:
            return client.info()["respkv_version"]
        finally:
            client.close()

    def finish(self):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(timeout=60)
        for keeper in ("kv", "kv.canary"):
            self.segue.plain("stop", keeper, deadline_s=120)
        self.segue.finish()


class Line:
    """Asks the server of a profile over one connection."""

    def __init__(self, profile):
        said = json.loads(pathlib.Path(profile).read_text())
        url = urllib.parse.urlsplit(said["url"])
        self.fields = {"Authorization": f"Bearer {said['token']}"}
        self.lock = threading.Lock()
        self.connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=10, context=ssl.create_default_context(cadata=said["authority"]))

    def get(self, path):
        """None where it does not say."""
        with self.lock:
            try:
                self.connection.request("GET", path, headers=self.fields)
                answer = self.connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                self.connection.close()
                return None
        return json.loads(body) if answer.status == 200 else None


class Fleet:
    def __init__(self, build_dir, path):
        self.build_dir, self.path = build_dir, pathlib.Path(path)
        (self.path / "publisher").mkdir()
        self.publisher = Publisher(build_dir, self.path / "publisher")
        (self.path / "operator").mkdir()
        self.segue = Segue(build_dir, self.path / "operator")
        self.segue.environment["SEGUE_PROFILE"] = str(self.path / "server/admin.json")
        self.agents_port, self.people_port = free_port(), free_port()
        self.agents_address = self.advertised = "127.0.0.1"
        self.server, self.server_prefix = None, []  # the latter: words before those of the server
        self.line = None
        self.hosts = {}
        self.trees = 0

    # ---- The server

    def launch_server(self):
        with open(self.path / "server.log", "a", encoding="utf-8") as log:
            self.server = subprocess.Popen(
                [*self.server_prefix, str(self.segue.program), "server", "--state", str(self.path / "server"),
                 "--agents", f"{self.agents_address}:{self.agents_port}",
                 "--advertise", self.advertised,
                 "--listen", f"127.0.0.1:{self.people_port}"],
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=self.segue.environment)

    def start_server(self):
        self.launch_server()
        wait_until(lambda: self.command("hosts").exit == 0, f"the server; {self.server_log()}",
                   WITHIN_S)

    def kill_server(self):
        self.server.kill()
        self.server.wait(timeout=60)

    def server_log(self):
        return (self.path / "server.log").read_text(errors="replace")

    def command(self, *words):
        return self.segue.plain(*words, "--json", deadline_s=WITHIN_S)

    def done(self, *words):
        answer = self.command(*words)
        assert answer.exit == 0, answer
        return answer.last

    def look(self, path, *words):
        """What `words` print, asked without a program: its sanitizers take 0.13 s of a processor at each start.
        Where the first server does not say it, the program has to: it knows the others, and says why."""
        if self.line is None:
            self.line = Line(self.segue.environment["SEGUE_PROFILE"])
        return self.line.get(path) or self.done(*words)

    def instances(self):
        return self.look("/v1/instances", "ps")["instances"]

    def host_list(self):
        return self.look("/v1/hosts", "hosts")["hosts"]

    # ---- Hosts

    def join(self, *names):
        self.admit(*(Host(self.build_dir, self.path / name, name) for name in names))

    def admit(self, *hosts):
        token = self.done("token", "--uses", len(hosts))["token"]
        names = [host.name for host in hosts]
        for host in hosts:
            self.hosts[host.name] = host
            host.start("--join", token)
        wait_until(lambda: self.heard() >= set(names),
                   f"hosts {names}; {self.server_log()}", WITHIN_S)

    def heard(self):
        return {host["name"] for host in self.host_list() if host.get("attached")}

    # ---- Releases and rollouts

    def publish(self, version, program, *more):
        """`program` is one of respkv's versions, or None for one that never serves."""
        tree = self.path / f"tree-{version}"
        (tree / "bin").mkdir(parents=True)
        (tree / "version").write_text(version)  # no two releases are the same tree
        start = tree / "bin/kv"
        start.write_text(START if program else BROKEN)
        start.chmod(0o755)
        if program:
            source = self.build_dir / f"examples/respkv/respkv-v{program}"
            (tree / "bin/respkv").write_bytes(source.read_bytes())
            (tree / "bin/respkv").chmod(0o755)
        self.publisher.publish(tree, version, *more)

    def release(self, version):
        return {"library": str(self.publisher.library), "component": "chat", "version": version,
                "root": str(self.publisher.path / "1.root.json")}

    def deploy(self, version, component=None, **rollout):
        """`component`: more of segue.yaml, or other than what is usual here."""
        return self.deploy_component(self.component(version, component), **rollout)

    def component(self, version, more=None):
        return {
            "release": self.release(version),
            "command": ["bin/kv"], "upgrade": "libsegue",
            "handoff": {"probation": "500ms", "start": "60s", "budget": "5s"},
            "health": {"exec": "redis-cli -p $KV_PORT ping | grep -q PONG",
                       "interval": "500ms", "timeout": "20s", "good": 1, "bad": 3},
            **(more or {})}

    def deploy_component(self, component, **rollout):
        return self.done("deploy", self.write(component, **rollout))["rollouts"][0]["rollout"]

    def write(self, component, **rollout):
        """As a file; which."""
        limits = {"bake": "0s", "max_unavailable": "1"}
        limits.update(rollout.pop("limits", {}))
        file = self.path / "segue.yaml"
        file.write_text(json.dumps({  # which is YAML, too
            "service": "shop",
            "components": {"kv": {
                **component, "rollout": {"late_watch": "0s", **limits, **rollout}}}}))
        return file

    def progress(self, rollout):
        return self.look(f"/v1/rollouts/{rollout}?instances=1000", "rollout", "show", rollout)

    def ended(self, rollout):
        def final():
            progress = self.progress(rollout)
            return progress if progress["phase"] in FINAL else None
        try:
            return wait_until(final, f"the end of {rollout}", WITHIN_S)
        except AssertionError as error:
            logs = "\n".join(host.log() for host in self.hosts.values())
            raise AssertionError(f"{error}; {json.dumps(self.progress(rollout), indent=1)}; "
                                 f"{self.server_log()}; {logs}") from error

    def at_step(self, rollout, step):
        """Until the step has its share and bakes."""
        def bakes():
            progress = self.progress(rollout)
            assert progress["phase"] == "running", progress
            return progress["step"] == step and progress["step_phase"] == "baking"
        try:
            wait_until(bakes, f"step {step} of {rollout}", WITHIN_S)
        except AssertionError as error:
            logs = "\n".join(host.log() for host in self.hosts.values())
            raise AssertionError(f"{error}; {json.dumps(self.progress(rollout), indent=1)}; {self.instances()}; "
                                 f"{logs}") from error

    def finish(self):
        for host in self.hosts.values():
            host.finish()
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(timeout=60)
        self.segue.finish()


class Relay:
    """`segue relay agents` with its own directory and port."""

    def __init__(self, fleet, name, ip="127.0.0.1"):
        (fleet.path / name).mkdir()
        self.name, self.path = name, fleet.path / name
        self.segue = Segue(fleet.build_dir, self.path)
        self.address = f"{ip}:{free_port()}"
        self.prefix = []  # words before those of the relay
        self.process = None

    def start(self, *more):
        with open(self.path / "relay.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(self.segue.program), "relay", "agents", "--name", self.name, "--listen",
                 self.address, "--state", str(self.path / "relay"), *more],
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=self.segue.environment)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=60)

    def log(self):
        return (self.path / "relay.log").read_text(errors="replace")

    def finish(self):
        if self.process and self.process.poll() is None:
            self.kill()
        self.segue.finish()
