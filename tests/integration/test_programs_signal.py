# SPDX-License-Identifier: Apache-2.0
"""Programs that replace their own binary, and programs that only say when they are ready."""

import shutil
import subprocess

import pytest

from keeper_tools import DONE, UNDONE, Segue, is_alive, program_of
from program_tools import HAPROXY_CONFIG, Clients, Program, nginx_command, nginx_program
from support import RespClient, wait_until


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def nginx(segue, short_dir, free_port):
    return nginx_program(segue, short_dir, free_port)


def test_nginx_replaces_its_binary_and_goes_back(nginx, short_dir, free_port):
    answer = nginx.run(listen=False)
    assert answer.exit == DONE, answer
    clients = Clients(free_port)
    clients.wait_for("version 1")
    first = nginx.status()
    assert program_of(first["pid"]) == str(short_dir / "1/nginx")

    nginx.command = nginx_command(short_dir, 2)
    answer = nginx.upgrade("2", "--probation-s", "0.5")
    assert answer.exit == DONE, answer
    second = nginx.status()
    assert program_of(second["pid"]) == str(short_dir / "2/nginx") and second["pid"] != first["pid"]
    wait_until(lambda: not is_alive(first["pid"]), "the old main process ends")

    answer = nginx.undo("--probation-s", "0.5")
    assert answer.exit == DONE, answer
    assert program_of(nginx.status()["pid"]) == str(short_dir / "1/nginx")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused
    assert not clients.failed, clients.failed[:3]


def test_nginx_is_taken_back_by_a_bad_health_check(nginx, short_dir, free_port):
    nginx.run(listen=False)
    clients = Clients(free_port)
    first = nginx.status()
    nginx.command = nginx_command(short_dir, 2)
    answer = nginx.upgrade("2", "--probation-s", "30", "--health-cmd", "false")
    assert answer.exit == UNDONE, answer
    status = nginx.status()
    assert status["pid"] == first["pid"] and program_of(status["pid"]) == str(short_dir / "1/nginx")
    wait_until(lambda: len(nginx.status()["instances"]) == 1, "the new main process ends")
    clients.wait_for("version 1")
    clients.stop()
    assert not clients.refused


def test_haproxy_executes_itself_again_in_the_same_process(segue, short_dir, free_port):
    (short_dir / "haproxy.cfg").write_text(HAPROXY_CONFIG)
    haproxy = Program(segue, free_port, ["haproxy", "-Ws", "-f", short_dir / "haproxy.cfg"],
                      ["--upgrade-signal", "USR2", "--new-pid", "MAINPID", "--stop-signal", "USR1",
                       "--ready", "notify"], name="haproxy", mode="signal")
    answer = haproxy.run()
    assert answer.exit == DONE, answer
    clients = Clients(free_port)
    clients.wait_for("version 1")
    first = haproxy.status()
    (short_dir / "haproxy.cfg").write_text(HAPROXY_CONFIG.replace("${VERSION}", "2"))
    answer = haproxy.upgrade("1", "--probation-s", "0.3")
    assert answer.exit == DONE, answer
    second = haproxy.status()
    assert second["pid"] == first["pid"] and second["generation"] != first["generation"]
    clients.wait_for("version 2")
    clients.stop()
    assert not clients.refused


# ---- Programs that say READY=1

def test_redis_is_restarted_when_it_says_ready(segue, short_dir, free_port):
    command = ["redis-server", "--port", free_port, "--bind", "127.0.0.1", "--supervised", "systemd",
               "--dir", short_dir, "--save", "", "--appendonly", "yes"]
    redis = Program(segue, free_port, command, ["--ready", "notify"], name="redis", mode="restart")
    answer = redis.run(listen=False)
    assert answer.exit == DONE, answer
    assert RespClient(free_port)("SET", "a", "1") == "OK"
    answer = redis.upgrade("2", "--probation-s", "0.1")
    assert answer.exit == DONE, answer
    assert "connections were refused meanwhile" in answer.text
    assert RespClient(free_port)("GET", "a") == b"1"


def test_postgresql_is_restarted_when_it_says_ready(build_dir, free_port):
    """It refuses to run as root, so a user of its own has a segue of its own."""
    directory = subprocess.run(["runuser", "-u", "postgres", "--", "mktemp", "-d", "/tmp/sgXXXXXX"],
                               check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    programs = "/usr/lib/postgresql/15/bin"
    environment = [f"SEGUE_RUNTIME_DIR={directory}/r", f"SEGUE_STATE_DIR={directory}/s"]

    def as_postgres(*words):
        return subprocess.run(
            ["runuser", "-u", "postgres", "--", "env", *environment, *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, cwd="/")

    segue = build_dir / "src/cli/segue"
    server = [f"{programs}/postgres", "-D", f"{directory}/data", "-p", free_port, "-k", directory]
    try:
        made = as_postgres(f"{programs}/initdb", "-D", f"{directory}/data", "-A", "trust", "-N")
        assert made.returncode == 0, made.stdout
        started = as_postgres(segue, "run", "--upgrade", "restart", "--ready", "notify",
                              "--stop-signal", "INT", "pg", "--", *server)
        assert started.returncode == DONE, started.stdout
        query = ["psql", "-h", directory, "-p", free_port, "-d", "postgres", "-Atc"]
        assert as_postgres(*query, "create table t as select 7 as n").returncode == 0
        upgraded = as_postgres(segue, "upgrade", "--probation-s", "0.1", "pg", "--", *server)
        assert upgraded.returncode == DONE, upgraded.stdout
        assert as_postgres(*query, "select n from t").stdout.strip() == "7"
    finally:
        as_postgres(segue, "stop", "pg")
        shutil.rmtree(directory, ignore_errors=True)
