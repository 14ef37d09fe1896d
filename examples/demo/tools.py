# SPDX-License-Identifier: Apache-2.0
"""What the demos share."""

import json
import os
import socket
import subprocess
import sys


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
