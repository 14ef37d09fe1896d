# SPDX-License-Identifier: Apache-2.0
"""Relays: each byte over the line once, whatever dies, lies or breaks."""

import hashlib
import random

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
        assert len(line.asked_for("/objects/")) == len(set(line.asked_for("/objects/")))
        assert line.came - before < fetched[0] + 16 * KIB
        for place in places:
            assert place.go_live().returncode == 0
            assert place.is_live("1.1")
        line.close()
