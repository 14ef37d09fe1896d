# SPDX-License-Identifier: Apache-2.0
"""A CI server's part of a release: the very lines of docs/building.md, against a real repository and library."""

import json
import os
import pathlib
import re
import subprocess
import textwrap

import pytest

from build_tools import DONE, FAILED, Builder, Repository
from support import wait_until

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/building.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def publish_steps():
    """What each CI server runs, by the server."""
    (jenkins,) = [block for block in blocks("groovy") if "pipeline {" in block]
    (gitlab,) = [block for block in blocks("yaml") if "script:" in block]
    (actions,) = [block for block in blocks("yaml") if "actions/checkout" in block]
    return {"jenkins": re.search(r"sh '''\n(.*?)'''", jenkins, re.DOTALL)[1],
            "gitlab": gitlab.split("- |\n")[1],
            "actions": actions.split("run: |\n")[1]}


class Library:
    """A real one, with its keys; a first release was published by hand."""

    def __init__(self, build_dir, path):
        self.program = build_dir / "src/cli/segue"
        self.path = path / "library"
        self.keys = path / "keys"
        self.keys.mkdir()
        roles = ("root", "targets", "snapshot", "timestamp")
        for name in (*roles, "chat"):
            self.run("key", "make", self.keys / name)
        self.run("key", "root", path / "1.root.json", "--sign-with", self.keys / "root",
                 *[f"--add-key={role}={self.keys / role}.pub" for role in roles])
        first = path / "first"
        first.mkdir()
        self.run("publish", first, "--component", "chat", "--version", "0", "--library", self.path,
                 "--root", path / "1.root.json", "--sign-with", f"targets={self.keys / 'targets'}",
                 *self.signers())
        (self.keys / "targets").unlink()

    def signers(self):
        return [f"--sign-with={role}={self.keys / role}" for role in ("chat", "snapshot", "timestamp")]

    def run(self, *words):
        run = subprocess.run([self.program, *map(str, words)], text=True, capture_output=True, timeout=120,
                             check=False)
        assert run.returncode == DONE, run
        return run.stdout

    def releases(self):
        """Commits by version, without the first."""
        answer = json.loads(self.run("releases", "chat", "--library", self.path, "--json").splitlines()[-1])
        return {release["version"]: release["commit"] for release in answer["releases"]
                if release["version"] != "0"}


@pytest.fixture
def library(build_dir, short_dir):
    return Library(build_dir, short_dir)


@pytest.fixture
def repository(short_dir):
    return Repository(short_dir)


@pytest.mark.parametrize("server", ["jenkins", "gitlab", "actions"])
def test_the_step_of_the_documentation_publishes_what_the_server_has_built(library, repository, short_dir, server):
    step = short_dir / "step.sh"
    step.write_text(textwrap.dedent(publish_steps()[server]))
    environment = {**os.environ, "PATH": f"{library.program.parent}:{os.environ['PATH']}",
                   "SEGUE_LIBRARY": str(library.path), "SEGUE_KEYS": str(library.keys)}

    def pipeline(clone):
        subprocess.run(["git", "clone", "-q", repository.path, clone], check=True)
        subprocess.run(["sh", "-ec", "mkdir out; cp program out"], cwd=clone, check=True)
        return subprocess.run(["sh", "-e", step], cwd=clone, env=environment, text=True, capture_output=True,
                              check=False)

    first = repository.commit()
    assert pipeline(short_dir / "one").returncode == DONE
    assert pipeline(short_dir / "again").returncode == DONE  # the pipeline is run again
    second = repository.commit(program="exit 0 # second")
    assert pipeline(short_dir / "two").returncode == DONE
    assert library.releases() == {"1.4.1": first, "1.4.2": second}


def test_the_lines_that_tell_a_builder_of_the_documentation_do(build_dir, library, repository, short_dir, free_port):
    (lines,) = [block for block in blocks("sh") if "SEGUE_WEBHOOK_SECRET" in block]
    (short_dir / "secret").write_text("open sesame\n")
    builder = own_builder(build_dir, library, repository, short_dir, webhook_secret="secret")
    builder.config["listen"] = f"127.0.0.1:{free_port}"
    builder.start()
    try:
        commit = repository.commit()
        environment = {**os.environ, "SEGUE_WEBHOOK_SECRET": "open sesame",
                       "SEGUE_BUILDER": f"http://127.0.0.1:{free_port}"}
        told = subprocess.run(["sh", "-ec", lines], cwd=repository.work, env=environment, check=False)
        assert told.returncode == DONE
        assert builder.wait_for(commit)["verdict"] == "published"
    finally:
        builder.stop()
    assert library.releases() == {"1.0.1": commit}


def own_builder(build_dir, library, repository, short_dir, **settings):
    """One that publishes with the `segue` that it is."""
    builder = Builder(build_dir, short_dir).watch(repository, publish=library.signers()[:1], **settings)
    del builder.config["publisher"]
    builder.config["publish"] = ["--library", str(library.path), *library.signers()[1:]]
    return builder


def test_the_builder_publishes_with_segue_itself(build_dir, library, repository, short_dir):
    builder = own_builder(build_dir, library, repository, short_dir)
    first = repository.commit()
    assert builder.once().returncode == DONE, builder.builds()
    failing = repository.commit(program="exit 1")
    assert builder.once().returncode == FAILED
    third = repository.commit(program="exit 0 # third")
    assert builder.once().returncode == DONE
    assert library.releases() == {"1.0.1": first, "1.0.3": third}
    assert builder.build_of(failing)["verdict"] == "failed"


def test_a_build_is_held_while_a_plan_goes_live_and_is_published_then(build_dir, library, repository, short_dir):
    plans = short_dir / "plans"
    library.run("plan", "create", "--state", plans, "--component", "chat", "--version", "9", "--at", "+10m",
                "--id", "soon", "--publishing-freeze-s", "900")
    builder = own_builder(build_dir, library, repository, short_dir)
    builder.config["publish"] += ["--plans", str(plans)]
    program = builder.start()
    first = repository.commit()
    builder.run("notify", "chat")
    program.wait_for_log("build.held", 120)
    second = repository.commit(program="exit 0 # second")
    builder.run("notify", "chat")
    held = wait_until(lambda: builder.build_of(first) if builder.build_of(first)["stage"] == "held" else None,
                      "it is held: every 20 s it is tried for a moment", 120)
    assert "while plan soon goes live" in held["why"], held
    program.kill()
    program = builder.start()
    wait_until(lambda: program.text().count("build.held") >= 2, "the build is held again", 120)
    assert library.releases() == {}
    library.run("plan", "cancel", "soon", "--state", plans)
    for commit in (first, second):
        assert builder.wait_for(commit)["verdict"] == "published"
    builder.stop()
    assert list(library.releases().values()) == [first, second]


def test_killed_while_segue_publishes_the_builder_goes_on(build_dir, library, repository, short_dir):
    builder = own_builder(build_dir, library, repository, short_dir)
    program = builder.start()
    commits = []
    for number in range(4):
        commits.append(repository.commit(program=f"exit 0 # {number}"))
        builder.run("notify", "chat")
        program.wait_for_log(f"commit={commits[-1]} stage=publishing")
        program.kill()
        program = builder.start()
        assert builder.wait_for(commits[-1])["verdict"] == "published"
    builder.stop()
    assert list(library.releases().values()) == commits
    assert len(builder.builds()) == 4
