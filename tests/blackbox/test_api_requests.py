"""Bad input, parts A, C and H: targets, tokens, headers, JSON.  A row each: what is sent, what comes back, and that nothing changed."""
import json
import threading
import time

import pytest

from api import PATIENCE, Chunk, Unchanged, cut, put_op

FREE_ID = "0" * 32
MKDIR = {"op": "put", "path": "d", "kind": "dir"}
POLL_BURST, POLL_RETRY_MAX_S = 50, 3


def raw_request(target, token, method="GET", extra=b"", body=b""):
    return (f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n".encode() + extra + b"\r\n" + body)


# ---- the target (A 34, 35; H 192) -------------------------------------------------------------------------------------------

TARGETS = [
    ("/projects/{p}/files//", 400, "url_invalid"),
    ("//projects", 400, "url_invalid"),
    ("/projects/./{p}", 400, "url_invalid"),
    ("/projects/{p}/../{p}", 400, "url_invalid"),
    ("/projects/{p}/..", 400, "url_invalid"),
    ("/projects/{p};v=1", 400, "url_invalid"),
    ("/projects/{p}/files/%", 400, "url_invalid"),
    ("/projects/{p}/files/%4", 400, "url_invalid"),
    ("/projects/{p}/files/%zz", 400, "url_invalid"),
    ("/projects/{p}/files/%u002e", 400, "url_invalid"),
    ("/projects/{p}/files?limit=%zz", 400, "url_invalid"),
    ("/projects/{p}/files?limit", 400, "url_invalid"),
    ("/projects/{p}/files?=5", 400, "url_invalid"),
    ("/projects/{p}/files?limit=5&&cursor=1", 400, "url_invalid"),
    ("/projects/{p}/files?limit=5&limit=6", 400, "field_range"),
    ("/projects/{p}/files?frob=1", 400, "unknown_field"),
    ("/projects/{p}?x=1", 400, "unknown_field"),
    ("/projects/{p}/files?token=abc", 400, "token_in_url"),
    ("/projects/{p}/files?access_token=abc", 400, "token_in_url"),
    ("/nothing?token=abc", 400, "token_in_url"),
    ("/projects/%2e%2e%2f", 404, "not_found"),
    ("/projects/%252e%252e", 404, "not_found"),
    ("/projects/%c0%ae", 404, "not_found"),
    ("/projects/{p}%00", 404, "not_found"),
    ("/projects/{P}", 404, "not_found"),
    ("/projects/{p}/files/x", 404, "not_found"),
    ("/projects/{p}/transfers/x", 404, "not_found"),
    ("/projects/", 404, "not_found"),
    ("/projects/{p}/", 404, "not_found"),
    ("/projects/{p}/file", 404, "not_found"),
    ("/", 404, "not_found"),
    ("/projects/{p}/chunks/abc", 400, "hash_invalid"),
    ("/projects/{p}/chunks/" + "A" * 64, 400, "hash_invalid"),
    ("/projects/{p}/chunks/sha256:" + "a" * 64, 400, "hash_invalid"),
    ("/projects/{p}/chunks/" + "a" * 63, 400, "hash_invalid"),
    ("/projects/{p}/chunks/" + "a" * 64, 404, "not_found"),
    ("/projects/{p}/content/", 422, "path_invalid"),
    ("/projects/{p}/content/a/", 422, "path_invalid"),
    ("/projects/{p}/content/%2e%2e/x", 422, "path_invalid"),
    ("/projects/{p}/content/%2Fetc/passwd", 422, "path_invalid"),
    ("/projects/{p}/content/a%00b", 422, "path_invalid"),
    ("/projects/{p}/content/a%2F%2Fb", 422, "path_invalid"),
    ("/projects/{p}/content/%ff", 422, "name_not_utf8"),
    ("/projects/{p}/content/%C0%AF", 422, "name_not_utf8"),
    ("/projects/{p}/content/" + "n" * 256, 422, "name_too_long"),
    ("/projects/{p}/content/" + "n" * 255, 404, "not_found"),
    ("/projects/{p}/content/.dray/x", 422, "name_reserved"),
    ("/projects/{p}/content/" + "d/" * 256 + "x", 422, "path_too_long"),
    ("/projects/{p}/content/" + "d/" * 255 + "x", 404, "not_found"),
]


@pytest.mark.parametrize("target,status,code", TARGETS, ids=[t[0][:60] for t in TARGETS])
def test_targets(project, target, status, code):
    target = target.replace("{p}", project.id).replace("{P}", project.id.upper())
    with Unchanged(project):
        answer = project.api.get(target)
        assert (answer.status, answer.code) == (status, code), answer
        # What a target means does not depend on who asks.
        if code in ("url_invalid", "token_in_url"):
            assert project.api.call("GET", target, token=None).code == code


def test_path_reasons(project):
    for path, reason in (("%00", "nul"), ("..%2Fx", "traversal"), ("%2Fx", "absolute"), ("x%2F", "trailing_slash"), ("%2E", "dot")):
        answer = project.call("GET", "/content/" + path)
        assert answer.json["reason"] == reason, answer


METHODS = [
    ("POST", "/healthz", "GET, HEAD"), ("DELETE", "/projects", "POST, GET, HEAD"), ("DELETE", "/projects/{p}/files/changes", "GET, HEAD"),
    ("POST", "/projects/{p}", "GET, HEAD, PATCH, DELETE"), ("PATCH", "/projects/{p}/content/x", "GET, HEAD, PUT, DELETE"),
    ("GET", "/projects/{p}/commits", "POST"), ("OPTIONS", "/projects", "POST, GET, HEAD"),
]


@pytest.mark.parametrize("method,target,allow", METHODS)
def test_methods(project, method, target, allow):
    answer = project.api.call(method, target.replace("{p}", project.id), headers={"Content-Length": "0"})
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", allow)


def test_preflight(project):
    answer = project.api.call("OPTIONS", project.base, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"})
    assert (answer.status, answer.code) == (403, "origin_forbidden")
    assert not [h for h in answer.headers if h.startswith("access-control")]


def test_overrides_are_ignored(project):
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"):
        assert project.call("GET", "", headers={name: "DELETE"}).status == 200
    assert project.call("GET", "").status == 200


# ---- tokens (H) -----------------------------------------------------------------------------------------------------------------

def other_case(token):
    return token[:-8] + ("a" if token[-8] != "a" else "b") + token[-7:]


def test_tokens(project, owner, server):
    good = project.api.token
    rows = [
        (None, "auth_required"), ("Basic Zm9vOmJhcg==", "auth_required"), ("Bearer", "auth_required"), (good, "auth_required"),
        ("Bearer x", "token_invalid"), ("Bearer " + good[:-1], "token_invalid"), ("Bearer " + good + "x", "token_invalid"),
        ("Bearer " + other_case(good), "token_invalid"), ("Bearer " + "a" * 8000, "token_invalid"),
        ("Bearer " + good + " " + good, "token_invalid"), ("Bearer eyJhbGciOiJub25lIn0.e30.", "token_invalid"),
    ]
    with Unchanged(project):
        for value, code in rows:
            for method, target in (("GET", project.base), ("POST", project.base + "/commits"), ("GET", "/projects")):
                answer = project.api.call(method, target, {} if method == "POST" else None, token=None,
                                          headers={"Authorization": value})
                assert (answer.status, answer.code) == (401, code), (value, answer)
                assert answer.headers["www-authenticate"] == "Bearer"
    assert project.api.call("GET", project.base, token=None, headers={"Authorization": "bearer " + good}).status == 200


def test_two_tokens_are_no_token(project):
    got, closed = project.api.raw(raw_request(project.base, project.api.token, extra=f"Authorization: Bearer {project.api.token}\r\n".encode()))
    assert got.startswith(b"HTTP/1.1 400 ") and b'"framing"' in got and closed


def test_revoked(project, owner):
    made = owner.ok("POST", project.base + "/devices", {"name": "gone"}, status=201)
    api = project.server.api(made["token"])
    assert api.get(project.base).status == 200
    owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)
    for method, target in (("GET", project.base), ("GET", "/projects"), ("GET", f"/projects/{FREE_ID}")):
        answer = api.call(method, target)
        assert (answer.status, answer.code) == (401, "token_revoked")
    owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)  # again is fine


def test_roles(project, owner):
    reader = project.device("reader", "reader")
    f = project.put("f", b"1")
    chunk = Chunk(b"1")
    writes = [("POST", "/commits", {"operations": [MKDIR]}), ("POST", "/transfers", {}), ("PUT", "/content/x", b"1"),
              ("DELETE", "/content/f", None), ("GET", f"/transfers/{FREE_ID}", None), ("PUT", f"/transfers/{FREE_ID}/chunks/0", chunk.data)]
    owners = [("PATCH", "", {"name": "n"}), ("DELETE", "", None), ("POST", "/devices", {"name": "n"}), ("DELETE", f"/devices/{FREE_ID}", None)]
    with Unchanged(project):
        for method, path, body in writes + owners:
            answer = reader.call(method, project.base + path, body)
            assert (answer.status, answer.code) == (403, "forbidden"), (method, path, answer)
        for method, path, body in owners:
            answer = project.call(method, path, body)
            assert (answer.status, answer.code) == (403, "forbidden"), (method, path, answer)
        assert project.api.call("POST", "/projects", {"name": "n"}).code == "forbidden"
    for path in ("", "/files", "/files/changes", f"/files/{f['id']}", "/snapshot", "/checkpoint", "/devices", "/content/f"):
        assert reader.call("GET", project.base + path).status == 200, path
    assert [p["id"] for p in reader.ok("GET", "/projects")["projects"]] == [project.id]


def test_a_foreign_project_is_no_project(project, owner, server):
    """C 164, H 189, 190: every call with another project's ids answers, but for the request id, as with ids that do not exist."""
    from api import Project
    other = Project.create(server, owner, "other")
    data = b"secret"
    chunk = Chunk(data)
    transfer = other.transfer()
    other.send_chunk(transfer, 0, chunk)
    f = other.put("f", data)
    device = other.ok("GET", "/checkpoint")["device"]
    mine = project.put("f", b"mine")
    op = json.dumps({"operations": [MKDIR]}).encode()
    put = {"Content-Type": "application/json"}
    calls = [("GET", "", None), ("GET", "/files", None), ("GET", "/files/changes", None), ("GET", "/files/changes?wait=30", None),
             ("GET", f"/files/{f['id']}", None),
             ("GET", f"/files/{f['id']}/blocks", None), ("GET", f"/files/{f['id']}/content", None), ("GET", "/content/f", None),
             ("PUT", "/content/f", data), ("DELETE", "/content/f", None), ("GET", "/snapshot", None), ("POST", "/commits", op),
             ("POST", "/transfers", b"{}"), ("GET", f"/transfers/{transfer}", None), ("DELETE", f"/transfers/{transfer}", None),
             ("PUT", f"/transfers/{transfer}/blocks?from=0", b"x"), ("PUT", f"/transfers/{transfer}/chunks/1", chunk.data),
             ("GET", f"/chunks/{chunk.id}", None), ("GET", "/checkpoint", None), ("PUT", "/checkpoint", b'{"cursor":"1.' + b"0" * 32 + b'"}'),
             ("GET", "/devices", None), ("POST", "/devices", b'{"name":"x"}'), ("DELETE", f"/devices/{device}", None),
             ("PATCH", "", b'{"name":"x"}'), ("DELETE", "", None)]

    def view(answer):
        body = {**answer.json, "request_id": ""}
        headers = {k: v for k, v in answer.headers.items() if k not in ("date", "dray-request-id")}
        return answer.status, headers, body

    with Unchanged(other), Unchanged(project):
        for method, path, body in calls:
            headers = put if body and body[:1] == b"{" else {}
            foreign = project.api.call(method, other.base + path, body, headers=headers)
            absent = project.api.call(method, f"/projects/{FREE_ID}" + path, body, headers=headers)
            assert foreign.code == "not_found" and view(foreign) == view(absent), (method, path)
            assert project.call("GET", "/content/f").body == b"mine"  # each request is checked alone
        # Ids of the other project under one's own.
        for method, path, body in [("GET", f"/files/{f['id']}", None), ("GET", f"/files/{f['id']}/blocks", None),
                                   ("GET", f"/files/{f['id']}/content", None), ("GET", f"/transfers/{transfer}", None),
                                   ("DELETE", f"/transfers/{transfer}", None), ("PUT", f"/transfers/{transfer}/chunks/1", chunk.data),
                                   ("GET", f"/chunks/{chunk.id}", None)]:
            foreign = project.call(method, path, body)
            absent = project.call(method, path.replace(f["id"], FREE_ID).replace(transfer, FREE_ID).replace(chunk.id, "0" * 64), body)
            assert foreign.code == "not_found" and view(foreign) == view(absent), (method, path)
        assert owner.call("DELETE", f"{project.base}/devices/{device}").code == "not_found"
        answer = project.commit(put_op("stolen", data, chunk))  # C 164
        assert (answer.status, answer.code, answer.json["missing"]) == (409, "chunks_missing", [chunk.id])
        stolen = {"op": "put", "path": "stolen", "kind": "file", "size": len(data), "content_hash": f["content_hash"],
                  "from": {"file": f["id"], "version": f["version"]}}
        assert project.commit(stolen).status in (200, 404, 409)
        assert "stolen" not in project.files() and project.files()["f"] == mine


def test_a_transfer_is_seen_by_its_device_only(project):
    transfer = project.transfer()
    other = project.device()
    for method, path, body in [("GET", "", None), ("DELETE", "", None), ("PUT", "/chunks/0", Chunk(b"x").data)]:
        assert other.call(method, f"{project.base}/transfers/{transfer}{path}", body).code == "not_found"
    assert project.ok("GET", f"/transfers/{transfer}")["state"] == "open"


# ---- JSON (C) ------------------------------------------------------------------------------------------------------------------

def commit_with(text):
    return b'{"operations":[{"op":"put","path":"d","kind":"dir"}' + text + b"]}"


JSON_BODIES = [
    (b"", 400, "json_invalid"), (b"nonsense", 400, "json_invalid"), (b'{"operations":[', 400, "json_invalid"),
    (commit_with(b"") + b"x", 400, "json_invalid"), (commit_with(b"") * 2, 400, "json_invalid"),
    (b"\xef\xbb\xbf" + commit_with(b""), 400, "json_invalid"), (b"[" * 10000, 400, "json_too_deep"),
    (b'{"operations":' + b"[" * 33 + b"]" * 33 + b"}", 400, "json_too_deep"),
    (b'{"operations":[],"operations":[]}', 400, "json_duplicate_key"),
    (commit_with(b',{"op":"put","op":"put"}'), 400, "json_duplicate_key"), (commit_with(b',{"op":"put","path":"e","kind":"dir","x":1}'), 400, "unknown_field"),
    (b'{"operations":[],"extra":1}', 400, "unknown_field"), (b"{}", 400, "field_missing"), (b"[]", 400, "field_type"),
    (b'{"operations":[]}', 400, "field_range"), (commit_with(b",null"), 400, "field_type"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":"12"}'), 400, "field_type"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":1e3}'), 400, "field_type"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":1.0}'), 400, "field_type"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":true}'), 400, "field_type"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":-1}'), 400, "field_range"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":9223372036854775808}'), 400, "field_range"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":1e400}'), 400, "field_range"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":0x10}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"e","kind":"dir","base":007}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"\\ud800","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"\\x","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"a\nb","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"\xff","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"\xc0\xaf","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b',{"op":"put","path":"\xed\xa0\x80","kind":"dir"}'), 400, "json_invalid"),
    (commit_with(b"," + b"{" + b",".join(b'"k%d":0' % i for i in range(65)) + b"}"), 400, "field_range"),
    (b'{"operations":[' + b",".join([b"[]"] * 200_000) + b"]}", 400, "field_type"),
    (b'{"x":[' + b",".join([b"[]"] * 200_000) + b"]}", 413, "body_too_large"),
    (b'{"operations":[' + b",".join([b'{"op":"delete","id":"' + FREE_ID.encode() + b'"}'] * 10_001) + b"]}", 400, "field_range"),
    (commit_with(b',{"op":"put","path":"d","kind":"dir"}'), 422, "duplicate_target"),
]


@pytest.mark.parametrize("body,status,code", JSON_BODIES, ids=[b[0][:70].decode("latin-1") for b in JSON_BODIES])
def test_json(project, body, status, code):
    with Unchanged(project):
        answer = project.call("POST", "/commits", body, headers={"Content-Type": "application/json"})
        assert (answer.status, answer.code) == (status, code), answer


def test_bodies_are_limited(project):
    for size, status in ((1024 * 1024, 422), (1024 * 1024 + 1, 413)):
        body = b'{"path":"' + b"n" * (size - 11) + b'"}'
        answer = project.call("POST", "/transfers", body, headers={"Content-Type": "application/json"})
        assert answer.status == status and answer.code == ("name_too_long" if status == 422 else "body_too_large")
    for path, most in (("/transfers", 1 << 20), ("/commits", 8 << 20)):
        head = f"Content-Type: application/json\r\nContent-Length: {most + 1}\r\n".encode()
        got, closed = project.api.raw(raw_request(project.base + path, project.api.token, "POST", head))
        assert got.startswith(b"HTTP/1.1 413 ") and b'"body_too_large"' in got and closed  # before a byte of it came


TYPES = [("text/plain", 415), (None, 415), ("application/json; charset=utf-16", 415), ("multipart/form-data; boundary=x", 415),
         ("application/json5", 415), ("application/x-www-form-urlencoded", 415), ("application/json;charset=UTF-8", 200),
         ("application/json; charset=\"utf-8\"", 200), ("Application/JSON", 200)]


@pytest.mark.parametrize("kind,status", TYPES)
def test_media_types(project, kind, status):
    before = project.state()
    answer = project.call("POST", "/commits", json.dumps({"operations": [MKDIR]}).encode(), headers={"Content-Type": kind})
    assert answer.status == status
    if status == 415:
        assert answer.code == "unsupported_media_type" and project.state() == before


def test_chunks_and_blocks_are_bytes(project):
    transfer = project.transfer()
    for path in ("chunks/0", "blocks?from=0"):
        answer = project.call("PUT", f"/transfers/{transfer}/{path}", b"x", headers={"Content-Type": "text/plain"})
        assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_encodings_are_refused(project):
    for method, path in (("POST", "/commits"), ("PUT", "/content/x"), ("POST", "/transfers")):
        with Unchanged(project):
            answer = project.call(method, path, b"{}", headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
            assert (answer.status, answer.code) == (415, "encoding_unsupported")


def test_bodies_where_none_belong(project):
    project.put("f", b"1")
    for method, path in (("GET", ""), ("GET", "/files"), ("DELETE", "/content/f")):
        with Unchanged(project):
            got, closed = project.api.raw(raw_request(project.base + path, project.api.token, method, b"Content-Length: 5\r\n", b"GET /"))
            assert got.startswith(b"HTTP/1.1 400 ") and b'"body_not_allowed"' in got and got.count(b"HTTP/1.1 ") == 1 and closed


# ---- idempotency (G 162, 163) ----------------------------------------------------------------------------------------------------

def test_repeating_is_as_good_as_once(project, owner):
    calls = [(project.api, "POST", project.base + "/commits", {"operations": [MKDIR]}, {"operations": [{**MKDIR, "path": "e"}]}),
             (project.api, "POST", project.base + "/transfers", {"path": "a"}, {"path": "b"}),
             (owner, "POST", "/projects", {"name": "once"}, {"name": "twice"})]
    for i, (api, method, target, body, other) in enumerate(calls):
        key = {"Idempotency-Key": f"{project.id}-{i}"}
        first = api.call(method, target, body, headers=key)
        assert first.status in (200, 201) and "idempotency-replayed" not in first.headers
        state = project.state()
        again = api.call(method, target, body, headers=key)
        assert (again.status, again.body, again.headers["idempotency-replayed"]) == (first.status, first.body, "true")
        assert api.call(method, target, other, headers=key).code == "idempotency_mismatch"
        assert project.state() == state
    once = [p for p in owner.ok("GET", "/projects?limit=1000")["projects"] if p["name"] == "once"]
    assert len(once) == 1
    # A key belongs to its device.
    other = project.device()
    assert "idempotency-replayed" not in other.call("POST", project.base + "/transfers", {"path": "a"}, headers={"Idempotency-Key": f"{project.id}-1"}).headers


def test_a_token_is_told_once(project, owner):
    key = {"Idempotency-Key": "device " .strip() + project.id}
    first = owner.call("POST", project.base + "/devices", {"name": "x"}, headers=key)
    again = owner.call("POST", project.base + "/devices", {"name": "x"}, headers=key)
    assert again.status == 201 and "token" not in again.json and {**again.json, "token": first.json["token"]} == first.json
    assert project.server.api(first.json["token"]).get(project.base).status == 200
    assert len([d for d in owner.ok("GET", project.base + "/devices")["devices"] if d["name"] == "x"]) == 1
    log = project.server.log.read_text()
    assert first.json["token"] not in log and project.server.owner_token not in log


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "é".encode().decode("latin-1"), "a\tb"])
def test_bad_keys(project, key):
    with Unchanged(project):
        answer = project.commit(MKDIR, headers={"Idempotency-Key": key})
        assert (answer.status, answer.code) == (400, "field_range")


def test_the_longest_key(project):
    assert project.commit(MKDIR, headers={"Idempotency-Key": "x" * 128}).status == 200


# ---- names of projects and devices -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["", "n" * 201, "a\nb", "a\x00b", "\x7f", 5, None, ["a"]])
def test_bad_titles(project, owner, name):
    wanted = "json_invalid" if name == "a\x00b" else "field_range" if isinstance(name, str) else "field_type"
    for target in ("/projects", project.base + "/devices"):
        answer = owner.call("POST", target, {"name": name})
        assert (answer.status, answer.code) == (400, wanted), answer


def test_titles_of_any_language(owner):
    for name in ("<img src=x onerror=alert(1)>", "фильм", "電影" * 33, "n" * 200, "__proto__"):
        assert owner.ok("POST", "/projects", {"name": name}, status=201)["name"] == name
    assert owner.call("POST", "/projects", {"name": "x", "id": FREE_ID}).code == "unknown_field"


def test_bad_roles(project, owner):
    for role, code in (("owner", "field_range"), ("", "field_range"), (1, "field_type")):
        assert owner.call("POST", project.base + "/devices", {"name": "x", "role": role}).code == code


# ---- too much at once --------------------------------------------------------------------------------------------------------------

def test_sixteen_requests_at_once(project):
    """The seventeenth of one device is refused, another device's is not, and room comes back."""
    cursor = project.ok("GET", "/files/changes")["last_sync"]
    polls = [project.server.api(project.api.token) for _ in range(16)]
    answers = []

    def wait(poll):
        """Until it is one of the sixteen: the call below takes a place of its own while they come in."""
        until = time.monotonic() + 20
        while (answer := poll.get(f"{project.base}/files/changes?since={cursor}&wait=20")).status == 429:
            assert time.monotonic() < until
        answers.append(answer)

    threads = [threading.Thread(target=wait, args=(p,)) for p in polls]
    for t in threads:
        t.start()
    end = time.monotonic() + 20
    while True:
        answer = project.call("GET", "")
        if answer.status == 429:
            break
        assert time.monotonic() < end
    assert answer.code == "too_many_requests" and answer.headers["retry-after"] == "1" and answer.json["retryable"]
    project.device().ok("POST", project.base + "/commits", {"operations": [MKDIR]})
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 16 and all(a.json["added"] for a in answers)
    assert project.call("GET", "").status == 200


def in_a_loop(project, query, refusals):
    """Ask from eight connections of one device without a pause, until there were as many refusals; all that came."""
    answers, end = [], time.monotonic() + PATIENCE

    def loop(api):
        while sum(a.status == 429 for a in answers) < refusals:
            assert time.monotonic() < end, f"{len(answers)} answers"
            answers.append(api.get(f"{project.base}/files/changes{query}"))

    threads = [threading.Thread(target=loop, args=(project.server.api(project.api.token),)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


@pytest.mark.parametrize("query, status", [("", 200), ("?since=yesterday", 400), ("?wait=60&since=1." + "0" * 32, 410)])
def test_polls_in_a_tight_loop(project, query, status):
    """F 141: a device that asks without a pause and learns nothing is told when to come back; it alone, and for that alone."""
    answers = in_a_loop(project, query, 60)
    refused = [a for a in answers if a.status == 429]
    assert {a.status for a in answers} == {status, 429} and len(answers) - len(refused) >= POLL_BURST
    assert all(a.code == "too_many_requests" and a.json["reason"] == "polling" and a.json["retryable"] for a in refused)
    assert {a.headers["retry-after"] for a in refused} == {str(s + 1) for s in range(POLL_RETRY_MAX_S)}
    other = project.device()
    assert other.get(f"{project.base}/files/changes").status == 200
    project.put("file", b"1")
    assert project.call("GET", "").status == 200 and project.call("GET", "/files").status == 200
    end = time.monotonic() + PATIENCE
    while (answer := project.call("GET", "/files/changes")).status == 429:
        assert time.monotonic() < end
    assert [f["path"] for f in answer.json["added"]] == ["file"]


def test_polls_that_tell_something_are_not_counted(project):
    project.put("file", b"1")
    for _ in range(3 * POLL_BURST):
        assert project.ok("GET", "/files/changes")["added"]
