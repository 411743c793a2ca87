"""Bad input and edges, parts A and G: paths in commits, bases, conflicts, chunks, transfers, content by path."""
import secrets
import threading

import pytest

from api import BLOCK, Chunk, Unchanged, content_hash, cut, digest_of, packed, put_op, random_bytes

FREE_ID = "0" * 32


def mkdir(path, **more):
    return {"op": "put", "path": path, "kind": "dir", **more}


# ---- paths (A): the whole batch is refused and the message names the operation -----------------------------------------------------

PATHS = [
    ("", "path_invalid", "empty_component"), ("a//b", "path_invalid", "empty_component"), ("a/./b", "path_invalid", "dot"),
    ("../x", "path_invalid", "traversal"), ("a/../../x", "path_invalid", "traversal"), ("a/..", "path_invalid", "traversal"),
    ("/etc/passwd", "path_invalid", "absolute"), ("a/b/", "path_invalid", "trailing_slash"), ("a\0b", "path_invalid", "nul"),
    ("\0", "path_invalid", "nul"), ("n" * 256, "name_too_long", None), ("漢" * 200, "name_too_long", None),
    ("n" * 900_000, "name_too_long", None), ("/".join(["d"] * 257), "path_too_long", None),
    ("/".join(["n" * 255] * 16) + "/n", "path_too_long", None), (".dray", "name_reserved", None), ("a/.dray/b", "name_reserved", None),
]


@pytest.mark.parametrize("path,code,reason", PATHS, ids=[repr(p[0][:30]) for p in PATHS])
def test_bad_paths(project, path, code, reason):
    f = project.put("f", b"1")
    move = {"op": "move", "id": f["id"], "base": f["version"], "path": path}
    with Unchanged(project):
        for bad in (mkdir(path), move):
            answer = project.commit(mkdir("good"), bad)
            assert (answer.status, answer.code, answer.json.get("reason")) == (422, code, reason), answer
            assert "operations[1]" in answer.json["detail"]
        if path:
            answer = project.call("POST", "/transfers", {"path": path})
            assert (answer.status, answer.code) == (422, code)


GOOD_PATHS = ["n" * 255, "/".join(["d"] * 256), "漢" * 85, "-rf", "$(x)", "`y`", "; rm -rf", "~", "=cmd()", "__proto__", "constructor",
              "e\u0301", "é", "a,b", "..a", "...a", "😀", "README", "readme", "ß", "SS"]
UNPORTABLE = ["..\\..\\x", "C:\\x", "a.txt:evil", "GIT~1", "CON", "nul", "AUX.c", "COM1.txt", "LPT³", "a.", "a ", "...", 'a"b', "a|b", "a?b",
              "a\nb", "a\x1b[2Jb", "\u202ecod.exe", "a\u200bb", "\ufeffx", "a\u00a0",
              "<img src=x onerror=alert(1)>"]


def test_names_are_kept_to_the_byte(project):
    """What Linux can hold is stored as it is; what some device cannot hold is marked."""
    parents = {"/".join(["d"] * n) for n in range(1, 256)}
    project.commit_ok(*(mkdir(p) for p in sorted(parents, key=len)))
    project.commit_ok(*(mkdir(p) for p in GOOD_PATHS + UNPORTABLE))
    files = project.files()
    assert set(files) == parents | set(GOOD_PATHS) | set(UNPORTABLE)
    assert {p for p, f in files.items() if f.get("unportable")} == set(UNPORTABLE)
    assert project.state()["digest"] == digest_of(files.values())


def long_path(n):
    """Of ${n} bytes that no database can make much shorter."""
    text = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(n))
    return "/".join(text[i:i + 199] for i in range(0, n, 200))[:n - 1] + "z"


def with_parents(path):
    parts = path.split("/")
    return [mkdir("/".join(parts[:n + 1])) for n in range(len(parts))]


def test_the_longest_path(project, server):
    """4,096 bytes, or what the indices of the server's database take; what is longer fails by itself, and its neighbours go on."""
    longest = server.db.path_max
    path = long_path(longest)
    assert len(path) == longest
    project.commit_ok(*with_parents(path))
    assert path in project.files()
    if longest == 4096:  # one more is path_check's to refuse, above
        return
    answer = project.commit(mkdir("before"), *with_parents(long_path(longest + 1)), mkdir("after"))
    assert answer.status == 200, answer
    failed = [r["code"] for r in answer.json["results"] if r["status"] != "ok"]
    assert failed == ["path_too_long"], answer
    assert {"before", "after"} <= set(project.files())
    answer = project.call("PUT", "/content/" + long_path(longest + 1), b"x")
    assert (answer.status, answer.code) == (422, "path_too_long"), answer


# ---- bases and conflicts (A 42 to 46, G 158 to 161) -----------------------------------------------------------------------------------

def result(answer, i=0):
    assert answer.status == 200, answer
    return answer.json["results"][i]


def test_conflicts(project):
    f = project.put("f", b"1")
    other = project.put("other", b"2")
    project.put("d/x", b"3")
    files = project.files()
    base, stale = f["version"], f["version"] - 1
    rows = [
        (mkdir("f"), "name_exists"), (mkdir("none/x"), "parent_missing"), (mkdir("f/x"), "parent_not_directory"),
        ({"op": "delete", "id": f["id"], "base": stale}, "version_conflict"),
        ({"op": "delete", "id": f["id"], "base": base + 10**9}, "base_invalid"),
        ({"op": "delete", "id": files["d"]["id"], "base": files["d"]["version"]}, "not_empty"),
        ({"op": "delete", "id": FREE_ID, "base": 1}, "not_found"),
        ({"op": "move", "id": f["id"], "base": stale, "path": "g"}, "version_conflict"),
        ({"op": "move", "id": f["id"], "base": base, "path": "other"}, "name_exists"),
        ({"op": "move", "id": f["id"], "base": base, "path": "none/x"}, "parent_missing"),
        ({"op": "move", "id": files["d"]["id"], "base": files["d"]["version"], "path": "d/e"}, "move_cycle"),
        ({"op": "restore", "id": f["id"], "base": base, "version": 1}, "not_found"),
        ({"op": "put", "path": "f", "kind": "file", "base": stale, "mode": "0600"}, "version_conflict"),
    ]
    with Unchanged(project):
        for op, code in rows:
            got = result(project.commit(op))
            assert got["status"] in ("conflict", "error") and got["code"] == code, (op, got)
            if code in ("version_conflict", "name_exists") and "current" in got:
                assert got["current"] in (f, other)
        assert result(project.commit({"op": "delete", "id": f["id"], "base": stale}))["current"] == f
    # One that cannot be done does not keep the others from being done, and says so.
    answer = project.commit(mkdir("new"), {"op": "delete", "id": f["id"], "base": stale}, mkdir("new/sub"))
    assert [r["status"] for r in answer.json["results"]] == ["ok", "conflict", "ok"]
    assert set(project.files()) == set(files) | {"new", "new/sub"}


def test_batches_that_are_wrong(project):
    f = project.put("f", b"1")
    chunk = Chunk(b"x")
    rows = [
        ([{"op": "delete", "id": f["id"]}], 428, "base_required"),
        ([mkdir("a"), mkdir("a")], 422, "duplicate_target"),
        ([{"op": "delete", "id": f["id"], "base": f["version"]}] * 2, 422, "duplicate_target"),
        ([{"op": "put", "path": "l", "kind": "link", "target": ""}], 422, "symlink_invalid"),
        ([{"op": "put", "path": "l", "kind": "link", "target": "t" * 4096}], 422, "symlink_invalid"),
        ([put_op("a", b"x", chunk)], 409, "chunks_missing"),
        ([{**put_op("a", b"x", chunk), "size": 2**44 + 1}], 413, "file_too_large"),
        ([{**put_op("a", b"x", chunk), "size": 2**63 - 1}], 413, "file_too_large"),
        ([{**put_op("a", b"x", chunk), "content_hash": "A" * 64}], 400, "hash_invalid"),
        ([{**put_op("a", b"x", chunk), "extents": [{"chunk": chunk.id, "first": 1000, "count": 1000}]}], 422, "blocklist_invalid"),
    ]
    with Unchanged(project):
        for ops, status, code in rows:
            answer = project.commit(mkdir("innocent"), *ops)
            assert (answer.status, answer.code) == (status, code), (ops, answer)


def test_content_that_is_not_what_it_says(project):
    data = random_bytes(2 * BLOCK + 7)
    chunk = Chunk(*cut(data))
    project.send_chunk(project.transfer(), 0, chunk)
    good = put_op("a", data, chunk)
    rows = [
        ({**good, "size": len(data) - 1}, "size_mismatch"), ({**good, "size": len(data) + 1}, "size_mismatch"),
        ({**good, "size": 0}, "size_mismatch"), ({**good, "content_hash": "0" * 63 + "1"}, "file_hash_mismatch"),
        ({**good, "content_hash": content_hash(cut(data[:-1]))}, "file_hash_mismatch"),
        ({**good, "extents": [{"chunk": chunk.id, "first": 1, "count": 2}]}, "size_mismatch"),
    ]
    with Unchanged(project):
        for op, code in rows:
            answer = project.commit(op)
            assert (answer.status, answer.code) == (422, code), (op, answer)
        answer = project.commit({**good, "extents": [{"chunk": chunk.id, "first": 1, "count": 3}]})
        assert answer.status == 422  # a fourth block that the chunk does not have
    project.commit_ok(good)
    assert project.call("GET", "/content/a").body == data


def test_missing_chunks_are_all_listed(project):
    chunks = [Chunk(b"%d" % i) for i in range(50)]
    transfer = project.transfer()
    project.send_chunk(transfer, 0, chunks[0])
    with Unchanged(project):
        answer = project.commit(*(put_op(f"f{i}", b"%d" % i, c) for i, c in enumerate(chunks)))
        assert (answer.status, answer.code, answer.json["has_more"]) == (409, "chunks_missing", False)
        assert sorted(answer.json["missing"]) == sorted(c.id for c in chunks[1:])


def test_only_one_of_a_race_wins(project):
    f = project.put("f", b"1")
    answers = []

    def edit(api, mode):
        answers.append(api.call("POST", project.base + "/commits", {"operations": [{"op": "put", "path": "f", "kind": "file", "base": f["version"], "mode": mode}]}))

    apis = [project.device(f"r{i}") for i in range(8)]
    threads = [threading.Thread(target=edit, args=(api, f"06{i}0")) for i, api in enumerate(apis)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    results = [result(a) for a in answers]
    (winner,) = [r for r in results if r["status"] == "ok"]
    assert all(r["code"] == "version_conflict" and r["current"]["version"] == winner["version"] for r in results if r is not winner)


def test_modes_and_times(project):
    answer = project.commit_ok(mkdir("a", mode="7777", mtime="1969-12-31T23:59:59.999999999Z"), mkdir("b", mtime="2262-01-01T00:00:00Z"))
    files = project.files()
    assert files["a"]["mode"] == "0777" and files["a"]["mtime"] == "1969-12-31T23:59:59.999999999Z"
    assert answer["digest"] == digest_of(files.values())
    for bad in ({"mode": "77777"}, {"mode": "644"}, {"mtime": "3000-01-01T00:00:00Z"}, {"mtime": "2026-11-22T14:00:60Z"},
                {"mtime": "2026-11-22T14:00:00.1234567890Z"}, {"mtime": ""}):
        assert project.commit(mkdir("c", **bad)).code == "field_range", bad
    assert project.commit(mkdir("c", mtime=5)).code == "field_type"


def test_ten_thousand_operations(project):
    answer = project.commit_ok(*(mkdir(f"d{i:05}") for i in range(10_000)))
    assert len(answer["results"]) == 10_000
    assert project.ok("GET", "")["file_count"] == 10_000
    assert answer["digest"] == project.ok("GET", "")["digest"]


# ---- chunks and transfers (G) ----------------------------------------------------------------------------------------------------------

def test_bad_chunks(project):
    good = Chunk(random_bytes(BLOCK), b"tail")
    transfer = project.transfer()
    flipped = bytearray(good.data)
    flipped[-1] ^= 1
    table = bytearray(good.data)
    table[16] ^= 1
    rows = [
        (b"", "chunk_invalid"), (good.data[:-1], "chunk_invalid"), (good.data + b"x", "chunk_invalid"), (good.data[:10], "chunk_invalid"),
        (b"X" + good.data[1:], "chunk_invalid"), (bytes(flipped), "hash_mismatch"), (bytes(table), "hash_mismatch"),
        (good.data[:8] + b"\0\0\0\0" + good.data[12:], "chunk_invalid"), (good.data[:8] + b"\xff\xff\xff\xff" + good.data[12:], "chunk_invalid"),
        (good.data[:12] + b"\1\0\0\0" + good.data[16:], "chunk_invalid"), (Chunk(b"").data, "chunk_invalid"),
        (Chunk(random_bytes(BLOCK + 1)).data, "chunk_invalid"), (good.data[:48] + b"\0\0\0\x80" + good.data[52:], "chunk_invalid"),
    ]
    for data, code in rows:
        answer = project.call("PUT", f"/transfers/{transfer}/chunks/0", data)
        assert (answer.status, answer.code) == (422, code), (data[:60], answer)
    assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == []
    assert project.call("GET", f"/chunks/{good.id}").code == "not_found"
    project.send_chunk(transfer, 0, good)
    assert project.call("GET", f"/chunks/{good.id}").body == good.data


def test_chunks_that_do_not_compress_to_what_they_say(project):
    """G 179: frames that lie about their size, or are none."""
    import hashlib
    import struct
    import zstandard
    raw = b"a" * 50_000
    zstd = zstandard.ZstdCompressor(write_checksum=False)
    frame, bomb = zstd.compress(raw), zstd.compress(b"\0" * 10_000_000)

    def container(stored, claimed):
        table = hashlib.sha256(claimed).digest() + struct.pack("<II", len(claimed), len(stored) | 0x80000000)
        return b"DRAYCHK1" + struct.pack("<II", 1, 0) + table + stored

    transfer = project.transfer()
    rows = [(container(frame + b"x", raw), 422), (container(frame[:-1], raw), 422), (container(frame, raw[:-1]), 422), (container(b"junk", raw), 422),
            (container(bomb, raw), 422), (container(frame, raw[:-1] + b"b"), 422)]
    for data, status in rows:
        answer = project.call("PUT", f"/transfers/{transfer}/chunks/0", data)
        assert answer.status == status and answer.code in ("encoding_invalid", "hash_mismatch", "chunk_invalid"), answer
    assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == []
    project.ok("PUT", f"/transfers/{transfer}/chunks/0", container(frame, raw))  # and this one does


def test_chunk_numbers(project):
    transfer = project.transfer()
    chunk = Chunk(b"1")
    for n in ("-1", "01", "1.5", "x", "4294967296", "18446744073709551616", "4195328", "%31%00", "+1"):
        answer = project.call("PUT", f"/transfers/{transfer}/chunks/{n}", chunk.data)
        assert (answer.status, answer.code) == (400, "field_range"), n
    project.send_chunk(transfer, 4195327, chunk)
    assert project.ok("GET", f"/transfers/{transfer}")["received"] == [[4195327, 4195327]]


def test_chunks_of_a_transfer(project):
    transfer, one, two = project.transfer(), Chunk(b"1"), Chunk(b"2")
    project.send_chunk(transfer, 0, one)
    answer = project.call("PUT", f"/transfers/{transfer}/chunks/0", two.data)
    assert (answer.status, answer.code) == (409, "chunk_conflict")
    assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == [{"n": 0, "chunk": one.id}]
    for n in range(1, 8):
        project.send_chunk(transfer, n, Chunk(b"n%d" % n))
    seen, start = [], 0
    while True:
        page = project.ok("GET", f"/transfers/{transfer}?from={start}&limit=3")
        seen += [c["n"] for c in page["chunks"]]
        if not page["has_more"]:
            break
        start = seen[-1] + 1
    assert seen == list(range(8))


def test_a_chunk_of_the_largest_size(project):
    transfer = project.transfer()
    largest = Chunk(*(random_bytes(BLOCK) for _ in range(64)))
    project.send_chunk(transfer, 0, largest)
    assert project.call("GET", f"/chunks/{largest.id}").body == largest.data
    head = f"PUT {project.base}/transfers/{transfer}/chunks/1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {project.api.token}\r\n"
    got, closed = project.api.raw((head + f"Content-Length: {4 * 2**20 + 65537}\r\n\r\n").encode())
    assert got.startswith(b"HTTP/1.1 413 ") and closed


def test_transfers_that_have_ended(project):
    transfer, chunk = project.transfer(), Chunk(b"1")
    project.ok("DELETE", f"/transfers/{transfer}", status=204)
    project.ok("DELETE", f"/transfers/{transfer}", status=204)
    for method, path, body in (("PUT", "/chunks/0", chunk.data), ("PUT", "/blocks?from=0", packed(chunk))):
        answer = project.call(method, f"/transfers/{transfer}{path}", body)
        assert (answer.status, answer.code) == (410, "transfer_gone")
    op = put_op("a", b"1", chunk)
    del op["extents"]
    with Unchanged(project):
        assert project.commit({**op, "transfer": transfer}).status in (404, 409, 410)
        assert project.commit({**op, "transfer": FREE_ID}).status in (404, 409, 410)


def test_bad_transfers(project):
    for body, status, code in (({"size": -1}, 400, "field_range"), ({"size": 1.5}, 400, "field_type"), ({"size": 2**44 + 1}, 413, "file_too_large"),
                               ({"size": 2**63 - 1}, 413, "file_too_large"), ({"path": 5}, 400, "field_type"), ({"chunks": 5}, 400, "unknown_field")):
        answer = project.call("POST", "/transfers", body)
        assert (answer.status, answer.code) == (status, code), body
    assert project.ok("POST", "/transfers", {"size": 2**44}, status=201)["size"] == 2**44


def test_bad_block_lists(project):
    transfer, chunk = project.transfer(), Chunk(b"1", b"2")
    page = packed(chunk)
    for body in (b"", page[:-1], page + b"x", b"X" + page[1:], page[:8] + b"\0\0\0\0" + page[12:], page[:8] + b"\xff\xff\xff\xff" + page[12:]):
        answer = project.call("PUT", f"/transfers/{transfer}/blocks?from=0", body)
        assert (answer.status, answer.code) == (422, "blocklist_invalid"), answer
    assert project.call("PUT", f"/transfers/{transfer}/blocks", page).code == "field_missing"
    assert project.call("PUT", f"/transfers/{transfer}/blocks?from=-1", page).code == "field_range"
    assert project.call("PUT", f"/transfers/{transfer}/blocks?from=9223372036854775807", page).code == "field_range"
    project.send_chunk(transfer, 0, chunk)
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=2", page, status=204)
    op = {**put_op("a", b"", chunk), "size": 4, "content_hash": content_hash([b"1", b"2", b"1", b"2"]), "transfer": transfer}
    del op["extents"]
    with Unchanged(project):
        answer = project.commit(op)
        assert (answer.status, answer.code) == (409, "blocks_missing")
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", page, status=204)
    project.commit_ok(op)
    assert project.call("GET", "/content/a").body == b"1212"


# ---- content by path -----------------------------------------------------------------------------------------------------------------

def test_conditions_of_writes(project):
    first = project.call("PUT", "/content/f", b"1", headers={"If-None-Match": "*"})
    assert first.status == 201
    old = first.headers["etag"]
    new = project.call("PUT", "/content/f", b"22", headers={"If-Match": old}).headers["etag"]
    assert new != old
    rows = [({"If-None-Match": "*"}, 412, "precondition_failed"), ({"If-Match": old}, 412, "precondition_failed"),
            ({"If-Match": '"x"'}, 412, "precondition_failed"), ({"If-Match": "x"}, 400, "etag_invalid"), ({"If-Match": "W/" + new}, 400, "etag_invalid"),
            ({"If-Match": f"{old}, {new}"}, 400, "etag_invalid"), ({"If-None-Match": new}, 400, "etag_invalid"),
            ({"If-Match": new, "If-None-Match": "*"}, 400, "etag_invalid"), ({"Dray-Mtime": "yesterday"}, 400, "field_range")]
    with Unchanged(project):
        for headers, status, code in rows:
            answer = project.call("PUT", "/content/f", b"333", headers=headers)
            assert (answer.status, answer.code) == (status, code), (headers, answer)
            if "Dray-Mtime" not in headers:
                answer = project.call("DELETE", "/content/f", headers=headers)
                assert (answer.status, answer.code) == (status, code), (headers, answer)
        assert project.call("PUT", "/content/none", b"1", headers={"If-Match": "*"}).code == "precondition_failed"
    assert project.call("PUT", "/content/f", b"4", headers={"If-Match": "*"}).status == 200
    assert project.call("GET", "/content/f").body == b"4"


def test_where_content_cannot_go(project):
    project.put("d/f", b"1")
    with Unchanged(project):
        for path, status, code in (("d", 409, "name_exists"), ("d/f/x", 409, "parent_not_directory"), (".dray", 422, "name_reserved"), ("d/", 422, "path_invalid")):
            answer = project.call("PUT", f"/content/{path}", b"1")
            assert (answer.status, answer.code) == (status, code), (path, answer)
        assert project.call("DELETE", "/content/d").code == "not_empty"
        assert project.call("DELETE", "/content/none").code == "not_found"


def test_content_needs_a_length(project):
    head = f"PUT {project.base}/content/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {project.api.token}\r\n"
    with Unchanged(project):
        for extra in ("", "Transfer-Encoding: chunked\r\n"):
            got, _ = project.api.raw((head + extra + "\r\n").encode())
            assert got.startswith(b"HTTP/1.1 411 ") and b'"length_required"' in got
        got, closed = project.api.raw((head + f"Content-Length: {2**44 + 1}\r\n\r\n").encode())
        assert got.startswith(b"HTTP/1.1 413 ") and closed
        got, _ = project.api.raw((head + "Content-Length: 1000\r\n\r\nonly this").encode())  # G 113: then the line is cut
        assert got == b""


def test_no_body_is_asked_of_who_may_not_send_it(project):
    """D 109: the final answer comes at once, not after 100."""
    reader = project.device("r", "reader")
    for token, status in ((reader.token, b"403"), ("dray_x", b"401"), (project.api.token, b"100")):
        head = f"PUT {project.base}/content/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        got, closed = project.api.raw(head.encode())
        assert got.startswith(b"HTTP/1.1 " + status), got
        assert closed == (status != b"100")
