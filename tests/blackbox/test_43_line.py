"""
A large file over a bad line, both ways: connections that are cut at any byte, lie still or trickle, bits that flip, answers that are
lost or are another's.  Whatever happens, no wrong byte is installed or committed, and when the line has healed, a sync completes.

DRAY_SEED repeats a run; DRAY_CAMPAIGN=full makes it long.
"""
import hashlib
import json
import os
import random
import threading

import pytest

from audit import audit
from devices import Device, assert_same, settle
from proxy import Fault, Proxy

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
ROUNDS = 40 if FULL else 1
MIB = 1 << 20
SIZE = (24 if FULL else 14) * MIB + 12_345
SYNCS_MAX = 40  # in bad weather, before it heals


KINDS = ["cut", "reset", "pause", "trickle", "flip", "lost", "answer", "stall"]


class Weather:
    """Decides what goes wrong: most requests with bulk have something, each kind in its turn, others now and then."""

    def __init__(self, seed, stalls):
        self.rng = random.Random(seed)
        self.stalls = stalls  # each costs the client half a minute of patience
        self.deck = []
        self.calm = False

    def kind(self):
        if not self.deck:
            self.deck = self.rng.sample(KINDS, len(KINDS))
        kind = self.deck.pop()
        if kind == "stall":
            self.stalls -= 1
        return "reset" if kind == "stall" and self.stalls < 0 else kind

    def __call__(self, request):
        rng = self.rng
        if request.target.endswith("/progress"):
            return None  # how often a device tells where it is depends on the time that it takes
        if self.calm or rng.random() > (0.6 if request.bulk else 0.08):
            return None
        kind = self.kind() if request.bulk else rng.choice(["cut", "reset", "lost", "answer"])
        side = request.bulk if kind == "flip" else rng.choice(["up", "down"])
        size = request.length if side == "up" else 4 * MIB if request.resource == "chunk down" else 300
        at = rng.randrange(max(1, size)) if kind == "flip" else rng.randrange(size + 500)
        return Fault(kind, side, at, seconds=rng.uniform(0, 1), status=rng.choice([429, 503]), retry_after=rng.choice([0, 1]))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def sha_of_file(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sync_until_done(device, weather, allowed):
    """Sync through the weather, again and again; what lies under a file's name is always one of ${allowed}."""
    for n in range(SYNCS_MAX):
        weather.calm = n == SYNCS_MAX - 1
        run = device.dray("sync", "--quiet", device.folder)
        for name, shas in allowed.items():
            path = device.path(name)
            assert not path.exists() or sha_of_file(path) in shas, f"{name} holds what nobody wrote"
        assert run.returncode in (0, 1, 3), run.stderr
        if run.returncode == 0:
            return n + 1
    raise AssertionError(f"{device.name} does not complete on a healed line: {run.stderr}")


def both(*jobs):
    """Run them at once; the first that failed is the test's failure."""
    failed = []

    def run(job):
        try:
            job()
        except BaseException as e:  # noqa: B902: handed on below
            failed.append(e)

    threads = [threading.Thread(target=run, args=(j,)) for j in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]


def edited(rng, data):
    """Scattered blocks overwritten, and a few bytes inserted in the middle."""
    data = bytearray(data)
    for _ in range(12):
        at = rng.randrange(len(data) - 70_000)
        data[at:at + 3000] = rng.randbytes(3000)
    middle = rng.randrange(len(data))
    data[middle:middle] = rng.randbytes(1000)
    return bytes(data)


@pytest.mark.parametrize("n", range(ROUNDS))
def test_bad_line(server, tmp_path, n):
    """One device sends while another fetches, each over a bad line of its own."""
    seed = SEED + n
    print("DRAY_SEED", seed)
    rng = random.Random(seed)
    project = server.project(f"line {n}")
    stalls = 1
    up, down = Weather(seed * 2, stalls), Weather(seed * 2 + 1, stalls)
    first, second = rng.randbytes(SIZE), rng.randbytes(SIZE)
    with Proxy(server, up) as line_up, Proxy(server, down) as line_down:
        up.calm = down.calm = True
        c = Device(server, project, tmp_path / "c", "c")  # over no proxy: what is fetched comes from here
        a = Device(line_up, project, tmp_path / "a", "a")
        b = Device(line_down, project, tmp_path / "b", "b")
        contents = {"sent": first, "fetched": second}
        allowed = {name: {sha(data)} for name, data in contents.items()}
        runs = []
        for _ in range(2):
            a.write("sent", contents["sent"])
            c.write("fetched", contents["fetched"])
            c.sync_any()
            up.calm = down.calm = False
            both(lambda: runs.append(sync_until_done(a, up, allowed)), lambda: runs.append(sync_until_done(b, down, allowed)))
            up.calm = down.calm = True
            settle(a, b, c)
            there = {path: whole for path, (whole, _) in audit(server.api(c.token), f"/projects/{project}").items()}
            assert there == {name: sha(data) for name, data in contents.items()}
            contents = {name: edited(rng, data) for name, data in contents.items()}
            for name, data in contents.items():
                allowed[name].add(sha(data))
        print("up:", line_up.struck(), "down:", line_down.struck(), "syncs:", runs)
        assert line_up.struck() and line_down.struck() and len({*line_up.struck(), *line_down.struck()}) >= 2, "nothing went wrong"
    assert_same(a.tree(), b.tree())


@pytest.fixture
def forgetful(server, tmp_path):
    """A device that has sent an insertion and does not know it, as if killed before it could note that; over a line of its own."""
    project = server.project("forgetful")
    line = Proxy(server, lambda request: None)
    with line:
        a = Device(line, project, tmp_path / "a", "a")
        data = random.Random(SEED).randbytes(3 * 1024 * 1024)
        a.write("large", data)
        a.sync()
        kept = {f.name: f.read_bytes() for f in a.dot().glob("state.db*")}
        a.write("large", b"in front" + data)
        a.sync()
        for f in a.dot().glob("state.db*"):
            f.unlink()
        for name, content in kept.items():
            a.dot(name).write_bytes(content)
        yield line, a


def test_a_list_that_is_of_another_version(forgetful):
    """What the server has of a file cannot be told this time: that is no reason to call it different.  The look is repeated."""
    line, a = forgetful
    fault = Fault("answer", status=404, code="not_found")
    line.decide = lambda request: fault if request.resource == "list down" and not fault.struck else None
    answer = a.sync()
    assert fault.struck
    assert answer["conflicts"] == [] and [p.name for p in a.folder.iterdir() if p.name != ".dray"] == ["large"]


@pytest.mark.parametrize("status, told, code", [(404, "not_found", "version_conflict"), (403, "forbidden", "forbidden"),
                                                (200, "", "server_protocol_error"), (503, "", "unavailable")])
def test_a_list_that_never_comes(forgetful, status, told, code):
    line, a = forgetful
    before = a.tree()
    line.decide = lambda request: Fault("answer", status=status, code=told) if request.resource == "list down" else None
    run = a.dray("sync", "--json", "--timeout", "1", a.folder)
    assert run.returncode == 1 and json.loads(run.stdout)["error"]["code"] == code, run
    assert_same(before, a.tree())
    line.decide = lambda request: None
    assert a.sync()["conflicts"] == []
    assert_same(before, a.tree())
