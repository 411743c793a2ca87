"""
Sixty-four large uploads at once through the API: all complete, whole, and the server's memory stays what connections and buffers add up to.

How the times to complete are spread is printed, not judged.  Memory is judged with a release build only: sanitizers multiply it.
"""
import hashlib
import os
import re
import struct
import threading
import time

import pytest

from api import BLOCK, Chunk, Project, packed
from audit import audit
from conftest import Drayd
from devices import BIN
from ledger import Ledger, spread

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
RELEASE = BIN.parent / "release"
UPLOADS = 64
CHUNKS = 16 if FULL else 2   # of 4 MiB, for each upload
MEMORY_MAX_KB = 128 * 1024


class Upload(threading.Thread):
    """One device that sends one file, chunk by chunk and its list, and commits it."""

    def __init__(self, project, n, start):
        super().__init__(daemon=True)
        self.start_together, self.path, self.base = start, f"f{n}", project.base
        self.api = project.device(f"u{n}")
        self.whole, self.took, self.failed = hashlib.sha256(), None, None

    def send(self):
        size = CHUNKS * 64 * BLOCK
        transfer = f"{self.base}/transfers/" + self.api.ok("POST", f"{self.base}/transfers", {"path": self.path, "size": size}, status=201)["id"]
        content = hashlib.sha256()
        for k in range(CHUNKS):
            blocks = [os.urandom(64) * (BLOCK // 64) for _ in range(64)]
            chunk = Chunk(*blocks)
            self.api.ok("PUT", f"{transfer}/chunks/{k}", chunk.data)
            self.api.ok("PUT", f"{transfer}/blocks?from={64 * k}", packed(chunk), status=204)
            for b in blocks:
                self.whole.update(b)
                content.update(hashlib.sha256(b).digest() + struct.pack("<I", len(b)))
        op = {"op": "put", "path": self.path, "kind": "file", "size": size, "content_hash": content.hexdigest(), "transfer": transfer[-32:]}
        answer = self.api.ok("POST", f"{self.base}/commits", {"operations": [op]})
        assert answer["results"][0]["status"] == "ok", answer

    def run(self):
        self.start_together.wait()
        start = time.monotonic()
        try:
            self.send()
        except BaseException as e:  # noqa: B902: the test raises it
            self.failed = e
        self.took = time.monotonic() - start


def peak_kb(server):
    status = open(f"/proc/{server.proc.pid}/status").read()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def many_uploads(server):
    """Run them; the server's peak memory and the times."""
    project = Project.create(server, server.api(server.owner_token), "many")
    start = threading.Event()
    uploads = [Upload(project, n, start) for n in range(UPLOADS)]
    for u in uploads:
        u.start()
    start.set()
    for u in uploads:
        u.join()
    for u in uploads:
        if u.failed:
            raise u.failed
    peak = peak_kb(server)
    found = audit(project.api, project.base)
    assert {path: whole for path, (whole, _) in found.items()} == {u.path: u.whole.hexdigest() for u in uploads}
    return peak, [u.took for u in uploads]


def test_many_uploads_complete(own_server):
    _, took = many_uploads(own_server)
    print(f"{UPLOADS} uploads of {CHUNKS * 4} MiB at once, seconds to complete: {spread(took)}")


@pytest.mark.skipif(not (RELEASE / "drayd").exists(), reason="memory is judged with a release build: make release")
def test_memory_of_many_uploads(tmp_path):
    server = Drayd(tmp_path, RELEASE)
    try:
        peak, took = many_uploads(server)
    finally:
        server.stop()
    print(f"{UPLOADS} uploads of {CHUNKS * 4} MiB at once, release: peak {peak / 1024:.1f} MiB, seconds to complete: {spread(took)}")
    Ledger("many", RELEASE).add(uploads=UPLOADS, mib=CHUNKS * 4, peak_kb=peak, took=sorted(round(t, 2) for t in took))
    assert peak < MEMORY_MAX_KB
