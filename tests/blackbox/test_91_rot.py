"""
C24: bytes that rot.  A bit, a sector, an end, two files swapped, a file gone; in the server's store, in its database, in a device's state, in
people's files without a trace in their times: the check finds it, or it is shown that nothing that anybody reads has changed.  And the check changes
nothing.  DRAY_CAMPAIGN=full makes 1,000 of them, which go on where they were stopped.
"""
import collections
import json
import os
import random
import sqlite3

import pytest

import engine
from conftest import Drayd
from devices import BIN
from ledger import Ledger
from test_90_fsck import busy_project, fsck, picture

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
TRIALS = 1000 if FULL else 12
pytestmark = pytest.mark.skipif(engine.NAME != "sqlite", reason="the damage is done to SQLite's files")

# What nothing else repeats, and a page of SQLite has no sum: a bit in it changes a name, a time, a right or an old state, and nobody can tell
# (docs/adr/0021).  The test holds that there are no others.
UNGUARDED = {
    "projects": {"name", "epoch", "horizon", "created_at", "keep_versions", "keep_days", "quota_bytes", "clock"},
    "devices": {"id", "name", "kind", "token_hash", "created_at", "last_seen_at", "revoked_at"},
    "device_grants": {"device_id", "role"},
    "sync_checkpoints": {"device_id", "epoch", "clock", "updated_at"},
    "delete_hours": {"device_id", "began_at", "clock", "entries", "deleted", "held_at"},
    "idempotency": {"device_id", "key_hash", "request_hash", "status", "body", "created_at"},
    "file_index": {"created_at"},
    "file_versions": {"file_id", "version", "path", "mode", "mtime_ns", "changed_by", "deleted", "kind"},  # of states that are not the present one
    "file_blocks": {"list"},  # of a list that nothing names any more
    "chunks": {"created_at", "used_at"},
    "conflicts": {"copy_id", "file_id", "file_version", "device_id", "created_at", "resolved_at", "resolved_by", "resolution"},
    "file_transfers": {"id", "device_id", "path", "size", "chunk_count", "bytes_done", "created_at", "expires_at", "ended_at", "state"},
    "transfer_events": {"n", "event", "at"},
    "project_snapshots": {"id", "format", "clock", "epoch", "digest", "raw_len", "file_count", "total_bytes", "created_at", "expires_at"},
    "history_walks": {"file_id", "ended_at"},
    "schema_migrations": {"applied_at"},
    "installation": {"id", "created_at"},
    # of a device
    "link": {"url", "project", "device", "project_name", "device_name"},
    "place": {"clock", "epoch", "known", "reported", "server_digest", "synced_at"},
    "base": {"mtime_ns", "dev", "ino", "ctime_ns"},  # the file is then looked at again
    "pending": {"path", "kind", "size", "mode", "mtime_ns", "content", "target", "version", "deleted", "extra"},
    "blocks_stale": {"content", "since"},
    "uploads": {"transfer", "path", "dev", "ino", "size", "mtime_ns", "ctime_ns", "base", "started_at"},
    "asides": {"dev", "ino", "file", "version", "path"},
}


# ---- damage --------------------------------------------------------------------------------------------------------------------------


def flip_bit(rng, data):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def zero_sector(rng, data):
    at = rng.randrange(len(data)) // 512 * 512
    return data[:at] + bytes(len(data[at:at + 512])) + data[at + 512:]


def cut_off(rng, data):
    return data[:rng.randrange(len(data))]


class Damage:
    """Done to files, and undone: bytes, times and all."""

    def __init__(self):
        self.was = {}

    def keep(self, path):
        st = path.stat()
        self.was[path] = path.read_bytes(), (st.st_atime_ns, st.st_mtime_ns)

    def put(self, path, data):
        self.keep(path)
        path.write_bytes(data)
        os.utime(path, ns=self.was[path][1])

    def gone(self, path):
        self.keep(path)
        path.unlink()

    def swap(self, one, other):
        a, b = one.read_bytes(), other.read_bytes()
        self.put(one, b)
        self.put(other, a)

    def undo(self):
        for path, (data, times) in self.was.items():
            path.write_bytes(data)
            os.utime(path, ns=times)


def in_bytes(rng, path, damage, how):
    data = path.read_bytes()
    changed = how(rng, data)
    if changed == data:
        return False
    damage.put(path, changed)
    return True


def do_damage(rng, where, files, damage):
    """Says what it was; None when nothing has changed."""
    path = rng.choice(files)
    ways = {"store": [flip_bit, zero_sector, cut_off, "swap", "gone"], "server": [flip_bit, flip_bit, zero_sector, cut_off],
            "state": [flip_bit, flip_bit, zero_sector, cut_off], "files": [flip_bit, zero_sector, "gone"]}[where]
    how = rng.choice(ways)
    if how == "gone":
        if path.name == "owner.token":
            return None  # the next start of the server makes another
        damage.gone(path)
    elif how == "swap":
        other = rng.choice(files)
        if other.read_bytes() == path.read_bytes():
            return None
        damage.swap(path, other)
    elif not in_bytes(rng, path, damage, how):
        return None
    return f"{how if isinstance(how, str) else how.__name__} {path.name}"


# ---- what has changed in a database ---------------------------------------------------------------------------------------------------


def rows_of(path):
    """Every row of every table, and the schema."""
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    db.text_factory = bytes
    try:
        db.execute("PRAGMA cell_size_check = 1")
        assert db.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)], "SQLite itself finds it"
        schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        tables = [name.decode() for kind, name, *_ in schema if kind == b"table" and not name.startswith(b"sqlite_")]
        columns = {t: [c[1].decode() for c in db.execute(f"PRAGMA table_info({t})")] for t in tables}
        return schema, columns, {t: collections.Counter(db.execute(f"SELECT * FROM {t}").fetchall()) for t in tables}
    finally:
        db.close()


def unguarded(sound, path):
    """Whether the database says what it said, or differs in one row in what is known to be nobody's to check."""
    schema, columns, tables = rows_of(path)
    if schema != sound[0] or columns != sound[1]:
        return "the schema has changed"
    for table, rows in tables.items():
        lost, new = sound[2][table] - rows, rows - sound[2][table]
        if not lost and not new:
            continue
        if len(lost) != 1 or len(new) != 1:
            return f"{len(lost)} rows of {table} have become {len(new)}"
        changed = {c for c, was, now in zip(columns[table], *lost, *new) if was != now}
        guarded = changed - UNGUARDED.get(table, set())
        if guarded:
            return f"{guarded} of {table}"
    return None


# ---- trials ----------------------------------------------------------------------------------------------------------------------------


class Subject:
    """A server that does not run and a device of it, with files of every kind; each trial leaves them as they were."""

    def __init__(self, folder):
        self.server = Drayd(folder)
        try:
            _, self.device, _ = busy_project(self.server, folder)
            self.device.sync_any()
        finally:
            self.server.stop()
        data, root = self.server.data, self.device.folder
        self.files = {
            "store": sorted(p for p in (data / "chunks").rglob("*") if p.is_file()) + [data / "owner.token"],
            "server": [data / "meta.db"],
            "state": [root / ".dray/state.db"],
            "files": sorted(p for d in (root, root / "moved") for p in d.iterdir() if not p.is_symlink() and p.is_file() and p.stat().st_size),
        }
        self.sound = {where: rows_of(self.files[where][0]) for where in ("server", "state")}

    def found(self, where):
        if where in ("store", "server"):
            run = fsck(self.server, "--json")
        else:
            run = self.device.dray("fsck", "--json", self.device.folder)
        assert run.returncode in (0, 1, 3), run.stderr
        return run.returncode != 0 or where == "state" and json.loads(run.stdout)["edited"] > 0

    def trial(self, seed):
        rng = random.Random(seed)
        where = rng.choice(sorted(self.files))
        damage = Damage()
        try:
            what = None
            while not what:
                what = do_damage(rng, where, self.files[where], damage)
            folder = self.server.data if where in ("store", "server") else self.device.folder
            before = picture(folder)
            found = self.found(where)
            assert picture(folder) == before, f"{seed}: {where}: {what}: the check has changed something"
            if not found:
                assert where in self.sound, f"{seed}: {where}: {what}: not found"
                why = unguarded(self.sound[where], self.files[where][0])
                assert not why, f"{seed}: {where}: {what}: not found: {why}"
        finally:
            damage.undo()
        return {"where": where, "what": what.split()[0], "found": found}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return Subject(tmp_path_factory.mktemp("rot"))


def test_rot_is_found(subject):
    """Every injected corruption is found, or nobody reads what has changed."""
    ledger = Ledger("rot", BIN)
    done = {r["seed"]: r for r in ledger.rows(kind="trial")} if FULL else {}
    for seed in range(TRIALS):
        if seed not in done:
            done[seed] = {"kind": "trial", "seed": seed, **subject.trial(seed)}
            if FULL:
                ledger.add(**done[seed])
    counts = collections.Counter((r["where"], r["found"]) for r in done.values())
    assert all(counts[where, True] for where in subject.files), counts
    if FULL:
        print(dict(counts))
