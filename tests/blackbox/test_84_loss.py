"""An event stream is a hint (P32): whatever becomes of its messages, and of the lines that bring them, each subscriber ends with the tree of `changes`.

Messages are dropped, doubled, put out of order; the line is cut at every one of them, and within; the server is killed; more is changed than its ring
holds.  Subscribers are models in Python, by WebSocket and text/event-stream, and the real agent.  DRAY_SEED repeats a run; DRAY_CAMPAIGN=full makes it
long, and writes a row a trial to build/ledger.
"""
import json
import os
import random
import signal
import socket
import threading
import urllib.parse
from http.client import HTTPException

import pytest

from agents import Agent, in_step, status
from api import Project, content_hash
from devices import BIN, Device, assert_same
from events_proxy import Cut, EventsProxy, Weather
from ledger import Ledger
from stream import Closed, Stream
from test_80_events import make_dirs
from test_81_watch import same, wait_same
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
TRIALS = 300 if FULL else 2
AGENT_TRIALS = 60 if FULL else 1
OVERRUN = 100_000 if FULL else 2_000
PATIENCE = 120


class Sse:
    """A text/event-stream as messages; the ends are those of Stream."""

    def __init__(self, address, target, token):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.socket.sendall(head.encode())
        self.file = self.socket.makefile("rb")
        self.status = int((self.file.readline() or b"x 0").split()[1])
        while self.status and self.file.readline() not in (b"\r\n", b""):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def next(self):
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise Closed(None)
            if line.startswith(b"data: "):
                text = line[6:]
                if self.file.readline() != b"\n":
                    raise Closed(None)  # an event that has no end is none
                return json.loads(text)
            if line.startswith(b": {"):
                return json.loads(line[2:])


class Subscriber(threading.Thread):
    """A client by the book (events.md).

    how    pull: each message is the sign to pull from its cursor; apply: takes files from changes that begin where it is, and subscribes again with its
           cursor when one does not; trust: applies whatever comes and goes where it says, which is what must not be done
    """

    def __init__(self, address, project, api, kind="ws", how="pull", begin=None):
        super().__init__(daemon=True)
        self.address, self.project, self.api, self.kind, self.how = address, project, api, kind, how
        self.cursor, self.tree, self.connects, self.trouble = begin, {}, 0, None
        self.stopped = False
        if not begin:
            self.pull()
        self.start()

    def pull(self):
        while True:
            since = f"&since={urllib.parse.quote(self.cursor)}" if self.cursor else ""
            answer = self.api.call("GET", f"{self.project.base}/files/changes?limit=1000{since}")
            if answer.status == 429:
                return  # there was nothing new so often that it is not worth asking
            assert answer.status == 200, answer
            self.take(answer.json, answer.json["last_sync"])
            if not answer.json["has_more"]:
                return

    def take(self, lists, cursor):
        for f in lists["added"] + lists["modified"]:
            self.tree[f["id"]] = (f["path"], f["version"])
        for f in lists["deleted"]:
            self.tree.pop(f["id"], None)
        self.cursor = cursor

    def run(self):
        while not self.stopped:
            try:
                self.listen()
            except (OSError, Closed, ValueError, AssertionError, HTTPException) as error:  # AssertionError: Stream's, of a line that ended early
                self.trouble = repr(error)
                self.api.conn.close()

    def listen(self):
        target = f"{self.project.base}/events?since={urllib.parse.quote(self.cursor)}"
        open_stream = Stream if self.kind == "ws" else Sse
        with open_stream(self.address, target, self.api.token) as stream:
            self.connects += 1
            self.socket = stream.socket
            while not self.stopped and self.hear(stream.next()):
                pass

    def hear(self, message):
        """False: the stream is to begin anew."""
        if message["type"] in ("status", "progress"):
            return True
        if message["type"] == "change" and (self.how == "trust" or (self.how == "apply" and message["since"] == self.cursor)):
            self.take(message, message["cursor"])
            return True
        if self.how == "apply" and message["type"] == "change":
            return False
        if message["type"] == "heartbeat":
            (at,) = message["projects"]
            return self.how != "apply" or at["cursor"] == self.cursor
        if self.how == "pull" or message["type"] == "resync":
            self.pull()
        return True

    def end(self):
        self.stopped = True


def truth(project):
    """(tree, cursor) as a client that has never listened finds it."""
    tree, cursor = {}, None
    while True:
        page = project.ok("GET", "/files/changes?limit=1000" + (f"&since={cursor}" if cursor else ""))
        tree |= {f["id"]: (f["path"], f["version"]) for f in page["added"] + page["modified"]}
        cursor = page["last_sync"]
        if not page["has_more"]:
            return tree, cursor


def settle(project, subscribers):
    """All come to the end of the log, and have its tree."""
    tree, cursor = truth(project)
    wait_for(lambda: all(s.cursor == cursor for s in subscribers),
             lambda: str([(s.kind, s.how, s.cursor, cursor, s.connects, s.trouble) for s in subscribers]))
    for s in subscribers:
        s.end()
        assert s.tree == tree, (s.kind, s.how, len(s.tree), len(tree))


def edit(project, rng, live, count):
    """A batch of changes: new ones, renames, deletes."""
    operations = []
    for i in range(count):
        kind = rng.choice(["put", "put", "put", "move", "delete"])
        if kind == "put" or not live:
            operations.append({"op": "put", "path": f"n{rng.randrange(1 << 60):x}", "kind": "dir"})
            continue
        id, base = live.popitem()
        operations.append({"op": "delete", "id": id, "base": base} if kind == "delete" else
                          {"op": "move", "id": id, "base": base, "path": f"m{rng.randrange(1 << 60):x}"})
    for op, done in zip(operations, project.commit_ok(*operations)["results"]):
        if op["op"] != "delete":
            live[done["id"]] = done["version"]


def subscribers_of(project, address):
    """One of each kind, with a device each: a device may have eight streams, and be told of nothing new only so often."""
    return [Subscriber(address, project, project.device(f"{kind} {how}"), kind, how) for kind in ("ws", "sse") for how in ("pull", "apply")]


@pytest.fixture
def ledger():
    return Ledger("loss", BIN) if FULL else None


def trials(ledger, count, what):
    done = {row["seed"] for row in ledger.rows(what=what)} if ledger else set()
    return [SEED + i if ledger is None else i for i in range(count) if ledger is None or i not in done]


# ---- models ----------------------------------------------------------------------------------------------------------------------------


def test_lost_doubled_and_out_of_order(server, owner, ledger):
    for seed in trials(ledger, TRIALS, "weather"):
        rng = random.Random(seed)
        project = Project.create(server, owner, f"weather {seed}")
        weather = Weather(random.Random(seed))
        with EventsProxy(server, weather) as proxy:
            subscribers, live = subscribers_of(project, proxy.address), {}
            for _ in range(25):
                edit(project, rng, live, rng.randrange(1, 8))
            proxy.calm()
            settle(project, subscribers)
        print(f"seed {seed}: {weather.done}")
        if ledger:
            ledger.add(what="weather", seed=seed, **weather.done)


def test_who_trusts_what_he_is_told_is_caught(server, project):
    """That the test above would notice: a client that applies messages as they come ends elsewhere."""
    dropped = []

    def drop(line, n, frame):
        if b'"change"' in frame and len(dropped) < 2:
            dropped.append(frame)
            return []
        return [frame]

    with EventsProxy(server, drop) as proxy:
        subscriber = Subscriber(proxy.address, project, project.device("trusts"), how="trust")
        wait_for(lambda: subscriber.connects)
        last = 0
        for i in range(5):
            last = make_dirs(project, 1, f"t{i}-")
            wait_for(lambda: len(dropped) > i or subscriber.cursor.startswith(f"{last}."))
        with pytest.raises(AssertionError):
            settle(project, [subscriber])
        subscriber.end()


@pytest.mark.parametrize("kind", ["ws", "sse"])
def test_cut_at_every_message(server, owner, kind):
    """Of a recorded session: before each message, within it, and behind it; then the stream goes on from the cursor that was reached."""
    project = Project.create(server, owner, f"cut {kind}")
    live, rng, api = {}, random.Random(84), project.device(kind)
    begin = project.ok("GET", "/files/changes")["last_sync"]
    with EventsProxy(server) as proxy:
        first = Subscriber(proxy.address, project, api, kind, "apply")
        wait_for(lambda: first.connects)
        for _ in range(12):
            edit(project, rng, live, 3)
        settle(project, [first])
        frames = len([f for f in proxy.frames if b'"hello"' in f or b'"change"' in f])
    assert frames >= 2
    for at in range(frames):
        for part in (0, 0.5, 1):

            def cut(line, n, frame, at=at, part=part, done=[]):
                if n == at and not done:
                    done.append(n)
                    raise Cut(frame[:int(len(frame) * part)])
                return [frame]

            with EventsProxy(server, cut) as proxy:
                settle(project, [Subscriber(proxy.address, project, api, kind, "apply", begin)])


def test_the_server_is_killed(own_server, ledger):
    """Again and again, in the middle of everything."""
    owner = own_server.api(own_server.owner_token)
    project = Project.create(own_server, owner, "killed")
    rng = random.Random(SEED)
    with EventsProxy(own_server, Weather(random.Random(SEED))) as proxy:
        subscribers, live = subscribers_of(project, proxy.address), {}
        for _ in range(20 if FULL else 3):
            for _ in range(rng.randrange(3, 10)):
                edit(project, rng, live, rng.randrange(1, 5))
            own_server.kill()
            own_server.start()
            project = Project(own_server, own_server.api(own_server.owner_token), project.id, project.api.token)
        proxy.calm()
        settle(project, subscribers)
    if ledger:
        ledger.add(what="killed", seed=SEED, kills=20)


def make_files(project, count, prefix):
    empty = content_hash([])
    for first in range(0, count, 5000):
        project.commit_ok(*({"op": "put", "path": f"{prefix}{i:06}", "kind": "file", "size": 0, "content_hash": empty}
                            for i in range(first, min(count, first + 5000))))


def test_more_than_the_ring_holds(server, owner, make, tmp_path, ledger):
    """Models and the agent are stopped while it is made; then they go on."""
    project = Project(server, owner, make.project, server.device(make.project, "writer"))
    (a,) = make("a")
    agent = Agent(a, log=tmp_path / "agent.log")
    wait_for(lambda: in_step(a))
    subscribers = [Subscriber(server.address, project, project.device(how), "sse", how) for how in ("pull", "apply")]
    for s in subscribers:
        wait_for(lambda s=s: s.connects)
        s.hear, s.gate = (lambda message, s=s, hear=s.hear: s.gate.wait() and hear(message)), threading.Event()
    agent.proc.send_signal(signal.SIGSTOP)
    make_files(project, OVERRUN, "long name " * 12)
    agent.proc.send_signal(signal.SIGCONT)
    for s in subscribers:
        s.gate.set()
    settle(project, subscribers)
    wait_for(lambda: in_step(a) and len(list(a.folder.iterdir())) == OVERRUN + 1, seconds=3600 if FULL else 120)
    agent.stop()
    if ledger:
        ledger.add(what="overrun", seed=SEED, files=OVERRUN)


# ---- the agent -------------------------------------------------------------------------------------------------------------------------


def work(device, rng, rounds):
    """What people do to a folder."""
    for i in range(rounds):
        names = [p for p in device.folder.iterdir() if p.name != ".dray" and p.is_file()]
        kind = rng.choice(["new", "new", "edit", "move", "delete"])
        if kind == "new" or not names:
            device.write(f"f{rng.randrange(1 << 60):x}", rng.randbytes(rng.randrange(2000)))
        elif kind == "edit":
            rng.choice(names).write_bytes(rng.randbytes(rng.randrange(2000)))
        elif kind == "move":
            rng.choice(names).rename(device.path(f"m{rng.randrange(1 << 60):x}"))
        else:
            rng.choice(names).unlink()


def test_the_agent_in_bad_weather(server, tmp_path, ledger):
    """It works here, and listens there through what drops, doubles, delays and cuts."""
    for seed in trials(ledger, AGENT_TRIALS, "agent"):
        project, folder = server.project(f"agent {seed}"), tmp_path / str(seed)
        folder.mkdir()
        weather = Weather(random.Random(seed), cuts=0.1)
        with EventsProxy(server, weather) as proxy:
            a, b = Device(server, project, folder / "a", "a"), Device(proxy, project, folder / "b", "b")
            agents = [Agent(d, log=folder / f"{d.name}.log") for d in (a, b)]
            rng = random.Random(seed)
            wait_for(lambda: in_step(a) and proxy.frames)
            for _ in range(6):
                before = status(a)["passes"]
                work(a, rng, 4)
                wait_for(lambda: in_step(a) and status(a)["passes"] > before)
            proxy.calm()
            wait_same(a, b, *agents)
            for agent in agents:
                agent.stop()
        if ledger:
            ledger.add(what="agent", seed=seed, **weather.done)


def test_the_agent_is_cut_at_every_message(server, tmp_path):
    """Each of its lines lives for one message more than the one before, cut in the middle of the next."""
    project = server.project("agent cut")
    lines = []

    def cut(line, n, frame):
        if line not in lines:
            lines.append(line)
        if n == lines.index(line) and len(lines) < 6:
            raise Cut(frame[:len(frame) // 2])
        return [frame]

    with EventsProxy(server, cut) as proxy:
        a, b = Device(server, project, tmp_path / "a", "a"), Device(proxy, project, tmp_path / "b", "b")
        agents = [Agent(d, log=tmp_path / f"{d.name}.log") for d in (a, b)]
        end = 0
        while len(lines) < 6:
            a.write(f"f{end}", b"%d" % end)
            end += 1
            wait_for(lambda: same(a, b))
        wait_same(a, b, *agents)
        for agent in agents:
            agent.stop()


@pytest.mark.faulty
def test_an_agent_that_trusts_events_is_caught(make, tmp_path):
    """M39: it takes a message for the pull, and goes where that says it is."""
    a, b = make("a", "b")
    agents = [Agent(a, log=tmp_path / "a.log"), Agent(b, log=tmp_path / "b.log", fault="watch.trusts_event")]
    wait_for(lambda: in_step(a) and in_step(b))
    a.write("text", "x")
    wait_for(lambda: in_step(a))
    with pytest.raises(AssertionError):
        wait_for(lambda: same(a, b), seconds=5)
    b.sync()
    assert_same(a.tree(), b.tree())
    for agent in agents:
        agent.stop()
