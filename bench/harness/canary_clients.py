# SPDX-License-Identifier: Apache-2.0
"""Clients of several hosts: connections that say nothing for long, and others that always have a request on its way."""

import contextlib
import select
import socket
import threading
import time

from harness.load import Load
from harness.process import BenchError, sleep_until

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 20, 20
TICK_S = 0.2
PING, PONG = b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"


def _longest(results, interval, quantile):
    return max(result["intervals"][interval][quantile] for result in results)


class Idle(threading.Thread):
    """Connections that wait; how many the other side ended, and at the end how many do not answer."""

    def __init__(self):
        super().__init__(daemon=True)
        self.lost = self.silent = self.count = 0
        self._links, self._poll = {}, select.epoll()
        self._stopping = threading.Event()
        self.start()

    def open(self, addresses, count):
        """`count` more, taking turns."""
        for number in range(count):
            link = socket.create_connection(addresses[number % len(addresses)], CONNECT_TIMEOUT_S)
            self._ask(link)  # it is accepted, and not only in a queue
            self.count += 1
            self._links[link.fileno()] = link
            self._poll.register(link, select.EPOLLIN | select.EPOLLRDHUP)

    @staticmethod
    def _ask(link):
        link.settimeout(ANSWER_TIMEOUT_S)
        link.sendall(PING)
        if link.recv(64) != PONG:
            raise OSError("a wrong answer to PING")

    def run(self):
        while not self._stopping.is_set():
            for descriptor, _ in self._poll.poll(TICK_S):
                self.lost += 1
                self._poll.unregister(descriptor)
                self._links.pop(descriptor).close()

    def finish(self):
        self._stopping.set()
        self.join()
        for link in self._links.values():
            try:
                self._ask(link)
            except OSError:
                self.silent += 1
            link.close()
        self._links.clear()
        self._poll.close()


class Clients:
    """Use it in a `with`. `addresses` are (host, port) each."""

    def __init__(self, plan, addresses):
        self._plan, self._addresses = plan, addresses
        self._open = contextlib.ExitStack()
        self._idle, self._loads = Idle(), []
        self.began = None

    def __enter__(self):
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self):
        early = self._plan.idle - self._plan.idle_late
        self._idle.open(self._addresses, early)
        hosts = len(self._addresses)
        for number, (host, port) in enumerate(self._addresses):
            load = Load(port, host=host, period_ms=self._plan.period_ms,
                        connections=self._plan.active // hosts + (number < self._plan.active % hosts),
                        new_per_second=self._plan.new_per_second)
            self._loads.append(self._open.enter_context(load))
        for load in self._loads:
            load.wait_running()
            load.mark("before")
        sleep_until(time.monotonic() + self._plan.before_s)
        for load in self._loads:
            load.mark("rollouts")
        self.began = time.monotonic()

    def __exit__(self, *_):
        self._open.close()
        self._idle.finish()

    def come_late(self):
        """Those who come when the canary has half of the new ones."""
        self._idle.open(self._addresses, self._plan.idle_late)

    def figures(self):
        """Of all, once what is measured is over."""
        seconds = time.monotonic() - self.began
        for load in self._loads:
            load.stop()
        results = [load.result() for load in self._loads]
        self._idle.finish()
        total = {name: sum(result[name] for result in results)
                 for name in ("lost", "cut", "new_failed", "wrong", "unanswered", "reconnect_failed", "answers")}
        if not total["answers"]:
            raise BenchError("no request was answered")
        connections = self._plan.idle + self._plan.active
        lost = total["lost"] + self._idle.lost + self._idle.silent
        return {"lost": lost, "lost_share": lost / connections,
                "errors": total["cut"] + total["new_failed"] + total["wrong"] + total["unanswered"],
                "answers": total["answers"], "reconnect_failed": total["reconnect_failed"],
                "answer_ms_p999_before": _longest(results, "before", "p999"),
                "answer_ms_p999": _longest(results, "rollouts", "p999"),
                "answer_ms_max": _longest(results, "rollouts", "max"),
                "rollouts_s": seconds}
