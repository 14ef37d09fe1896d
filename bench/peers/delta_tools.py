# SPDX-License-Identifier: Apache-2.0
"""How other tools bring a tree that has an old version to a new one, each by its manual.

A tool is made with (old, new, directory): two trees, and an empty directory of its own. run() gives an
Outcome. Trees that are packed are packed by GNU tar, in order of names and without times and owners.
"""

import filecmp
import hashlib
import pathlib
import re
import shutil
from dataclasses import dataclass
from typing import Optional

from harness.measured import run_measured
from harness.process import BenchError


@dataclass
class Outcome:
    bytes: int
    make_cpu_s: float
    make_peak_mib: float
    apply_cpu_s: Optional[float] = None  # None: it has no step of its own


def size_of(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def contents_of(tree):
    """{path: digest}, to compare trees by."""
    return {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).digest()
            for path in tree.rglob("*") if path.is_file()}


def expect_same_tree(name, made, wanted):
    if contents_of(made) != contents_of(wanted):
        raise BenchError(f"{name}: what came out is not the new tree")


class Tool:
    max_tar_bytes = None  # larger trees are not tried

    def __init__(self, old, new, directory):
        self.old, self.new, self.directory = old, new, directory

    @classmethod
    def takes(cls, tree_bytes):
        return cls.max_tar_bytes is None or tree_bytes <= cls.max_tar_bytes


class Rsync(Tool):
    name = "rsync"
    says = "rsync -azc --delete, bytes sent and received by --stats; CPU of both sides"

    def run(self):
        # A transport between two processes: with both trees local, rsync would send no deltas.
        shell = self.directory / "shell"
        shell.write_text('#!/bin/sh\nshift\nexec "$@"\n')
        shell.chmod(0o755)
        copy = self.directory / "copy"
        shutil.copytree(self.old, copy, symlinks=True)
        taken = run_measured("rsync", "-azc", "--delete", "--stats", "--no-human-readable", "-e",
                             shell, f"{self.new}/", f"host:{copy}/")
        expect_same_tree(self.name, copy, self.new)
        wire = [re.search(rf"Total bytes {way}: (\d+)", taken.output) for way in
                ("sent", "received")]
        if None in wire:
            raise BenchError("rsync --stats does not say how many bytes it sent")
        return Outcome(sum(int(found.group(1)) for found in wire), taken.cpu_s, taken.peak_mib)


class Casync(Tool):
    name = "casync"
    says = "casync, chunks of 16 KiB on average: chunks that the old tree has not, and the index"

    def run(self):
        store = self.directory / "store"
        options = ["--store", store, "--chunk-size", "16384", "--without", "all", "--with",
                   "permissions", "--with", "symlinks"]
        run_measured("casync", "make", *options, self.directory / "old.caidx", self.old)
        before = size_of(store)
        index = self.directory / "new.caidx"
        made = run_measured("casync", "make", *options, index, self.new)
        size = size_of(store) - before + index.stat().st_size
        copy = self.directory / "copy"
        applied = run_measured("casync", "extract", *options, "--seed", self.old, index, copy)
        expect_same_tree(self.name, copy, self.new)
        return Outcome(size, made.cpu_s, made.peak_mib, applied.cpu_s)


class OsTree(Tool):
    name = "ostree"
    says = "OSTree static delta: --min-fallback-size=0 --inline, CPU of generate and apply-offline"

    def _ostree(self, repository, command, *arguments):
        return run_measured("ostree", command[0], *command[1:], "--repo", repository, *arguments)

    def run(self):
        server, host = self.directory / "server", self.directory / "host"
        for repository in (server, host):
            self._ostree(repository, ["init"], "--mode=bare-user-only")

        def commit(repository, tree):
            return self._ostree(repository, ["commit"], "--branch=bench", f"--tree=dir={tree}",
                                "--timestamp=2026-01-01T00:00:00Z",
                                "--canonical-permissions").output.strip()
        old = commit(server, self.old)
        new = commit(server, self.new)
        if commit(host, self.old) != old:
            raise BenchError("ostree: one tree gave two commits")
        delta = self.directory / "delta"
        made = self._ostree(server, ["static-delta", "generate"], f"--from={old}", f"--to={new}",
                            "--min-fallback-size=0", "--inline", f"--filename={delta}")
        applied = self._ostree(host, ["static-delta", "apply-offline"], delta)
        copy = self.directory / "copy"
        self._ostree(host, ["checkout"], "--user-mode", new, copy)
        expect_same_tree(self.name, copy, self.new)
        return Outcome(delta.stat().st_size, made.cpu_s, made.peak_mib, applied.cpu_s)


class TarTool(Tool):
    """One that knows of files only."""

    def run(self):
        old, new, delta, made = (self.directory / name for name in
                                 ("old.tar", "new.tar", "delta", "made.tar"))
        for tree, tar in ((self.old, old), (self.new, new)):
            run_measured("tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0",
                         "--numeric-owner", "-C", tree, "-cf", tar, ".")
        making = self.make(old, new, delta)
        applying = self.apply(old, delta, made)
        if applying is None:
            return Outcome(self.size(old, new, delta), making.cpu_s, making.peak_mib)
        if not filecmp.cmp(made, new, shallow=False):
            raise BenchError(f"{self.name}: what came out is not the new archive")
        return Outcome(delta.stat().st_size, making.cpu_s, making.peak_mib, applying.cpu_s)

    def size(self, old, new, delta):
        raise NotImplementedError


class Zchunk(TarTool):
    name = "zchunk"
    says = "zchunk of a tar: what zck_delta_size says is to be downloaded; it applies over HTTP only"

    def make(self, old, new, delta):
        run_measured("zck", "-o", f"{old}.zck", old)
        return run_measured("zck", "-o", f"{new}.zck", new)

    def apply(self, old, delta, made):
        return None

    def size(self, old, new, delta):
        said = run_measured("zck_delta_size", f"{old}.zck", f"{new}.zck").output
        found = re.search(r"download (\d+) of (\d+)", said) or re.search(r"(\d+) of \d+", said)
        if found is None:
            raise BenchError(f"zck_delta_size says '{said.strip()}'")
        return int(found.group(1))


class Xdelta3(TarTool):
    name = "xdelta3"
    says = "xdelta3 -9 -S lzma of a tar, the window as large as the tar"

    def _options(self, old):
        return ["-f", "-B", max(old.stat().st_size, 1 << 20)]

    def make(self, old, new, delta):
        return run_measured("xdelta3", "-e", "-9", "-S", "lzma", *self._options(old), "-s", old,
                            new, delta)

    def apply(self, old, delta, made):
        return run_measured("xdelta3", "-d", *self._options(old), "-s", old, delta, made)


class Bsdiff(TarTool):
    name = "bsdiff"
    says = "bsdiff of a tar; not above 96 MiB: it takes 17 bytes of memory per byte"
    max_tar_bytes = 96 << 20

    def make(self, old, new, delta):
        return run_measured("bsdiff", old, new, delta)

    def apply(self, old, delta, made):
        return run_measured("bspatch", old, made, delta)


class ZstdPatch(TarTool):
    name = "zstd"
    says = "zstd -19 --long=28 --patch-from of a tar"
    level = "-19"

    def make(self, old, new, delta):
        return run_measured("zstd", "-q", "-f", self.level, "--long=28", f"--patch-from={old}", new,
                            "-o", delta)

    def apply(self, old, delta, made):
        return run_measured("zstd", "-q", "-f", "-d", "--long=28", f"--patch-from={old}", delta,
                            "-o", made)


# Those that take longest come first, so that two at a time end together.
TOOLS = (OsTree, ZstdPatch, Bsdiff, Xdelta3, Rsync, Casync, Zchunk)


def scratch(directory, name):
    path = pathlib.Path(directory) / name
    path.mkdir()
    return path
