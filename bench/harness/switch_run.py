# SPDX-License-Identifier: Apache-2.0
"""`switch/…`: how long going live takes, and whether anybody who looks meanwhile finds no tree."""

import ctypes
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from harness.process import BenchError
from harness.programs import find_program

RENAME_EXCHANGE = 2
AT_FDCWD = -100
FILES_PER_FOLDER = 100
FILES_PER_CHANGE = 100
ROLES = ("root", "targets", "snapshot", "timestamp")
FILES, QUICK_FILES = 50_000, 2_000
COMMANDS, QUICK_COMMANDS = 20, 6
EXCHANGES = 400  # an even number: the same tree is live at the end
MAX_P99_MS = 5
COMMAND_TIMEOUT_S = 600


def run_segue(*words):
    done = subprocess.run([find_program("segue"), *map(str, words)], capture_output=True, text=True,
                          timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BenchError(f"segue {words[0]} ended with {done.returncode}: {done.stderr.strip()}")


def make_tree(tree, files, version):
    """Most files stay; one in a hundred changes."""
    for number in range(files):
        folder = tree / f"d{number // FILES_PER_FOLDER}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        changes = version if number % FILES_PER_CHANGE == 0 else ""
        (folder / f"f{number}").write_text(f"file {number} {changes}\n", encoding="ascii")
    (tree / "VERSION").write_text(version, encoding="ascii")


def make_place(directory, files):
    """The first release is live, the second waits. How long each took to stage."""
    library, place, root = directory / "library", directory / "place", directory / "1.root.json"
    place.mkdir()
    for role in ROLES:
        run_segue("key", "make", directory / role)
    run_segue("key", "root", root, *[f"--add-key={role}={directory / role}.pub" for role in ROLES],
              "--sign-with", directory / "root")
    seconds = []
    for version in ("1", "2"):
        make_tree(directory / version, files, version)
        run_segue("publish", directory / version, "--library", library, "--component", "bench",
                  "--version", version, "--root", root,
                  *[f"--sign-with={role}={directory / role}" for role in ROLES[1:]])
        begin = time.monotonic()
        run_segue("stage", "bench", version, "--library", library, "--place", place, "--root", root)
        seconds.append(time.monotonic() - begin)
        if version == "1":
            run_segue("go-live", place, version)
    return place, seconds


def look(path, ready, stop, results):
    """Opens a file of the live tree over and over."""
    absent_ns, absent_since, looks = 0, None, []
    ready.set()
    while not stop.is_set():
        begin = time.monotonic_ns()
        try:
            os.close(os.open(path, os.O_RDONLY))
        except FileNotFoundError:
            absent_since = absent_since or begin
        else:
            if absent_since is not None:
                absent_ns += time.monotonic_ns() - absent_since
                absent_since = None
        looks.append(time.monotonic_ns() - begin)
    results.put((absent_ns, len(looks), percentile(looks, 0.99)))


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def exchange(place):
    """The switch alone, on the place's own trees: the rename, and with both directories flushed."""
    libc = ctypes.CDLL(None, use_errno=True)
    trees = place / ".segue/trees"
    live = os.fsencode(place / "live")
    waiting = os.fsencode(next(path for path in trees.iterdir() if path.is_dir()))
    folders = [os.open(folder, os.O_RDONLY) for folder in (place, trees)]
    renamed, flushed = [], []
    for _ in range(EXCHANGES):
        begin = time.monotonic_ns()
        if libc.renameat2(AT_FDCWD, live, AT_FDCWD, waiting, RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
        renamed.append(time.monotonic_ns() - begin)
        for folder in folders:
            os.fsync(folder)
        flushed.append(time.monotonic_ns() - begin)
    for folder in folders:
        os.close(folder)
    return renamed, flushed


def switch_often(place, rounds, on_round):
    """While somebody looks: by the command, which checks every file first, then the rename alone."""
    context = multiprocessing.get_context("fork")
    ready, stop, results = context.Event(), context.Event(), context.Queue()
    watcher = context.Process(target=look, args=(place / "live/VERSION", ready, stop, results))
    watcher.start()
    ready.wait()
    commands = []
    try:
        for number in range(rounds):
            begin = time.monotonic_ns()
            run_segue("go-live", place, "2" if number == 0 else "--undo")
            commands.append(time.monotonic_ns() - begin)
            on_round(number + 1)
        renamed, flushed = exchange(place)
    finally:
        stop.set()
    seen = results.get()
    watcher.join()
    return commands, renamed, flushed, seen


class Switch:
    prefix = "switch/"

    def __init__(self, arguments):
        self._files, self._commands = (QUICK_FILES, QUICK_COMMANDS) if arguments.quick else (FILES, COMMANDS)
        self._case = f"{self.prefix}{self._files}_files"

    def steps(self):
        return [(self._case, self._files / 1_200)]

    def run(self, case, report, progress):
        with tempfile.TemporaryDirectory(prefix="segue-bench-switch-") as directory:
            place, seconds = make_place(pathlib.Path(directory), self._files)
            commands, renamed, flushed, (absent_ns, looks, look_p99) = switch_often(
                place, self._commands, lambda done: progress.within(case, done, self._commands))
        if looks < self._commands:
            raise BenchError(f"only {looks} looks at the live tree: nothing is known of its absence")
        report.emit(case, {"absent_ms": absent_ns / 1e6,
                           "p99_ms": percentile(renamed, 0.99) / 1e6,
                           "flushed_p99_ms": percentile(flushed, 0.99) / 1e6,
                           "look_p99_ms": look_p99 / 1e6,
                           "command_ms": statistics.median(commands) / 1e6,
                           "stage_whole_s": seconds[0], "stage_delta_s": seconds[1]})

    def judge(self, report):
        if not report.has(self._case):
            return
        absent = report.value(self._case, "absent_ms")
        report.check(self._case, f"the live tree was absent for {absent:.3f} ms, target 0", absent == 0)
        p99 = report.value(self._case, "p99_ms")
        report.check(self._case, f"p99 of the switch {p99:.3f} ms, target < {MAX_P99_MS}",
                     p99 < MAX_P99_MS)

    def print_tables(self, report):
        report.print_table("Going live", self.prefix,
                           {"absent ms": "absent_ms", "switch p99 ms": "p99_ms",
                            "and flushed ms": "flushed_p99_ms", "a look, p99 ms": "look_p99_ms",
                            "whole command ms": "command_ms", "staged whole s": "stage_whole_s",
                            "staged by delta s": "stage_delta_s"})
