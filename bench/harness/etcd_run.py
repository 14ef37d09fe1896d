# SPDX-License-Identifier: Apache-2.0
"""`agents/etcd-N`: commands to agents while the leading member of the store is killed."""

import http.client
import time

from harness import canary_places  # pylint: disable=unused-import  # says where the tests' tools are
from harness.agents_run import COMMAND_TIMEOUT_S, JOIN_TIMEOUT_S, Agents, Server
from harness.process import BenchError, Workplace, wait_until

# pylint: disable=wrong-import-order
from etcd_tools import Etcd, is_installed

AGENTS, COMMANDS, KILLED_AT = 1_000, 40, 20
MAX_LOST = 0
LOOK_S = 0.05


class AgentsOnEtcd:
    prefix = "agents/"

    def __init__(self, arguments):
        self._case = f"{self.prefix}etcd-{AGENTS}"
        self._is_wanted = not arguments.quick

    def steps(self):
        return [(self._case, 60)] if self._is_wanted else []

    def run(self, case, report, _progress):
        if not is_installed():
            raise BenchError("etcd is not installed")
        workplace = Workplace("agents-etcd")
        etcd = Etcd(workplace.directory / "etcd", options=())
        try:
            etcd.leader()
            server = Server(workplace, "--store", etcd.store)
            agents = Agents(server, AGENTS, 0, None, "--come-back")
            try:
                agents.hear("attached", JOIN_TIMEOUT_S)
                self._command(server, agents, etcd, report)
            finally:
                agents.close()
        finally:
            etcd.finish()
            workplace.close()

    def _command(self, server, agents, etcd, report):
        lost, repeated, each_ms = 0, 0, []
        for i in range(COMMANDS):
            wanted = i % 2 == 0
            if i == KILLED_AT:
                etcd.kill(etcd.leader())
            begun_ns = time.monotonic_ns()
            repeated += self._say(server, wanted)
            try:
                told = agents.hear("told", COMMAND_TIMEOUT_S, begun_ns, stopped=wanted)
                each_ms.append((told["last_ns"] - begun_ns) / 1e6)
            except BenchError:
                lost += 1
            if i == KILLED_AT and each_ms:
                report.emit(self._case, {"command_ms_at_death": each_ms[-1]})
        each_ms.sort()
        report.emit(self._case, {"lost_commands": lost, "repeated_commands": repeated})
        if each_ms:
            report.emit(self._case, {"command_ms_last_host_p50": each_ms[len(each_ms) // 2],
                                     "command_ms_last_host_p99": each_ms[-1]})

    @staticmethod
    def _say(server, wanted):
        """Until it is acknowledged, as a person would; how often it had to be said again."""
        def answer(method, path, body=None):
            try:
                return server.ask(method, path, body)
            except (OSError, http.client.HTTPException):
                return None
        if answer("POST", "/v1/stop", {"on": wanted}) is not None:
            return 0
        status = wait_until(lambda: answer("GET", "/v1/status") or time.sleep(LOOK_S),
                            COMMAND_TIMEOUT_S, "the server after the death of etcd's leader")
        if status["stopped"] == wanted:
            return 0
        wait_until(lambda: answer("POST", "/v1/stop", {"on": wanted}) or time.sleep(LOOK_S),
                   COMMAND_TIMEOUT_S, "an acknowledgement")
        return 1

    def judge(self, report):
        lost = report.value(self._case, "lost_commands")
        if lost is not None:
            report.check(self._case, f"{lost} of {COMMANDS} acknowledged commands lost, target {MAX_LOST}",
                         lost <= MAX_LOST)

    def print_tables(self, _report):
        """The targets say it all."""
