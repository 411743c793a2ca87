"""
Power cuts on a disk that owes nobody anything (C7): what is not flushed may be lost, in part too, and a name has to be flushed by itself.

Programs run once, and every call of theirs that changes a file is written down (record/).  From that, any number of disks are made as a cut
after any call could have left them (strict.py), and the programs are started on each: what had been acknowledged by then is there.
Calls are numbered, so what had been acknowledged is known to the call.

DRAY_SEED repeats the choices, though not the threads of the programs; a state that fails is kept with its recording, and DRAY_STRICT=FOLDER
looks at it again.  DRAY_TRIALS says how many states; with DRAY_CAMPAIGN=full they are 1,500 of a server and 500 of a device.
"""
import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import pytest

import engine
import strict
from api import Chunk, Project, content_hash, put_op
from audit import audit
from conftest import Drayd
from devices import BIN, Device, assert_same, run_dray, tree_of
from ledger import ROOT, Ledger
from test_44_power import but_directory_times

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
SERVER_STATES = int(os.environ.get("DRAY_TRIALS", 1500 if FULL else 12))
DEVICE_STATES = int(os.environ.get("DRAY_TRIALS", 500 if FULL else 12))
FROM_ONE = 50 if FULL else 4          # states of one recording
MUTANT_STATES = 400    # by then one must have been caught
WRITERS = 3
SLOW_US = 1000         # an fsync, so that others come between its beginning and its end
ROUNDS = 8
ROOM = 1 << 30        # the server wants some hundred MiB to be free

RECORD = "tests/blackbox/record/record.so"
LIBRARY = next((p for p in (BIN / RECORD, ROOT / "build/debug" / RECORD) if p.exists()), None)
pytestmark = [pytest.mark.skipif(LIBRARY is None, reason="record.so is not built"),
              pytest.mark.skipif(engine.NAME != "sqlite", reason="PostgreSQL's files are its own matter")]


@pytest.fixture
def disks(tmp_path):
    """Where the disks are made: in memory, which makes and removes some hundred directories a state ten times as fast, if there is room."""
    memory = pathlib.Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="dray-strict-", dir=memory) as folder:
        yield pathlib.Path(folder)


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Cut:
    """Where the power fails, and what is left of what was not flushed."""

    def __init__(self, tape, rng, facts):
        events = [e for e in tape.events if facts.start <= e < facts.end]
        self.at = rng.choice(facts.answers) if facts.answers and rng.random() < 0.5 else rng.choice(events) + 1
        self.way = rng.choice(sorted(strict.WAYS))
        self.point = rng.randint(max(events[0], self.at - rng.choice([3, 30, 300])), self.at)
        self.seed = rng.random()
        self.again = rng.random() < 0.2

    def state(self, tape):
        names, data = strict.WAYS[self.way]
        return tape.state(self.at, names, data, random.Random(self.seed), self.point)

    def __repr__(self):
        return f"cut before call {self.at}, {self.way} up to {self.point}, seed {self.seed}{', and once more' if self.again else ''}"


def same_as_the_disk(tape, root, *folders):
    """The model, with nothing lost, is what is really there, to the last byte, mode and time: no call was missed."""
    for folder in folders:
        model, disk = tape.whole().picture(folder), strict.picture_of(root / folder)
        wrong = [p for p in sorted(model.keys() | disk.keys()) if p[-4:] != b"-shm" and model.get(p) != disk.get(p)]
        assert not wrong, f"what was written down is not what was done: {wrong[:10]}"


class Wrong(AssertionError):
    """What a state has come to is not what was promised."""


class Recording:
    """What was written down, and what is known about it."""

    def __init__(self, before, log, facts, listen):
        self.before, self.log, self.facts, self.listen = before, log, facts, listen
        self.tape = strict.Tape(before, strict.read_log(log))
        if facts.settled:
            self.tape.settle(facts.settled)

    def keep(self, cut, n):
        """All that is needed to look at a state again."""
        folder = ROOT / "build/strict" / f"{self.facts.__class__.__name__} {os.getpid()} {n}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.log, folder / "log")
        (folder / "what").write_bytes(pickle.dumps((self.before, self.facts, self.listen, cut)))
        return folder

    @classmethod
    def kept(cls, folder):
        before, facts, listen, cut = pickle.loads((folder / "what").read_bytes())
        return cls(before, folder / "log", facts, listen), cut


def states(record, look, wanted, folder, done=0):
    """Make ${wanted} states, of recordings that serve for FROM_ONE of them, and look at each; yields what the looks have counted."""
    recording = None
    for n in range(done, wanted):
        if recording is None or n % FROM_ONE == 0:
            shutil.rmtree(folder / "recording", ignore_errors=True)
            (folder / "recording").mkdir()
            recording = record(folder / "recording", random.Random(f"{SEED} {n // FROM_ONE}"))
            recording.facts.look_at_each_answer(recording)
        cut = Cut(recording.tape, random.Random(f"{SEED} {n}"), recording.facts)
        try:
            yield look_at(look, recording, cut, folder)
        except AssertionError as e:
            raise Wrong(f"{cut}, kept in {recording.keep(cut, n)}: {e}") from e


def look_at(look, recording, cut, folder):
    at = folder / "state"
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    return look(recording, cut, at)


# ---- the server --------------------------------------------------------------------------------------------------------------


class Said:
    """What was said about one name: the writer says what it is about to do, and when it has been told that it is done."""

    def __init__(self):
        self.steps = []  # [asked, answered or None, content or None]

    def may_hold(self, cut):
        """What a reader may find: what was acknowledged last before the cut, or what had been asked for since."""
        held = {None}
        for asked, answered, content in self.steps:
            if asked < cut:
                held = {content} if answered is not None and answered <= cut else held | {content}
        return held


class Writer(threading.Thread):
    """A device that sends chunks, commits, replaces and deletes."""

    def __init__(self, rig, name, token, rng):
        super().__init__(daemon=True)
        self.rig, self.name_of_mine, self.rng = rig, name, rng
        self.api = rig.server.api(token)
        self.live = {}  # {path: (id, version)}
        self.failed = None

    def call(self, method, path, body=None):
        return self.api.call(method, f"/projects/{self.rig.facts.project}{path}", body)

    def send(self, transfer, k, chunk, api=None):
        answer = (api or self.api).call("PUT", f"/projects/{self.rig.facts.project}/transfers/{transfer}/chunks/{k}", chunk.data)
        if answer.status == 200:
            self.rig.facts.chunks.append((self.rig.now(), chunk.id, sha(chunk.data)))
        return answer.status

    def commit(self, path, op, content):
        step = [self.rig.now(), None, content]
        self.rig.facts.said[path].steps.append(step)
        answer = self.call("POST", "/commits", {"operations": [op]})
        if answer.status != 200:
            self.rig.facts.said[path].steps.remove(step)  # refused: it will not be there
            return None
        (result,) = answer.json["results"]
        assert result["status"] == "ok", result
        step[1] = self.rig.now()
        for extent in op.get("extents", []):
            self.rig.facts.chunks.append((step[1], extent["chunk"], self.rig.facts.sent[extent["chunk"]]))
        return result

    def put(self, chunk):
        path = f"{self.name_of_mine} {self.rng.randrange(6)}"
        data = b"".join(chunk.blocks)
        op = {**put_op(path, b"", chunk), "size": len(data), "content_hash": content_hash(chunk.blocks),
              "extents": [{"chunk": chunk.id, "first": 0, "count": len(chunk.blocks)}]}
        if path in self.live:
            op["id"], op["base"] = self.live[path]
        result = self.commit(path, op, sha(data))
        if result:
            self.live[path] = (result["id"], result["version"])
        return result is not None

    def delete(self):
        if self.live:
            path = self.rng.choice(sorted(self.live))
            id, version = self.live.pop(path)
            assert self.commit(path, {"op": "delete", "id": id, "base": version}, None)

    def beside(self, transfer, k, chunk):
        """Send it over another connection."""
        other = threading.Thread(target=self.send, args=(transfer, k, chunk, self.rig.server.api(self.api.token)))
        other.start()
        return other

    def impatient(self, transfer, k, chunk):
        """Commit while the chunk is on its way: accepted only once it is durable."""
        other = self.beside(transfer, k, chunk)
        while not self.put(chunk) and other.is_alive():
            pass
        other.join()

    def twice(self, transfer, k, chunk):
        """A duplicate of what is on its way is an acknowledgement too."""
        others = [self.beside(transfer, ROUNDS * i + k, chunk) for i in range(1, 4)]
        self.send(transfer, k, chunk)
        for other in others:
            other.join()

    def work(self):
        made = self.call("POST", "/transfers", {})
        assert made.status == 201, made
        for k in range(ROUNDS):
            chunk = self.rig.chunk(self.rng)
            haste = self.rng.random()
            if haste < 0.3:
                self.impatient(made.json["id"], k, chunk)
            elif haste < 0.5:
                self.twice(made.json["id"], k, chunk)
            elif self.send(made.json["id"], k, chunk) == 200 and self.rng.random() < 0.6:
                self.put(chunk)
            if self.rng.random() < 0.15:
                self.delete()

    def run(self):
        try:
            self.work()
        except BaseException as e:  # noqa: B902: the recording raises it
            self.failed = e


@dataclasses.dataclass
class ServerFacts:
    project: str = ""
    token: str = ""
    made: int = 0                      # from then on there is the project
    settled: int = 0
    start: int = 0
    end: int = 0
    sent: dict = dataclasses.field(default_factory=dict)     # {id: sha}
    chunks: list = dataclasses.field(default_factory=list)   # (acknowledged, by itself or by a commit that names it, id, sha)
    said: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(Said))
    answers: list = dataclasses.field(default_factory=list)

    def look_at_each_answer(self, recording):
        """Whatever else is lost, at the moment of an answer the chunk is durable, under its name: no server is needed to see that."""
        if recording.tape.state(self.made, "none", "drop").at("server/data/meta.db") is None:
            raise Wrong(f"call {self.made}: a project is acknowledged whose data directory may be gone")
        for answered, id, digest in self.chunks:
            state = recording.tape.state(answered, "none", "drop")
            node = state.at(f"server/data/chunks/{id[:2]}/{self.project}-{id}")
            if node is None or sha(state.content(node)[0]) != digest:
                raise Wrong(f"call {answered}: a chunk is acknowledged before it is durable: {'its name' if node is None else 'its bytes'}")


class ServerRig:
    """A server from its first start on, in the hands of a few writers, killed once on the way."""

    def __init__(self, folder, rng, fault=None):
        self.root = folder / "disk"
        (self.root / "server").mkdir(parents=True)
        self.recorder = strict.Recorder(self.root, LIBRARY, folder, SLOW_US)
        self.now = self.recorder.now
        self.last, self.lock = None, threading.Lock()
        self.facts = ServerFacts()
        self.server = Drayd(self.root / "server", env={**self.recorder.env, **({"DRAY_FAULT": fault} if fault else {})})
        try:
            self.record(rng)
        finally:
            self.server.kill()

    def record(self, rng):
        project = Project.create(self.server, self.server.api(self.server.owner_token), "strict")
        tokens = [project.device(f"w{i}").token for i in range(WRITERS)]
        self.facts.project, self.facts.token, self.facts.made = project.id, tokens[0], self.now()
        for part in range(2):
            if part:
                self.server.kill()
                self.server.start()
            writers = [Writer(self, f"{part} {n}", tokens[n], random.Random(rng.random())) for n in range(WRITERS)]
            for w in writers:
                w.start()
            for w in writers:
                w.join()
                if w.failed:
                    raise w.failed
        self.facts.answers = [seq for seq, *_ in self.facts.chunks]
        self.facts.answers += [done for said in self.facts.said.values() for _, done, _ in said.steps if done is not None]

    def chunk(self, rng):
        """Now and then what another sends just now: a duplicate is an acknowledgement too."""
        with self.lock:
            if self.last is None or rng.random() < 0.5:
                self.last = Chunk(*(rng.randbytes(rng.choice([100, 5000, 65536])) for _ in range(rng.choice([1, 1, 3, 9]))))
                self.facts.sent[self.last.id] = sha(self.last.data)
            return self.last

    def recording(self):
        self.facts.end = self.now()
        made = Recording(self.recorder.before, self.recorder.log, self.facts, self.server.listen)
        same_as_the_disk(made.tape, self.root, "server/data")
        return made


def record_server(folder, rng, fault=None):
    return ServerRig(folder, rng, fault).recording()


def fsck(data):
    """What is wrong with it."""
    run = subprocess.run([BIN / "drayd", "fsck", "--json", "--data", data], capture_output=True, text=True, timeout=300,
                         env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert run.returncode in (0, 3), run.stdout + run.stderr
    return json.loads(run.stdout)["findings"]


def look_at_server(recording, cut, folder):
    facts, state = recording.facts, cut.state(recording.tape)
    promised = cut.at >= facts.made
    there = state.write("server", folder / "server")
    assert there
    if not (folder / "server/data").exists():
        assert not promised, "the data directory is gone"
    if cut.again:
        cut_the_recovery(cut, folder)
    server = Drayd(folder / "server", env=strict.preloaded(LIBRARY))
    try:
        counts = look_at_promises(server, facts, cut.at) if promised else {}
        if not promised:
            server.project("works")
    finally:
        server.kill()
    assert (found := fsck(server.data)) == [], found
    return counts


def cut_the_recovery(cut, folder):
    """The start after the cut is cut short too."""
    rng = random.Random(cut.seed)
    (folder / "first").mkdir()
    (folder / "server").rename(folder / "first/server")
    recorder = strict.Recorder(folder / "first", LIBRARY, folder)
    server = Drayd(folder / "first/server", env=recorder.env)
    server.kill()
    tape = recorder.tape()
    same_as_the_disk(tape, folder / "first", "server/data")
    names, data = strict.WAYS[rng.choice(sorted(strict.WAYS))]
    at = rng.choice(tape.events) + 1
    tape.state(at, names, data, rng, rng.randint(0, at)).write("server", folder / "server")


def look_at_promises(server, facts, cut):
    api, base = server.api(facts.token), f"/projects/{facts.project}"
    chunks = [(id, digest) for answered, id, digest in facts.chunks if answered <= cut]
    for id, digest in chunks:
        answer = api.get(f"{base}/chunks/{id}")
        assert answer.status == 200, f"an acknowledged chunk is gone: {answer}"
        assert sha(answer.body) == digest, "an acknowledged chunk holds other bytes"
    for path, said in facts.said.items():
        answer = api.get(f"{base}/content/{urllib.parse.quote(path)}")
        assert answer.status in (200, 404), answer
        held = sha(answer.body) if answer.status == 200 else None
        assert held in said.may_hold(cut), f"{path!r}: an acknowledged commit is gone" if held is None else f"{path!r} is what it never was, or is not any more"
    data = cut.to_bytes(8, "little")
    assert Project(server, None, facts.project, facts.token).put("after the cut", data)["size"] == 8  # and it goes on
    return {"chunks": len(chunks), "commits": sum(done is not None and done <= cut for s in facts.said.values() for _, done, _ in s.steps)}


def test_server_on_a_strict_disk(disks):
    print("DRAY_SEED", SEED)
    ledger, total = Ledger("strict", BIN), collections.Counter()
    done = len(ledger.rows(subject="server")) if FULL else 0
    for counts in states(record_server, look_at_server, SERVER_STATES, disks, done):
        total.update(counts, states=1)
        ledger.add(subject="server", seed=SEED, **counts)
    print(dict(total))


def but_empty_logs(picture):
    """Names and bytes.  Who reads a database makes an empty log and its index, which may stay, go, or come back."""
    return {path: what for path, (_, _, what) in picture.items() if path[-4:] not in (b"-wal", b"-shm") or what}


def test_a_backup_and_what_is_restored_are_durable(own_server, disks):
    """When the command has ended, and not only when the kernel has written it."""
    project = Project.create(own_server, own_server.api(own_server.owner_token), "copied")
    for n in range(3):
        project.put(f"f{n}", random.Random(n).randbytes(70_000))
    root = disks / "disk"
    root.mkdir()
    recorder = strict.Recorder(root, LIBRARY, disks)
    for args, made in ((["backup", root / "backup", "--data", own_server.data], "backup"),
                       (["restore", root / "backup", "--data", root / "restored"], "restored")):
        run = subprocess.run([BIN / "drayd", *args], env={**os.environ, **recorder.env}, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        tape = recorder.tape()
        same_as_the_disk(tape, root, made)
        assert but_empty_logs(tape.state(tape.end, "none", "drop").picture(made)) == but_empty_logs(tape.whole().picture(made))


# M1, M2, M4 and M5 of the deliberate faults.  What M3 has acknowledged cannot even be read at once.
SERVER_MUTANTS = ["store.no_fsync", "store.no_fsync_dir", "store.dup_early", "domain.chunk_known_early"]


def until_shown(fault, record, look, folder):
    n = 0
    try:
        for n, _ in enumerate(states(record, look, MUTANT_STATES, folder), 1):
            pass
    except Wrong as e:
        print(f"{fault}: caught in state {n + 1}: {str(e)[:300]}")
        Ledger("strict", BIN).add(subject="mutant", fault=fault, caught_in=n + 1)
        return
    raise AssertionError(f"{MUTANT_STATES} states did not show {fault}")


@pytest.mark.mutant
@pytest.mark.parametrize("fault", SERVER_MUTANTS)
def test_a_strict_disk_shows_a_fault_of_the_server(disks, fault):
    until_shown(fault, lambda *a: record_server(*a, fault), look_at_server, disks)


# ---- a device ----------------------------------------------------------------------------------------------------------------

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
    after: dict = dataclasses.field(default_factory=dict)  # {path: sha} of what was there when it had ended
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
        for path, digest in self.after.items():
            node = state.at("a/tree/" + path)
            if node is None or sha(state.content(node)[0]) != digest:
                raise Wrong(f"call {self.answers[0]}: {path!r} is in sync before it is durable: {'its name' if node is None else 'its bytes'}")


def files_of(tree):
    return {os.fsdecode(p): digest for p, (kind, _, _, _, digest) in tree.items() if kind == "file"}


class DeviceRig:
    """A server and a device on one disk; another device is elsewhere."""

    def __init__(self, folder, rng, env=None):
        self.root, self.rng, self.env = folder / "disk", rng, env
        for name in ("server", "a"):
            (self.root / name).mkdir(parents=True)
        self.recorder = strict.Recorder(self.root, LIBRARY, folder)
        self.server = Drayd(self.root / "server", env=self.recorder.env)
        self.facts = DeviceFacts(kind=rng.choice(KINDS))
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
            self.facts.after = files_of(self.a.tree())
        finally:
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
        self.b.sync()

    def elsewhere(self):
        """Another device does what it can do."""
        b = self.b
        for i in (0, 1, 2):
            b.write(f"d{i}/f{i}", self.bytes())
        b.write("top", self.bytes())
        b.path("large").unlink()
        b.path("d0/f3").rename(b.path("d1/moved"))
        b.write("new/deep/file", self.bytes())
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
        self.facts.want, self.facts.tree = files_of(self.b.tree()), but_directory_times(self.b.tree())

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


def record_device(folder, rng, env=None):
    return DeviceRig(folder, rng, env).recording()


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
            assert_same(but_directory_times(tree), facts.tree)
        assert final == server_files(server, facts), "the device and the server differ"
        again = synced(folder / "a/tree", env)
        assert not any(again[k] for k in ("sent", "fetched", "moved_here", "moved_there", "deleted_here", "deleted_there")), f"it is not quiet: {again}"
    finally:
        server.kill()
    return {"kind": facts.kind}


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
    for counts in states(record_device, look_at_device, DEVICE_STATES, disks, done):
        total[counts["kind"]] += 1
        ledger.add(subject="device", seed=SEED, **counts)
    print(dict(total))


DEVICE_MUTANTS = ["client.no_flush_before_commit", "client.rows_before_names"]


@pytest.mark.mutant
@pytest.mark.parametrize("fault", DEVICE_MUTANTS)
def test_a_strict_disk_shows_a_fault_of_the_device(disks, fault):
    until_shown(fault, lambda *a: record_device(*a, {"DRAY_FAULT": fault}), look_at_device, disks)


@pytest.mark.skipif("DRAY_STRICT" not in os.environ, reason="DRAY_STRICT names a state that was kept")
def test_a_kept_state(disks):
    recording, cut = Recording.kept(pathlib.Path(os.environ["DRAY_STRICT"]))
    look_at(look_at_server if isinstance(recording.facts, ServerFacts) else look_at_device, recording, cut, disks)
