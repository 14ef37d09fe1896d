# SPDX-License-Identifier: Apache-2.0
"""Two releases of a component in a release library, as `segue publish` makes them."""

import json

from harness.measured import run_measured
from harness.process import BenchError

COMPONENT = "bench"
ROLES = ("root", "targets", "snapshot", "timestamp")


def metadata_bytes(old, new, directory):
    """Of the signed metadata that a host reads which has `old` and is to have `new`: timestamp,
    snapshot and the component's; the other roles' did not change."""
    library = directory / "library"
    for role in ROLES:
        run_measured("segue", "key", "make", directory / role)
    root = directory / "1.root.json"
    keys = [option for role in ROLES for option in ("--add-key", f"{role}={directory / role}.pub")]
    run_measured("segue", "key", "root", root, *keys, "--sign-with", directory / "root")
    signers = [option for role in ROLES[1:] for option in ("--sign-with", f"{role}={directory / role}")]
    for version, tree in (("old", old), ("new", new)):
        run_measured("segue", "publish", tree, "--library", library, "--component", COMPONENT,
                     "--version", version, "--root", root, *signers)
    metadata = library / "metadata"
    read = [metadata / "timestamp.json"]
    for role in ("snapshot", COMPONENT):
        read.append(newest(metadata, role))
    targets = json.loads(read[-1].read_text())["signed"]["targets"]
    if not targets[f"{COMPONENT}/new"]["custom"]["deltas"]:
        raise BenchError("segue publish made no delta")
    return sum(path.stat().st_size for path in read)


def newest(metadata, role):
    found = {int(path.name.partition(".")[0]): path for path in metadata.glob(f"*.{role}.json")}
    if not found:
        raise BenchError(f"segue publish wrote no metadata of '{role}'")
    return found[max(found)]
