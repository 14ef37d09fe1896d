#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""distribution.py [--quick] [--only PREFIX]: what it takes to bring a release to a host.

Run it through `scripts/bench distribution`, which builds what it needs. README.md describes the cases.
Results go to stdout, one JSON object per line; tables, targets and progress to stderr. Exit codes: 0
everything ran and every target was met, 1 not so, 2 usage.
"""

import argparse
import signal
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.groups import Bench, print_conditions
from harness.lines_run import Lines
from harness.npm_pairs import default_cache
from harness.pair_run import Pairs
from harness.process import BenchError
from harness.publish_run import Publish
from harness.store_run import Store
from harness.switch_run import Switch

GROUPS = (Pairs, Publish, Store, Switch, Lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="the small cases only: 50 s in all, for a look")
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help="only the cases whose name begins so, such as pair/next")
    parser.add_argument("--cache", default=default_cache(), metavar="DIR",
                        help="where downloaded packages are kept (default: %(default)s)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary trees are removed
    bench = Bench("distribution", GROUPS, arguments)
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.failures.append("interrupted")
    except BenchError as error:
        print(f"distribution: {error}", file=sys.stderr)
        return 2
    met = bench.print()
    for failure in bench.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    print_conditions()
    return 0 if met and not bench.failures else 1


if __name__ == "__main__":
    sys.exit(main())
