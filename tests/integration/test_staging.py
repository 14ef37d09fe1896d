# SPDX-License-Identifier: Apache-2.0
"""segue stage, go-live and verify: real servers, and a fault at every change they make to the disk."""

import errno
import itertools
import json
import os
import pathlib
import random
import subprocess
import threading
import time

import pytest

from staging_tools import (DONE, FAILED, REFUSED, UNKNOWN, USAGE, Faults, Place, Releases, describe,
                           serving)

# Of one kind in one test, spread over all calls; where they begin is drawn, so that in time each has
# its turn. SEGUE_SEED repeats a run's, SEGUE_STAGING_FAULTS=1000 has all.
MAX_FAULTS = int(os.environ.get("SEGUE_STAGING_FAULTS", "10"))
SEED = int(os.environ.get("SEGUE_SEED", random.SystemRandom().randrange(1 << 30)))
SERVER_WAIT_S = 10


@pytest.fixture(scope="module", name="releases")
def fixture_releases(build_dir, tmp_path_factory):
    return Releases(build_dir / "src/cli/segue", tmp_path_factory.mktemp("releases"), ["1.0", "1.1"])


@pytest.fixture(name="faults")
def fixture_faults(build_dir, tmp_path):
    return Faults(build_dir, tmp_path)


@pytest.fixture(name="new_place")
def fixture_new_place(releases, tmp_path):
    numbers = itertools.count()
    return lambda url=None: Place(releases, tmp_path / f"place{next(numbers)}", url)


def spread(calls):
    print(f"SEGUE_SEED={SEED}")
    step = max(1, calls // MAX_FAULTS)
    return range(1 + random.Random(SEED).randrange(step), calls + 1, step)


KINDS = ["before", "after", errno.ENOSPC, errno.EIO]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [False, True], ids=["delta", "chunks"])
def test_stage_that_breaks_leaves_the_live_tree_and_goes_on(new_place, faults, kind, damage):
    def begin():
        place = new_place()
        place.begin_with("1.0")
        if damage:
            (place.live / "VERSION").write_text("edited")
        return place, describe(place.live)

    place, before = begin()
    run = place.stage("1.1", env=faults.environment())
    assert run.returncode == DONE, run
    broken = 0
    for at in spread(faults.calls()):
        place, before = begin()
        run = place.stage("1.1", env=faults.environment(at, kind))
        broken += run.returncode != DONE
        assert describe(place.live) == before, (at, run)
        again = place.stage("1.1")
        assert again.returncode == DONE, (at, run, again)
        assert place.go_live("1.1").returncode == DONE, at
        assert place.is_live("1.1"), at
        left = {path.name for path in (place.path / ".segue/trees").iterdir()}
        assert not [name for name in left if name.startswith(("new-", "old-"))], (at, left)
    assert broken > 0


@pytest.mark.parametrize("kind", KINDS)
def test_switch_is_done_or_not_done_at_every_call(new_place, faults, kind):
    place = new_place()
    place.make_live("1.0")
    place.staged("1.1")
    run = place.go_live("1.1", env=faults.environment())
    assert run.returncode == DONE, run
    calls = faults.calls()
    assert place.go_live("--undo").returncode == DONE
    for at in range(1, calls + 1):
        assert place.is_live("1.0"), at
        run = place.go_live("1.1", env=faults.environment(at, kind))
        now = [version for version in ("1.0", "1.1") if place.is_live(version)]
        assert len(now) == 1, (at, run)
        if run.returncode == DONE:
            assert now == ["1.1"], (at, run)
        elif run.returncode >= 0 and run.returncode != UNKNOWN:
            assert now == ["1.0"], (at, run)
        place.expect_whole()
        if now == ["1.0"]:
            assert place.go_live("1.1").returncode == DONE, at
        undone = place.go_live("--undo")
        assert undone.returncode == DONE, (at, undone)


def test_next_release_comes_as_a_delta_over_http(releases, new_place):
    with serving(releases.library) as url:
        place = new_place(url)
        place.make_live("1.0")
        report = place.staged("1.1")
    assert report["way"] == "delta" and report["from"] == "chat 1.0"
    assert report["fetched_bytes"] < 3_000
    assert place.go_live().returncode == DONE
    assert place.is_live("1.1")


def test_connection_that_breaks_in_the_middle_goes_on_at_its_last_byte(releases, new_place):
    sent = []

    def cut(handler):
        """Every connection ends after 10,000 bytes of an object; ranges are answered."""
        path = pathlib.Path(releases.library, handler.path.lstrip("/"))
        if "objects" not in handler.path:
            return False
        content = path.read_bytes()
        begin = int(handler.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - begin))
        handler.end_headers()
        part = content[begin:begin + 10_000]
        handler.wfile.write(part)
        sent.append(len(part))
        handler.close_connection = True
        return True

    with serving(releases.library, cut) as url:
        place = new_place(url)
        report = place.staged("1.0")
    assert sum(sent) == report["fetched_bytes"]
    assert len(sent) > 5


def test_staging_speaks_with_a_library_only_once_it_is_confined(releases, new_place):
    asked, seen = threading.Event(), threading.Event()

    def wait(_handler):
        asked.set()
        seen.wait(60)
        return False

    with serving(releases.library, wait) as url:
        place = new_place(url)
        words = [releases.program, "stage", "chat", "1.0", "--library", url, "--place", place.path,
                 "--root", releases.root]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as staging:
            try:
                assert asked.wait(60), "nothing was asked of the library"
                lines = pathlib.Path(f"/proc/{staging.pid}/status").read_text().splitlines()
            finally:
                seen.set()
            said, _ = staging.communicate(timeout=120)
    assert staging.returncode == DONE, said
    status = dict(line.split(":\t", 1) for line in lines)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status


def test_endless_and_lying_servers_are_refused(releases, new_place):
    def endless(handler):
        if "objects" not in handler.path:
            return False
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            return True

    with serving(releases.library, endless) as url:
        place = new_place(url)
        run = place.stage("1.0")
    assert run.returncode == FAILED and "bytes allowed" in run.stdout, run
    assert sum(path.stat().st_size for path in (place.path / ".segue/downloads").iterdir()) < 2**20

    def other(handler):
        if "objects" not in handler.path:
            return False
        size = pathlib.Path(releases.library, handler.path.lstrip("/")).stat().st_size
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        handler.wfile.write(b"x" * size)
        return True

    with serving(releases.library, other) as url:
        place = new_place(url)
        run = place.stage("1.0")
    assert run.returncode == FAILED and "not it" in run.stdout, run
    assert not list((place.path / ".segue/downloads").iterdir())


def test_behind_nginx(releases, new_place, tmp_path):
    socket_free_port = subprocess.run(
        ["python3", "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); "
         "print(s.getsockname()[1])"], capture_output=True, text=True, check=True)
    port = int(socket_free_port.stdout)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"""
        daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;
        events {{}}
        http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;
          fastcgi_temp_path {tmp_path}/fcgi; uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi;
          server {{ listen 127.0.0.1:{port}; root {releases.library}; }} }}""")
    for path in (releases.library, *releases.library.parents):
        if path != pathlib.Path("/") and os.access(path, os.W_OK) and path.owner() == "root":
            path.chmod(path.stat().st_mode | 0o055)
    with subprocess.Popen(["/usr/sbin/nginx", "-c", str(configuration), "-e", f"{tmp_path}/error.log",
                           "-g", "user root;"]) as server:
        try:
            place = new_place(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + SERVER_WAIT_S
            while place.stage("1.0").returncode != DONE:
                assert server.poll() is None and time.monotonic() < deadline, (
                    tmp_path / "error.log").read_text()
            assert place.go_live("1.0").returncode == DONE
            assert place.staged("1.1")["way"] == "delta"
        finally:
            server.terminate()


def test_full_disk_leaves_everything_as_it_was(releases, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this process may not mount")
    try:
        place = Place(releases, disk / "place")
        place.begin_with("1.0")
        filler = disk / "filler"
        filler.write_bytes(b"x" * 130_000)
        run = place.stage("1.1", "--share", "copy")
        assert run.returncode == FAILED and "No space left" in run.stdout, run
        assert place.is_live("1.0")
        filler.unlink()
        place.staged("1.1")
        assert place.go_live("1.1").returncode == DONE
        assert place.is_live("1.1")
        place.expect_whole()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_hand_edited_tree_is_listed_by_verify(new_place):
    place = new_place()
    place.make_live("1.0")
    (place.live / "VERSION").write_text("mine")
    (place.live / "extra").write_text("x")
    run = place.run("verify", place.path)
    assert run.returncode == FAILED
    kinds = {each["path"]: each["kind"] for each in json.loads(run.stdout.splitlines()[0])["differences"]}
    assert kinds == {"VERSION": "content", "extra": "unexpected"}


def test_exit_codes_and_what_is_said(new_place):
    place = new_place()
    assert place.go_live("9.9").returncode == REFUSED
    assert place.go_live("--undo").returncode == REFUSED
    assert place.go_live("--undo", "1.0").returncode == USAGE
    run = place.run("stage", "chat", "1.0", "--library", place.url, "--place", place.path)
    assert run.returncode == REFUSED and "--root" in run.stdout
    assert place.stage("7.7").returncode == REFUSED
    dry = place.stage("1.0", "--dry-run")
    assert dry.returncode == DONE and "would come" in dry.stdout
    assert not place.live.exists()
    place.make_live("1.0")
    assert "live already" in place.go_live("1.0").stdout
    assert place.run("go-live", place.path / "nothing").returncode == REFUSED
