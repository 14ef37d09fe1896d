# SPDX-License-Identifier: Apache-2.0
"""Which case runs, and how long it will take, on stderr."""

import sys
import time


class Progress:
    """`steps` is a list of (name, seconds expected)."""

    def __init__(self, steps):
        self._steps = dict(steps)
        self._count = len(steps)
        self._number = 0
        self._began = time.monotonic()
        self._left_s = sum(self._steps.values())
        self._is_terminal = sys.stderr.isatty()

    def begin(self, name):
        self._number += 1
        elapsed_s = time.monotonic() - self._began
        self._line(f"[{self._number}/{self._count}] {name}: {elapsed_s:.0f} s passed, "
                   f"about {self._left_s:.0f} s to go")
        self._left_s -= self._steps.get(name, 0)

    def within(self, name, done, total):
        """For steps of many parts; a log gets a line for every tenth only."""
        if self._is_terminal or done % max(total // 10, 1) == 0:
            self._line(f"[{self._number}/{self._count}] {name}: {done} of {total}")

    def end(self):
        if self._is_terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _line(self, text):
        sys.stderr.write(f"\r\033[K{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()
