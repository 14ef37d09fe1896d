# SPDX-License-Identifier: Apache-2.0
"""What runs respkv on the hosts without Segue: Podman's own commands, or processes; and HAProxy before it."""

import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

from harness.process import BenchError, wait_until
from harness.programs import BUILD, ROOT, find_program

# The fleet, its hosts and the engines are those of the integration tests.
sys.path.append(str(ROOT / "tests/integration"))

# pylint: disable=wrong-import-position
from network_tools import Network
from container_tools import PODMAN_CONFIGURATION, image_of, why_not

HOSTS = ("berlin-1", "berlin-2", "oslo-1")
STOP_S = 10  # from SIGTERM to SIGKILL, as engines have it
START_TIMEOUT_S, COMMAND_TIMEOUT_S = 30, 120
SERVED_PORT, SLOT_PORTS = 6379, {"stable": 7001, "canary": 7002}

HAPROXY = """
global
  maxconn 8000
  stats socket {directory}/{name}.sock mode 600 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 0.0.0.0:{port}
  default_backend slots
backend slots
  balance roundrobin
  server stable 127.0.0.1:{stable} weight 100
  server canary 127.0.0.1:{canary} weight 0
"""


def has_engine():
    """Why not, otherwise."""
    return why_not("podman")


def image_name(version):
    return f"localhost/respkv:{version}"


def respkv_image(version):
    return image_of(find_program(f"respkv-v{version}"), image_name(version), shell=True)


def run(argv, **more):
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=COMMAND_TIMEOUT_S, check=False, **more)
    if done.returncode != 0:
        raise BenchError(f"{argv[0]} {argv[1]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Hosts:
    """Three network namespaces, each with a cable to this one."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sb", dir="/tmp"))
        self.networks = {}
        try:
            for name in HOSTS:
                self.networks[name] = Network()
        except subprocess.CalledProcessError as error:
            self.close()
            raise BenchError(f"network namespaces cannot be made: {error}") from error

    def inside(self, name):
        return ["nsenter", f"--net=/run/netns/{self.networks[name].name}"]

    def address(self, name, port=SERVED_PORT):
        return self.networks[name].inner, port

    def addresses(self):
        return [self.address(name) for name in self.networks]

    def wait_serves(self, name, port):
        def serves():
            try:
                socket.create_connection(self.address(name, port), 1).close()
                return True
            except OSError:
                return False
        wait_until(serves, START_TIMEOUT_S, f"respkv on {name}, port {port}")

    def close(self):
        for network in self.networks.values():
            network.finish()
        shutil.rmtree(self.directory, ignore_errors=True)


class Podman:
    """respkv in containers that its commands start and stop."""

    def __init__(self, hosts):
        self._hosts, self._path = hosts, hosts.directory / "podman"
        self._path.mkdir()
        configuration = self._path / "containers.conf"
        configuration.write_text(PODMAN_CONFIGURATION)
        self._environment = {"CONTAINERS_CONF": str(configuration), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for version in (1, 2):
            archive = self._path / "image.tar"
            archive.write_bytes(respkv_image(version))
            self._podman("load", "--input", archive)

    def _podman(self, *words):
        return run(["podman", "--root", self._path / "root", "--runroot", self._path / "run", "--storage-driver", "vfs",
                    *words], env=self._environment)

    def start(self, host, slot, version, port):
        self._podman("run", "--detach", "--name", f"{host}-{slot}", "--network",
                     f"ns:/run/netns/{self._hosts.networks[host].name}", "--ulimit", "nofile=16384:16384", "--ulimit",
                     "nproc=16384:16384", image_name(version), "--listen", f"tcp:0.0.0.0:{port}")
        self._hosts.wait_serves(host, port)

    def stop(self, host, slot):
        self._podman("stop", "--time", STOP_S, f"{host}-{slot}")
        self._podman("rm", f"{host}-{slot}")

    def close(self):
        self._podman("rm", "--all", "--force", "--time", "0")
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        for point in reversed([line.split()[1] for line in mounts]):
            if point.startswith(f"{self._path}/"):
                subprocess.run(["umount", "-l", point], check=False)


class Processes:
    """The same without an engine."""

    def __init__(self, hosts):
        self._hosts, self._running = hosts, {}

    def start(self, host, slot, version, port):
        self._running[host, slot] = subprocess.Popen(
            [*self._hosts.inside(host), find_program(f"respkv-v{version}"), "--listen", f"tcp:0.0.0.0:{port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._hosts.wait_serves(host, port)

    def stop(self, host, slot):
        process = self._running.pop((host, slot))
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        for host, slot in list(self._running):
            self.stop(host, slot)


class Proxy:
    """HAProxy on a host, before both of its slots."""

    def __init__(self, hosts, name):
        self._socket = str(hosts.directory / f"{name}.sock")
        file = hosts.directory / f"{name}.cfg"
        file.write_text(HAPROXY.format(directory=hosts.directory, name=name, port=SERVED_PORT, **SLOT_PORTS))
        with open(hosts.directory / f"{name}.log", "ab") as log:
            self._process = subprocess.Popen([*hosts.inside(name), find_program("haproxy"), "-db", "-f", str(file)],
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        hosts.wait_serves(name, SERVED_PORT)

    def _say(self, command):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(COMMAND_TIMEOUT_S)
            link.connect(self._socket)
            link.sendall(command.encode() + b"\n")
            answer = b""
            while data := link.recv(65_536):
                answer += data
        return answer.decode().strip()

    def _change(self, command):
        answer = self._say(command)
        if answer:
            raise BenchError(f"HAProxy said to '{command}': {answer}")

    def share(self, percent):
        for slot, weight in (("stable", 100 - percent), ("canary", percent)):
            self._change(f"set server slots/{slot} state ready")
            self._change(f"set server slots/{slot} weight {weight}")

    def drain(self, slot):
        self._change(f"set server slots/{slot} state drain")

    def sessions(self, slot):
        """That have not ended."""
        for line in self._say("show stat").splitlines():
            fields = line.split(",")
            if fields[:2] == ["slots", slot]:
                return int(fields[4])
        raise BenchError(f"HAProxy does not know slots/{slot}")

    def close(self):
        self._process.terminate()
        self._process.wait()


def places(hosts):
    return Processes(hosts) if has_engine() else Podman(hosts)


__all__ = ["BUILD", "HOSTS", "Hosts", "Proxy", "SERVED_PORT", "SLOT_PORTS", "has_engine", "image_name", "places",
           "respkv_image"]
