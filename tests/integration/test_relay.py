# SPDX-License-Identifier: Apache-2.0
"""Relays: each byte over the line once, whatever dies, lies or breaks."""

import hashlib
import json
import random
import socket
import subprocess
import time

import pytest

import library_tools
import relay_tools
import staging_tools
import support

KIB = 1024
FIVE = ["h1", "h2", "h3", "h4", "h5"]


@pytest.fixture
def path(tmp_path):
    return tmp_path


class Objects:
    """Objects of a library behind an ordinary web server; no metadata, for none is asked for."""

    def __init__(self, path):
        self.root = path / "objects-of-origin"
        self.number = 0

    def add(self, size):
        self.number += 1
        body = random.Random(self.number).randbytes(size)
        name = hashlib.sha256(body).hexdigest()
        folder = self.root / "objects" / name[:2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
        return f"/objects/{name[:2]}/{name}", body


@pytest.fixture
def objects(path):
    return Objects(path)


@pytest.fixture
def line(path, objects):
    objects.root.mkdir()
    with library_tools.nginx(path / "nginx", objects.root) as url:
        line = relay_tools.Line(int(url.rsplit(":", 1)[1]))
        yield line
        line.close()


@pytest.fixture
def make_site(build_dir, path):
    sites = []

    def make(origin, names, *options, **more):
        sites.append(relay_tools.Site(build_dir, path, origin, names, *options, **more))
        return sites[-1]
    yield make
    for site in sites:
        site.close()


HEADERS = 8 * KIB  # of all answers of a test


def test_hosts_that_ask_at_once_cost_the_line_one_object(make_site, line, objects):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1"]).start()
    line.allow(0)
    askers = [relay_tools.Asker(site.url("h1") + target) for _ in range(5)]
    support.wait_until(lambda: line.asked_for(target), "the request")
    line.allow(None)
    assert [asker.answer() for asker in askers] == [(200, body)] * 5
    assert relay_tools.get(site.url("h1") + target, {"Range": "bytes=100-199"}) == (206, body[100:200])
    assert len(line.asked_for(target)) == 1 and line.came < len(body) + HEADERS


def test_bytes_go_on_before_the_object_is_whole(make_site, line, objects):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1"]).start()
    line.allow(150 * KIB)
    asker = relay_tools.Asker(site.url("h1") + target, {"Range": "bytes=0-65535"})
    assert asker.answer() == (206, body[:65536])


def test_a_relay_above_a_relay_serves_the_same(make_site, line, objects, path):
    target, body = objects.add(200 * KIB)
    (path / "upper").mkdir()
    (path / "lower").mkdir()
    upper = make_site(line.url, ["h1"], site="region").start()
    upper.path = path / "upper"
    lower = make_site(upper.url("h1"), ["h2"]).start()
    assert relay_tools.get(lower.url("h2") + target) == (200, body)
    assert relay_tools.get(lower.url("h2") + target) == (200, body)
    assert len(line.asked_for(target)) == 1


def test_what_there_is_not_is_said(make_site, line):
    site = make_site(line.url, ["h1"]).start()
    nothing = "/objects/00/" + 64 * "0"
    assert relay_tools.get(site.url("h1") + nothing)[0] == 404
    assert relay_tools.get(site.url("h1") + "/metadata/7.root.json")[0] == 404
    for bad in ("/objects/../secret", "/etc/passwd", "/objects/00/abc", "/metadata/.hidden.json"):
        assert relay_tools.get(site.url("h1") + bad)[0] == 404


def test_a_killed_relay_goes_on_at_the_byte_where_it_ended(make_site, line, objects):
    target, body = objects.add(400 * KIB)
    site = make_site(line.url, ["h1"]).start()
    line.allow(200 * KIB)
    relay_tools.Asker(site.url("h1") + target)
    line.wait_for_bytes(200 * KIB)
    support.wait_until(lambda: site.line_bytes() > 190 * KIB, "what came")
    site.kill("h1")
    line.allow(None)
    site.start("h1")
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    assert line.came < len(body) + 64 * KIB + HEADERS


def test_a_line_that_breaks_is_taken_up_where_it_broke(make_site, line, objects):
    target, body = objects.add(400 * KIB)
    site = make_site(line.url, ["h1"]).start()
    line.allow(200 * KIB)
    asker = relay_tools.Asker(site.url("h1") + target)
    line.wait_for_bytes(200 * KIB)
    line.cut()
    support.wait_until(lambda: "transfer.interrupted" in site.log("h1"), "the break is seen")
    line.allow(None)
    line.mend()
    assert asker.answer() == (200, body)
    assert line.came < len(body) + 64 * KIB + HEADERS


def test_an_origin_that_answers_otherwise_for_a_while_costs_nothing(make_site):
    body = random.Random(9).randbytes(300 * KIB)
    target = f"/objects/{hashlib.sha256(body).hexdigest()[:2]}/{hashlib.sha256(body).hexdigest()}"
    origin = relay_tools.FitfulOrigin(body, ["break", 302, 401, 429, "break", 404])
    site = make_site(origin.url, ["h1"]).start()
    assert relay_tools.Asker(site.url("h1") + target).answer() != (200, body), "it is gone, for now"
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    assert origin.first_bytes[-1] > 0 and origin.sent == len(body), "each byte came once"
    origin.close()


def test_a_damaged_cache_is_found_out_after_a_restart(make_site, line, objects, path):
    target, body = objects.add(100 * KIB)
    site = make_site(line.url, ["h1"]).start()
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    site.kill("h1")
    file = path / "cache-h1/objects" / target.rsplit("/", 1)[1]
    file.write_bytes(body[:500] + b"damage" + body[506:])
    site.start("h1")
    support.wait_until(lambda: relay_tools.Asker(site.url("h1") + target).answer() == (200, body),
                       "the right bytes")
    assert file.read_bytes() == body


def test_stage_takes_a_release_from_a_relay(make_site, build_dir, path):
    (path / "releases").mkdir()
    releases = staging_tools.Releases(build_dir / "src/cli/segue", path / "releases", ["1.0", "1.1"])
    with library_tools.nginx(path / "nginx-library", releases.library) as url:
        line = relay_tools.Line(int(url.rsplit(":", 1)[1]))
        site = make_site(line.url, FIVE).start()
        site.wait_for_leader("h1")
        places = [staging_tools.Place(releases, path / f"place-{name}", site.url(name)) for name in FIVE]
        for place in places:
            place.make_live("1.0")
        before = line.came
        fetched = [place.staged("1.1")["fetched_bytes"] for place in places]
        assert len(set(fetched)) == 1
        # Of five hosts' bytes no more than two's: a relay that is not heard for a while is taken for dead.
        assert line.came - before < 2 * fetched[0] + 16 * KIB
        for place in places:
            assert place.go_live().returncode == 0
            assert place.is_live("1.1")
        line.close()


def test_another_leads_when_the_leader_dies_in_the_middle(make_site, line, objects):
    target, body = objects.add(400 * KIB)
    site = make_site(line.url, FIVE).start()
    site.wait_for_leader("h1")
    line.allow(200 * KIB)
    askers = [relay_tools.Asker(site.url(name) + target) for name in FIVE[1:]]
    support.wait_until(lambda: all(site.state(name)["transfers"] for name in FIVE[1:]), "they ask")
    line.wait_for_bytes(200 * KIB)
    support.wait_until(lambda: site.state("h2")["transfers"][0]["bytes"] > 190 * KIB, "what came is passed on")
    site.kill("h1")
    site.wait_for_leader("h2")
    line.allow(None)
    assert [asker.answer(60) for asker in askers] == [(200, body)] * 4
    assert line.came < len(body) + 64 * KIB + HEADERS
    site.start("h1")
    site.wait_for_leader("h1")
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    assert line.came < len(body) + 64 * KIB + HEADERS, "the others have it"


def test_who_comes_back_waits_until_the_line_is_quiet(make_site, line, objects):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1", "h2", "h3"]).start("h2", "h3")
    site.wait_for_leader("h2")
    line.allow(100 * KIB)
    asker = relay_tools.Asker(site.url("h3") + target)
    line.wait_for_bytes(100 * KIB)
    site.start("h1")
    site.wait_for_leader("h2")
    line.allow(None)
    assert asker.answer() == (200, body)
    site.wait_for_leader("h1")
    assert len(line.asked_for(target)) == 1


def test_what_goes_live_first_has_the_line_first(make_site, line, objects):
    first, second, urgent = objects.add(200 * KIB), objects.add(200 * KIB), objects.add(20 * KIB)
    site = make_site(line.url, ["h1"], "--line-rate", "2Mbit").start()
    line.allow(0)
    done = []

    class Noting(relay_tools.Asker):
        def run(self):
            super().run()
            done.append(self.url)

    askers = []
    for target, _ in (first, second):
        askers.append(Noting(site.url("h1") + target, {"Segue-Go-Live": "2000000000"}))
        support.wait_until(lambda target=target: line.asked_for(target), "the request")
    askers.append(Noting(site.url("h1") + urgent[0], {"Segue-Go-Live": "1900000000"}))
    support.wait_until(lambda: line.asked_for(urgent[0]), "the urgent one is asked for at once")
    line.allow(None)
    assert [asker.answer() for asker in askers] == [(200, body) for _, body in (first, second, urgent)]
    assert done.index(site.url("h1") + urgent[0]) < done.index(site.url("h1") + second[0])


def test_what_nobody_waits_for_any_more_is_urgent_no_more(make_site, line, objects):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1", "h2"]).start()
    site.wait_for_leader("h1")
    line.allow(0)
    patient = relay_tools.Asker(site.url("h2") + target)

    def moments(name):
        return [transfer["go_live"] for transfer in site.state(name)["transfers"]]
    support.wait_until(lambda: moments("h1") == [None], "h2 asks h1")
    with socket.create_connection(("127.0.0.1", site.ports["h1"])) as urgent:
        urgent.sendall(f"GET {target} HTTP/1.1\r\nHost: h1\r\nSegue-Go-Live: 1900000000\r\n\r\n".encode())
        support.wait_until(lambda: moments("h1") == [1_900_000_000], "it is urgent")
        ages, heard = {"h1": 0, "h2": 0}, {"h1": 0, "h2": 0}

        def has_come_round():
            for name in heard:
                other = next(one for one in site.state(name)["members"] if one["name"] != name)
                age = other["seen_s_ago"] or 0
                heard[name] += age < ages[name]
                ages[name] = age
            return min(heard.values()) > 3
        support.wait_until(has_come_round, "each has heard the other, again and again")
    support.wait_until(lambda: moments("h1") == [None] and moments("h2") == [None], "it is not urgent")
    line.allow(None)
    assert patient.answer() == (200, body)


def test_the_line_is_not_used_faster_than_it_may_be(make_site, line, objects):
    target, body = objects.add(60 * KIB)
    site = make_site(line.url, ["h1"], "--line-rate", "160kbit", "--line-rate", "daily 00:00-24:00=320kbit",
                     "--zone", "Asia/Shanghai").start()
    began = time.monotonic()
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    assert time.monotonic() - began > (60 * KIB - 3_000) / 40_000 - 0.2  # a slower machine is no error
    state = site.state("h1")
    assert state["line"]["limit_bytes_per_s"] == 40_000 and state["line"]["bytes_total"] == len(body)
    assert relay_tools.get(site.url("h1") + target) == (200, body)
    assert site.line_bytes() == len(body)


def test_nothing_is_asked_for_while_the_line_may_not_be_used(make_site, line, objects):
    target, _ = objects.add(300 * KIB)
    site = make_site(line.url, ["h1"], "--line-rate", "0").start()
    asker = relay_tools.Asker(site.url("h1") + target)
    support.wait_until(lambda: site.state("h1")["transfers"], "it waits")
    for _ in range(3):
        assert relay_tools.get(site.url("h1") + "/metadata/1.root.json")[0] == 404
    assert asker.is_alive() and not line.asked_for(target) and site.line_bytes() == 0


def lie_with_bytes(body):
    wrong = bytes(len(body))
    return lambda handler: relay_tools.answer(handler, wrong)


def lie_without_end(_):
    def lie(handler):
        relay_tools.answer(handler, b"", length=1 << 60)
        while True:
            handler.wfile.write(bytes(1 << 16))
    return lie


def lie_by_silence(_):
    def lie(handler):
        relay_tools.answer(handler, b"x", length=300 * KIB)
        handler.rfile.read(1)  # until it is closed
    return lie


def lie_by_denial(_):
    return lambda handler: handler.send_error(404)


@pytest.mark.parametrize("lie", [lie_with_bytes, lie_without_end, lie_by_silence, lie_by_denial])
def test_a_leader_that_lies_is_passed_by(make_site, line, objects, lie):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1", "h2", "h3"])
    liar = relay_tools.Liar(site.ports["h1"], "h1", lie(body), {"transfers": []})
    site.start("h2", "h3")
    site.wait_for_leader("h1")
    support.wait_until(lambda: relay_tools.Asker(site.url("h2") + target).answer(60) == (200, body),
                       "the right bytes", 60)
    assert liar.asked
    if lie is not lie_by_denial:
        assert "member.distrusted member=h1" in site.log("h2")
    liar.close()


def test_a_release_is_staged_past_a_leader_that_lies_about_metadata(make_site, build_dir, path):
    (path / "releases").mkdir()
    releases = staging_tools.Releases(build_dir / "src/cli/segue", path / "releases", ["1.0"])
    with library_tools.nginx(path / "nginx-library", releases.library) as url:
        site = make_site(url, ["h1", "h2"])
        liar = relay_tools.Liar(site.ports["h1"], "h1", lambda handler: relay_tools.answer(handler, b"{}"), {})
        site.start("h2")
        site.wait_for_leader("h1")
        place = staging_tools.Place(releases, path / "place", site.url("h2"))
        place.make_live("1.0")
        assert place.is_live("1.0") and liar.asked
        liar.close()


def test_metadata_is_served_while_the_line_is_down(make_site, line, objects):
    folder = objects.root / "metadata"
    folder.mkdir()
    (folder / "timestamp.json").write_text("one")
    (folder / "1.snapshot.json").write_text("snapshot")
    site = make_site(line.url, ["h1"], "--metadata-max-age-s", "0").start()
    url = site.url("h1") + "/metadata/"
    assert relay_tools.get(url + "timestamp.json") == (200, b"one")
    assert relay_tools.get(url + "1.snapshot.json") == (200, b"snapshot")
    (folder / "timestamp.json").write_text("two, which is longer")
    assert relay_tools.get(url + "timestamp.json") == (200, b"two, which is longer")
    line.cut()
    assert relay_tools.get(url + "timestamp.json") == (200, b"two, which is longer")
    assert relay_tools.get(url + "1.snapshot.json") == (200, b"snapshot")
    assert relay_tools.get(url + "2.snapshot.json")[0] == 502
    assert len(line.asked_for("1.snapshot.json")) == 1


def test_the_cache_stays_within_its_bound(make_site, line, objects):
    targets = [objects.add(400 * KIB) for _ in range(4)]
    site = make_site(line.url, ["h1"], "--cache-max-mib", "1").start()
    for target, body in [*targets, targets[0]]:
        assert relay_tools.get(site.url("h1") + target) == (200, body)
        assert site.state("h1")["cache_bytes"] <= 1 << 20
    assert len(line.asked_for(targets[0][0])) == 2


def test_an_object_that_is_too_long_is_refused(make_site, line, objects):
    target, _ = objects.add(2 << 20)
    site = make_site(line.url, ["h1"], "--object-max-mib", "1").start()
    assert relay_tools.get(site.url("h1") + target)[0] == 502


def test_people_see_how_far_a_site_is(make_site, build_dir, line, objects):
    target, body = objects.add(300 * KIB)
    site = make_site(line.url, ["h1", "h2"]).start()
    site.wait_for_leader("h1")
    line.allow(100 * KIB)
    asker = relay_tools.Asker(site.url("h2") + target, {
        "Segue-Host": "web-7", "Segue-Task": "chat 1.4.2", "Segue-Left": "500000", "Segue-Go-Live": "1900000000"})

    def seen():
        run = subprocess.run([build_dir / "src/cli/segue", "relay", "status", site.url("h1"), "--json"],
                             text=True, capture_output=True, timeout=60, check=True)
        state = json.loads(run.stdout.splitlines()[0])
        hosts = [host for host in state["site_hosts"] if host["bytes"] > 90_000]
        return state["leader"] == "h1" and state["transfers"] and hosts and (state, hosts)
    state, hosts = support.wait_until(seen, "the host and its bytes")
    assert hosts[0]["host"] == "web-7" and hosts[0]["task"] == "chat 1.4.2" and hosts[0]["relay"] == "h2"
    assert hosts[0]["left_bytes"] == 500_000 - hosts[0]["bytes"]
    assert state["transfers"][0]["of"] == len(body) and state["transfers"][0]["go_live"] == 1_900_000_000
    text = subprocess.run([build_dir / "src/cli/segue", "relay", "status", site.url("h2")], text=True,
                          capture_output=True, timeout=60, check=True).stdout
    assert "h1 leads" in text and "web-7  chat 1.4.2" in text
    line.allow(None)
    assert asker.answer() == (200, body)


def test_stage_tells_relays_who_it_is_and_when_it_goes_live(make_site, build_dir, path):
    (path / "releases").mkdir()
    releases = staging_tools.Releases(build_dir / "src/cli/segue", path / "releases", ["1.0"])
    with library_tools.nginx(path / "nginx-library", releases.library) as url:
        site = make_site(url, ["h1"]).start()
        place = staging_tools.Place(releases, path / "place", site.url("h1"))
        place.staged("1.0", "--go-live-at", "2031-01-01T00:00:00Z")
        hosts = site.state("h1")["hosts"]
        assert [(host["task"], host["go_live"], host["left_bytes"]) for host in hosts] == [
            ("chat 1.0", 1_924_992_000, 0)]
        assert place.stage("1.0", "--go-live-at", "soon").returncode == staging_tools.USAGE
