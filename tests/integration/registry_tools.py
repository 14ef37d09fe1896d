# SPDX-License-Identifier: Apache-2.0
"""A registry of container images on this machine, by HTTP, as engines allow on 127.0.0.1 alone."""

import base64
import crypt
import hashlib
import http.client
import io
import json
import shutil
import tarfile

from support import Program, free_port, wait_until

CONFIGURATION = """version: 0.1
storage:
  filesystem:
    rootdirectory: {}/images
http:
  addr: 127.0.0.1:{}
auth:
  htpasswd:
    realm: shop
    path: {}
"""
NAME, PASSWORD = "shop", "known to few"
OCI = "application/vnd.oci.image"


def why_no_registry():
    return "" if shutil.which("docker-registry") else "docker-registry is not installed"


class Registry:
    def __init__(self, path):
        path.mkdir()
        self.port = free_port()
        (path / "people").write_text(f"{NAME}:{crypt.crypt(PASSWORD, crypt.METHOD_BLOWFISH)}\n")
        (path / "config.yml").write_text(CONFIGURATION.format(path, self.port, path / "people"))
        self.credentials = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        self.login = path / "login.json"  # as `podman login` keeps it
        self.login.write_text(json.dumps({"auths": {f"127.0.0.1:{self.port}": {"auth": self.credentials}}}))
        self.process = Program(["docker-registry", "serve", path / "config.yml"], path / "registry.log")
        wait_until(self.answers, f"the registry: {self.process.text()}")

    def answers(self):
        try:
            return self.ask("GET", "/v2/")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, body=None, kind="application/octet-stream"):
        """Status, and where the answer says to go on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": kind, "Authorization": f"Basic {self.credentials}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("Location", "")
        finally:
            connection.close()

    def pulls(self, name):
        """How often a manifest of it was given out."""
        return self.process.text().count(f'"GET /v2/{name}/manifests/')

    def push(self, archive, name, tag):
        """Of image_of(); how engines call it then."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            config, layer = (tar.extractfile(member).read() for member in ("config.json", "layer.tar"))
        manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
                    "config": self.push_blob(name, config, f"{OCI}.config.v1+json"),
                    "layers": [self.push_blob(name, layer, f"{OCI}.layer.v1.tar")]}
        status, _ = self.ask("PUT", f"/v2/{name}/manifests/{tag}", json.dumps(manifest), manifest["mediaType"])
        assert status == 201, (status, self.process.text())
        return f"127.0.0.1:{self.port}/{name}:{tag}"

    def push_blob(self, name, data, kind):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, place = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert status == 202, (status, self.process.text())
        place = "/v2/" + place.split("/v2/", 1)[1]
        status, _ = self.ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data)
        assert status == 201, (status, self.process.text())
        return {"mediaType": kind, "size": len(data), "digest": digest}

    def finish(self):
        self.process.kill()
