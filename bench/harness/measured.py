# SPDX-License-Identifier: Apache-2.0
"""Commands that are run to their end, and what they took."""

import os
import subprocess
import tempfile
from dataclasses import dataclass

from harness.process import BenchError
from harness.programs import find_program


@dataclass
class Taken:
    """By a command and the children that it waited for."""
    cpu_s: float
    peak_mib: float  # resident, of the largest of them; never below this process's own
    output: str


def run_measured(name, *arguments, cwd=None, accepted=(0,)):
    argv = [find_program(name), *map(str, arguments)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                   cwd=cwd, env={**os.environ, "LC_ALL": "C"})
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        text, complaint = output.read().decode(), errors.read().decode(errors="replace")
    if process.returncode not in accepted:
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(f"{name} ended with {process.returncode}: {last[0]}")
    return Taken(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)
