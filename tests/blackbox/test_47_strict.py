"""
Power cuts on a disk that owes nobody anything (C7): what is not flushed may be lost, in part too, and a name has to be flushed by itself.

Programs run once, and every call of theirs that changes a file is written down (record/).  From that, any number of disks are made as a cut
after any call could have left them (strict.py), and the programs are started on each: what had been acknowledged by then is there.
Calls are numbered, so what had been acknowledged is known to the call.

DRAY_SEED repeats the choices, though not the threads of the programs; a state that fails is kept with its recording, and DRAY_STRICT=FOLDER
looks at it again.  DRAY_TRIALS says how many states; with DRAY_CAMPAIGN=full they are 1,500.
"""
import collections
import dataclasses
import json
import os
import random
import subprocess
import threading
import urllib.parse

import pytest

import strict
from api import Chunk, Project, content_hash, put_op
from conftest import Drayd
from devices import BIN, run_drayd
from ledger import Ledger
from strict_states import FULL, LIBRARY, SEED, Recording, Wrong, disks, look_again, marks, same_as_the_disk, sha, states, until_shown  # noqa: F401

STATES = int(os.environ.get("DRAY_TRIALS", 1500 if FULL else 6))
WRITERS = 3
ROUNDS = 8
SLOW_US = 1000  # an fsync, so that others come between its beginning and its end

pytestmark = marks


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
            self.kill()

    def kill(self):
        with self.recorder.still():
            self.server.kill()

    def record(self, rng):
        project = Project.create(self.server, self.server.api(self.server.owner_token), "strict")
        tokens = [project.device(f"w{i}").token for i in range(WRITERS)]
        self.facts.project, self.facts.token, self.facts.made = project.id, tokens[0], self.now()
        for part in range(2):
            if part:
                self.kill()
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
    run = run_drayd("fsck", "--json", "--data", data)
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
    with recorder.still():
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
    for counts in states(record_server, look_at_server, STATES, 50 if FULL else STATES, disks, done):
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


@pytest.mark.mutant
@pytest.mark.parametrize("fault", SERVER_MUTANTS)
def test_a_strict_disk_shows_a_fault_of_the_server(disks, fault):
    until_shown(fault, lambda *a: record_server(*a, fault), look_at_server, disks)


@pytest.mark.skipif("DRAY_STRICT" not in os.environ, reason="DRAY_STRICT names a state that was kept")
def test_a_kept_state(disks):
    look_again(os.environ["DRAY_STRICT"], look_at_server, disks)
