# SPDX-License-Identifier: Apache-2.0
"""What the demos share."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile


class Failure(Exception):
    """The demo cannot go on; the text says why."""


class Segue:
    def __init__(self, build, home):
        self.program = build / "src/cli/segue"
        self.environment = dict(
            os.environ, SEGUE_RUNTIME_DIR=str(home / "run"), SEGUE_STATE_DIR=str(home / "state"))

    def call(self, *words, check=True):
        """The last JSON object that the command prints."""
        run = subprocess.run([str(self.program), *map(str, words)], env=self.environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
        if check and run.returncode != 0:
            raise Failure(f"segue {' '.join(map(str, words))} ended with {run.returncode}: "
                          f"{run.stderr.strip() or run.stdout.strip()}")
        return json.loads(lines[-1]) if lines else {}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def run_demo(usage, demo_class):
    """The main program of each demo: its run() in a folder of its own, then its clean_up()."""
    if len(sys.argv) != 2:
        sys.exit(usage)
    home = pathlib.Path(tempfile.mkdtemp(prefix="segue-demo-"))
    home.chmod(0o755)  # servers that it starts may read as users of their own
    demo = demo_class(pathlib.Path(sys.argv[1]).resolve(), home)
    try:
        code = demo.run()
    except Failure as failure:
        say(f"demo: {failure}")
        code = 1
    finally:
        demo.clean_up()
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)
