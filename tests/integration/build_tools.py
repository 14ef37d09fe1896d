# SPDX-License-Identifier: Apache-2.0
"""A builder over real git repositories."""

import json
import os
import pathlib
import signal
import subprocess

import support

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 4
PUBLISHER = pathlib.Path(__file__).with_name("publisher.py")

BUILD_FILE = {
    "name": "chat",
    "build": ["mkdir -p out", "cp program out/", "echo built $SEGUE_VERSION"],
    "test": "sh ./program",
    "output": "out",
    "version": "1.0.{commits}",
}


class Repository:
    """A bare repository and a working copy that pushes to it."""

    def __init__(self, path, name="chat"):
        self.path = path / f"{name}.git"
        self.work = path / f"{name}-work"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.path], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", self.work], check=True)
        self.git("remote", "add", "origin", self.path)

    def git(self, *words):
        identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
                    for what, value in (("NAME", "dev"), ("EMAIL", "dev@example.org"))}
        run = subprocess.run(["git", *map(str, words)], cwd=self.work, text=True, capture_output=True,
                             env={**os.environ, **identity}, check=False)
        assert run.returncode == 0, run
        return run.stdout.strip()

    def commit(self, program="exit 0", push=True, **build_file):
        (self.work / "program").write_text(program + "\n")
        (self.work / "segue.yaml").write_text(json.dumps({**BUILD_FILE, **build_file}))
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def note(self, commit):
        self.git("fetch", "-q", "origin", "+refs/notes/segue:refs/notes/segue")
        return self.git("notes", "--ref=segue", "show", commit)


class Builder:
    def __init__(self, build_dir, path):
        self.program = build_dir / "src/cli/segue"
        self.path = path
        self.state = path / "state"
        self.library = path / "library"
        self.config = {
            "state": str(self.state),
            "publisher": str(PUBLISHER),
            "publish": ["--library", str(self.library)],
            "repositories": {},
        }
        self.running = []

    def watch(self, repository, name="chat", **settings):
        self.config["repositories"][name] = {"url": str(repository.path), "poll_s": 0, **settings}
        return self

    def words(self, command, *words):
        (self.path / "builder.yaml").write_text(json.dumps(self.config))
        return [str(self.program), "build", command, "--config", str(self.path / "builder.yaml"),
                *map(str, words)]

    def run(self, command, *words):
        return subprocess.run(self.words(command, *words), text=True, timeout=120, capture_output=True,
                              check=False)

    def once(self, *words):
        return self.run("run", "--once", *words)

    def start(self, *words):
        program = support.Program(self.words("run", *words), self.path / "builder.log")
        self.running.append(program)
        program.wait_for_log("event=builder.started")
        return program

    def stop(self):
        for program in self.running:
            if program.is_running():
                program.process.send_signal(signal.SIGTERM)
                program.wait()

    def status(self):
        run = self.run("status", "--json")
        assert run.returncode in (DONE, REFUSED), run
        return [json.loads(line) for line in run.stdout.splitlines()]

    def builds(self):
        return [build for build in self.status() if "verdict" in build]

    def build_of(self, commit):
        found = [build for build in self.builds() if build["commit"] == commit]
        assert len(found) <= 1, f"one commit, several records: {found}"
        return found[0] if found else None

    def wait_for(self, commit):
        def ended():
            build = self.build_of(commit)
            return build if build and build["stage"] == "ended" else None
        return support.wait_until(ended, f"a build of {commit}", 180)

    def releases(self):
        return [json.loads(path.read_text()) for path in sorted(self.library.glob("chat/*.json"))]

    def calls(self, command):
        path = self.library / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call[0] == command]


def processes_with(text):
    """Pids of processes whose environment holds the text."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


