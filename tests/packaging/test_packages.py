# SPDX-License-Identifier: Apache-2.0
"""The .deb packages: built, looked over by lintian, unpacked into a root of their own, and used from there."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["SEGUE_BUILD_DIR"])
CONSUMER = ROOT / "tests/packaging/consumer"
NAMES = {"segue", "libsegue0", "libsegue-dev"}
# What only packages of Debian itself have: a bug that they close, a home page.
NOT_OURS = {"initial-upload-closes-no-bugs", "no-homepage-field"}


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def packages():
    built = subprocess.run([ROOT / "scripts/package", BUILD], check=True, text=True, stdout=subprocess.PIPE)
    paths = [pathlib.Path(line) for line in built.stdout.splitlines()]
    return {path.name.split("_")[0]: path for path in paths}


@pytest.fixture(scope="module")
def root(packages, tmp_path_factory):
    """What is in the packages, where it would be installed below."""
    root = tmp_path_factory.mktemp("root")
    for name in NAMES:
        run("dpkg-deb", "--extract", packages[name], root)
    return root


@pytest.fixture(scope="module")
def library_folder(root):
    return next(root.glob("usr/lib/*/libsegue.so.0")).parent


@pytest.fixture(scope="module")
def environment(root, library_folder):
    return dict(os.environ, LD_LIBRARY_PATH=str(library_folder), PKG_CONFIG_PATH=str(library_folder / "pkgconfig"),
                PATH=f"{root}/usr/bin:{os.environ['PATH']}")


def test_there_are_three_packages_with_their_debug_symbols(packages):
    assert NAMES <= set(packages)
    assert {f"{name}-dbgsym" for name in ("segue", "libsegue0")} <= set(packages)


def test_lintian_finds_nothing(packages):
    found = subprocess.run(["lintian", "--fail-on", "none", "--allow-root", *(packages[name] for name in NAMES)],
                           check=True, text=True, stdout=subprocess.PIPE).stdout
    lines = [line for line in found.splitlines() if re.match(r"[EW]:", line)]
    assert [line for line in lines if line.split()[2] not in NOT_OURS] == []


def test_the_library_depends_on_libc_alone_and_lists_its_symbols(packages, tmp_path):
    assert re.fullmatch(r"libc6 \(>= [\d.]+\)", run("dpkg-deb", "--field", packages["libsegue0"], "Depends").strip())
    run("dpkg-deb", "--control", packages["libsegue0"], tmp_path)
    symbols = (tmp_path / "symbols").read_text()
    assert symbols.startswith("libsegue.so.0 libsegue0") and " segue_open@" in symbols
    assert (tmp_path / "shlibs").read_text().split() [:3] == ["libsegue", "0", "libsegue0"]


def test_a_package_installs_and_goes_into_a_root_of_its_own(packages, tmp_path):
    """dpkg itself; the scripts of the packages need programs that such a root lacks."""
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/updates").mkdir()
    (tmp_path / "var/lib/dpkg/status").touch()
    dpkg = ["dpkg", f"--root={tmp_path}", f"--log={tmp_path}/log", "--force-not-root", "--force-depends",
            "--force-script-chrootless"]
    run(*dpkg, "--install", packages["libsegue0"], packages["libsegue-dev"])
    assert list(tmp_path.glob("usr/lib/*/libsegue.so.0"))
    run(*dpkg, "--purge", "libsegue0", "libsegue-dev")
    assert not list(tmp_path.glob("usr/lib/*/libsegue*"))


def test_segue_runs_and_finds_its_keeper(root, environment, tmp_path):
    assert run("segue", "--version", env=environment).strip() == "segue " + re.search(
        r"^CMAKE_PROJECT_VERSION:STATIC=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
    where = dict(environment, SEGUE_RUNTIME_DIR=str(tmp_path / "r"), SEGUE_STATE_DIR=str(tmp_path / "s"))
    plan = run("segue", "run", "--dry-run", "x", "--", "/bin/true", env=where)
    assert f"{root}/usr/libexec/segue/segue-keeper starts" in plan


def test_texts_and_unit_are_where_others_look_for_them(root):
    for path in ("usr/share/man/man1/segue.1.gz", "usr/share/man/man1/segue-upgrade.1.gz",
                 "usr/share/bash-completion/completions/segue", "usr/share/zsh/vendor-completions/_segue",
                 "usr/share/fish/vendor_completions.d/segue.fish", "lib/systemd/system/segue@.service",
                 "lib/systemd/system/segue-agent.service", "lib/systemd/system/segue-agent-relay.service",
                 "lib/systemd/system/segue-server.service",
                 "usr/lib/tmpfiles.d/segue.conf", "usr/lib/sysusers.d/segue.conf"):
        assert (root / path).is_file(), path


def test_others_build_with_pkg_config(environment, tmp_path):
    flags = run("pkg-config", "--cflags", "--libs", "segue", env=environment).split()
    for compiler, source in (("cc", "consumer.c"), ("c++", "consumer.cc")):
        program = tmp_path / compiler
        standard = ["-std=c++20"] if compiler == "c++" else ["-std=c11"]
        run(compiler, *standard, "-Wall", "-Wextra", "-Werror", CONSUMER / source, *flags, "-o", program, env=environment)
        assert run(program, env=environment) == "active 1\n"


def test_others_build_with_cmake(root, library_folder, environment, tmp_path):
    run("cmake", "-S", CONSUMER, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={library_folder}/cmake")
    run("cmake", "--build", tmp_path)
    for program in ("consumer_c", "consumer_cpp"):
        linked = run("ldd", tmp_path / program, env=environment)
        assert f"{root}/usr/lib" in linked
        assert run(tmp_path / program, env=environment) == "active 1\n"
