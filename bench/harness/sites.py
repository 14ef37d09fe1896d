# SPDX-License-Identifier: Apache-2.0
"""Sites with hosts, and an origin: a network namespace each, joined by thin lines."""

import os
import pathlib
import subprocess
import threading
import urllib.request

from harness.process import BenchError
from harness.thin_line import ThinLines, Within, open_device

PREFIX = "segue-bench"
ORIGIN = "10.80.0.1"
DELAY_S = 0.020      # one way
QUEUE_MS = 200       # what waits longer before a line is dropped
BURST_BYTES = 3_200  # two packets


def ip(*words, batch=None):
    argv = ["ip", *words]
    if batch is not None:
        argv += ["-batch", "-"]
    run = subprocess.run(argv, input=None if batch is None else "\n".join(batch) + "\n", text=True,
                         capture_output=True, check=False, timeout=60)
    if run.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: {run.stderr.strip()}")
    return run.stdout


def remove_leftovers():
    """Namespaces of a run that was killed."""
    folder = pathlib.Path("/run/netns")
    for path in folder.glob(f"{PREFIX}-*") if folder.is_dir() else []:
        pid = path.name.removeprefix(PREFIX + "-").partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            ip("netns", "delete", path.name)


class Sites:
    """`sites` of them with `hosts` each. Hosts of a site share a bridge; a line leads to the origin."""

    def __init__(self, sites, hosts, rate_bits):
        if os.geteuid() != 0:
            raise BenchError("network namespaces need root")
        remove_leftovers()
        self.sites, self.hosts = range(sites), range(hosts)
        self._rate_bits = rate_bits
        self._names, descriptors = [], []
        self.lines = None
        try:
            self.origin = self._add("origin", [f"addr add {ORIGIN}/32 dev lo"])
            for site in self.sites:
                self._add_site(site)
                for host in self.hosts:
                    self._add_host(site, host)
            for site in self.sites:
                descriptors.append((open_device(self.origin, f"line{site}"),
                                    open_device(self._router(site), "line")))
                self._join(site)
            self.lines = ThinLines(descriptors, DELAY_S)
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.lines is not None:
            self.lines.close()
        while self._names:
            subprocess.run(["ip", "netns", "delete", self._names.pop()], capture_output=True, check=False)

    def host_name(self, site, host):
        return self._name(f"{site}-{host}")

    @staticmethod
    def host_address(site, host):
        return f"10.81.{site}.{10 + host}"

    @staticmethod
    def command(namespace, argv):
        return ["ip", "netns", "exec", namespace, *map(str, argv)]

    def line_bytes(self):
        """Per line, by the origin's interface: what went into it and came out of it, with IP and TCP."""
        counts = []
        for site in self.sites:
            text = ip("netns", "exec", self.origin, "cat", f"/sys/class/net/line{site}/statistics/tx_bytes",
                      f"/sys/class/net/line{site}/statistics/rx_bytes")
            counts.append(sum(map(int, text.split())))
        return counts

    def payload_bytes(self):
        """Per line: what TCP carried and arrived, both ways."""
        return [self.lines.counted(site)["payload_bytes"] for site in self.sites]

    def get(self, site, host, url):
        """The answer's body, as that host sees it."""
        outcome = []

        def work():
            try:
                with Within(self.host_name(site, host)), urllib.request.urlopen(url, timeout=5) as answer:
                    outcome.append(answer.read())
            except OSError as error:
                outcome.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(outcome[0], OSError):
            raise outcome[0]
        return outcome[0]

    def _name(self, what):
        return f"{PREFIX}-{os.getpid()}-{what}"

    def _router(self, site):
        return self._name(f"{site}-router")

    def _add(self, what, commands):
        name = self._name(what)
        ip("netns", "add", name)
        self._names.append(name)
        ip("-n", name, batch=["link set lo up", *commands])
        return name

    def _add_site(self, site):
        router = self._add(f"{site}-router", ["link add lan type bridge", f"addr add 10.81.{site}.1/24 dev lan",
                                              "link set lan up"])
        ip("netns", "exec", router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def _add_host(self, site, host):
        name = self._add(f"{site}-{host}", [])
        ip("-n", name, batch=[f"link add lan type veth peer name host{host} netns {self._router(site)}",
                              f"addr add {self.host_address(site, host)}/24 dev lan", "link set lan up",
                              f"route add default via 10.81.{site}.1"])
        ip("-n", self._router(site), batch=[f"link set host{host} master lan up"])

    def _join(self, site):
        router = self._router(site)
        ip("-n", self.origin, batch=[f"link set line{site} up",
                                     f"route add 10.81.{site}.0/24 dev line{site} src {ORIGIN}"])
        ip("-n", router, batch=["link set line up", "route add default dev line"])
        for name, device in ((self.origin, f"line{site}"), (router, "line")):
            run = subprocess.run(["tc", "-n", name, "qdisc", "add", "dev", device, "root", "tbf", "rate",
                                  f"{self._rate_bits}bit", "burst", str(BURST_BYTES), "latency", f"{QUEUE_MS}ms"],
                                 capture_output=True, text=True, check=False)
            if run.returncode != 0:
                raise BenchError(f"tc on {device}: {run.stderr.strip()}")
