"""The change feed under writers, kills and long absences (C13, I7), and snapshots under writers."""
import gzip
import http.client
import json
import os
import random
import threading

import pytest
import zstandard

from conftest import Drayd
from devices import Device, settle

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
COMMITS = 20_000 if FULL else 240  # of all writers, of each start of the server
WRITERS, READERS, KILLS = 8, 4, 5 if FULL else 2
HELD = {"DRAY_FAULT": "domain.commit_pauses"}  # commits are held now and then between their clock and their end


@pytest.fixture
def held_server(tmp_path):
    s = Drayd(tmp_path, env=HELD)
    yield s
    s.stop()


def version_of(cursor):
    return int(cursor.split(".")[0])


# ---- C13 over the line -------------------------------------------------------------------------------------------------------------

class Writer:
    """Links made, changed and deleted; remembers what was acknowledged.  What a kill left without an answer may have happened or not."""

    def __init__(self, n, api, base):
        self.n, self.api, self.base = n, api, base
        self.rng, self.made = random.Random(n), 0
        self.last, self.open, self.wrong = {}, set(), None

    def operation(self):
        live = [path for path, (version, gone, _) in self.last.items() if not gone and path not in self.open]
        if live and self.rng.random() < 0.25:
            path = self.rng.choice(live)
            version, _, id = self.last[path]
            return path, {"op": "delete", "id": id, "base": version}
        self.made += 1
        path = f"{self.n}-{self.made}"
        return path, {"op": "put", "path": path, "kind": "link", "target": "x"}

    def run(self, commits):
        for _ in range(commits):
            ops = dict(self.operation() for _ in range(self.rng.choice((1, 1, 1, 7))))
            try:
                answer = self.api.call("POST", self.base + "/commits", {"operations": list(ops.values())})
            except (OSError, http.client.HTTPException):
                self.open |= set(ops)
                return
            if answer.status != 200 or any(r["status"] != "ok" for r in answer.json["results"]):
                self.wrong = answer
                return
            for (path, op), r in zip(ops.items(), answer.json["results"]):
                self.last[path] = (r["version"], op["op"] == "delete", r["id"])


class Reader:
    """Follows the feed with pages of any size; every page must go on where the one before ended."""

    def __init__(self, n, api, base):
        self.api, self.base, self.rng = api, base, random.Random(n)
        self.since, self.told, self.wrong = None, {}, None

    def page(self, wait=0):
        since = f"&since={self.since}" if self.since else ""
        page = self.api.ok("GET", f"{self.base}/files/changes?limit={self.rng.randint(1, 100)}&wait={wait}{since}")
        rows = sorted(page["added"] + page["modified"] + page["deleted"], key=lambda f: f["version"])
        versions = [f["version"] for f in rows]
        before = version_of(self.since) if self.since else 0
        assert all(v > before for v in versions) and len(set(versions)) == len(versions), "a change came twice"
        assert version_of(page["last_sync"]) >= max(versions, default=before)
        gone = {f["id"] for f in page["deleted"]}
        for f in rows:
            assert f["version"] > self.told.get(f["path"], (0,))[0]
            self.told[f["path"]] = (f["version"], f["id"] in gone, f["id"])
        self.since = page["last_sync"]
        return page["has_more"]

    def run(self, over):
        try:
            while not over.is_set():
                self.page(wait=1)
        except (OSError, http.client.HTTPException):
            pass  # killed
        except AssertionError as e:
            self.wrong = e


def test_writers_readers_and_kills(held_server):
    server = held_server
    project = server.project("feed")
    base = f"/projects/{project}"
    tokens = [server.device(project, f"d{i}") for i in range(WRITERS + READERS)]
    writers = [Writer(i, None, base) for i in range(WRITERS)]
    readers = [Reader(i, None, base) for i in range(READERS)]
    for kill in range(KILLS + 1):
        for who, token in zip(writers + readers, tokens):
            who.api = server.api(token)
        over = threading.Event()
        reading = [threading.Thread(target=r.run, args=(over,)) for r in readers]
        writing = [threading.Thread(target=w.run, args=(COMMITS // WRITERS,)) for w in writers]
        for t in reading + writing:
            t.start()
        if kill < KILLS:
            while not all(w.made > COMMITS // WRITERS // 3 * (kill + 1) for w in writers) and any(t.is_alive() for t in writing):
                writing[kill].join(0.01)
            server.kill()
        for t in writing:
            t.join()
        over.set()
        for t in reading:
            t.join()
        assert not [x.wrong for x in writers + readers if x.wrong]
        if kill < KILLS:
            server.start()
    acked = {path: state for w in writers for path, state in w.last.items()}
    unknown = set().union(*(w.open for w in writers))
    for r in readers:
        while r.page():
            pass
        for path, state in acked.items():
            assert path in unknown or r.told.get(path) == state, f"{path} was missed"
        assert set(r.told) <= set(acked) | unknown
    assert len(acked) > COMMITS


# ---- a snapshot, however stale, and the changes from its cursor are the tree -----------------------------------------------------------

FORMS = [("application/json", "zstd"), ("application/x-ndjson", "zstd"), ("application/json", "gzip"), ("application/x-ndjson", None)]


def read_snapshot(project, accept, coding):
    """({id: file}, cursor)"""
    answer = project.call("GET", "/snapshot", headers={"Accept": accept, "Accept-Encoding": coding})
    assert answer.status == 200, answer
    body = answer.body
    if coding == "zstd":
        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    elif coding == "gzip":
        body = gzip.decompress(body)
    if accept == "application/json":
        whole = json.loads(body)
        files = whole["tree"].values()
    else:
        whole, *files = map(json.loads, body.splitlines())
    assert whole["file_count"] == len(files)
    return {f["id"]: f for f in files}, whole["cursor"]


def bring_up_to_date(project, tree, cursor):
    more = True
    while more:
        page = project.ok("GET", f"/files/changes?limit={random.randint(1, 50)}&since={cursor}")
        for f in page["added"] + page["modified"]:
            tree[f["id"]] = f
        for f in page["deleted"]:
            tree.pop(f["id"], None)
        cursor, more = page["last_sync"], page["has_more"]
    return {f["path"]: (f["id"], f["version"]) for f in tree.values()}, page["digest"]


def test_a_stale_snapshot_and_the_changes_are_the_tree(project):
    """At random points under writers; each form's snapshot is taken once and served for minutes, so it gets more and more stale."""
    stop = threading.Event()
    writers = [Writer(i, project.device(f"w{i}"), project.base) for i in range(3)]

    def write(w):
        while not stop.is_set() and not w.wrong:
            w.run(5)

    writing = [threading.Thread(target=write, args=(w,)) for w in writers]
    for t in writing:
        t.start()
    try:
        for i in range(200 if FULL else 12):
            tree, cursor = read_snapshot(project, *FORMS[i % len(FORMS)])
            bring_up_to_date(project, tree, cursor)
    finally:
        stop.set()
        for t in writing:
            t.join()
    assert not [w.wrong for w in writers if w.wrong]
    want = {path: (id, version) for w in writers for path, (version, gone, id) in w.last.items() if not gone}
    for form in FORMS:
        there, digest = bring_up_to_date(project, *read_snapshot(project, *form))
        assert there == want and digest == project.ok("GET", "/checkpoint")["digest"]


# ---- 410 ---------------------------------------------------------------------------------------------------------------------------------

def test_a_cursor_from_before_the_horizon(own_server):
    project = own_server.project("old")
    api = own_server.api(own_server.device(project, "d"))
    base = f"/projects/{project}"

    def commit(*ops):
        return api.ok("POST", base + "/commits", {"operations": list(ops)})

    made = commit(*({"op": "put", "path": f"d{i}", "kind": "dir"} for i in range(30)))
    old = made["cursor"]
    gone = made["results"][7]
    commit({"op": "delete", "id": gone["id"], "base": gone["version"]})
    horizon = own_server.forget_tombstones(project)
    api = own_server.api(api.token)
    answer = api.get(f"{base}/files/changes?since={old}")
    assert answer.status == 410 and answer.code == "cursor_expired"
    assert answer.json["merge"] == "apply-server" and answer.json["snapshot"] == base + "/snapshot"
    assert api.get(answer.json["snapshot"]).status == 200
    other = old.split(".")[0] + "." + "0" * 32
    answer = api.get(f"{base}/files/changes?since={other}")
    assert answer.status == 410 and answer.code == "epoch_changed"
    assert answer.json["merge"] == "keep-local" and answer.json["snapshot"] == base + "/snapshot"
    epoch = old.split(".")[-1]
    assert api.get(f"{base}/files/changes?since={horizon}.{epoch}").status == 200

    # Who reads from the beginning is behind the horizon between his pages, and is not refused for it.
    since, seen = "", []
    while True:
        page = api.ok("GET", f"{base}/files/changes?limit=4{since}")
        seen += page["added"] + page["modified"]
        assert not page["deleted"]
        if not page["has_more"]:
            break
        assert page["last_sync"].count(".") == 2
        since = "&since=" + page["last_sync"]
    assert len(seen) == 29 and page["last_sync"].count(".") == 1


def test_a_device_that_was_away_for_too_long(own_server, tmp_path):
    """It takes the server's word: what was deleted meanwhile goes here too, what was edited here stays."""
    project = own_server.project("away")
    a, b = (Device(own_server, project, tmp_path / name, name) for name in "ab")
    for i in range(20):
        a.write(f"f{i}", f"text {i}")
    a.sync()
    b.sync()
    a.path("f3").unlink()
    a.path("f4").unlink()
    a.sync()
    own_server.forget_tombstones(project)
    b.write("f4", "edited while away")
    b.write("new", "made while away")
    b.sync()
    assert not b.path("f3").exists()
    assert b.path("f4").read_text() == "edited while away"
    settle(a, b)
    assert not a.path("f3").exists() and a.path("new").read_text() == "made while away"


def test_a_server_that_lost_its_files(own_server, tmp_path):
    """Most files are not listed, and nothing says that they were deleted: nothing is deleted here."""
    project = own_server.project("shrunk")
    a, b = (Device(own_server, project, tmp_path / name, name) for name in "ab")
    for i in range(300):
        a.write(f"file {i}", f"{i}")
    before = settle(a, b)
    a.write("file 0", "edited")
    a.path("file 1").unlink()
    a.sync()
    own_server.stop()
    own_server.db.run(("DELETE FROM file_index WHERE project_id = ? AND deleted_at = 0 AND size = 3", bytes.fromhex(project)))
    own_server.start()
    own_server.forget_tombstones(project)
    run = b.dray("sync", "--json", b.folder)
    assert run.returncode == 1 and "server_shrunk" in run.stdout + run.stderr, run.stdout + run.stderr
    assert b.tree() == before
