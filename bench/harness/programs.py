# SPDX-License-Identifier: Apache-2.0
"""Finds programs: those of this repository in its release build, others where the host has them."""

import functools
import os
import pathlib
import shutil

from harness.process import BenchError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# SEGUE_BUILD_DIR: another build than that of `scripts/bench`.
BUILD = pathlib.Path(os.environ.get("SEGUE_BUILD_DIR", ROOT / "build" / "release"))
FOLDERS_OF_HOST = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@functools.lru_cache(maxsize=None)
def lookup_program(name):
    """Its path, or None."""
    for folder in ("bench/load", "bin", ".", "src/cli", "src/keeper", "examples/respkv"):
        path = BUILD / folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    for path in sorted(BUILD.rglob(name)) if BUILD.is_dir() else []:
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return shutil.which(name, path=FOLDERS_OF_HOST)


def find_program(name):
    path = lookup_program(name)
    if path is None:
        raise BenchError(f"'{name}' is neither in {BUILD} nor installed: build the preset release, "
                         "and install what packaging/apt-packages.txt names")
    return path
