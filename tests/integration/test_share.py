# SPDX-License-Identifier: Apache-2.0
"""segue share: the kernel splits new connections between both slots of a component."""

import collections
import signal

import pytest

from keeper_tools import DONE, REFUSED, USAGE, Segue, is_alive, kill_keeper, start_keeper
from share_tools import Client, Slot, versions
from support import wait_until

SOURCES = [f"127.{i}.{i * 7 % 250}.{i * 31 % 250 + 1}" for i in range(1, 121)]


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


@pytest.fixture
def stable(segue, short_dir, free_port):
    slot = Slot(segue, short_dir, "hub", f"127.0.0.1:{free_port}")
    answer = slot.run("1")
    assert answer.exit == DONE, answer
    return slot


@pytest.fixture
def canary(segue, short_dir, free_port, stable):
    slot = Slot(segue, short_dir, "hub.canary", f"127.0.0.1:{free_port}")
    answer = slot.run("2")
    assert answer.exit == DONE, answer
    return slot


def share(segue, *words, expect=DONE):
    answer = segue.plain("share", "--json", "hub", *words)
    assert answer.exit == expect, answer
    return answer.last


def counted(port, count):
    return collections.Counter(versions(port, count))["version 2"]


def test_a_share_reaches_new_connections_and_cuts_none(segue, stable, canary, free_port):
    assert set(versions(free_port, 50)) == {"version 1"}, "a canary gets nothing by itself"
    old = [Client(free_port) for _ in range(20)]

    told = share(segue, "30%")
    assert told["share_ppm"] == 300_000 and told["canary"] == "hub.canary"
    assert 65 <= counted(free_port, 400) <= 175, "six standard deviations around 120"
    seen = share(segue, "--probes", "2000")
    [listener] = seen["listeners"]
    assert listener["probes"]["elsewhere"] == 0
    assert sum(listener["probes"].values()) == 2_000
    assert 0.24 <= listener["measured"] <= 0.36
    assert seen["share_ppm"] == 300_000 and seen["canary_runs"]

    share(segue, "100%")
    assert counted(free_port, 100) == 100
    share(segue, "0%")
    assert counted(free_port, 100) == 0
    assert all(client.is_served() for client in old)


def test_the_same_clients_are_canaries_and_more_come_as_it_grows(segue, stable, canary, free_port):
    share(segue, "20%", "--sticky", "source")
    salt = share(segue)["salt"]
    first = versions(free_port, 0, SOURCES)
    assert versions(free_port, 0, SOURCES) == first, "the same again"
    assert 0 < first.count("version 2") < len(SOURCES) / 2
    share(segue, "60%", "--sticky", "source")
    assert share(segue)["salt"] == salt
    grown = versions(free_port, 0, SOURCES)
    assert grown.count("version 2") > first.count("version 2")
    assert all(after == "version 2" for before, after in zip(first, grown) if before == "version 2")
    # Another rollout begins with other clients.
    share(segue, "0%")
    share(segue, "20%", "--sticky", "source")
    assert versions(free_port, 0, SOURCES) != first
    share(segue, "20%", "--sticky", "source", "--salt", str(salt))
    assert versions(free_port, 0, SOURCES) == first


def expect_only(port, version):
    """From when on the one before has been told to end: until then both take what comes."""
    wait_until(lambda: set(versions(port, 20)) == {version}, f"{version} alone")
    assert set(versions(port, 60)) == {version}


def test_promotion_and_abort_cut_no_connection(segue, stable, canary, free_port):
    share(segue, "50%")
    clients = [Client(free_port) for _ in range(60)]
    assert {client.version for client in clients} == {"version 1", "version 2"}
    # Bad: the canary goes back to the old release, and gets nothing new.
    share(segue, "0%")
    aborting = canary.start_upgrade("1")
    assert set(versions(free_port, 20)) == {"version 1"}
    assert all(client.is_served() for client in clients)
    wait_until(lambda: canary.status().get("generation") == 2, "the canary is back")
    # Good, at once: the stable slot becomes what a canary would be.
    share(segue, "100%")
    expect_only(free_port, "version 1")
    promoting = stable.start_upgrade("3")
    wait_until(lambda: stable.status().get("generation") == 2, "the stable slot is promoted")
    share(segue, "0%")
    expect_only(free_port, "version 3")
    assert all(client.is_served() for client in clients)
    for client in clients:
        client.close()
    for upgrade in (aborting, promoting):  # their old processes end with the last connection
        out, err = upgrade.communicate(timeout=60)
        assert upgrade.returncode == DONE, out + err


def test_a_share_outlives_keepers(segue, stable, canary, free_port):
    share(segue, "100%")
    for slot in (stable, canary):
        assert segue.plain("keeper", "upgrade", "--json", slot.name).exit == DONE
        assert counted(free_port, 20) == 20
        kill_keeper(slot)
        assert counted(free_port, 20) == 20
        assert start_keeper(slot).exit == DONE
        assert counted(free_port, 20) == 20
    assert stable.upgrade("1").exit == DONE
    assert canary.upgrade("2").exit == DONE
    assert counted(free_port, 20) == 20
    share(segue, "0%")
    assert counted(free_port, 20) == 0


def test_a_slot_that_starts_anew_begins_with_all_to_stable(segue, stable, canary, free_port):
    share(segue, "100%")
    assert segue("stop", "hub").exit == DONE
    wait_until(lambda: not is_alive(stable.status().get("pid", 0)), "stable has ended")
    assert counted(free_port, 20) == 20, "somebody has to answer"
    assert stable.run("1").exit == DONE  # now it is the second in the kernel's group
    assert counted(free_port, 50) == 0
    share(segue, "100%")
    assert counted(free_port, 50) == 50
    share(segue, "0%")
    assert counted(free_port, 50) == 0

    assert segue("stop", "hub.canary").exit == DONE
    assert counted(free_port, 20) == 0
    assert canary.run("2").exit == DONE
    assert counted(free_port, 50) == 0
    share(segue, "100%")
    assert counted(free_port, 50) == 50


def test_what_is_kept_is_set_again(segue, stable, canary, free_port):
    keeper = segue.start("share", "--json", "--keep-s", "0.1", "hub", "100%")
    try:
        wait_until(lambda: counted(free_port, 5) == 5, "the canary gets all")
        assert segue("stop", "hub.canary").exit == DONE
        wait_until(lambda: counted(free_port, 5) == 0, "stable answers")
        assert canary.run("2").exit == DONE
        wait_until(lambda: counted(free_port, 20) == 20, "it is set again")
    finally:
        keeper.send_signal(signal.SIGTERM)
        keeper.communicate(timeout=60)


def test_what_cannot_be_shared_is_refused(segue, short_dir, stable, free_port):
    refused = share(segue, "10%", expect=REFUSED)
    assert "hub.canary does not run" in refused["text"]
    share(segue, "0%")  # nothing to do, and no error
    for bad in ("10", "101%", "-1%"):
        share(segue, "--", bad, expect=USAGE)
    alone = Slot(segue, short_dir, "alone", f"127.0.0.2:{free_port}", group=False)
    assert alone.run("1").exit == DONE
    answer = segue.plain("share", "--json", "alone", "0%")
    assert answer.exit == REFUSED and ",group" in answer.text, answer
    # On an address that is not shared nobody else listens.
    answer = Slot(segue, short_dir, "alone.canary", f"127.0.0.2:{free_port}").run("2")
    assert answer.exit != DONE and "another process listens there" in answer.text, answer
    # A canary that listens elsewhere is no canary of this address.
    elsewhere = Slot(segue, short_dir, "hub.canary", f"127.0.0.3:{free_port}")
    assert elsewhere.run("2").exit == DONE
    assert "does not share" in share(segue, "10%", expect=REFUSED)["text"]


def test_a_dry_run_changes_nothing(segue, stable, canary, free_port):
    told = share(segue, "100%", "--dry-run")
    assert told["dry_run"] and told["share_ppm"] == 1_000_000
    assert counted(free_port, 20) == 0
    assert "no share was ever set" in segue.plain("share", "hub").out
