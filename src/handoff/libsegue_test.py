#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libsegue_test.py needs|exports LIBSEGUE HEADERS: what goes into other people's programs.

needs:   the shared library asks for nothing but the C library.
exports: it shows exactly the functions of the public headers in the folder HEADERS.
"""

import pathlib
import re
import subprocess
import sys

# And its loader.
C_LIBRARY = re.compile(r"libc\.so\.\d+|ld-linux[\w-]*\.so\.\d+")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def check_needs(library, _headers):
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", library))
    foreign = [name for name in needed if not C_LIBRARY.fullmatch(name)]
    if not needed:
        return [f"{library} names no library at all, not even libc: is it the right file?"]
    return [f"{library} needs {name}" for name in foreign]


def check_exports(library, headers):
    defined = output("nm", "--dynamic", "--defined-only", "--format=posix", library).splitlines()
    # "NAME@@VERSION T address size"; the version itself is an absolute symbol.
    exported = {line.split("@")[0].split()[0] for line in defined if line.split()[1] != "A"}
    text = "".join(path.read_text(encoding="utf-8") for path in pathlib.Path(headers).glob("*.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    declared = set(re.findall(r"SEGUE_API\b[^;(]*?\b(segue_\w+)\s*\(", text))
    problems = [f"{name} is exported, but not declared" for name in sorted(exported - declared)]
    problems += [f"{name} is declared, but not exported" for name in sorted(declared - exported)]
    if len(declared) < 40:
        problems.append(f"only {len(declared)} functions were found in {headers}")
    return problems


def main():
    checks = {"needs": check_needs, "exports": check_exports}
    if len(sys.argv) != 4 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    problems = checks[sys.argv[1]](*sys.argv[2:])
    for problem in problems:
        print(problem)
    sys.exit(len(problems) > 0)


if __name__ == "__main__":
    main()
