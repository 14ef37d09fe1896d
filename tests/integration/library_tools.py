# SPDX-License-Identifier: Apache-2.0
"""A release library made with `segue publish`, trees to publish, and a reader that trusts digests alone."""

import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import time
import urllib.request

from support import free_port

DONE, FAILED, USAGE, REFUSED, UNKNOWN = 0, 1, 2, 4, 5
ROLES = ("targets", "snapshot", "timestamp")


class Publisher:
    """Runs `segue` with keys and a library in a directory of its own."""

    def __init__(self, build_dir, path):
        self.program = build_dir / "src/cli/segue"
        self.path = path
        self.library = path / "library"
        self.done("key", "make", "root")
        for role in ROLES:
            self.done("key", "make", role)
        keys = [f"--add-key={role}={role}.pub" for role in ("root", *ROLES)]
        self.done("key", "root", "1.root.json", *keys, "--sign-with", "root")

    def run(self, *words):
        return subprocess.run([str(self.program), *map(str, words)], cwd=self.path, text=True,
                              timeout=240, capture_output=True, check=False)

    def done(self, *words):
        run = self.run(*words)
        assert run.returncode == DONE, run
        return run.stdout

    def ask(self, *words):
        return json.loads(self.done(*words, "--json").splitlines()[-1])

    def signing(self, roles=ROLES):
        return [f"--sign-with={role}={role}" for role in roles]

    def publish(self, tree, version, *more):
        return self.ask("publish", tree, "--library", "library", "--component", "chat", "--version", version,
                        "--root", "1.root.json", *self.signing(), *more)

    def releases(self):
        answer = self.ask("releases", "--library", "library")
        return {release["version"]: release for release in answer["releases"]}


def write_tree(path, number):
    """Release `number` of a small application."""
    generator = random.Random(7)
    path.mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "empty folder").mkdir()
    body = "".join(f"{generator.random()} line {i}\n" for i in range(6000))
    (path / "bin/chat").write_text(body.replace("line 3000", f"release {number}"))
    (path / "bin/chat").chmod(0o755)
    (path / "bin/chat-link").symlink_to("chat")
    (path / f"notes-{number}").write_text(f"notes of release {number}\n" * 50)
    os.link(path / "bin/chat", path / "bin/same")
    for i in range(20):
        (path / f"data-{i}").write_bytes(generator.randbytes(3000))
    return path


@contextlib.contextmanager
def running(command, port):
    """Until the port answers; ended afterwards."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=30).close()
                    break
                except OSError:
                    assert process.poll() is None, process.stderr.read()
                    assert time.monotonic() < deadline, "it does not listen"
                    time.sleep(0.02)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextlib.contextmanager
def nginx(directory, root):
    """Nothing but `root` is configured: an ordinary static server."""
    port = free_port()
    directory.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""  # the test's directory is private
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; pid {directory}/pid; error_log {directory}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {directory}; proxy_temp_path {directory};\n"
        f"fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n")
    with running(["/usr/sbin/nginx", "-c", directory / "nginx.conf", "-e", directory / "error.log"], port):
        yield f"http://127.0.0.1:{port}"


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def fetch_release(url, component, version):
    """Timestamp, snapshot, role, contents and deltas, as a host gets them: each named and checked by the
    one before. Returns the bytes of each object by its digest."""
    def metadata(name):
        return json.loads(get(f"{url}/metadata/{name}"))["signed"]

    def checked(digest, length):
        content = get(f"{url}/objects/{digest[:2]}/{digest}")
        assert len(content) == length and hashlib.sha256(content).hexdigest() == digest
        return content

    timestamp = metadata("timestamp.json")
    snapshot = metadata(f"{timestamp['meta']['snapshot.json']['version']}.snapshot.json")
    role = metadata(f"{snapshot['meta'][component + '.json']['version']}.{component}.json")
    target = role["targets"][f"{component}/{version}"]
    objects = {target["hashes"]["sha256"]: checked(target["hashes"]["sha256"], target["length"])}
    for delta in target["custom"].get("deltas", []):
        objects[delta["sha256"]] = checked(delta["sha256"], delta["length"])
    return objects
