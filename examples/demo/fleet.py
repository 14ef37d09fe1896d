#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fleet.py BUILD_DIR: a server, three hosts, and two key-value services that are rolled out by shares under load.

They run in containers if Podman can be had, otherwise as processes. New connections to `kv` are split by the kernel of
each host, those to `cart` by HAProxy. Version 1 serves both, to clients that stay connected. A version that turns bad
after some seconds gets a tenth of the new connections and is taken back by itself. A good one gets a tenth, then half,
then all. Ends within five minutes; exit code 0 only if nobody lost anything. As root, for three network namespaces.
"""

import json
import os
import shutil
import subprocess
import time

from fleet_clients import Clients, Newcomers, version_of
from fleet_places import HEALTH, KERNEL_PORT, Host, Proxy, archive_of, tree_of, why_not
from lab import NETWORK, Lab, enter_own_network
from tools import Failure, Segue, run_demo, say

LIMIT_S = 290.0
HOSTS = ("berlin-1", "berlin-2", "oslo-1")
IDLE, ACTIVE = 80, 20          # connections that stay, to each host, and as many through the proxy
TURNS_BAD_AFTER_S = 8
ROLES = ("targets", "snapshot", "timestamp")
SHARES = (0.1, 0.5)
FINAL = ("done", "undone", "failed", "superseded")


class Demo:
    def __init__(self, build, home):
        self.build, self.home = build, home
        self.lab = Lab()
        self.segue = Segue(build, home / "operator")
        (home / "operator").mkdir()
        (home / "shared").mkdir()
        self.segue.environment["SEGUE_PROFILE"] = str(home / "server/admin.json")
        self.hosts = [Host(name, home, self.lab) for name in HOSTS]
        self.in_containers = not why_not("podman")
        self.components, self.proxy = ["kv"], None
        self.clients, self.newcomers = [], {}
        self.processes, self.watchers, self.rows, self.shares = {}, [], [], []
        self.started = time.monotonic()

    # ---- Tools

    def spawn(self, name, before, environment, *words):
        with open(self.home / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*before, str(self.segue.program), *map(str, words)], env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def logs(self):
        return "".join(f"\n-- {name}\n{(self.home / f'{name}.out').read_text()[-1500:]}" for name in self.processes)

    def wait_for(self, condition, what):
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() - self.started > LIMIT_S:
                raise Failure(f"not within {LIMIT_S:.0f} s: {what}{self.logs()}")
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise Failure(f"{name} ended while waiting until {what}{self.logs()}")
            time.sleep(0.05)

    def note(self, text):
        self.rows.append((time.monotonic() - self.started, text))
        say(f"{self.rows[-1][0]:6.1f} s  {text}")

    def loads(self):
        return [*self.clients, *self.newcomers.values()]

    def errors(self):
        return [error for load in self.loads() for error in load.errors]

    # ---- Steps

    def make_library(self):
        keys = self.home / "keys"
        keys.mkdir()
        for role in ("root", *ROLES):
            self.segue.call("key", "make", keys / role)
        roles = [f"--add-key={role}={keys / role}.pub" for role in ("root", *ROLES)]
        self.segue.call("key", "root", keys / "1.root.json", *roles, "--sign-with", keys / "root")

    def publish(self, version, program, well_for_s=10 ** 9):
        respkv = self.build / f"examples/respkv/respkv-v{program}"
        source = self.home / f"release-{version}"
        if self.in_containers:
            source.write_bytes(archive_of(respkv, well_for_s, version))
        else:
            tree_of(respkv, well_for_s, source)
        signers = [f"--sign-with={role}={self.home / 'keys' / role}" for role in ROLES]
        self.segue.call("publish", "--json", source, "--library", self.home / "library", "--component", "kv",
                        "--version", version, "--root", self.home / "keys/1.root.json", *signers)

    def start_fleet(self):
        self.spawn("server", [], self.segue.environment, "server", "--state", self.home / "server",
                   "--agents", f"{NETWORK}.1:7443", "--advertise", f"{NETWORK}.1", "--listen", f"{NETWORK}.1:7444")
        self.wait_for(lambda: "hosts" in self.segue.call("hosts", "--json", check=False), "the server answers")
        token = self.segue.call("token", "--json", "--uses", len(self.hosts))["token"]
        for host in self.hosts:
            if self.in_containers:
                host.start_engine()
            self.spawn(host.name, host.inside, host.environment, "agent", "--name", host.name, "--join", token,
                       *host.options)
        self.wait_for(lambda: len(self.attached()) == len(self.hosts), "three hosts have joined")
        self.note(f"{len(self.hosts)} hosts obey a server; components run " +
                  ("in containers of Podman's" if self.in_containers else f"as processes: {why_not('podman')}"))
        if shutil.which("haproxy"):
            self.components.append("cart")
            self.proxy = Proxy(self.hosts[0], self.hosts)
        else:
            self.note("without HAProxy, which is not installed: only the kernel splits connections")

    def attached(self):
        return [host for host in self.segue.call("hosts", "--json")["hosts"] if host.get("attached")]

    def component(self, name, version, canary):
        rollout = {"bake": "0s", "max_unavailable": "1", "late_watch": "0s"}
        if canary:
            steps = [{"share": f"{share:.0%}", "bake": "6s"} for share in SHARES]
            rollout |= {"strategy": "canary", "gates": ["well"], "max_unavailable": "3",
                        "canary": {"split": "kernel" if name == "kv" else "proxy", "steps": steps}}
        component = {
            "release": {"library": str(self.home / "library"), "component": "kv", "version": version,
                        "root": str(self.home / "keys/1.root.json")},
            "upgrade": "libsegue", "handoff": {"probation": "500ms"},
            "environment": {"KV_HOME": str(self.home / "shared")},
            "health": {"exec": HEALTH.format(home=self.home / "shared"), "interval": "1s", "good": 1, "bad": 2},
            "gates": {"well": {"kind": "health", "every": "1s", "bad": 2, "good": 2}},
            "rollout": rollout}
        if name == "kv":
            component |= {"listen": {"clients.0": f"tcp:0.0.0.0:{KERNEL_PORT},group"}, "sharing": {"kind": "kernel"}}
        else:
            component["sharing"] = {"kind": "haproxy", "proxy_host": self.hosts[0].name, "backend": "cart",
                                    "proxy_socket": self.proxy.socket}
        if self.in_containers:
            shared = self.home / "shared"
            return component | {"driver": "container", "network": "none" if name == "kv" else "host",
                                "volumes": [f"{shared}:{shared}"]}
        return component | {"command": ["bin/kv"]}

    def deploy(self, version, title, canary=True):
        (self.home / "segue.yaml").write_text(json.dumps({  # which is YAML, too
            "service": "shop",
            "components": {name: self.component(name, version, canary) for name in self.components}}))
        answer = self.segue.call("deploy", "--json", "--title", title, self.home / "segue.yaml")
        return {one["component"]: one["rollout"] for one in answer["rollouts"]}

    def follow(self, rollouts, new):
        """To their ends; what share of new connections reached the new version at each of their shares."""
        self.watchers = [subprocess.Popen([str(self.segue.program), "rollout", "watch", "--log", rollout], stdout=2,
                                          stdin=subprocess.DEVNULL, env=self.segue.environment)
                         for rollout in rollouts.values()]

        def ends():
            progress = {name: self.segue.call("rollout", "show", rollout, "--json")
                        for name, rollout in rollouts.items()}
            if self.errors():
                raise Failure("\n".join(self.errors()[:5]))
            for name, newcomers in self.newcomers.items():
                bakes = progress[name].get("step_phase") == "baking" and progress[name]["phase"] == "running"
                newcomers.rollout_is_at((rollouts[name], progress[name]["step"]) if bakes else None)
            return progress if all(one["phase"] in FINAL for one in progress.values()) else None
        progress = self.wait_for(ends, f"the end of {', '.join(rollouts.values())}")
        for watcher in self.watchers:
            watcher.wait(timeout=20)
        for name, newcomers in self.newcomers.items():
            for step, asked in enumerate(SHARES):
                share, total = newcomers.share((rollouts[name], step), new)
                if total:
                    self.shares.append((rollouts[name], name, asked, share, total))
        return progress

    def begin_load(self):
        addresses = {"kv": [(host.address, KERNEL_PORT) for host in self.hosts]}
        if self.proxy:
            addresses["cart"] = [self.proxy.address]
            self.wait_for(self.proxy_serves, "HAProxy serves")
        self.clients = [Clients(address, IDLE, ACTIVE) for some in addresses.values() for address in some]
        self.newcomers = {name: Newcomers(some) for name, some in addresses.items()}
        for load in self.loads():
            load.start()
        self.note(f"1.0 serves {len(self.clients) * (IDLE + ACTIVE)} connections that stay, and new ones all the time")

    def proxy_serves(self):
        try:
            return version_of(self.proxy.address)
        except (OSError, Failure):
            return False

    def run(self):
        say("making keys and a library")
        self.make_library()
        self.publish("1.0", 1)
        self.publish("1.1-slow", 2, TURNS_BAD_AFTER_S)
        self.publish("2.0", 2)
        self.start_fleet()
        first = self.follow(self.deploy("1.0", "the first release", canary=False), "1")
        for name, progress in first.items():
            if progress["phase"] != "done":
                raise Failure(f"the first rollout of {name} is {progress['phase']}{self.logs()}")
        self.begin_load()
        bad = self.follow(self.deploy("1.1-slow", f"turns bad after {TURNS_BAD_AFTER_S} s"), "2")
        self.tell("1.1-slow", bad)
        good = self.follow(self.deploy("2.0", "a good one"), "2")
        self.tell("2.0", good)
        time.sleep(1)  # of load after the last handoff
        return self.report(bad, good)

    def tell(self, version, rollouts):
        for name, progress in rollouts.items():
            why = progress.get("text") or progress.get("why")
            self.note(f"{name} {version} is {progress['phase']}" + (f": {why}" if why else ""))

    def report(self, bad, good):
        for load in self.loads():
            load.stopping.set()
            load.join()
        versions = {version_of(address) for newcomers in self.newcomers.values() for address in newcomers.addresses}
        handoffs = [one["seen"]["handoff"] for one in self.segue.call("ps", "--json")["instances"]
                    if one.get("seen", {}).get("handoff")]
        errors = self.errors()
        print()
        for at, text in self.rows:
            print(f"{at:7.1f} s  {text}")
        print()
        for rollout, name, asked, share, total in self.shares:
            print(f"{rollout} {name:<5} {asked:.0%} of new connections asked for, {share:.1%} of {total:,} seen")
        newcomers = sum(sum(seen.values()) for one in self.newcomers.values() for seen in one.seen.values())
        for name, value in (
                ("requests answered", f"{sum(clients.answers for clients in self.clients):,}"),
                ("new connections", f"{newcomers:,} at shares"),
                ("connections lost, wrong answers", f"{len(errors)}"),
                ("longest answer", f"{max(clients.worst_ms for clients in self.clients):.1f} ms"),
                ("longest blackout of the last handoffs",
                 f"{max((one['blackout_us'] for one in handoffs), default=0) / 1000:.2f} ms")):
            print(f"{name:<38} {value}")
        for error in errors[:10]:
            say(f"error: {error}")
        met = (all(one["phase"] == "undone" for one in bad.values()) and
               all(one["phase"] == "done" for one in good.values()) and versions == {"2"})
        return 0 if met and not errors else 1

    def clean_up(self):
        for load in self.loads():
            load.stopping.set()
        for watcher in self.watchers:
            if watcher.poll() is None:
                watcher.kill()
                watcher.wait()
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.proxy:
            self.proxy.close()
        for host in self.hosts:
            host.finish(self.segue)
        self.lab.close()


if __name__ == "__main__":
    if os.geteuid() == 0:
        os.environ["PATH"] += ":/usr/sbin:/sbin"
    enter_own_network()
    run_demo(__doc__, Demo)
