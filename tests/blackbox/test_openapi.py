"""docs/protocol/openapi.yaml against the tables that it describes and against a running server, in both directions.

What the server answers must be documented: status, code, headers, members.  What is documented must happen: each success and each
error of an operation is seen here, but for those in UNSEEN.
"""
import gzip
import http.client
import json
import re
import subprocess
import urllib.parse

import jsonschema
import pytest
import yaml

from api import Answer, Chunk, Project, content_hash, cut, packed, put_op, random_bytes
from devices import ROOT

DOC = yaml.safe_load((ROOT / "docs/protocol/openapi.yaml").read_text())
METHODS = ("get", "put", "post", "patch", "delete")
OPERATIONS = {op["operationId"]: (method.upper(), path, op) for path, item in DOC["paths"].items() for method, op in item.items()
              if method in METHODS}
ROUTE = re.compile(r'^ROUTE\((\w+),\s*"([^"]+)",\s*(\w+),\s*(\w+),\s*(\w+)\)', re.M)
ERROR = re.compile(r'^ERROR\(\w+, "(\w+)", (\d+),', re.M)
ERRORS_DEF = (ROOT / "src/base/errors.def").read_text()
STATUS = {code: int(status) for code, status in ERROR.findall(ERRORS_DEF)}
LOCAL = set(dict(ERROR.findall(ERRORS_DEF.split("/* Never sent over HTTP")[1])))

# Need a broken disk, a race, a loop, or more than a test can wait for; others show them.
UNSEEN = {"store_read_only", "disk_full", "chunk_corrupt", "idempotency_running", "cursor_expired", "too_many_uploads", "version_conflict",
          "unavailable", "too_many_requests"}
# On every answer, so not repeated at each.
COMMON = {"date", "server", "dray-request-id", "x-content-type-options", "cache-control", "connection", "content-length", "content-type",
          "vary"}


def resolved(part):
    """Follow a reference within the document."""
    while "$ref" in part:
        target = DOC
        for key in part["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        part = target
    return part


def validate(value, schema):
    resolver = jsonschema.RefResolver("", DOC)
    errors = list(jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(value))
    assert not errors, "\n".join(f"{e.json_path}: {e.message[:500]}" for e in errors[:5])


def takes_json(op):
    return "application/json" in op.get("requestBody", {}).get("content", {})


# ---- the document by itself, and against the tables ------------------------------------------------------------------------------


def test_routes():
    rows = {}
    for method, path, who, body, handler in ROUTE.findall((ROOT / "src/wire/routes.def").read_text()):
        rows[method, re.sub(r"[:*](\w+)", r"{\1}", path)] = (who.lower(), body, handler)
    assert len(rows) == (ROOT / "src/wire/routes.def").read_text().count("\nROUTE(")
    assert {(m, p): (op["x-dray-access"], op["operationId"]) for m, p, op in OPERATIONS.values()} == \
        {row: (who, handler) for row, (who, _, handler) in rows.items()}
    types = {"NONE": [set()], "JSON": [{"application/json"}], "BATCH": [{"application/json"}], "BLOCKS": [{"application/octet-stream"}],
             "STREAM": [{"application/octet-stream"}, {"*/*"}]}
    for method, path, op in OPERATIONS.values():
        assert set(op.get("requestBody", {"content": {}})["content"]) in types[rows[method, path][1]], (method, path)
        assert ("security" in op) == (op["x-dray-access"] == "anyone"), (method, path)


@pytest.mark.parametrize("id", OPERATIONS)
def test_parameters(id):
    method, path, op = OPERATIONS[id]
    declared = [resolved(p) for p in DOC["paths"][path].get("parameters", []) + op.get("parameters", [])]
    assert {p["name"] for p in declared if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
    assert ("Idempotency-Key" in {p["name"] for p in declared}) == (method == "POST" and not op.get("x-dray-safe"))


def test_codes():
    assert DOC["components"]["schemas"]["Code"]["enum"] == list(STATUS)
    assert "usage" in LOCAL and list(STATUS)[-len(LOCAL):] == [c for c in STATUS if c in LOCAL]


@pytest.mark.parametrize("id", OPERATIONS)
def test_statuses_are_those_of_the_codes(id):
    op = OPERATIONS[id][2]
    assert set(op["x-dray-errors"]) <= set(STATUS) - LOCAL and len(set(op["x-dray-errors"])) == len(op["x-dray-errors"])
    assert {int(s) for s in op["responses"] if s >= "4" and s != "default"} == {STATUS[c] for c in op["x-dray-errors"]}
    assert set(DOC["x-dray-errors-any"]) <= set(STATUS) - LOCAL


def test_limits():
    text = (ROOT / "src/base/limits.h").read_text()
    units = {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
    for name, value in DOC["x-dray-limits"].items():
        (said,) = re.findall(rf"^#define {name}\s+(.*?)\s*(?:/\*.*)?$", text, re.M)
        while words := set(re.findall(r"[A-Z_]{2,}", said)) - set(units):
            for word in words:
                said = said.replace(word, re.findall(rf"^#define {word}\s+(.*?)\s*(?:/\*.*)?$", text, re.M)[0])
        assert eval(said, {}, units) == value, name  # an expression of our own header
    assert DOC["info"]["version"] == (ROOT / "VERSION").read_text().strip()


def everything(part, where=""):
    yield where, part
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        yield from everything(value, f"{where}/{key}")


def test_references_schemas_and_examples():
    examples = 0
    for where, part in everything(DOC):
        if not isinstance(part, dict) or "/example" in where:
            continue
        if isinstance(part.get("$ref"), str):
            resolved(part)
        if isinstance(part.get("schema"), dict):
            jsonschema.Draft202012Validator.check_schema(part["schema"])
            for value in [part["example"]] if "example" in part else [e["value"] for e in part.get("examples", {}).values()]:
                if isinstance(value, (dict, list)) or "name" in part:
                    validate(value, part["schema"])
                    examples += 1
    for name, schema in DOC["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False, name
    assert examples > 40


# ---- against a server --------------------------------------------------------------------------------------------------------------


class World:
    """A project with something of everything, and callers of every kind."""

    def __init__(self, server, owner):
        self.server, self.owner = server, owner
        self.p = Project.create(server, owner, "contract")
        self.stranger = Project.create(server, owner, "stranger")
        self.tokens = {"owner": server.owner_token, "writer": self.p.api.token, "reader": self.p.device("reader", "reader").token,
                       "stranger": self.stranger.api.token}
        gone = owner.ok("POST", self.p.base + "/devices", {"name": "gone"}, status=201)
        owner.ok("DELETE", f"{self.p.base}/devices/{gone['id']}", status=204)
        self.tokens["revoked"] = gone["token"]
        self.tokens["broken"] = "dray_" + "0" * 43 + "_000000"
        self.data = random_bytes(150_000)
        self.chunk = Chunk(*cut(self.data))
        self.transfer = self.p.transfer(path="d/file", size=len(self.data))
        self.p.send_chunk(self.transfer, 0, self.chunk)
        self.p.put("d/small", b"hello\n")
        made = self.p.commit_ok(put_op("d/file", self.data, self.chunk), {"op": "put", "path": "l", "kind": "link", "target": "d/file"},
                                {"op": "put", "path": "nul.txt", "kind": "dir"})
        self.file = made["results"][0]["id"]
        self.ended = self.p.transfer()
        self.p.ok("DELETE", f"/transfers/{self.ended}", status=204)
        self.device = gone["id"]
        self.conflict = "0" * 32

    def params(self, path):
        known = {"project": self.p.id, "file": self.file, "path": "d/small", "transfer": self.transfer, "n": "0", "hash": self.chunk.id,
                 "device": self.device, "conflict": self.conflict}
        return {name: known[name] for name in re.findall(r"{(\w+)}", path)}

    def send(self, id, query="", body=None, headers=(), who="", method=None, **params):
        """Call operation ${id}: the answer, held against the document, which must know it."""
        of, path, op = OPERATIONS[id]
        who = who or ("owner" if op["x-dray-access"] == "owner" else "writer")
        values = {**self.params(path), **params}
        target = re.sub(r"{(\w+)}", lambda m: urllib.parse.quote(values[m[1]], safe="/%"), path) + (query and "?" + query)
        sent = [("Authorization", f"Bearer {self.tokens[who]}")] if who != "nobody" else []
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        sent += list(dict(headers).items() if isinstance(headers, dict) else headers)
        if body is not None and "Content-Type" not in dict(sent) and takes_json(op):
            sent.append(("Content-Type", "application/json"))
        if of in ("PUT", "POST", "PATCH") and not {"Content-Length", "Transfer-Encoding"} & set(dict(sent)):
            sent.append(("Content-Length", str(len(body or b""))))
        conn = http.client.HTTPConnection(*self.server.address, timeout=60)
        conn.putrequest(method or of, target, skip_accept_encoding=True)
        for name, value in sent:
            if value is not None:
                conn.putheader(name, value)
        conn.endheaders(body)
        got = conn.getresponse()
        answer = Answer(got.status, got.getheaders(), got.read())
        conn.close()
        check(op, answer, head=method == "HEAD")
        return answer


def check(op, answer, head=False):
    said = f"{op['operationId']}: {answer}"
    response = op["responses"].get(str(answer.status))
    if answer.status >= 400 and head:
        response = response or op["responses"]["default"]
    elif answer.status >= 400:
        assert answer.code in set(op["x-dray-errors"]) | set(DOC["x-dray-errors-any"]), said
        assert STATUS[answer.code] == answer.status, said
        response = response or op["responses"]["default"]
    assert response is not None, said
    response = resolved(response)
    headers = {name.lower(): resolved(h) for name, h in response.get("headers", {}).items()}
    assert set(answer.headers) <= COMMON | set(headers), said
    assert {name for name, h in headers.items() if h.get("required")} <= set(answer.headers), said
    for name, h in headers.items():
        if name in answer.headers and h["schema"].get("type") == "string":
            validate(answer.headers[name], h["schema"])
    if not head:
        check_body(response, answer, said)


def check_body(response, answer, said):
    content = response.get("content", {})
    if not content:
        assert not answer.body and "content-type" not in answer.headers, said
        return
    type = answer.headers["content-type"]
    assert type in content or "*/*" in content, said
    if answer.status == 206 or type not in content:
        return
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    if answer.headers.get("content-encoding") == "zstd":
        body = subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout
    schema = content[type].get("schema", {})
    if type.endswith("json") and "x-dray-line" not in schema:
        validate(json.loads(body), schema)
    elif "x-dray-line" in schema:
        first, *lines = body.decode().splitlines()
        validate(json.loads(first), schema["x-dray-first-line"])
        for line in lines:
            validate(json.loads(line), schema["x-dray-line"])


@pytest.fixture(scope="session")
def world(server):
    return World(server, server.api(server.owner_token))


# ---- calls that do what they should: one function for each operation, yielding answers ------------------------------------------------


def conditional(w, id, **more):
    """What everything with an entity tag and ranges answers."""
    yield (whole := w.send(id, **more))
    yield w.send(id, headers={"Range": "bytes=1-2"}, **more)
    yield w.send(id, headers={"If-None-Match": whole.headers["etag"]}, **more)
    yield w.send(id, headers={"If-Match": '"another"'}, **more)
    yield w.send(id, headers={"If-Match": "another"}, **more)
    yield w.send(id, headers={"Range": f"bytes={len(whole.body)}-"}, **more)
    yield w.send(id, headers={"Range": "bytes=0-1,3-4"}, **more)


def again(w, id, body, other):
    """The same request twice with one key, and the key for another request."""
    key = {"Idempotency-Key": f"{id} {random_bytes(8).hex()}".replace(" ", "-")}
    first, second = w.send(id, body=body, headers=key), w.send(id, body=body, headers=key)
    assert second.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
    kept = {k: v for k, v in first.json.items() if k != "token"}
    assert second.json == kept
    yield from (first, second, w.send(id, body=other, headers=key), w.send(id, body=body, headers={"Idempotency-Key": "ä"}))


def health_live(w):
    yield w.send("health_live", who="nobody")
    yield w.send("health_live", who="nobody", query="x=1")


def health_ready(w):
    yield w.send("health_ready", who="nobody")
    yield w.send("health_ready", who="nobody", query="x=1")


def gc_run(w):
    yield (first := w.send("gc_run"))
    yield (same := w.send("gc_run", query=f"run={first.json['run']}"))
    assert same.json == first.json
    yield (dry := w.send("gc_run", query="dry_run=1"))
    assert dry.json["dry_run"] and dry.json["run"] == first.json["run"] + 1
    yield w.send("gc_run", query="run=1000000")
    yield w.send("gc_run", query="dry_run=2")


def project_create(w):
    yield from again(w, "project_create", {"name": "one"}, {"name": "two"})
    yield w.send("project_create", body={"name": "n" * 201})


def project_list(w):
    yield w.send("project_list", query="limit=1")
    yield w.send("project_list", query="after=" + w.p.id, who="owner")
    yield w.send("project_list", query="after=x")
    yield w.send("project_list", query="limit=0")


def project_get(w):
    yield w.send("project_get", who="reader")
    yield w.send("project_get", project="no-id")


def project_update(w):
    policy = {"keep_versions": 20, "keep_days": 3, "quota_bytes": 10**12}
    yield (changed := w.send("project_update", body={"name": "contract", **policy}))
    assert {k: changed.json[k] for k in policy} == policy
    yield w.send("project_update", body={"keep_versions": 0, "keep_days": 0, "quota_bytes": 0})
    yield w.send("project_update", body={"name": ""})
    yield w.send("project_update", body={})
    for name, limit in (("keep_versions", "KEEP_VERSIONS_MAX"), ("keep_days", "KEEP_DAYS_MAX")):
        assert w.send("project_update", body={name: DOC["x-dray-limits"][limit]}).status == 200
        yield w.send("project_update", body={name: DOC["x-dray-limits"][limit] + 1})


def project_delete(w):
    id = w.owner.ok("POST", "/projects", {"name": "short-lived"}, status=201)["id"]
    yield w.send("project_delete", project=id)
    yield w.send("project_delete", project=id)


def file_list(w):
    yield (first := w.send("file_list", query="limit=2&extents=1"))
    yield w.send("file_list", query="cursor=" + first.json["next_cursor"])
    yield w.send("file_list", query="cursor=2026-11-22T14:00:00Z&order=clock")
    yield (first := w.send("file_list", query="dir=d&order=path&limit=1"))
    yield w.send("file_list", query="dir=d&cursor=" + first.json["next_cursor"])
    yield w.send("file_list", query="dir=none")
    for sort in ("name", "size", "mtime", "changed"):
        yield w.send("file_list", query=f"dir=&sort={sort}&desc=1")
    yield (first := w.send("file_list", query="prefix=&order=path&limit=1"))
    yield w.send("file_list", query="prefix=&cursor=" + first.json["next_cursor"])
    yield w.send("file_list", query="sort=name&dir=&cursor=" + first.json["next_cursor"])
    yield w.send("file_list", query="sort=name")
    yield w.send("file_list", query="prefix=d&search=A")
    yield w.send("file_list", query="search=")
    yield w.send("file_list", query="order=path")
    yield w.send("file_list", query="limit=1001")
    yield w.send("file_list", query="cursor=yesterday")
    yield (gone := w.send("file_list", query="cursor=1." + "0" * 32))
    assert gone.json["merge"] == "keep-local"
    for path in BAD_PATHS:
        yield w.send("file_list", query="dir=" + path)


def file_changes(w):
    yield (all := w.send("file_changes", query="extents=1", who="reader"))
    assert all.json["deleted"] == [] and len(all.json["added"]) >= 5
    w.p.put("passing", b"1")
    yield (more := w.send("file_changes", query="since=" + all.json["last_sync"]))
    w.p.put("passing", b"2")
    yield (more := w.send("file_changes", query="since=" + more.json["last_sync"]))
    w.p.ok("DELETE", "/content/passing", status=204)
    yield (last := w.send("file_changes", query="since=" + more.json["last_sync"]))
    assert [len(last.json[k]) for k in ("added", "modified", "deleted")] == [0, 0, 1] and len(more.json["modified"]) == 1
    yield w.send("file_changes", query="wait=1&since=" + last.json["last_sync"])
    yield w.send("file_changes", query="since=2100-01-01T00:00:00Z")
    yield w.send("file_changes", query="wait=61")
    yield w.send("file_changes", query="since=")
    yield w.send("file_changes", query="since=1." + "0" * 32)
    yield w.send("file_changes", query=f"since={2**62}." + last.json["last_sync"].split(".")[1])


def file_get(w):
    for f in w.p.files().values():
        yield w.send("file_get", file=f["id"])
    yield w.send("file_get", file="0" * 32)


def file_at(w):
    f = w.p.put("comes and goes", b"1")
    yield (live := w.send("file_at", query="path=comes%20and%20goes", who="reader"))
    assert [x["state"] for x in live.json["files"]] == ["live"]
    w.p.ok("DELETE", "/content/comes%20and%20goes", status=204)
    again = w.p.put("comes and goes", b"2")
    yield (both := w.send("file_at", query="path=comes%20and%20goes"))
    assert [(x["state"], x["id"]) for x in both.json["files"]] == [("live", again["id"]), ("deleted", f["id"])]
    yield (one := w.send("file_at", query="path=comes%20and%20goes&limit=1"))
    assert one.json["files"] == both.json["files"][:1] and one.json["has_more"]
    yield w.send("file_at", query="path=never")
    yield w.send("file_at", query="path=a//b")
    yield w.send("file_at", query="path=" + "x" * 256)
    yield w.send("file_at", query="path=" + "x/" * 2048 + "x")
    yield w.send("file_at", query="path=%ff")
    yield w.send("file_at", query="path=.dray")
    yield w.send("file_at")
    yield w.send("file_at", query="path=a&limit=0")
    yield w.send("file_at", query="path=a&nonsense=1")


def file_versions(w):
    f = w.p.put("historic", b"1")
    w.p.put("historic", b"2")
    w.p.ok("DELETE", "/content/historic", status=204)
    yield (all := w.send("file_versions", file=f["id"], who="reader"))
    assert [v["deleted"] for v in all.json["versions"]] == [True, False, False] and not all.json["has_more"]
    yield (some := w.send("file_versions", file=f["id"], query=f"limit=1&before={all.json['versions'][0]['version']}"))
    assert some.json["versions"] == all.json["versions"][1:2] and some.json["has_more"]
    for f in w.p.files().values():
        yield w.send("file_versions", file=f["id"])
    yield w.send("file_versions", query="before=0")
    yield w.send("file_versions", query="limit=1001")
    yield w.send("file_versions", file="0" * 32)


def file_blocks(w):
    yield (whole := w.send("file_blocks", headers={"Accept": "application/json"}))
    assert [b["length"] for b in whole.json["blocks"]] == [len(b) for b in w.chunk.blocks]
    yield (list := w.send("file_blocks", query="from=0"))
    assert list.body == packed(w.chunk)
    yield w.send("file_blocks", query="from=64")
    yield w.send("file_blocks", query="from=1")
    version = w.p.ok("GET", f"/files/{w.file}")["version"]
    yield (then := w.send("file_blocks", query=f"version={version}"))
    assert then.body == list.body and then.headers["dray-version"] == str(version)
    yield w.send("file_blocks", query=f"version={version + 1}")
    yield (lean := w.send("file_blocks", query="form=extents", headers={"Accept": "application/json"}))
    assert lean.json == {name: value for name, value in whole.json.items() if name != "blocks"}
    yield w.send("file_blocks", query="form=extents")
    yield w.send("file_blocks", query="form=blocks")


def file_content(w):
    yield from conditional(w, "file_content")
    yield w.send("file_content", query="version=0")
    yield w.send("file_content", query="version=1")


def content_get(w):
    yield from conditional(w, "content_get")
    yield w.send("content_get", path="d%2Fsmall", who="reader")
    yield w.send("content_get", path="d")
    for path in BAD_PATHS:
        yield w.send("content_get", path=path)


def full(w):
    """A project at its quota, with a transfer that was begun before."""
    p = Project.create(w.server, w.owner, "full")
    p.put("f", b"1")
    transfer = p.transfer()
    stored = w.owner.ok("GET", p.base)["stored_bytes"]
    w.owner.ok("PATCH", p.base, {"quota_bytes": stored})
    return p, transfer


def emptied(w):
    """A project of which the owner has deleted as much within this hour as a device may; d100 is left."""
    p = Project.create(w.server, w.owner, "emptied")
    made = w.owner.ok("POST", p.base + "/commits", {"operations": [{"op": "put", "path": f"d{i}", "kind": "dir"} for i in range(101)]})
    gone = [{"op": "delete", "id": r["id"], "base": r["version"]} for r in made["results"][:100]]
    w.owner.ok("POST", p.base + "/commits", {"operations": gone})
    return p


def content_put(w):
    yield (made := w.send("content_put", path="new/file", body=b"1", headers={"Dray-Mtime": "2020-01-02T03:04:05Z"}))
    yield w.send("content_put", path="new/file", body=b"2", headers={"If-Match": made.headers["etag"]})
    yield (same := w.send("content_put", path="new/file", body=b"2"))
    assert w.send("content_put", path="new/file", body=b"2").headers["etag"] == same.headers["etag"]
    yield w.send("content_put", path="new/file", body=b"3", headers={"If-Match": made.headers["etag"]})
    yield w.send("content_put", path="new/file", body=b"3", headers={"If-None-Match": "*"})
    yield w.send("content_put", path="new/file", body=b"3", headers={"If-None-Match": '"x"'})
    yield w.send("content_put", path="new/file", body=b"3", headers={"Dray-Mtime": "yesterday"})
    yield w.send("content_put", path="new", body=b"3")
    yield w.send("content_put", path="f", body=b"3", project=full(w)[0].id, who="owner")
    yield w.send("content_put", path="new/file/beneath", body=b"3")
    yield w.send("content_put", path="x", headers={"Transfer-Encoding": "chunked"}, body=b"0\r\n\r\n")
    yield w.send("content_put", path="x", headers={"Content-Length": str(2**44 + 1)})
    yield w.send("content_put", path="x", headers=[("Content-Type", "a/b"), ("Content-Type", "a/c")])
    for path in BAD_PATHS:
        yield w.send("content_put", path=path, body=b"3")


def content_delete(w):
    f = w.p.put("going/file", b"1")
    yield w.send("content_delete", path="going")
    yield w.send("content_delete", path="going/file", headers={"If-Match": '"x.1"'})
    yield w.send("content_delete", path="going/file", headers={"If-Match": "x"})
    yield w.send("content_delete", path="going/file", headers={"If-Match": f'"{f["id"]}.{f["version"]}"'})
    yield w.send("content_delete", path="going/file")
    yield w.send("content_delete", path="going/file", query="allow_mass_delete=2")
    p = emptied(w)
    yield w.send("content_delete", path="d100", project=p.id, who="owner", query="allow_mass_delete=0")
    yield w.send("content_delete", path="d100", project=p.id, who="owner", query="allow_mass_delete=1")
    for path in BAD_PATHS:
        yield w.send("content_delete", path=path)


def snapshot_get(w):
    yield from conditional(w, "snapshot_get")
    for accept in ("application/json", "application/x-ndjson"):
        for coding in ("gzip", "zstd"):
            yield (got := w.send("snapshot_get", headers={"Accept": accept, "Accept-Encoding": coding}))
            assert got.headers["content-encoding"] == coding and got.headers["content-type"] == accept


def commit_create(w):
    def send(*operations, **more):
        body = {"operations": list(operations)}
        validate(body, {"$ref": "#/components/schemas/Commit"})
        return w.send("commit_create", body=body, **more)

    def put(path, **more):
        return put_op(path, w.data, w.chunk, **more)

    dir = {"op": "put", "path": "c", "kind": "dir", "mode": "0750", "mtime": "2026-11-22T14:00:00+01:00"}
    link = {"op": "put", "path": "c/l", "kind": "link", "target": "../x"}
    empty = {"op": "put", "path": "c/empty", "kind": "file", "size": 0, "content_hash": content_hash([])}
    yield (made := send(dir, link, put("c/f"), empty))
    dir_made, _, file_made, _ = made.json["results"]
    at = {"id": file_made["id"], "base": file_made["version"]}
    yield (moved := send({"op": "move", "path": "c/g", **at}))
    at["base"] = moved.json["results"][0]["version"]
    yield (same := send({"op": "move", "path": "c/g", **at}))
    assert same.json["results"][0]["unchanged"]
    copy = {"op": "put", "path": "c/copy", "kind": "file", "size": len(w.data), "content_hash": put("x")["content_hash"],
            "from": {"file": at["id"], "version": at["base"]}}
    yield (mixed := send(copy, {"op": "put", "path": "c/g", "kind": "file", "base": at["base"], "mode": "0600"}, put("no/parent"), put("l"),
                         put("d/small/beneath"), {"op": "delete", **dir_made_at(dir_made)}, {"op": "delete", **at, "base": 1},
                         {"op": "delete", "id": "0" * 32, "base": 1}))
    assert [r.get("code", "ok") for r in mixed.json["results"]] == \
        ["ok", "ok", "parent_missing", "name_exists", "parent_not_directory", "not_empty", "version_conflict", "not_found"]
    assert [r["status"] for r in mixed.json["results"]].count("conflict") == 2
    at["base"] = mixed.json["results"][1]["version"]
    yield (cycle := send({"op": "move", "path": "c/c", **dir_made_at(dir_made)}, {"op": "delete", **at, "base": 2**60}))
    assert [r["code"] for r in cycle.json["results"]] == ["move_cycle", "base_invalid"]
    yield (gone := send({"op": "delete", **at}))
    yield (back := send({"op": "restore", "id": at["id"], "base": gone.json["results"][0]["version"], "version": at["base"]}))
    assert back.json["results"][0]["status"] == "ok"
    big = w.p.transfer()
    w.p.send_chunk(big, 0, w.chunk)
    by_transfer = {k: v for k, v in put("c/big", transfer=big).items() if k != "extents"}
    yield send(by_transfer)
    w.p.ok("PUT", f"/transfers/{big}/blocks?from=0", None, headers={"Content-Type": None}, status=422)
    assert w.send("transfer_blocks_put", query="from=0", body=packed(w.chunk), transfer=big).status == 204
    yield (done := send(by_transfer))
    assert done.json["results"][0]["status"] == "ok"
    yield send({**by_transfer, "path": "c/big2"})
    yield send({**by_transfer, "path": "c/big2", "transfer": "0" * 32})
    yield (missing := send({**put("c/h"), "extents": [{"chunk": "0" * 64, "first": 0, "count": 3}]}))
    assert missing.json["missing"] == ["0" * 64] and missing.json["has_more"] is False
    yield send({**put("c/h"), "content_hash": "0" * 64})
    yield send({**put("c/h"), "size": 1})
    yield send({**put("c/h"), "extents": [{"chunk": w.chunk.id, "first": 1, "count": 3}]})
    yield send(dir, dir)
    yield from again(w, "commit_create", {"operations": [{**dir, "path": "k"}]}, {"operations": [dir]})
    for path in BAD_PATHS:
        path = urllib.parse.unquote_to_bytes(path)
        yield w.send("commit_create", body=json.dumps({"operations": [{**dir, "path": "@@"}]}).encode().replace(b"@@", path))
    yield w.send("commit_create", body={"operations": [{**dir, "path": "a/../b"}]})
    yield w.send("commit_create", body={"operations": [{**dir, "path": "\0"}]})
    yield w.send("commit_create", body={"operations": [{**link, "target": ""}]})
    yield w.send("commit_create", body={"operations": [{"op": "delete", "id": at["id"]}]})
    yield w.send("commit_create", body={"operations": [{"op": "delete", "id": "x", "base": 1}]})
    yield w.send("commit_create", body={"operations": [{**put("c/h"), "content_hash": "x"}]})
    yield w.send("commit_create", body={"operations": [{**put("c/h"), "size": 2**44 + 1}]})
    yield w.send("commit_create", body={"operations": []})


def made_conflict(w, original, copy, kind="file"):
    """Of a file that is there, as the list has it."""
    of = {"file": original["id"], "version": original["version"]}
    op = put_op(copy, w.data, w.chunk) if kind == "file" else {"op": "put", "path": copy, "kind": kind}
    id = w.p.commit_ok({**op, "conflict_of": of})["results"][0]["id"]
    return next(c for c in w.p.ok("GET", "/conflicts?limit=1000")["conflicts"] if c["id"] == id)


def seen(conflict, keep):
    return {"keep": keep, "version": conflict["original"]["version"], "copy_version": conflict["copy"]["version"]}


def conflict_list(w):
    f = w.p.put("contested", b"1")
    made = [made_conflict(w, f, f"contested copy {n}") for n in range(3)]
    assert [c["original"]["path"] for c in made] == ["contested"] * 3
    yield (first := w.send("conflict_list", query="limit=2", who="reader"))
    yield w.send("conflict_list", query="limit=2&cursor=" + first.json["next_cursor"])
    w.p.ok("DELETE", "/content/contested%20copy%200", status=204)
    yield (done := w.send("conflict_list", query="state=resolved"))
    assert done.json["conflicts"][-1]["id"] == made[0]["id"] and done.json["conflicts"][-1]["resolution"] == "copy_gone"
    yield (all := w.send("conflict_list", query="state=all&limit=1000"))
    assert {c["id"] for c in made} <= {c["id"] for c in all.json["conflicts"]}
    yield w.send("conflict_list", query="cursor=2020-01-01T00:00:00Z")
    yield w.send("conflict_list", query="state=closed")
    yield w.send("conflict_list", query="limit=0")
    yield w.send("conflict_list", query="cursor=x")
    yield w.send("conflict_list", query="cursor=1." + "0" * 32)


def conflict_resolve(w):
    def send(conflict, keep, **more):
        return w.send("conflict_resolve", conflict=conflict["id"], body={**seen(conflict, keep), **more})

    def gone(path, kind="dir"):
        """A conflict of a file that was deleted, and whose directory was too."""
        dirs, _, name = path.rpartition("/")
        f = w.p.put(path, b"1")
        lost = made_conflict(w, f, "lost " + dirs[:20].replace("/", " "), kind)
        files = w.p.files()
        w.p.commit_ok(*({"op": "delete", "id": x["id"], "base": x["version"]} for x in
                        sorted((x for x in files.values() if x["path"].split("/")[0] == path.split("/")[0]), key=lambda x: -len(x["path"]))))
        return next(c for c in w.p.ok("GET", "/conflicts?limit=1000")["conflicts"] if c["id"] == lost["id"])

    f = w.p.put("fought over", b"1")
    for keep in ("current", "both", "copy"):
        lost = made_conflict(w, w.p.files()["fought over"], f"fought over, lost to {keep}")
        yield (stale := send(lost, keep, version=1))
        assert stale.json["current"] == lost
        yield (done := send(lost, keep))
        assert done.json["resolution"] == keep and done.json["state"] == "resolved"
        yield send(lost, keep)
    lost = made_conflict(w, w.p.files()["fought over"], "fought over, merged")
    w.p.put("fought over", b"merged")
    lost["original"] = {**lost["original"], "version": w.p.files()["fought over"]["version"]}
    yield send(lost, "merged")
    taken = gone("taken/f")
    yield send(taken, "copy")
    w.p.put("taken", b"1")
    yield send(taken, "copy")
    taken = gone("t/f", "file")
    w.p.put("t/f", b"1")
    yield send(taken, "copy")
    full_dir = made_conflict(w, w.p.files()["fought over"], "fought over, a directory", "dir")
    w.p.put("fought over, a directory/x", b"1")
    yield send(full_dir, "current")
    cycle = gone("cycle/f")
    w.p.commit_ok({"op": "move", "id": cycle["id"], "base": cycle["copy"]["version"], "path": "cycle"})
    cycle["copy"]["version"] = w.p.files()["cycle"]["version"]
    yield send(cycle, "copy")
    deep = "/".join(["n" * 250] * ((w.server.db.path_max - 258) // 251))  # room for "/f/" and 255 bytes, and not for 401
    long = gone(deep + "/f", "dir")
    w.p.put(long["copy"]["path"] + "/" + "m" * 255, b"1")
    w.p.put(long["copy"]["path"] + "/" + "m" * 200 + "/" + "m" * 200, b"1")
    w.p.put(deep + "/x", b"1")
    yield send(long, "copy")
    w.conflict = full_dir["id"]
    yield from again(w, "conflict_resolve", seen(full_dir, "both"), seen(full_dir, "copy"))
    yield send({**full_dir, "id": "0" * 32}, "both")
    yield w.send("conflict_resolve", conflict="x", body=seen(full_dir, "both"))
    yield send(full_dir, "copy_gone")


def dir_made_at(result):
    return {"id": result["id"], "base": result["version"]}


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
SSE = {"Accept": "text/event-stream"}
TICKET = {**HANDSHAKE, "Sec-WebSocket-Protocol": "dray.v1, ticket." + "0" * 64}


def events_all(w):
    yield w.send("events_all", headers=HANDSHAKE)
    yield w.send("events_all", headers=TICKET, who="nobody")
    yield w.send("events_all", headers=TICKET)
    yield (agreed := w.send("events_all", headers={**HANDSHAKE, "Sec-WebSocket-Protocol": "dray.v1"}))
    assert agreed.headers["sec-websocket-protocol"] == "dray.v1"
    yield w.send("events_all", headers=SSE, method="HEAD")  # a GET has no end
    yield w.send("events_all", headers={**HANDSHAKE, "Sec-WebSocket-Key": "x"})
    yield w.send("events_all", headers={**HANDSHAKE, "Sec-WebSocket-Version": "8"})
    yield w.send("events_all", headers={**SSE, "Last-Event-ID": "x"})


def ticket_create(w):
    yield w.send("ticket_create", body={}, who="reader")
    yield w.send("ticket_create", body={"project": w.p.id}, who="reader")
    yield w.send("ticket_create", body={"project": w.stranger.id})
    yield w.send("ticket_create", body={"project": "0" * 32})
    yield w.send("ticket_create", body={"project": "x"})


def events_project(w):
    yield w.send("events_project", headers=HANDSHAKE, who="reader")
    yield w.send("events_project", headers=TICKET, who="nobody")
    yield w.send("events_project", headers=SSE, method="HEAD", query="since=2026-11-22T14:00:00Z")
    yield w.send("events_project", headers={**HANDSHAKE, "Connection": "close"})
    yield w.send("events_project", query="since=x", headers=HANDSHAKE)
    yield w.send("events_project")


def transfer_create(w):
    yield w.send("transfer_create", body={})
    yield from again(w, "transfer_create", {"path": "a/b", "size": 5}, {"path": "a/c"})
    yield w.send("transfer_create", body={"size": -1})
    yield w.send("transfer_create", body={}, project=full(w)[0].id, who="owner")
    yield w.send("transfer_create", body={"size": 2**44 + 1})
    for path in BAD_PATHS:
        path = urllib.parse.unquote_to_bytes(path)
        yield w.send("transfer_create", body=b'{"path":"%s"}' % path)


def transfer_get(w):
    yield w.send("transfer_get", query="from=0&limit=1")
    yield w.send("transfer_get", transfer=w.ended)
    yield w.send("transfer_get", query="from=x")


def transfer_delete(w):
    yield w.send("transfer_delete", transfer=w.ended)
    yield w.send("transfer_delete", transfer="0" * 32)


def transfer_blocks_put(w):
    id = w.p.transfer()
    send = lambda query, body, **more: w.send("transfer_blocks_put", query=query, body=body, transfer=more.pop("transfer", id), **more)
    yield send("from=0", packed(w.chunk))
    yield send("from=0", packed(w.chunk))
    yield send("", packed(w.chunk))
    yield send("from=-1", packed(w.chunk))
    yield send("from=0", packed(w.chunk)[:-1])
    yield send("from=0", packed(w.chunk), transfer=w.ended)
    yield send("from=0", packed(w.chunk), headers={"Content-Type": "text/plain"})
    yield send("from=0", None, headers={"Content-Length": str(2**23 + 1)})


def transfer_chunk_put(w):
    id = w.p.transfer()
    data = w.chunk.data
    send = lambda n, body, **more: w.send("transfer_chunk_put", n=n, body=body, transfer=more.pop("transfer", id), **more)
    yield send("7", data, headers={"Content-Type": "application/octet-stream"})
    yield send("7", data)
    yield send("7", Chunk(b"other").data)
    yield send("8", data[:-1])
    yield send("8", data[:-1] + bytes([data[-1] ^ 1]))
    yield send("8", data[:52] + b"\1\0\0\x80" + data[56:])
    yield send("x", data)
    p, begun = full(w)
    w.tokens["full"] = p.api.token
    yield send("0", data, project=p.id, transfer=begun, who="full")
    yield send("9", data, transfer=w.ended)
    yield send("9", data, headers={"Content-Type": "text/plain"})
    yield send("9", None, headers={"Content-Length": str(DOC["x-dray-limits"]["CHUNK_LEN_MAX"] + 1)})


def chunk_get(w):
    yield from conditional(w, "chunk_get")
    yield w.send("chunk_get", hash="x")
    yield w.send("chunk_get", hash="0" * 64)


def blocks_fetch(w):
    def fetch(*extents, **more):
        body = {"extents": [dict(zip(("chunk", "first", "count"), e)) for e in extents]}
        return w.send("blocks_fetch", body=body, **more)

    yield (got := fetch((w.chunk.id, 2, 1), (w.chunk.id, 0, 2), who="reader"))
    assert got.body == Chunk(w.chunk.blocks[2], *w.chunk.blocks[:2]).data
    yield fetch((w.chunk.id, 2, 2))
    yield fetch(("0" * 64, 0, 1))
    yield fetch(("x", 0, 1))
    yield fetch((w.chunk.id, 0, 0))
    yield fetch(*[(w.chunk.id, 0, 1)] * 64)
    yield fetch(*[(w.chunk.id, 0, 1)] * 65)
    yield fetch(*[(w.chunk.id, 0, 1)] * 1025)
    yield fetch()


def checkpoint_get(w):
    yield w.send("checkpoint_get", who="owner")
    yield w.send("checkpoint_get", who="reader")
    cursor = w.p.ok("GET", "/files/changes?limit=1")["last_sync"]
    w.p.ok("PUT", "/checkpoint", {"cursor": cursor}, status=204)
    yield (at := w.send("checkpoint_get"))
    clock, *_, epoch = cursor.split(".")  # between pages from the start there is a number more, which is no part of a place
    assert at.json["cursor"] == f"{clock}.{epoch}"


def checkpoint_put(w):
    cursor = w.p.ok("GET", "/files/changes")["last_sync"]
    yield w.send("checkpoint_put", body={"cursor": cursor}, who="reader")
    yield w.send("checkpoint_put", body={"cursor": "2026-11-22T14:00:00Z"})
    yield w.send("checkpoint_put", body={"cursor": "1." + "0" * 32})


def progress_report(w):
    entry = {"transfer": "0" * 32, "done": 1, "total": 2, "path": "a/b"}
    yield w.send("progress_report", body={"progress": [entry, {**entry, "total": None, "path": None, "state": "gone"}]}, who="reader")
    yield w.send("progress_report", body={"progress": [entry] * DOC["x-dray-limits"]["PROGRESS_PER_DEVICE_MAX"]})
    for wrong in ([entry] * 17, [{**entry, "done": 3}], [{**entry, "done": -1}], [{**entry, "done": "1"}], [{**entry, "state": "asleep"}],
                  [{**entry, "transfer": "x"}], [{"done": 1}], [{**entry, "path": "../a"}], [{**entry, "path": "a" * 256}],
                  [{**entry, "path": ".dray/a"}], [{**entry, "path": "a/" * 2100 + "a"}], [{**entry, "device": "0" * 32}], [7], {}):
        yield (refused := w.send("progress_report", body={"progress": wrong}))
        assert refused.status in (400, 422), (wrong, refused)


def device_list(w):
    yield w.send("device_list", who="reader")


def device_create(w):
    yield from again(w, "device_create", {"name": "d1", "role": "reader"}, {"name": "d2"})
    yield w.send("device_create", body={"name": "d3", "role": "owner"})


def device_delete(w):
    made = w.send("device_create", body={"name": "d4"}).json
    yield w.send("device_delete", device=made["id"])
    yield w.send("device_delete", device=made["id"])
    yield w.send("device_delete", device="0" * 32)


# ---- errors that many operations share -------------------------------------------------------------------------------------------------

BAD_PATHS = ["a/", "n" * 256, "/".join(["n" * 200] * 21), "%ff", ".dray/x"]


def refused_callers(w, id):
    """Nobody, tokens that are not good, devices of another project, and devices that may do less."""
    method, path, op = OPERATIONS[id]
    body = {} if takes_json(op) else None
    expected = {"nobody": "auth_required", "broken": "token_invalid", "revoked": "token_revoked"}
    if op["x-dray-access"] == "anyone":
        return
    if op["x-dray-access"] in ("writer", "owner"):
        expected["reader"] = "forbidden"
    if "{project}" in path:
        expected["stranger"] = "not_found"
    elif op["x-dray-access"] == "owner":
        expected["stranger"] = "forbidden"
    for who, code in expected.items():
        answer = w.send(id, body=body, who=who)
        assert answer.code == code, (id, who, answer)
        yield answer


def refused_bodies(w, id):
    op = OPERATIONS[id][2]
    yield w.send(id, query="no_such_parameter=1", body={} if "requestBody" in op else None)
    if not takes_json(op):
        return
    schema = resolved(op["requestBody"]["content"]["application/json"]["schema"])
    (name, *_) = schema.get("required") or schema["properties"]
    twice = b'"%s":%s' % (name.encode(), b"[]" if name == "operations" else b'"a"')
    for body in (b"{", b"[" * 40 + b"]" * 40, b"{%s,%s}" % (twice, twice), b"{}", {name: 1}, {"no_such_member": 1}):
        if body != b"{}" or "required" in schema:
            yield w.send(id, body=body)
    yield w.send(id, body=b"{}", headers={"Content-Type": "text/plain"})
    limit = DOC["x-dray-limits"]["JSON_BATCH_MAX" if id == "commit_create" else "JSON_BODY_MAX"]
    yield w.send(id, headers={"Content-Length": str(limit + 1), "Content-Type": "application/json"})
    yield w.send(id, body=b'{"%s":%s1}' % (name.encode(), b"9" * 30))


@pytest.mark.parametrize("id", OPERATIONS)
def test_operation(id, world):
    op = OPERATIONS[id][2]
    answers = [*globals()[id](world), *refused_callers(world, id), *refused_bodies(world, id)]
    good = {str(a.status) for a in answers if a.status < 400}
    assert good == {s for s in op["responses"] if s < "4"}, f"{id}: documented successes are not those seen"
    bad = {a.code for a in answers if a.status >= 400}
    assert set(op["x-dray-errors"]) - UNSEEN <= bad <= set(op["x-dray-errors"]) | {"unknown_field", "field_range"}, \
        f"{id}: never seen: {set(op['x-dray-errors']) - UNSEEN - bad}; not listed: {bad - set(op['x-dray-errors'])}"


@pytest.mark.parametrize("id", [id for id, (method, _, _) in OPERATIONS.items() if method == "GET"])
def test_head_is_get_without_its_body(id, world):
    for more in ({}, {"headers": {"Range": "bytes=1-2"}}, {"query": "no_such_parameter=1"}, {"who": "nobody"}):
        get, head = world.send(id, **more), world.send(id, method="HEAD", **more)
        passing = {"date": 0, "dray-request-id": 0}
        assert head.status == get.status and {**head.headers, **passing} == {**get.headers, **passing}
        assert head.body == b"" and (get.body or get.status == 304)


def test_refused_before_a_route_is_known(world):
    """The default response of every operation."""
    def raw(line, *fields):
        got, _ = world.owner.raw("\r\n".join([line, "Host: localhost", *fields, "Connection: close", "", ""]).encode())
        head, _, body = got.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    for line, fields, code in [
            ("GET /no/such/path HTTP/1.1", (), "not_found"), ("PUT /projects HTTP/1.1", ("Content-Length: 0",), "method_not_allowed"),
            ("GET /projects?token=x HTTP/1.1", (), "token_in_url"), ("GET //projects HTTP/1.1", (), "url_invalid"),
            ("GET /projects HTTP/2.0", (), "version_not_supported"), ("BREW /projects HTTP/1.1", (), "not_implemented"),
            ("GET /projects HTTP/1.1", ("Expect: 200-ok",), "expectation_failed"), ("POST /projects HTTP/1.1", (), "length_required"),
            ("GET /projects HTTP/1.1", ("Origin: https://elsewhere.example",), "origin_forbidden"),
            ("GET /projects HTTP/1.1", ("Host: elsewhere.example",), "framing"),
            ("GET /projects HTTP/1.1", ("Content-Length: 1",), "body_not_allowed"),
            ("GET /" + "x" * 9000 + " HTTP/1.1", (), "uri_too_long"),
            ("GET /projects HTTP/1.1", ("X: " + "x" * 17000,), "headers_too_large"),
            ("POST /projects HTTP/1.1", ("Content-Length: 1", "Content-Encoding: gzip"), "encoding_unsupported")]:
        status, problem = raw(line, *fields)
        validate(problem, {"$ref": "#/components/schemas/Problem"})
        assert (status, problem["code"]) == (STATUS[code], code), line[:80]
        assert code in DOC["x-dray-errors-any"] or code == "not_found"
