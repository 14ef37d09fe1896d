# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all integration tests. SEGUE_BUILD_DIR names the build; default: build/dev."""

import os
import pathlib
import shutil
import tempfile

import pytest

import support

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_findings(tmp_path_factory, monkeypatch):
    """What a sanitizer finds in any process of a test fails the test, also where the process is started again."""
    path = tmp_path_factory.mktemp("findings")
    options = [os.environ.get("ASAN_OPTIONS"), f"log_path={path}/of", "handle_sigill=1"]  # undefined behaviour traps
    monkeypatch.setenv("ASAN_OPTIONS", ":".join(filter(None, options)))
    yield
    found = [file.read_text(errors="replace") for file in sorted(path.iterdir())]
    assert not found, "a sanitizer found:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def build_dir():
    path = pathlib.Path(os.environ.get("SEGUE_BUILD_DIR", ROOT / "build/dev"))
    assert path.is_dir(), f"{path} is missing: build it, or set SEGUE_BUILD_DIR"
    return path


@pytest.fixture
def short_dir():
    """A directory with a short path: that of a Unix socket may have 108 bytes."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="sg", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def free_port():
    return support.free_port()


@pytest.fixture
def respkv(build_dir, short_dir, free_port):
    service = support.Respkv(build_dir, short_dir, free_port)
    yield service
    service.stop()


@pytest.fixture
def redis_server(short_dir):
    """A real redis-server to compare with; yields its port."""
    port = support.free_port()
    program = support.Program(
        ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", short_dir],
        short_dir / "redis.log")
    program.wait_for_log("Ready to accept connections")
    yield port
    program.kill()
