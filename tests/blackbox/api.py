"""The API as a caller sees it, without dray's own client: requests sent as they are written, and the formats from docs/format/."""
import hashlib
import http.client
import json
import os
import socket
import struct
import time
import urllib.parse

PATIENCE = 30
BLOCK = 64 * 1024


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {k.lower(): v for k, v in headers}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code; everything that every problem must have is checked on the way."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["dray-request-id"]
        assert problem["type"] == "urn:dray:error:" + problem["code"]
        assert problem["title"] and problem["detail"] and isinstance(problem["retryable"], bool)
        return problem["code"]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Api:
    """Calls over one connection, opened again when the server has closed it."""

    def __init__(self, address, token=None):
        self.address, self.token = address, token
        self.conn = http.client.HTTPConnection(*address, timeout=PATIENCE)

    def call(self, method, target, body=None, headers=None, token=...):
        """${body}: bytes as they are, anything else as JSON.  A header of None is left out."""
        sent = {}
        token = self.token if token is ... else token
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        sent = {k: v for k, v in sent.items() if v is not None}
        for last in (False, True):
            try:
                self.conn.request(method, target, body=body, headers=sent)
                answer = self.conn.getresponse()
                return Answer(answer.status, answer.getheaders(), answer.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.conn.close()
                if last:
                    raise
        raise AssertionError("not reached")

    def get(self, target, **more):
        return self.call("GET", target, **more)

    def ok(self, method, target, body=None, status=200, **more):
        answer = self.call(method, target, body, **more)
        assert answer.status == status, answer
        return answer.json if answer.body else None

    def raw(self, data):
        """Send bytes; what came back until the server closed or went quiet, and whether it closed."""
        with socket.create_connection(self.address, timeout=PATIENCE) as s:
            s.sendall(data)
            s.settimeout(0.5)
            got = b""
            try:
                while piece := s.recv(65536):
                    got += piece
            except TimeoutError:
                return got, False
            except ConnectionResetError:
                pass
            return got, True


class Project:
    """A project with a device of its own."""

    def __init__(self, server, owner, id, token):
        self.server, self.owner, self.id = server, owner, id
        self.api = server.api(token)
        self.base = f"/projects/{id}"

    @classmethod
    def create(cls, server, owner, name):
        made = owner.ok("POST", "/projects", {"name": name}, status=201)
        device = owner.ok("POST", f"/projects/{made['id']}/devices", {"name": "tester"}, status=201)
        return cls(server, owner, made["id"], device["token"])

    def call(self, method, path, body=None, **more):
        return self.api.call(method, self.base + path, body, **more)

    def ok(self, method, path, body=None, **more):
        return self.api.ok(method, self.base + path, body, **more)

    def device(self, name="other", role="writer"):
        """Another device's API."""
        made = self.owner.ok("POST", self.base + "/devices", {"name": name, "role": role}, status=201)
        return self.server.api(made["token"])

    def put(self, path, data, **more):
        """A file by its path; its object."""
        target = f"{self.base}/content/{urllib.parse.quote(path)}"
        answer = self.api.call("PUT", target, data, **more)
        assert answer.status in (200, 201), answer
        return answer.json

    def commit(self, *operations, **more):
        return self.call("POST", "/commits", {"operations": list(operations)}, **more)

    def commit_ok(self, *operations):
        answer = self.commit(*operations)
        assert answer.status == 200, answer
        assert all(r["status"] == "ok" for r in answer.json["results"]), answer.json["results"]
        return answer.json

    def transfer(self, **more):
        return self.ok("POST", "/transfers", more, status=201)["id"]

    def send_chunk(self, transfer, n, chunk):
        return self.ok("PUT", f"/transfers/{transfer}/chunks/{n}", chunk.data)

    def state(self):
        """All that a caller could see change: compare two of them to show that nothing did."""
        end = time.monotonic() + PATIENCE
        while (answer := self.call("GET", "/files/changes?limit=1000")).status == 429:
            assert time.monotonic() < end, answer
            time.sleep(0.05)  # of an empty project there is nothing to tell, and many a test asks for that in a loop
        assert answer.status == 200, answer
        changes = answer.json
        assert not changes["has_more"]
        return {k: changes[k] for k in ("added", "modified", "deleted", "last_sync", "digest")}

    def files(self):
        """{path: file} of everything that is live."""
        state = self.state()
        return {f["path"]: f for f in state["added"] + state["modified"]}


class Unchanged:
    """with Unchanged(project): nothing in it may change the project."""

    def __init__(self, project):
        self.project = project

    def __enter__(self):
        self.before = self.project.state()

    def __exit__(self, kind, *_):
        if kind is None:
            assert self.project.state() == self.before


# ---- formats ----------------------------------------------------------------------------------------------------------------


class Chunk:
    """A chunk container of raw blocks."""

    def __init__(self, *blocks):
        table = b"".join(hashlib.sha256(b).digest() + struct.pack("<II", len(b), len(b)) for b in blocks)
        header = b"DRAYCHK1" + struct.pack("<II", len(blocks), 0) + table
        self.blocks = blocks
        self.id = hashlib.sha256(header).hexdigest()
        self.data = header + b"".join(blocks)


def content_hash(blocks):
    return hashlib.sha256(b"".join(hashlib.sha256(b).digest() + struct.pack("<I", len(b)) for b in blocks)).hexdigest()


def packed(chunk):
    """A page of a block list: every block of one chunk."""
    page = b"DRAYBLK1" + struct.pack("<II", len(chunk.blocks), 1) + bytes.fromhex(chunk.id) + struct.pack("<II", 0, len(chunk.blocks))
    return page + b"".join(hashlib.sha256(b).digest() + struct.pack("<I", len(b)) for b in chunk.blocks)


def cut(data):
    return [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)]


def put_op(path, data, chunk, first=0, **more):
    """A put whose bytes are the blocks of ${chunk} from ${first} on."""
    blocks = cut(data)
    extents = [{"chunk": chunk.id, "first": first, "count": len(blocks)}] if blocks else []
    return {"op": "put", "path": path, "kind": "file", "size": len(data), "content_hash": content_hash(blocks), "extents": extents, **more}


def digest_of(files):
    """The digest that a tree must have (docs/protocol/digest.md)."""
    total = 0
    for f in files:
        kind = {"file": 0, "dir": 1, "link": 2}[f["kind"]]
        size = f["size"] if f["kind"] == "file" else 0
        entry = bytes.fromhex(f["id"]) + struct.pack("<Q", f["version"]) + bytes.fromhex(f.get("content_hash", "00" * 32)) + \
            struct.pack("<IBQ", int(f["mode"], 8), kind, size) + f["path"].encode()
        total += int.from_bytes(hashlib.sha256(entry).digest(), "little")
    return (total % 2**256).to_bytes(32, "little").hex()


def random_bytes(n):
    return os.urandom(n)
