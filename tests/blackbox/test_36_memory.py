"""What a device remembers is lost, damaged, old, or a copy of another's: always a union, never a deletion, and nothing newer is overwritten."""
import json
import os
import random
import shutil
import sqlite3
import subprocess

import pytest

from agents import Agent, in_step
from devices import Device, assert_same, settle
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"


@pytest.fixture
def pair(make):
    a, b = make("a", "b")
    for i in range(30):
        a.write(f"d{i % 3}/{i}", f"file {i}")
    a.write("large", random.Random(1).randbytes(300_000))
    for device in (a, b, a):
        device.sync()
    return a, b


def values(device):
    return {p.read_bytes() for p in device.folder.rglob("*") if p.is_file() and ".dray" not in p.relative_to(device.folder).parts}


def whole_state(device):
    """The state as one file, without a log."""
    with sqlite3.connect(device.dot("state.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        device.dot("state.db" + suffix).unlink(missing_ok=True)
    return device.dot("state.db").read_bytes()


def life_goes_on(a, b):
    """Edits, a deletion and something new on either side of which the other has not heard."""
    a.write("d0/0", "edited by a")
    a.write("new of a", "a")
    a.path("d1/1").unlink()
    a.sync()
    b.write("d2/2", "edited by b")
    b.write("new of b", "b")


def united(a, b, done):
    """b has met the server: nothing that anybody wrote is gone, nothing was deleted by b, and both become one."""
    assert done["deleted_there"] == 0
    tree = settle(a, b)
    assert {b"edited by a", b"a", b"edited by b", b"b", b"file 5"} <= values(a)
    assert {b"d0/0", b"new of a", b"d2/2", b"new of b"} <= set(tree)
    assert a.path("d0/0").read_text() == "edited by a"


def test_state_that_is_gone(pair):
    a, b = pair
    life_goes_on(a, b)
    for name in b.dot().glob("state.db*"):
        name.unlink()
    told = b.dray("sync", b.folder)
    assert told.returncode in (0, 3) and "was gone" in told.stdout and "compared anew" in told.stdout
    united(a, b, b.sync_any())
    assert "renewed" not in b.sync_any()


def test_state_that_is_cut_short(pair):
    a, b = pair
    life_goes_on(a, b)
    whole = whole_state(b)
    lengths = [0, 1, 100, 4096, len(whole) // 2 // 4096 * 4096, len(whole) // 2 + 17, len(whole) - 1]
    for length in lengths:
        b.dot("state.db").write_bytes(whole[:length])
        done = b.sync_any()
        # A byte of the last page may be one that nobody reads.
        assert ("renewed" in done and b.dot("state-damaged.db").exists()) or length == len(whole) - 1, length
        assert done["deleted_there"] == 0 and b.path("d1/4").exists() and b"edited by b" in values(b)
        for suffix in ("-wal", "-shm"):
            b.dot("state.db" + suffix).unlink(missing_ok=True)
    united(a, b, done)


def test_state_with_flipped_bits(pair):
    """Some flips break the database, some a row, some nothing that matters; no one makes a deletion, or loses a file."""
    a, b = pair
    whole = whole_state(b)
    before = a.tree()
    rng = random.Random(36)
    for trial in range(300 if FULL else 6):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 50))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        b.dot("state.db").write_bytes(damaged)
        for suffix in ("-wal", "-shm"):
            b.dot("state.db" + suffix).unlink(missing_ok=True)
        run = b.dray("sync", "--json", b.folder)
        assert run.returncode in (0, 1, 3), (trial, run.stderr)
        if run.returncode != 1:
            assert json.loads(run.stdout)["deleted_there"] == 0, trial
        a.sync_any()
        assert set(before) <= set(a.tree()) and set(before) <= set(b.tree()), trial
    for name in b.dot().glob("state.db*"):
        name.unlink()
    b.sync_any()
    settle(a, b)
    assert {b"file %d" % i for i in range(30)} <= values(a)


def rename_in_state(device, old, new):
    with sqlite3.connect(device.dot("state.db")) as db:
        assert db.execute("UPDATE base SET name = ?, ino = ino + 1000000 WHERE name = ?", (new, old)).rowcount == 1


def row_that_lies(a, b):
    """A row of another name has no file: that is not a file that somebody has deleted."""
    rename_in_state(b, b"29", b"2Y")
    done = b.sync_any()
    assert done["deleted_there"] == 0 and "sum of the agreed tree" in done["renewed"]
    a.sync()
    assert a.path("d2/29").read_text() == "file 29"
    settle(a, b)


def test_row_that_lies(pair):
    row_that_lies(*pair)


@pytest.mark.mutant
def test_row_that_is_believed_is_noticed(pair):
    a, b = pair
    plain = b.dray
    b.dray = lambda *args, **more: plain(*args, env={"DRAY_FAULT": "client.unsure_deletes"}, **more)
    with pytest.raises(AssertionError):
        row_that_lies(a, b)


def copy_of(device, folder, name):
    """The folder, carried to another machine by a tool that knows nothing of dray."""
    subprocess.run(["cp", "-a", device.folder, folder], check=True)
    copy = Device.__new__(Device)
    copy.__dict__.update(device.__dict__)
    copy.folder, copy.name = folder, name
    return copy


def clone_is_a_union(a, b, folder):
    """The state was copied later than the files: what it says was agreed on is newer than they are."""
    clone = copy_of(b, folder, "clone")
    a.write("d0/0", "newer")
    a.write("d0/later", "later")
    a.sync()
    b.sync()
    for name in b.dot().glob("state.db*"):
        shutil.copy2(name, clone.dot(name.name))
    clone.write("d2/2", "written on the clone")
    done = clone.sync_any()
    assert done["copied"] and done["deleted_there"] == 0
    assert clone.path("d0/0").read_text() == "newer" and clone.path("d0/later").read_text() == "later"
    assert not clone.sync_any()["copied"]
    for _ in range(2):  # both go on with one token
        b.write("from b", os.urandom(8).hex())
        b.sync_any()
        clone.write("from the clone", os.urandom(8).hex())
        clone.sync_any()
    tree = settle(a, b, clone)
    assert b"written on the clone" in values(a) and {b"d0/0", b"d0/later", b"from b", b"from the clone"} <= set(tree)
    clone.path("d0/later").unlink()  # from here on its deletions are deletions
    assert clone.sync()["deleted_there"] == 1
    b.sync()
    assert not b.path("d0/later").exists()


def test_clone_is_a_union(pair, tmp_path):
    clone_is_a_union(*pair, tmp_path / "clone")


@pytest.mark.mutant
def test_clone_that_is_not_noticed_is_noticed(pair, tmp_path):
    a, b = pair
    plain = b.dray
    b.dray = lambda *args, **more: plain(*args, env={"DRAY_FAULT": "client.copy_unnoticed"}, **more)
    with pytest.raises(AssertionError):
        clone_is_a_union(a, b, tmp_path / "clone")


def test_moved_folder_is_no_copy(pair):
    a, b = pair
    moved = b.folder.with_name("moved")
    b.folder.rename(moved)
    b.folder = moved
    b.path("d0/0").unlink()
    done = b.sync()
    assert not done["copied"] and done["deleted_there"] == 1


@pytest.mark.parametrize("how", ["as a copy", "in place"])
def test_disk_of_an_old_image(pair, tmp_path, how):
    """Files and state of a week ago: what was deleted since stays deleted, what was edited since is there."""
    a, b = pair
    old = tmp_path / "image"
    subprocess.run(["cp", "-a", b.folder, old], check=True)
    a.write("d0/0", "edited since")
    a.path("d1/1").unlink()
    a.sync()
    b.sync()
    b.write("d0/3", "edited on b since")
    b.sync()
    if how == "as a copy":
        shutil.rmtree(b.folder)
        old.rename(b.folder)
    else:  # as an image does: the same directories with older contents
        for path in b.folder.rglob("*"):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
        subprocess.run(["cp", "-a", f"{old}/.", b.folder], check=True)
    done = b.sync_any()
    assert done["deleted_there"] == 0 and done["copied"] == (how == "as a copy")
    a.sync()
    tree = settle(a, b)
    assert b.path("d0/0").read_text() == "edited since" and b.path("d0/3").read_text() == "edited on b since"
    assert b"d1/1" not in tree


def test_away_for_longer_than_deletions_are_told(own_server, tmp_path):
    """410: everything is listed again; what was deleted meanwhile goes here too, what was edited here stays."""
    project = own_server.project("away")
    a, b = (Device(own_server, project, tmp_path / name, name) for name in "ab")
    for i in range(20):
        a.write(f"{i}", f"file {i}")
    for device in (a, b, a):
        device.sync()
    for i in range(5):
        a.path(f"{i}").unlink()
    a.sync()
    b.write("0", "edited while away")
    b.write("new", "made while away")
    b.path("19").unlink()
    own_server.forget_tombstones(project)
    done = b.sync_any()
    assert done["deleted_here"] == 4 and done["deleted_there"] == 1
    tree = settle(a, b)
    assert set(tree) == {b"0", b"new"} | {b"%d" % i for i in range(5, 19)} and b"edited while away" in values(a)


def test_agent_mends_it_too(pair, tmp_path):
    a, b = pair
    for name in b.dot().glob("state.db*"):
        name.unlink()
    agent = Agent(b, log=tmp_path / "log")
    try:
        wait_for(lambda: in_step(b), "not in step")
    finally:
        agent.stop()
    assert "compared anew" in agent.said()
    assert_same(a.tree(), b.tree())


def test_mark_of_an_earlier_version(pair):
    """A folder that was linked before there were marks gets one; one with a damaged mark keeps its state."""
    a, b = pair
    for damage in (lambda p: p.unlink(), lambda p: p.write_bytes(b"x"), lambda p: p.write_bytes(p.read_bytes()[:-1])):
        damage(b.dot("link"))
        b.quiet()
        assert b.dot("link").read_bytes().startswith(b"link 1 ")
    b.dot("link").write_bytes(b"x")
    b.dot("state.db").write_bytes(b"y" * 5000)
    run = b.dray("sync", b.folder)
    assert run.returncode == 1 and a.sync()["fetched"] == 0
    assert b.dray("unlink", b.folder).returncode == 0
    assert b.dray("link", a.dray("status", "--json", a.folder) and json.loads(a.dray("status", "--json", a.folder).stdout)["server"], b.folder,
                  "--project", json.loads(a.dray("status", "--json", a.folder).stdout)["project"]).returncode == 0
    b.sync()
    assert_same(a.tree(), b.tree())
