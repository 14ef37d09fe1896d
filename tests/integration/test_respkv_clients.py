# SPDX-License-Identifier: Apache-2.0
"""respkv without any handoff: real clients, and redis-server itself to compare with."""

import random
import subprocess

import pytest
import redis

from support import RespClient, RespError, wait_until

MIB = 1 << 20


@pytest.fixture(params=[1, 2, 3], ids=["v1", "v2", "v3"])
def server(request, respkv):
    respkv.start(request.param)
    respkv.version = request.param
    return respkv


def run(*command, text=None):
    done = subprocess.run([str(word) for word in command], input=text, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_redis_cli_speaks_both_protocols(server):
    for protocol in (["-3"], []):
        cli = ["redis-cli", *protocol, "-p", server.port]
        assert run(*cli, "set", "greeting", "hello world", "ex", "100").strip() == "OK"
        assert run(*cli, "get", "greeting").strip() == "hello world"
        assert run(*cli, "ttl", "greeting").strip() in ("99", "100")
        assert f"respkv_version:{server.version}" in run(*cli, "info")
        assert run(*cli, text="multi\nincr n\nincr n\nexec\n").split()[-1].isdigit()
        assert "ERR unknown command 'nonsense'" in run(*cli, "nonsense", "x")


def test_redis_cli_mass_insertion(server):
    requests = b"".join(RespClient.encode("SET", f"key:{i}", i) for i in range(20_000))
    done = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=requests,
                          stdout=subprocess.PIPE, timeout=60, check=True)
    assert b"errors: 0, replies: 20000" in done.stdout
    assert server.client()("DBSIZE") == 20_000


def test_redis_benchmark_runs_all_its_tests(server):
    output = run("redis-benchmark", "-p", server.port, "-n", "2000", "-c", "20", "-P", "16",
                 "--csv", "-r", "100")
    assert output.count('","') >= 19 * 7, output
    assert "error" not in output.lower(), output


def test_python_client(server):
    client = redis.Redis(port=server.port, client_name="tester", decode_responses=True)
    assert client.ping()
    assert client.set("a", 1, px=60_000) and client.incr("a") == 2
    assert client.mset({"b": "x", "c": "y"}) and client.mget("b", "c", "d") == ["x", "y", None]
    assert client.rpush("list", *"abc") == 3 and client.lrange("list", 0, -1) == list("abc")
    assert client.hset("hash", mapping={"f": "1", "g": "2"}) == 2
    assert client.hgetall("hash") == {"f": "1", "g": "2"}
    assert client.sadd("set", "m", "n") == 2 and client.smembers("set") == {"m", "n"}
    assert client.zadd("zset", {"low": 1, "high": 2.5}) == 2
    assert client.zpopmin("zset") == [("low", 1.0)]
    assert set(client.scan_iter(count=2)) == {"a", "b", "c", "list", "hash", "set", "zset"}
    assert client.client_getname() == "tester"
    assert client.blpop("list", timeout=1) == ("list", "a")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.incr("list")
    with client.pipeline() as pipe:
        pipe.watch("a")
        pipe.multi()
        pipe.incr("a")
        assert pipe.execute() == [3]
        pipe.watch("a")
        client.set("a", "other")
        pipe.multi()
        pipe.get("a")
        with pytest.raises(redis.WatchError):
            pipe.execute()


def test_python_subscriber(server):
    client = redis.Redis(port=server.port, decode_responses=True)
    with client.pubsub() as listener:
        listener.subscribe("news")
        listener.psubscribe("n*")
        wait_until(lambda: client.pubsub_numpat() == 1, "the pattern is known")
        assert client.publish("news", "hello") == 2
        got = []

        def received():
            message = listener.get_message(ignore_subscribe_messages=True)
            if message:
                got.append((message["type"], message["data"]))
            return len(got) == 2
        wait_until(received, "both messages")
        assert got == [("message", "hello"), ("pmessage", "hello")]
        assert client.pubsub_numsub("news") == [("news", 1)]


def test_answers_in_order_however_the_requests_are_cut(server):
    client = server.client()
    requests = b"".join(RespClient.encode("ECHO", f"{i}" * (i % 50 + 1)) for i in range(500))
    requests += b"PING\r\nECHO \"in line\\x21\"\r\n\r\n*0\r\n" + RespClient.encode("PING")
    cuts = random.Random(7)
    while requests:
        size = cuts.randint(1, 300)
        client.send_bytes(requests[:size])
        requests = requests[size:]
    for i in range(500):
        assert client.read() == (f"{i}" * (i % 50 + 1)).encode()
    assert [client.read() for _ in range(3)] == ["PONG", b"in line!", "PONG"]


def test_a_long_pipeline_is_answered_though_nobody_reads_meanwhile(server):
    client = server.client()
    client("SET", "big", "x" * 10_000)
    client.send_bytes(RespClient.encode("GET", "big") * 5_000)  # 50 MB of answers
    for _ in range(5_000):
        assert len(client.read()) == 10_000


def test_large_values(server):
    client = server.client()
    value = random.Random(1).randbytes(40 * MIB)
    assert client("SET", "large", value) == "OK"
    assert client("GET", "large") == value
    assert client("STRLEN", "large") == len(value)


@pytest.mark.parametrize("sent, error", [
    (b"*1\r\n+PING\r\n", "ERR Protocol error: expected '$', got '+'"),
    (b"*1048577\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*x\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length"),
    (b"SET \"a\r\n", "ERR Protocol error: unbalanced quotes in request"),
    (b"x" * 70_000, "ERR Protocol error: too big inline request"),
])
def test_protocol_errors_are_told_and_end_the_connection(server, sent, error):
    client = server.client()
    client.send_bytes(sent)
    assert str(client.read()) == error
    wait_until(client.is_closed, "the end of the connection")
    assert server.client()("PING") == "PONG"


def test_a_subscriber_that_does_not_read_is_cut_off(server):
    slow, publisher = server.client(), server.client()
    slow("SUBSCRIBE", "firehose")
    message = "x" * MIB

    def cut_off():
        publisher("PUBLISH", "firehose", message)
        return publisher.info()["closed_over_limit"] == "1"
    wait_until(cut_off, "the slow subscriber is cut off")
    with pytest.raises(ConnectionError):
        while True:
            slow.read()
    assert publisher("PUBLISH", "firehose", "x") == 0


def test_object_shows_what_each_version_keeps(server):
    client = server.client()
    client("SET", "key", "1")
    client("INCR", "key")
    changes = client("OBJECT", "FREQ", "key")
    if server.version == 1:
        assert isinstance(changes, RespError)
    else:
        assert changes == 2
    assert client("OBJECT", "IDLETIME", "key") in (0, 1)


def test_client_reply_modes(server):
    client = server.client()
    client.send("CLIENT", "REPLY", "SKIP")
    client.send("SET", "a", "1")
    assert client("GET", "a") == b"1"
    client.send("CLIENT", "REPLY", "OFF")
    client.send("GET", "a")
    assert client("CLIENT", "REPLY", "ON") == "OK"
    assert client("GET", "a") == b"1"


def test_blocked_clients_are_served_in_the_order_of_their_arrival(server):
    first, second, pusher = (server.client() for _ in range(3))
    for number, client in enumerate((first, second), start=1):
        client.send("BLPOP", "queue", "other", "0")
        wait_until(lambda n=number: pusher.info()["blocked_clients"] == str(n), "it is blocked")
    pusher("RPUSH", "queue", "a", "b", "c")
    assert first.read() == [b"queue", b"a"]
    assert second.read() == [b"queue", b"b"]
    assert pusher("LRANGE", "queue", "0", "-1") == [b"c"]
    first.send_bytes(RespClient.encode("BLPOP", "none", "0.05") + RespClient.encode("PING"))
    assert first.read() is None and first.read() == "PONG"


def test_keys_end_in_time_and_without_being_asked_for(server):
    client = server.client()
    for i in range(100):
        client("SET", f"short:{i}", "x", "PX", "30")
    client("SET", "long", "x", "EX", "100")
    wait_until(lambda: client("DBSIZE") == 1, "the keys have ended")
    assert client.info()["expired_keys"] == "100"


@pytest.mark.parametrize("arguments, told", [
    ([], "--listen is missing"),
    (["--listen"], "--listen needs a value"),
    (["--listen", "ftp:1"], "neither tcp:ADDRESS:PORT nor unix:PATH"),
    (["--listen", "unix:/tmp/x", "--budget-us", "0"], "--budget-us '0' is not a number"),
    (["--nonsense", "1"], "unknown option '--nonsense'"),
    (["--listen", "unix:/tmp/x", "--break", "vote"], "only version 2 has it"),
])
def test_bad_arguments_are_refused_in_one_line(build_dir, arguments, told):
    done = subprocess.run([build_dir / "examples/respkv/respkv-v1", *arguments], text=True,
                          timeout=60, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1


# ---- The same random commands at redis-server and at respkv -----------------------------------

KEYS = [f"k{i}" for i in range(6)]
WORDS = ["", "a", "b", "10", "-3", "2.5", "x" * 100, "0"]
NUMBERS = ["0", "1", "-1", "2", "-2", "7", "-100", "100", "9223372036854775807", "nonsense", "1.5"]
# Long past or far ahead, so that nothing ends between two answers.
TIMES = ["0", "-1", "-100", "100000", "99999999999", "9223372036854775807", "nonsense", "1.5"]
SHAPES = """
GET k|SET k w|SET k w NX|SET k w XX|SET k w GET|SET k w EX 100|SET k w PX t|SET k w KEEPTTL
SET k w NX GET|SET k w EX|GETSET k w|GETDEL k|SETEX k t w|PSETEX k t w|SETNX k w|APPEND k w|STRLEN k
GETRANGE k n n|SETRANGE k 3 w|SETRANGE k -1 w|MGET k k k|MSET k w k w|MSET k w k|MSETNX k w k w
INCR k|DECR k|INCRBY k n|DECRBY k n|INCRBYFLOAT k w|INCRBYFLOAT k n
EXPIRE k 100|EXPIRE k t|EXPIRE k 100 NX|EXPIRE k s GT|EXPIRE k s LT|EXPIRE k 60 XX|PEXPIRE k t
EXPIREAT k t|TTL k|PERSIST k
DEL k k|UNLINK k|EXISTS k k k|TYPE k|DBSIZE|RENAME k k|RENAMENX k k|TOUCH k k
LPUSH k w w|RPUSH k w w w|LPUSHX k w|RPUSHX k w|LPOP k|RPOP k|LPOP k n|RPOP k 2|LLEN k|LRANGE k n n
LRANGE k 0 -1|LINDEX k n|LSET k n w|LREM k n w|LTRIM k n n|LTRIM k 1 -2|LMOVE k k LEFT RIGHT
LMOVE k k RIGHT LEFT|LMOVE k k UP LEFT|RPOPLPUSH k k|BLPOP k k 0.001|BRPOP k -1|BLPOP k x
HSET k w w|HSET k a w b w 10 w|HSET k w|HMSET k w w|HSETNX k w w|HGET k w|HMGET k w w|HDEL k w w
HLEN k|HEXISTS k w|HINCRBY k w n
SADD k w w w|SREM k w w|SISMEMBER k w|SCARD k|ZADD k n w|ZADD k 1 a 2 b 2.5 x|ZADD k nan a
ZREM k w|ZCARD k|ZSCORE k w|ZRANGE k 0 -1|ZRANGE k n n WITHSCORES|ZPOPMIN k|ZPOPMIN k 2
MULTI|EXEC|DISCARD|WATCH k|UNWATCH|PING|PING w|ECHO w|SELECT 0|SELECT 99|GET|FOO k w|CLIENT FOO
OBJECT FREQ|HELLO 9|CLIENT GETNAME|CLIENT SETNAME a|CLIENT SETNAME a\tb|RESET
""".replace("\n", "|").strip("|").split("|")
UNORDERED = ["SMEMBERS k", "HGETALL k", "HKEYS k", "HVALS k"]


def random_command(rng):
    # s: seconds that no other command has, so that GT and LT compare no two times that are a
    # millisecond apart at one server and the same at the other.
    choose = {"k": KEYS, "w": WORDS, "n": NUMBERS, "t": TIMES, "s": [str(rng.randint(1_000, 10**9))]}
    words = rng.choice(SHAPES + UNORDERED).split(" ")
    return [words[0]] + [rng.choice(choose.get(word, [word])) for word in words[1:]]


def comparable(command, reply):
    """The reply; what comes in no particular order is sorted."""
    if isinstance(reply, RespError):
        return str(reply)
    if not isinstance(reply, list):
        return reply
    items = [comparable(["inside"] if command == ["EXEC"] else None, item) for item in reply]
    if command and command[0] == "HGETALL":
        items = list(zip(items[::2], items[1::2]))
    unordered = command == ["inside"] or (command and f"{command[0]} k" in UNORDERED)
    return sorted(items, key=repr) if unordered else items


def same(command, expected, got):
    """Equal; of a time to live, whose two clocks started one after the other, to the second."""
    if command[0] == "TTL" and isinstance(expected, int) and isinstance(got, int) and expected > 1:
        return abs(expected - got) <= 1
    return expected == got


@pytest.mark.parametrize("protocol", [2, 3])
def test_answers_as_redis_server_does(server, redis_server, protocol):
    rng = random.Random(server.version * 10 + protocol)
    ours, theirs = server.client(), RespClient(redis_server)
    history = []
    for _ in range(6_000):
        if history[-1:] in ([], [["RESET"]]):
            ours("HELLO", protocol), theirs("HELLO", protocol)
        command = random_command(rng)
        history.append(command)
        ours.send(*command)
        theirs.send(*command)
        expected, got = comparable(command, theirs.read()), comparable(command, ours.read())
        assert same(command, expected, got), (
            f"{command} after {history[-12:-1]}: {got!r}, but redis-server says {expected!r}")
    theirs.close()
