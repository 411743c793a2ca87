"""
A line that is cut at one byte of one request or of its answer, at each in turn: of an upload of three chunks, its commit and its download, asked as
any caller may, and by dray itself; then the answer that is lost when its effect is there, and the request that arrives twice.  Whoever
asks asks again.  Nothing is done twice, no wrong byte is taken for a right one, and of what had arrived at most a chunk crosses again.

In `make test` some cuts, chosen by DRAY_SEED; with DRAY_CAMPAIGN=full all of a caller's, and dray's at each byte of every head and each
DRAY_STRIDE-th of what is packed, by the release build where there is one; what the ledger has of the same programs is not done again.
"""
import collections
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import struct


from api import Chunk, packed
from conftest import Drayd
from devices import BIN, Device, assert_same
from ledger import Ledger
from proxy import Fault, Proxy
from test_40_kill import clean, copies
from test_43_line import sha

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", 1 if FULL else random.SystemRandom().randrange(1 << 30)))
STRIDE = int(os.environ.get("DRAY_STRIDE", 8))
CUTS = int(os.environ.get("DRAY_CUTS", 0)) or None  # at most so many in one run
RELEASE = BIN.parent / "release"
PROGRAMS = RELEASE if FULL and (RELEASE / "drayd").exists() else BIN
PROJECT_TRIALS = 500   # then a new project
FOLDER_TRIALS = 100    # then new devices: each trial is a file more in their history
CALL_PATIENCE = 60
MIB = 1 << 20
Point = collections.namedtuple("Point", "request nth kind side at")


def shape(request):
    """What a request is, whatever it is of."""
    path = re.sub(r"/content/.*", "/content/:", re.sub(r"/[0-9a-f]{32,64}", "/:", request.target.split("?")[0]))
    return f"{request.method} {re.sub(r'/chunks/[0-9]+$', '/chunks/n', path)}"


class Aim:
    """Decides: one fault, for the nth request of one shape."""

    def __init__(self):
        self.seen, self.point, self.fault = collections.Counter(), None, None

    def at(self, point):
        self.seen.clear()
        self.point = point
        self.fault = Fault(point.kind, point.side, point.at, status=503) if point else None

    def __call__(self, request):
        name = shape(request)
        self.seen[name] += 1
        if self.point and (name, self.seen[name]) == (self.point.request, self.point.nth):
            self.seen[name] += 1 << 20  # what comes after it is another try
            return self.fault
        return None


def points_of(requests, stride):
    """Every point of what has crossed: cuts, then what is lost, repeated or refused."""
    seen, found, whole = collections.Counter(), [], []
    for r in requests:
        name = shape(r)
        seen[name] += 1
        for side, body in (("up", r.up), ("down", r.down)):
            head = r.heads[side]
            for at in range(head + body + 1):
                if at <= head + 64 or at >= head + body - 64 or at % stride == 0:
                    found.append(Point(name, seen[name], "reset" if at % 2 else "cut", side, at))
        whole += [Point(name, seen[name], kind, side, 0) for kind, side in (("lost", "down"), ("again", "up"), ("answer", "up"))]
    return found, whole


def due(what, points, whole, programs, few):
    """Those of a campaign that are not in the ledger yet, in an order that meets all of it early; or a few."""
    print("DRAY_SEED", SEED)
    rng = random.Random(f"{SEED} {what}")
    if not FULL:
        return rng.sample(points, few) + rng.sample(whole, few // 4), None
    ledger = Ledger(f"cuts-{what}", PROGRAMS, programs)
    done = {tuple(r["point"]) for r in ledger.rows()}
    left = [p for p in whole + rng.sample(points, len(points)) if tuple(p) not in done]
    print(f"{what}: {len(points) + len(whole)} points, {len(left)} left")
    return left[:CUTS], ledger


# ---- any caller ------------------------------------------------------------------------------------------------------------------


class Caller:
    """Asks over the line until an answer has come whole."""

    def __init__(self, line, token, base):
        self.host, self.token, self.base = line.url.removeprefix("http://"), token, base
        self.conn, self.tries = None, 0

    def once(self, method, path, body, headers):
        if self.conn is None:
            self.conn = http.client.HTTPConnection(self.host, timeout=CALL_PATIENCE)
        self.conn.request(method, self.base + path, body, headers)
        answer = self.conn.getresponse()
        if answer.length is None and answer.status != 204:
            raise OSError("the head ends before it says how long the body is")  # http.client takes that for a whole one
        data = answer.read()  # IncompleteRead when it is short
        if answer.status == 503:
            raise OSError("told to come again")
        return answer.status, data

    def ask(self, method, path, body=None, key=None, **headers):
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        if key:
            headers |= {"Idempotency-Key": key, "Content-Type": "application/json"}
        for _ in range(5):
            self.tries += 1
            try:
                return self.once(method, path, body, headers)
            except (OSError, http.client.HTTPException):
                self.close()
        raise AssertionError(f"{method} {path}: no answer on a healed line")

    def close(self):
        if self.conn:
            self.conn.close()
            self.conn = None


def as_json(body):
    return json.dumps(body).encode()


class Conversation:
    """A file of three chunks, up and down, by one caller; all that is said is the same each time but for its bytes."""

    def __init__(self, server, line, rng):
        self.server, self.line, self.rng = server, line, rng
        self.n = 0
        self.renew()

    def renew(self):
        id = self.server.project("cuts")
        self.api = self.server.api(self.server.device(id, "x"))
        self.base = f"/projects/{id}"
        self.projects = id

    def run(self, aim, point):
        if self.n and self.n % PROJECT_TRIALS == 0:
            self.renew()
        self.n += 1
        name, key = f"f{self.n % PROJECT_TRIALS:03}", f"k{self.n:08}"
        chunks = [Chunk(self.rng.randbytes(150), self.rng.randbytes(120)) for _ in range(3)]
        blocks = [b for c in chunks for b in c.blocks]
        data = b"".join(blocks)
        caller = Caller(self.line, self.api.token, self.base)
        aim.at(point)
        try:
            self.upload(caller, name, key, chunks, blocks, data)
            self.download(caller, name, chunks, data)
        finally:
            caller.close()
        aim.at(None)
        self.done_once(name, data)

    def upload(self, caller, name, key, chunks, blocks, data):
        status, made = caller.ask("POST", "/transfers", as_json({"path": name, "size": len(data)}), key + "t")
        assert status == 201, made
        transfer = json.loads(made)["id"]
        for i, chunk in enumerate(chunks):
            status, said = caller.ask("PUT", f"/transfers/{transfer}/chunks/{i}", chunk.data)
            assert status == 200, said
        pages = [packed(c) for c in chunks]
        page = b"DRAYBLK1" + struct.pack("<II", len(blocks), 3) + b"".join(p[16:56] for p in pages) + b"".join(p[56:] for p in pages)
        status, said = caller.ask("PUT", f"/transfers/{transfer}/blocks?from=0", page)
        assert status == 204, said
        content = hashlib.sha256(b"".join(hashlib.sha256(b).digest() + struct.pack("<I", len(b)) for b in blocks)).hexdigest()
        op = {"op": "put", "path": name, "kind": "file", "size": len(data), "content_hash": content, "transfer": transfer}
        status, said = caller.ask("POST", "/commits", as_json({"operations": [op]}), key + "c")
        (result,) = json.loads(said)["results"]
        assert status == 200 and result["status"] == "ok", said
        self.id, self.version = result["id"], result["version"]

    def download(self, caller, name, chunks, data):
        """As far as an answer says that it is whole, its bytes are right."""
        status, got = caller.ask("GET", f"/content/{name}")
        assert status == 200 and got == data
        for chunk in chunks:
            status, got = caller.ask("GET", f"/chunks/{chunk.id}")
            assert status == 200 and got == chunk.data

    def done_once(self, name, data):
        listed = self.api.ok("GET", f"{self.base}/files/{self.id}/versions")["versions"]
        assert [v["version"] for v in listed] == [self.version], "one commit, and not one version"
        assert self.api.get(f"{self.base}/content/{name}").body == data


def test_a_caller_cut_at_a_byte(tmp_path):
    server = Drayd(tmp_path, PROGRAMS)
    aim = Aim()
    rng = random.Random(SEED)
    with Proxy(server, aim) as line:
        talk = Conversation(server, line, rng)
        aim.at(None)
        talk.run(aim, None)
        points, whole = points_of(line.requests, 1)
        todo, ledger = due("caller", points, whole, ["drayd"], 40)
        struck = 0
        for point in todo:
            line.forget()
            talk.run(aim, point)
            struck += bool(line.struck())
            if ledger:
                ledger.add(what="caller", point=list(point), seed=SEED, struck=bool(line.struck()))
        print(f"{len(todo)} cuts, {struck} met something")
        assert struck >= len(todo) * 0.8, "what was to be cut did not cross"
    server.stop()


# ---- dray ------------------------------------------------------------------------------------------------------------------------


def three_chunks(rng):
    """9 MiB in 144 blocks of their own, which pack to three chunks of some KiB."""
    return b"".join(rng.randbytes(16) * 4096 for _ in range(9 * 16))


class Pair:
    """One device sends, the other fetches, each over a line of its own that is cut once."""

    def __init__(self, folder, number):
        self.folder = folder / f"{number}"
        self.folder.mkdir()
        self.server = Drayd(self.folder, PROGRAMS)
        self.project = self.server.project("cuts")
        self.aims = {"up": Aim(), "down": Aim()}
        self.lines = {way: Proxy(self.server, aim) for way, aim in self.aims.items()}
        self.a = Device(self.lines["up"], self.project, self.folder / "a", "a", bin=PROGRAMS)
        self.b = Device(self.lines["down"], self.project, self.folder / "b", "b", bin=PROGRAMS)
        self.api = self.server.api(self.a.token)
        self.old = None
        self.a.sync()
        self.b.sync()

    def close(self):
        for line in self.lines.values():
            line.__exit__()
        self.server.stop()
        shutil.rmtree(self.folder)

    def sync(self, device, way, point):
        """One sync over a line that is cut, and another should it not complete."""
        line, aim = self.lines[way], self.aims[way]
        line.forget()
        aim.at(point)
        run = device.dray("sync", "--json", "--parallel", "1", "--timeout", "20", device.folder)
        struck = bool(line.struck())
        aim.at(None)
        if run.returncode:
            assert run.returncode == 1, run.stdout + run.stderr
            device.sync("--parallel", "1")
        clean(device)
        return struck, run.returncode == 0

    def trial(self, n, rng, up, down):
        """A file of three chunks up, then down; what each of the two cuts met: (struck, completed by its own tries)."""
        data = three_chunks(rng)
        name = f"file {n:06}"
        self.a.write(name, data)
        if self.old:
            self.a.path(self.old).unlink()
        self.old = name
        sent = self.sync(self.a, "up", up)
        crossed_up = self.lines["up"].total("chunk up")
        fetched = self.sync(self.b, "down", down)
        crossed_down = self.lines["down"].total("chunk down")
        tree = self.a.tree()
        assert {p: e[4] for p, e in tree.items()} == {name.encode(): sha(data)}
        assert_same(tree, self.b.tree())
        assert not copies(tree)
        files = self.api.ok("GET", f"/projects/{self.project}/files")["files"]
        assert [f["path"] for f in files] == [name]
        versions = self.api.ok("GET", f"/projects/{self.project}/files/{files[0]['id']}/versions")["versions"]
        assert len(versions) == 1, "sent once, and not one version"
        self.crossed = {"up": crossed_up, "down": crossed_down}
        return {"up": sent, "down": fetched}


def requests_of(pair, way):
    """Of the undisturbed trial.  How often it tells where it is depends on the time that it takes."""
    return [r for r in pair.lines[way].requests if not r.target.endswith("/progress")]


def test_dray_cut_at_a_byte(tmp_path):
    pair, rng = Pair(tmp_path, 0), random.Random(SEED)
    try:
        pair.trial(0, rng, None, None)
        whole = dict(pair.crossed)
        chunk = max(r.up for r in pair.lines["up"].requests if r.resource == "chunk up")
        todo, ledger = {}, {}
        for way in ("up", "down"):
            todo[way], ledger[way] = due(f"dray-{way}", *points_of(requests_of(pair, way), STRIDE), ["drayd", "dray"], 8)
        met = collections.Counter()
        for n in range(max(map(len, todo.values()))):
            if n and n % FOLDER_TRIALS == 0:
                pair.close()
                pair = Pair(tmp_path, n)
                pair.trial(n, rng, None, None)
            points = {way: todo[way][n] if n < len(todo[way]) else None for way in todo}
            outcome = pair.trial(n + 1, rng, points["up"], points["down"])
            for way, (struck, alone) in outcome.items():
                again = pair.crossed[way] - whole[way]
                assert again <= chunk + 1000, f"{again} bytes crossed again, {way}, of chunks of {chunk}: {points[way]}"
                met[way, struck] += 1
                if ledger[way] and points[way]:
                    ledger[way].add(what=f"dray {way}", point=list(points[way]), seed=SEED, struck=struck, again=again, alone=alone)
        print(dict(met))
        assert all(met[way, True] >= 0.8 * len(todo[way]) for way in todo), f"what was to be cut did not cross: {met}"
    finally:
        pair.close()
