"""Each route once, as a caller who does nothing wrong."""
import gzip
import json
import subprocess

from api import Chunk, content_hash, cut, digest_of, packed, put_op, random_bytes


def test_health(anyone):
    assert anyone.ok("GET", "/healthz") == {"status": "ok"}
    assert anyone.ok("GET", "/readyz") == {"status": "ready"}


def test_projects(owner):
    made = owner.call("POST", "/projects", {"name": "film"})
    assert made.status == 201
    p = made.json
    assert made.headers["location"] == f"/projects/{p['id']}"
    assert p["name"] == "film" and p["file_count"] == 0 and p["total_size"] == 0 and p["digest"] == "00" * 32
    assert owner.ok("GET", f"/projects/{p['id']}") == p
    assert owner.ok("PATCH", f"/projects/{p['id']}", {"name": "Film"})["name"] == "Film"
    listed = []
    after = ""
    while True:
        page = owner.ok("GET", f"/projects?limit=2{after}")
        listed += [q["id"] for q in page["projects"]]
        if not page["has_more"]:
            break
        after = "&after=" + listed[-1]
    assert p["id"] in listed and listed == sorted(set(listed))
    owner.ok("DELETE", f"/projects/{p['id']}", status=204)
    assert owner.get(f"/projects/{p['id']}").code == "not_found"


def test_devices(project, owner):
    made = owner.call("POST", project.base + "/devices", {"name": "lap", "role": "reader"})
    assert made.status == 201 and made.headers["location"] == f"{project.base}/devices/{made.json['id']}"
    reader = project.server.api(made.json["token"])
    me = reader.ok("GET", project.base + "/checkpoint")
    assert me["device"] == made.json["id"] and me["device_name"] == "lap" and me["role"] == "reader"
    assert me["project"] == project.id and me["cursor"] is None
    devices = {d["name"]: d for d in reader.ok("GET", project.base + "/devices")["devices"]}
    assert devices["lap"]["role"] == "reader" and devices["tester"]["role"] == "writer"
    assert "token" not in devices["lap"]
    owner.ok("DELETE", f"{project.base}/devices/{made.json['id']}", status=204)
    assert reader.get(project.base).code == "token_revoked"


def test_checkpoint_and_lag(project):
    cursor = project.ok("GET", "/files/changes")["last_sync"]
    project.ok("PUT", "/checkpoint", {"cursor": cursor}, status=204)
    assert project.ok("GET", "/checkpoint")["cursor"] == cursor
    (device,) = project.ok("GET", "/devices")["devices"]
    assert device["cursor"] == cursor and device["lag_us"] == 0
    project.put("a", b"x")
    (device,) = project.ok("GET", "/devices")["devices"]
    assert device["lag_us"] > 0


def test_content(project):
    data = random_bytes(300_001)
    first = project.call("PUT", "/content/d/%C3%A9.bin", data, headers={"Dray-Mtime": "2020-01-02T03:04:05.000000006Z"})
    assert first.status == 201 and first.headers["location"] == project.base + "/content/d/%C3%A9.bin"
    f = first.json
    assert f["path"] == "d/é.bin" and f["size"] == len(data) and f["mtime"] == "2020-01-02T03:04:05.000000006Z"
    assert f["content_hash"] == content_hash(cut(data))
    for target in ("/content/d/%C3%A9.bin", f"/files/{f['id']}/content", f"/files/{f['id']}/content?version={f['version']}"):
        got = project.call("GET", target)
        assert got.status == 200 and got.body == data and got.headers["etag"] == first.headers["etag"]
        head = project.call("HEAD", target)
        assert head.body == b"" and {**head.headers, "date": 0, "dray-request-id": 0} == {**got.headers, "date": 0, "dray-request-id": 0}
    again = project.call("PUT", "/content/d/%C3%A9.bin", b"", headers={"If-Match": first.headers["etag"]})
    assert again.status == 200 and again.json["size"] == 0 and again.json["id"] == f["id"]
    assert project.call("GET", "/content/d/%C3%A9.bin").body == b""
    project.ok("DELETE", "/content/d/%C3%A9.bin", status=204)
    assert project.call("GET", "/content/d/%C3%A9.bin").code == "not_found"


def test_chunks_and_commit(project):
    data = random_bytes(200_000)
    chunk = Chunk(*cut(data))
    transfer = project.transfer(path="a", size=len(data))
    for _ in range(2):  # twice is as good as once
        assert project.send_chunk(transfer, 0, chunk) == {"chunk": chunk.id, "stored": True}
    project.send_chunk(transfer, 2, Chunk(b"two"))
    seen = project.ok("GET", f"/transfers/{transfer}")
    assert seen["received"] == [[0, 0], [2, 2]] and seen["chunks"][0] == {"n": 0, "chunk": chunk.id} and seen["state"] == "open"
    page = project.ok("GET", f"/transfers/{transfer}?limit=1")
    assert page["has_more"] and len(page["chunks"]) == 1
    got = project.call("GET", f"/chunks/{chunk.id}")
    assert got.body == chunk.data and got.headers["etag"] == f'"{chunk.id}"' and "immutable" in got.headers["cache-control"]
    before = project.ok("GET", "/files/changes")["last_sync"]
    answer = project.commit_ok(put_op("a", data, chunk), {"op": "put", "path": "d", "kind": "dir"},
                               {"op": "put", "path": "l", "kind": "link", "target": "../x"})
    assert answer["previous"] == before
    assert answer["cursor"] == project.ok("GET", "/files/changes")["last_sync"]
    files = project.files()
    assert digest_of(files.values()) == answer["digest"]
    assert [r["version"] for r in answer["results"]] == [files[p]["version"] for p in ("a", "d", "l")]
    assert project.call("GET", "/content/a").body == data
    project.ok("DELETE", f"/transfers/{transfer}", status=204)
    assert project.ok("GET", f"/transfers/{transfer}")["state"] == "abandoned"


def test_commit_of_a_transfer(project):
    data = random_bytes(3 * 65536 + 5)
    chunk = Chunk(*cut(data))
    transfer = project.transfer()
    project.send_chunk(transfer, 0, chunk)
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", packed(chunk), status=204)
    op = put_op("big", data, chunk)
    del op["extents"]
    project.commit_ok({**op, "transfer": transfer})
    f = project.files()["big"]
    page = project.call("GET", f"/files/{f['id']}/blocks?from=0", headers={"Accept": "application/octet-stream"})
    assert page.body == packed(chunk) and page.headers["dray-more"] == "false"
    page = project.ok("GET", f"/files/{f['id']}/blocks", headers={"Accept": "application/json"})
    assert [b["length"] for b in page["blocks"]] == [65536, 65536, 65536, 5] and not page["has_more"]
    assert page["extents"] == [{"chunk": chunk.id, "first": 0, "count": 4}]
    assert project.ok("GET", f"/files/{f['id']}") == f


def test_move_delete_restore_copy(project):
    f = project.put("a/b", b"one")
    moved = project.commit_ok({"op": "move", "id": f["id"], "path": "c", "base": f["version"]})["results"][0]
    assert moved["id"] == f["id"]
    two = project.put("c", b"two")
    restored = project.commit_ok({"op": "restore", "id": f["id"], "base": two["version"], "version": f["version"]})["results"][0]
    assert project.call("GET", "/content/c").body == b"one"
    copy = {"op": "put", "path": "copy", "kind": "file", "size": 3, "content_hash": f["content_hash"],
            "from": {"file": f["id"], "version": restored["version"]}}
    project.commit_ok(copy)
    assert project.call("GET", "/content/copy").body == b"one"
    project.commit_ok({"op": "delete", "id": f["id"], "base": restored["version"]})
    assert set(project.files()) == {"a", "copy"}


def test_listing_sees_every_file(project):
    project.commit_ok(*({"op": "put", "path": f"f{i:03}", "kind": "dir"} for i in range(25)))
    seen, cursor = [], ""
    while True:
        page = project.ok("GET", f"/files?limit=4{cursor}")
        seen += [f["path"] for f in page["files"]]
        if len(seen) == 8:
            project.commit_ok({"op": "put", "path": "late", "kind": "dir"})
        cursor = "&cursor=" + page["next_cursor"]
        if not page["has_more"]:
            break
    assert sorted(seen) == sorted([f"f{i:03}" for i in range(25)] + ["late"])
    assert page["digest"] == digest_of(project.files().values())


def test_directory_listing(project):
    for name in ("é", "b", "a b", "x"):
        project.put(f"d/{name}", b"1")
    project.put("other", b"1")
    seen, cursor = [], ""
    while True:
        page = project.ok("GET", f"/files?dir=d&order=path&limit=2{cursor}")
        seen += [f["path"] for f in page["files"]]
        if not page["has_more"]:
            assert page["next_cursor"] is None
            break
        cursor = "&cursor=" + page["next_cursor"]
    assert seen == ["d/a b", "d/b", "d/x", "d/é"]
    assert [f["path"] for f in project.ok("GET", "/files?dir=&order=path")["files"]] == ["d", "other"]


def test_changes_are_told_apart(project):
    keep, gone = project.put("keep", b"1"), project.put("gone", b"1")
    since = project.ok("GET", "/files/changes")["last_sync"]
    project.put("keep", b"2")
    project.put("new", b"3")
    project.ok("DELETE", "/content/gone", status=204)
    changes = project.ok("GET", f"/files/changes?since={since}&extents=1")
    assert [f["path"] for f in changes["added"]] == ["new"] and changes["added"][0]["extents"][0]["count"] == 1
    assert [f["id"] for f in changes["modified"]] == [keep["id"]]
    assert [(f["id"], f["state"]) for f in changes["deleted"]] == [(gone["id"], "deleted")]
    assert changes["digest"] == digest_of(project.files().values())
    again = project.ok("GET", f"/files/changes?since={changes['last_sync']}")
    assert again["added"] == again["modified"] == again["deleted"] == [] and again["last_sync"] == changes["last_sync"]


def test_snapshot(project):
    for i in range(20):
        project.put(f"d{i % 3}/f{i}", random_bytes(1000))
    files = project.files()
    plain = project.call("GET", "/snapshot")
    tree = plain.json
    assert tree["tree"] == files and tree["file_count"] == len(files) and tree["total_size"] == 20_000
    assert tree["digest"] == digest_of(files.values())
    assert plain.headers["vary"] == "Accept, Accept-Encoding"
    zipped = project.call("GET", "/snapshot", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip" and json.loads(gzip.decompress(zipped.body))["tree"] == files
    squeezed = project.call("GET", "/snapshot", headers={"Accept-Encoding": "gzip, zstd"})
    assert squeezed.headers["content-encoding"] == "zstd"
    unpacked = subprocess.run(["zstd", "-dc"], input=squeezed.body, capture_output=True, check=True).stdout
    assert json.loads(unpacked)["tree"] == files
    lines = project.call("GET", "/snapshot", headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    head, *rows = map(json.loads, lines.body.splitlines())
    assert head["file_count"] == len(rows) and {r["path"]: r.pop("extents", 1) and r for r in rows} == files
    etags = {a.headers["etag"] for a in (plain, zipped, squeezed, lines)}
    assert len(etags) == 4
    for answer, headers in ((plain, {}), (zipped, {"Accept-Encoding": "gzip"})):
        same = project.call("GET", "/snapshot", headers={**headers, "If-None-Match": answer.headers["etag"]})
        assert same.status == 304 and same.body == b"" and same.headers["etag"] == answer.headers["etag"]
        part = project.call("GET", "/snapshot", headers={**headers, "Range": "bytes=10-19"})
        assert part.status == 206 and part.body == answer.body[10:20]
    project.put("more", b"x")
    cursor = tree["cursor"]
    assert [f["path"] for f in project.ok("GET", f"/files/changes?since={cursor}")["added"]] == ["more"]
