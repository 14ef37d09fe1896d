# SPDX-License-Identifier: Apache-2.0
"""Podman's own images: saved, published, staged by a delta, and loaded again as what they were."""

import json
import os
import subprocess

import pytest

from library_tools import Publisher

CONFIGURATION = """
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """With a storage and a configuration of its own."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        (path / "containers.conf").write_text(CONFIGURATION)
        self.environment = dict(os.environ, CONTAINERS_CONF=str(path / "containers.conf"))

    def __call__(self, *words):
        run = subprocess.run(
            ["podman", "--root", self.path / "root", "--runroot", self.path / "run", "--storage-driver", "vfs",
             *map(str, words)],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run
        return run.stdout

    def build(self, tag, folder, lines):
        (self.path / "Containerfile").write_text("\n".join(lines))
        self("build", "--quiet", "--tag", tag, "--file", self.path / "Containerfile", folder)

    def images(self):
        """Name to id."""
        listed = json.loads(self("images", "--format", "json"))
        return {name: image["Id"] for image in listed for name in image["Names"] or ()}


@pytest.fixture
def podman(short_dir):
    if os.geteuid() != 0:
        pytest.skip("podman without root needs a user's namespaces, which this test does not set up")
    podman = Podman(short_dir / "podman")
    context = short_dir / "context"
    (context / "application").mkdir(parents=True)
    (context / "application/data").write_bytes(os.urandom(300_000))
    (context / "fresh").write_text("what is new\n")
    podman.build("localhost/chat:1", context, ["FROM scratch", "COPY application /application", "ENV LEVEL=1"])
    podman.build("localhost/chat:2", context, ["FROM localhost/chat:1", "COPY fresh /fresh"])
    return podman


@pytest.mark.parametrize("kind", ("docker-archive", "oci-archive"))
def test_an_image_arrives_as_the_image_that_it_was(build_dir, short_dir, podman, kind):
    publisher = Publisher(build_dir, short_dir)
    built = podman.images()
    for version in ("1", "2"):
        podman("save", "--format", kind, "--output", short_dir / f"{version}.tar", f"localhost/chat:{version}")
        publisher.publish(short_dir / f"{version}.tar", version)
    place = short_dir / "place"
    place.mkdir()
    for version in ("1", "2"):
        staged = json.loads(publisher.done("stage", "chat", version, "--library", f"file://{publisher.library}", "--json",
                                           "--place", place, "--root", "1.root.json").splitlines()[0])
        publisher.done("go-live", place, version)
        publisher.done("image", place / "live", "--output", f"{version}-again.tar")
        podman("rmi", "--all", "--force")
        podman("load", "--quiet", "--input", short_dir / f"{version}-again.tar")
        name = f"localhost/chat:{version}"
        assert podman.images() == {name: built[name]}
    assert staged["way"] == "delta" and staged["fetched_bytes"] < 5_000, staged
