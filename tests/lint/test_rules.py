# SPDX-License-Identifier: Apache-2.0
"""Each rule catches what it is for, and lets the neighbouring right thing pass."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import rules  # noqa: E402

SLASH = "// SPDX-License-Identifier: Apache-2.0\n"
HASH = "# SPDX-License-Identifier: Apache-2.0\n"

# A small tree that keeps every rule.
GOOD = {
    "CMakeLists.txt": HASH,
    "src/plan/CMakeLists.txt": HASH + "segue_library(NAME plan SOURCES solver.cc)\n",
    "src/plan/solver.h": SLASH + "int solve();\n",
    "src/plan/solver.cc": SLASH + '#include "plan/solver.h"\nint solve() { return 0; }\n',
    "src/handoff/include/segue/handoff.h": SLASH + "int segue_x(void);\n",
    "src/handoff/include/segue/handoff.hpp": SLASH + "#include <segue/handoff.h>\n#include <vector>\n",
    "src/handoff/CMakeLists.txt": HASH + "segue_library(NAME handoff SOURCES x.cc)\n",
    "src/handoff/x.cc": SLASH + "#include <segue/handoff.hpp>\n",
    "scripts/lint": "#!/bin/sh\n" + HASH + "python3 scripts/helper.py\n",
    "scripts/helper.py": HASH,
}


@pytest.fixture(name="broken_rules")
def fixture_broken_rules(tmp_path):
    """broken_rules({path: text}) lists (rule, path) for GOOD with these files changed or added."""
    def run(changes=None):
        for path, text in {**GOOD, **(changes or {})}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return [(violation.rule, violation.path) for violation in rules.check(rules.Tree(tmp_path))]
    return run


def test_a_good_tree_passes(broken_rules):
    assert broken_rules() == []


@pytest.mark.parametrize("code", [
    "auto t = std::chrono::steady_clock::now();",
    "auto t = std::chrono::system_clock::now();",
    "clock_gettime(CLOCK_MONOTONIC, &ts);",
    "gettimeofday(&tv, nullptr);",
    "auto t = time(nullptr);",
    "auto t = ::time(NULL);",
    "std::time(0);",
    "int r = rand();",
    "int r = std::rand();",
    "srand(1);",
    "std::random_device seed;",
    "getrandom(buffer, 8, 0);",
    'open("/dev/urandom", O_RDONLY);',
    "std::this_thread::sleep_for(1s);",
    "usleep(10);",
    "::nanosleep(&ts, nullptr);",
    "sleep(1);",
])
def test_real_time_and_randomness_are_caught(broken_rules, code):
    text = GOOD["src/plan/solver.cc"] + code + "\n"
    assert broken_rules({"src/plan/solver.cc": text}) == [("real_time", "src/plan/solver.cc")]


@pytest.mark.parametrize("code", [
    "auto t = clock.monotonic_now();",
    "// not std::chrono::steady_clock::now()",
    "Duration blackout_time(int host);",
    "auto t = event.time(0);",
    "int operand(int x);",
    "void fall_asleep(int x);",
    "auto r = generator.rand();",
])
def test_what_only_looks_like_real_time_passes(broken_rules, code):
    text = GOOD["src/plan/solver.cc"] + code + "\n"
    assert broken_rules({"src/plan/solver.cc": text}) == []


def test_os_may_read_the_clock(broken_rules):
    assert broken_rules({
        "src/os/CMakeLists.txt": HASH + "clock.cc",
        "src/os/clock.cc": SLASH + "auto t = std::chrono::steady_clock::now();\n",
    }) == []


@pytest.mark.parametrize("word", ["TO" "DO", "FIX" "ME", "X" "XX", "HA" "CK"])
def test_unfinished_work_is_caught_in_every_file(broken_rules, word):
    assert broken_rules({"docs/notes.md": f"{word}: later\n"}) == [("unfinished", "docs/notes.md")]


def test_template_of_a_temporary_name_is_not_unfinished_work(broken_rules):
    assert broken_rules({"docs/notes.md": "mktemp /tmp/segue-" + "X" * 6}) == []


def test_source_that_no_cmake_file_names_is_caught(broken_rules):
    assert broken_rules({"src/plan/old_solver.cc": SLASH}) == [
        ("dead_source", "src/plan/old_solver.cc")]


def test_source_named_only_in_another_folder_is_caught(broken_rules):
    assert broken_rules({"src/gate/solver.cc": SLASH}) == [("dead_source", "src/gate/solver.cc")]


def test_header_that_nothing_includes_is_caught(broken_rules):
    assert broken_rules({"src/plan/old.h": SLASH}) == [("dead_header", "src/plan/old.h")]


def test_header_that_only_includes_itself_is_caught(broken_rules):
    assert broken_rules({"src/plan/old.h": SLASH + '#include "plan/old.h"\n'}) == [
        ("dead_header", "src/plan/old.h")]


def test_script_that_nothing_names_is_caught(broken_rules):
    assert broken_rules({"tests/old.py": HASH}) == [("dead_script", "tests/old.py")]


def test_script_that_is_imported_passes(broken_rules):
    assert broken_rules({"scripts/helper.py": HASH + "import other\n",
                         "scripts/other.py": HASH}) == []


@pytest.mark.parametrize("path, text", [
    ("src/plan/solver.h", "int solve();\n"),
    ("src/plan/CMakeLists.txt", "segue_library(NAME plan SOURCES solver.cc)\n"),
    ("scripts/helper.py", "pass\n"),
    ("scripts/lint", "#!/bin/sh\npython3 scripts/helper.py\n"),
])
def test_missing_licence_is_caught(broken_rules, path, text):
    assert broken_rules({path: text}) == [("spdx", path)]


def test_licence_in_a_block_comment_passes(broken_rules):
    text = "/* SPDX-License-Identifier: Apache-2.0\n * More. */\nint solve();\n"
    assert broken_rules({"src/plan/solver.h": text}) == []


def test_long_file_is_caught(broken_rules):
    lines = rules.MAX_FILE_LINES - len(GOOD["src/plan/solver.cc"].splitlines())
    longest = GOOD["src/plan/solver.cc"] + "\n" * lines
    assert broken_rules({"src/plan/solver.cc": longest}) == []
    assert broken_rules({"src/plan/solver.cc": longest + "\n"}) == [
        ("file_length", "src/plan/solver.cc")]


@pytest.mark.parametrize("path, text", [
    ("src/handoff/include/segue/handoff.h", "bool missing_include(void);\n"),
    ("src/handoff/include/segue/handoff.h", "int is_c_but_not_cpp(int class);\n"),
    ("src/handoff/include/segue/handoff.hpp",
     "#include <segue/handoff.h>\nstd::string missing_include();\n"),
])
def test_public_header_that_does_not_compile_alone_is_caught(broken_rules, path, text):
    assert ("public_header", path) in broken_rules({path: SLASH + text})


def test_an_exception_lets_its_violation_pass_and_no_other(broken_rules):
    long_and_dead = SLASH + "\n" * rules.MAX_FILE_LINES
    assert broken_rules({
        "src/plan/old.h": long_and_dead,
        rules.EXCEPTIONS: "file_length src/plan/old.h  # a table\n",
    }) == [("dead_header", "src/plan/old.h")]


def test_an_exception_that_is_not_needed_is_caught(broken_rules):
    assert broken_rules({rules.EXCEPTIONS: "# why\nfile_length src/plan/solver.h  # a table\n"}) == [
        ("stale_exception", rules.EXCEPTIONS)]
