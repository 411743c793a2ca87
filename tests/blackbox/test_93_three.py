"""
Three devices with agents edit the same files at once, while agents and the server are killed and lines are cut; then quiet (P12, P14, P16, P31).

Every content that is ever written is unique, and a writer puts it in the file's place by exchanging the two names: what comes out is what he has replaced, and
nothing can come between.  So, when all is quiet:

  - all devices have one tree, to the last bit of mode and time, and one digest, which is the server's;
  - every content that was written is in it, under whatever name, or was replaced or deleted by a writer who had it: nothing is found only in the history;
  - nothing is in it that nobody has written: no mixture of two contents, and no part of one.

DRAY_CAMPAIGN=full is 1,000 files for ten minutes, once for each build; DRAY_SEED=N takes the writers' and the faults' random numbers from N, and not what time makes
of them.
"""
import ctypes
import itertools
import os
import pathlib
import random
import threading
import time

import pytest

from agents import Agent, in_step, status
from devices import BIN, Device, assert_same
from events_proxy import EventsProxy
from ledger import Ledger
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
FILES, SECONDS = (1000, int(os.environ.get("DRAY_SOAK_S", "600"))) if FULL else (60, 4)
PAUSE = 0.1 if FULL else 0.02  # seconds between two edits of a device, at most twice
BETWEEN = 3 if FULL else 0.3   # seconds between two things that go wrong, likewise
PATIENCE = 900 if FULL else 120  # seconds until it is quiet
DELETES = 40                   # of a device: more than MASS_DELETE_MIN would be held, as they should
NOREPLACE, EXCHANGE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def rename(old, new, how):
    """renameat2: whether it was done."""
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), how) == 0:
        return True
    assert ctypes.get_errno() in (2, 17), os.strerror(ctypes.get_errno())  # ENOENT, EEXIST: the device's agent was there first
    return False


class Writer:
    """Who edits a device's files: writes new contents, and deletes a few."""

    def __init__(self, device, desk, seed):
        self.device, self.desk, self.rng = device, pathlib.Path(desk), random.Random(seed)
        self.written, self.replaced, self.deletes, self.error = {}, set(), 0, None
        self.count = itertools.count()
        self.desk.mkdir()

    def content(self):
        n = next(self.count)
        data = f"{self.device.name} {n}\n".encode() * self.rng.choice([1, 1, 1, 40, 9000])
        self.written[data] = f"{self.device.name}'s {n}"
        return data

    def path(self):
        return self.device.path(*name_of(self.rng.randrange(FILES)))

    def write(self):
        """As editors save: a new file, with which the old one changes places."""
        new, path = self.desk / "new", self.path()
        new.write_bytes(self.content())
        while True:
            if rename(new, path, EXCHANGE):
                self.replaced.add(new.read_bytes())
                return
            if rename(new, path, NOREPLACE):
                return

    def delete(self):
        if self.deletes < DELETES and rename(self.path(), self.desk / "old", NOREPLACE):
            self.deletes += 1
            self.replaced.add((self.desk / "old").read_bytes())
            (self.desk / "old").unlink()

    def run(self, done):
        try:
            while not done.wait(self.rng.random() * 2 * PAUSE):
                self.delete() if self.rng.random() < 0.02 else self.write()
        except BaseException as e:
            self.error = e
            raise


def name_of(i):
    return f"d{i % 20}", f"file{i}"


class Wire(EventsProxy):
    """A device's line, event stream and all; nobody comes through while it is cut."""
    off = False

    def connect(self, client):
        client.close() if self.off else super().connect(client)


class Three:
    """Three devices behind lines of their own, an agent and a writer each."""

    def __init__(self, server, folder, seed, fault=""):
        self.server, self.rng = server, random.Random(seed)
        self.wires = [Wire(server) for _ in range(3)]
        for wire in self.wires:
            wire.__enter__()
        self.agents = []
        try:
            self.project = server.project(f"three {folder.name}")
            self.devices = [Device(w, self.project, folder / n, n) for w, n in zip(self.wires, "abc")]
            self.writers = [Writer(d, folder / f"desk {d.name}", self.rng.random()) for d in self.devices]
            for i in range(FILES):
                self.devices[0].write("/".join(name_of(i)), self.writers[0].content())
            for d in self.devices:
                self.agents.append(Agent(d, log=folder / f"{d.name}.log", fault=fault))
            self.quiet()
        except BaseException:
            self.close()
            raise

    def close(self):
        for agent in self.agents:
            agent.kill()
        for wire in self.wires:
            wire.__exit__(None, None, None)

    # what goes wrong ------------------------------------------------------------------------------------------------------------------------

    def kill_agent(self):
        agent = self.rng.choice(self.agents)
        agent.kill()
        agent.start(wait=False)

    def kill_server(self):
        self.server.kill()
        self.server.start()

    def cut(self):
        wire = self.rng.choice(self.wires)
        wire.off = True
        wire.cut()

    def heal(self):
        for wire in self.wires:
            wire.off = False

    def cut_once(self):
        self.rng.choice(self.wires).cut()

    # and then ---------------------------------------------------------------------------------------------------------------------------------

    def trouble(self, seconds):
        """All edit, and things go wrong; {what: how often}.  Each of them happens at least once, however short it is."""
        kinds = ["kill_agent", "kill_server", "cut", "heal", "cut_once"]
        happened, done = dict.fromkeys(kinds, 0), threading.Event()
        threads = [threading.Thread(target=w.run, args=(done,)) for w in self.writers]
        for t in threads:
            t.start()
        end = time.monotonic() + seconds
        try:
            for kind in itertools.chain(kinds, iter(lambda: self.rng.choice(kinds), None)):
                if time.monotonic() > end and all(happened.values()):
                    break
                getattr(self, kind)()
                happened[kind] += 1
                time.sleep(self.rng.random() * 2 * BETWEEN)  # not a wait: what happens meanwhile is the test
        finally:
            done.set()
            for t in threads:
                t.join()
        assert not any(w.error for w in self.writers), [w.error for w in self.writers]
        return happened

    def one(self):
        """All agents say so, the trees are the same, and so are the digests, the server's among them."""
        if not all(map(in_step, self.devices)):
            return False
        try:
            first, *others = [d.tree() for d in self.devices]
        except FileNotFoundError:  # while it is being changed
            return False
        return all(t == first for t in others) and {d.status()["digest"] for d in self.devices} == {self.digest()}

    def digest(self):
        return self.server.api(self.server.owner_token).ok("GET", f"/projects/{self.project}")["digest"]

    def quiet(self):
        self.heal()
        try:
            wait_for(self.one, seconds=PATIENCE)
        except AssertionError:
            for d, agent in zip(self.devices, self.agents):
                print(status(d), d.status()["digest"], agent.said()[-3000:])
            for d in self.devices[1:]:
                assert_same(self.devices[0].tree(), d.tree())
            raise
        return self.devices[0].tree()

    def account(self):
        """What all have must be what all have written, less what they have replaced.  Returns how many conflict copies there are."""
        tree = self.quiet()
        written = {data: who for w in self.writers for data, who in w.written.items()}
        replaced = set().union(*(w.replaced for w in self.writers))
        there = {self.devices[0].path(os.fsdecode(p)).read_bytes() for p, (kind, *_) in tree.items() if kind == "file"}
        foreign = [data[:60] for data in there | replaced if data not in written]
        assert not foreign, f"nobody has written {foreign[:10]}"
        lost = [who for data, who in written.items() if data not in there and data not in replaced]
        assert not lost, f"{len(lost)} of {len(written)} lost: {lost[:20]}"
        return sum(b"(conflict" in p for p in tree)


def run(server, folder, seed, seconds, fault=""):
    folder.mkdir()
    three = Three(server, folder, seed, fault)
    try:
        happened = three.trouble(seconds)
        conflicts = three.account()
        for agent in three.agents:
            agent.stop()
    finally:
        three.close()
    return dict(happened, writes=sum(len(w.written) for w in three.writers), conflicts=conflicts)


def test_nothing_is_lost(own_server, tmp_path):
    ledger = Ledger("three", BIN)
    if FULL and "DRAY_SEED" not in os.environ and ledger.rows(failed=False, files=FILES):
        return
    seed = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(2**32) if FULL else 1))
    start, why, told = time.monotonic(), "", {}
    try:
        told = run(own_server, tmp_path / "three", seed, SECONDS)
    except AssertionError as e:
        why = str(e)[:2000] or "an assertion without a word"
        raise
    finally:
        if FULL:
            ledger.add(seed=seed, files=FILES, seconds=round(time.monotonic() - start), failed=bool(why), why=why, happened=told)
    print(f"seed {seed}: {told}")
    assert told["conflicts"], "nobody has got in another's way"


@pytest.mark.mutant
def test_a_lost_value_is_noticed(own_server, tmp_path):
    with pytest.raises(AssertionError, match="lost: "):
        run(own_server, tmp_path / "three", 1, 4, "client.no_conflict_copy")
