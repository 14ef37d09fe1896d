# SPDX-License-Identifier: Apache-2.0
"""A release library with a few releases, places that they are staged in, and calls that go wrong."""

import contextlib
import http.server
import json
import os
import pathlib
import random
import shutil
import stat
import struct
import subprocess
import threading

DONE, FAILED, USAGE, REFUSED, UNKNOWN = 0, 1, 2, 4, 5
ROLES = ("root", "targets", "snapshot", "timestamp")


def describe(tree):
    """Everything a user could see of a tree, but times."""
    tree = pathlib.Path(tree)
    seen = {}
    for path in [tree, *sorted(tree.rglob("*"))]:
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.readlink(path).encode()
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        seen[str(path.relative_to(tree))] = (status.st_mode, content)
    return seen


def text(seed, size):
    return random.Random(seed).randbytes(size).hex().encode()


def make_tree(tree, version):
    """Most of it stays from version to version."""
    files = {"bin/app": text(1, 20_000) + version.encode() + text(2, 5_000),
             "lib/stays.so": text(3, 60_000), "lib/small": b"small", "VERSION": version.encode(),
             "empty": b"", f"notes/{version}": text(int(version.replace(".", "")), 300)}
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tree / "bin/app").chmod(0o755)
    (tree / "current").symlink_to("bin/app")
    os.link(tree / "bin/app", tree / "bin/alias")
    (tree / "spool").mkdir(mode=0o700)


class Releases:
    """A library, and the trees that its releases were made from."""

    def __init__(self, program, path, versions):
        self.program, self.path = program, path
        self.library = path / "library"
        self.root = path / "1.root.json"
        for role in ROLES:
            self.segue("key", "make", path / role)
        self.segue("key", "root", self.root, *[f"--add-key={role}={path / role}.pub" for role in ROLES],
                   "--sign-with", path / "root")
        self.trees = {}
        for version in versions:
            self.trees[version] = path / "trees" / version
            self.trees[version].mkdir(parents=True)
            make_tree(self.trees[version], version)
            self.segue("publish", self.trees[version], "--library", self.library, "--component", "chat",
                       "--version", version, "--root", self.root,
                       *[f"--sign-with={role}={path / role}" for role in ROLES[1:]])

    def segue(self, *words):
        run = subprocess.run([str(self.program), *map(str, words)], text=True, capture_output=True,
                             timeout=120, check=False)
        assert run.returncode == DONE, run
        return run


class Faults:
    """Runs commands of which one change to the disk goes wrong."""

    def __init__(self, build_dir, path):
        self.shim = build_dir / "tests/integration/libfault_shim.so"
        self.counter = path / "counter"

    def environment(self, at=0, what="before"):
        self.counter.write_bytes(bytes(8))
        return {**os.environ, "LD_PRELOAD": str(self.shim), "FAULT_COUNTER": str(self.counter),
                "FAULT_AT": str(at), "FAULT_DO": str(what),
                "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}

    def calls(self):
        return struct.unpack("<Q", self.counter.read_bytes())[0]


class Place:
    def __init__(self, releases, path, url=None):
        self.releases, self.path = releases, path
        self.url = url or str(releases.library)
        self.live = path / "live"
        path.mkdir()

    def run(self, *words, env=None):
        return subprocess.run([str(self.releases.program), *map(str, words), "--json"], text=True,
                              capture_output=True, timeout=120, check=False, env=env)

    def stage(self, version, *more, env=None):
        return self.run("stage", "chat", version, "--library", self.url, "--place", self.path,
                        "--root", self.releases.root, *more, env=env)

    def go_live(self, *more, env=None):
        return self.run("go-live", self.path, *more, env=env)

    def staged(self, version, *more):
        run = self.stage(version, *more)
        assert run.returncode == DONE, run
        return json.loads(run.stdout.splitlines()[0])

    def begin_with(self, version):
        """As if it had been put there by hand."""
        shutil.copytree(self.releases.trees[version], self.live, symlinks=True)
        (self.live / "bin/alias").unlink()
        os.link(self.live / "bin/app", self.live / "bin/alias")

    def make_live(self, version):
        self.staged(version)
        run = self.go_live(version)
        assert run.returncode == DONE, run

    def is_live(self, version):
        return describe(self.live) == describe(self.releases.trees[version])

    def expect_whole(self):
        run = self.run("verify", self.path)
        assert run.returncode == DONE, run


@contextlib.contextmanager
def serving(directory, answer=None):
    """The directory over HTTP, without ranges. `answer(handler)` may answer instead, and then says so."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(directory))

        def do_GET(self):  # noqa: N802
            if answer is None or not answer(self):
                super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
