# SPDX-License-Identifier: Apache-2.0
"""The units as systemd's own tools see them. PID 1 need not be systemd for that."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["SEGUE_BUILD_DIR"])
UNIT = ROOT / "packaging/systemd/segue@.service"
FLEET = ("segue-agent.service", "segue-agent-relay.service", "segue-server.service")
MAX_EXPOSURE = 1.5  # of 10; what an unprivileged service with the network can reach is 1.2


@pytest.fixture
def instance(tmp_path):
    """A root with the unit, an instance of it, and what it refers to."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units / "segue@.service")
    for name in FLEET:
        shutil.copy(UNIT.parent / name, units / name)
    for folder in ("usr/lib/systemd/system", "usr/bin", "run/segue"):
        (tmp_path / folder).mkdir(parents=True)
    # What a unit depends on by default.
    for path in pathlib.Path("/lib/systemd/system").glob("*.target"):
        shutil.copy(path, tmp_path / "usr/lib/systemd/system" / path.name)
    for path in pathlib.Path("/lib/systemd/system").glob("*.slice"):
        shutil.copy(path, tmp_path / "usr/lib/systemd/system" / path.name)
    program = tmp_path / "usr/bin/segue"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def analyze(*words):
    return subprocess.run(["systemd-analyze", *map(str, words)], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_systemd_reads_every_line(instance):
    checked = analyze("verify", "--man=no", f"--root={instance}", "segue@chat.service")
    assert (checked.returncode, checked.stdout) == (0, "")


def test_it_is_exposed_no_more_than_it_has_to_be(instance):
    checked = analyze("security", "--offline=true", "--no-pager",
                      f"--threshold={round(MAX_EXPOSURE * 10)}", f"--root={instance}", "segue@chat.service")
    assert checked.returncode == 0, checked.stdout
    exposure = float(re.search(r"exposure level for segue@chat.service: ([\d.]+)", checked.stdout)[1])
    assert 0 < exposure <= MAX_EXPOSURE


@pytest.mark.parametrize("key", ["ExecStart", "ExecReload"])
def test_its_commands_are_those_of_segue(key, tmp_path):
    (tmp_path / "chat.yaml").write_text("name: chat\ncommand: [/bin/true]\n")
    line = re.search(f"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)[1]
    words = line.replace("/etc/segue/%i", f"{tmp_path}/chat").split()
    assert words[0] == "/usr/bin/segue" and "%" not in line.replace("%i", "")
    environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(tmp_path / "r"), SEGUE_STATE_DIR=str(tmp_path / "s"))
    planned = subprocess.run([BUILD / "src/cli/segue", *words[1:], "--dry-run"], env=environment, check=False, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if key == "ExecStart":
        assert planned.returncode == 0 and "/bin/true" in planned.stdout
    else:  # nothing runs yet: refused, and not for its words
        assert planned.returncode == 4 and "chat" in planned.stderr


@pytest.mark.parametrize("line", [
    "Type=notify", "KillMode=process", "OOMPolicy=continue", "Delegate=yes",
    "RuntimeDirectoryPreserve=restart", "WatchdogSec=30s"])
def test_it_says_what_upgrades_rest_on(line):
    assert line in UNIT.read_text().splitlines()


@pytest.mark.parametrize("name", FLEET)
def test_systemd_reads_every_line_of_the_fleets_units(instance, name):
    checked = analyze("verify", "--man=no", f"--root={instance}", name)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_what_runs_outlives_its_agent():
    lines = (UNIT.parent / "segue-agent.service").read_text().splitlines()
    for line in ("KillMode=process", "OOMPolicy=continue", "Delegate=yes", "Restart=always"):
        assert line in lines, line


@pytest.mark.parametrize(("name", "options"), [
    ("segue-agent.service", "--join segue-join-1.x"),
    ("segue-agent-relay.service", "--join segue-join-1.x"),
    ("segue-server.service", "--agents 0.0.0.0:7443 --advertise segue.example")])
def test_the_options_that_a_unit_names_are_those_of_segue(name, options, tmp_path):
    text = (UNIT.parent / name).read_text()
    line = re.search("^ExecStart=(.*)$", text, re.MULTILINE)[1]
    words = re.sub(r"\$SEGUE_[A-Z]+_OPTIONS", options, line).split()
    assert words[0] == "/usr/bin/segue" and options.split()[0] in text
    environment = dict(os.environ, SEGUE_RUNTIME_DIR=str(tmp_path / "r"), SEGUE_STATE_DIR=str(tmp_path / "s"))
    planned = subprocess.run([BUILD / "src/cli/segue", *words[1:], "--dry-run"], env=environment, check=False,
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if name == "segue-server.service":
        assert planned.returncode == 0 and "would be led" in planned.stdout, planned
    else:  # it is no token, and that is all that is wrong
        assert "token" in planned.stderr, planned
