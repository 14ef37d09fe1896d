# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface of a server, its description, and somebody who takes its webhooks."""

import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import ssl
import threading
import time
import urllib.error
import urllib.request

import jsonschema

OPENAPI = pathlib.Path(__file__).resolve().parents[2] / "protocol/openapi.json"


class Api:
    """Every JSON answer is checked against protocol/openapi.json."""

    def __init__(self, profile):
        self.profile = json.loads(pathlib.Path(profile).read_text())
        self.context = ssl.create_default_context(cadata=self.profile["authority"])
        self.document = json.loads(OPENAPI.read_text())
        self.checked = set()

    def raw(self, method, path, body=None, **fields):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.profile["url"] + path, method=method, data=data,
            headers={"Authorization": f"Bearer {self.profile['token']}", **fields})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.context) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    def __call__(self, method, path, body=None, **fields):
        """Status and answer."""
        status, kind, text = self.raw(method, path, body, **fields)
        assert kind == "application/json", (kind, text)
        answer = json.loads(text)
        self.check(method, path.split("?")[0], status, answer)
        return status, answer

    def check(self, method, path, status, answer):
        pattern = next((one for one in self.document["paths"] if fits(one, path)), None)
        operation = self.document["paths"].get(pattern, {}).get(method.lower())
        if operation is None:
            response = self.document["components"]["responses"]["Error"]
        else:
            response = operation["responses"].get(str(status)) or operation["responses"]["default"]
            self.checked.add((method, pattern))
        if "$ref" in response:
            response = self.document["components"]["responses"]["Error"]
        schema = response["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(
            {"components": strict(self.document["components"]), **schema}).validate(answer)


def fits(pattern, path):
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        one.startswith("{") or one == other for one, other in zip(wanted, given))


def strict(schema):
    """What is described has no members besides."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: strict(value) for key, value in schema.items()}
    if copy.get("type") == "object" and "properties" in copy:
        copy.setdefault("additionalProperties", False)
    return copy


class Receiver:
    """Takes webhooks as https://www.standardwebhooks.com says, whose signatures are good."""

    def __init__(self, port):
        self.port, self.secret = port, None
        self.taken, self.refused = [], []
        self.server = None

    def start(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204 if receiver.take(self.headers, body) else 401)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def take(self, headers, body):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        age_s = abs(time.time() - int(headers["webhook-timestamp"]))
        good = hmac.compare_digest(wanted, headers["webhook-signature"]) and age_s < 300
        (self.taken if good else self.refused).append((headers["webhook-id"], json.loads(body)))
        return good

    def kinds(self):
        """Each once, in order."""
        return list(dict.fromkeys((ident, body["type"]) for ident, body in self.taken))
