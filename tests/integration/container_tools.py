# SPDX-License-Identifier: Apache-2.0
"""Real container engines with storage of their own, and images made of programs of this build."""

import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time

from support import Program, wait_until

PODMAN_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

# Docker asks registries of 127.0.0.1 by HTTP without being told.
PODMAN_REGISTRIES = """
[[registry]]
location = "127.0.0.1"
insecure = true
"""

CONTAINERD_CONFIGURATION = """version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs"]
root = "{0}/containerd"
state = "{0}/run-containerd"
[grpc]
  address = "{0}/c"
"""

PROGRAMS = {"podman": ["podman", "runc"], "docker": ["dockerd", "containerd", "runc"]}


def why_not(kind):
    if os.geteuid() != 0:
        return "an engine without root needs a user's namespaces"
    missing = [name for name in PROGRAMS[kind] if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    return f"{', '.join(missing)} is not installed" if missing else ""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


class Engine:
    """Podman's service, or dockerd with its containerd."""

    def __init__(self, kind, directory, prefix=(), bridge=False):
        """`prefix`: words before the service's own, which say where it runs. With a `bridge` Docker makes one, and its
        rules, in that network; Podman does when the first container wants it."""
        self.kind, self.path, self.prefix, self.bridge = kind, pathlib.Path(directory), prefix, bridge
        self.path.mkdir()
        self.socket = self.path / "s"
        (self.path / "containers.conf").write_text(PODMAN_CONFIGURATION)
        (self.path / "registries.conf").write_text(PODMAN_REGISTRIES)
        (self.path / "containerd.toml").write_text(CONTAINERD_CONFIGURATION.format(self.path))
        self.containerd = None
        if kind == "docker":
            self.containerd = Program(["containerd", "--config", self.path / "containerd.toml"],
                                      self.path / "containerd.log")
            wait_until(lambda: (self.path / "c").exists(), "containerd listens", 60)
        self.process = None
        self.start()

    @property
    def url(self):
        return f"unix://{self.socket}"

    def start(self):
        words = {
            "podman": ["podman", "--root", self.path / "root", "--runroot", self.path / "run", "--storage-driver",
                       "vfs", "system", "service", "--time", "0", self.url],
            "docker": ["/usr/sbin/dockerd", *([] if self.bridge else ["--bridge=none", "--iptables=false"]),
                       "--storage-driver=vfs", "--live-restore", f"--data-root={self.path}/root", f"--exec-root={self.path}/run",
                       f"--pidfile={self.path}/pid", f"--containerd={self.path}/c", f"--host={self.url}"]}
        self.process = Program([*self.prefix, *words[self.kind]], self.path / "engine.log",
                               {"CONTAINERS_CONF": str(self.path / "containers.conf"),
                                "CONTAINERS_REGISTRIES_CONF": str(self.path / "registries.conf")})
        wait_until(self.answers, f"{self.kind} answers: {self.process.text()}", 60)

    def answers(self):
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, "/v1.41" + path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path):
        status, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def json_of(self, method, path, body):
        status, answer = self.ask(method, path, json.dumps(body), {"Content-Type": "application/json"})
        assert status in (200, 201), (path, status, answer)
        return json.loads(answer)

    def load(self, archive):
        status, body = self.ask("POST", "/images/load", archive, {"Content-Type": "application/x-tar"})
        assert status == 200, body

    def containers(self):
        return self.json("/containers/json?all=true")

    def container(self, identity):
        return self.json(f"/containers/{identity}/json")

    def kill(self):
        self.process.kill()

    def finish(self):
        if not self.process.is_running():
            self.start()
        for container in self.containers():
            self.ask("DELETE", f"/containers/{container['Id']}?force=true")
        self.process.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if self.containerd:
            self.containerd.process.send_signal(signal.SIGTERM)
            self.containerd.wait(60)
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        for point in reversed([line.split()[1] for line in mounts]):
            if point.startswith(f"{self.path}/"):
                subprocess.run(["umount", "-l", point], check=False)


def libraries_of(program):
    """Absolute paths, the loader among them."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", text)))


def add_file(tar, name, data, mode=0o755):
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), mode
    tar.addfile(member, io.BytesIO(data))


def image_of(program, tag, shell=False, tools=(), start=None):
    """A docker-archive: FROM scratch, the program at /program, and the libraries that it needs; with `shell` sh too, and
    `tools` by their paths. What is started is the program, or `start`, the text of a script."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        libraries = libraries_of(program)
        for tool in (*(["/bin/sh"] if shell else []), *tools):
            libraries = sorted({*libraries, *libraries_of(tool), tool})
        # Without capabilities nobody enters a folder that an engine has made up.
        folders = {str(folder) for path in libraries for folder in pathlib.PurePath(path.lstrip("/")).parents}
        for folder in sorted((folders - {"."}) | {"tmp", "run", "proc", "sys", "dev"}):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        add_file(tar, "program", pathlib.Path(program).read_bytes())
        if start:
            add_file(tar, "start", start.encode())
        for path in libraries:
            add_file(tar, path.lstrip("/"), pathlib.Path(path).read_bytes())
    data = layer.getvalue()
    config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/start" if start else "/program"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]}}
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        add_file(tar, "layer.tar", data, 0o644)
        add_file(tar, "config.json", json.dumps(config).encode(), 0o644)
        add_file(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)
    return archive.getvalue()


class Load:
    """Connections that stay, each with a counter of its own; says what was lost."""

    def __init__(self, connect, count, prefix="own"):
        self.clients = [connect() for _ in range(count)]
        self.expected = [0] * count
        self.prefix = prefix

    def round(self):
        for number, client in enumerate(self.clients):
            self.expected[number] += 1
            assert client("INCR", f"{self.prefix}:{number}") == self.expected[number], number

    def close(self):
        for client in self.clients:
            client.close()

    def rounds_for(self, process):
        """Until that process has ended."""
        count = 0
        while process.poll() is None:
            self.round()
            count += 1
        return count


def seconds_since(start):
    return time.monotonic() - start
