#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rollout.py [--quick] [--only PREFIX]: what a rollout does to those who are served meanwhile.

Run it through `scripts/bench rollout`, which builds what it needs. README.md describes the cases.
Results go to stdout, one JSON object per line; tables, targets and progress to stderr. Exit codes: 0
everything ran and every target was met, 1 not so, 2 usage.
"""

import argparse
import signal
import sys

sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.agents_run import AgentsAtServer
from harness.analysis_run import Analysis
from harness.canary_run import Canary
from harness.etcd_run import AgentsOnEtcd
from harness.groups import Bench, print_conditions
from harness.process import BenchError
from harness.share_run import Share

GROUPS = (Share, Canary, Analysis, AgentsAtServer, AgentsOnEtcd)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true",
                        help="fewer of everything, for a look")
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help="only the cases whose name begins so, such as aa/error")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    bench = Bench("rollout", GROUPS, arguments)
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.failures.append("interrupted")
    except BenchError as error:
        print(f"rollout: {error}", file=sys.stderr)
        return 2
    met = bench.print()
    for failure in bench.failures:
        print(f"FAILED  {failure}", file=sys.stderr)
    print_conditions()
    return 0 if met and not bench.failures else 1


if __name__ == "__main__":
    sys.exit(main())
