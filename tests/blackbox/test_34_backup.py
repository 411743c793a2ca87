"""drayd backup and drayd restore: a copy of a server that runs is whole, and a server that comes back from it loses nobody's work."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import threading

import pytest

import engine
from conftest import Drayd
from devices import BIN, Device, assert_same, fill, run_drayd
from waiting import wait_for

MIB = 1 << 20


def backup(server, to, expect=0):
    run = run_drayd("backup", to, "--data", server.data, "--json", env=server.env)
    assert run.returncode == expect, run.stdout + run.stderr
    return json.loads(run.stdout)


class Restored(Drayd):
    """A server on what drayd restore makes of a backup; at the address of ${listen}, if it is to take another's place."""

    def __init__(self, folder, of, listen="127.0.0.1:0", env=None):
        self.data = folder / "data"
        self.log = folder / "drayd.log"
        folder.mkdir()
        self.db = engine.Engine(self.data)
        self.bin, self.env, self.listen, self.proc = BIN, self.db.env, listen, None
        run = run_drayd("restore", of, "--data", self.data, "--json", env={**self.env, **(env or {})})
        assert run.returncode == 0, run.stderr
        self.said_at_restore = json.loads(run.stdout)
        self.start()


def chunk_files(data):
    return sorted(p for p in (pathlib.Path(data) / "chunks").rglob("*") if p.is_file())


@pytest.fixture
def restored(tmp_path):
    """restored(BACKUP): a server on it, stopped at the end."""
    made = []

    def restore(of, **more):
        made.append(Restored(tmp_path / f"restored {len(made)}", of, **more))
        return made[-1]

    yield restore
    for server in made:
        server.stop()


def test_everything_comes_back(own_server, tmp_path, restored):
    """Odd names, links, history, policy, devices and their tokens: a fresh device gets the tree of the one that sent it."""
    project = own_server.project("film")
    own_server.drayd("project", "set", "--project", project, "--keep-versions", "7")
    a = Device(own_server, project, tmp_path / "a", "a")
    fill(a.folder, files=60)
    a.sync()
    a.path("large").write_bytes(b"the second state")
    a.sync()
    said = backup(own_server, tmp_path / "backup")
    assert said["copied"] == said["chunks"] > 0 and said["bad"] == []
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    own_server.kill()
    again = restored(tmp_path / "backup")
    assert again.said_at_restore["chunks"] == said["chunks"]
    assert again.owner_token == own_server.owner_token
    assert "7 of each file" in again.drayd("project", "show", "--project", project)
    fresh = Device(again, project, tmp_path / "fresh", "fresh")
    fresh.sync()
    assert_same(a.tree(), fresh.tree())
    run = fresh.dray("log", fresh.path("large"), "--json")
    assert run.returncode == 0 and len(json.loads(run.stdout)["versions"]) == 2, run.stdout + run.stderr


def test_only_what_is_new(own_server, tmp_path, restored):
    """A second backup into the same place copies what has come since, and what nothing names any more goes."""
    project = own_server.project("p")
    own_server.drayd("project", "set", "--project", project, "--keep-days", "1", "--keep-versions", "1")
    a = Device(own_server, project, tmp_path / "a", "a")
    rng = random.Random(1)
    a.write("stays", rng.randbytes(3 * MIB))
    a.sync()
    first = backup(own_server, tmp_path / "backup")
    assert backup(own_server, tmp_path / "backup")["copied"] == 0
    a.write("comes", rng.randbytes(2 * MIB))
    a.sync()
    second = backup(own_server, tmp_path / "backup")
    assert second["copied"] == second["chunks"] - first["chunks"] > 0 and second["removed"] == 0
    own_server.drayd("project", "create", "other")
    assert own_server.api(own_server.owner_token).call("DELETE", f"/projects/{project}").status == 204
    third = backup(own_server, tmp_path / "backup")
    assert third["chunks"] == 0 and third["removed"] == second["chunks"]
    assert chunk_files(tmp_path / "backup") == []
    assert restored(tmp_path / "backup").drayd("project", "list").count("\n") == 1


def unlike_the_backup(own_server, tmp_path):
    """Two devices in sync with a server of which there is a backup, and then work goes on that the backup does not know."""
    project = own_server.project("p")
    a, b = (Device(own_server, project, tmp_path / name, name) for name in "ab")
    for name in ("kept", "edited", "deleted", "moved", "dir/inner"):
        a.write(name, f"{name} at the backup")
    a.sync()
    b.sync()
    backup(own_server, tmp_path / "backup")
    a.write("edited", "edited after the backup")
    a.write("new", "new after the backup")
    a.path("deleted").unlink()
    a.path("moved").rename(a.path("moved on"))
    a.sync()
    b.sync()
    b.write("kept", "not yet sent when the server was lost")
    own_server.kill()
    return a, b


VALUES = {"edited after the backup", "new after the backup", "not yet sent when the server was lost", "dir/inner at the backup",
          "moved at the backup"}


def values(device):
    return {p.read_text() for p in device.folder.rglob("*") if p.is_file() and ".dray" not in p.parts}


def nothing_is_lost(own_server, tmp_path, restored, **more):
    a, b = unlike_the_backup(own_server, tmp_path)
    restored(tmp_path / "backup", listen=own_server.listen, **more)
    settle_with_conflicts(a, b)
    for device in (a, b):
        assert VALUES <= values(device), VALUES - values(device)


def settle_with_conflicts(a, b):
    for _ in range(4):
        a.sync_any()
        b.sync_any()
    assert_same(a.tree(), b.tree())


def test_a_restored_server_takes_nothing_away(own_server, tmp_path, restored):
    """P24: what was done after the backup is on devices alone; they unite with what the server knows, and nothing is deleted for them."""
    nothing_is_lost(own_server, tmp_path, restored)


@pytest.mark.mutant
def test_a_kept_epoch_is_noticed(own_server, tmp_path, restored):
    """The fault: a restore that goes on with the old history."""
    with pytest.raises(AssertionError):
        nothing_is_lost(own_server, tmp_path, restored, env={"DRAY_FAULT": "restore.keeps_epoch"})


def test_beside_writers(own_server, tmp_path, restored):
    """While files come, go and are collected, each backup is one instant: every file that it names is there, whole."""
    project = own_server.project("p")
    a = Device(own_server, project, tmp_path / "a", "a")
    stopped = threading.Event()

    def write():
        rng = random.Random(7)
        n = 0
        while not stopped.is_set():
            n += 1
            for i in range(10):
                a.write(f"f{rng.randrange(40)}", rng.randbytes(rng.choice([10, 5000, 300_000])))
            a.sync_any()
            own_server.drayd("gc")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(3):
            assert backup(own_server, tmp_path / "backup")["bad"] == []
    finally:
        stopped.set()
        writer.join()
    again = restored(tmp_path / "backup")
    fresh = Device(again, project, tmp_path / "fresh", "fresh")
    assert fresh.sync()["in_sync"]


def test_bad_chunks_are_named(own_server, tmp_path, restored):
    """One that has rotted and one that is gone: the exit status says so, and all else is in the backup."""
    project = own_server.project("p")
    a = Device(own_server, project, tmp_path / "a", "a")
    rng = random.Random(3)
    for name in ("rotten", "gone", "sound"):
        a.write(name, rng.randbytes(5 * MIB))
        a.sync()
    assert own_server.drayd("fsck").endswith("all is sound.\n")
    files = {p for p in chunk_files(own_server.data) if p.stat().st_size > MIB}
    rotten, gone = sorted(files)[:2]
    with rotten.open("r+b") as f:
        f.seek(MIB)
        f.write(b"rot")
    gone.unlink()
    bad = {(rotten.name[33:], "damaged"), (gone.name[33:], "missing")}
    said = backup(own_server, tmp_path / "backup", expect=1)
    assert {(b["chunk"], b["what"]) for b in said["bad"]} == bad
    assert said["copied"] == said["chunks"] - 2
    run = run_drayd("backup", tmp_path / "backup", "--data", own_server.data, env=own_server.env)
    assert run.returncode == 1 and f"chunk {rotten.name[33:]} of project {project} is damaged" in run.stderr
    # A backup that rots is noticed by the restore, in the same way.
    left = next(p for p in chunk_files(tmp_path / "backup") if p.stat().st_size > MIB)
    left.write_bytes(left.read_bytes()[:-1])
    run = run_drayd("restore", tmp_path / "backup", "--data", tmp_path / "new", "--json", env=engine.Engine(tmp_path / "new").env)
    assert run.returncode == 1 and left.name[33:] in {b["chunk"] for b in json.loads(run.stdout)["bad"]}


def test_killed_at_any_moment(own_server, tmp_path, restored):
    """The backup before stands until the next one is whole; and one that was cut short goes on."""
    project = own_server.project("p")
    a = Device(own_server, project, tmp_path / "a", "a")
    rng = random.Random(5)
    a.write("first", b"of the first backup")
    a.sync()
    backup(own_server, tmp_path / "backup")
    for i in range(40):
        a.write(f"more {i}", rng.randbytes(300_000))
    a.sync()
    there = len(chunk_files(tmp_path / "backup"))
    total = there
    for i in range(6):
        run = subprocess.Popen([BIN / "drayd", "backup", tmp_path / "backup", "--data", own_server.data], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**os.environ, **own_server.env})
        wait_for(lambda: run.poll() is not None or len(chunk_files(tmp_path / "backup")) > total)
        run.kill()
        run.wait()
        total = len(chunk_files(tmp_path / "backup"))
    shutil.copytree(tmp_path / "backup", tmp_path / "cut short")
    again = restored(tmp_path / "cut short")
    fresh = Device(again, project, tmp_path / "fresh", "fresh")
    fresh.sync()
    assert fresh.path("first").read_text() == "of the first backup"
    assert backup(own_server, tmp_path / "backup")["bad"] == []
    whole = restored(tmp_path / "backup")
    other = Device(whole, project, tmp_path / "other", "other")
    other.sync()
    assert_same(a.tree(), other.tree())


def test_wrong_places(own_server, tmp_path):
    """Each is refused with what to do, and nothing is made or changed."""
    env = own_server.env
    run = run_drayd("backup", own_server.data, "--data", own_server.data, env=env)
    assert run.returncode == 2 and "needs one of its own" in run.stderr, run.stderr
    run = run_drayd("backup", tmp_path / "backup", "--data", tmp_path / "no such")
    assert run.returncode == 1 and not (tmp_path / "no such").exists() and not (tmp_path / "backup").exists(), run.stderr
    (tmp_path / "empty").mkdir()
    run = run_drayd("backup", tmp_path / "backup", "--data", tmp_path / "empty")
    assert run.returncode == 1 and "not the data directory of a server" in run.stderr and list((tmp_path / "empty").iterdir()) == []
    run = run_drayd("restore", tmp_path / "empty", "--data", tmp_path / "new")
    assert run.returncode == 1 and "is no backup" in run.stderr and not (tmp_path / "new").exists()
    backup(own_server, tmp_path / "backup")
    run = run_drayd("restore", tmp_path / "backup", "--data", own_server.data, env=env)
    assert run.returncode in (1, 2) and ("has data already" in run.stderr or "is using" in run.stderr), run.stderr
    own_server.stop()
    run = run_drayd("restore", tmp_path / "backup", "--data", own_server.data, env=env)
    assert run.returncode == 2 and "has data already" in run.stderr, run.stderr
    run = run_drayd("serve", "--data", tmp_path / "backup", "--listen", "127.0.0.1:0")
    assert run.returncode == 2 and "is a backup" in run.stderr, run.stderr
    run = run_drayd("restore", tmp_path / "backup", "--data", tmp_path / "backup")
    assert run.returncode == 2 and "has data already" in run.stderr, run.stderr
    own_server.start()


@pytest.mark.skipif(engine.NAME != "sqlite", reason="the other engine has it from its own side")
def test_an_older_schema_is_not_backed_up(own_server, tmp_path):
    """Its server has not been started in this version: rows of another shape are not copied."""
    own_server.stop()
    own_server.db.run(("DELETE FROM schema_migrations WHERE name = (SELECT max(name) FROM schema_migrations)",))
    run = run_drayd("backup", tmp_path / "backup", "--data", own_server.data)
    assert run.returncode == 1 and "start this version of the server on it once" in run.stderr, run.stderr
    assert not (tmp_path / "backup" / "backup.db").exists()
    own_server.db.run(("INSERT INTO schema_migrations SELECT 'x', sha256, applied_at FROM schema_migrations LIMIT 1",))
    assert "older" in run_drayd("backup", tmp_path / "backup", "--data", own_server.data).stderr


def test_shown_on_a_terminal(own_server, tmp_path):
    run = run_drayd("backup", tmp_path / "backup", "--data", own_server.data, env=own_server.env)
    assert run.returncode == 0 and run.stdout == "Backed up 0 chunks, 0 B: 0 copied, 0 B; 0 were there already.\n", run.stdout
