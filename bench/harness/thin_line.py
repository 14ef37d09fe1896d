# SPDX-License-Identifier: Apache-2.0
"""Thin lines between network namespaces. A line is two TUN devices, as of a VPN. The kernel shapes what
goes into each (tbf); a process here carries the packets over, holds each for the line's delay, and counts
what arrives. A line that is cut loses everything, and nobody is told."""

import collections
import ctypes
import fcntl
import multiprocessing
import os
import select
import signal
import struct
import time

from harness.process import BenchError

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
MTU = 1500
IPPROTO_TCP = 6
COUNTERS = ("packets", "line_bytes", "payload_bytes")  # of a line, both ways together
LIBC = ctypes.CDLL(None, use_errno=True)


def enter_namespace(path):
    """This thread, from now on."""
    with open(path, "rb") as namespace:
        if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise BenchError(f"cannot enter {path}: {os.strerror(number)}")


class Within:
    """This thread, for a while."""

    def __init__(self, name):
        self._name = name
        self._own = None

    def __enter__(self):
        self._own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        enter_namespace(f"/run/netns/{self._name}")

    def __exit__(self, *_):
        if LIBC.setns(self._own, CLONE_NEWNET) != 0:
            os.abort()  # what follows would happen in a wrong network
        os.close(self._own)


def open_device(namespace, device):
    """A TUN device there; it is gone when the descriptor is closed."""
    with Within(namespace):
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            request = struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(descriptor, TUNSETIFF, request)
        except OSError as error:
            raise BenchError(f"cannot make a TUN device: {error}; /dev/net/tun and root are needed") from error
    return descriptor


def payload_of(packet):
    """What TCP carries in it: HTTP with its headers, or rsync's protocol."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != IPPROTO_TCP:
        return 0
    header = (packet[0] & 15) * 4
    return len(packet) - header - (packet[header + 12] >> 4) * 4


class ThinLines:
    """Carries packets between pairs of descriptors, in a process of its own."""

    def __init__(self, pairs, delay_s):
        context = multiprocessing.get_context("fork")
        self._counters = context.Array("Q", len(pairs) * len(COUNTERS), lock=False)
        self._cut = context.Array("B", len(pairs), lock=False)
        self._pairs, self._delay_s = pairs, delay_s
        self._process = context.Process(target=self._carry, daemon=True)
        self._process.start()

    def counted(self, line):
        """{name: count} of what has arrived on this line so far."""
        first = line * len(COUNTERS)
        return dict(zip(COUNTERS, self._counters[first:first + len(COUNTERS)]))

    def cut(self, line, is_cut):
        self._cut[line] = is_cut

    def close(self):
        self._process.kill()
        self._process.join()
        for pair in self._pairs:
            for descriptor in pair:
                os.close(descriptor)

    def _carry(self):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:  # the line is not slower for a busy host
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except OSError:
            pass
        other = {}
        for line, (left, right) in enumerate(self._pairs):
            other[left], other[right] = (line, right), (line, left)
        poll = select.epoll()
        for descriptor in other:
            poll.register(descriptor, select.EPOLLIN)
        travelling = collections.deque()  # the delay is the same for all: first in, first out
        while True:
            timeout_s = max(travelling[0][0] - time.monotonic(), 0) if travelling else None
            for descriptor, _ in poll.poll(timeout_s):
                packet = os.read(descriptor, 2 * MTU)
                travelling.append((time.monotonic() + self._delay_s, *other[descriptor], packet))
            while travelling and travelling[0][0] <= time.monotonic():
                _, line, out, packet = travelling.popleft()
                if not self._cut[line]:
                    self._deliver(line, out, packet)

    def _deliver(self, line, out, packet):
        try:
            os.write(out, packet)
        except OSError:
            return  # the device is down: it is lost
        first = line * len(COUNTERS)
        self._counters[first] += 1
        self._counters[first + 1] += len(packet)
        self._counters[first + 2] += payload_of(packet)
