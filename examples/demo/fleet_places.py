# SPDX-License-Identifier: Apache-2.0
"""Where the components of the fleet's demo run: hosts, their container engines if there are any, and a proxy."""

import os
import subprocess
import sys

from lab import ROOT
from tools import Failure

# The engines and their images are made as the integration tests make them.
sys.path.append(str(ROOT / "tests/integration"))

# pylint: disable=wrong-import-position
from container_tools import Engine, image_of, why_not

KERNEL_PORT, PROXY_PORT, SLOT_PORTS = 7000, 8000, (7001, 7002)

# What a release's program is. Until when it is well stands in a file, which the health check reads.
START = """#!/bin/sh
echo $(($(date +%s) + {well_for_s})) > "$KV_HOME/well-until.$SEGUE_NAME"
case "$SEGUE_NAME" in kv*) port={kernel};; *.canary) port={canary};; *) port={stable};; esac
exec {program} --listen tcp:0.0.0.0:$port
"""
HEALTH = 'test $(date +%s) -lt $(cat "{home}/well-until.$SEGUE_NAME")'

HAPROXY = """
global
  maxconn 4000
  stats socket {path}.sock mode 600 level admin
defaults
  mode tcp
  timeout connect 10s
  timeout client 10m
  timeout server 10m
frontend clients
  bind {address}:{port}
  default_backend cart
backend cart
  balance roundrobin
  default-server check inter 500ms rise 1
{servers}
"""


def start_script(program, well_for_s):
    stable, canary = SLOT_PORTS
    return START.format(program=program, well_for_s=well_for_s, kernel=KERNEL_PORT, stable=stable, canary=canary)


class Host:
    """A network namespace with an agent, and Podman's service if that can be had."""

    def __init__(self, name, home, lab):
        self.name, self.home = name, home / name
        self.home.mkdir()
        self.inside, self.address = lab.add()
        self.environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(self.home / "run"),
                                SEGUE_STATE_DIR=str(self.home / "state"))
        self.engine, self.options = None, []

    def start_engine(self):
        try:
            self.engine = Engine("podman", self.home / "engine", self.inside)
        except (AssertionError, OSError) as error:
            raise Failure(f"Podman does not start on {self.name}: {error}") from error
        self.options = ["--engine", self.engine.url]

    def finish(self, segue):
        for keeper in ("kv", "kv.canary", "cart", "cart.canary"):
            subprocess.run([*self.inside, str(segue.program), "stop", keeper], env=self.environment,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           timeout=60, check=False)
        if self.engine:
            self.engine.finish()


class Proxy:
    """HAProxy on one host, before the slots of all."""

    def __init__(self, host, hosts):
        path = host.home / "haproxy"
        self.socket, self.address = f"{path}.sock", (host.address, PROXY_PORT)
        stable, canary = SLOT_PORTS
        servers = [f"  server {one.name}{suffix} {one.address}:{port} weight {weight}" for one in hosts
                   for suffix, port, weight in (("", stable, 100), (".canary", canary, 0))]
        path.with_suffix(".cfg").write_text(HAPROXY.format(path=path, address=host.address, port=PROXY_PORT,
                                                           servers="\n".join(servers)))
        with open(path.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen([*host.inside, "haproxy", "-db", "-f", str(path.with_suffix(".cfg"))],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def archive_of(program, well_for_s, version):
    """A container image, as engines load it."""
    return image_of(program, f"localhost/kv:{version}", shell=True, tools=("/bin/date", "/bin/cat"),
                    start=start_script("/program", well_for_s))


def tree_of(program, well_for_s, tree):
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/kv").write_text(start_script('"$(dirname "$0")/respkv"', well_for_s))
    (tree / "bin/respkv").write_bytes(program.read_bytes())
    for name in ("kv", "respkv"):
        (tree / "bin" / name).chmod(0o755)


__all__ = ["HEALTH", "KERNEL_PORT", "Host", "Proxy", "archive_of", "tree_of", "why_not"]
