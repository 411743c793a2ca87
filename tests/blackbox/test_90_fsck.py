"""drayd fsck: sound servers are found sound, each kind of damage is named, and not a byte changes (P33)."""
import fcntl
import hashlib
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess

import pytest

import engine
from conftest import Drayd
from devices import BIN, Device, fill, run_drayd, unrecorded

MIB = 1 << 20


def fsck(server, *args, data=None):
    return run_drayd("fsck", "--data", data or server.data, *args, env=server.env)


def findings(server, *args, data=None):
    run = fsck(server, "--json", *args, data=data)
    assert run.returncode in (0, 3), run.stdout + run.stderr
    said = json.loads(run.stdout)
    assert (run.returncode == 3) == (said["finding_count"] > 0)
    return said["findings"]


def codes(server, *args, data=None):
    return {f["code"] for f in findings(server, *args, data=data)}


def picture(folder):
    """Every name beneath it, with its bytes, size and times."""
    seen = {}
    for at, _, names, fd in os.fwalk(folder):  # by descriptors: there are paths that are too long to be opened whole
        st = os.fstat(fd)
        seen[at] = st.st_mode, st.st_mtime_ns
        for name in names:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            seen[at, name] = st.st_mode, st.st_size, st.st_mtime_ns, stat.S_ISREG(st.st_mode) and read(name, fd)
    return seen


def read(name, dir_fd):
    with open(os.open(name, os.O_RDONLY, dir_fd=dir_fd), "rb") as f:
        return hashlib.sha256(f.read()).digest()


def busy_project(server, tmp_path):
    """Odd names, links, versions, deletions, a large file with an insertion, a conflict, a snapshot, an upload that was given up."""
    project = server.project("busy")
    a, b = (Device(server, project, tmp_path / name, name) for name in "ab")
    fill(a.folder, files=40)
    large = random.Random(1).randbytes(3 * MIB)
    a.write("big/large", large)
    a.sync()
    b.sync()
    a.write("big/large", b"inserted" + large)
    shutil.rmtree(next(p for p in a.folder.iterdir() if p.is_dir() and p.name not in (".dray", "big")))
    a.write("text", "from a")
    b.write("text", "from b")
    a.sync()
    b.sync_any()
    a.path("big").rename(a.path("moved"))
    a.sync_any()
    b.sync_any()
    api = server.api(server.owner_token)
    assert api.call("GET", f"/projects/{project}/snapshot").status == 200
    return project, a, b


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A server that does not run, for tests that leave its data as they found it."""
    tmp_path = tmp_path_factory.mktemp("busy")
    server = Drayd(tmp_path)
    busy_project(server, tmp_path)
    server.stop()
    return server


def test_a_sound_server_is_found_sound(own_server, tmp_path):
    """While it serves, after kill -9 with its log as it lies there, after a clean end; nothing changes in either of the latter."""
    project, a, b = busy_project(own_server, tmp_path)
    assert findings(own_server) == [] and findings(own_server, "--quick") == []
    a.write("last", "words")
    a.sync()
    own_server.kill()
    before = picture(own_server.data)
    run = fsck(own_server, "--json")
    said = json.loads(run.stdout)
    assert run.returncode == 0 and said["findings"] == [], run.stdout
    assert said["projects"] == 1 and said["entries"] > 20 and said["versions"] > said["entries"] and said["chunks"] > 1
    assert picture(own_server.data) == before
    own_server.start()
    own_server.stop()
    before = picture(own_server.data)
    assert fsck(own_server).stdout.splitlines()[0].endswith("all is sound.") and picture(own_server.data) == before
    assert not {(str(own_server.data), "meta.db-wal"), (str(own_server.data), "meta.db-shm")} & before.keys()
    own_server.start()


def test_chunks(busy):
    """Missing, cut short, one bit, two swapped: each is named, and so are the files that cannot be read whole."""
    server = busy
    files = sorted((p for p in (server.data / "chunks").rglob("*") if p.is_file() and p.read_bytes()[:8] == b"DRAYCHK1"),
                   key=lambda p: -p.stat().st_size)
    one, other = files[:2]
    for damage, codes_due in ((lambda: one.unlink(), {"chunk_missing", "file_unreadable"}),
                              (lambda: os.truncate(one, one.stat().st_size - 1), {"chunk_damaged", "file_unreadable"}),
                              (lambda: flip(one, one.stat().st_size - 5), {"chunk_damaged", "file_unreadable"}),
                              (lambda: swap(one, other), {"chunk_damaged", "file_unreadable"})):
        kept = {p: p.read_bytes() for p in (one, other)}
        damage()
        before = picture(server.data)
        said = findings(server)
        assert {f["code"] for f in said} == codes_due, said
        assert any("large" in f["what"] for f in said if f["code"] == "file_unreadable"), said
        assert any(one.name in f["what"] for f in said)
        assert picture(server.data) == before
        for p, data in kept.items():
            p.write_bytes(data)
    assert findings(server) == []
    flip(one, 20)  # its head
    assert codes(server, "--quick") == {"chunk_damaged", "file_unreadable"}
    flip(one, 20)


def bad_sectors(server):
    """The chunks that the fault store.bad_sectors keeps from being read."""
    named = {p.name: p.stat().st_size for p in (server.data / "chunks").rglob("*") if p.is_file()}
    return {name for name in named if int(name[33:35], 16) % 3 == 0}


def test_a_disk_that_cannot_be_read(busy, tmp_path):
    """Each chunk on it is named, and each file; the others are checked, and go into a backup, all the same."""
    due = bad_sectors(busy)
    busy.env["DRAY_FAULT"] = "store.bad_sectors"
    try:
        said = findings(busy)
        run = subprocess.run([BIN / "drayd", "backup", tmp_path / "backup", "--json", "--data", busy.data], capture_output=True, text=True,
                             env={**os.environ, **busy.env})
    finally:
        del busy.env["DRAY_FAULT"]
    named = {f["what"].split("/")[2].split()[0] for f in said if f["code"] == "chunk_unreadable"}
    assert named and {f["code"] for f in said} <= {"chunk_unreadable", "file_unreadable", "snapshot_damaged"}, said
    assert any(f["code"] == "file_unreadable" for f in said)
    copied = json.loads(run.stdout)
    assert run.returncode == 1 and {b["what"] for b in copied["bad"]} == {"unreadable"}, run.stdout + run.stderr
    assert named == {f"{b['project']}-{b['chunk']}" for b in copied["bad"]} <= due
    assert copied["copied"] == copied["chunks"] - len(named) > 0
    assert findings(busy) == []


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def swap(one, other):
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


ROWS = {
    "digest_wrong": "UPDATE projects SET digest = zeroblob(32)",
    "totals_wrong": "UPDATE projects SET total_bytes = total_bytes + 1",
    "stored_bytes_wrong": "UPDATE projects SET stored_bytes = stored_bytes - 1",
    "clock_behind": "UPDATE projects SET clock = clock - 1",
    "counts_beneath_wrong": "UPDATE file_index SET files_beneath = files_beneath + 1 WHERE kind = 1 AND deleted_at = 0 AND name = 'moved'",
    "parent_missing": "UPDATE file_index SET dir = 'nowhere' WHERE dir = 'moved'",
    "version_missing": "DELETE FROM file_versions WHERE (file_id, version) IN (SELECT id, version FROM file_index WHERE name = 'large')",
    "version_differs": "UPDATE file_index SET mode = 511 - mode WHERE name = 'large'",
    "version_orphaned": "DELETE FROM file_index WHERE name = 'large'",
    "version_invalid": "UPDATE file_versions SET size = 7 WHERE kind = 2",
    "blocks_missing": "DELETE FROM file_blocks WHERE page = 0",
    "blocks_invalid": "UPDATE file_blocks SET packed = CAST(substr(packed, 1, length(packed) - 1) || x'ff' AS BLOB)",
    "size_wrong": "UPDATE file_versions SET size = size + 1 WHERE kind = 0 AND deleted = 0 AND size > 0",
    "chunk_record_wrong": "UPDATE chunks SET raw_len = raw_len + 1",
    "snapshot_damaged": "UPDATE project_snapshots SET stored_len = stored_len + 1",
    "transfer_wrong": "UPDATE file_transfers SET chunk_count = chunk_count + 1, state = 0, ended_at = 0",
    "checkpoint_ahead": "UPDATE sync_checkpoints SET clock = clock + 1000000000",
    "owner_token_unknown": "UPDATE devices SET token_hash = zeroblob(32) WHERE kind = 1",
    "database_damaged": "UPDATE file_versions SET project_id = zeroblob(16)",
}

# Who says what of a block list.
LISTS = [
    ("version_differs", "UPDATE file_index SET list = randomblob(16) WHERE name = 'large'"),
    ("version_invalid", "UPDATE file_versions SET list = randomblob(16) WHERE kind = 1"),
    ("blocks_missing", "UPDATE file_versions SET list = randomblob(16) WHERE kind = 0 AND deleted = 0 AND size > 0"),
    ("blocks_invalid", "UPDATE file_versions SET content = randomblob(32) WHERE kind = 0 AND deleted = 0 AND size > 0"),
    ("file_unreadable", "UPDATE file_versions SET content = randomblob(32) WHERE kind = 0 AND deleted = 0 AND size > 0"),
]

# Other tables than were made, which SQLite takes as they are.
CONSTRAINT = ("UPDATE sqlite_schema SET sql = replace(sql, 'keep_versions >= 0', 'keep_versions >= 1')"
              " WHERE name = 'projects' AND instr(sql, 'keep_versions >= 0')")
INDEX = "UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE ', '') WHERE name = 'base_id' AND instr(sql, 'UNIQUE ')"


@pytest.mark.skipif(engine.NAME != "sqlite", reason="the statements are SQLite's; the checks are one text for both")
def test_rows(busy):
    """Each kind of row that disagrees with the others is found by the code that is meant for it."""
    server = busy
    db = server.data / "meta.db"
    kept = db.read_bytes()
    for code, sql in [*ROWS.items(), *LISTS, ("database_damaged", CONSTRAINT)]:
        break_rows(db, sql)
        before = picture(server.data)
        found = codes(server, "--quick")
        assert code in found, f"{code} is not in {found}"
        assert picture(server.data) == before
        db.write_bytes(kept)
    assert findings(server) == []


# What SQLite checks on the way in is switched off, and so is what keeps its schema from being edited.
BREAK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA ignore_check_constraints = 1")
db.execute("PRAGMA writable_schema = 1")
with db:
    assert db.execute(sys.argv[2]).rowcount > 0, "nothing was broken"
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.close()
"""


def break_rows(path, sql):
    run = subprocess.run(["/usr/bin/python3", "-c", BREAK, path, sql], capture_output=True, text=True)
    assert run.returncode == 0, (sql, run.stderr)


@pytest.mark.skipif(engine.NAME != "sqlite", reason="its files")
def test_a_database_that_cannot_be_read(busy):
    """Pages of nothing, and a file that is no database at all."""
    server = busy
    db = server.data / "meta.db"
    kept = db.read_bytes()
    half = len(kept) // 2 // 4096 * 4096
    db.write_bytes(kept[:half] + bytes(4096 * 8) + kept[half + 4096 * 8:])
    assert "database_damaged" in codes(server)
    db.write_bytes(bytes(4096) + kept[4096:])
    run = fsck(server)
    assert run.returncode == 3 and "database_damaged: " in run.stdout and "drayd restore" in run.stdout, run.stdout + run.stderr
    db.write_bytes(kept)


def test_places(own_server, tmp_path):
    """What is no data directory is an error, and stays as it is."""
    (tmp_path / "empty").mkdir()
    run = fsck(own_server, data=tmp_path / "empty")
    assert run.returncode in (1, 2) and list((tmp_path / "empty").iterdir()) == [], run.stderr
    assert fsck(own_server, data=tmp_path / "none").returncode == 1 and not (tmp_path / "none").exists()
    assert fsck(own_server, "more").returncode == 2


# ---- the folder -----------------------------------------------------------------------------------------------------------------


def look(device, *args, expect=0):
    run = device.dray("fsck", "--json", *args, device.folder)
    assert run.returncode == expect, run.stdout + run.stderr
    return json.loads(run.stdout)


def reasons(device, *args, expect=3):
    return {(f["path"], f["reason"]) for f in look(device, *args, expect=expect)["findings"]}


def rot(device, name, unseen=True):
    """A bit, and no time or size.  A disk leaves the change time alone, which nobody else can: the state is told the new one."""
    path = device.path(name)
    st = path.stat()
    flip(path, st.st_size // 2)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    if unseen:
        db = sqlite3.connect(device.path(".dray/state.db"))
        with db:
            assert db.execute("UPDATE base SET ctime_ns = ? WHERE ino = ?", (path.stat().st_ctime_ns, st.st_ino)).rowcount == 1
        db.close()


def test_a_folder(own_server, tmp_path):
    """Sound as it is, with a file cut in two ways; then rot, which is named and never sent; a file that is gone; an edit, which is none of its business."""
    _, a, b = busy_project(own_server, tmp_path)
    for device in (a, b):
        device.sync_any()
        before = picture(device.folder)
        said = look(device)
        assert said["findings"] == [] and said["verified"] > 20 and said["edited"] == 0
        assert picture(device.folder) == before
    assert look(a, "--online")["compared"]
    a.write("other", "edited")
    rot(a, "moved/large")
    a.path("text").unlink()
    before = picture(a.folder)
    assert reasons(a) == {("moved/large", "content_differs"), ("text", "not_on_disk")}
    assert look(a, expect=3)["edited"] == 0  # a new file is no edit of an agreed one
    assert picture(a.folder) == before
    kept = b.path("moved/large").read_bytes()
    a.sync_any()
    b.sync_any()
    assert b.path("moved/large").read_bytes() == kept and not b.path("text").exists()
    b.write("other", "by hand")
    assert look(b)["edited"] == 1
    a.path(".dray/tmp/t-0123456789abcdef").write_bytes(b"left")
    assert look(a, expect=3)["leftovers"] == 1
    rot(b, "moved/large", unseen=False)
    assert reasons(b) == {("moved/large", "touched_differs")}
    run = a.dray("fsck", a.folder)
    assert run.returncode == 3 and "moved/large: content_differs" in run.stdout and "1 temporary file" in run.stdout, run.stdout


def test_a_cut_that_only_the_server_knows(own_server, tmp_path):
    """An insertion is sent, and the device killed before it records that: the next sync takes the server's list for it, and no fsck calls it damaged."""
    project = own_server.project("cut")
    a = Device(own_server, project, tmp_path / "a", "a")
    data = random.Random(1).randbytes(MIB)
    a.write("file", data)
    a.sync()
    a.write("file", b"inserted" + data)
    with unrecorded(a):
        a.sync()
    a.sync()
    said = look(a)
    assert said["findings"] == [] and (said["verified"], said["unsure"]) == (0, 1)
    assert "1 not verified" in a.dray("fsck", a.folder).stdout
    said = look(a, "--online")
    assert said["findings"] == [] and said["compared"] and (said["verified"], said["unsure"]) == (1, 0)
    rot(a, "file")
    assert look(a)["unsure"] == 1
    assert reasons(a, "--online") == {("file", "content_differs")}


STATE = ["UPDATE base SET version = version + 1 WHERE kind = 0", "DELETE FROM base WHERE name = CAST('text' AS BLOB)",
         "UPDATE place SET pending = 1", "UPDATE base SET target = 'x' WHERE kind = 2", "UPDATE blocks SET packed = zeroblob(length(packed))",
         "UPDATE blocks SET first = zeroblob(32)", "UPDATE blocks SET content = randomblob(32) WHERE page = 0"]

# Where blocks are stored: nothing on the device says it twice.
ELSEWHERE = "UPDATE blocks SET packed = CAST(substr(packed, 1, 16) || zeroblob(32) || substr(packed, 49) AS BLOB)"


def test_a_list_that_rotted_is_not_known(own_server, tmp_path):
    """A copy, an edit and an insertion by a device whose block lists have rotted: as if it had kept none."""
    project = own_server.project("rotten")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    data = random.Random(1).randbytes(MIB)
    for name in ("copied", "edited", "grown"):
        a.write(name, name.encode() + data)
    a.sync()
    b.sync()
    for device in (a, b):
        break_rows(device.path(".dray/state.db"), ELSEWHERE)
        assert reasons(device) == {("", "state_damaged")}
    a.write("copy", b"copied" + data)
    a.write("edited", b"EDITED" + data)
    a.write("grown", b"grown by some" + data)
    a.sync()
    b.sync()
    assert {p.name: p.read_bytes() for p in b.folder.iterdir() if p.is_file()} == {
        "copied": b"copied" + data, "copy": b"copied" + data, "edited": b"EDITED" + data, "grown": b"grown by some" + data}


def test_a_state(own_server, tmp_path):
    """Rows that do not agree, and a file that is no database: found, and as they were afterwards; beside an agent too."""
    _, a, _ = busy_project(own_server, tmp_path)
    a.sync_any()
    state = a.path(".dray/state.db")
    kept = state.read_bytes()
    for sql in [*STATE, ELSEWHERE, INDEX]:
        break_rows(state, sql)
        before = picture(a.folder)
        assert ("", "state_damaged") in reasons(a), sql
        assert picture(a.folder) == before
        state.write_bytes(kept)
    state.write_bytes(bytes(4096) + kept[4096:])
    assert reasons(a) == {("", "state_damaged")}
    state.write_bytes(kept)
    held = os.open(a.path(".dray/lock"), os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert look(a)["findings"] == []
    os.close(held)
