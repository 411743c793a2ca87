"""
SIGKILL before and after each call by which the server, or a device, changes a file, a name, or what the other has been told: at the first such call of
a piece of work, at the second, and so on to the last (kill_at.c counts them over all threads).  After each: what was acknowledged is there to the
byte, fsck finds nothing, what was not acknowledged is asked again and has the effect of one; a device's next sync completes, both
trees are one, there is no conflict without a cause and nothing in .dray/tmp.

In `make test` some calls of most pieces of work, chosen by DRAY_SEED; with DRAY_CAMPAIGN=full all of them, by the release build where there is one,
DRAY_ROUNDS times with other contents; what the ledger has of the same programs is not done again.
"""
import hashlib
import json
import mmap
import os
import pathlib
import random
import shutil
import struct
import subprocess

import pytest

import engine
from api import Chunk, Project, packed
from conftest import TROUBLE, Drayd
from devices import BIN, Device, assert_same, tree_of
from ledger import Ledger
from test_40_kill import bodies, clean, copies, state_is_sound
from test_44_power import but_directory_times
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", 1 if FULL else random.SystemRandom().randrange(1 << 30)))
ROUNDS = int(os.environ.get("DRAY_ROUNDS", 1))
KILLS = int(os.environ.get("DRAY_KILLS", 3))  # of each piece of work, in `make test`
RELEASE = BIN.parent / "release"
PROGRAMS = RELEASE if FULL and (RELEASE / "drayd").exists() else BIN
SCENE_TRIALS = 60  # then a new server, whose history and trash are short again
MIB = 1 << 20


# ---- the killer ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def killer(tmp_path_factory):
    """The library, made of kill_at.c."""
    made = tmp_path_factory.mktemp("killer") / "kill_at.so"
    source = pathlib.Path(__file__).with_name("kill_at.c")
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu2x", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o", made],
                   check=True)
    return made


class Board:
    """What the library is told, and tells: struct board of kill_at.c."""

    CALLS_MAX, NAME_LEN = 65536, 16

    def __init__(self, killer, path):
        size = 16 + self.CALLS_MAX * self.NAME_LEN
        with path.open("wb") as f:
            f.truncate(size)
        with path.open("r+b") as f:
            self.map = mmap.mmap(f.fileno(), size)
        self.env = {"KILL_AT": str(path), "LD_PRELOAD": str(killer), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}

    def clear(self, kill_at=0, after=False):
        """For a program that is about to start."""
        self.map[:16] = struct.pack("<IIII", 0, kill_at, after, 0)

    def arm(self, k, after):
        """The ${k}-th call from now on, of a program that does nothing at the moment."""
        self.map[8:12] = struct.pack("<I", after)
        self.map[4:8] = struct.pack("<I", self.count + k if k else 0)

    @property
    def count(self):
        return struct.unpack_from("<I", self.map, 0)[0]

    @property
    def killed(self):
        return bool(struct.unpack_from("<I", self.map, 12)[0])

    @property
    def call(self):
        """The name of the call that it was killed at."""
        at = 16 + self.NAME_LEN * struct.unpack_from("<I", self.map, 4)[0]
        return self.map[at:at + self.NAME_LEN].rstrip(b"\0").decode()


# ---- the campaign ----------------------------------------------------------------------------------------------------------------


class Campaign:
    """Trials of one piece of work: every call of it, before and after; or a few."""

    def __init__(self, what, kind, folder, killer, programs):
        self.what, self.kind, self.folder, self.killer = what, kind, folder, killer
        self.ledger = Ledger("syscalls-" + what.split()[0], PROGRAMS, programs)
        self.scene, self.trials = None, 0

    def run(self):
        print("DRAY_SEED", SEED)
        try:
            self.every_call() if FULL else self.some_calls()
        except BaseException:
            if self.scene:
                self.scene.drayd.kill()
            raise
        if self.scene:
            self.scene.close()

    def trial(self, k, after, round=0):
        if self.trials % SCENE_TRIALS == 0:
            if self.scene:
                self.scene.close()
            self.scene = self.kind(self.folder / f"{self.trials}", self.killer)
        self.trials += 1
        rng = random.Random(f"{SEED} {self.what} {round} {k} {after}")
        print(f"{'after' if after else 'before'} call {k}")  # of the last one, should it fail
        killed, call = self.scene.trial(k, after, rng, self.trials - 1)
        assert self.scene.counted, "nothing is counted: the library is not loaded"
        if FULL:
            self.ledger.add(what=self.what, k=k, after=after, round=round, seed=SEED, killed=killed, call=call)
        return killed, call

    def some_calls(self):
        """One run to count them, which is not killed, and a few that are."""
        rng = random.Random(f"{SEED} {self.what}")
        assert self.trial(0, False) == (False, "")
        count = self.scene.counted
        places = [(k, after) for k in range(1, count + 1) for after in (False, True)]
        calls = [self.trial(k, after) for k, after in rng.sample(places, KILLS)]  # no place twice: it would bring the same contents
        print(f"{count} calls; killed at", [call for killed, call in calls if killed])
        assert any(killed for killed, _ in calls)

    def every_call(self):
        """On and on until one does not kill.  With a stride, each round takes other calls."""
        done = {(r["round"], r["after"], r["k"]): r["killed"] for r in self.ledger.rows(what=self.what)}
        for round in range(ROUNDS * self.kind.rounds):
            for after in (False, True):
                k, killed = 1 + round % self.kind.stride, True
                while killed:
                    killed = done.get((round, after, k))
                    if killed is None:
                        killed, _ = self.trial(k, after, round)
                    k += self.kind.stride
        rows = self.ledger.rows(what=self.what)
        print(f"{self.what}: {sum(r['killed'] for r in rows)} kills at {len({r['call'] for r in rows if r['killed']})} kinds of calls")


# ---- the server ------------------------------------------------------------------------------------------------------------------


class Gone(Exception):
    """The server does not answer any more."""


class Work:
    """What one trial asks of the server, step by step.  A step whose answer did not come is asked again as it was."""

    def __init__(self, scene, rng, n):
        self.scene, self.n, self.rng = scene, n, rng
        self.done, self.again = 0, False
        self.maybe = {}   # {path: bytes, None: gone}: what the step under way makes
        self.chunks = {}  # acknowledged, and promised to stay
        self.small, self.other, self.lone = self.chunk(3), self.chunk(1), self.chunk(1)
        self.sparse, self.large = self.chunk(6), [self.chunk(2), self.chunk(2)]
        self.plain = rng.randbytes(3000)

    def chunk(self, blocks):
        return Chunk(*(self.rng.randbytes(self.rng.randint(100, 3000)) for _ in range(blocks)))

    # ---- asking ----

    def ask(self, method, path, body=None, status=200, owner=False, key=None, **more):
        api = self.scene.owner if owner else self.scene.api
        headers = {"Idempotency-Key": f"{self.n}-{key}".replace(" ", "-")} if key else None
        try:
            answer = api.call(method, path if owner else self.scene.base + path, body, headers=headers, **more)
        except Exception as e:  # noqa: B902: whatever a dying server does to a connection
            raise Gone from e
        assert answer.status in (status if isinstance(status, tuple) else (status,)), (method, path, answer)
        return answer.json if answer.body else None

    def commit(self, key, ops, makes, **more):
        """Operations, each of which must be done; ${makes}: what that leaves under their names."""
        self.maybe = makes
        results = self.ask("POST", "/commits", {"operations": ops}, key=key)["results"]
        assert all(r["status"] == "ok" for r in results), results
        for path, data in makes.items():
            self.scene.is_now(path, data)
        for op, r in zip(ops, results):
            if makes.get(op.get("path")) is not None:
                self.scene.versions[op["path"]] = r["id"], r["version"]
        self.maybe = {}
        return results

    def put(self, path, blocks, extents, **more):
        data = b"".join(blocks)
        content = hashlib.sha256(b"".join(hashlib.sha256(b).digest() + struct.pack("<I", len(b)) for b in blocks)).hexdigest()
        op = {"op": "put", "path": path, "kind": "file", "size": len(data), "content_hash": content, "extents": extents, **more}
        if path in self.scene.versions:
            op["base"] = self.scene.versions[path][1]
        return op, data

    def send(self, transfer, n, chunk):
        self.ask("PUT", f"/transfers/{transfer}/chunks/{n}", chunk.data)
        self.chunks[chunk.id] = chunk.data

    # ---- steps ----

    def begin(self):
        self.transfer = self.ask("POST", "/transfers", {}, 201, key="begin")["id"]

    def send_small(self):
        self.send(self.transfer, 0, self.small)

    def send_other(self):
        self.send(self.transfer, 1, self.other)

    def send_again(self):
        """A duplicate, which is acknowledged as well."""
        self.send(self.transfer, 2, self.small)

    def send_lone(self):
        """It will be of no file."""
        self.send(self.transfer, 3, self.lone)

    def commit_two(self):
        a, whole = self.put("a", self.small.blocks, [{"chunk": self.small.id, "first": 0, "count": 3}])
        b, other = self.put("b", self.other.blocks, [{"chunk": self.other.id, "first": 0, "count": 1}])
        self.commit("two", [a, b], {"a": whole, "b": other})
        self.scene.commits_of_a += 1

    def commit_part(self):
        """One block of six: what is collected rewrites the chunk."""
        self.send(self.transfer, 4, self.sparse)
        op, data = self.put("part", self.sparse.blocks[2:3], [{"chunk": self.sparse.id, "first": 2, "count": 1}])
        self.commit("part", [op], {"part": data})

    def move(self):
        id, version = self.scene.versions["b"]
        self.maybe = {"b": None, "moved": self.scene.files["b"]}
        moved = self.commit("move", [{"op": "move", "id": id, "base": version, "path": "moved"}], self.maybe)
        self.scene.versions["moved"] = id, moved[0]["version"]

    def delete(self):
        id, version = self.scene.versions["moved"]
        self.commit("delete", [{"op": "delete", "id": id, "base": version}], {"moved": None})

    def put_plain(self):
        """As curl does; and the same bytes under another name."""
        for path in ("plain", "copy"):
            self.maybe = {path: self.plain}
            self.ask("PUT", f"/content/{path}", self.plain, (200, 201))
            self.scene.is_now(path, self.plain)
        self.maybe = {}

    def send_large(self):
        """A transfer of its own, with a list of blocks in a page."""
        blocks = [b for c in self.large for b in c.blocks]
        op, data = self.put("large", blocks, None)
        self.own = self.ask("POST", "/transfers", {"path": "large", "size": len(data)}, 201, key="large")["id"]
        for i, chunk in enumerate(self.large):
            self.send(self.own, i, chunk)
        pages = [packed(c) for c in self.large]
        runs = b"".join(p[16:56] for p in pages)
        rows = b"".join(p[56:] for p in pages)
        self.ask("PUT", f"/transfers/{self.own}/blocks?from=0", b"DRAYBLK1" + struct.pack("<II", len(blocks), len(self.large)) + runs + rows, 204)
        self.large_op = {k: v for k, v in op.items() if k != "extents"}, data

    def commit_large(self):
        op, data = self.large_op
        self.commit("commit large", [{**op, "transfer": self.own}], {"large": data})

    def give_up(self):
        self.chunks.clear()
        self.ask("DELETE", f"/transfers/{self.transfer}", status=(204, 404, 410) if self.again else 204)

    def short_project(self):
        """One that goes again, with its chunks."""
        id = self.ask("POST", "/projects", {"name": f"short {self.n}"}, 201, owner=True, key="short")["id"]
        self.ask("PUT", f"/projects/{id}/content/x", self.plain, (200, 201, 404) if self.again else 201, owner=True)
        self.ask("DELETE", f"/projects/{id}", status=(204, 404) if self.again else 204, owner=True)

    def collect(self):
        done = self.ask("POST", "/gc", owner=True)
        while done["running"]:
            done = self.ask("POST", f"/gc?run={done['run']}", owner=True)
        assert not done["failed"]

    def steps(self):
        return [self.begin, self.send_small, self.send_other, self.commit_two, self.send_again, self.send_lone, self.commit_part, self.move,
                self.delete, self.put_plain, self.send_large, self.commit_large, self.give_up, self.short_project, self.collect, self.collect]

    def run(self):
        """On from where it was; False when the server went away."""
        steps = self.steps()
        while self.done < len(steps):
            try:
                steps[self.done]()
            except Gone:
                self.again = True
                return False
            self.done, self.again = self.done + 1, False
        return True


class Server:
    """A server that is killed, and what it has acknowledged."""

    rounds = stride = 1
    EAGER = ("--gc-interval", "0", "--gc-grace", "0", "--workers", "2")

    def __init__(self, folder, killer):
        folder.mkdir()
        self.folder, self.board = folder, Board(killer, folder / "board")
        self.drayd = Drayd(folder, PROGRAMS)
        project = self.drayd.project("killed")
        self.token, self.base = self.drayd.device(project, "x"), f"/projects/{project}"
        self.files, self.versions, self.commits_of_a = {}, {}, 0
        self.drayd.stop()
        self.start()

    def close(self):
        self.drayd.stop()
        self.fsck()
        shutil.rmtree(self.folder)

    def start(self):
        self.board.clear()
        self.drayd.start(*self.EAGER, env=self.board.env)
        self.api, self.owner = (self.drayd.api(t) for t in (self.token, self.drayd.owner_token))

    def is_now(self, path, data):
        if data is None:
            self.files.pop(path, None)
            self.versions.pop(path, None)
        else:
            self.files[path] = data

    def ended(self):
        """Wait for the death that the board tells of."""
        assert self.drayd.proc.wait(timeout=60) == -9 and self.board.killed, self.drayd.said()
        assert not TROUBLE.search(self.drayd.said()), self.drayd.said()
        return True, self.board.call

    def fsck(self):
        run = subprocess.run([PROGRAMS / "drayd", "fsck", "--json", "--data", self.drayd.data], capture_output=True, text=True,
                             env={**os.environ, **self.drayd.env}, timeout=300)
        assert run.returncode == 0 and json.loads(run.stdout)["finding_count"] == 0, run.stdout + run.stderr

    def check(self, work=None):
        """Everything that was acknowledged, and nothing else but what ${work} had asked and got no answer to."""
        maybe, chunks = (work.maybe, work.chunks) if work else ({}, {})
        changes = self.api.ok("GET", f"{self.base}/files/changes?limit=1000")
        there = {f["path"] for f in changes["added"] + changes["modified"]}
        assert there | {p for p, data in maybe.items()} == {*self.files, *maybe} and there >= self.files.keys() - maybe.keys(), (there, maybe)
        for path in there:
            body = self.api.get(f"{self.base}/content/{path}").body
            assert body in (self.files.get(path), maybe.get(path)), f"{path} holds what nobody sent"
        for path, data in maybe.items():
            assert path in there or data is None or path not in self.files, f"{path} is gone"
        for id, data in chunks.items():
            answer = self.api.get(f"{self.base}/chunks/{id}")
            assert answer.status == 200 and answer.body == data, f"chunk {id} was acknowledged"

    def count_versions(self):
        if self.commits_of_a:
            id = self.versions["a"][0]
            listed = self.api.ok("GET", f"{self.base}/files/{id}/versions?limit=1000")["versions"]
            assert len(listed) == self.commits_of_a, "a commit that was asked twice was done twice"

    def trial(self, k, after, rng, n):
        """Killed at call ${k} of a piece of work.  Whether it was, and at which call."""
        work = Work(self, rng, n)
        before = self.board.count
        self.board.arm(k, after)
        finished = work.run()
        self.counted = self.board.count - before
        if finished and not self.board.killed:
            self.board.arm(0, False)
            self.check()
            self.count_versions()
            return False, ""
        how = self.ended()
        self.fsck()
        self.start()
        self.check(work)
        assert work.run(), "the server is gone again"
        self.check()
        self.count_versions()
        return how


def try_to_start(scene, k, after):
    """A start that is killed; True when it was not."""
    scene.board.clear(k, after)
    (scene.drayd.data / "server.json").unlink(missing_ok=True)
    with scene.drayd.log.open("ab") as log:
        proc = subprocess.Popen([PROGRAMS / "drayd", "serve", "--data", scene.drayd.data, "--listen", "127.0.0.1:0", *Server.EAGER],
                                env={**os.environ, **scene.drayd.env, **scene.board.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(lambda: proc.poll() is not None or (scene.drayd.data / "server.json").exists() or scene.board.killed, scene.drayd.said)
    up = not scene.board.killed
    scene.counted = scene.board.count
    if up:
        proc.kill()
    assert proc.wait(timeout=60) == -9, scene.drayd.said()
    return up


class Restarted(Server):
    """Killed in the start after a kill: a short piece of work, after another kill in each round."""

    rounds = 5

    def trial(self, k, after, rng, n):
        work = Work(self, rng, n)
        self.board.arm(rng.randrange(1, 300), rng.random() < 0.5)
        if work.run():
            self.drayd.kill()
        else:
            self.ended()
        up = try_to_start(self, k, after)
        how = (False, "") if up else (True, self.board.call)
        self.fsck()
        self.start()
        self.check(work)
        assert work.run()
        self.check()
        self.count_versions()
        return how


class Unstarted(Drayd):
    """A data directory that there is not yet; the first start() is of the constructor."""

    begun = False

    def start(self, *args, **more):
        if self.begun:
            super().start(*args, **more)
        self.begun = True


class First:
    """Killed in the very first start, which makes the data directory; most of its calls make one of 256 directories."""

    rounds, stride = 1, 7

    def __init__(self, folder, killer):
        folder.mkdir()
        self.folder, self.killer = folder, killer

    def close(self):
        shutil.rmtree(self.folder)

    def trial(self, k, after, rng, n):
        here = self.folder / f"{n}"
        here.mkdir()
        self.board, self.drayd = Board(self.killer, here / "board"), Unstarted(here, PROGRAMS)
        up = try_to_start(self, k, after)
        self.drayd.start()
        owner = self.drayd.api(self.drayd.owner_token)
        project = Project.create(self.drayd, owner, "first")
        project.put("x", data := rng.randbytes(1000))
        assert project.call("GET", "/content/x").body == data
        self.drayd.stop()
        Server.fsck(self)
        shutil.rmtree(here)
        return (False, "") if up else (True, self.board.call)


@pytest.mark.skipif(engine.NAME != "sqlite", reason="the database's calls count too, so it must be one in the process")
@pytest.mark.parametrize("what, kind", [("server works", Server), ("server starts again", Restarted), ("server starts first", First)],
                         ids=["works", "starts-again", "starts-first"])
def test_server_killed_at_a_call(tmp_path, killer, what, kind):
    Campaign(what, kind, tmp_path, killer, ["drayd"]).run()


# ---- the device ------------------------------------------------------------------------------------------------------------------


def compressible(rng, size):
    """Blocks that differ from each other, and pack to a few bytes."""
    return b"".join(rng.randbytes(16) * 4096 for _ in range(size // 65536)) + b"tail"


def edit(device, rng, n):
    """A new file, changed ones, one that is gone, names that change places, a link, modes, times; and the same again in the next trial."""
    at = device.folder
    device.write(f"new {n}", rng.randbytes(3000))
    device.write("text", rng.randbytes(5000))
    device.write("dir/deep/changed", rng.randbytes(100_000))
    (at / "empty").write_bytes(b"" if n % 2 else b"not")
    for old in at.glob("gone*"):
        old.unlink()
    for old in sorted(at.glob("new *")):
        if old.name != f"new {n}":
            old.rename(at / f"gone {n}" if rng.random() < 0.5 else at / f"dir/kept {n}")
    for old in (at / "dir").glob("kept*"):
        if old.name != f"kept {n}":
            old.unlink()
    for old in at.glob("place*"):
        old.rename(at / f"place {n}")
    (at / "place" if not list(at.glob("place*")) else at / f"place {n}").mkdir(exist_ok=True)
    next(at.glob("place*")).joinpath(f"in it {n % 3}").write_bytes(rng.randbytes(500))
    (at / "link").unlink(missing_ok=True)
    os.symlink(f"to {n}", at / "link")
    (at / "text").chmod(0o600 + 0o44 * (n % 2))
    os.utime(at / "dir/deep", ns=(0, 1_500_000_000_000_000_000 + n))


def edit_large(device, rng, n):
    """With a transfer of its own (16 MiB and more): all new, or some blocks and an insertion."""
    path = device.path("large")
    if n % 3 == 0 or not path.exists():
        device.write("large", compressible(rng, 17 * MIB))
        return
    data = bytearray(path.read_bytes())
    for _ in range(5):
        at = rng.randrange(len(data) // 65536) * 65536
        data[at:at + 65536] = rng.randbytes(8) * 8192
    data[MIB:MIB] = b"inserted"
    path.write_bytes(data)


class Devices:
    """Two devices of one project; ``a`` is killed."""

    rounds = stride = 1
    how = staticmethod(edit)

    def __init__(self, folder, killer):
        folder.mkdir()
        self.folder, self.board = folder, Board(killer, folder / "board")
        self.drayd = Drayd(folder, PROGRAMS)
        project = self.drayd.project("killed")
        self.a, self.b = (Device(self.drayd, project, folder / name, name, bin=PROGRAMS) for name in "ab")
        self.a.sync()
        self.b.sync()
        self.copies = set()

    def close(self):
        self.drayd.stop()
        Server.fsck(self)
        for device in (self.a, self.b):
            run = device.dray("fsck", device.folder)
            assert run.returncode == 0, run.stdout + run.stderr
        shutil.rmtree(self.folder)

    def killed_sync(self, k, after):
        self.board.clear(k, after)
        run = self.a.start("--allow-mass-delete", env={**os.environ, **self.board.env})
        _, err = run.communicate(timeout=120)
        assert run.returncode in (0, 3, -9) and (run.returncode == -9) == self.board.killed, (run.returncode, err)
        assert not TROUBLE.search(err), err
        self.counted = self.board.count
        return (True, self.board.call) if self.board.killed else (False, "")

    def before(self, rng, n):
        """What the sync that is killed has to do; the device whose tree both must have in the end, or None."""
        raise NotImplementedError

    def copies_due(self):
        """Conflict copies that there is a cause for."""
        return 0

    def trial(self, k, after, rng, n):
        author = self.before(rng, n)
        due = author and author.tree()
        written = {*bodies(self.a.tree()).values(), *bodies(self.b.tree()).values()}
        how = self.killed_sync(k, after)
        state_is_sound(self.a)
        for path, body in bodies(self.a.tree()).items():
            assert body in written, f"{path!r} holds what nobody wrote: {body}"
        self.meanwhile(rng, n, due)
        self.a.sync_any("--allow-mass-delete")
        clean(self.a)
        self.b.sync_any("--allow-mass-delete")
        tree = self.a.tree()
        assert_same(tree, self.b.tree())
        if author:
            assert_same(self.compared(due), self.compared(tree))
        made = copies(tree) - self.copies
        assert len(made) == self.copies_due(), f"conflict copies: {made}, killed at {how}"
        self.copies = copies(tree)
        self.a.quiet()
        self.settled(tree)
        return how

    def settled(self, tree):
        pass

    def meanwhile(self, rng, n, due):
        """What happens before it syncs again, and what that makes of the tree that both must have."""

    def compared(self, tree):
        return tree


class Up(Devices):
    def before(self, rng, n):
        self.how(self.a, rng, n)
        return self.a


class Down(Devices):
    def before(self, rng, n):
        self.how(self.b, rng, n)
        self.b.sync("--allow-mass-delete")
        return self.b

    def compared(self, tree):
        return but_directory_times(tree)


class GoesOn:
    """Before the killed one syncs again, the other edits what it has from it, or what that has already: nobody's edit is in conflict with that."""

    def meanwhile(self, rng, n, due):
        self.b.sync("--allow-mass-delete")
        here, there = bodies(self.a.tree()), bodies(self.b.tree())
        same = [p for p in (b"text", b"dir/deep/changed", b"new %d" % n) if p in there and here.get(p) == there[p]]
        for path in same:
            self.b.write(os.fsdecode(path), rng.randbytes(1000))
        self.b.sync("--allow-mass-delete")
        due.update({p: entry for p, entry in self.b.tree().items() if p in same})

    def compared(self, tree):
        return but_directory_times(tree)


class UpGoesOn(GoesOn, Up):
    pass


class DownGoesOn(GoesOn, Down):
    pass


class UpLarge(Up):
    how = staticmethod(edit_large)


class DownLarge(Down):
    """Most of its calls write a block."""

    how = staticmethod(edit_large)
    stride = 3


class Conflict(Devices):
    """Both have edited two files; the other one had sent it first."""

    def before(self, rng, n):
        for device in (self.b, self.a):
            for name in ("text", "dir/other"):
                device.write(name, rng.randbytes(2000))
        self.both = [self.a.path("text").read_bytes(), self.a.path("dir/other").read_bytes()]
        self.b.sync("--allow-mass-delete") if n else self.b.sync_any()

    def copies_due(self):
        return 2

    def settled(self, tree):
        digests = {what[4] for what in tree.values()}
        assert {hashlib.sha256(data).hexdigest() for data in self.both} <= digests, "an edit is lost"
        for path in [*self.a.folder.glob("*(conflict*"), *self.a.folder.glob("dir/*(conflict*")]:
            path.unlink()
        self.a.sync_any("--allow-mass-delete")
        self.b.sync_any("--allow-mass-delete")
        self.copies = set()


class Linked(Devices):
    """A folder that has something is linked, and killed in that; then linked, or linked already."""

    def trial(self, k, after, rng, n):
        folder = self.folder / f"linked {n}"
        folder.mkdir()
        (folder / f"mine {n}").write_bytes(data := rng.randbytes(1000))
        token = self.drayd.device(self.project_id(), f"linked {n}")
        command = [PROGRAMS / "dray", "link", self.drayd.url, "--project", self.project_id(), folder]
        self.board.clear(k, after)
        first = subprocess.run(command, env={**os.environ, **self.board.env, "DRAY_TOKEN": token}, capture_output=True, text=True, timeout=120)
        assert first.returncode == (-9 if self.board.killed else 0), first.stderr
        self.counted = self.board.count
        how = (True, self.board.call) if self.board.killed else (False, "")
        again = subprocess.run(command, env={**os.environ, "DRAY_TOKEN": token}, capture_output=True, text=True, timeout=120)
        assert again.returncode == 0 or "linked already" in again.stderr, again.stderr
        run = subprocess.run([PROGRAMS / "dray", "sync", folder], capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
        assert (folder / f"mine {n}").read_bytes() == data
        self.b.sync()
        assert_same(tree_of(folder), self.b.tree())
        shutil.rmtree(folder)
        return how

    def project_id(self):
        return self.drayd.api(self.drayd.owner_token).ok("GET", "/projects")["projects"][0]["id"]


LONG = pytest.mark.skipif(not FULL, reason="of the full campaign; what it would find in a few trials is of others too")


@pytest.mark.parametrize("what, kind", [
    pytest.param("device sends", Up, id="sends", marks=LONG),
    pytest.param("device fetches", Down, id="fetches", marks=LONG),
    pytest.param("device sends, the other goes on", UpGoesOn, id="sends-goes-on"),
    pytest.param("device fetches, the other goes on", DownGoesOn, id="fetches-goes-on"),
    pytest.param("device sends large", UpLarge, id="sends-large", marks=LONG),
    pytest.param("device fetches large", DownLarge, id="fetches-large", marks=LONG),
    pytest.param("device conflicts", Conflict, id="conflicts"),
    pytest.param("device links", Linked, id="links", marks=LONG)])
def test_device_killed_at_a_call(tmp_path, killer, what, kind):
    Campaign(what, kind, tmp_path, killer, ["drayd", "dray"]).run()
