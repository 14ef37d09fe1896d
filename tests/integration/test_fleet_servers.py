# SPDX-License-Identifier: Apache-2.0
"""Two servers on one etcd cluster: either may die, hang or lose the store in the middle of a rollout,
and agents, commands and the rollout go on with the other."""

import http.client
import json
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile

import pytest

from etcd_tools import Etcd, is_installed
from failure_tools import membership_of
from fleet_tools import WITHIN_S, Fleet
from support import free_port, wait_until

HOSTS = ("berlin-1", "oslo-1")
STANDS_BY, STANDS_DOWN = "event=server.stands-by", "event=server.stands-down"
NOBODY = ("no answer from", "leads no more")

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="ETCD IS NOT INSTALLED: several servers are NOT TESTED HERE")


class Server:
    """One of several, with a directory and ports of its own."""

    def __init__(self, fleet, name):
        self.fleet, self.name = fleet, name
        self.path = fleet.path / name
        self.agents_port, self.people_port = free_port(), free_port()
        self.process = None

    def start(self):
        with open(self.fleet.path / f"{self.name}.log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [str(self.fleet.segue.program), "server", "--name", self.name,
                 "--state", str(self.path), "--store", self.fleet.etcd.store,
                 "--advertise", "127.0.0.1", "--agents", f"127.0.0.1:{self.agents_port}",
                 "--listen", f"127.0.0.1:{self.people_port}"],
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=self.fleet.segue.environment)

    def log(self):
        file = self.fleet.path / f"{self.name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def says(self, text, times=1):
        def said():
            assert self.process.poll() is None, f"{self.name} has ended: {self.log()}"
            return self.log().count(text) >= times
        wait_until(said, f"'{text}' of {self.name}", WITHIN_S)

    def start_again(self):
        """… and stands by."""
        stood_by = self.log().count(STANDS_BY)
        self.start()
        self.says(STANDS_BY, stood_by + 1)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=60)

    def stop(self):
        """As systemd does it."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.log()


class ServersFleet(Fleet):
    """The first server alone makes the fleet; the second one comes when hosts have joined."""

    def __init__(self, build_dir, path):
        super().__init__(build_dir, path)
        self.etcd = Etcd(self.path / "etcd")
        self.clients = {}
        self.rollouts = 0
        self.servers = {name: Server(self, name) for name in ("a", "b")}
        self.segue.environment["SEGUE_PROFILE"] = str(self.path / "a/admin.json")

    def begin(self):
        self.etcd.leader()
        first, second = self.servers.values()
        first.start()
        first.says("leads fleet")
        self.join(*HOSTS)
        second.path.mkdir(mode=0o700)
        shutil.copy2(first.path / "authority.key", second.path)
        second.start()
        second.says(STANDS_BY)
        self.deploy_next()

    def server_log(self):
        return "\n".join(server.log() for server in self.servers.values())

    def command(self, *words):
        """Until a server leads: what nobody was asked may be asked again."""
        def answered():
            answer = super(ServersFleet, self).command(*words)
            nobody = answer.exit == 4 and any(words in str(answer) for words in NOBODY)
            return None if nobody else answer
        return wait_until(answered, f"an answer to {words}; {self.server_log()}", WITHIN_S)

    def leader(self):
        """The server that leads, as the store says."""
        held = wait_until(lambda: self.etcd.value("election/server"), "a leader", WITHIN_S)
        return self.servers[held.split(" ")[1]]

    def other(self, server):
        return next(one for one in self.servers.values() if one is not server)

    # ---- Rollouts, each to a version of its own

    def next_version(self):
        self.rollouts += 1
        version = str(self.rollouts)
        self.publish(version, 1 + self.rollouts % 2)
        return version

    def deploy_next(self):
        """… to all hosts, where clients stay from then on."""
        assert self.ended(self.deploy(self.next_version()))["phase"] == "done"
        for name in HOSTS:
            if name not in self.clients:
                self.clients[name] = self.hosts[name].client()
                self.clients[name]("SET", "where", name)

    def all_heard(self):
        try:
            wait_until(lambda: self.heard() == set(HOSTS), "all hosts", WITHIN_S)
        except AssertionError as error:
            logs = "\n".join(host.log() for host in self.hosts.values())
            raise AssertionError(f"{error}; {self.server_log()}; {logs}") from error

    def expect_kept(self):
        """Nobody was cut, nothing was done twice, and the log of what was done is whole."""
        wanted = str(1 + self.rollouts % 2)
        for name, client in self.clients.items():
            assert client("GET", "where") == name.encode(), name
            assert client.info()["respkv_version"] == wanted, name
            attempts = self.hosts[name].segue("history", "kv").last["history"]
            outcomes = [one["outcome"] for one in attempts if one["kind"] == "upgrade"]
            assert outcomes == ["done"] * (self.rollouts - 1), attempts
        def seen():
            instances = self.instances()
            return instances if all("seen" in one for one in instances) else None
        for one in wait_until(seen, "what both hosts report to who leads now", WITHIN_S):
            assert one["seen"]["handoff"]["lost"] == 0, one
        assert self.done("audit", "verify")["whole"]
        assert self.done("audit", "verify", "--store", self.etcd.store)["whole"]

    def finish(self):
        for client in self.clients.values():
            client.close()
        for host in self.hosts.values():
            host.finish()
        for server in self.servers.values():
            if server.process and server.process.poll() is None:
                server.signal(signal.SIGCONT)
                server.kill()
        self.segue.finish()
        self.etcd.finish()


@pytest.fixture(name="fleet", scope="module")
def fleet_fixture(build_dir):
    """One for all tests: each leaves two servers, three members of etcd and what runs as it was."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="sg", dir="/tmp"))
    fleet = ServersFleet(build_dir, path)
    try:
        fleet.begin()
        yield fleet
    finally:
        fleet.finish()
        shutil.rmtree(path, ignore_errors=True)


def test_hosts_and_profiles_learn_of_a_second_server(fleet):
    servers = {f"127.0.0.1:{server.agents_port}" for server in fleet.servers.values()}
    for host in fleet.hosts.values():
        wait_until(lambda file=membership_of(host): set(json.loads(file.read_text())["servers"]) == servers,
                   f"the servers; {host.log()}", WITHIN_S)
    urls = {f"https://127.0.0.1:{server.people_port}" for server in fleet.servers.values()}
    wait_until(lambda: set(json.loads((fleet.path / "a/admin.json").read_text())["urls"]) == urls,
               "the profile", WITHIN_S)
    token = fleet.done("token")["token"]
    assert set(token.split("@")[1].split(",")) == servers


def test_a_server_without_the_fleets_key_is_refused_and_told_what_to_copy(fleet):
    stranger = Server(fleet, "stranger")
    stranger.start()
    assert stranger.process.wait(timeout=WITHIN_S) == 4, stranger.log()
    assert "copy authority.key of another of its servers" in stranger.log()


def test_a_server_that_is_told_to_end_gives_its_place_away(fleet):
    leader = fleet.leader()
    leader.stop()
    held = fleet.etcd.value("election/server")
    assert held is None or held.split(" ")[1] != leader.name, "it would have to be waited for"
    assert fleet.leader() is fleet.other(leader)
    leader.start_again()
    fleet.all_heard()
    profile = fleet.other(leader).path / "admin.json"
    wait_until(profile.exists, "a profile of its own", WITHIN_S)
    assert fleet.done("hosts", "--profile", profile)["hosts"]


def test_the_leading_server_is_killed_in_the_middle_of_a_rollout(fleet):
    rollout = fleet.deploy(fleet.next_version(), waves=[1, "rest"], bake="1h")
    wait_until(lambda: fleet.progress(rollout)["step_phase"] == "baking", "the first wave", WITHIN_S)
    fleet.done("rollout", "promote", rollout, "--all")
    killed = fleet.leader()
    killed.kill()
    assert fleet.ended(rollout)["phase"] == "done"
    assert fleet.leader() is fleet.other(killed)
    fleet.expect_kept()
    killed.start_again()


def test_the_leading_member_of_etcd_is_killed_in_the_middle_of_a_rollout(fleet):
    member = fleet.etcd.leader()
    rollout = fleet.deploy(fleet.next_version(), waves=[1, "rest"])
    fleet.etcd.kill(member)
    assert fleet.ended(rollout)["phase"] == "done"
    fleet.expect_kept()
    fleet.etcd.start(member)
    fleet.etcd.leader()


def test_a_server_that_hung_while_another_was_elected_writes_nothing_and_stands_by(fleet):
    hung = fleet.leader()
    other = fleet.other(hung)
    profile = json.loads((fleet.path / "a/admin.json").read_text())
    line = http.client.HTTPSConnection("127.0.0.1", hung.people_port, timeout=WITHIN_S,
                                       context=ssl.create_default_context(cadata=profile["authority"]))
    fields = {"Authorization": f"Bearer {profile['token']}"}
    line.request("GET", "/v1/status", headers=fields)
    assert line.getresponse().read()
    stood_by = hung.log().count(STANDS_BY)
    hung.signal(signal.SIGSTOP)
    try:
        # It finds this when it goes on, and believes for a moment that it leads.
        line.request("POST", "/v1/stop", '{"on": true}', headers=fields)
        assert wait_until(lambda: fleet.leader() is other, "the other server", WITHIN_S)
        fleet.all_heard()
        rollout = fleet.deploy(fleet.next_version(), waves=[1, "rest"])
    finally:
        hung.signal(signal.SIGCONT)
    try:
        assert line.getresponse().status != 200
    except (OSError, http.client.HTTPException):
        pass  # closed
    line.close()
    hung.says(STANDS_BY, stood_by + 1)
    assert fleet.ended(rollout)["phase"] == "done"
    assert fleet.leader() is other
    assert not json.loads(fleet.etcd.value("fleet"))["stopped"]
    assert not any(entry["action"] == "fleet.stop" for entry in fleet.command("audit", "list", "-n", 0).lines
                   if "action" in entry)
    fleet.expect_kept()


def test_all_of_etcd_is_away_and_the_servers_lead_again_by_themselves(fleet):
    leader = fleet.leader()
    stood_down = leader.log().count(STANDS_DOWN)
    fleet.etcd.kill_all()
    leader.says(STANDS_DOWN, stood_down + 1)
    for name, client in fleet.clients.items():
        assert client("GET", "where") == name.encode(), "what runs needs neither"
    fleet.etcd.start_all()
    fleet.all_heard()
    fleet.deploy_next()
    fleet.expect_kept()
    for server in fleet.servers.values():
        assert server.process.poll() is None, server.log()
