# SPDX-License-Identifier: Apache-2.0
"""`lines/…`: a release that comes to every host of several sites, each behind a thin line, at once."""

import json
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness.npm_pairs import Pair, unpack_trees
from harness.process import BenchError, Workplace, sleep_until, wait_until
from harness.programs import find_program
from harness.publish_run import Library, children_cpu_s
from harness.sites import ORIGIN, Sites

RATE_BITS = 1_000_000
# A delta of 5 MB: all hosts are on one machine, and what they compute at the end, at once, is to be little
# against the line's time.
PAIR = Pair("sharp-libvips-1.3.4", "@img/sharp-libvips-linux-x64", "1.2.4", "1.3.4", 0)
QUICK_PAIR = Pair("esbuild-0.28.1", "@esbuild/linux-x64", "0.28.0", "0.28.1", 0)
SITES, HOSTS = 4, 5
QUICK_SITES, QUICK_HOSTS = 1, 2
LIBRARY_PORT, RELAY_PORT, RSYNC_PORT = 7400, 7411, 7873
CUT_S = 20
CHUNK_BYTES = 65_536
MAX_BYTES_OVER_DELTA = 1.05
MAX_TIME_OVER_LINE = 1.15
TRIES = 5  # of a host whose `segue stage` gave up, as an agent's
START_TIMEOUT_S = 30
MIN_MEMORY_BYTES = 4 << 30
RUN_TIMEOUT_S = 1_200


def memory_folder():
    """Where the hosts' trees lie: hosts have a disk each, and here all would share one. None: where
    temporary files do."""
    folder = "/dev/shm"
    is_roomy = os.path.isdir(folder) and shutil.disk_usage(folder).free > MIN_MEMORY_BYTES
    return folder if is_roomy else None


class Trial:
    """Sites, and an origin with a library of two releases; every host has the first one live, and has not
    heard of the second."""

    def __init__(self, cache, pair, sites, hosts, progress):
        self._progress = progress
        self.places = Workplace("lines", memory_folder())
        self.sites, self._relays, self._running = None, [], set()
        self._is_over = False
        try:
            self.directory = self.places.directory
            self.old, self.new = unpack_trees(cache, pair, self.directory)
            self._library = Library(self.directory)
            self._library.publish(self.old, "1")
            self.sites = Sites(sites, hosts, RATE_BITS)
            self.hosts = [(site, host) for site in self.sites.sites for host in self.sites.hosts]
            self._serve("server", [find_program("segue"), "server", "--library", self.directory / "library",
                                   "--listen", f"{ORIGIN}:{LIBRARY_PORT}"], LIBRARY_PORT)
            self._on_all(self._prepare_place)
            self.delta_bytes = self._library.publish(self.new, "2")["release"]["deltas"][0]["bytes"]
        except BaseException:
            self.close()
            raise

    def close(self):
        self._stop()
        self.places.close()
        if self.sites is not None:
            self.sites.close()

    def line_s(self):
        """What the delta takes at the line's rate."""
        return self.delta_bytes * 8 / RATE_BITS

    def _serve(self, name, argv, port):
        self.places.start(Sites.command(self.sites.origin, argv))
        self._wait_port(self.sites.origin, ORIGIN, port, name)

    def _wait_port(self, namespace, address, port, name):
        connect = Sites.command(namespace, ["bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"])
        wait_until(lambda: subprocess.run(connect, capture_output=True, check=False).returncode == 0,
                   START_TIMEOUT_S, name)

    # ---- Segue: a relay on each host, and `segue stage`

    def _place(self, site, host):
        return self.directory / "places" / f"{site}-{host}"

    def _prepare_place(self, site, host):
        place = self._place(site, host)
        place.mkdir(parents=True)
        self._segue("stage", "app", "1", "--library", self.directory / "library", "--place", place, "--root",
                    self.directory / "1.root.json")
        self._segue("go-live", place, "1")

    def start_relays(self):
        for site, host in self.hosts:
            members = [f"--member=host{other}=http://{Sites.host_address(site, other)}:{RELAY_PORT}"
                       for other in self.sites.hosts]
            argv = [find_program("segue"), "relay", f"--site=site{site}", f"--name=host{host}", *members,
                    f"--origin=http://{ORIGIN}:{LIBRARY_PORT}", f"--listen=127.0.0.1:{RELAY_PORT}",
                    f"--listen={Sites.host_address(site, host)}:{RELAY_PORT}",
                    f"--cache={self.directory / 'caches' / f'{site}-{host}'}"]
            self._relays.append(self.places.start(Sites.command(self.sites.host_name(site, host), argv)))
        wait_until(self._has_leaders, START_TIMEOUT_S, "one leader per site")

    def _has_leaders(self):
        """Whether all hosts of each site name the same one."""
        if any(relay.poll() is not None for relay in self._relays):
            raise BenchError("a relay ended")
        named = [{self._leader(site, host) for host in self.sites.hosts} for site in self.sites.sites]
        return all(len(leaders) == 1 and "" not in leaders for leaders in named)

    def _leader(self, site, host):
        try:
            state = json.loads(self.sites.get(site, host, f"http://127.0.0.1:{RELAY_PORT}/relay/state"))
        except OSError:
            return ""
        return state.get("leader", "")

    def stage(self, site, host):
        """How often it was tried, until the release was there, verified."""
        argv = Sites.command(self.sites.host_name(site, host),
                             [find_program("segue"), "stage", "app", "2", "--library",
                              f"http://127.0.0.1:{RELAY_PORT}", "--place", self._place(site, host), "--json"])
        for number in range(1, TRIES + 1):
            run = self._run(argv)
            if run.returncode == 0:
                said = [json.loads(line) for line in run.stdout.splitlines()]
                if not any(line.get("way") == "delta" for line in said):
                    raise BenchError(f"host {site}-{host} was not staged by a delta: {run.stdout}")
                return number
        raise BenchError(f"host {site}-{host}: {run.stdout}{run.stderr}")

    # ---- rsync to every host

    def prepare_copies(self):
        config = self.directory / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = 0\ngid = 0\nmax connections = 0\n[new]\npath = {self.new}\n"
                          "read only = yes\n", encoding="ascii")
        self._on_all(lambda site, host: subprocess.run(["cp", "-a", self.old, self._copy(site, host)], check=True))
        self._serve("rsync", [find_program("rsync"), "--daemon", "--no-detach", f"--config={config}",
                              f"--address={ORIGIN}", f"--port={RSYNC_PORT}"], RSYNC_PORT)

    def _copy(self, site, host):
        return self.directory / f"copy-{site}-{host}"

    def copy(self, site, host):
        argv = Sites.command(self.sites.host_name(site, host),
                             [find_program("rsync"), "-azc", "--delete", f"rsync://{ORIGIN}:{RSYNC_PORT}/new/",
                              f"{self._copy(site, host)}/"])
        run = self._run(argv)
        if run.returncode != 0:
            raise BenchError(f"rsync to host {site}-{host}: {run.stderr}")
        return 1

    def check_copies(self):
        for site, host in self.hosts:
            same = subprocess.run(["diff", "-r", self.new, self._copy(site, host)], capture_output=True, check=False)
            if same.returncode != 0:
                raise BenchError(f"rsync to host {site}-{host} made another tree")

    # ---- Measuring

    def run_all(self, work, case):
        """Begins `work` on all hosts at once: {metric: value}."""
        payload, interface = self.sites.payload_bytes(), self.sites.line_bytes()
        began, cpu_before = time.monotonic(), children_cpu_s()
        done = []

        def one(place):
            tries = work(*place)
            done.append(time.monotonic() - began)
            self._progress.within(case, len(done), len(self.hosts))
            return tries

        tries = self._on_all(lambda site, host: one((site, host)))
        cpu_s = children_cpu_s() - cpu_before
        payload = [after - before for before, after in zip(payload, self.sites.payload_bytes())]
        interface = [after - before for before, after in zip(interface, self.sites.line_bytes())]
        of_all = self.delta_bytes * len(self.sites.sites)
        return {"bytes_over_delta": sum(payload) / of_all, "interface_over_delta": sum(interface) / of_all,
                "time_over_line": max(done) / self.line_s(), "all_hosts_s": max(done), "first_host_s": min(done),
                "host_cpu_s": cpu_s / len(self.hosts), "line_bytes": sum(payload) // len(payload), "tries": max(tries)}

    def cut_in_the_middle(self, line):
        """For CUT_S, once half of the delta has come."""
        half = self.sites.payload_bytes()[line] + self.delta_bytes // 2
        wait_until(lambda: self.sites.payload_bytes()[line] >= half or self._is_over, RUN_TIMEOUT_S,
                   "half of the delta")
        self.sites.lines.cut(line, True)
        sleep_until(time.monotonic() + CUT_S)
        self.sites.lines.cut(line, False)

    def _on_all(self, work):
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            try:
                return list(pool.map(lambda place: work(*place), self.hosts))
            except BaseException:
                self._stop()  # the pool waits for its threads, and they for their processes
                raise

    def _stop(self):
        self._is_over = True
        for process in list(self._running):
            process.kill()

    def _run(self, argv):
        """To its end, or that of the trial."""
        if self._is_over:
            raise BenchError("the trial was ended")
        with subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self._running.add(process)
            if self._is_over:
                process.kill()
            try:
                output, errors = process.communicate(timeout=RUN_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                output, errors = process.communicate()
            finally:
                self._running.discard(process)
        return subprocess.CompletedProcess(argv, process.returncode, output, errors)

    def _segue(self, *words):
        run = self._run([find_program("segue"), *words])
        if run.returncode != 0:
            raise BenchError(f"segue {words[0]} ended with {run.returncode}: {run.stderr.strip()}")


class Lines:
    prefix = "lines/"

    def __init__(self, arguments):
        self._cache, self._is_quick = arguments.cache, arguments.quick
        self._pair = QUICK_PAIR if self._is_quick else PAIR
        self._sites, self._hosts = (QUICK_SITES, QUICK_HOSTS) if self._is_quick else (SITES, HOSTS)
        self._case = f"{self.prefix}{self._sites}x{self._hosts}"
        self._cut_case = self.prefix + "cut"

    def steps(self):
        return [(self._case, 12)] if self._is_quick else [(self._case, 240), (self._cut_case, 75)]

    def run(self, case, report, progress):
        is_cut = case == self._cut_case
        trial = Trial(self._cache, self._pair, 1 if is_cut else self._sites, self._hosts, progress)
        try:
            trial.start_relays()
            if is_cut:
                self._run_cut(trial, report)
            else:
                self._run_plain(trial, report)
        except BenchError as error:
            raise BenchError(f"{error}\n{trial.places.output_tail()}") from error
        finally:
            trial.close()

    def _run_plain(self, trial, report):
        metrics = trial.run_all(trial.stage, self._case)
        report.emit(self._case, {**metrics, "delta_bytes": trial.delta_bytes, "delta_line_s": trial.line_s()})
        if not self._is_quick:
            trial.prepare_copies()
            report.emit(f"{self._case}/rsync", trial.run_all(trial.copy, f"{self._case}/rsync"), "rsync")
            trial.check_copies()

    def _run_cut(self, trial, report):
        cutter = threading.Thread(target=trial.cut_in_the_middle, args=(0,), daemon=True)
        cutter.start()
        metrics = trial.run_all(trial.stage, self._cut_case)
        cutter.join()
        if report.has(self._case):
            metrics["repeated_bytes"] = metrics["line_bytes"] - report.value(self._case, "line_bytes")
        report.emit(self._cut_case, metrics)

    def judge(self, report):
        if report.has(self._case):
            share = report.value(self._case, "bytes_over_delta")
            report.check(self._case, f"{share:.3f} x the delta crossed each line, target <= {MAX_BYTES_OVER_DELTA}",
                         share <= MAX_BYTES_OVER_DELTA)
            share = report.value(self._case, "time_over_line")
            if not self._is_quick:  # there the way there and back is long against the delta
                report.check(self._case, f"all hosts had it, verified, in {share:.3f} x the delta's time on the line, "
                                         f"target <= {MAX_TIME_OVER_LINE}", share <= MAX_TIME_OVER_LINE)
        repeated = report.value(self._cut_case, "repeated_bytes")
        if repeated is not None:
            report.check(self._cut_case, f"{repeated:,} bytes more for a cut of {CUT_S} s, target <= {CHUNK_BYTES:,}",
                         repeated <= CHUNK_BYTES)

    def print_tables(self, report):
        report.print_table("A release to all hosts behind lines of 1 Mbit/s", self.prefix,
                           {"bytes / delta": "bytes_over_delta", "on the interface": "interface_over_delta",
                            "time / line": "time_over_line", "all hosts s": "all_hosts_s",
                            "first host s": "first_host_s", "repeated bytes": "repeated_bytes"})
