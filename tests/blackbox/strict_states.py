"""States of a strict disk, made from what programs did once, and looked at one by one: what test_47_strict.py and test_47_strict_device.py share."""
import hashlib
import os
import pathlib
import pickle
import random
import shutil
import tempfile

import pytest

import engine
import strict
from devices import BIN
from ledger import ROOT, Ledger

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
MUTANT_STATES = 400    # by then one must have been caught
ROOM = 1 << 30         # the server wants some hundred MiB to be free
RECORD = "tests/blackbox/record/record.so"
LIBRARY = next((p for p in (BIN / RECORD, ROOT / "build/debug" / RECORD) if p.exists()), None)

marks = [pytest.mark.skipif(LIBRARY is None, reason="record.so is not built"),
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

    @classmethod
    def exactly(cls, at, way):
        cut = cls.__new__(cls)
        cut.at, cut.way, cut.point, cut.seed, cut.again = at, way, at, 0, False
        return cut

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


def states(record, look, wanted, of_one, folder, done=0):
    """Make ${wanted} states, ${of_one} of each recording, and look at each; yields what the looks have counted."""
    recording = None
    for n in range(done, wanted):
        if recording is None or n % of_one == 0:
            shutil.rmtree(folder / "recording", ignore_errors=True)
            (folder / "recording").mkdir()
            recording = record(folder / "recording", random.Random(f"{SEED} {n // of_one}"))
            look_at_each_answer(recording, n)
        cut = Cut(recording.tape, random.Random(f"{SEED} {n}"), recording.facts)
        try:
            yield look_at(look, recording, cut, folder)
        except AssertionError as e:
            raise Wrong(f"{cut}, kept in {recording.keep(cut, n)}: {e}") from e


def look_at_each_answer(recording, n):
    """What needs no program: the facts know what must be durable when."""
    try:
        recording.facts.look_at_each_answer(recording)
    except AssertionError as e:
        raise Wrong(f"kept in {recording.keep(None, n)}: {e}") from e


def look_at(look, recording, cut, folder):
    at = folder / "state"
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    return look(recording, cut, at)


def until_shown(fault, record, look, folder):
    n = 0
    try:
        for n, _ in enumerate(states(record, look, MUTANT_STATES, 4, folder), 1):
            pass
    except Wrong as e:
        print(f"{fault}: caught in state {n + 1}: {str(e)[:300]}")
        Ledger("strict", BIN).add(subject="mutant", fault=fault, caught_in=n + 1)
        return
    raise AssertionError(f"{MUTANT_STATES} states did not show {fault}")


def look_again(kept, look, folder):
    """At a state that was kept."""
    recording, cut = Recording.kept(pathlib.Path(kept))
    if cut is None:
        recording.facts.look_at_each_answer(recording)
    else:
        look_at(look, recording, cut, folder)
