# SPDX-License-Identifier: Apache-2.0
"""A site's relays, the line that they share, and origins that misbehave."""

import contextlib
import http.client
import http.server
import json
import socket
import threading
import urllib.error
import urllib.request

import support


class Line:
    """Stands between a site and its origin: counts the bytes that come, holds them back, cuts it off."""

    def __init__(self, origin_port):
        self.origin_port = origin_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.changed = threading.Condition()
        self.came = 0         # bytes that came to the site, headers too
        self.requests = []    # the first line of each request
        self.allowed = None   # how many may come; None: all
        self.is_cut = False
        self.sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.origin_port))
                self.sockets |= {near, far}
            threading.Thread(target=self._ask, args=(near, far), daemon=True).start()
            threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _ask(self, near, far):
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 16):
                lines = [line for line in data.split(b"\r\n") if line.startswith((b"GET ", b"HEAD "))]
                with self.changed:
                    self.requests += [line.decode() for line in lines]
                far.sendall(data)
        self._end(near, far)

    def _answer(self, far, near):
        with contextlib.suppress(OSError):
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.allowed is None or self.came < self.allowed
                                          or far not in self.sockets)
                    room = 1 << 14 if self.allowed is None else min(1 << 14, self.allowed - self.came)
                if far not in self.sockets or not (data := far.recv(max(room, 1))):
                    break
                near.sendall(data)
                with self.changed:
                    self.came += len(data)
                    self.changed.notify_all()
        self._end(near, far)

    def _end(self, *ended):
        with self.changed:
            self.sockets -= set(ended)
            self.changed.notify_all()
        for one in ended:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def allow(self, count):
        """Lets so many bytes come in all; None: as many as there are."""
        with self.changed:
            self.allowed = count
            self.changed.notify_all()

    def cut(self):
        with self.changed:
            self.is_cut = True
            ended = list(self.sockets)
        self._end(*ended)

    def mend(self):
        with self.changed:
            self.is_cut = False

    def wait_for_bytes(self, count):
        support.wait_until(lambda: self.came >= count, f"{count} bytes over the line")

    def asked_for(self, what):
        with self.changed:
            return [request for request in self.requests if what in request]

    def close(self):
        self.listener.close()
        self.cut()


class Site:
    """Relays of one site; each has two ports in one: that of its host and of the others."""

    def __init__(self, build_dir, path, origin, names, *options, site="berlin"):
        self.program = build_dir / "src/cli/segue"
        self.path, self.origin, self.options, self.site = path, origin, options, site
        self.ports = {name: support.free_port() for name in names}
        self.relays = {}
        self.starts = 0

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def command(self, name, *more):
        members = [word for other in self.ports for word in ("--member", f"{other}={self.url(other)}")]
        return [self.program, "relay", "--site", self.site, "--name", name, *members, "--origin", self.origin,
                "--listen", f"127.0.0.1:{self.ports[name]}", "--cache", self.path / f"cache-{name}",
                *self.options, *more]

    def start(self, *names):
        for name in names or self.ports:
            self.starts += 1
            relay = support.Program(self.command(name), self.path / f"{name}-{self.starts}.log")
            self.relays[name] = relay
        for name in names or self.ports:
            self.relays[name].wait_for_log("relaying")
        return self

    def state(self, name):
        with urllib.request.urlopen(self.url(name) + "/relay/state", timeout=10) as answer:
            return json.load(answer)

    def wait_for_leader(self, leader, *names):
        """Until all of these relays take it for the leader, and know of each other."""
        def is_settled(state):
            alive = {member["name"] for member in state["members"] if member["alive"]}
            return state["leader"] == leader and alive >= set(names or self.relays)

        def agreed():
            return all(is_settled(self.state(name)) for name in names or self.relays)
        support.wait_until(agreed, f"{leader} leads")

    def kill(self, name):
        self.relays.pop(name).kill()

    def line_bytes(self):
        return sum(self.state(name)["line"]["bytes_total"] for name in self.relays)

    def log(self, name):
        return self.relays[name].text()

    def close(self):
        """Ends them; none may have ended by itself. What they logged is shown when a test fails."""
        gone = [name for name, relay in self.relays.items() if not relay.is_running()]
        for name, relay in self.relays.items():
            relay.kill()
            print(f"--- the log of {name}\n{relay.text()}")
        assert not gone, f"ended by themselves: {gone}"


def get(url, headers=None):
    """Status and body."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Asker(threading.Thread):
    """Asks for a file in a thread of its own."""

    def __init__(self, url, headers=None):
        super().__init__(daemon=True)
        self.url, self.headers, self.status, self.body = url, headers, None, None
        self.start()

    def run(self):
        try:
            self.status, self.body = get(self.url, self.headers)
        except (OSError, http.client.HTTPException) as error:  # closed in the middle
            self.status, self.body = 0, str(error).encode()

    def answer(self, deadline_s=support.DEADLINE_S):
        self.join(deadline_s)
        assert not self.is_alive(), f"no answer from {self.url}"
        return self.status, self.body


class Liar:
    """A member of a site that answers as `lie` says: `lie(handler)` answers an object or metadata."""

    def __init__(self, port, name, lie, state, site="berlin"):
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                if self.path == "/relay/state":
                    said = {"site": site, "name": name, "leader": name, "leads": True, "busy": True, **state}
                    return answer(self, json.dumps(said).encode())
                liar.asked.append(self.path)
                with contextlib.suppress(OSError):
                    lie(self)

            def do_HEAD(self):  # noqa: N802
                self.send_error(404)

            def log_message(self, *_):
                pass

        liar = self
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class FitfulOrigin:
    """An origin of one object that answers its first requests as `answers` say: with a status, or by breaking
    off after a third of the object; all others well."""

    def __init__(self, body, answers):
        self.first_bytes = []  # where each request began
        self.sent = 0          # bytes of the object
        origin, left = self, list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                first = int(self.headers.get("Range", "bytes=0-").split("=")[1].rstrip("-"))
                origin.first_bytes.append(first)
                how = left.pop(0) if left else None
                if isinstance(how, int):
                    self.send_response(how)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                piece = body[first:first + len(body) // 3] if how else body[first:]
                self.send_response(206 if first else 200)
                self.send_header("Content-Length", str(len(body) - first))
                if first:
                    self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                self.end_headers()
                self.wfile.write(piece)
                origin.sent += len(piece)
                self.close_connection = how is not None

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def answer(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
