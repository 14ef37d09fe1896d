# SPDX-License-Identifier: Apache-2.0
"""`publish/…`: how long it takes to publish a version after the one before it."""

import json
import pathlib
import resource
import subprocess
import tempfile
import time

from harness.npm_pairs import PAIRS, unpack_trees
from harness.process import BenchError
from harness.programs import BUILD
from peers.delta_tools import size_of

PUBLISH_TIMEOUT_S = 600
MAX_PUBLISH_S = 30
SIGNING = [f"--sign-with={role}={role}" for role in ("targets", "snapshot", "timestamp")]


class Library:
    """A new library, with keys, in a directory of its own."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._program = BUILD / "src/cli/segue"
        for key in ("root", "targets", "snapshot", "timestamp"):
            self._run("key", "make", key)
        keys = [f"--add-key={role}={role}.pub" for role in ("root", "targets", "snapshot", "timestamp")]
        self._run("key", "root", "1.root.json", *keys, "--sign-with=root")

    def _run(self, *words):
        run = subprocess.run([self._program, *words, "--json"], cwd=self._directory, text=True, check=False,
                             timeout=PUBLISH_TIMEOUT_S, capture_output=True)
        if run.returncode != 0:
            raise BenchError(f"segue {words[0]}: {run.stdout}{run.stderr}")
        return json.loads(run.stdout.splitlines()[-1])

    def publish(self, tree, version, *more):
        return self._run("publish", tree, "--library=library", "--component=app", f"--version={version}",
                         "--root=1.root.json", *SIGNING, *more)

    def collect(self):
        """Removes what no metadata names any more, such as deltas to older versions."""
        self._run("gc", "--library=library", "--grace-hours=0")


def children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Publish:
    prefix = "publish/"

    def __init__(self, arguments):
        self._cache = arguments.cache
        # The tree of 192 MB; with --quick the smallest pair.
        self._pair = PAIRS[0] if arguments.quick else next(pair for pair in PAIRS if pair.package == "next")
        self._case = self.prefix + self._pair.name

    def steps(self):
        return [(self._case, 8 if self._pair is PAIRS[0] else 90)]

    def run(self, case, report, progress):
        with tempfile.TemporaryDirectory(prefix="segue-bench-publish-") as directory:
            old, new = unpack_trees(self._cache, self._pair, pathlib.Path(directory))
            library = Library(directory)
            started = time.monotonic()
            first = library.publish(old, "1")
            first_s = time.monotonic() - started
            progress.within(case, 1, 2)
            started, cpu_before = time.monotonic(), children_cpu_s()
            second = library.publish(new, "2")
            report.emit(case, {"publish_s": time.monotonic() - started,
                               "publish_cpu_s": children_cpu_s() - cpu_before, "first_publish_s": first_s,
                               "tree_bytes": size_of(new), "files": first["release"]["files"],
                               "delta_bytes": second["release"]["deltas"][0]["bytes"],
                               "added_bytes": second["added_bytes"],
                               "metadata_bytes": second["metadata_bytes"]})

    def judge(self, report):
        if report.has(self._case):
            seconds = report.value(self._case, "publish_s")
            report.check(self._case, f"published, delta included, in {seconds:.1f} s, target < {MAX_PUBLISH_S}",
                         seconds < MAX_PUBLISH_S)

    def print_tables(self, report):
        report.print_table("A version published after the one before it", self._case,
                           {"seconds": "publish_s", "CPU seconds": "publish_cpu_s", "first, seconds": "first_publish_s", "tree bytes": "tree_bytes",
                            "delta bytes": "delta_bytes", "metadata bytes": "metadata_bytes"})
