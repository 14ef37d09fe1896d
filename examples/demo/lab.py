# SPDX-License-Identifier: Apache-2.0
"""Hosts on one machine: network namespaces on a bridge, which go with the processes that hold them."""

import os
import pathlib
import subprocess
import sys

from tools import Failure

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETWORK = "10.77.0"
ENTERED = "SEGUE_DEMO_NETWORK"


def execute(*words):
    done = subprocess.run(list(map(str, words)), text=True, stdin=subprocess.DEVNULL, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stdout.strip()}")


def enter_own_network():
    """Goes on in a namespace of this program's own; nothing of the machine's network is changed."""
    if os.geteuid() != 0:
        sys.exit("demo: three hosts are three network namespaces: run it as root")
    if ENTERED not in os.environ:
        os.environ[ENTERED] = "1"
        os.execvp("unshare", ["unshare", "--net", "--", sys.executable, *sys.argv])


class Lab:
    """This program is at NETWORK.1; hosts are at NETWORK.11, .12, …"""

    def __init__(self):
        self.holders = []
        execute("ip", "link", "set", "lo", "up")
        execute("ip", "link", "add", "bridge", "type", "bridge")
        execute("ip", "address", "add", f"{NETWORK}.1/24", "dev", "bridge")
        execute("ip", "link", "set", "bridge", "up")

    def add(self):
        """The words before a command that runs on the new host, and its address."""
        number = len(self.holders) + 1
        address = f"{NETWORK}.{10 + number}"
        holder = subprocess.Popen(["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep 3600"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.holders.append(holder)
        holder.stdout.readline()
        inside = ["nsenter", "--net", f"--target={holder.pid}", "--"]
        execute("ip", "link", "add", f"host{number}", "type", "veth", "peer", "name", "eth0", "netns", holder.pid)
        execute("ip", "link", "set", f"host{number}", "master", "bridge", "up")
        execute(*inside, "ip", "link", "set", "lo", "up")
        execute(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        execute(*inside, "ip", "link", "set", "eth0", "up")
        return inside, address

    def close(self):
        for holder in self.holders:
            holder.kill()
            holder.wait()
