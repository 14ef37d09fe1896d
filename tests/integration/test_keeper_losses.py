# SPDX-License-Identifier: Apache-2.0
"""What an older version cannot hold is said before state goes to it, and can be refused."""

import pytest

from keeper_tools import DONE, REFUSED, UNDONE, Segue
from support import RespClient, wait_until

QUICK = ("--probation-s", "0.2")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


class Service:
    def __init__(self, segue, example, port, more=()):
        self.segue, self.example, self.port, self.more = segue, example, port, more

    def program(self, version):
        path = self.segue.build_dir / f"examples/{self.example}/{self.example}-v{version}"
        return ["--", path, "--listen", f"tcp:127.0.0.1:{self.port}", *self.more]

    def run(self, version):
        assert self.segue("run", "kv", *self.program(version)).exit == DONE
        self.segue.status("kv")
        return RespClient(self.port)

    def upgrade(self, version, *options, command="upgrade"):
        quick = QUICK if command == "upgrade" else ()
        return self.segue(command, "kv", *quick, *options, *self.program(version))

    def pids(self):
        return [entry["pid"] for entry in self.segue.status("kv")["instances"]]


@pytest.fixture(params=[1, 4], ids=["one_loop", "four_loops"])
def respkv(segue, free_port, request):
    return Service(segue, "respkv", free_port, ("--threads", str(request.param)))


def make_rests(client, keys):
    """Lets version 3 know a longest rest of `keys`, and of no other key."""
    for key in keys:
        client("SET", key, "1")

        def rested(key=key):
            client("INCR", key)
            return client("OBJECT", "LONGEST-REST", key) > 0
        wait_until(rested, f"{key} has rested for a millisecond")


def losses_of(answer):
    told = [line["losses"] for line in answer.lines if "losses" in line]
    assert told, answer
    return told[0]


def items(losses):
    return [(item["kind"], item["item"], item["field"], item["records"]) for item in losses["items"]]


DROPPED = [("dropped", "keyspace", "longest rest", 3)]
LINE = ("keyspace: 'longest rest' (3 records) has no place in form respkv.entry/2 of v2: "
        "it is dropped")


def test_an_undo_says_what_the_older_version_drops_before_it_starts(respkv, segue):
    client = respkv.run(2)
    client("SET", "calm", "1")
    assert respkv.upgrade(3).exit == DONE
    make_rests(client, ["a", "b", "c"])
    before = respkv.pids()

    dry = segue("undo", "kv", "--dry-run")
    assert dry.exit == DONE and items(losses_of(dry)) == DROPPED, dry
    plain = segue.plain("undo", "--dry-run", "kv")
    assert f"before: {LINE}" in plain.out and "handed back" in plain.out
    dry = segue("undo", "kv", "--dry-run", "--refuse-loss")
    assert dry.exit == REFUSED, dry

    refused = segue("undo", "kv", "--refuse-loss")
    assert refused.exit == REFUSED and LINE in refused.text, refused
    assert refused.text.endswith("nothing was touched")
    assert respkv.pids() == before
    assert client("OBJECT", "LONGEST-REST", "a") > 0

    undo = segue("undo", "kv", *QUICK)
    assert undo.exit == DONE, undo
    assert "losses" in undo.lines[0], "it is said first"
    assert losses_of(undo)["lines"] == [LINE]
    assert items(undo.attempt["losses"]) == DROPPED
    assert client("GET", "a") == client("GET", "a") and client("OBJECT", "FREQ", "a") >= 2
    # And it was true: what was dropped does not come back, all else does.
    assert respkv.upgrade(3).exit == DONE
    assert client("OBJECT", "LONGEST-REST", "a") == 0 and client("GET", "calm") == b"1"


def test_fields_that_the_older_version_keeps_are_told_and_are_no_loss(respkv, segue):
    client = respkv.run(1)
    assert respkv.upgrade(2).exit == DONE
    for key in ("a", "b"):
        client("SET", key, "1")
        client("INCR", key)
    undo = segue("undo", "kv", "--refuse-loss", *QUICK)
    assert undo.exit == DONE, undo
    losses = losses_of(undo)
    assert not losses["lost"]
    assert items(losses) == [("kept", "keyspace", "time of the last change", 2),
                             ("kept", "keyspace", "number of changes", 2)]
    assert respkv.upgrade(2).exit == DONE
    assert client("OBJECT", "FREQ", "a") == 2


def test_nothing_is_said_where_nothing_is_lost(respkv, segue):
    client = respkv.run(2)
    assert respkv.upgrade(3).exit == DONE
    client("SET", "a", "1")  # it has not rested yet
    undo = segue("undo", "kv", "--refuse-loss", *QUICK)
    assert undo.exit == DONE, undo
    assert not [line for line in undo.lines if "losses" in line]
    assert undo.attempt["losses"]["records_looked_at"] >= 1


def test_an_undo_in_probation_is_refused_and_the_probation_goes_on(respkv, segue):
    client = respkv.run(2)
    upgrade = segue.start("upgrade", "--json", "--probation-s", "60", "kv", *respkv.program(3))
    wait_until(lambda: segue.status("kv").get("phase") == "probation", "probation")
    make_rests(client, ["a", "b", "c"])
    refused = segue("undo", "kv", "--refuse-loss")
    assert refused.exit == REFUSED and LINE in refused.text, refused
    assert segue.status("kv")["phase"] == "probation" and len(respkv.pids()) == 2
    undo = segue("undo", "kv", *QUICK)
    assert undo.exit == DONE and items(losses_of(undo)) == DROPPED, undo
    upgrade.communicate(timeout=60)
    assert upgrade.returncode == UNDONE
    assert client("INCR", "a") > 1


def test_an_upgrade_to_an_older_version_says_it_before_the_handoff(respkv, segue):
    client = respkv.run(3)
    make_rests(client, ["a", "b", "c"])
    refused = respkv.upgrade(2, "--refuse-loss")
    assert refused.exit == REFUSED and LINE in refused.text, refused
    assert client.info()["respkv_version"] == "3"
    rehearsed = respkv.upgrade(2, command="rehearse")
    assert rehearsed.exit == DONE and items(losses_of(rehearsed)) == DROPPED, rehearsed
    done = respkv.upgrade(2)
    assert done.exit == DONE and losses_of(done)["lines"] == [LINE]
    assert items(done.attempt["losses"]) == DROPPED
    assert client.info()["respkv_version"] == "2"


def test_the_next_keeper_knows_it_too(respkv, segue):
    client = respkv.run(2)
    assert respkv.upgrade(3).exit == DONE
    make_rests(client, ["a", "b", "c"])
    keeper = segue.build_dir / "src/keeper/segue-keeper"
    answer = segue.plain("keeper", "upgrade", "--json", "--keeper", keeper, "kv")
    assert answer.exit == DONE, answer
    assert items(losses_of(segue("undo", "kv", "--dry-run"))) == DROPPED


def test_a_heap_is_looked_at_record_by_record(segue, free_port):
    heapkv = Service(segue, "heapkv", free_port, ("--budget-us", "5000000"))
    client = heapkv.run(1)
    assert heapkv.upgrade(2).exit == DONE
    for number in range(50):
        client("SET", f"k{number}", "v")
    refused = segue("undo", "kv", "--refuse-loss")
    assert refused.exit == REFUSED, refused
    undo = segue("undo", "kv", *QUICK)
    assert undo.exit == DONE, undo
    assert items(losses_of(undo)) == [("changed", "store", "an entry's number of writes", 50)]
    assert client("GET", "k7") == b"v"
