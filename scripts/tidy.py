#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD_DIR: runs clang-tidy on all that BUILD_DIR compiles from this repository.

A file that passed is not looked at again until its preprocessed text (comments included, as they hold
NOLINT) or the checks change: BUILD_DIR/tidy-cache has an empty file named after the digest of both.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLANG_TIDY = "clang-tidy-19"
COMPILERS = {".c": "clang-19", ".cc": "clang++-19"}
# Warnings are the compilers' part.
QUIET = "-w"
# The analyzer takes most of the time, and tests run under the sanitizers anyway.
CHECKS_OF_TESTS = "-clang-analyzer-*"


def sources(build_dir):
    """{file: its compile command}; a file compiled for several targets counts once."""
    commands = {}
    for entry in json.loads((build_dir / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"])
        if ROOT in path.parents and build_dir not in path.parents:
            commands.setdefault(path, entry)
    return commands


def preprocessed(path, entry):
    words = shlex.split(entry["command"])
    compiler = next(i for i, word in enumerate(words) if os.path.basename(word) != "ccache")
    options = [word for word in words[compiler + 1:] if word != "-c"]
    output = options.index("-o")
    del options[output:output + 2]
    return subprocess.run(
        [COMPILERS[path.suffix], *options, QUIET, "-E", "-C"],
        cwd=entry["directory"], check=True, stdout=subprocess.PIPE).stdout


def digest(path, entry, version):
    content = hashlib.sha256(version)
    for folder in [path.parent, *path.parent.parents]:
        if (folder / ".clang-tidy").exists():
            content.update((folder / ".clang-tidy").read_bytes())
    content.update(preprocessed(path, entry))
    return content.hexdigest()


def check(path, entry, build_dir, version):
    """(digest, None when the file passed, otherwise what is wrong with it)"""
    try:
        name = digest(path, entry, version)
    except subprocess.CalledProcessError:
        return None, f"{path}: clang cannot read it; its messages are above"
    stamp = build_dir / "tidy-cache" / name
    if stamp.exists():
        return name, None
    checks = [f"--checks={CHECKS_OF_TESTS}"] if path.stem.endswith("_test") else []
    run = subprocess.run(
        [CLANG_TIDY, "-p", str(build_dir), "--quiet", f"--extra-arg={QUIET}", *checks, str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode != 0:
        return name, run.stdout or run.stderr
    stamp.touch()
    return name, None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build_dir = pathlib.Path(sys.argv[1]).resolve()
    cache = build_dir / "tidy-cache"
    cache.mkdir(exist_ok=True)
    version = subprocess.run([CLANG_TIDY, "--version"], check=True, stdout=subprocess.PIPE).stdout
    commands = sources(build_dir)
    used, failed = set(), 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = [pool.submit(check, path, entry, build_dir, version)
                  for path, entry in sorted(commands.items())]
        for done in concurrent.futures.as_completed(checks):
            name, problems = done.result()
            used.add(name)
            if problems:
                failed += 1
                print(problems, flush=True)
    for stamp in cache.iterdir():
        if stamp.name not in used:
            stamp.unlink()
    print(f"clang-tidy: {len(commands)} files, {failed} with findings", file=sys.stderr)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
