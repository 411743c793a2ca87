"""
Garbage collection on the real server with the real client: what nothing names goes, what is named stays, whatever is killed when.

DRAY_GC_KILLS says how many kills (10; 200 in a full campaign), DRAY_SEED repeats a run.
"""
import hashlib
import json
import os
import random
import subprocess
import threading
import time

from api import Chunk, Project, cut, packed, put_op, random_bytes
from conftest import Drayd
from devices import Device, assert_same, settle

SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("DRAY_GC_KILLS", 200 if os.environ.get("DRAY_CAMPAIGN") == "full" else 5))
MIB = 1024 * 1024
EAGER = ("--gc-interval", "0", "--gc-grace", "0")


def collect(server, *args):
    return json.loads(server.drayd("gc", "--json", *args))


def stored(server):
    """Objects of the store: names and bytes."""
    return {p.name: p.stat().st_size for p in (server.data / "chunks").glob("*/*")}


def restart(server, *args):
    server.stop()
    server.start(*args)


def rows(server, sql, *values):
    return server.db.rows(sql, *values)


def forget_history(server, project):
    """As if a day had passed and the project kept one version of each file: the server never lets go of one sooner."""
    server.stop()
    server.db.run(["DELETE FROM file_versions WHERE (project_id, file_id, version) NOT IN"
                   " (SELECT project_id, id, version FROM file_index)"])


def nothing_dangles(server):
    """Every chunk that a page names has a row, every row its object, of the length that it says."""
    objects = stored(server)
    known = {}
    for project, id, length in rows(server, "SELECT project_id, id, stored_len FROM chunks"):
        known[project, id] = length
        assert objects.get(f"{project.hex()}-{id.hex()}") == length, "a row without its object"
    for project, packed in rows(server, "SELECT project_id, packed FROM file_blocks"):
        for i in range(int.from_bytes(packed[12:16], "little")):
            assert (project, packed[16 + 40 * i:48 + 40 * i]) in known, "a page names a chunk without a row"


def test_dry_run_and_what_goes(own_server):
    restart(own_server, *EAGER)
    owner = own_server.api(own_server.owner_token)
    p = Project.create(own_server, owner, "gc")
    data = random_bytes(300_000)
    p.put("kept", data)
    p.put("gone", random_bytes(300_000))
    other = Project.create(own_server, owner, "other")
    other.put("x", random_bytes(100_000))
    assert collect(own_server)["chunks_removed"] == 0
    owner.ok("DELETE", other.base, status=204)
    p.call("DELETE", "/content/gone")
    forget_history(own_server, p.id)
    own_server.start(*EAGER)
    before = stored(own_server)
    looked = collect(own_server, "--dry-run")
    assert (looked["chunks_removed"], looked["objects_removed"], looked["dry_run"]) == (1, 1, True)
    assert stored(own_server) == before
    done = collect(own_server)
    assert {k: done[k] for k in ("chunks_removed", "bytes_removed", "objects_removed")} == \
        {k: looked[k] for k in ("chunks_removed", "bytes_removed", "objects_removed")}
    assert sum(stored(own_server).values()) == done["bytes_kept"]
    assert p.call("GET", "/content/kept").body == data
    nothing_dangles(own_server)
    text = own_server.drayd("gc")
    assert text.startswith("Freed 0 chunks") and "Kept are 1 chunks" in text


def test_grace(own_server):
    restart(own_server, "--gc-interval", "0")
    p = Project.create(own_server, own_server.api(own_server.owner_token), "grace")
    chunk = Chunk(*cut(data := random_bytes(100_000)))
    t = p.transfer()
    p.send_chunk(t, 0, chunk)
    p.ok("DELETE", f"/transfers/{t}", status=204)
    assert collect(own_server)["chunks_waiting"] == 1
    p.commit_ok(put_op("late", data, chunk))
    assert p.call("GET", "/content/late").body == data
    assert collect(own_server)["chunks_waiting"] == 0


def test_large_file_edited_over_and_over(own_server, tmp_path):
    """What is stored stays within 1.5 times the file once its old versions are gone; devices that know old places go on."""
    restart(own_server, *EAGER)
    project = own_server.project("edits")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    rng = random.Random(SEED)
    print("DRAY_SEED", SEED)
    a.write("large", rng.randbytes(12 * MIB))
    for _ in range(6):
        with open(a.path("large"), "r+b") as f:
            for _ in range(20):
                f.seek(rng.randrange(192) * 65536)
                f.write(rng.randbytes(65536))
        os.utime(a.path("large"))
        a.sync()
        forget_history(own_server, project)
        own_server.start(*EAGER)
        for _ in range(2):  # compacted; and what that left, removed
            collect(own_server)
        done = collect(own_server)
        size = sum(stored(own_server).values())
        assert size == done["bytes_kept"] and size <= 1.5 * 12 * MIB + 65536, done
        nothing_dangles(own_server)
    settle(a, b)
    assert b.path("large").read_bytes() == a.path("large").read_bytes()


def test_client_recovers_when_what_it_names_has_gone(own_server, tmp_path):
    """A deleted file comes back: the client may name chunks that it knows, and is told that they are gone."""
    restart(own_server, *EAGER)
    project = own_server.project("recovers")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    data = random_bytes(3 * MIB)
    a.write("one", data)
    settle(a, b)
    a.path("one").rename(a.path("two"))
    b.path("one").unlink()
    b.sync()
    forget_history(own_server, project)
    own_server.start(*EAGER)
    collect(own_server)
    assert stored(own_server) == {}
    tree = settle(a, b)
    assert hashlib.sha256(data).hexdigest() in {entry[4] for entry in tree.values()}
    nothing_dangles(own_server)


def test_transfers_leave_only_milestones(own_server):
    p = Project.create(own_server, own_server.api(own_server.owner_token), "transfers")
    data = random_bytes(50_000)
    chunk = Chunk(*cut(data))
    t = p.transfer(path="a", size=len(data))
    p.send_chunk(t, 0, chunk)
    assert rows(own_server, "SELECT count(*) FROM file_transfer_progress") == [(1,)]
    own_server.kill()
    own_server.start()
    p.send_chunk(t, 1, Chunk(*cut(random_bytes(10))))
    p.ok("PUT", f"/transfers/{t}/blocks?from=0", packed(chunk), status=204)
    op = {k: v for k, v in put_op("a", data, chunk).items() if k != "extents"}
    p.commit_ok({**op, "transfer": t})
    gone = p.transfer(path="b")
    p.ok("DELETE", f"/transfers/{gone}", status=204)
    assert rows(own_server, "SELECT count(*) FROM file_transfer_progress") == [(0,)]
    assert rows(own_server, "SELECT count(*) FROM file_transfer_chunks") == [(0,)]
    events = rows(own_server, "SELECT event FROM transfer_events WHERE transfer_id = ? ORDER BY n", bytes.fromhex(t))
    assert [e for (e,) in events] == ["started", "resumed", "completed"]
    events = rows(own_server, "SELECT event FROM transfer_events WHERE transfer_id = ? ORDER BY n", bytes.fromhex(gone))
    assert [e for (e,) in events] == ["started", "abandoned"]


def test_killed_while_collecting(tmp_path):
    """kill -9 at any moment of a collection, beside a client that syncs: at worst garbage for the next one."""
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED)
    server = Drayd(tmp_path)
    restart(server, *EAGER)
    project = server.project("killed")
    device = Device(server, project, tmp_path / "a", "a")
    for i in range(40):
        device.write(f"f{i}", rng.randbytes(rng.randrange(1, 200_000)))
    device.sync()
    for _ in range(KILLS):
        for i in rng.sample(range(40), 12):
            path = device.write(f"f{i}", rng.randbytes(rng.randrange(1, 200_000)))
            if rng.random() < 0.2:
                path.unlink()
        device.sync("--allow-mass-delete")
        forget_history(server, project)
        server.start(*EAGER)
        asks = threading.Thread(target=lambda: subprocess.run(
            [server.bin / "drayd", "gc", "--data", server.data], capture_output=True, timeout=60,
            env={**os.environ, **server.env}))
        asks.start()
        run = device.start("--allow-mass-delete")
        time.sleep(rng.uniform(0, 0.4))  # the moment of the kill, not a wait for anything
        server.kill()
        run.kill()
        run.communicate()
        asks.join()
        server.start(*EAGER)
        nothing_dangles(server)
    device.sync("--allow-mass-delete")
    for _ in range(3):
        done = collect(server)
    assert sum(stored(server).values()) == done["bytes_kept"]
    fresh = Device(server, project, tmp_path / "fresh", "fresh")
    fresh.sync()
    assert_same(device.tree(), fresh.tree())
    server.stop()
