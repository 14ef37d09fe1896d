# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completions: what the build has written from the command line, in real readers and shells."""

import os
import pathlib
import pty
import re
import select
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ["SEGUE_BUILD_DIR"])
SEGUE = BUILD / "src/cli/segue"
TEXTS = BUILD / "packaging/texts"
PAGES = sorted((TEXTS / "man1").iterdir())
DEADLINE_S = 20


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def help_names():
    """The commands and their options, as --help shows them."""
    commands = re.findall(r"^  ([a-z][a-z-]*)", run(SEGUE, "--help").stdout.split("Subcommands:")[1],
                          re.MULTILINE)
    options = {command: set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", run(SEGUE, command, "--help").stdout,
                                       re.MULTILINE))
               for command in commands}
    return {command: names for command, names in options.items() if "--json" in names}


def test_there_is_a_page_for_the_program_and_for_every_command_with_all_its_options():
    commands = help_names()
    assert {"run", "upgrade", "adopt", "completion"} <= set(commands)
    assert (TEXTS / "man1/segue.1").exists()
    for command, options in commands.items():
        page = (TEXTS / f"man1/segue-{command}.1").read_text().replace("\\-", "-")
        assert {name for name in options if f"\\fB{name}\\fR" not in page} == set(), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_renders_without_a_warning(page):
    environment = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFSEQ="")
    shown = run("man", "--warnings", "--local-file", page, env=environment)
    assert shown.stderr == ""
    assert "NAME" in shown.stdout and "EXIT STATUS" in shown.stdout
    summary = run("lexgrog", page).stdout
    assert summary.strip().endswith('"') and page.stem in summary


# ---- Shells

class Terminal:
    """A real bash at a terminal, with the completion loaded."""

    def __init__(self, directory):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environment = {"PATH": f"{SEGUE.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "> ",
                           "HOME": str(directory), "SEGUE_RUNTIME_DIR": str(directory / "r")}
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        self.wait_for("> ")
        self.type(f"bind 'set enable-bracketed-paste off'; source {TEXTS}/segue; echo loa''ded\n")
        self.wait_for("loaded")

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, text):
        seen, deadline = "", time.monotonic() + DEADLINE_S
        while text not in seen:
            assert time.monotonic() < deadline, f"no {text!r} in {seen!r}"
            if select.select([self.fd], [], [], 1)[0]:
                seen += os.read(self.fd, 4096).decode()
        return seen

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(tmp_path):
    (tmp_path / "r/chat").mkdir(parents=True)
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.mark.parametrize("typed, completed", [
    ("segue upg", "segue upgrade "),
    ("segue upgrade --budget-u", "--budget-us "),
    ("segue undo ch", "segue undo chat "),
    ("segue completion fi", "segue completion fish "),
    ("segue run chat -- /bin/ech", "/bin/echo "),
    ("segue run --cwd /us", "/usr/"),
])
def test_bash_completes(terminal, typed, completed):
    terminal.type(typed + "\t")
    terminal.wait_for(completed)


def test_the_other_shells_read_their_scripts(tmp_path):
    run("zsh", "-n", TEXTS / "_segue")
    run("fish", "--no-execute", TEXTS / "segue.fish")
    environment = dict(os.environ, HOME=str(tmp_path), PATH=f"{SEGUE.parent}:{os.environ['PATH']}")
    script = f"source {TEXTS}/segue.fish; complete -C 'segue upg'"
    assert "upgrade" in run("fish", "--no-config", "-c", script, env=environment).stdout
