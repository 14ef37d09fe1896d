# SPDX-License-Identifier: Apache-2.0
"""segue plan: made in advance, shown before anything happens, called off."""

import json
import subprocess

import pytest


@pytest.fixture(name="segue")
def _segue(build_dir, tmp_path):
    def run(*words, json_lines=False):
        command = [build_dir / "src/cli/segue", "plan", *words, "--state", tmp_path / "plans"]
        done = subprocess.run([*command, *(["--json"] if json_lines else [])], check=False,
                              capture_output=True, text=True, timeout=60)
        if json_lines:
            return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, done.stdout + done.stderr

    return run


SITES = ("--site", "berlin=Europe/Berlin", "--site", "shanghai=Asia/Shanghai")
CREATE = ("create", "--component", "chat", "--version", "2.1", *SITES)


def test_the_steps_are_shown_in_the_order_of_time_with_each_sites_clock(segue):
    code, objects = segue(*CREATE, "--at", "2030-12-01T02:00 local", "--dry-run", json_lines=True)
    assert code == 0, objects
    steps = [(step["site"], step["at"], step["local"]) for step in objects[0]["steps"]
             if "site" in step]
    assert steps == [("shanghai", "2030-11-30T18:00:00Z", "2030-12-01 02:00 CST (+08:00)"),
                     ("berlin", "2030-12-01T01:00:00Z", "2030-12-01 02:00 CET (+01:00)")]
    assert not objects[0]["created"]
    assert segue("list")[1].strip() == "0 plans"


def test_a_plan_is_made_listed_shown_and_cancelled(segue):
    code, text = segue(*CREATE, "--at", "2030-12-01T02:00 Asia/Shanghai", "--id", "winter")
    assert code == 0 and "plan winter is kept" in text
    assert segue(*CREATE, "--at", "2030-12-02T02:00 UTC", "--id", "winter")[0] == 4
    code, objects = segue("list", json_lines=True)
    assert [plan["id"] for plan in objects[:-1]] == ["winter"]
    assert segue("cancel", "winter", "--reason", "not this year", "--dry-run")[0] == 0
    assert segue("cancel", "winter", "--reason", "not this year")[0] == 0
    assert segue("cancel", "winter")[0] == 4
    code, text = segue("show", "winter")
    assert code == 0 and "not this year" in text


def test_a_time_that_clocks_skip_or_show_twice_is_decided_and_said(segue):
    _, text = segue(*CREATE, "--at", "2030-03-31T02:30 local", "--dry-run")
    assert "clocks in Europe/Berlin skip that time" in text
    assert "2030-03-31 03:00 CEST (+02:00)" in text
    _, text = segue(*CREATE, "--at", "2030-10-27T02:30 local", "--dry-run")
    assert "show that time twice" in text and "2030-10-27 02:30 CEST (+02:00)" in text


def test_what_cannot_be_kept_is_refused_before_anything_is_written(segue):
    window = ("--window", "Mon-Fri 01:00-05:00")
    code, text = segue(*CREATE, "--at", "2030-12-01T12:00 local", *window)
    assert code == 4 and "the next time that can be planned is 2030-12-02 01:00 CET" in text
    freeze = ("--freeze", "2030-12-24T00:00 local..2031-01-02T00:00 local=holidays")
    code, text = segue(*CREATE, "--at", "2030-12-25T02:00 local", *freeze)
    assert code == 4 and "holidays" in text
    for at in ("2020-01-01T00:00 UTC", "yesterday", "02:00 Europe/Atlantis"):
        code, text = segue(*CREATE, "--at", at)
        assert code in (2, 4) and at.split()[-1] in text, text
    assert segue("list")[1].strip() == "0 plans"
    assert segue("show", "winter")[0] == 4
