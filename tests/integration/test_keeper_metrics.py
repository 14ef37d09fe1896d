# SPDX-License-Identifier: Apache-2.0
"""/metrics of the keeper, read with Prometheus' own parser."""

import http.client
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keeper_tools import DONE, REFUSED, Component, Segue, send_signal
from support import DEADLINE_S, free_port, wait_until

QUICK = ("--probation-s", "0.1")


@pytest.fixture
def segue(build_dir, short_dir):
    segue = Segue(build_dir, short_dir)
    yield segue
    segue.finish()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self.path)


def get(connection, target="/metrics", method="GET"):
    connection.request(method, target)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


def parse(text):
    """{(name, labels without the component): value}, and the families by name."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {}
    for family in families.values():
        assert family.documentation and family.type != "unknown", family.name
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("component") == "c"
            key = (sample.name, tuple(sorted(labels.items())))
            assert key not in samples, "a sample occurs once"
            samples[key] = sample.value
    return samples, families


def scrape(segue):
    response, body = get(UnixConnection(segue.runtime / "c" / "metrics.sock"))
    assert response.status == 200
    assert response.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    return parse(body)


def value(samples, name, **labels):
    return samples[(f"segue_keeper_{name}", tuple(sorted(labels.items())))]


def test_upgrades_are_counted_and_measured(segue):
    component = Component(segue)
    component.run()
    clients = [component.client() for _ in range(3)]
    for client in clients:
        assert client("INC a")
    assert component.upgrade("2", *QUICK).exit == DONE
    assert component.upgrade("3", *QUICK, misbehaviour=("check",)).exit != DONE
    assert segue("undo", "c", *QUICK).exit == DONE
    samples, families = scrape(segue)
    assert value(samples, "upgrades_total", kind="upgrade", outcome="done") == 1
    assert value(samples, "upgrades_total", kind="upgrade", outcome="failed") == 1
    assert value(samples, "upgrades_total", kind="undo", outcome="done") == 1
    assert value(samples, "phase", phase="serving") == 1
    assert sum(v for (name, _), v in samples.items() if name == "segue_keeper_phase") == 1
    assert value(samples, "blackout_seconds_count") == 2
    past = segue("history", "c").last["history"]
    blackouts = [attempt["blackout_ns"] / 1e9 for attempt in past if attempt["activated_ms"]]
    assert value(samples, "blackout_seconds_sum") == pytest.approx(sum(blackouts))
    buckets = [v for (name, _), v in samples.items()
               if name == "segue_keeper_blackout_seconds_bucket"]
    assert buckets == sorted(buckets) and buckets[-1] == 2, "they are cumulative"
    assert families["segue_keeper_blackout_seconds"].type == "histogram"
    assert value(samples, "connections_moved_total") == 6
    assert value(samples, "connections_lost_total") == 0
    status = component.status()
    assert value(samples, "generation") == status["generation"]
    assert value(samples, "epoch") == status["epoch"] and value(samples, "listeners") == 1
    resident = value(samples, "instance_resident_bytes", generation=str(status["generation"]),
                     role="serving")
    assert resident > 1 << 20

    send_signal(status["pid"], 9)
    wait_until(lambda: value(scrape(segue)[0], "restarts_total") == 1, "the restart is counted")


def test_the_command_prints_what_the_socket_serves(segue):
    component = Component(segue)
    component.run()
    plain = segue.plain("metrics", "c")
    assert plain.exit == DONE
    samples, _ = parse(plain.out)
    assert samples.keys() == scrape(segue)[0].keys()
    assert parse(segue("metrics", "c").last["metrics"])[0].keys() == samples.keys()
    assert segue("metrics", "nobody").exit == REFUSED


def test_it_listens_on_loopback_where_it_is_told_to_and_nowhere_else(segue):
    port = free_port()
    component = Component(segue)
    assert component.run("--metrics-listen", f"127.0.0.1:{port}").exit == DONE
    response, body = get(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S))
    assert response.status == 200 and parse(body)[0]
    other = Component(segue, "d")
    assert other.run("--metrics-listen", f"0.0.0.0:{free_port()}").exit == DONE
    assert "metrics.not_served" in segue.events("d")
    assert segue.plain("keeper", "upgrade", "c").exit == DONE
    response, _ = get(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S))
    assert response.status == 200, "the next program listens again"


def test_anything_but_get_metrics_is_refused_and_the_keeper_goes_on(segue):
    component = Component(segue)
    component.run()
    path = segue.runtime / "c" / "metrics.sock"
    assert get(UnixConnection(path), "/")[0].status == 404
    assert get(UnixConnection(path), method="DELETE")[0].status == 405
    response, body = get(UnixConnection(path), method="HEAD")
    assert response.status == 200 and body == ""
    for words in (b"nonsense\r\n\r\n", b"GET /metrics HTTP/1.1\n\n", b"x" * 5000,
                  b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(path))
            client.sendall(words)
            assert b" 400 " in client.recv(4096)
    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in idle:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
    for client in idle:  # those beyond the bound at once, the others at the time limit
        assert client.recv(10) == b""
        client.close()
    assert scrape(segue)[0]
    assert component.upgrade("2", *QUICK).exit == DONE
