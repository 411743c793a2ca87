"""
Listings for people: sorted directories with counts, prefixes, searches; and bad input, part F, of every way to list.

F 132 (no cursor), 133 (of another project), 134 (tampered, truncated, 10 KiB, not ASCII), 137 (limits), 139 (while others write) for
pages in clock order, of directories, of prefixes and of searches.  F 135, 136, 138, 140, 142, 143 are in test_api_reading.py.
"""
import itertools
import random
import threading
import urllib.parse

import pytest

from api import Project
from waiting import wait_for

SORTS = ("name", "size", "mtime", "changed")
VIEWS = ["dir=d&order=path"] + [f"dir=d&sort={sort}&desc={desc}" for sort in SORTS for desc in (0, 1)] + ["prefix=d/", "search=e", "prefix=d/&search=e"]


def quote(text):
    return urllib.parse.quote(text, safe="")


def pages(project, query, limit, more=None):
    """Every page of a listing.  It must end, and never come back to where it was."""
    cursors, cursor = set(), None
    while True:
        page = project.ok("GET", f"/files?limit={limit}{'&' + query if query else ''}{'&cursor=' + cursor if cursor else ''}")
        assert len(page["files"]) <= limit
        yield page
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return
        assert cursor not in cursors, "a cycle"
        cursors.add(cursor)
        if more:
            more(page)


def paths(project, query, limit=1000):
    return [f["path"] for page in pages(project, query, limit) for f in page["files"]]


@pytest.fixture
def tree(project):
    """A directory with files, links and directories, and the same again beside it."""
    for i, name in enumerate(("one", "Two", "three", "é")):
        project.put(f"d/{name}", b"x" * (i * 7 % 5), headers={"Dray-Mtime": f"2026-11-0{i + 1}T00:00:00Z"})
    project.commit_ok(*[{"op": "put", "path": f"d/{name}", "kind": "dir"} for name in ("sub", "Sub", "e")],
                      {"op": "put", "path": "d/link", "kind": "link", "target": "one"})
    project.put("d/sub/deep/file", b"123456")
    project.put("d-other", b"1")
    return project


def test_orders(tree):
    dirs = ["d/Sub", "d/e", "d/sub"]
    files = {f["path"]: f for f in tree.files().values() if f["path"].startswith("d/") and f["path"].count("/") == 1 and f["kind"] != "dir"}
    keys = {"name": lambda f: f["path"].encode(), "size": lambda f: (f["size"], f["path"].encode()),
            "mtime": lambda f: (f["mtime"], f["path"].encode()), "changed": lambda f: f["version"]}
    for sort, limit in itertools.product(SORTS, (1, 2, 3, 1000)):
        want = sorted(files, key=lambda p: keys[sort](files[p]))
        assert paths(tree, f"dir=d&sort={sort}", limit) == dirs + want
        assert paths(tree, f"dir=d&sort={sort}&desc=1", limit) == (dirs[::-1] if sort == "name" else dirs) + want[::-1]
    everything = sorted(dirs + list(files), key=str.encode)
    for query in ("dir=d", "dir=d&order=path", "dir=d&desc=0"):
        assert paths(tree, query, 2) == everything
    assert paths(tree, "dir=&sort=size") == ["d", "d-other"]
    assert paths(tree, "dir=d/e&sort=changed") == []


def test_counts(tree):
    def told(query):
        return {f["path"]: tuple(f["beneath"].values()) for f in tree.ok("GET", "/files?" + query)["files"] if "beneath" in f}

    assert told("dir=d&sort=name") == {"d/Sub": (0, 0, 0), "d/e": (0, 0, 0), "d/sub": (1, 1, 6)}
    assert told("dir=") == {"d": (6, 4, sum(f["size"] for p, f in tree.files().items() if p.startswith("d/")))}
    assert told("search=deep") == {"d/sub/deep": (1, 0, 6)}
    assert told("") == {}
    files = tree.files()
    assert tree.ok("GET", "/files/" + files["d"]["id"])["beneath"]["files"] == 6
    assert "beneath" not in tree.ok("GET", "/files/" + files["d/one"]["id"])
    tree.commit_ok({"op": "move", "id": files["d/sub"]["id"], "base": files["d/sub"]["version"], "path": "d/e/sub"})
    assert told("dir=d&sort=name") == {"d/Sub": (0, 0, 0), "d/e": (1, 2, 6)}


def test_prefixes_and_searches(tree):
    assert paths(tree, "prefix=d", 1) == ["d", "d-other", "d/Sub", "d/Two", "d/e", "d/link", "d/one", "d/sub", "d/three", "d/é", "d/sub/deep",
                                          "d/sub/deep/file"]
    assert paths(tree, "prefix=d/s", 1) == ["d/sub", "d/sub/deep", "d/sub/deep/file"]
    assert paths(tree, "prefix=d/sub/&order=path") == ["d/sub/deep", "d/sub/deep/file"]
    assert paths(tree, "prefix=") == paths(tree, "prefix=", 1) and len(paths(tree, "prefix=")) == 12
    assert paths(tree, "search=SUB", 1) == ["d/Sub", "d/sub"]
    assert paths(tree, "search=%C3%89") == ["d/é"]
    assert paths(tree, "search=e&prefix=d/sub") == ["d/sub/deep", "d/sub/deep/file"]
    assert paths(tree, "search=nowhere") == [] == paths(tree, "prefix=nowhere")
    for text in ("%", "_", "*", "'", "\\", "a\nb", "\x7f"):
        assert paths(tree, "search=" + quote(text)) == []


def test_search_looks_at_so_much(project):
    """Limits at both sides: 20,000 names are one request, the next one takes another."""
    for n in range(0, 20_000, 10_000):
        project.commit_ok(*[{"op": "put", "path": f"e{i:05}", "kind": "dir"} for i in range(n, n + 10_000)])
    first = project.ok("GET", "/files?search=needle")
    assert first["files"] == [] and first["has_more"]
    rest = project.ok("GET", "/files?search=needle&cursor=" + first["next_cursor"])
    assert rest["files"] == [] and not rest["has_more"] and rest["next_cursor"] is None
    project.commit_ok({"op": "put", "path": "z-Needle", "kind": "dir"})
    assert paths(project, "search=needle") == ["z-Needle"]
    removed = project.ok("GET", "/files?dir=&limit=2")["files"]
    project.commit_ok(*[{"op": "delete", "id": f["id"], "base": f["version"]} for f in removed])
    assert not project.ok("GET", "/files?search=nothing")["has_more"]


# ---- bad input -------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("query, status, code", [
    ("sort=name", 400, "field_missing"), ("dir=&sort=", 400, "field_range"), ("dir=&sort=Size", 400, "field_range"),
    ("dir=&sort=version", 400, "field_range"), ("dir=&sort=name&order=path", 400, "field_range"), ("dir=&sort=name&order=clock", 400, "field_range"),
    ("dir=&desc=1", 400, "field_missing"), ("desc=1", 400, "field_missing"), ("dir=&sort=name&desc=2", 400, "field_range"),
    ("dir=&sort=name&desc=", 400, "field_range"), ("dir=&sort=name&desc=true", 400, "field_range"), ("dir=&sort=name&sort=size", 400, "field_range"),
    ("dir=&search=x", 400, "field_range"), ("dir=&prefix=", 400, "field_range"), ("search=x&sort=name", 400, "field_range"),
    ("prefix=&sort=name", 400, "field_range"), ("search=x&order=clock", 400, "field_range"), ("prefix=&extents=1", 400, "field_range"),
    ("dir=&sort=name&extents=1", 400, "field_range"), ("search=", 400, "field_range"), ("search=a/b", 400, "field_range"),
    ("search=a%00", 400, "field_range"), ("search=%ff", 422, "name_not_utf8"), ("search=%C3", 422, "name_not_utf8"),
    ("search=" + "x" * 256, 400, "field_range"), ("prefix=/", 422, "path_invalid"), ("prefix=a//", 422, "path_invalid"),
    ("prefix=../", 422, "path_invalid"), ("prefix=a/%00", 422, "path_invalid"), ("prefix=%ff", 422, "name_not_utf8"),
    ("prefix=" + "x" * 256, 422, "name_too_long"), ("prefix=" + "/".join(["x" * 240] * 18), 422, "path_too_long"),
    ("prefix=.dray/", 422, "name_reserved"), ("dir=none&sort=size", 404, "not_found"), ("dir=d/one&sort=size", 404, "not_found"),
    ("dir=d/&sort=size", 422, "path_invalid"), ("dir=&sorted=name", 400, "unknown_field"),
])
def test_bad_parameters(tree, query, status, code):
    answer = tree.call("GET", "/files?" + query)
    assert (answer.status, answer.code) == (status, code)


def test_what_is_still_good(tree):
    for query in ("search=" + "x" * 255, "search=" + quote("é" * 127), "prefix=" + "x" * 255, "prefix=" + "/".join(["x" * 255] * 16),
                  "prefix=.", "prefix=..", "prefix=d/.", "prefix=.dra", "dir=&desc=0"):
        assert tree.call("GET", "/files?" + query).status == 200, query[:20]


@pytest.mark.parametrize("value", ["0", "-1", "1001", "1000000000", "abc", "", "01", "1.0", "+1", "18446744073709551617"])
def test_bad_limits(tree, value):
    for view in VIEWS:
        answer = tree.call("GET", f"/files?{view}&limit={value}")
        assert (answer.status, answer.code) == (400, "field_range"), view


def test_limits_at_both_sides(tree):
    tree.commit_ok(*[{"op": "put", "path": f"d/e{i:04}", "kind": "dir"} for i in range(1200)])
    for view in VIEWS:
        assert len(tree.ok("GET", f"/files?{view}&limit=1")["files"]) == 1
        assert len(tree.ok("GET", f"/files?{view}&limit=1000")["files"]) == 1000, view
        assert len(tree.ok("GET", f"/files?{view}")["files"]) == 500


def test_cursors_are_bound(tree, owner):
    """F 133: of another project, directory, order or search, a cursor is none."""
    other = Project.create(tree.server, owner, "other")
    other.commit_ok(*[{"op": "put", "path": p, "kind": "dir"} for p in ("d", "d/e", "d/ee", "e")])
    cursors = {view: tree.ok("GET", f"/files?{view}&limit=1")["next_cursor"] for view in VIEWS}
    cursors["dir="] = tree.ok("GET", "/files?dir=&limit=1")["next_cursor"]
    cursors[""] = tree.ok("GET", "/files?limit=1")["next_cursor"]
    assert None not in cursors.values() and len(set(cursors.values())) == len(cursors)
    for (of, cursor), view in itertools.product(cursors.items(), cursors):
        answer = tree.call("GET", f"/files?{view}&cursor={cursor}".replace("?&", "?"))
        assert answer.status == 200 if of == view else (answer.status, answer.code) == (400, "cursor_invalid"), (of, view)
    for view, cursor in cursors.items():
        answer = other.call("GET", f"/files?{view}&cursor={cursor}".replace("?&", "?"))
        assert (answer.status, answer.code) == ((400, "cursor_invalid") if view else (410, "epoch_changed")), view


def test_cursors_are_whole(tree):
    """F 134: every character counts, and so do those that are not there."""
    for view in VIEWS:
        cursor = tree.ok("GET", f"/files?{view}&limit=1")["next_cursor"]
        bad = [cursor[:n] for n in range(len(cursor))] + [cursor + c for c in ("A", "=", "==", "%00", "%C3%A9", "AAAA")]
        bad += [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1:] for n in range(len(cursor))]
        bad += [cursor[::-1], "A" * 5484, "A" * 5485, "A" * 7000, "-", "p.61", "%2B" * 40, "5." + "0" * 32, "2026-11-22T14:00:00Z"]
        for text in bad:
            answer = tree.call("GET", f"/files?{view}&cursor={text}")
            assert (answer.status, answer.code) == (400, "cursor_invalid"), (view, text)
    answer = tree.call("GET", "/files?dir=d&cursor=" + "A" * 10240)
    assert (answer.status, answer.code) == (414, "uri_too_long")


def test_the_longest_cursor(project):
    """A path as long as the server keeps, 4,096 bytes at most, is a place like any other, and its cursor fits in a request."""
    whole, rest = divmod(project.server.db.path_max - 2, 241)
    names = ["n" * 240] * whole + ["n" * rest]
    path, depth = "/".join(names), whole + 1
    project.commit_ok(*[{"op": "put", "path": "/".join(names[:n + 1]), "kind": "dir"} for n in range(depth)],
                      {"op": "put", "path": path + "-b", "kind": "dir"})
    found = paths(project, "prefix=", 1)
    assert found[-2:] == [path, path + "-b"] and len(found) == depth + 1
    cursor = project.ok("GET", f"/files?prefix=&limit={depth}")["next_cursor"]
    assert 4 * len(path) // 3 < len(cursor) <= 5484


def test_a_limit_may_change_on_the_way(tree):
    first = tree.ok("GET", "/files?dir=d&sort=size&limit=3")
    rest = tree.ok("GET", "/files?limit=1000&sort=size&dir=d&cursor=" + first["next_cursor"])
    assert [f["path"] for f in first["files"] + rest["files"]] == paths(tree, "dir=d&sort=size")


def test_readers_may_list_and_nobody_else(tree, owner):
    assert tree.device("reader", "reader").get(tree.base + "/files?dir=d&sort=size").status == 200
    stranger = Project.create(tree.server, owner, "other")
    for view in VIEWS:
        answer = stranger.api.get(f"{tree.base}/files?{view}")
        nowhere = stranger.api.get(f"/projects/{'0' * 32}/files?{view}")
        assert (answer.status, answer.code) == (nowhere.status, nowhere.code) == (404, "not_found")


# ---- while others write -------------------------------------------------------------------------------------------------------------

class Writer(threading.Thread):
    """Adds, changes, deletes and moves what is called "other…" in d, files and directories, as fast as it can."""

    def __init__(self, project, name, stop):
        super().__init__()
        self.api, self.base, self.name_, self.stop, self.batches, self.failed = project.device(name), project.base, name, stop, 0, None
        self.random = random.Random(name)
        self.mine = {}

    def operation(self, n):
        r = self.random
        kind = r.randrange(6)
        if kind < 2 or not self.mine:
            path = f"d/other-{self.name_}-{r.randrange(10 ** 6)}-{n}"
            if kind == 0:
                return {"op": "put", "path": path, "kind": "dir"}
            return {"op": "put", "path": path, "kind": "link", "target": "t" * r.randrange(1, 50)}
        path = r.choice(list(self.mine))
        id, version, is_dir = self.mine.pop(path)
        if kind < 4:
            return {"op": "move", "id": id, "base": version, "path": f"d/other-{self.name_}-{r.randrange(10 ** 6)}-{n}", "was_dir": is_dir}
        return {"op": "delete", "id": id, "base": version}

    def batch(self):
        ops = [self.operation(self.batches * 10 + n) for n in range(5)]
        was_dir = [op.pop("was_dir", op.get("kind") == "dir") for op in ops]
        answer = self.api.call("POST", self.base + "/commits", {"operations": ops})
        assert answer.status == 200, answer
        for op, is_dir, result in zip(ops, was_dir, answer.json["results"]):
            if op["op"] != "delete" and result["status"] == "ok":
                self.mine[op["path"]] = (result["id"], result["version"], is_dir)
        self.batches += 1

    def run(self):
        try:
            while not self.stop.is_set():
                self.batch()
        except Exception as e:  # told by the test, not lost in a thread
            self.failed = e


def test_pages_while_others_write(project):
    """F 139: whoever pages on while four write comes to an end, never in a circle, and sees everything that was there all the time."""
    stable = {f"d/stay-{i:03}" for i in range(120)}
    project.commit_ok({"op": "put", "path": "d", "kind": "dir"},
                      *[{"op": "put", "path": p, "kind": "dir"} if i % 3 == 0 else
                        {"op": "put", "path": p, "kind": "link", "target": "t", "mtime": f"2026-11-{i % 28 + 1:02}T00:00:00Z"}
                        for i, p in enumerate(sorted(stable))])
    for i in range(30):
        project.put(f"d/stay-file-{i:02}", b"x" * (i * 7 % 11))
        stable.add(f"d/stay-file-{i:02}")
    stop = threading.Event()
    writers = [Writer(project, name, stop) for name in ("a", "b", "c", "e")]
    for w in writers:
        w.start()
    try:
        for view in [""] + [v.replace("search=e", "search=ST") for v in VIEWS]:
            before, counted, seen = [w.batches for w in writers], 0, []
            for page in pages(project, view, 40):
                seen += [f["path"] for f in page["files"] if f["path"] in stable]
                counted += 1
                assert counted < 1000, "no end"
                if counted == 2:  # in the middle: each of the four has written since the first page, or has failed and says so below
                    wait_for(lambda: all(w.batches > b or not w.is_alive() for w, b in zip(writers, before)))
            assert set(seen) == stable, view
            assert len(seen) == len(stable) and counted > 3, view
    finally:
        stop.set()
        for w in writers:
            w.join()
    assert all(w.failed is None for w in writers), [w.failed for w in writers]
    # and what they have left behind is counted to the letter
    files = project.ok("GET", "/files?dir=&sort=name")["files"]
    inside = [f for page in pages(project, "prefix=d/", 1000) for f in page["files"]]
    assert files[0]["beneath"] == {"files": sum(f["kind"] != "dir" for f in inside), "dirs": sum(f["kind"] == "dir" for f in inside),
                                   "total_size": sum(f["size"] for f in inside)}
