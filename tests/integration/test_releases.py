# SPDX-License-Identifier: Apache-2.0
"""segue publish, releases, diff, gc, pin, renew; the library behind an ordinary static server."""

import json
import os
import signal
import subprocess
import time

import pytest
from library_tools import (DONE, FAILED, REFUSED, UNKNOWN, USAGE, Publisher, fetch_release, get, nginx, running,
                           write_tree)
from support import free_port, wait_until


@pytest.fixture
def here(build_dir, tmp_path):
    return Publisher(build_dir, tmp_path)


def files_below(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_a_release_is_published_once(here, tmp_path):
    tree = write_tree(tmp_path / "v1", 1)
    first = here.publish(tree, "1.0", "--commit", "0123456789abcdef")
    assert not first["was_there"]
    assert first["release"]["files"] == 23
    before = files_below(here.library)
    assert here.publish(tree, "1.0")["was_there"]
    assert files_below(here.library) == before
    (tree / "data-1").write_text("other")
    refused = here.run("publish", tree, "--library", "library", "--component", "chat", "--version", "1.0",
                       *here.signing())
    assert refused.returncode == REFUSED and "never changes" in refused.stderr
    assert here.releases()["1.0"]["commit"] == "0123456789abcdef"


def test_a_library_needs_a_root_and_says_so(here, tmp_path):
    tree = write_tree(tmp_path / "v1", 1)
    refused = here.run("publish", tree, "--library", "library", "--component", "chat", "--version", "1.0",
                       *here.signing())
    assert refused.returncode == REFUSED and "--root" in refused.stderr
    assert not here.library.exists()
    wrong = here.run("publish", tree, "--library", "library", "--component", "timestamp", "--version", "1.0",
                     "--root", "1.root.json", *here.signing())
    assert wrong.returncode == USAGE


def test_a_dry_run_reads_and_checks_and_writes_nothing(here, tmp_path):
    tree = write_tree(tmp_path / "v1", 1)
    said = here.publish(tree, "1.0", "--dry-run")
    assert "would be published" in said["text"] and not here.library.exists()
    keyless = here.run("publish", tree, "--library", "library", "--component", "chat", "--version", "1.0",
                       "--root", "1.root.json", "--dry-run", *here.signing(("targets", "timestamp")))
    assert keyless.returncode == REFUSED and "snapshot" in keyless.stderr
    root = here.publish(tree, "1.0")["release"]["root"]
    assert said["root"] == root


def test_what_travels_is_told_per_file(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    second = here.publish(write_tree(tmp_path / "v2", 2), "2.0")
    assert [delta["from"] for delta in second["release"]["deltas"]] == ["1.0"]
    diff = here.ask("diff", "chat", "1.0", "2.0", "--library", "library")
    assert diff["delta_bytes"] == second["release"]["deltas"][0]["bytes"]
    kinds = {file["path"]: file["kind"] for file in diff["files"]}
    assert kinds["bin/chat"] == "patched" and kinds["notes-1"] == "removed"
    assert diff["same_files"] == 22
    assert "bin/chat" in here.done("diff", "chat", "1.0", "2.0", "--library", "library")
    missing = here.run("diff", "chat", "1.0", "3.0", "--library", "library")
    assert missing.returncode == REFUSED and "2.0" in missing.stderr


def test_an_ordinary_static_server_serves_it(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    here.publish(write_tree(tmp_path / "v2", 2), "2.0")
    with nginx(tmp_path / "nginx", here.library) as url:
        assert len(fetch_release(url, "chat", "2.0")) == 2
        (tmp_path / "host").mkdir()
        here.done("tuf-client", "--metadata-dir", "host", "init", "1.root.json")
        said = here.done("tuf-client", "--metadata-dir", "host", "--metadata-url", f"{url}/metadata",
                         "refresh")
        assert "snapshot 3" in said  # the release, then its delta


def test_the_server_gives_what_an_ordinary_one_gives(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    here.publish(write_tree(tmp_path / "v2", 2), "2.0")
    port = free_port()
    command = [here.program, "server", "--library", here.library, "--listen", f"127.0.0.1:{port}"]
    with running(command, port) as server, nginx(tmp_path / "nginx", here.library) as ordinary:
        url = f"http://127.0.0.1:{port}"
        assert fetch_release(url, "chat", "2.0") == fetch_release(ordinary, "chat", "2.0")
        for name in files_below(here.library / "objects"):
            assert get(f"{url}/objects/{name}") == get(f"{ordinary}/objects/{name}")
        (tmp_path / "host").mkdir()
        here.done("tuf-client", "--metadata-dir", "host", "init", "1.root.json")
        here.done("tuf-client", "--metadata-dir", "host", "--metadata-url", f"{url}/metadata", "refresh")
        # A release that comes meanwhile is there.
        here.publish(write_tree(tmp_path / "v3", 3), "3.0")
        assert len(fetch_release(url, "chat", "3.0")) == 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == DONE
    taken = here.run("server", "--library", here.library, "--listen", "nowhere")
    assert taken.returncode == USAGE
    rehearsed = here.run("server", "--library", here.library, "--listen", "127.0.0.1:0", "--dry-run")
    assert rehearsed.returncode == DONE


def test_deltas_may_be_made_in_the_background(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    said = here.publish(write_tree(tmp_path / "v2", 2), "2.0", "--background-deltas")
    assert said["release"]["pending"] == ["1.0"] and "1 delta to come" in said["text"]
    wait_until(lambda: not here.releases()["2.0"]["pending"], "the delta", 60)
    assert [delta["from"] for delta in here.releases()["2.0"]["deltas"]] == ["1.0"]
    assert here.ask("deltas", "--library", "library", *here.signing())["made"] == 0


def test_what_a_killed_publisher_left_of_the_deltas_is_made_later(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    tree = write_tree(tmp_path / "v2", 2)
    with subprocess.Popen([here.program, "publish", tree, "--library", "library", "--component", "chat",
                           "--version", "2.0", *here.signing()], cwd=here.path, stdout=subprocess.DEVNULL) as killed:
        wait_until(lambda: "2.0" in here.releases(), "the release", 60)
        killed.kill()
    # It may have been done by then, or not.
    missing = here.ask("deltas", "--library", "library", "--dry-run")["made"]
    assert missing == len(here.releases()["2.0"]["pending"])
    keyless = here.run("deltas", "--library", "library", "--sign-with=timestamp=timestamp")
    assert keyless.returncode == (FAILED if missing else DONE), keyless
    here.done("renew", "--library", "library", *here.signing())
    assert [delta["from"] for delta in here.releases()["2.0"]["deltas"]] == ["1.0"]


def test_what_is_pinned_outlives_the_policy(here, tmp_path):
    for number in (1, 2, 3):
        here.publish(write_tree(tmp_path / f"v{number}", number), f"{number}.0")
    here.done("pin", "plan-1", "chat/1.0", "--library", "library")
    assert here.releases()["1.0"]["pins"] == ["plan-1"]
    collect = ["gc", "--library", "library", "--keep", "1", "--grace-hours", "0", *here.signing()]
    before = files_below(here.library)
    rehearsed = here.ask(*collect, "--dry-run")
    assert [release["version"] for release in rehearsed["retired"]] == ["2.0"]
    assert files_below(here.library) == before
    collected = here.ask(*collect)
    assert collected["pinned"] == 1 and collected["removed_objects"] > 0
    assert sorted(here.releases()) == ["1.0", "3.0"]
    here.done("pin", "plan-1", "--remove", "--library", "library")
    here.done(*collect)
    assert sorted(here.releases()) == ["3.0"]
    unknown = here.run("pin", "plan-2", "chat/1.0", "--library", "library")
    assert unknown.returncode == REFUSED
    assert here.run("pin", "plan-2", "--library", "library").returncode == USAGE


def test_the_timestamp_is_renewed_with_its_key_alone(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    timestamp = here.library / "metadata/timestamp.json"
    before = json.loads(timestamp.read_text())["signed"]["version"]
    here.done("renew", "--library", "library", "--sign-with", "timestamp=timestamp", "--dry-run")
    assert json.loads(timestamp.read_text())["signed"]["version"] == before
    here.done("renew", "--library", "library", "--sign-with", "timestamp=timestamp")
    assert json.loads(timestamp.read_text())["signed"]["version"] == before + 1
    keyless = here.run("renew", "--library", "library")
    assert keyless.returncode == REFUSED and "timestamp" in keyless.stderr


def test_a_publisher_that_waits_says_for_whom(here, tmp_path):
    here.publish(write_tree(tmp_path / "v1", 1), "1.0")
    # Holds the lock for as long as it lives.
    with subprocess.Popen(["flock", here.library / "lock", "sleep", "600"], process_group=0) as holder:
        try:
            deadline = time.monotonic() + 30
            while subprocess.run(["flock", "-n", here.library / "lock", "true"], check=False).returncode == 0:
                assert time.monotonic() < deadline
            late = here.run("gc", "--library", "library", "--wait-s", "0")
            assert late.returncode == UNKNOWN and "is locked by" in late.stderr
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    assert here.run("gc", "--library", "library").returncode == DONE
