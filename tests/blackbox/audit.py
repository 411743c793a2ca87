"""Looking at everything that a server has, through the API and with our own reading of the formats: nothing that it says is believed."""
import hashlib
import struct

import zstandard

COMPRESSED = 1 << 31


def check_chunk(id, data):
    """A container is what its name says, down to every block; its blocks."""
    assert data[:8] == b"DRAYCHK1"
    count, reserved = struct.unpack_from("<II", data, 8)
    assert 1 <= count <= 1024 and reserved == 0
    head_len = 16 + 40 * count
    assert hashlib.sha256(data[:head_len]).hexdigest() == id, "the header does not make the chunk's name"
    blocks, at = [], head_len
    for i in range(count):
        sha, raw_len, stored_len = struct.unpack_from("<32sII", data, 16 + 40 * i)
        stored = data[at:at + (stored_len & ~COMPRESSED)]
        at += len(stored)
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw_len) if stored_len & COMPRESSED else stored
        assert len(raw) == raw_len and hashlib.sha256(raw).digest() == sha, f"block {i} of {id} is not what its header says"
        blocks.append(raw)
    assert at == len(data), "bytes after the last block"
    return blocks


def list_of(api, base, file):
    """A file's block list from its packed pages: [(chunk, first, count)], [(hash, length)]."""
    extents, blocks = [], []
    while True:
        answer = api.get(f"{base}/files/{file['id']}/blocks?from={len(blocks)}", headers={"Accept": "application/octet-stream"})
        assert answer.status == 200, answer
        data = answer.body
        assert data[:8] == b"DRAYBLK1", data[:80]
        n, m = struct.unpack_from("<II", data, 8)
        for i in range(m):
            chunk, first, count = struct.unpack_from("<32sII", data, 16 + 40 * i)
            extents.append((chunk.hex(), first, count))
        at = 16 + 40 * m
        blocks += [struct.unpack_from("<32sI", data, at + 36 * i) for i in range(n)]
        if answer.headers["dray-more"] == "false":
            return extents, blocks


def audit(api, base, only=None):
    """
    Every chunk that a live file names (or ${only} one of that path) is there and verifies, and every file is what its hash says:
    {path: (sha256, {chunk: stored length})}.
    """
    changes = api.ok("GET", f"{base}/files/changes?limit=1000")
    assert not changes["has_more"]
    found, known = {}, {}
    for file in changes["added"] + changes["modified"]:
        if file["kind"] != "file" or only not in (None, file["path"]):
            continue
        extents, blocks = list_of(api, base, file) if file["size"] else ([], [])
        content = hashlib.sha256(b"".join(h + struct.pack("<I", n) for h, n in blocks)).hexdigest()
        assert content == file["content_hash"], file["path"]
        whole, at, chunks = hashlib.sha256(), 0, {}
        for chunk, first, count in extents:
            if chunk not in known:
                known[chunk] = api.get(f"{base}/chunks/{chunk}").body
            chunks[chunk] = len(known[chunk])
            for raw in check_chunk(chunk, known[chunk])[first:first + count]:
                assert (hashlib.sha256(raw).digest(), len(raw)) == blocks[at], f"block {at} of {file['path']}"
                whole.update(raw)
                at += 1
        assert at == len(blocks)
        known.clear()  # files of a test are large
        found[file["path"]] = (whole.hexdigest(), chunks)
    return found
