# SPDX-License-Identifier: Apache-2.0
"""segue check and segue import: files of services, without any server."""

import json
import subprocess

import pytest

DONE, USAGE, REFUSED = 0, 2, 4

SERVICE = """service: chat
components:
  hub:
    release: {library: /srv/library, version: 1.4.2}
    command: [bin/hub]
    rollout: {bake: 2m}
"""
COMPOSE = """services:
  cache:
    image: redis:7
    restart: always
    volumes: ["data:/data", "./conf:/conf:ro"]
volumes:
  data:
"""


@pytest.fixture
def segue(build_dir, tmp_path):
    def run(*words, exits=DONE):
        done = subprocess.run([str(build_dir / "src/cli/segue"), *words], cwd=tmp_path, text=True,
                              timeout=60, capture_output=True, check=False)
        assert done.returncode == exits, done
        return done
    return run


def test_check_prints_what_would_be_deployed(segue, tmp_path):
    (tmp_path / "segue.yaml").write_text(SERVICE)
    whole = segue("check").stdout
    assert "      bake: 2m\n" in whole
    assert "      max_unavailable: 10%\n" in whole
    (tmp_path / "whole.yaml").write_text(whole)
    assert segue("check", "whole.yaml").stdout == whole

    said = json.loads(segue("check", "--json").stdout)
    assert (said["exit"], said["kind"], said["service"]) == (0, "service", "chat")
    [hub] = said["components"]
    assert hub["component"]["command"] == ["bin/hub"]
    assert hub["rollout"]["kind"] == "rolling"


def test_check_says_everything_that_is_wrong(segue, tmp_path):
    (tmp_path / "segue.yaml").write_text(SERVICE.replace("command", "comand") + "  b: {driver: x}\n")
    wrong = segue("check", exits=USAGE).stderr
    assert "segue.yaml:5: components.hub.comand: there is no such key; did you mean 'command'?" \
        in wrong
    assert "segue.yaml:7: components.b.driver: 'x' is none of process, container" in wrong
    said = json.loads(segue("check", "--json", exits=USAGE).stdout)
    assert said["exit"] == USAGE
    assert len(said["problems"]) == len(wrong.splitlines()) - 1
    segue("check", "nowhere.yaml", exits=REFUSED)


def test_check_knows_the_file_of_one_component(segue, tmp_path):
    (tmp_path / "web.yaml").write_text("name: web\ncommand: [nginx]\n")
    assert "'web'" in segue("check", "web.yaml").stdout
    (tmp_path / "web.yaml").write_text("name: web\ncomand: [nginx]\n")
    assert "web.yaml:2: there is no key 'comand'" in segue("check", "web.yaml", exits=USAGE).stderr


def test_import_writes_what_check_accepts(segue, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    words = ("import", "compose.yaml", "--name", "cache", "--volumes", "/srv/volumes")
    shown = segue(*words).stdout
    assert f"{tmp_path}/conf:/conf:ro" in shown
    assert "# /srv/volumes/data has to be there" in shown
    assert segue(*words, "--output", "segue.yaml", "--dry-run").stdout == shown
    assert not (tmp_path / "segue.yaml").exists()

    segue(*words, "--output", "segue.yaml")
    assert (tmp_path / "segue.yaml").read_text() == shown
    assert "image: redis:7" in segue("check", "segue.yaml").stdout
    segue(*words, "--output", "segue.yaml", exits=REFUSED)  # not over what is there
    said = json.loads(segue(*words, "--output", "other.yaml", "--json").stdout)
    assert said["written"] and said["file"] == shown


def test_import_writes_nothing_where_anything_is_refused(segue, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE.replace("restart: always", "privileged: true"))
    wrong = segue("import", "compose.yaml", "--output", "segue.yaml", exits=USAGE).stderr
    assert "compose.yaml:4: services.cache.privileged: not taken over" in wrong
    assert "compose.yaml:5: services.cache.volumes[0]: the volume 'data' is the engine's" in wrong
    assert not (tmp_path / "segue.yaml").exists()
