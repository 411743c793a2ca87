"""Bad input and edges, parts E and F: ranges, conditions, downloads, cursors, the change feed."""
import itertools
import re
import threading
import time
import urllib.parse

import pytest

from api import Chunk, Unchanged, cut, put_op, random_bytes

SIZE = 200_000  # several blocks, so that parts cross them
EPOCH = "f" * 32


@pytest.fixture
def stored(project):
    """A file, and the same range rules for a chunk and a snapshot: (target, bytes, etag) of each."""
    data = random_bytes(SIZE)
    f = project.put("f", data)
    chunk = project.ok("GET", "/files/changes?extents=1")["added"][0]["extents"][0]["chunk"]
    targets = []
    for target in (f"/files/{f['id']}/content", "/content/f", f"/chunks/{chunk}", "/snapshot"):
        whole = project.call("GET", target)
        assert whole.headers["accept-ranges"] == "bytes"
        targets.append((target, whole.body, whole.headers["etag"]))
    assert targets[0][1] == targets[1][1] == data
    return targets


def test_ranges(project, stored):
    for target, data, _ in stored:
        n = len(data)
        parts = [("0-0", 0, 1), (f"{n - 1}-{n - 1}", n - 1, n), (f"{n - 1}-", n - 1, n), ("5-", 5, n), ("-1", n - 1, n), (f"-{n}", 0, n),
                 (f"-{n + 5}", 0, n), ("0-18446744073709551616", 0, n), ("0-" + "9" * 100, 0, n), ("100-299", 100, 300),
                 (f"{n // 2}-{n + 10}", n // 2, n)]
        if n > 70_000:
            parts += [("65535-65536", 65535, 65537), ("65536-131071", 65536, 131072)]
        for text, start, end in parts:
            for unit in ("bytes", "Bytes"):
                got = project.call("GET", target, headers={"Range": f"{unit}={text}"})
                assert got.status == 206, (target, text, got)
                assert got.body == data[start:end], (target, text)
                assert got.headers["content-range"] == f"bytes {start}-{end - 1}/{n}"
            head = project.call("HEAD", target, headers={"Range": f"bytes={text}"})
            assert head.status == 206 and head.headers["content-length"] == str(end - start) and head.body == b""
        for text, reason in (("5-4", None), ("-0", None), (f"{n}-", None), (f"{n + 1}-{n + 2}", None), ("99999999999999999999-", None),
                             ("0-1,3-4", "too_many_ranges"), (",".join(["0-"] * 1000), "too_many_ranges")):
            got = project.call("GET", target, headers={"Range": f"bytes={text}"})
            assert (got.status, got.code) == (416, "range_unsatisfiable"), (text, got)
            assert got.headers["content-range"] == f"bytes */{n}" and got.json.get("reason") == reason
        for text in ("lines=1-2", "bytes=-", "bytes=", "bytes=a-b", "bytes=0x1-0x2", "bytes= 1-2", "bytes=1 -2", "bytes=--1", "bytes 1-2", "bytes=1-2-3"):
            got = project.call("GET", target, headers={"Range": text})
            assert got.status == 200 and got.body == data, text


def test_ranges_of_nothing(project):
    project.put("empty", b"")
    assert project.call("GET", "/content/empty").headers["content-length"] == "0"
    for text in ("0-0", "0-", "-1"):
        got = project.call("GET", "/content/empty", headers={"Range": f"bytes={text}"})
        assert (got.status, got.code, got.headers["content-range"]) == (416, "range_unsatisfiable", "bytes */0")


def test_if_range_never_mixes_versions(project):
    old = project.call("PUT", "/content/f", b"a" * 100).headers["etag"]
    got = project.call("GET", "/content/f", headers={"Range": "bytes=50-", "If-Range": old})
    assert got.status == 206 and got.body == b"a" * 50
    project.put("f", b"b" * 100)
    for condition in (old, "W/" + old, "Sun, 22 Nov 2026 17:00:00 GMT", '"x"'):
        got = project.call("GET", "/content/f", headers={"Range": "bytes=50-", "If-Range": condition})
        assert got.status == 200 and got.body == b"b" * 100


def test_conditional_reads(project, stored):
    for target, data, etag in stored:
        for value, status in ((etag, 304), ("*", 304), (f'"x", {etag}', 304), (f"W/{etag}", 304), ('"x"', 200), (f'"x" ,"y"', 200)):
            got = project.call("GET", target, headers={"If-None-Match": value})
            assert got.status == status and got.headers["etag"] == etag and got.body == (data if status == 200 else b""), value
        for value, status in ((etag, 200), ("*", 200), (f'"x",{etag}', 200), ('"x"', 412)):
            assert project.call("GET", target, headers={"If-Match": value}).status == status, value
        for name, value in (("If-Match", etag.strip('"')), ("If-Match", "W/" + etag), ("If-Match", '"x'), ("If-None-Match", "x"),
                            ("If-Match", ""), ("If-Match", f"{etag} {etag}"), ("If-None-Match", f"*, {etag}")):
            got = project.call("GET", target, headers={name: value})
            assert (got.status, got.code) == (400, "etag_invalid"), (name, value)


@pytest.mark.parametrize("name", ['a"b', "a\r\nSet-Cookie: x", "é", "日本", "a\\b", "<script>", "%41", "'", "\x7f", "n" * 255])
def test_downloads_are_downloads(project, name):
    project.put(name, b"<html><script>alert(1)</script>")
    got = project.call("GET", "/content/" + urllib.parse.quote(name))
    assert got.headers["content-type"] == "application/octet-stream" and got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"] and "set-cookie" not in got.headers
    disposition = got.headers["content-disposition"]
    assert disposition.isascii() and disposition.startswith('attachment; filename="')
    assert urllib.parse.unquote(disposition.split("filename*=UTF-8''")[1]) == name
    assert re.fullmatch(r'attachment; filename="[A-Za-z0-9 ._-]*"; filename\*=UTF-8\'\'[A-Za-z0-9._%-]*', disposition)


def test_what_has_no_content(project):
    project.commit_ok({"op": "put", "path": "d", "kind": "dir"}, {"op": "put", "path": "l", "kind": "link", "target": "/etc/passwd"})
    for path in ("d", "l", "none", "d/none"):
        assert project.call("GET", f"/content/{path}").code == "not_found"
    f = project.put("f", b"1")
    assert project.call("GET", f"/files/{f['id']}/content?version={f['version'] + 1}").code == "not_found"
    for value in ("0", "-1", "x", "01", "1.5", "9223372036854775808"):
        assert project.call("GET", f"/files/{f['id']}/content?version={value}").code == "field_range"


# ---- cursors ----------------------------------------------------------------------------------------------------------------------

def test_bad_cursors(project):
    epoch = project.ok("GET", "/files/changes")["last_sync"].split(".")[1]
    bad = ["x", "0", "5.", f"05.{epoch}", f"-1.{epoch}", f"5.{epoch[:-1]}", f"5.{epoch}0", f"5.{epoch.upper()}" if epoch != epoch.upper() else "y",
           "9" * 40, f"9223372036854775808.{epoch}", "2026-13-01T00:00:00Z", "yesterday", "%C3%A9", "p.61", "a" * 7000, ""]
    for cursor, call in itertools.product(bad, ("/files/changes?since=", "/files?cursor=")):
        answer = project.call("GET", call + cursor)
        assert (answer.status, answer.code) == (400, "cursor_invalid"), (call, cursor)
    for cursor in ("p.", "p.6", "p.zz", "p.2f", "p.00", "p.ff", "p.2e2e", "p." + "61" * 256, "q.61", f"5.{epoch}", "2026-11-22T14:00:00Z"):
        answer = project.call("GET", f"/files?dir=&order=path&cursor={cursor}")
        assert (answer.status, answer.code) == (400, "cursor_invalid"), cursor
    assert project.call("PUT", "/checkpoint", {"cursor": "2026-11-22T14:00:00Z"}).code == "cursor_invalid"
    assert project.call("PUT", "/checkpoint", {"cursor": "x"}).code == "cursor_invalid"


def test_cursors_of_another_history(project):
    """F 133, 135: of another epoch, or ahead of the clock: keep what you have, and take the snapshot."""
    clock, epoch = project.ok("GET", "/files/changes")["last_sync"].split(".")
    for cursor in (f"{clock}.{EPOCH}", f"1.{EPOCH}", f"{int(clock) + 10**9}.{epoch}", f"{2**63 - 1}.{epoch}"):
        for call in ("/files/changes?since=", "/files?cursor=", "/files/changes?wait=30&since="):
            answer = project.call("GET", call + cursor)
            assert (answer.status, answer.code) == (410, "epoch_changed"), (call, cursor)
            assert answer.json["merge"] == "keep-local" and answer.json["snapshot"] == project.base + "/snapshot"
        answer = project.call("PUT", "/checkpoint", {"cursor": cursor})
        assert (answer.status, answer.code) == (410, "epoch_changed")
    assert project.ok("GET", "/checkpoint")["cursor"] is None
    assert project.call("GET", answer.json.get("snapshot", project.base + "/snapshot")[len(project.base):]).status == 200


def test_times_as_cursors(project):
    f = project.put("a", b"1")
    for since in ("1960-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "2020-01-01T00:00:00+02:00"):
        assert [g["id"] for g in project.ok("GET", f"/files/changes?since={since}")["added"]] == [f["id"]]
    assert project.ok("GET", f"/files/changes?since={f['changed_at']}")["added"] == []
    future = project.ok("GET", "/files/changes?since=2100-01-01T00:00:00Z")
    assert not future["added"] and not future["has_more"] and future["last_sync"] == project.state()["last_sync"]
    assert project.ok("GET", f"/files?cursor={f['changed_at']}")["files"] == []


@pytest.mark.parametrize("value", ["0", "-1", "1001", "1000000000", "abc", "", "01", "1.0", "+1", "%31%00", "18446744073709551617"])
def test_bad_limits(project, value):
    for call in ("/files?limit=", "/files/changes?limit=", "/files?dir=&limit="):
        answer = project.call("GET", call + value)
        assert (answer.status, answer.code) == (400, "field_range")
    assert project.api.get("/projects?limit=" + value).code == "field_range"


def test_bad_parameters(project):
    for query, code in (("extents=2", "field_range"), ("extents=", "field_range"), ("order=size&dir=", "field_range"),
                        ("order=path", "field_missing"), ("dir=&order=clock", "field_range"), ("dir=&extents=1", "field_range")):
        assert project.call("GET", "/files?" + query).code == code, query
    for value in ("61", "-1", "x", "1.5"):
        assert project.call("GET", "/files/changes?wait=" + value).code == "field_range"
    for directory, status, code in (("none", 404, "not_found"), ("..", 422, "path_invalid"), ("a%00b", 422, "path_invalid"), ("/", 422, "path_invalid"),
                                    ("a/", 422, "path_invalid"), ("%ff", 422, "name_not_utf8")):
        answer = project.call("GET", f"/files?order=path&dir={directory}")
        assert (answer.status, answer.code) == (status, code), directory
    f = project.put("file", b"1")
    assert project.call("GET", "/files?dir=file").code == "not_found"
    for value in ("1", "63", "-64", "x", "9223372036854775807"):
        assert project.call("GET", f"/files/{f['id']}/blocks?from={value}").code == "field_range"
    beyond = project.call("GET", f"/files/{f['id']}/blocks?from=64")
    assert beyond.status == 200 and beyond.body == b"" and beyond.headers["dray-more"] == "false"
    assert project.api.get("/projects?after=x").code == "id_invalid"


def test_pages_of_changes_are_whole(project):
    """F 138, 139: read in pages of 3 while two others commit, each change is seen, in order, and the sum is the tree."""
    stop = threading.Event()

    def write(name, api):
        n = 0
        while not stop.is_set():
            n += 1
            ops = [{"op": "put", "path": f"{name}-{n}-{k}", "kind": "dir"} for k in range(5)]
            assert api.call("POST", project.base + "/commits", {"operations": ops}).status == 200

    writers = [threading.Thread(target=write, args=(name, project.device(name))) for name in "ab"]
    for w in writers:
        w.start()
    seen, cursor, last = {}, "", 0
    end = time.monotonic() + 2
    try:
        while True:
            page = project.ok("GET", f"/files/changes?limit=3&wait=1{cursor}")
            versions = sorted(f["version"] for f in page["added"] + page["modified"])
            assert not versions or versions[0] > last
            last = versions[-1] if versions else last
            seen.update((f["path"], f["version"]) for f in page["added"])
            cursor = "&since=" + page["last_sync"]
            if time.monotonic() > end:
                stop.set()
            if stop.is_set() and not page["has_more"] and not any(w.is_alive() for w in writers) and not versions:
                break
    finally:
        stop.set()
        for w in writers:
            w.join()
    assert seen == {p: f["version"] for p, f in all_files(project).items()}


def all_files(project):
    files, cursor = {}, ""
    while True:
        page = project.ok("GET", f"/files?limit=1000{cursor}")
        files.update((f["path"], f) for f in page["files"])
        cursor = "&cursor=" + page["next_cursor"]
        if not page["has_more"]:
            return files


# ---- waiting ------------------------------------------------------------------------------------------------------------------------

def wait_for_change(project, since, seconds, answers, **more):
    start = time.monotonic()
    answer = project.server.api(more.get("token", project.api.token)).get(f"{project.base}/files/changes?since={since}&wait={seconds}")
    answers.append((answer, time.monotonic() - start))


def test_two_who_wait_are_both_told(project):
    since, answers = project.state()["last_sync"], []
    waiting = [threading.Thread(target=wait_for_change, args=(project, since, 30, answers)) for _ in range(2)]
    for t in waiting:
        t.start()
    time.sleep(0.3)
    assert not answers
    f = project.put("new", b"1")
    for t in waiting:
        t.join()
    for answer, took in answers:
        assert [g["id"] for g in answer.json["added"]] == [f["id"]] and took < 5


def test_a_wait_ends(project):
    since, answers = project.state()["last_sync"], []
    wait_for_change(project, since, 1, answers)
    (answer, took), = answers
    assert answer.json["added"] == [] and answer.json["last_sync"] == since and 0.4 < took < 10
    project.put("x", b"1")
    wait_for_change(project, since, 30, answers)
    assert answers[1][0].json["added"] and answers[1][1] < 5  # what is there already is not waited for


def test_revoked_and_deleted_while_waiting(project, owner):
    """F 142, 143."""
    made = owner.ok("POST", project.base + "/devices", {"name": "leaving"}, status=201)
    since, answers = project.state()["last_sync"], []
    t = threading.Thread(target=wait_for_change, args=(project, since, 30, answers), kwargs={"token": made["token"]})
    t.start()
    time.sleep(0.2)
    owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)
    project.put("secret", b"1")
    t.join()
    assert answers[0][0].code == "token_revoked"

    since = project.state()["last_sync"]
    t = threading.Thread(target=wait_for_change, args=(project, since, 30, answers))
    t.start()
    time.sleep(0.2)
    owner.ok("DELETE", project.base, status=204)
    t.join()
    assert answers[1][0].code == "not_found" and answers[1][1] < 10


def test_waiting_holds_no_thread(project):
    """More who wait than the server has workers: others are served meanwhile."""
    since, answers = project.state()["last_sync"], []
    tokens = [project.device(f"w{i}").token for i in range(4)]
    waiting = [threading.Thread(target=wait_for_change, args=(project, since, 20, answers), kwargs={"token": t}) for t in tokens * 10]
    for t in waiting:
        t.start()
    time.sleep(0.3)
    start = time.monotonic()
    for _ in range(20):
        project.ok("GET", "")
    assert time.monotonic() - start < 10 and not answers
    project.put("new", b"1")
    for t in waiting:
        t.join()
    assert len(answers) == 40 and all(a.json["added"] for a, _ in answers)
