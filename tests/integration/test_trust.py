# SPDX-License-Identifier: Apache-2.0
"""segue key and segue tuf-client: keys and roots made by hand, a repository on a real HTTP server."""

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import threading

import pytest

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 4
EXPIRES = "2099-01-01T00:00:00Z"


class Directory:
    """Runs `segue` in a directory of its own."""

    def __init__(self, build_dir, path):
        self.program = build_dir / "src/cli/segue"
        self.path = path

    def run(self, *words):
        return subprocess.run([str(self.program), *words], cwd=self.path, text=True, timeout=60,
                              capture_output=True, check=False)

    def done(self, *words):
        run = self.run(*words)
        assert run.returncode == DONE, run
        return run.stdout

    def ask(self, *words):
        return json.loads(self.done(*words, "--json"))

    def make_keys(self, *names):
        for name in names:
            self.done("key", "make", name)

    def make_root(self, *more):
        self.make_keys("root", "timestamp", "snapshot", "targets")
        keys = [f"--add-key={role}={role}.pub"
                for role in ("root", "timestamp", "snapshot", "targets")]
        return self.done("key", "root", "1.root.json", *keys, "--sign-with", "root", *more)

    def signed(self, name, signed, *keys):
        (self.path / name).write_text(json.dumps({"signed": signed, "signatures": []}))
        self.done("key", "sign", name, *[f"--sign-with={key}" for key in keys])


@pytest.fixture
def here(build_dir, tmp_path):
    return Directory(build_dir, tmp_path)


@contextlib.contextmanager
def serving(directory):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(directory))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def publish(here, version, content):
    """Targets, snapshot and timestamp of this version, with one target."""
    def common(kind, **more):
        return {"_type": kind, "spec_version": "1.0.31", "version": version, "expires": EXPIRES,
                **more}

    digest = hashlib.sha256(content).hexdigest()
    folder = here.path / "dir"
    folder.mkdir(exist_ok=True)
    (folder / f"{digest}.file").write_bytes(content)
    here.signed(f"{version}.targets.json", common("targets", targets={
        "dir/file": {"length": len(content), "hashes": {"sha256": digest}}}), "targets")
    here.signed(f"{version}.snapshot.json",
                common("snapshot", meta={"targets.json": {"version": version}}), "snapshot")
    here.signed("timestamp.json",
                common("timestamp", meta={"snapshot.json": {"version": version}}), "timestamp")
    return digest


class Client:
    def __init__(self, here, url):
        self.here = here
        self.url = url
        for name in ("metadata", "got"):
            (here.path / name).mkdir()
        here.done("tuf-client", "--metadata-dir", "metadata", "init", "1.root.json")

    def run(self, command, *more):
        return self.here.run("tuf-client", "--metadata-dir", "metadata", "--metadata-url", self.url,
                             "--target-name", "dir/file", "--target-base-url", self.url + "/",
                             "--target-dir", "got", command, *more)

    def version(self, role):
        path = self.here.path / f"metadata/{role}.json"
        return json.loads(path.read_text())["signed"]["version"] if path.exists() else None

    def content(self):
        files = list((self.here.path / "got").iterdir())
        return [file.read_bytes() for file in files]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_private_key_is_for_its_owner_alone(here, kind):
    text = here.done("key", "make", "k", "--type", kind)
    key = here.path / "k"
    assert key.stat().st_mode & 0o777 == 0o600
    private, public = here.ask("key", "inspect", "k"), here.ask("key", "inspect", "k.pub")
    assert private["private"] and not public["private"]
    assert private["keyid"] == public["keyid"] and private["keyid"] in text
    assert private["type"] == kind


def test_a_key_is_never_overwritten(here):
    here.make_keys("k")
    before = (here.path / "k").read_bytes()
    refused = here.run("key", "make", "k")
    assert refused.returncode == REFUSED and "k exists" in refused.stderr
    assert (here.path / "k").read_bytes() == before


def test_an_encrypted_key_needs_its_passphrase(here):
    (here.path / "pass").write_text("correct horse\n")
    (here.path / "wrong").write_text("battery\n")
    here.done("key", "make", "k", "--passphrase-file", "pass")
    assert "ENCRYPTED" in (here.path / "k").read_text()
    assert here.ask("key", "inspect", "k", "--passphrase-file", "pass")["encrypted"]
    for words in ([], ["--passphrase-file", "wrong"]):
        refused = here.run("key", "inspect", "k", *words)
        assert refused.returncode == REFUSED and "passphrase" in refused.stderr


def test_a_dry_run_writes_nothing(here):
    here.done("key", "make", "k", "--dry-run")
    assert not list(here.path.iterdir())


def test_a_root_says_who_has_to_sign_it_still(here):
    here.make_keys("second")
    text = here.make_root("--add-key=root=second.pub", "--threshold=root=2")
    assert "1 of its own root keys have to sign" in text
    assert here.ask("key", "inspect", "1.root.json")["missing"] == 1
    assert "complete" in here.done("key", "sign", "1.root.json", "--sign-with", "second")
    assert here.ask("key", "inspect", "1.root.json")["missing"] == 0


def test_a_next_root_needs_the_keys_of_both(here):
    here.make_root()
    here.make_keys("new")
    before = (here.path / "1.root.json").read_bytes()
    text = here.done("key", "rotate", "1.root.json", "--add-key=root=new.pub",
                     "--remove-key=root=root.pub", "--sign-with", "new")
    assert "1 of the root keys before it" in text and "2.root.json" in text
    text = here.done("key", "sign", "2.root.json", "--sign-with", "root",
                     "--previous", "1.root.json")
    assert "complete" in text
    assert (here.path / "1.root.json").read_bytes() == before


@pytest.mark.parametrize("words, problem", [
    (["--threshold=root=2"], "cannot reach"),
    (["--threshold=root=0"], "--threshold root=0"),
    (["--remove-key=targets=" + "0" * 64], "does not have the key"),
    (["--add-key=nobody=root.pub"], "ROLE="),
    (["--add-key=root"], "ROLE="),
])
def test_a_root_that_nobody_could_use_is_refused(here, words, problem):
    here.make_root()
    refused = here.run("key", "rotate", "1.root.json", *words)
    assert refused.returncode == USAGE and problem in refused.stderr
    assert not (here.path / "2.root.json").exists()


def test_a_release_is_downloaded_once_and_followed(here):
    here.make_root()
    publish(here, 1, b"first")
    with serving(here.path) as url:
        client = Client(here, url)
        assert client.run("download").returncode == DONE
        assert client.content() == [b"first"]
        assert "already in" in client.run("download").stdout
        publish(here, 2, b"second")
        assert client.run("download").returncode == DONE
        assert client.content() == [b"second"]
        assert client.version("targets") == 2


def test_what_is_not_what_was_signed_is_not_kept(here):
    here.make_root()
    digest = publish(here, 1, b"first")
    with serving(here.path) as url:
        client = Client(here, url)
        for wrong in (b"fIrst", b"first and more", b"fir", b""):
            (here.path / f"dir/{digest}.file").write_bytes(wrong)
            assert client.run("download").returncode == FAILED, wrong
            assert client.content() == []
        (here.path / "timestamp.json").write_text("{}")
        assert client.run("refresh").returncode == FAILED


def test_a_lost_key_is_replaced(here):
    here.make_root()
    publish(here, 1, b"first")
    with serving(here.path) as url:
        client = Client(here, url)
        assert client.run("refresh").returncode == DONE
        here.make_keys("new")
        here.done("key", "rotate", "1.root.json", "--remove-key=targets=targets.pub",
                  "--add-key=targets=new.pub", "--sign-with", "root")
        publish(here, 2, b"signed by a thief")
        assert client.run("download").returncode == FAILED
        assert client.content() == [] and client.version("root") == 2
        for suffix in ("", ".pub"):
            os.replace(here.path / f"new{suffix}", here.path / f"targets{suffix}")
        publish(here, 3, b"third")
        assert client.run("download").returncode == DONE
        assert client.content() == [b"third"]


def test_a_dry_run_verifies_and_keeps_nothing(here):
    here.make_root()
    publish(here, 1, b"first")
    with serving(here.path) as url:
        client = Client(here, url)
        assert client.run("download", "--dry-run").returncode == DONE
        assert client.content() == [] and client.version("timestamp") is None


def test_what_cannot_be_had_is_one_line(here):
    here.make_root()
    client = Client(here, "http://127.0.0.1:1")
    refused = client.run("refresh")
    assert refused.returncode == FAILED
    assert refused.stderr.count("\n") == 1 and "127.0.0.1:1" in refused.stderr
    assert here.run("tuf-client", "refresh").returncode == USAGE
    assert here.run("tuf-client", "--metadata-dir", "metadata", "init", "root.pub").returncode == FAILED
