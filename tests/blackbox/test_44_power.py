"""
Power cuts: the data directory, or a device's folder, lies on an ext4 that is shut down without its journal in the middle of the work;
then all is killed, mounted and started again.  Whatever was acknowledged before is there; a file is wholly old or wholly new.

Acknowledgements are kept in this process, which no power cut reaches.  Only those count that came before the cut began: a power cut lets no
answer out after it, while a shut-down ext4 lets the server live on for a moment, and an fsync that waits for a transaction which the
shutdown aborts may return 0 (jbd2_complete_transaction takes one that is neither running nor committing for committed).  How many of
those late ones were lost is written down.  DRAY_SEED repeats a run; DRAY_TRIALS says how many cuts; with
DRAY_CAMPAIGN=full they are 600 of the server and 200 of the device.
"""
import collections
import hashlib
import os
import random
import shutil
import sqlite3
import threading
import time

import pytest

import disk
from api import Chunk, Project, put_op, random_bytes
from conftest import Drayd
from devices import BIN, Device, assert_same, settle
from ledger import Ledger
from test_43_line import sha, sha_of_file

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
SERVER_TRIALS = int(os.environ.get("DRAY_TRIALS", 600 if FULL else 4))
DEVICE_TRIALS = int(os.environ.get("DRAY_TRIALS", 200 if FULL else 2))
WRITERS = 3
ROOM = 300 << 20       # less than this free: a new disk; the server keeps 256 MiB in reserve, and says that it is not ready then
IMPATIENCE = 0.3       # how often a commit is sent while its chunk is on its way
KEPT = 40              # acknowledgements of earlier trials that are looked at again
MUTANT_TRIALS = 100     # by then one must have been caught
MIB = 1 << 20

pytestmark = pytest.mark.skipif(disk.why_not() is not None, reason=str(disk.why_not()))


class Gone(Exception):
    """The server does not answer any more."""


class Writer(threading.Thread):
    """One device that sends chunks and commits, and remembers what the server has said."""

    def __init__(self, rig, n, rng):
        super().__init__(daemon=True)
        self.rig, self.n, self.rng = rig, n, rng
        self.api = rig.server.api(rig.tokens[n])
        self.files = 0
        self.failed = None

    def call(self, method, path, body=None):
        try:
            return self.api.call(method, f"/projects/{self.rig.project.id}{path}", body)
        except Exception as e:  # noqa: B902: whatever a dying server does to a connection
            raise Gone from e

    def chunk(self):
        return Chunk(*(random_bytes(self.rng.choice([100, 5000, 65536])) for _ in range(self.rng.choice([1, 1, 3, 20, 64]))))

    def send(self, transfer, k, chunk):
        answer = self.call("PUT", f"/transfers/{transfer}/chunks/{k}", chunk.data)
        if answer.status == 200:
            self.rig.chunk_acked(chunk)
        return answer

    def commit(self, chunk):
        self.files += 1
        path = f"w{self.n} {self.rig.trials} {self.files}"
        size = sum(map(len, chunk.blocks))
        op = {**put_op(path, b"", chunk), "size": size, "extents": [{"chunk": chunk.id, "first": 0, "count": len(chunk.blocks)}],
              "content_hash": hashlib.sha256(b"".join(hashlib.sha256(b).digest() + len(b).to_bytes(4, "little") for b in chunk.blocks)).hexdigest()}
        answer = self.call("POST", "/commits", {"operations": [op]})
        if answer.status == 200:
            (result,) = answer.json["results"]
            assert result["status"] == "ok", result
            self.rig.commit_acked(path, result["version"], sha(b"".join(chunk.blocks)))
        return answer.status

    def impatient(self, transfer, k, chunk):
        """Commit while the chunk is still on its way: accepted only once it is durable."""
        sender = threading.Thread(target=self.other_hand, args=(transfer, k, chunk))
        sender.start()
        try:
            while self.commit(chunk) == 409 and sender.is_alive():
                pass
        finally:
            sender.join()

    def other_hand(self, transfer, k, chunk):
        try:
            answer = self.rig.server.api(self.api.token).call("PUT", f"/projects/{self.rig.project.id}/transfers/{transfer}/chunks/{k}", chunk.data)
            if answer.status == 200:
                self.rig.chunk_acked(chunk)
        except Exception:  # noqa: B902
            pass

    def work(self):
        made = self.call("POST", "/transfers", {})
        if made.status != 201:
            raise Gone  # the power went before this one began
        transfer = made.json["id"]
        for k in range(10_000):
            chunk = self.rig.shared_chunk(self.rng) or self.chunk()
            if self.rng.random() < IMPATIENCE:
                self.impatient(transfer, k, chunk)
                continue
            if self.send(transfer, k, chunk).status == 200 and self.rng.random() < 0.5:
                self.commit(chunk)
            if self.rng.random() < 0.1:
                self.rig.arrived(self.call("GET", f"/transfers/{transfer}?from={max(0, k - 50)}"))

    def run(self):
        try:
            self.work()
        except Gone:
            pass
        except BaseException as e:  # noqa: B902: the trial raises it
            self.failed = e


class ServerRig:
    """A server on a disk whose power can be cut, and what it has acknowledged."""

    def __init__(self, folder, fault=None):
        folder.mkdir()
        self.folder = folder
        self.disk = disk.Disk(folder, "data")
        self.server = Drayd(folder)
        owner = self.server.api(self.server.owner_token)
        self.project = Project.create(self.server, owner, "power")
        self.tokens = [self.project.device(f"w{i}").token for i in range(WRITERS)]
        self.trials = 0
        self.chunks, self.commits = {}, {}     # acknowledged in this trial
        self.late = []                         # acknowledged after the cut had begun
        self.dark = False
        self.kept_chunks, self.kept_commits = {}, {}
        self.cursor = None
        self.last = None
        self.lock = threading.Lock()
        if fault:
            self.server.kill()
            self.server.start(env={"DRAY_FAULT": fault})
        self.fault = fault

    # ---- what was said ----

    def acked(self, kind, name, what):
        with self.lock:
            if self.dark:
                self.late.append((kind, name))
            else:
                kind.setdefault(name, what)

    def chunk_acked(self, chunk):
        self.acked(self.chunks, chunk.id, sha(chunk.data))
        self.last = chunk

    def commit_acked(self, path, version, content):
        self.acked(self.commits, path, (version, content))

    def arrived(self, answer):
        """A transfer that tells what has arrived acknowledges it."""
        if answer.status == 200:
            for c in answer.json["chunks"]:
                self.acked(self.chunks, c["chunk"], None)

    def shared_chunk(self, rng):
        """Now and then what another has just sent: a duplicate is an acknowledgement too."""
        with self.lock:
            return self.last if rng.random() < 0.2 else None

    # ---- the cut ----

    def trial(self, rng):
        self.trials += 1
        writers = [Writer(self, n, random.Random(rng.random())) for n in range(WRITERS)]
        for w in writers:
            w.start()
        while not self.chunks and any(w.is_alive() for w in writers):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.6))
        with self.lock:
            self.dark = True
        self.disk.cut_power()
        self.server.kill()
        for w in writers:
            w.join()
        self.disk.power_on()
        self.server.start(env={"DRAY_FAULT": self.fault} if self.fault else None)
        for w in writers:
            if w.failed:
                raise w.failed
        self.check(rng)

    def check(self, rng):
        api, base = self.project.api, self.project.base
        earlier = rng.sample(sorted(self.kept_chunks), min(KEPT, len(self.kept_chunks)))
        for id, want in [*self.chunks.items(), *((i, self.kept_chunks[i]) for i in earlier)]:
            answer = api.get(f"{base}/chunks/{id}")
            assert answer.status == 200, f"an acknowledged chunk is gone: {answer}"
            assert want is None or sha(answer.body) == want, "an acknowledged chunk holds other bytes"
        earlier = rng.sample(sorted(self.kept_commits), min(KEPT, len(self.kept_commits)))
        live = self.listed()
        for path, (version, content) in [*self.commits.items(), *((p, self.kept_commits[p]) for p in earlier)]:
            answer = api.get(f"{base}/content/{path.replace(' ', '%20')}")
            assert answer.status == 200, f"an acknowledged commit is gone: {path}: {answer}"
            assert sha(answer.body) == content, "an acknowledged commit has other bytes"
            assert path in self.kept_commits or live[path]["version"] == version
        for path in live:  # committed, whether we were told or not: whole
            assert api.get(f"{base}/content/{path.replace(' ', '%20')}").status == 200, path
        lost = sum(self.is_lost(kind, name) for kind, name in self.late)
        self.counts = {"chunks": len(self.chunks), "commits": len(self.commits), "late": len(self.late), "late_lost": lost}
        self.kept_chunks.update(self.chunks)
        self.kept_commits.update(self.commits)
        self.chunks, self.commits, self.late, self.dark = {}, {}, [], False

    def is_lost(self, kind, name):
        target = f"/chunks/{name}" if kind is self.chunks else f"/content/{name.replace(' ', '%20')}"
        return self.project.call("GET", target).status != 200

    def listed(self):
        """Files that have come since the last trial."""
        since = f"&since={self.cursor}" if self.cursor else ""
        live, more = {}, True
        while more:
            changes = self.project.ok("GET", f"/files/changes?limit=1000{since}")
            live.update({f["path"]: f for f in changes["added"] + changes["modified"]})
            more, self.cursor = changes["has_more"], changes["last_sync"]
            since = f"&since={self.cursor}"
        return live

    def close(self):
        self.server.kill()
        self.disk.close()
        shutil.rmtree(self.folder)


def rigs(tmp_path, name, trials, done=0, fault=None):
    """A rig for each trial, a new one when its disk is full."""
    rig = None
    try:
        for n in range(done, trials):
            if rig is None or rig.disk.free() < ROOM:
                if rig:
                    rig.close()
                rig = ServerRig(tmp_path / f"{name} {n}", fault)
            yield n, rig
    finally:
        if rig:
            rig.close()


def test_server_loses_power(tmp_path):
    print("DRAY_SEED", SEED)
    ledger = Ledger("power", BIN)
    done = len(ledger.rows(subject="server")) if FULL else 0
    total = collections.Counter()
    for n, rig in rigs(tmp_path, "server", SERVER_TRIALS, done):
        rig.trial(random.Random(SEED + n))
        total.update(rig.counts)
        ledger.add(subject="server", seed=SEED + n, **rig.counts)
    print(f"{SERVER_TRIALS - done} cuts; all of {total['chunks']} chunks and {total['commits']} commits that were acknowledged are there; "
          f"of {total['late']} acknowledged while the lights went out, {total['late_lost']} are not")


# M1, M3 and M8 of the deliberate faults; of M8 every fsync fails and is taken for one that did not.  M5 is a matter of luck here, and test_47_strict.py's.
MUTANTS = ["store.no_fsync", "domain.ack_before_commit", "store.fsync_fails,store.fsync_ignored"]


@pytest.mark.parametrize("fault", MUTANTS)
def test_power_cut_shows_a_fault(tmp_path, fault):
    rng = random.Random(SEED)
    for n, rig in rigs(tmp_path, "mutant", MUTANT_TRIALS, fault=fault):
        try:
            rig.trial(rng)
        except AssertionError as e:
            print(f"{fault}: caught in trial {n + 1}: {str(e)[:100]}")
            Ledger("power", BIN).add(subject="mutant", fault=fault, caught_in=n + 1)
            return
    raise AssertionError(f"{MUTANT_TRIALS} cuts did not show {fault}")


# ---- the device ------------------------------------------------------------------------------------------------------------


class DeviceRig:
    """A device whose folder lies on such a disk; another edits, and is never cut."""

    def __init__(self, server, folder, name):
        project = server.project(name)
        self.disk = disk.Disk(folder, name)
        self.device = Device(server, project, self.disk.mounted / "tree", "cut")
        self.other = Device(server, project, folder / f"{name} other", "other")
        self.known = {}  # {path: what it may hold}

    def edit(self, rng):
        """New, changed and deleted files at the other device."""
        for name in ("large", "large 2"):
            self.other.write(name, rng.randbytes(rng.randint(4 * MIB, 9 * MIB)))
        for _ in range(30):
            self.other.write(f"d{rng.randrange(3)}/f{rng.randrange(40)}", rng.randbytes(rng.choice([0, 10, 70_000])))
        self.note(self.other)

    def note(self, device):
        for path, (kind, _, _, _, digest) in device.tree().items():
            if kind == "file":
                self.known.setdefault(path, set()).add(digest)

    def cut(self, rng, span):
        """Sync, cut, kill, and on again."""
        run = self.device.start("--timeout", "5")
        time.sleep(rng.uniform(0.02, span))
        self.disk.cut_power()
        run.kill()
        run.communicate()
        self.disk.power_on()
        db = sqlite3.connect(self.device.dot("state.db"))
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        db.close()

    def empty_trash(self):
        """What each trial has replaced would fill the disk."""
        for day in self.device.dot("trash").iterdir():
            shutil.rmtree(day)

    def check(self):
        for path, (kind, _, _, size, digest) in self.device.tree().items():
            assert kind != "file" or digest in self.known[path], f"{path!r} is neither old nor new: {size} bytes"

    def close(self):
        self.disk.close()


@pytest.fixture
def device_rig(server, tmp_path):
    rig = DeviceRig(server, tmp_path, "disk")
    yield rig
    rig.close()


def timed(what):
    start = time.monotonic()
    what()
    return time.monotonic() - start


def but_directory_times(tree):
    """A pull that was cut short may leave, and then send, the time that its own installing gave to a directory; all else must be as it was."""
    return {p: (kind, mode, mtime if kind != "dir" else None, size, digest) for p, (kind, mode, mtime, size, digest) in tree.items()}


def test_device_loses_power_fetching(device_rig):
    """What was there is wholly old or wholly new, and what the cut has undone is no edit: nothing is sent."""
    print("DRAY_SEED", SEED)
    rig, rng = device_rig, random.Random(SEED)
    rig.edit(rng)
    rig.other.sync()
    span = timed(rig.device.sync)
    ledger = Ledger("power", BIN)
    for n in range(len(ledger.rows(subject="fetching")) if FULL else 0, DEVICE_TRIALS):
        rig.edit(rng)
        rig.other.sync()
        before = rig.other.tree()
        rig.cut(rng, span)
        rig.check()
        done = rig.device.sync()
        assert (done["content_sent"], done["deleted_there"], done["moved_there"]) == (0, 0, 0), f"what a cut has undone was sent as an edit: {done}"
        assert_same(but_directory_times(rig.device.tree()), but_directory_times(before))
        rig.empty_trash()
        ledger.add(subject="fetching", seed=SEED, trial=n)


def test_device_loses_power_sending(device_rig):
    """What its user had on the disk is sent, once, as it was."""
    print("DRAY_SEED", SEED)
    rig, rng = device_rig, random.Random(SEED)
    rig.device.sync()
    ledger = Ledger("power", BIN)
    span = 1.0
    for n in range(len(ledger.rows(subject="sending")) if FULL else 0, DEVICE_TRIALS):
        data = rng.randbytes(rng.randint(4 * MIB, 12 * MIB))
        path = rig.device.write("large", data)
        for p in (path, path.parent):  # as an editor does that means it
            fd = os.open(p, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        rig.cut(rng, span)
        assert sha_of_file(path) == sha(data)
        span = max(0.3, timed(rig.device.sync))
        settle(rig.device, rig.other)
        assert sha_of_file(rig.other.path("large")) == sha(data) and os.listdir(rig.device.dot("tmp")) == []
        ledger.add(subject="sending", seed=SEED, trial=n)


def sent_without_a_flush(rig, rng, env=None):
    """What a user did without any flush, and the server was told: a power cut must not undo it, else the next sync sends what is left."""
    tree, other = rig.device, rig.other
    for name in ("edited", "renamed", "deleted", "d/inner"):
        tree.write(name, rng.randbytes(MIB))
    settle(tree, other)
    os.sync()
    tree.write("edited", rng.randbytes(2 * MIB))
    tree.write("d/new", rng.randbytes(MIB))
    tree.write("e/f/new", rng.randbytes(3000))
    tree.path("renamed").rename(tree.path("d", "moved"))
    tree.path("deleted").unlink()
    want = {p: sha_of_file(tree.folder / p) for p in ("edited", "d/new", "e/f/new", "d/moved", "d/inner")}
    tree.sync(env=env)
    rig.disk.cut_power()
    rig.disk.power_on()
    settle(tree, other)
    for device in (tree, other):
        there = {os.fsdecode(p): digest for p, (kind, _, _, _, digest) in device.tree().items() if kind == "file"}
        assert there == want, f"{device.name}: the cut was sent as an edit"


@pytest.mark.parametrize("n", range(20 if FULL else 1))
def test_what_was_sent_stays_done(device_rig, n):
    sent_without_a_flush(device_rig, random.Random(SEED + n))


def test_what_was_sent_unflushed_is_noticed(device_rig):
    """M38: the client does not flush what it sends."""
    with pytest.raises(AssertionError, match="sent as an edit"):
        sent_without_a_flush(device_rig, random.Random(SEED), env={"DRAY_FAULT": "client.no_flush_before_commit"})
