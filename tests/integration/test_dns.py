# SPDX-License-Identifier: Apache-2.0
"""The DNS example: its socket, the queries waiting in it and its counter survive upgrades."""

import re
import subprocess
import threading

import pytest

from support import Program

NAME = "version.segue.test"


class Dns:
    def __init__(self, build_dir, directory, port):
        self.build_dir, self.directory, self.port = build_dir, directory, port
        self.instances = []

    def start(self, version, *options):
        program = Program(
            [self.build_dir / "examples/dns/segue-dns", "--listen", f"udp:127.0.0.1:{self.port}",
             "--version", version, "--probation-ms", "20", "--record", "A.test=127.0.0.7", *options],
            self.directory / f"{version}.log", {"SEGUE_DIRECTORY": str(self.directory / "segue")})
        program.wait_for_log("event=activated")
        for predecessor in self.instances:
            assert predecessor.wait() == 0
        self.instances.append(program)
        return program

    def dig(self, *question, tries=1):
        done = subprocess.run(
            ["dig", f"-p{self.port}", "@127.0.0.1", "+noedns", "+short", f"+tries={tries}",
             "+time=5", *question], text=True, stdout=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def ask_version(self):
        answer = self.dig(NAME, "TXT")
        return re.fullmatch(r'"version=(\w+) pid=(\d+) queries=(\d+)"', answer).groups()


@pytest.fixture
def dns(build_dir, short_dir, free_port):
    responder = Dns(build_dir, short_dir, free_port)
    yield responder
    for program in responder.instances:
        program.kill()


def test_answers_a_real_client(dns, short_dir):
    records = short_dir / "records"
    records.write_text("# a comment\nb.test A 10.0.0.1\nb.test A 10.0.0.2\nb.test TXT some text\n")
    dns.start("one", "--records", records)
    assert dns.dig("a.test") == "127.0.0.7"
    assert dns.dig("B.TEST.").split() == ["10.0.0.1", "10.0.0.2"]
    assert dns.dig("b.test", "TXT") == '"some text"'
    assert dns.dig("none.test") == ""


def test_the_count_goes_on_and_the_new_process_answers(dns):
    for number, version in enumerate(["one", "two", "three"], start=1):
        program = dns.start(version)
        assert dns.ask_version() == (version, str(program.pid), str(number))


def test_no_query_is_lost_during_upgrades(dns):
    """Each question is asked once: a client that tried again would hide a loss."""
    dns.start("v0")
    answers, failures, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.append(dns.ask_version())
            except Exception as error:  # told to the main thread
                failures.append(repr(error))
                return

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for number in range(1, 4):
            dns.start(f"v{number}")
    finally:
        stop.set()
        thread.join()
    assert not failures
    assert [int(count) for _, _, count in answers] == list(range(1, len(answers) + 1))


@pytest.mark.parametrize("arguments", [["--listen", "tcp:1"], ["--record", "x"], ["--what", "x"]])
def test_bad_arguments_are_refused(build_dir, arguments):
    done = subprocess.run([build_dir / "examples/dns/segue-dns", *arguments], text=True, timeout=60,
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2 and arguments[-1] in done.stderr
