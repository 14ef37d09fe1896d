# SPDX-License-Identifier: Apache-2.0
"""`store/…`: the disk that adjacent versions take in a release library."""

import pathlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from harness.npm_pairs import Pair, unpack_trees
from harness.publish_run import Library

VERSIONS = ("5.5.3", "5.5.4", "5.6.2", "5.6.3", "5.7.2", "5.7.3", "5.8.2", "5.8.3", "5.9.2", "5.9.3")


def disk_usage(folder):
    run = subprocess.run(["du", "-s", "-B1", folder], text=True, check=True, capture_output=True)
    return int(run.stdout.split()[0])


def disk_bytes(directory):
    """What a server has to hold."""
    return sum(disk_usage(pathlib.Path(directory) / "library" / part) for part in ("metadata", "objects"))


def ostree_bytes(directory, trees):
    """The same versions as commits of an archive repository (what OSTree serves over HTTP)."""
    repository = pathlib.Path(directory) / "ostree"
    subprocess.run(["ostree", "init", f"--repo={repository}", "--mode=archive"], check=True,
                   capture_output=True)
    for version, tree in trees:
        subprocess.run(["ostree", "commit", f"--repo={repository}", "--branch=app", f"--subject={version}",
                        "--owner-uid=0", "--owner-gid=0", tree], check=True, capture_output=True)
    return disk_usage(repository)


@dataclass(frozen=True)
class Versions:
    """Trees of one package, one version after the other, without keeping all of them."""
    cache: str
    package: str
    names: tuple

    def __iter__(self):
        with tempfile.TemporaryDirectory(prefix="segue-bench-version-") as directory:
            for name in self.names:
                pair = Pair(name, self.package, name, name, 0)
                folder = pathlib.Path(directory) / name
                yield name, unpack_trees(self.cache, pair, folder)[0]
                shutil.rmtree(folder)


class Store:
    prefix = "store/"

    def __init__(self, arguments):
        self._cache = arguments.cache
        self._case = self.prefix + "typescript-10"
        self._names = () if arguments.quick else VERSIONS

    def steps(self):
        return [(self._case, 150)] if self._names else []

    def run(self, case, report, progress):
        versions = Versions(self._cache, "typescript", self._names)
        with tempfile.TemporaryDirectory(prefix="segue-bench-store-") as directory:
            library = Library(directory)
            copies = 0
            for number, (name, tree) in enumerate(versions):
                copies += disk_usage(tree)
                library.publish(tree, name)
                progress.within(case, number + 1, len(self._names) + 1)
            library.collect()
            report.emit(case, {"bytes": disk_bytes(directory)})
            report.emit(f"{case}/copies", {"bytes": copies}, "copies")
            if shutil.which("ostree"):
                report.emit(f"{case}/ostree", {"bytes": ostree_bytes(directory, versions)}, "ostree")

    def judge(self, report):
        if not report.has(self._case):
            return
        share = report.value(self._case, "bytes") / report.value(f"{self._case}/copies", "bytes")
        report.check(self._case, f"{share:.2f} of the disk of {len(self._names)} copies, target < 1", share < 1)

    def print_tables(self, report):
        report.print_table(f"Disk of {len(self._names)} versions of typescript", self._case, {"bytes": "bytes"})
