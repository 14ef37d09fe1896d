# SPDX-License-Identifier: Apache-2.0
"""Pairs of releases that others published: packages of npm, got once into a cache."""

import os
import pathlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass

from harness.process import BenchError

DOWNLOAD_TIMEOUT_S = 300


@dataclass(frozen=True)
class Pair:
    name: str  # as the case is called
    package: str
    old: str
    new: str
    expected_s: float  # all of its peers
    is_archive: bool = False  # apart from the mean: only Segue looks into archives


# The smallest two come first: `--quick` takes them.
PAIRS = (
    Pair("esbuild-0.28.1", "@esbuild/linux-x64", "0.28.0", "0.28.1", 20),
    Pair("sharp-libvips-1.3.4", "@img/sharp-libvips-linux-x64", "1.3.3", "1.3.4", 28),
    Pair("typescript-5.9.3", "typescript", "5.9.2", "5.9.3", 40),
    Pair("typescript-5.9.2", "typescript", "5.8.3", "5.9.2", 50),
    Pair("monaco-editor-0.55.1", "monaco-editor", "0.55.0", "0.55.1", 90),
    Pair("next-16.4.6", "next", "16.4.5", "16.4.6", 180),
    Pair("closure-compiler-20261015", "google-closure-compiler-java", "20261011.0.0",
         "20261015.0.0", 50, is_archive=True),
)
QUICK_PAIRS = 2


def default_cache():
    """SEGUE_BENCH_CACHE, else segue-bench among the user's caches: nothing of it is committed."""
    given = os.environ.get("SEGUE_BENCH_CACHE")
    if given:
        return given
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, "segue-bench")


def package_file(cache, package, version):
    """The package as its registry gives it; downloaded unless it is in the cache."""
    path = cache / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if path.exists():
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise BenchError(f"{path} is not there, and npm is not installed: install it, or put the "
                         "file there")
    partial = cache / f"partial-{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        subprocess.run([npm, "pack", "--silent", "--pack-destination", partial,
                        f"{package}@{version}"], check=True, timeout=DOWNLOAD_TIMEOUT_S,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=partial)
        next(partial.glob("*.tgz")).rename(path)
    except (subprocess.SubprocessError, StopIteration) as error:
        raise BenchError(f"npm pack {package}@{version}: {error}; look at the network, or put "
                         f"{path} there") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def unpack_trees(cache, pair, directory):
    """The old and the new tree, unpacked into `directory`."""
    cache = pathlib.Path(cache)
    trees = []
    for which, version in (("old", pair.old), ("new", pair.new)):
        tree = directory / which
        with tarfile.open(package_file(cache, pair.package, version)) as archive:
            for member in archive:
                # npm packs everything below one folder, and no links.
                inside = pathlib.PurePosixPath(member.name.partition("/")[2])
                if member.isdir():
                    continue
                if not member.isfile() or inside.is_absolute() or ".." in inside.parts:
                    raise BenchError(f"{pair.package} {version}: '{member.name}' is no plain file")
                path = tree / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "wb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file)
                path.chmod(0o755 if member.mode & 0o100 else 0o644)
        trees.append(tree)
    return trees
