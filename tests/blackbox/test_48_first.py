"""A device's first listing of a large tree: a snapshot, in parts that are tried again, and pages where the server can make none."""
import hashlib
import random
import re
import sqlite3

import pytest

import engine
from devices import Device, assert_same
from proxy import Fault, Proxy

ENTRIES = 1100  # two pages of changes, or one snapshot


def tree(folder):
    for i in range(ENTRIES - 100):
        (folder / f"d{i:04}").mkdir()
    for i in range(100):
        (folder / f"d{i:04}" / "f").write_text(f"file {i}" * 40)


@pytest.fixture(scope="module")
def full(server, tmp_path_factory):
    """A device with a tree of more than a page, which is on the server."""
    a = Device(server, server.project("first"), tmp_path_factory.mktemp("first") / "a", "a")
    tree(a.folder)
    a.sync()
    return a


def clone(full, server, folder, decide):
    """A new device over a line: what it asked for, and what its sync said."""
    with Proxy(server, decide) as line:
        b = Device(line, full.project, folder, folder.name)
        done = b.sync()
        asked = [r.target for r in line.requests]
        assert_same(full.tree(), b.tree())
        b.quiet()
    return asked, done


def snapshots(asked):
    return [target.endswith("/snapshot") for target in asked].count(True)


def was_paged(asked):
    """A cursor between pages of a reading from the start has three parts."""
    return any(re.search(r"since=\d+\.\d+\.\w+", target) for target in asked)


def strike(resource, *faults):
    """Each fault once, at the next request for the resource."""
    left = list(faults)
    return lambda request: left.pop(0) if left and request.target.endswith(resource) else None


def test_a_large_tree_is_listed_by_its_snapshot(full, server, tmp_path):
    asked, done = clone(full, server, tmp_path / "b", lambda request: None)
    assert snapshots(asked) == 1 and not was_paged(asked) and done["fetched"] == ENTRIES


def test_a_small_tree_is_a_page(server, tmp_path):
    a = Device(server, server.project("small"), tmp_path / "a", "a")
    a.write("f", "one")
    a.sync()
    asked, _ = clone(a, server, tmp_path / "b", lambda request: None)
    assert snapshots(asked) == 0 and not was_paged(asked)


def test_a_snapshot_over_a_line_that_breaks(full, server, tmp_path):
    rng = random.Random(48)
    faults = [Fault(kind, "down", at=rng.randrange(20_000)) for kind in ("cut", "reset", "cut")] + [Fault("lost"), Fault("answer", status=503)]
    asked, done = clone(full, server, tmp_path / "b", strike("/snapshot", *faults))
    assert snapshots(asked) == 1 + len(faults) == 1 + done["retries"] and not was_paged(asked)


@pytest.mark.parametrize("status, code", [(507, "disk_full"), (500, "chunk_corrupt"), (412, "precondition_failed"), (404, "not_found")])
def test_a_server_that_can_make_none(full, server, tmp_path, status, code):
    asked, done = clone(full, server, tmp_path / "b", strike("/snapshot", Fault("answer", status=status, code=code)))
    assert snapshots(asked) == 1 and done["retries"] == 0 and was_paged(asked)


def test_a_snapshot_with_a_flipped_bit(full, server, tmp_path):
    rng = random.Random(48)
    for n in range(3):
        asked, _ = clone(full, server, tmp_path / f"b{n}", strike("/snapshot", Fault("flip", "down", at=rng.randrange(20_000))))
        assert was_paged(asked), "it was taken for what it is not"


def test_all_is_listed_anew(server, tmp_path):
    """A device whose place is lost has everything listed again: by a snapshot, which also tells by what it lacks."""
    project = server.project("anew")
    a = Device(server, project, tmp_path / "a", "a")
    tree(a.folder)
    a.sync()
    with Proxy(server, lambda request: None) as line:
        b = Device(line, project, tmp_path / "b", "b")
        b.sync()
        db = sqlite3.connect(b.dot("state.db"))
        with db:
            db.execute("UPDATE place SET known = 0, clock = 0")
        db.close()
        a.path("d0000/f").unlink()
        a.sync()
        line.requests.clear()
        b.sync()
        assert snapshots([r.target for r in line.requests]) == 1
    assert_same(a.tree(), b.tree())


def test_parts_are_of_one_snapshot(own_server, tmp_path):
    """Who has read a part of a snapshot gets the rest of that one, when another is served to who comes now; or is told that there is none."""
    project = own_server.project("parts")
    a = Device(own_server, project, tmp_path / "a", "a")
    for i in range(50):
        a.path(f"d{i}").mkdir()
    a.sync()
    api, at = own_server.api(a.token), f"/projects/{project}/snapshot"
    heads = {"Accept": "application/x-ndjson", "Accept-Encoding": "zstd"}
    whole = api.get(at, headers=heads)
    tag = whole.headers["etag"]
    assert tag == f'"{hashlib.sha256(whole.body).hexdigest()}"'
    a.write("new", "later")
    a.sync()
    engine.Engine(own_server.data).run(("UPDATE project_snapshots SET created_at = created_at - ?", 11 * 60 * 10**6))
    assert api.get(at, headers=heads).headers["etag"] != tag
    part = api.get(at, headers={**heads, "Range": "bytes=1000-1999", "If-Match": tag})
    assert (part.status, part.body, part.headers["etag"]) == (206, whole.body[1000:2000], tag)
    rest = api.get(at, headers={**heads, "Range": "bytes=1000-", "If-Range": tag})
    assert (rest.status, rest.body) == (206, whole.body[1000:])
    gone = f'"{hashlib.sha256(b"none").hexdigest()}"'
    assert api.get(at, headers={**heads, "If-Match": gone}).code == "precondition_failed"
    assert api.get(at, headers={"If-Range": gone, "Range": "bytes=0-9"}).json["file_count"] == 51
