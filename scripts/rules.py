#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rules.py [ROOT]: the rules of this repository that no other tool knows.

Each rule is a function that yields what breaks it. scripts/rules_exceptions.txt lists the exceptions, as
`rule path  # reason`; one that is no longer needed is an error too, so the list can only get shorter.
"""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import sys

MAX_FILE_LINES = 600
EXCEPTIONS = "scripts/rules_exceptions.txt"
PUBLIC_HEADERS = "src/handoff/include"

CPP_SOURCES = (".c", ".cc")
CPP_HEADERS = (".h", ".hpp")
CPP = CPP_SOURCES + CPP_HEADERS
SLASH_COMMENTS = CPP + (".proto", ".ts", ".tsx", ".js")
HASH_COMMENTS = (".py", ".sh", ".cmake", "CMakeLists.txt")


@dataclasses.dataclass(frozen=True, order=True)
class Violation:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message} [{self.rule}]"


class Tree:
    """The text files of a checkout, by their path from its root."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.paths = sorted(path for path in self._list() if self._is_text(path))

    def _list(self):
        if (self.root / ".git").exists():
            listing = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout
            return [path for path in listing.split("\0") if path]
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*")]

    def _is_text(self, path):
        file = self.root / path
        return file.is_file() and not file.is_symlink() and b"\0" not in file.read_bytes()[:8000]

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def lines(self, path):
        return enumerate(self.text(path).splitlines(), start=1)

    def select(self, *suffixes, under=""):
        return [path for path in self.paths if path.endswith(suffixes) and path.startswith(under)]

    def is_script(self, path):
        return path.endswith((".py", ".sh")) or self.text(path).startswith("#!")


REAL_TIME_OR_RANDOMNESS = re.compile(
    r"_clock::now\b"
    r"|\b(clock_gettime|gettimeofday|timespec_get|getrandom|getentropy|arc4random\w*)\s*\("
    r"|(?<![\w.>])(time|localtime|gmtime)\s*\(\s*(nullptr|NULL|0|&)"
    r"|(?<![\w.>])s?rand(om)?\s*\("
    r"|\brandom_device\b|/dev/u?random\b"
    r"|\b(sleep_for|sleep_until)\b|(?<![\w.>])(u|nano|clock_nano)?sleep\s*\(")


def real_time(tree):
    for path in tree.select(*CPP, under="src/"):
        if path.startswith("src/os/"):
            continue
        for number, line in tree.lines(path):
            found = REAL_TIME_OR_RANDOMNESS.search(line.split("//")[0])
            if found:
                yield path, number, (f"'{found[0].strip()}' reads real time or randomness: "
                                     "take a clock or a seed as an argument")


UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")


def unfinished(tree):
    for path in tree.paths:
        for number, line in tree.lines(path):
            found = UNFINISHED.search(line)
            if found:
                yield path, number, f"'{found[0]}': finish it, or write an issue"


def dead_source(tree):
    lists = {path: tree.text(path) for path in tree.select("CMakeLists.txt", ".cmake")}
    for path in tree.select(*CPP_SOURCES):
        if not any(_names(lists[lst], lst, path) for lst in lists):
            yield path, 1, "no CMakeLists.txt names it: add it, or delete it"


def _names(text, list_path, path):
    """Whether a CMake file names the path, from its own folder or from the root."""
    folder = "" if list_path.endswith(".cmake") else os.path.dirname(list_path)
    name = os.path.relpath(path, folder or ".")
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text) is not None


INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def dead_header(tree):
    included = {path: INCLUDE.findall(tree.text(path)) for path in tree.select(*CPP)}
    for path in tree.select(*CPP_HEADERS):
        if not any(f"/{path}".endswith("/" + os.path.normpath(name))
                   for other, names in included.items() if other != path for name in names):
            yield path, 1, "nothing includes it: use it, or delete it"


def dead_script(tree):
    for path in tree.paths:
        # Commands for people, and what scripts/bench finds by its name.
        if re.fullmatch(r"scripts/[a-z]+|\.ci/run|bench/\w+\.py", path) or not tree.is_script(path):
            continue
        name = re.escape(os.path.basename(path))
        module = re.escape(pathlib.PurePath(path).stem)
        used = re.compile(rf"(?<![\w.-]){name}(?![\w-])|^\s*(from|import)\s+(\w+\.)*{module}\b",
                          re.MULTILINE)
        if not any(used.search(tree.text(other)) for other in tree.paths if other != path):
            yield path, 1, "nothing names this script: use it, or delete it"


def spdx(tree):
    for path in tree.paths:
        if path.endswith(SLASH_COMMENTS):
            openings = "//", "/*"
        elif path.endswith(HASH_COMMENTS) or tree.is_script(path):
            openings = ("#",)
        else:
            continue
        # A #! line may come first.
        headers = tuple(f"{opening} SPDX-License-Identifier: Apache-2.0" for opening in openings)
        if not any(line.startswith(headers) for line in tree.text(path).splitlines()[:2]):
            yield path, 1, f"the file has to begin with '{headers[0]}'"


def file_length(tree):
    for path in tree.paths:
        if not path.endswith(SLASH_COMMENTS + HASH_COMMENTS) and not tree.is_script(path):
            continue
        length = len(tree.text(path).splitlines())
        if length > MAX_FILE_LINES:
            yield path, MAX_FILE_LINES, f"{length} lines, {MAX_FILE_LINES} are allowed: split it"


def public_header(tree):
    """What a service includes compiles alone, in C and in C++, without a warning."""
    c, cpp = ["cc", "-x", "c", "-std=c11"], ["c++", "-x", "c++", "-std=c++20"]
    for path in tree.select(*CPP_HEADERS, under=PUBLIC_HEADERS + "/segue/"):
        for compiler in [c, cpp] if path.endswith(".h") else [cpp]:
            run = subprocess.run(
                [*compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                 "-I", PUBLIC_HEADERS, "-include", path, "/dev/null"],
                cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                check=False)
            if run.returncode != 0:
                yield path, 1, f"does not compile alone with {compiler[-1]}:\n{run.stdout.rstrip()}"


RULES = [real_time, unfinished, dead_source, dead_header, dead_script, spdx,
         file_length, public_header]


def read_exceptions(tree):
    if EXCEPTIONS not in tree.paths:
        return []
    entries = [(number, line.split("#")[0].split()) for number, line in tree.lines(EXCEPTIONS)]
    return [(number, *words) for number, words in entries if words]


def check(tree):
    """All violations, those of the list of exceptions included."""
    found = [Violation(path, line, rule.__name__, message)
             for rule in RULES for path, line, message in rule(tree)]
    broken = {(violation.rule, violation.path) for violation in found}
    excepted = set()
    for number, *words in read_exceptions(tree):
        if tuple(words) in broken:
            excepted.add(tuple(words))
        else:
            found.append(Violation(EXCEPTIONS, number, "stale_exception",
                                   f"'{' '.join(words)}' is not needed: delete the line"))
    return sorted(violation for violation in found
                  if (violation.rule, violation.path) not in excepted)


def main():
    default_root = pathlib.Path(__file__).resolve().parent.parent
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else default_root)
    violations = check(tree)
    for violation in violations:
        print(violation)
    print(f"rules: {len(tree.paths)} files, {len(violations)} violations", file=sys.stderr)
    sys.exit(len(violations) > 0)


if __name__ == "__main__":
    main()
