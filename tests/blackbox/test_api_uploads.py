"""
Bad input, part G, what test_api_writing.py does not have: hashes, sizes, chunks, transfers and block lists that are wrong, late, doubled
or somebody else's.  Each row: status, code, what becomes of the connection, and a look afterwards that nothing has changed.

Rows of the catalogue that mean something else here:
  149  a middle chunk may be short: chunks are containers, and a list of blocks says what a file is made of
  165  there is no "have you" call; the only answer of that kind is chunks_missing of a commit, bounded by a commit's own limits
  171  there is no append: a page of a list says where it belongs, and a gap is blocks_missing
  173, 174, 177  a delta is a list of extents, so its bounds are those of extents, and its expansion those of size and content hash
  176  rolling sums are compared by the client only; the server never sees one
  178  a list is asked for in pages of 64 blocks; nothing is computed for it
"""
import hashlib
import struct
import threading

import pytest
import zstandard

from api import BLOCK, Chunk, Project, Unchanged, content_hash, cut, packed, put_op, random_bytes

FREE_ID = "0" * 32
COMPRESSED = 1 << 31
BAD_HASHES = ["", "A" * 64, "a" * 63, "a" * 65, "g" * 64, "sha256:" + "a" * 64, " " + "a" * 63, "a" * 63 + "é"]


def refused(project, method, path, body, status, code, closes=False):
    """
    One request that is refused so, on a connection that goes on; or does not, where the answer comes before the body has been read: then
    the answer says so.
    """
    project.api.get("/healthz")
    line = project.api.conn.sock
    answer = project.call(method, path, body)
    assert (answer.status, answer.code) == (status, code), (str(body)[:300], answer)
    assert (answer.headers.get("connection") == "close") == closes, answer
    assert project.api.get("/healthz").status == 200
    assert (project.api.conn.sock is not line) == closes
    return answer


def refused_commit(project, op, status, code):
    """As a part of a batch: what is innocent in it is not done either."""
    innocent = {"op": "put", "path": "innocent", "kind": "dir"}
    return refused(project, "POST", "/commits", {"operations": [innocent, op]}, status, code)


# ---- hashes (147, 148, 180) ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bad", BAD_HASHES)
def test_hashes_have_one_spelling(project, bad):
    data = b"x"
    chunk = Chunk(data)
    project.send_chunk(project.transfer(), 0, chunk)
    good = put_op("f", data, chunk)
    with Unchanged(project):
        refused_commit(project, {**good, "content_hash": bad}, 400, "hash_invalid")
        refused_commit(project, {**good, "extents": [{"chunk": bad, "first": 0, "count": 1}]}, 400, "hash_invalid")
    project.commit_ok(good)


def test_nothing_has_no_chunks(project):
    """An empty file names no chunk, and no chunk holds an empty block."""
    nothing = hashlib.sha256(b"").hexdigest()
    chunk = Chunk(b"x")
    transfer = project.transfer()
    project.send_chunk(transfer, 0, chunk)
    empty = {"op": "put", "path": "empty", "kind": "file", "size": 0, "content_hash": nothing, "extents": []}
    with Unchanged(project):
        for data in (Chunk(b"").data, Chunk(b"x", b"").data, Chunk().data):
            refused(project, "PUT", f"/transfers/{transfer}/chunks/1", data, 422, "chunk_invalid")
        refused_commit(project, {**empty, "extents": [{"chunk": nothing, "first": 0, "count": 1}]}, 409, "chunks_missing")
        refused_commit(project, {**empty, "extents": [{"chunk": chunk.id, "first": 0, "count": 1}]}, 422, "size_mismatch")
        refused_commit(project, {**empty, "content_hash": "0" * 64}, 422, "file_hash_mismatch")
    project.commit_ok(empty)


def zstd_frame(raw):
    """One plain frame that says its size."""
    return zstandard.ZstdCompressor(level=1, write_content_size=True, write_checksum=False).compress(raw)


def container(stored, claimed, raw_len=None):
    """One block, said to be compressed."""
    return containers([stored], [claimed], raw_len)


def containers(stored, claimed, raw_len=None):
    table = b"".join(hashlib.sha256(c).digest() + struct.pack("<II", len(c) if raw_len is None else raw_len, len(s) | COMPRESSED)
                     for s, c in zip(stored, claimed))
    return b"DRAYCHK1" + struct.pack("<II", len(stored), 0) + table + b"".join(stored)


def bad_frames():
    raw = b"a" * 50_000
    frame = zstd_frame(raw)
    body = frame[4:]
    magic = frame[:4]
    # A frame header of ours before the frame's one block: descriptor, then what it announces.
    block = struct.pack("<I", 1 | 1 << 1 | len(raw) << 3)[:3] + b"a"  # last, run length
    return {
        "skippable before": b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip" + frame,
        "skippable after": frame + b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip",
        "skippable alone": b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip",
        "two frames": zstd_frame(raw[:25_000]) + zstd_frame(raw[25_000:]),
        "window of 2 GiB": magic + b"\x00" + bytes([21 << 3]) + block,
        "window of 3.75 TiB": magic + b"\x00" + b"\xff" + block,
        "dictionary": magic + b"\x21" + b"\x07" + bytes([200]) + block,
        "size of 2^64": magic + b"\xe0" + b"\xff" * 8 + block,
        "size of 1": magic + b"\x20" + b"\x01" + block,
        "reserved bit": magic + bytes([body[0] | 8]) + body[1:],
        "older magic": b"\x27\xb5\x2f\xfd" + body,
        "nothing": b"",
    }


@pytest.mark.parametrize("name", bad_frames())
def test_frames_that_are_not_plain(project, name):
    """179: one frame, one-shot, into a bounded buffer; nothing that makes the decoder take memory or other data."""
    raw = b"a" * 50_000
    transfer = project.transfer()
    with Unchanged(project):
        answer = project.call("PUT", f"/transfers/{transfer}/chunks/0", container(bad_frames()[name], raw))
        assert answer.status == 422 and answer.code in ("encoding_invalid", "chunk_invalid"), answer
        assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == []
    project.ok("PUT", f"/transfers/{transfer}/chunks/0", container(zstd_frame(raw), raw))


def test_hashes_are_of_plain_bytes(project):
    """180: the hash of the compressed bytes does not name the block."""
    raw = b"a" * 50_000
    frame = zstd_frame(raw)
    transfer = project.transfer()
    with Unchanged(project):
        for claimed in (frame, raw[:-1]):
            refused(project, "PUT", f"/transfers/{transfer}/chunks/0", container(frame, claimed, len(raw)), 422, "hash_mismatch")
        assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == []


# ---- sizes (149, 157, 167) -------------------------------------------------------------------------------------------------------------

def test_a_chunk_of_one_byte_too_many(project):
    """Both limits of a container: 4 MiB of raw bytes, however well they compress, and 1,024 blocks."""
    transfer = project.transfer()
    full, tail = zstd_frame(b"a" * BLOCK), zstd_frame(b"a")
    largest, over = [b"a" * BLOCK] * 64, [b"a" * BLOCK] * 64 + [b"a"]
    most = [b"%d" % i for i in range(1024)]
    with Unchanged(project):
        refused(project, "PUT", f"/transfers/{transfer}/chunks/0", containers([full] * 64 + [tail], over), 422, "chunk_invalid")
        refused(project, "PUT", f"/transfers/{transfer}/chunks/0", Chunk(*most, b"x").data, 422, "chunk_invalid")
        assert project.ok("GET", f"/transfers/{transfer}")["chunks"] == []
    project.ok("PUT", f"/transfers/{transfer}/chunks/0", containers([full] * 64, largest))
    project.send_chunk(transfer, 1, Chunk(*most))


def test_sizes_that_no_sum_makes(project):
    data = random_bytes(3000)
    chunk = Chunk(data[:1000], data[1000:])
    project.send_chunk(project.transfer(), 0, chunk)
    good = {**put_op("f", data, chunk), "content_hash": content_hash([data[:1000], data[1000:]])}
    good["extents"][0]["count"] = 2
    with Unchanged(project):
        for size, status, code in ((2999, 422, "size_mismatch"), (3001, 422, "size_mismatch"), (0, 422, "size_mismatch"), (2**44, 422, "size_mismatch"),
                                   (2**44 + 1, 413, "file_too_large"), (2**63 - 1, 413, "file_too_large"), (-1, 400, "field_range"),
                                   (2**63, 400, "field_range"), (1.5, 400, "field_type"), ("3000", 400, "field_type")):
            answer = project.commit({**good, "size": size})
            assert answer.status == status and answer.code in (code, "json_invalid"), (size, answer)
    project.commit_ok(good)


# ---- the same again, at once, too late (151 to 154) ------------------------------------------------------------------------------------

def test_a_chunk_twice(project):
    transfer, chunk = project.transfer(), Chunk(random_bytes(BLOCK))
    first = project.call("PUT", f"/transfers/{transfer}/chunks/0", chunk.data)
    again = project.call("PUT", f"/transfers/{transfer}/chunks/0", chunk.data)
    other = project.call("PUT", f"/transfers/{transfer}/chunks/7", chunk.data)
    assert first.status == again.status == other.status == 200 and first.body == again.body
    assert [c["n"] for c in project.ok("GET", f"/transfers/{transfer}")["chunks"]] == [0, 7]
    with Unchanged(project):  # 152
        refused(project, "PUT", f"/transfers/{transfer}/chunks/0", Chunk(b"x").data, 409, "chunk_conflict")
    assert project.call("GET", f"/chunks/{chunk.id}").body == chunk.data


def test_a_chunk_from_many_at_once(project):
    chunk, answers = Chunk(*(random_bytes(BLOCK) for _ in range(64))), []
    apis = [project.device(f"d{i}") for i in range(6)]
    transfers = [api.ok("POST", project.base + "/transfers", {}, status=201)["id"] for api in apis]
    together = threading.Barrier(len(apis))

    def send(api, transfer):
        together.wait()
        answers.append(api.call("PUT", f"{project.base}/transfers/{transfer}/chunks/0", chunk.data).status)

    threads = [threading.Thread(target=send, args=pair) for pair in zip(apis, transfers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * len(apis)
    assert project.call("GET", f"/chunks/{chunk.id}").body == chunk.data


def test_after_the_commit(project):
    """154: what has ended takes nothing more, and what was committed stays what it is."""
    transfer, chunk = project.transfer(), Chunk(b"1")
    project.send_chunk(transfer, 0, chunk)
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", packed(chunk), status=204)
    op = {"op": "put", "path": "f", "kind": "file", "size": 1, "content_hash": content_hash([b"1"]), "transfer": transfer}
    project.commit_ok(op)
    with Unchanged(project):
        refused(project, "PUT", f"/transfers/{transfer}/chunks/1", Chunk(b"2").data, 410, "transfer_gone", closes=True)
        refused(project, "PUT", f"/transfers/{transfer}/chunks/0", chunk.data, 410, "transfer_gone", closes=True)
        refused(project, "PUT", f"/transfers/{transfer}/blocks?from=0", packed(Chunk(b"2")), 410, "transfer_gone")
        refused_commit(project, {**op, "path": "g"}, 410, "transfer_gone")
        assert project.call("DELETE", f"/transfers/{transfer}").status in (204, 410)
    assert project.call("GET", "/content/f").body == b"1"
    assert project.call("GET", f"/chunks/{chunk.id}").body == chunk.data


# ---- commits of what is not there (155, 156, 164, 165) ---------------------------------------------------------------------------------

def test_a_list_that_is_wrong_can_be_put_right(project):
    """156: nothing is published, and the chunks are there for who sends the right list."""
    data = random_bytes(2 * BLOCK)
    chunk, transfer = Chunk(*cut(data)), project.transfer()
    project.send_chunk(transfer, 0, chunk)
    op = {"op": "put", "path": "f", "kind": "file", "size": len(data), "content_hash": content_hash(cut(data)), "transfer": transfer}
    lie = bytearray(packed(chunk))
    lie[-10] ^= 1  # the second block's hash
    with Unchanged(project):
        project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", bytes(lie), status=204)
        answer = project.commit(op)
        assert answer.status == 422 and answer.code in ("file_hash_mismatch", "hash_mismatch", "blocklist_invalid"), answer
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", packed(chunk), status=204)
    project.commit_ok(op)
    assert project.call("GET", "/content/f").body == data


def extents_only(*extents):
    return b"DRAYEXT1" + struct.pack("<II", sum(n for _, _, n in extents), len(extents)) + b"".join(
        bytes.fromhex(c.id) + struct.pack("<II", first, n) for c, first, n in extents)


def test_a_list_of_extents_only(project):
    """155, 156: the chunks say what the blocks are, and the commit which content they must make; a missing one is named also there."""
    one, two, away = Chunk(b"1" * BLOCK, b"2" * BLOCK), Chunk(b"3" * BLOCK, b"4"), Chunk(b"not here")
    transfer = project.transfer()
    for n, chunk in enumerate((one, two)):
        project.send_chunk(transfer, n, chunk)
    blocks = [b"2" * BLOCK, b"1" * BLOCK, b"3" * BLOCK, b"4"]
    pages = {0: extents_only((one, 1, 1), (one, 0, 1)), 2: extents_only((two, 0, 2))}
    op = {"op": "put", "path": "f", "kind": "file", "size": 3 * BLOCK + 1, "content_hash": content_hash(blocks), "transfer": transfer}
    rows = [
        ({0: extents_only((one, 0, 2))}, 422, "file_hash_mismatch"),                       # in another order
        ({0: extents_only((two, 1, 1), (one, 0, 1))}, 409, "blocks_missing"),               # shorter than declared
        ({0: extents_only((two, 1, 2), (one, 0, 1))}, 422, "blocklist_invalid"),            # more than the chunk has
        ({2: extents_only((away, 0, 1))}, 409, "chunks_missing"),
    ]
    with Unchanged(project):
        for wrong, status, code in rows:
            for at, body in {**pages, **wrong}.items():
                project.ok("PUT", f"/transfers/{transfer}/blocks?from={at}", body, status=204)
            answer = project.commit(op)
            assert (answer.status, answer.code) == (status, code), answer
            if code == "chunks_missing":
                assert answer.json["missing"] == [away.id]
        for body in (pages[0][:-1], pages[0] + b"x", pages[0][:12] + b"\0\0\0\0" + pages[0][16:]):
            answer = project.call("PUT", f"/transfers/{transfer}/blocks?from=0", body)
            assert (answer.status, answer.code) == (422, "blocklist_invalid"), answer
    for at, body in pages.items():
        project.ok("PUT", f"/transfers/{transfer}/blocks?from={at}", body, status=204)
    project.commit_ok(op)
    assert project.call("GET", "/content/f").body == b"".join(blocks)


def test_missing_chunks_are_told_in_parts(project, owner, server):
    """155, 164, 165: only what is missing, at most so many at once, and another project's chunk is as missing as a random one."""
    other = Project.create(server, owner, "other")
    theirs = Chunk(b"theirs")
    other.send_chunk(other.transfer(), 0, theirs)
    ids = [theirs.id] + [hashlib.sha256(b"%d" % i).hexdigest() for i in range(9000)]
    ops = [{"op": "put", "path": f"f{i}", "kind": "file", "size": 1, "content_hash": "0" * 64, "extents": [{"chunk": c, "first": 0, "count": 1}]}
           for i, c in enumerate(ids)]
    with Unchanged(project):
        answer = project.commit(*ops)
        assert (answer.status, answer.code, answer.json["has_more"]) == (409, "chunks_missing", True), answer
        missing = answer.json["missing"]
        assert len(missing) == 8192 and set(missing) <= set(ids)
        answer = project.commit(*ops[:1])
        assert (answer.code, answer.json["missing"], answer.json["has_more"]) == ("chunks_missing", [theirs.id], False)


# ---- where it belongs (158 to 160, 166, 170) -------------------------------------------------------------------------------------------

def test_what_it_is_made_on(project, owner, server):
    other = Project.create(server, owner, "other")
    theirs = other.put("f", b"theirs")
    mine = project.put("d/f", b"mine")
    gone = project.put("gone/f", b"1")
    files = project.files()
    project.commit_ok({"op": "delete", "id": gone["id"], "base": gone["version"]})
    project.commit_ok({"op": "delete", "id": files["gone"]["id"], "base": files["gone"]["version"]})
    chunk = Chunk(b"x")
    project.send_chunk(project.transfer(), 0, chunk)
    new = put_op("d/f", b"x", chunk)
    rows = [
        ({**new}, "name_exists"),                                             # 158: no base on what is there
        ({**new, "base": mine["version"] - 1}, "version_conflict"),           # 159
        ({**new, "base": mine["version"] + 10**9}, "base_invalid"),           # 160
        ({**new, "base": theirs["version"]}, ("base_invalid", "version_conflict")),
        ({**new, "path": "gone/f"}, "parent_missing"),                        # 166
        ({"op": "delete", "id": theirs["id"], "base": theirs["version"]}, "not_found"),
        ({"op": "move", "id": theirs["id"], "base": theirs["version"], "path": "stolen"}, "not_found"),
        ({"op": "restore", "id": theirs["id"], "base": theirs["version"], "version": theirs["version"]}, "not_found"),
        ({"op": "put", "path": "copy", "kind": "file", "size": 6, "content_hash": theirs["content_hash"],
          "from": {"file": theirs["id"], "version": theirs["version"]}}, "not_found"),
        ({"op": "put", "path": "copy", "kind": "file", "size": 4, "content_hash": mine["content_hash"],
          "from": {"file": mine["id"], "version": mine["version"] + 1}}, "not_found"),
    ]
    with Unchanged(project), Unchanged(other):
        for op, codes in rows:
            answer = project.commit(op)
            assert answer.status == 200, (op, answer)
            (result,) = answer.json["results"]
            assert result["status"] != "ok" and result["code"] in ([codes] if isinstance(codes, str) else codes), (op, result)


def test_a_transfer_of_another_device_cannot_be_committed(project):
    """170: a transfer is its device's; another's answers as one that does not exist."""
    transfer, chunk = project.transfer(), Chunk(b"1")
    project.send_chunk(transfer, 0, chunk)
    project.ok("PUT", f"/transfers/{transfer}/blocks?from=0", packed(chunk), status=204)
    op = {"op": "put", "path": "f", "kind": "file", "size": 1, "content_hash": content_hash([b"1"]), "transfer": transfer}
    other = project.device()

    def view(answer):
        return answer.status, answer.code, answer.json["detail"].replace(transfer, FREE_ID)

    with Unchanged(project):
        foreign = other.call("POST", f"{project.base}/commits", {"operations": [op]})
        absent = other.call("POST", f"{project.base}/commits", {"operations": [{**op, "transfer": FREE_ID}]})
        assert foreign.status in (404, 410) and view(foreign) == view(absent)
    project.commit_ok(op)


# ---- too many (168) --------------------------------------------------------------------------------------------------------------------

def test_a_thousand_open_transfers(project):
    device, other = project.device("many"), project.device("other")
    target = f"{project.base}/transfers"
    ids = [device.ok("POST", target, {}, status=201)["id"] for _ in range(1000)]
    answer = device.call("POST", target, {})
    assert (answer.status, answer.code) == (429, "too_many_uploads")
    other.ok("POST", target, {}, status=201)  # others are not affected
    device.ok("DELETE", f"{target}/{ids[0]}", status=204)
    device.ok("POST", target, {}, status=201)
    assert device.call("POST", target, {}).code == "too_many_uploads"


# ---- pages and parts in the wrong place (171, 173 to 175, 177, 178) --------------------------------------------------------------------

def test_parts_of_content_are_not_taken(project):
    """171: a PUT of a range would be taken for the whole, so it is refused."""
    project.put("f", b"0123456789")
    with Unchanged(project):
        for value in ("bytes 0-1/10", "bytes 10-11/12", "bytes */10", "x"):
            answer = project.call("PUT", "/content/f", b"ab", headers={"Content-Range": value})
            assert (answer.status, answer.code) == (400, "field_range"), answer
    assert project.call("GET", "/content/f").body == b"0123456789"


def test_extents_out_of_bounds(project):
    data = b"12"
    chunk = Chunk(b"1", b"2")
    project.send_chunk(project.transfer(), 0, chunk)
    good = {"op": "put", "path": "f", "kind": "file", "size": 2, "content_hash": content_hash([b"1", b"2"])}
    rows = [
        ((-1, 2), 400, "field_range"), ((0, 0), 400, "field_range"), ((0, -2), 400, "field_range"), ((0, 2**32), 400, "field_range"),
        ((2**32 - 1, 2), 400, "field_range"), ((2**63, 1), 400, "field_range"), ((1023, 2), 422, "blocklist_invalid"),
        ((1, 2), 422, "blocklist_invalid"), ((2, 1), 422, "blocklist_invalid"), ((0, 3), 422, "blocklist_invalid"),
    ]
    with Unchanged(project):
        for (first, count), status, code in rows:
            answer = project.commit({**good, "extents": [{"chunk": chunk.id, "first": first, "count": count}]})
            assert answer.status in (status, 422) and answer.code in (code, "blocklist_invalid", "json_invalid"), (first, count, answer)
    project.commit_ok({**good, "extents": [{"chunk": chunk.id, "first": 0, "count": len(data)}]})


def test_lists_that_expand(project):
    """174: one chunk named over and over makes a file of any size, and it is the declared one that counts."""
    blocks = [bytes([i % 251]) * BLOCK for i in range(64)]
    chunk, transfer = Chunk(*blocks), project.transfer()
    project.send_chunk(transfer, 0, chunk)
    many = [{"chunk": chunk.id, "first": 0, "count": 64}] * 5000  # 20 GB
    op = {"op": "put", "path": "f", "kind": "file", "size": 64 * BLOCK, "content_hash": content_hash(blocks), "extents": many}
    with Unchanged(project):
        refused_commit(project, op, 422, "size_mismatch")
        refused_commit(project, {**op, "size": 5000 * 64 * BLOCK}, 422, "file_hash_mismatch")
    project.commit_ok({**op, "extents": many[:1]})


def page(extents, blocks, n=None, m=None):
    """A packed page as one likes."""
    head = b"DRAYBLK1" + struct.pack("<II", len(blocks) if n is None else n, len(extents) if m is None else m)
    return head + b"".join(bytes.fromhex(c) + struct.pack("<II", f, k) for c, f, k in extents) + b"".join(
        hashlib.sha256(b).digest() + struct.pack("<I", len(b)) for b in blocks)


def test_packed_lists_out_of_bounds(project):
    chunk, transfer = Chunk(b"1", b"2"), project.transfer()
    project.send_chunk(transfer, 0, chunk)
    c = chunk.id
    rows = [page([(c, 0, 3)], [b"1", b"2"]), page([(c, 0, 1)], [b"1", b"2"]), page([(c, 1023, 2)], [b"1", b"2"]), page([(c, 2**32 - 1, 2)], [b"1", b"2"]),
            page([(c, 0, 2**32 - 1), (c, 0, 3)], [b"1", b"2"]), page([(c, 0, 0), (c, 0, 2)], [b"1", b"2"]), page([], [b"1", b"2"]),
            page([(c, 0, 2)], [b"1", b""]), page([(c, 0, 2)], [b"1", b"x" * (BLOCK + 1)]), page([(c, 0, 2)], [b"1", b"2"], n=2**31),
            page([(c, 0, 2)], [b"1", b"2"], m=2**31), page([(c, 0, 1)] * 8193, [b"1"] * 8193)]
    with Unchanged(project):
        for i, body in enumerate(rows):
            answer = project.call("PUT", f"/transfers/{transfer}/blocks?from=0", body)
            assert (answer.status, answer.code) == (422, "blocklist_invalid"), (i, answer)
        # Well-formed, and not what the chunk holds.
        for body in (page([(c, 0, 2)], [b"2", b"1"]), page([(c, 1, 2)], [b"1", b"2"]), page([("0" * 64, 0, 2)], [b"1", b"2"])):
            project.call("PUT", f"/transfers/{transfer}/blocks?from=0", body)
            blocks = [b"2", b"1"] if body[60:] == page([(c, 0, 2)], [b"2", b"1"])[60:] else [b"1", b"2"]
            answer = project.commit({"op": "put", "path": "f", "kind": "file", "size": 2, "content_hash": content_hash(blocks), "transfer": transfer})
            assert answer.status in (409, 422), (body, answer)


def test_pages_of_a_list_in_the_wrong_place(project):
    """171: a page names its place; over another the last one counts, and before the beginning of a gap nothing is published."""
    chunk, transfer = Chunk(b"1", b"2"), project.transfer()
    project.send_chunk(transfer, 0, chunk)
    op = {"op": "put", "path": "f", "kind": "file", "size": 2, "content_hash": content_hash([b"1", b"2"]), "transfer": transfer}
    with Unchanged(project):
        for place in ("1", "65", str(2**40), "-1", "x", "01", str(2**64), ""):
            answer = project.call("PUT", f"/transfers/{transfer}/blocks?from={place}", packed(chunk))
            assert answer.status in (204, 400), (place, answer)
            assert answer.status == 204 or answer.code == "field_range"
        assert project.commit(op).code == "blocks_missing"


@pytest.mark.parametrize("place", ["1", "-1", "63", "9223372036854775808", "x", "0x40"])
def test_pages_that_nobody_has(project, place):
    f = project.put("f", b"1")
    with Unchanged(project):
        refused(project, "GET", f"/files/{f['id']}/blocks?from={place}", None, 400, "field_range")


# ---- metadata (181, 182) ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("field,value", [("xattr", {"user.x": "1"}), ("acl", "u::rwx"), ("uid", 0), ("owner", "root"), ("ctime", "2026-01-01T00:00:00Z"), ("id", "x")])
def test_metadata_that_does_not_travel(project, field, value):
    with Unchanged(project):
        answer = refused_commit(project, {"op": "put", "path": "d", "kind": "dir", field: value}, 400, "unknown_field")
        assert field in answer.json["detail"]
