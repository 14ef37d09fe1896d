# SPDX-License-Identifier: Apache-2.0
"""segue build: from a commit in a real git repository to what is published, and what is said of it."""

import hashlib
import hmac
import http.server
import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

import support
from build_tools import DONE, FAILED, REFUSED, USAGE, Builder, Repository, processes_with


@pytest.fixture
def repository(short_dir):
    return Repository(short_dir)


@pytest.fixture
def builder(build_dir, short_dir, repository):
    made = Builder(build_dir, short_dir).watch(repository)
    yield made
    made.stop()


def test_a_commit_is_built_tested_published_and_noted(builder, repository):
    commit = repository.commit()
    run = builder.once()
    assert run.returncode == DONE, run
    (release,) = builder.releases()
    assert (release["version"], release["commit"], release["files"]) == ("1.0.1", commit, ["program"])
    build = builder.build_of(commit)
    assert (build["verdict"], build["status"], build["attempts"]) == ("published", "success", 1)
    assert "Segue: success" in repository.note(commit)
    log = builder.run("log", commit[:10])
    assert log.returncode == DONE and "built 1.0.1" in log.stdout and "published chat 1.0.1" in log.stdout
    assert not list((builder.state / "work").iterdir())


@pytest.mark.parametrize("stage, change, reason", [
    ("build", {"build": "echo no luck; exit 7"}, "'echo no luck; exit 7' exited with 7: no luck"),
    ("test", {"program": "echo wrong answer; exit 1"}, "the test failed"),
    ("output", {"output": "nowhere"}, "the build made no folder 'nowhere'"),
    ("link", {"build": "ln -s /etc out", "output": "out"}, "leads out of the working copy"),
    ("file", {"tset": "true"}, "there is no key 'tset'; did you mean 'test'?"),
    ("version", {"version": "{tag}"}, "none names commit"),
    ("time", {"build": "(setsid sleep 1000 &) ; sleep 1000", "build_limits": {"time_s": 1}}, "longer than 1 s"),
])
def test_a_failure_publishes_nothing_and_names_the_commit(builder, repository, stage, change, reason):
    commit = repository.commit(**change)
    run = builder.once()
    assert run.returncode == FAILED and "segue build status" in run.stderr, run
    assert builder.releases() == [], stage
    build = builder.build_of(commit)
    assert build["verdict"] == "failed" and reason in build["why"], build
    assert commit in builder.run("log", commit).stdout
    note = repository.note(commit)
    assert "Segue: failure" in note
    assert processes_with(str(builder.state)) == []
    # The next commit is built as if nothing had been.
    fixed = repository.commit()
    assert builder.once().returncode == DONE
    assert [release["commit"] for release in builder.releases()] == [fixed]


def test_commits_in_quick_succession_are_all_accounted_for_in_order(builder, repository):
    repository.commit()
    assert builder.once().returncode == DONE
    pushed_together = [repository.commit(program=f"exit 0 # {i}", push=False) for i in range(3)]
    repository.git("push", "-q", "origin", "HEAD")
    # … and one that a forced push takes away again, of which only the hook knows.
    lost = repository.commit(program="exit 0 # lost")
    assert builder.run("notify", "chat", "refs/heads/main", lost).returncode == DONE
    repository.git("reset", "-q", "--hard", "HEAD^")
    repository.git("commit", "-q", "--allow-empty", "-m", "instead")
    repository.git("push", "-q", "-f", "origin", "HEAD")
    instead = repository.git("rev-parse", "HEAD")
    builder.once()
    built = [build["commit"] for build in builder.builds()][1:]
    assert sorted(built) == sorted([*pushed_together, lost, instead])
    assert built[:3] == pushed_together
    # The last two make the same version; a library takes it once.
    assert [builder.build_of(commit)["verdict"] for commit in pushed_together] == ["published"] * 3
    assert {builder.build_of(lost)["verdict"], builder.build_of(instead)["verdict"]} == {"published", "failed"}


def test_the_queue_is_bounded_and_what_it_had_no_room_for_is_built_later(builder, repository):
    builder.config["queue"] = 2
    repository.commit()
    assert builder.once().returncode == DONE
    commits = [repository.commit(program=f"exit 0 # {i}", push=False) for i in range(6)]
    repository.git("push", "-q", "origin", "HEAD")
    run = builder.once()
    assert run.returncode == DONE
    assert "event=builder.queue_full" in run.stderr
    assert [build["commit"] for build in builder.builds()][1:] == commits
    assert len(builder.releases()) == 7


def test_only_refs_that_are_meant_to_be_are_built_and_published(builder, repository):
    builder.watch(repository, refs=["refs/heads/*", "refs/tags/v*"], publish_refs=["refs/tags/v*"])
    main = repository.commit(version="{tag}", build="mkdir out")
    repository.git("tag", "-a", "-m", "one", "v1")
    repository.git("push", "-q", "origin", "v1")
    repository.git("checkout", "-q", "-b", "topic")
    topic = repository.commit()
    repository.git("tag", "other")
    repository.git("push", "-q", "origin", "other")
    assert builder.once().returncode == DONE
    # A commit is built once, for the ref that was seen first.
    assert builder.build_of(topic)["verdict"] == "passed"
    assert builder.build_of(main)["verdict"] == "passed"
    repository.git("checkout", "-q", "main")
    tagged = repository.commit(version="{tag}", build="mkdir out # 2", push=False)
    repository.git("tag", "v2")
    repository.git("push", "-q", "origin", "v2")
    assert builder.once().returncode == DONE
    assert builder.build_of(tagged)["verdict"] == "published"
    assert [release["version"] for release in builder.releases()] == ["v2"]


def test_a_hook_tells_a_running_builder_and_one_that_does_not_run(builder, repository):
    text = builder.run("hook", repository.path, "--name", "chat", "--dry-run", "--state", builder.state)
    assert text.returncode == DONE and "build notify" in text.stdout
    hook = repository.path / "hooks/post-receive"
    assert not hook.exists()
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    assert builder.run("hook", repository.path, "--name", "chat").returncode == REFUSED
    hook.unlink()
    assert builder.run("hook", repository.path, "--name", "chat").returncode == DONE
    assert os.access(hook, os.X_OK)

    before = repository.commit()  # nobody runs: it waits in the spool
    assert len(list((builder.state / "spool").iterdir())) == 1
    builder.start()
    assert builder.wait_for(before)["verdict"] == "published"
    after = repository.commit()
    assert builder.wait_for(after)["verdict"] == "published"
    support.wait_until(lambda: not list((builder.state / "spool").iterdir()), "an empty spool")


def test_polling_finds_commits_by_itself(builder, repository):
    builder.watch(repository, poll_s=1)
    builder.start()
    commit = repository.commit()
    assert builder.wait_for(commit)["verdict"] == "published"


class Forge:
    """Takes statuses; the first answers may be errors."""

    def __init__(self, failures=0):
        self.posts = []
        self.failures = failures
        forge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                failed = forge.failures > 0
                forge.failures -= failed
                if not failed:
                    forge.posts.append((self.path, dict(self.headers), body))
                self.send_response(503 if failed else 201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/status/{{commit}}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def states_of(self, commit):
        return [json.loads(body)["state"] for path, _, body in self.posts if path == f"/status/{commit}"]


@pytest.fixture
def forge():
    made = Forge()
    yield made
    made.server.shutdown()


def test_the_forge_hears_of_each_commit_once_more_when_it_did_not_listen(builder, repository, forge, short_dir):
    (short_dir / "key").write_text("shared\n")
    (short_dir / "token").write_text("Authorization: Bearer abc\n")
    forge.failures = 2
    builder.watch(repository, status={"url": forge.url, "secret": "key", "header": "token"})
    good = repository.commit()
    assert builder.once().returncode == DONE
    bad = repository.commit(program="exit 1")
    assert builder.once().returncode == FAILED
    assert forge.states_of(good)[-1] == "success" and forge.states_of(good).count("success") == 1
    assert forge.states_of(bad)[-1] == "failure" and forge.states_of(bad).count("failure") == 1
    path, headers, body = forge.posts[-1]
    assert headers["Authorization"] == "Bearer abc"
    expected = hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert headers["X-Segue-Signature-256"] == f"sha256={expected}"
    before = len(forge.posts)
    builder.once()
    assert len(forge.posts) == before, "nothing new is said"


def post(port, path, body, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method="POST",
                                     headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_webhook_with_the_right_signature_starts_a_build(builder, repository, short_dir, free_port):
    (short_dir / "secret").write_text("open sesame\n")
    builder.config["listen"] = f"127.0.0.1:{free_port}"
    builder.watch(repository, webhook_secret="secret")
    first = repository.commit()
    builder.start()
    builder.wait_for(first)  # the look at its start is over
    commit = repository.commit()
    body = json.dumps({"ref": "refs/heads/main", "before": "0" * 40, "after": commit,
                       "repository": {"full_name": "dev/chat"}}).encode()
    good = "sha256=" + hmac.new(b"open sesame", body, hashlib.sha256).hexdigest()
    assert post(free_port, "/build/chat", body) == 401
    assert post(free_port, "/build/chat", body + b" ", X_Hub_Signature_256=good) == 401
    assert post(free_port, "/build/other", body, X_Hub_Signature_256=good) == 404
    assert builder.build_of(commit) is None
    assert post(free_port, "/build/chat", body, X_Hub_Signature_256=good) == 202
    assert builder.wait_for(commit)["verdict"] == "published"
    assert post(free_port, "/build/chat", body, X_Gitlab_Token="open sesame") == 202


def test_commands_say_what_is_wrong(builder, repository, short_dir):
    assert builder.run("status").returncode == REFUSED  # nothing was built so far
    assert builder.run("notify", "chta").returncode == REFUSED
    assert "did you mean 'chat'?" in builder.run("notify", "chta").stderr
    assert builder.run("notify", "chat", "main").returncode == USAGE
    assert builder.run("log", "abcdef").returncode == REFUSED
    assert builder.run("run", "--dry-run").returncode == DONE
    assert not builder.state.exists()
    builder.config["repositories"]["chat"]["pol_s"] = 1
    wrong = builder.run("run", "--once")
    assert wrong.returncode == USAGE and "did you mean 'poll_s'?" in wrong.stderr
    del builder.config["repositories"]["chat"]["pol_s"]
    builder.config["repositories"]["chat"]["url"] = str(short_dir / "gone.git")
    unreachable = builder.once()
    assert unreachable.returncode == FAILED and "could not be looked at" in unreachable.stderr
    assert any("gone.git" in line.get("error", "") for line in builder.status())
    builder.start()
    second = builder.once()
    assert second.returncode == REFUSED and "works in" in second.stderr


def test_killed_at_every_step_each_commit_is_built_once_and_published_once(builder, repository, forge):
    builder.watch(repository, status={"url": forge.url})
    repository.commit()
    assert builder.once().returncode == DONE
    step, kills, commits = 0, 0, []
    while True:
        step += 1
        # One that is published and one that fails, in one push.
        good = repository.commit(program=f"exit 0 # {step}", push=False)
        bad = repository.commit(program=f"exit 1 # {step}", push=False)
        repository.git("push", "-q", "origin", "HEAD")
        commits += [good, bad]
        killed = builder.once("--unsafe-kill-at", step).returncode == -signal.SIGKILL
        kills += killed
        if killed:
            run = builder.once()
            assert run.returncode == (FAILED if "event=build.failed" in run.stderr else DONE), run
        assert processes_with(f"SEGUE_BUILDER_STATE={builder.state}") == []
        assert builder.build_of(good)["verdict"] == "published", f"killed at {step}"
        assert builder.build_of(bad)["verdict"] == "failed", f"killed at {step}"
        published = [release["commit"] for release in builder.releases()]
        assert published.count(good) == 1 and bad not in published
        assert "Segue: success" in repository.note(good) and "Segue: failure" in repository.note(bad)
        assert forge.states_of(good)[-1] == "success" and forge.states_of(bad)[-1] == "failure"
        if not killed:
            break
    assert kills >= 20, f"only {kills} steps"
    records = [build["commit"] for build in builder.builds()]
    assert len(records) == len(set(records)) == len(commits) + 1


def test_killed_while_it_publishes_it_finds_out_whether_it_did(builder, repository):
    builder.library.mkdir()
    (builder.library / "stall").touch()
    commit = repository.commit()
    program = builder.start()
    support.wait_until((builder.library / "stalled").exists, "the publisher to stall", 60)
    program.kill()
    (builder.library / "stall").unlink()
    assert builder.once().returncode == DONE
    build = builder.build_of(commit)
    assert (build["verdict"], build["attempts"]) == ("published", 1), "it was not built again"
    assert len(builder.calls("publish")) == 1 and len(builder.calls("releases")) == 1


def test_killed_while_it_builds_nothing_is_left_running(builder, repository, short_dir):
    started = short_dir / "started"
    commit = repository.commit(build=f"(setsid sleep 1000 &) ; echo >> {started}; "
                                     f"[ $(wc -l < {started}) -gt 1 ] || sleep 1000; mkdir out")
    program = builder.start()
    support.wait_until(started.exists, "the build", 60)
    program.kill()
    assert builder.once().returncode == DONE
    build = builder.build_of(commit)
    assert (build["verdict"], build["attempts"]) == ("published", 2)
    assert processes_with(f"SEGUE_BUILDER_STATE={builder.state}") == []


def test_a_build_sees_only_its_own_environment_and_a_clean_working_copy(builder, repository, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_BUILDER", "1")
    checks = ["test -z \"$SECRET_OF_THE_BUILDER\"", "test -z \"$(git status --porcelain --ignored)\"",
              "test \"$(git rev-parse HEAD)\" = \"$SEGUE_COMMIT\"", "test \"$SEGUE_REF\" = refs/heads/main",
              "test \"$FLAVOUR\" = vanilla", "test -d \"$HOME\" && test -d \"$TMPDIR\"", "mkdir out"]
    commit = repository.commit(build=checks, build_environment={"FLAVOUR": "vanilla"})
    run = builder.once()
    assert run.returncode == DONE, builder.build_of(commit)


def test_a_log_can_be_followed_while_the_build_runs(builder, repository, short_dir):
    go = short_dir / "go"
    os.mkfifo(go)
    commit = repository.commit(build=f"echo first; read line < {go}; echo $line; mkdir out")
    builder.start()
    support.wait_until(lambda: builder.build_of(commit), "its record")
    with subprocess.Popen(builder.words("log", "--follow", commit), stdout=subprocess.PIPE, text=True) as follower:
        lines = iter(follower.stdout.readline, "")
        assert any(line == "first\n" for line in lines)
        go.write_text("second\n")
        assert any(line == "second\n" for line in lines)
        assert follower.wait(60) == DONE


@pytest.fixture
def small_disk(short_dir):
    folder = short_dir / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "segue-test", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_build_that_fills_the_disk_fails_alone(builder, repository, small_disk):
    builder.state = small_disk / "state"
    builder.config["state"] = str(builder.state)
    full = repository.commit(build=["mkdir out", "cat /dev/zero > out/big"])
    for _ in range(3):  # the builder itself may have no room for what it has to keep, and is started again
        run = builder.once()
        assert run.returncode == FAILED, run
        build = builder.build_of(full)
        if build["stage"] == "ended":
            break
    assert build["verdict"] == "failed" and "No space left on device" in build["why"], build
    assert builder.releases() == []
    fine = repository.commit()
    assert builder.once().returncode == DONE
    assert [release["commit"] for release in builder.releases()] == [fine]


def test_asked_to_end_it_begins_the_build_anew_next_time(builder, repository, short_dir):
    started = short_dir / "started"
    commit = repository.commit(build=f"echo >> {started}; [ $(wc -l < {started}) -gt 1 ] || sleep 1000; mkdir out")
    program = builder.start()
    support.wait_until(started.exists, "the build", 60)
    program.process.send_signal(signal.SIGTERM)
    assert program.wait() == DONE
    assert builder.build_of(commit)["stage"] == "queued"
    assert builder.once().returncode == DONE
    build = builder.build_of(commit)
    assert (build["verdict"], build["attempts"]) == ("published", 1)
