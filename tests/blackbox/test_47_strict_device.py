"""
Power cuts on a disk that owes nobody anything, under a device's folder: as test_47_strict.py, with the device and the server on it.  At the cut the
server is killed and has lost nothing; what the device's disk has lost is no edit of its user's, and what is on it is wholly old or wholly new.

DRAY_TRIALS says how many states; with DRAY_CAMPAIGN=full they are 500.
"""
import collections
import dataclasses
import json
import os
import random
import shutil
import stat
import subprocess
import sys

import pytest

import strict
from audit import audit
from conftest import Drayd
from devices import BIN, Device, assert_same, run_dray, tree_of
from ledger import Ledger
from strict_states import (FULL, LIBRARY, SEED, Cut, Recording, Wrong, disks, look_again, look_at, marks, same_as_the_disk, sha, states,  # noqa: F401
                           until_shown)
from test_44_power import but_directory_times

STATES = int(os.environ.get("DRAY_TRIALS", 500 if FULL else 6))

pytestmark = marks


# A user at his folder: a program of its own, so that what it does is written down.
USER = """
import json, os, sys
os.chdir(sys.argv[1])
for what, path, more in json.load(sys.stdin):
    if what == "write":
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as f:
            f.write(bytes.fromhex(more))
    elif what == "rename":
        os.makedirs(os.path.dirname(more) or ".", exist_ok=True)
        os.rename(path, more)
    elif what == "delete":
        os.unlink(path)
    elif what == "save":  # as editors do that mean it
        with open(path + "~", "wb") as f:
            f.write(bytes.fromhex(more))
            f.flush()
            os.fsync(f.fileno())
        os.rename(path + "~", path)
"""


class Recorded(Device):
    """A device all of whose commands are written down."""

    recorder = None

    def dray(self, *args, env=None, **more):
        return super().dray(*args, env={**self.recorder.env, **(env or {})}, **more)

    def user(self, *steps):
        subprocess.run([sys.executable, "-c", USER, self.folder], input=json.dumps(steps), text=True, check=True,
                       env={**os.environ, **self.recorder.env})


@dataclasses.dataclass
class DeviceFacts:
    project: str = ""
    token: str = ""                    # the device's
    auditor: str = ""
    kind: str = ""                     # what it was doing
    settled: int = 0                   # all before is durable
    start: int = 0                     # the first cut
    end: int = 0
    linked: int = 0                    # from then on it is linked
    after: dict = dataclasses.field(default_factory=dict)  # what was there when it had ended
    tree: dict = dataclasses.field(default_factory=dict)   # of "fetch…": what must come out, with modes, times and links
    known: set = dataclasses.field(default_factory=set)    # all contents that anybody has ever written
    want: dict = dataclasses.field(default_factory=dict)   # {path: sha} of what must come out; of "unflushed", what was agreed before
    answers: list = dataclasses.field(default_factory=list)

    def look_at_each_answer(self, recording):
        """When a command has ended, what it has done is durable: the link, and all that a sync calls in sync."""
        tape = strict.Tape(recording.before, strict.read_log(recording.log))
        if tape.state(self.linked, "none", "drop").at("a/tree/.dray/state.db") is None:
            raise Wrong(f"call {self.linked}: a folder is linked, and its link may be gone")
        if self.settled:
            tape.settle(self.settled)
        state = tape.state(self.answers[0], "none", "drop")
        for path, want in self.after.items():
            lost = lost_of(state, path, *want)
            if lost:
                raise Wrong(f"call {self.answers[0]}: {path!r} is in sync before it is durable: {lost}")


def lost_of(state, path, kind, mode, mtime, what, digest):
    """What of an entry is not durable.  The time of a directory need not be (but_what_directories_regain)."""
    node = state.at(b"a/tree/" + path)
    if node is None:
        return "its name"
    content, attr = state.content(node)
    if kind == "file" and sha(content) != digest or kind == "link" and content != what:
        return "its bytes"
    if kind != "link" and stat.S_IMODE(attr.mode) != mode:
        return "its mode"
    return "its time" if kind != "dir" and attr.mtime != mtime else None


def files_of(tree):
    return {os.fsdecode(p): digest for p, (kind, _, _, _, digest) in tree.items() if kind == "file"}


class DeviceRig:
    """A server and a device on one disk; another device is elsewhere."""

    def __init__(self, folder, rng, env=None, kind=None):
        self.root, self.rng, self.env = folder / "disk", rng, env
        for name in ("server", "a"):
            (self.root / name).mkdir(parents=True)
        self.recorder = strict.Recorder(self.root, LIBRARY, folder)
        self.server = Drayd(self.root / "server", env=self.recorder.env)
        self.facts = DeviceFacts(kind=kind or rng.choice(KINDS))
        try:
            self.facts.project = self.server.project("strict")
            self.b = Device(self.server, self.facts.project, folder / "b", "b")
            self.before_link = self.recorder.now()
            self.a = type("Recorded", (Recorded,), {"recorder": self.recorder})(self.server, self.facts.project, self.root / "a/tree", "a")
            self.facts.token, self.facts.auditor = self.a.token, self.server.device(self.facts.project, "auditor")
            self.facts.linked = self.recorder.now()
            self.first()
            getattr(self, self.facts.kind)()
            self.facts.answers.append(self.recorder.now())
            self.facts.after = self.a.tree()
        finally:
            with self.recorder.still():
                self.server.kill()

    def bytes(self):
        data = self.rng.randbytes(self.rng.choice([0, 10, 3000, 70_000, 200_000]))
        self.facts.known.add(sha(data))
        return data

    def first(self):
        for i in range(12):
            self.b.write(f"d{i % 3}/f{i}", self.bytes())
        for name in ("top", "large"):
            self.b.write(name, self.bytes() + self.rng.randbytes(100))
        os.symlink("top", self.b.path("link"))
        self.b.write("sealed/inside", self.bytes()).parent.chmod(0o555)
        self.b.sync()

    def elsewhere(self):
        """Another device does what it can do."""
        b = self.b
        for i in (0, 1, 2):
            b.write(f"d{i}/f{i}", self.bytes())
        b.write("top", self.bytes())
        b.path("large").unlink()
        b.path("d0/f3").rename(b.path("d1/moved"))
        b.write("new/deep/file", self.bytes()).parent.chmod(0o500)
        b.path("d1").chmod(0o750)
        b.path("sealed").chmod(0o711)
        b.path("d0/f6").chmod(0o600)
        shutil.rmtree(b.path("d2"))
        b.path("link").unlink()
        b.write("link", self.bytes())
        b.sync()

    def from_now(self):
        """What has been done so far has long been durable."""
        self.facts.settled = self.recorder.now()

    def learn(self):
        self.facts.known |= set(files_of(self.b.tree()).values()) | set(files_of(self.a.tree()).values())

    # ---- what is cut short ----

    def fetch_linked(self):
        """From the link on: nothing of the folder was ever flushed but by dray."""
        self.fetch_all()
        self.facts.settled, self.facts.start = self.before_link, self.facts.settled

    def fetch_all(self):
        self.learn()
        self.from_now()
        self.a.sync(env=self.env)
        self.facts.want, self.facts.tree = files_of(self.b.tree()), self.b.tree()

    def fetch_changes(self):
        self.a.sync()
        self.elsewhere()
        self.fetch_all()

    def edits(self):
        a = lambda: self.bytes().hex()
        return [("write", "d0/f0", a()), ("save", "top", a()), ("write", "new/file", a()), ("rename", "d1/f1", "new/moved"),
                ("delete", "d1/f4", None), ("rename", "d2", "renamed"), ("write", "d0/f6", a())]

    def send_flushed(self):
        self.a.sync()
        self.a.user(*self.edits())
        self.facts.want = files_of(self.a.tree())
        self.learn()
        self.from_now()
        self.a.sync(env=self.env)

    def send_unflushed(self):
        self.a.sync()
        self.facts.want = files_of(self.a.tree())
        self.from_now()
        self.a.user(*self.edits())
        self.a.sync(env=self.env)
        self.learn()

    def conflict(self):
        self.a.sync()
        mine, others = self.bytes() + b"mine", self.bytes() + b"another's"
        self.b.write("top", others)
        self.b.write("d1/f1", self.bytes())
        self.b.sync()
        self.a.user(("save", "top", mine.hex()), ("write", "d0/f0", self.bytes().hex()))
        self.facts.want = {**files_of(self.a.tree()), "d1/f1": sha(self.b.path("d1/f1").read_bytes()), "top": sha(others), None: sha(mine)}
        self.learn()
        self.facts.known |= {sha(mine), sha(others)}
        self.from_now()
        self.a.sync_any(env=self.env)

    def recording(self):
        self.facts.end = self.recorder.now()
        made = Recording(self.recorder.before, self.recorder.log, self.facts, self.server.listen)
        same_as_the_disk(strict.Tape(made.before, strict.read_log(made.log)), self.root, "a", "server/data")
        return made


KINDS = ["fetch_linked", "fetch_all", "fetch_changes", "send_flushed", "send_unflushed", "conflict"]


def record_device(folder, rng, env=None, kind=None):
    return DeviceRig(folder, rng, env, kind).recording()


def look_at_device(recording, cut, folder):
    """The server was killed at that moment, and has lost nothing; the device comes back to what its disk has left."""
    facts = recording.facts
    recording.tape.state(cut.at).write("server", folder / "server")
    (folder / "a").mkdir()
    assert cut.state(recording.tape).write("a/tree", folder / "a/tree", folder / "stats"), "the folder is gone"
    server = restarted(folder / "server", recording.listen)
    try:
        there = server_files(server, facts)
        here = files_of(tree_of(folder / "a/tree"))
        env = {**strict.preloaded(LIBRARY), "DRAY_RECORD_STATS": str(folder / "stats"), "DRAY_TOKEN": facts.token}
        said = synced(folder / "a/tree", env)
        assert not said["copied"], "its own folder is taken for a copy"
        tree = tree_of(folder / "a/tree")
        final = files_of(tree)
        check_device(facts, cut.at, there, here, said, final)
        if facts.tree:
            assert_same(but_what_directories_regain(tree), but_what_directories_regain(facts.tree))
        assert final == server_files(server, facts), "the device and the server differ"
        again = synced(folder / "a/tree", env)
        assert not any(again[k] for k in ("sent", "fetched", "moved_here", "moved_there", "deleted_here", "deleted_there")), f"it is not quiet: {again}"
    finally:
        server.kill()
    return {"kind": facts.kind}


def but_what_directories_regain(tree):
    """
    A pull that was cut short may leave, and then send, the time that its own installing gave to a directory, and the permissions that it leaves to the
    owner until all is in it.
    """
    return {p: (kind, mode | 0o700 if kind == "dir" else mode, *rest) for p, (kind, mode, *rest) in but_directory_times(tree).items()}


def restarted(folder, listen):
    """A server on the port that the device knows."""
    class There(Drayd):
        def start(self, *args, env=None):
            self.listen = listen
            super().start(*args, env=env)
    return There(folder, env=strict.preloaded(LIBRARY))


def server_files(server, facts):
    return {path: digest for path, (digest, _) in audit(server.api(facts.auditor), f"/projects/{facts.project}").items()}


def synced(folder, env):
    run = run_dray("sync", "--json", folder, env=env)
    assert run.returncode in (0, 3), f"exit {run.returncode}: {run.stdout} {run.stderr}"
    return json.loads(run.stdout)


def check_device(facts, cut, there, here, said, final):
    finished = cut >= facts.answers[0]
    if facts.kind != "send_unflushed":
        strange = {p: d for p, d in here.items() if d not in facts.known}
        assert not strange, f"neither old nor new: {strange}"
    if facts.kind.startswith("fetch"):
        sent = {k: said[k] for k in ("content_sent", "deleted_there", "moved_there") if said[k]}
        assert not sent, f"what a cut has undone was sent as an edit: {sent}"
        assert final == facts.want, differing(facts.want, final)
    elif facts.kind == "send_flushed":
        assert final == facts.want, differing(facts.want, final)
    elif facts.kind == "send_unflushed":
        # What the server had been told by then is so; else what the cut has left is the user's.
        want = {p: there.get(p) if there.get(p) != facts.want.get(p) else here.get(p) for p in there.keys() | here.keys() | facts.want.keys()}
        want = {p: d for p, d in want.items() if d is not None}
        assert final == want, differing(want, final)
        assert not finished or there == final, f"what was sent is undone: {differing(there, final)}"
    else:
        aside = [p for p in final if p not in facts.want]
        assert len(aside) == 1 and final[aside[0]] == facts.want[None], f"one copy of what was edited here, not {aside}"
        want = {p: d for p, d in facts.want.items() if p is not None}
        final = {p: d for p, d in final.items() if p not in aside}
        assert final == want, differing(want, final)


def differing(want, got):
    return {p: (want.get(p, "nothing")[:8], got.get(p, "nothing")[:8]) for p in want.keys() | got.keys() if want.get(p) != got.get(p)}


def test_device_on_a_strict_disk(disks):
    print("DRAY_SEED", SEED)
    ledger, total = Ledger("strict", BIN), collections.Counter()
    done = len(ledger.rows(subject="device")) if FULL else 0
    for counts in states(record_device, look_at_device, STATES, 50 if FULL else 3, disks, done):
        total[counts["kind"]] += 1
        ledger.add(subject="device", seed=SEED, **counts)
    print(dict(total))


def test_a_mode_that_was_still_to_come_is_not_sent_back(disks):
    """Killed just before it sets the mode of a file whose bytes it has: the old mode is not the user's newest."""
    (disks / "recording").mkdir()
    recording = record_device(disks / "recording", random.Random(SEED), kind="fetch_changes")
    node = recording.tape.whole().at("a/tree/d0/f6")
    at = min(op.seq for op in node.ops if op.seq >= recording.facts.settled and op.attr.mode & 0o777 == 0o600)
    look_at(look_at_device, recording, Cut.exactly(at, "first"), disks)


DEVICE_MUTANTS = ["client.no_flush_before_commit", "client.rows_before_names"]


@pytest.mark.mutant
@pytest.mark.parametrize("fault", DEVICE_MUTANTS)
def test_a_strict_disk_shows_a_fault_of_the_device(disks, fault):
    until_shown(fault, lambda *a: record_device(*a, {"DRAY_FAULT": fault}), look_at_device, disks)


@pytest.mark.skipif("DRAY_STRICT" not in os.environ, reason="DRAY_STRICT names a state that was kept")
def test_a_kept_state(disks):
    look_again(os.environ["DRAY_STRICT"], look_at_device, disks)
