#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a builder runs in tests instead of `segue`: publisher.py publish|releases, with its words.

A library is a directory in which each release is the file COMPONENT/VERSION.json, made in one step; what was asked
for stands in the file `calls`. `stall` in the library makes `publish` wait after the release is there.
"""

import hashlib
import json
import os
import pathlib
import signal
import sys


def options_of(words):
    plain, options = [], {}
    words = iter(words)
    for word in words:
        if word == "--json":
            continue
        if word.startswith("--"):
            options[word] = next(words)
        else:
            plain.append(word)
    return plain, options


def digest_of(tree):
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(tree).rglob("*")):
        digest.update(f"{path.relative_to(tree)} ".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def publish(library, tree, options):
    release = library / options["--component"] / f"{options['--version']}.json"
    content = {"version": options["--version"], "commit": options["--commit"], "root": digest_of(tree),
               "files": sorted(str(path.relative_to(tree)) for path in pathlib.Path(tree).rglob("*"))}
    release.parent.mkdir(parents=True, exist_ok=True)
    if release.exists():
        print(f"{release.stem} is there already, with another tree", file=sys.stderr)
        return 4
    new = release.with_suffix(".new")
    new.write_text(json.dumps(content))
    os.rename(new, release)
    if (library / "stall").exists():
        (library / "stalled").touch()
        signal.pause()
    return 0


def main():
    (command, *plain), options = options_of(sys.argv[1:])
    library = pathlib.Path(options["--library"])
    library.mkdir(parents=True, exist_ok=True)
    with open(library / "calls", "a", encoding="utf-8") as calls:
        calls.write(json.dumps([command, *plain, options]) + "\n")
    if command == "publish":
        return publish(library, plain[0], options)
    releases = [json.loads(path.read_text()) for path in sorted((library / plain[0]).glob("*.json"))]
    print(json.dumps({"done": True, "exit": 0, "releases": releases}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
