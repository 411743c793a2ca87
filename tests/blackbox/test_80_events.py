"""Event streams: what is told and in which order, and what a client may not do."""
import asyncio
import json
import random
import subprocess
import threading
import time

import pytest
import websockets

from api import Project
from conftest import Drayd
from stream import BINARY, CLOSE, PING, PONG, TEXT, Stream, frame, handshake, subscribe

PATIENCE = 30


@pytest.fixture
def listen(server, project):
    """listen(target, …): a stream of the project's device."""
    opened = []

    def one(target=None, token=..., **more):
        opened.append(Stream(server.address, target or project.base + "/events", project.api.token if token is ... else token, **more))
        return opened[-1]

    yield one
    for stream in opened:
        stream.socket.close()


class Follower:
    """Applies what a stream tells as a client would, and holds it to its promises: no gap, no change out of order, none twice."""

    def __init__(self, cursor=None):
        self.cursor, self.files, self.seen = cursor, {}, []

    def apply(self, message):
        if message["type"] == "hello" and self.cursor is None:
            self.cursor = message["cursor"]
        if message["type"] == "resync":
            raise AssertionError(message)
        if message["type"] == "heartbeat":
            (told,) = message["projects"]
            assert told["cursor"] == self.cursor, f"told up to {told['cursor']}, and here came up to {self.cursor}"
        if message["type"] != "change":
            return
        assert message["since"] == self.cursor, f"a gap: {self.cursor} to {message['since']}"
        begin, end = (int(message[k].split(".")[0]) for k in ("since", "cursor"))
        files = message["added"] + message["modified"] + message["deleted"]
        versions = sorted(f["version"] for f in files)
        assert all(begin < v <= end for v in versions) and len(set(versions)) == len(versions)
        self.seen += versions
        for f in files:
            self.files[f["id"]] = f
        self.cursor = message["cursor"]

    def follow(self, stream, until):
        """Read until ${until} (a version) was told."""
        while not self.seen or self.seen[-1] < until:
            self.apply(stream.next())
        assert self.seen == sorted(set(self.seen))


def put(project, name, data=b"x"):
    """A new state of a file; its version."""
    return project.put(name, data)["version"]


def make_dirs(project, count, prefix="d"):
    """So many changes in a commit; the last one's version."""
    operations = [{"op": "put", "path": f"{prefix}{i:05}", "kind": "dir"} for i in range(count)]
    return project.commit_ok(*operations)["results"][-1]["version"]


# ---- what is told ----------------------------------------------------------------------------------------------------------------


def test_a_change_is_told_to_all(project, listen):
    """As …/files/changes tells it, with the cursor that it leads to."""
    before = project.ok("GET", "/files/changes")
    other = project.device("reader", "reader")
    streams = [listen(), listen(token=other.token), listen("/events")]
    streams[2].say(subscribe(project.id))
    hellos = [s.next("hello") for s in streams]
    for hello in hellos:
        assert hello["project"] == project.id and hello["cursor"] == f"{hello['clock']}.{hello['epoch']}"
        assert hello["digest"] == before["digest"]
    project.put("a/b", b"hello")
    project.ok("DELETE", "/content/a/b", status=204)
    want = project.ok("GET", f"/files/changes?since={hellos[0]['cursor']}")
    for s in streams:
        follower = Follower(hellos[0]["cursor"])
        while follower.cursor != want["last_sync"]:
            follower.apply(s.next())
        assert sorted(follower.files.values(), key=lambda f: f["version"]) == \
            sorted(want["added"] + want["modified"] + want["deleted"], key=lambda f: f["version"])


def test_the_reference_client_and_many_projects(server, owner):
    """python3-websockets, asyncio: one socket for three projects, then one less."""
    projects = [Project.create(server, owner, f"many {i}") for i in range(3)]

    async def run():
        url = f"ws://{server.listen}/events"
        async with websockets.connect(url, extra_headers={"Authorization": f"Bearer {server.owner_token}"}) as ws:
            async def next_of(kind):
                while True:
                    message = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))
                    if message["type"] == kind:
                        return message

            await ws.send(json.dumps(subscribe(*(p.id for p in projects))))
            assert {(await next_of("hello"))["project"] for _ in projects} == {p.id for p in projects}
            for p in projects:
                p.put("f", b"1")
                change = await next_of("change")
                assert change["project"] == p.id and [f["path"] for f in change["added"]] == ["f"]
            await ws.send(json.dumps({"unsubscribe": [{"project": projects[0].id}], "subscribe": [{"project": projects[1].id}]}))
            await next_of("hello")
            projects[0].put("g", b"1")
            projects[1].put("g", b"1")
            assert (await next_of("change"))["project"] == projects[1].id
            await ws.ping()
            await ws.close()
            assert ws.close_code == 1000

    asyncio.run(run())


def test_since_tells_what_was_missed(project, listen):
    cursor = project.ok("GET", "/files/changes")["last_sync"]
    last = make_dirs(project, 1200)
    follower = Follower(cursor)
    follower.follow(listen(f"{project.base}/events?since={cursor}"), last)
    assert len(follower.seen) == 1200
    half = f"{follower.seen[600]}.{cursor.split('.')[-1]}"
    s = listen("/events")
    s.say(subscribe((project.id, half)))
    again = Follower(half)
    again.follow(s, last)
    assert again.seen == follower.seen[601:]


def test_from_the_beginning(project, listen):
    """A time before everything: the whole tree, then what comes."""
    make_dirs(project, 30)
    s = listen(f"{project.base}/events?since=1970-01-01T00:00:00Z")
    hello = s.next("hello")
    follower = Follower()
    change = s.next("change")
    assert change["since"].startswith("0.") and len(change["added"]) == 30
    follower.cursor = change["cursor"]
    follower.follow(s, put(project, "late"))
    assert follower.cursor.split(".")[-1] == hello["epoch"]


def test_cursors_that_cannot_be_told(project, listen):
    """resync: where the stream goes on, and why; what was missed has to be pulled."""
    s = listen(f"{project.base}/events?since=5.{'0' * 32}")
    hello, resync = s.next("hello"), s.next("resync")
    assert resync == {"type": "resync", "project": project.id, "code": "epoch_changed", "cursor": hello["cursor"]}
    follower = Follower(resync["cursor"])
    follower.follow(s, put(project, "a"))
    ahead = f"{2**62}.{hello['epoch']}"
    assert listen(f"{project.base}/events?since={ahead}").next("resync")["code"] == "epoch_changed"
    answer = project.call("GET", "/events?since=x", headers={"Upgrade": "websocket"})
    assert answer.code == "cursor_invalid"


def test_too_far_behind(project, listen):
    """More than 10,000 files that the ring has passed: pull instead."""
    cursor = project.ok("GET", "/files/changes")["last_sync"]
    for i in range(3):
        make_dirs(project, 5000, f"n{i}-")
    s = listen(f"{project.base}/events?since={cursor}")
    told = 0
    while (message := s.next())["type"] != "resync":
        told += sum(len(message.get(k, ())) for k in ("added", "modified", "deleted"))
    assert message["code"] == "behind" and 10000 < told < 11000
    follower = Follower(message["cursor"])
    follower.follow(s, put(project, "after"))


def test_cut_at_many_points_and_resumed(project, listen):
    """Whatever of a stream was read, the next one goes on from its cursor: every change once, in order."""
    rng = random.Random(80)
    follower = Follower(project.ok("GET", "/files/changes")["last_sync"])
    written, stop = [], threading.Event()
    writer = Project(project.server, project.owner, project.id, project.device("writer").token)

    def write():
        while not stop.is_set():
            written.append(make_dirs(writer, rng.randrange(1, 20), f"w{len(written)}-"))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for cut in range(40):
            with Stream(project.server.address, f"{project.base}/events?since={follower.cursor}", project.api.token) as s:
                for _ in range(rng.randrange(0, 6)):
                    follower.apply(s.next())
                if cut % 3 == 0:
                    s.socket.recv(rng.randrange(1, 300))  # half of a frame goes with the socket
    finally:
        stop.set()
        thread.join()
    if not follower.seen or follower.seen[-1] < written[-1]:
        follower.follow(listen(f"{project.base}/events?since={follower.cursor}"), written[-1])
    assert follower.seen == sorted(set(follower.seen))
    assert {f["path"] for f in follower.files.values()} == set(project.files())


def test_a_slow_reader_holds_nobody_up(project, listen):
    """It gets everything all the same, from behind the ring."""
    slow = listen(rcvbuf=4096)
    hello = slow.next("hello")
    quick = listen()
    quick.next("hello")
    follower = Follower(hello["cursor"])
    for i in range(8):  # some 3 MB: more than the ring and a socket's buffers
        last = make_dirs(project, 900, f"{'long' * 40}{i}-")
        follower.follow(quick, last)
    late = Follower(hello["cursor"])
    late.follow(slow, last)
    assert late.seen == follower.seen


def test_two_devices_and_concurrent_writers(project, listen):
    devices = [listen(token=project.device(f"d{i}").token) for i in range(2)]
    begin = [s.next("hello")["cursor"] for s in devices]
    last = []

    writers = [Project(project.server, project.owner, project.id, project.device(f"w{i}").token) for i in range(4)]

    def write(i):
        p = writers[i]
        for k in range(25):
            p.put(f"{i}/{k}", b"%d" % k)
        last.append(make_dirs(p, 1, f"end{i}"))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seen = []
    for s, cursor in zip(devices, begin):
        follower = Follower(cursor)
        follower.follow(s, max(last))
        seen.append({f["path"]: f["version"] for f in follower.files.values()})
    assert seen[0] == seen[1] == {p: f["version"] for p, f in project.files().items()}


# ---- text/event-stream ----------------------------------------------------------------------------------------------------------------


def events(lines, count):
    """[(event, id, data)] of a text/event-stream."""
    got, fields = [], {}
    while len(got) < count:
        line = lines.readline().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            key, _, value = line.partition(": ")
            fields[key] = value
        elif fields:
            got.append((fields["event"], fields["id"], json.loads(fields["data"])))
            fields = {}
    return got


def curl(server, token, target, *args):
    return subprocess.Popen(["curl", "-sSN", "--max-time", "60", "-H", "Accept: text/event-stream", "-H", f"Authorization: Bearer {token}",
                             *args, server.url + target], stdout=subprocess.PIPE, text=True)


def test_curl_can_watch(server, project):
    run = curl(server, project.api.token, project.base + "/events", "-i")
    try:
        head = "".join(iter(run.stdout.readline, "\n"))
        assert head.startswith("HTTP/1.1 200 OK") and "Content-Type: text/event-stream" in head and "Cache-Control: no-store" in head
        ((kind, id, hello),) = events(run.stdout, 1)
        assert kind == "hello" and id == hello["cursor"]
        project.put("a", b"1")
        ((kind, id, change),) = events(run.stdout, 1)
        assert kind == change["type"] == "change" and id == change["cursor"] and change["since"] == hello["cursor"]
        assert [f["path"] for f in change["added"]] == ["a"]
    finally:
        run.kill()
        run.wait()
    project.put("b", b"1")  # while nobody watches
    run = curl(server, project.api.token, project.base + "/events?since=" + hello["cursor"], "-H", f"Last-Event-ID: {id}")
    try:
        assert [f["path"] for f in events(run.stdout, 2)[1][2]["added"]] == ["b"]
    finally:
        run.kill()
        run.wait()


def test_curl_can_watch_all(own_server):
    """Of many projects an id has a cursor each; a project that is new since then is told from its beginning."""
    owner = own_server.api(own_server.owner_token)
    projects = [Project.create(own_server, owner, f"p{i}") for i in range(3)]
    run = curl(own_server, own_server.owner_token, "/events")
    try:
        assert {e[2]["project"] for e in events(run.stdout, 3)} == {p.id for p in projects}
        projects[1].put("a", b"1")
        ((_, id, change),) = events(run.stdout, 1)
        assert change["project"] == projects[1].id and id.count(",") == 2 and change["cursor"] in id.split(",")
    finally:
        run.kill()
        run.wait()
    projects[2].put("b", b"1")
    projects.append(Project.create(own_server, owner, "new"))
    projects[3].put("c", b"1")
    run = curl(own_server, own_server.owner_token, "/events", "-H", f"Last-Event-ID: {id}")
    try:
        changes = [e[2] for e in events(run.stdout, 6) if e[0] == "change"]
        assert {c["project"]: [f["path"] for f in c["added"]] for c in changes} == {projects[2].id: ["b"], projects[3].id: ["c"]}
    finally:
        run.kill()
        run.wait()


# ---- who may ---------------------------------------------------------------------------------------------------------------------------


def test_foreign_projects_are_as_unknown_ones(server, owner, project, listen):
    other = Project.create(server, owner, "foreign")
    s = listen("/events")
    answers = []
    for id in (other.id, "0" * 32):
        s.say(subscribe(id))
        answers.append(s.next())
        assert answers[-1].pop("project") == id
    assert answers[0] == answers[1] and answers[0]["type"] == "error" and answers[0]["code"] == "not_found"
    other.put("secret", b"1")
    s.say(subscribe(project.id))
    follower = Follower(s.next()["cursor"])
    follower.follow(s, put(project, "mine"))
    assert {f["path"] for f in follower.files.values()} == {"mine"}
    for target in (f"/projects/{other.id}/events", f"/projects/{'0' * 32}/events"):
        assert listen(target).status == 404


def test_a_revoked_device_is_closed(project):
    made = project.owner.ok("POST", project.base + "/devices", {"name": "lost"}, status=201)
    with Stream(project.server.address, project.base + "/events", made["token"]) as s, \
            Stream(project.server.address, "/events", made["token"]) as idle:
        s.next("hello")
        project.owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)
        assert s.end().code == 1008 and idle.end().code == 1008
    assert Stream(project.server.address, "/events", made["token"]).status == 401


def test_who_listens(project, listen):
    """A device that comes hears who is there; the others hear of it, and when it goes: once a device, not once a stream."""
    made = {name: project.owner.ok("POST", project.base + "/devices", {"name": name}, status=201) for name in "ab"}
    a = listen(token=made["a"]["token"])
    assert a.next("hello")
    b = listen(token=made["b"]["token"])
    assert b.next("hello")
    there = {"type": "status", "project": project.id, "device": made["a"]["id"], "online": True, "cursor": None, "in_sync": False, "lag_us": None}
    assert b.next() == there
    here = {**there, "device": made["b"]["id"]}
    assert a.next() == here
    twin = listen("/events", token=made["b"]["token"])
    twin.say(subscribe(project.id))
    assert twin.next("status") == there
    twin.say({"unsubscribe": [{"project": project.id}]})
    twin.send(frame(PING, b"done"))
    assert twin.read_frame() == (PONG, b"done")
    b.send(frame(CLOSE))
    assert b.end().code == 1000
    assert a.next() == {**here, "online": False}


def test_eight_streams_a_device(project, listen):
    streams = [listen() for _ in range(8)]
    assert [s.status for s in streams] == [101] * 8
    assert listen().status == 429
    streams[0].socket.close()
    end = time.monotonic() + PATIENCE
    while (again := listen()).status != 101:  # its place is free once the server has seen the end
        assert again.status == 429 and time.monotonic() < end
    other = project.device("other")
    assert listen(token=other.token).status == 101


def test_a_deleted_project_is_told(server, owner, listen):
    p = Project.create(server, owner, "to be deleted")
    s = listen(token=server.owner_token, target=p.base + "/events")
    s.next("hello")
    owner.ok("DELETE", p.base, status=204)
    message = s.next("error")
    assert (message["project"], message["code"]) == (p.id, "not_found")


# ---- stop and start ----------------------------------------------------------------------------------------------------------------------


def test_the_server_says_goodbye_and_comes_back(own_server):
    owner = own_server.api(own_server.owner_token)
    p = Project.create(own_server, owner, "p")
    with Stream(own_server.address, p.base + "/events", p.api.token) as s:
        follower = Follower(s.next("hello")["cursor"])
        follower.follow(s, put(p, "a"))
        mute = Stream(own_server.address, p.base + "/events", p.api.token)  # does not answer the close
        own_server.proc.terminate()
        assert s.end().code == 1001
    assert own_server.proc.wait(timeout=PATIENCE) == 0
    mute.socket.close()
    own_server.start()
    p = Project(own_server, own_server.api(own_server.owner_token), p.id, p.api.token)
    last = put(p, "b")
    with Stream(own_server.address, f"{p.base}/events?since={follower.cursor}", p.api.token) as s:
        follower.follow(s, last)
    assert {f["path"] for f in follower.files.values()} == {"a", "b"}


@pytest.mark.mutant
def test_a_dropped_change_is_noticed(tmp_path):
    """A server that skips changes: the next one begins where the client has not been."""
    server = Drayd(tmp_path, env={"DRAY_FAULT": "notify.drops_change"})
    try:
        p = Project.create(server, server.api(server.owner_token), "p")
        with Stream(server.address, p.base + "/events", p.api.token) as s:
            follower = Follower(s.next("hello")["cursor"])
            p.put("a", b"1")
            with pytest.raises(AssertionError, match="a gap|told up to"):
                while True:
                    follower.apply(s.next())
    finally:
        server.stop()


# ---- what a client may not do (BAD-INPUT part I) --------------------------------------------------------------------------------------------

HANDSHAKES = [
    ("no upgrade", {"Upgrade": None, "Connection": None}, 426, "upgrade_required"),
    ("version 8", {"Sec_WebSocket_Version": "8"}, 426, "upgrade_required"),
    ("no version", {"Sec_WebSocket_Version": None}, 426, "upgrade_required"),
    ("no key", {"Sec_WebSocket_Key": None}, 400, "upgrade_invalid"),
    ("short key", {"Sec_WebSocket_Key": "AAAA"}, 400, "upgrade_invalid"),
    ("key of 17 bytes", {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAAA="}, 400, "upgrade_invalid"),
    ("another protocol", {"Upgrade": "h2c"}, 400, "upgrade_invalid"),
    ("no connection", {"Connection": "keep-alive"}, 400, "upgrade_invalid"),
    ("a body", {"Content_Length": "5"}, 400, "body_not_allowed"),
    ("null origin", {"Origin": "null"}, 403, "origin_forbidden"),
    ("foreign origin", {"Origin": "https://elsewhere.example"}, 403, "origin_forbidden"),
    ("foreign host", {"Host": "elsewhere.example"}, 421, "misdirected"),
    ("no token", {"Authorization": None}, 401, "auth_required"),
    ("a broken token", {"Authorization": "Bearer dray_x"}, 401, "token_invalid"),
]


@pytest.mark.parametrize("row", HANDSHAKES, ids=lambda row: row[0])
def test_handshakes_that_are_refused(project, row):
    _, replaced, status, code = row
    got, closed = project.api.raw(handshake(project.base + "/events", project.api.token, **replaced))
    head, _, body = got.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status and json.loads(body)["code"] == code
    if status == 426:
        assert b"\r\nSec-WebSocket-Version: 13" in head
    elif status == 400:
        assert closed


def test_http_1_0_is_no_handshake(project):
    got, _ = project.api.raw(handshake(project.base + "/events", project.api.token).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert got.startswith(b"HTTP/1.1 400 ")


def test_an_extension_is_not_agreed_on(listen):
    s = listen(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits", Sec_WebSocket_Protocol="dray", Origin="http://localhost")
    assert s.next()["type"] == "hello"


MASKED = b"\0\0\0\0"
FRAMES = [
    ("unmasked", frame(TEXT, b"{}", masked=False), 1002),
    ("rsv1", frame(TEXT, b"{}", rsv=4), 1002),
    ("rsv3", frame(PING, rsv=1), 1002),
    ("opcode 3", frame(3), 1002),
    ("opcode 11", frame(11), 1002),
    ("long ping", frame(PING, b"x" * 126), 1002),
    ("fragmented ping", frame(PING, fin=False), 1002),
    ("length 2^63", b"\x81\xff" + b"\x80" + bytes(7), 1002),
    ("length 2^62, its head only", b"\x81\xff" + b"\x40" + bytes(7) + MASKED, 1009),
    ("length not minimal, 16 bits", frame(TEXT, b"{}", length=b"\x7e\0\2"), 1002),
    ("length not minimal, 64 bits", frame(TEXT, b"{}", length=b"\x7f" + bytes(7) + b"\2"), 1002),
    ("64 KiB + 1", frame(TEXT, b" " * 65537), 1009),
    ("64 KiB + 1 in two", frame(TEXT, b" " * 40000, fin=False) + frame(0, b" " * 25537), 1009),
    ("many fragments", frame(TEXT, b"{", fin=False) + frame(0, b" ", fin=False) * 100, 1008),
    ("empty fragments for ever", frame(TEXT, fin=False) + frame(0, fin=False) * 100, 1008),
    ("a continuation of nothing", frame(0, b"{}"), 1002),
    ("a message within another", frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    ("not UTF-8, split", frame(TEXT, b'"\xe2', fin=False) + frame(0, b'\x28\xa1"'), 1007),
    ("overlong UTF-8", frame(TEXT, b"\xc0\x80"), 1007),
    ("a surrogate", frame(TEXT, b"\xed\xa0\x80"), 1007),
    ("binary", frame(BINARY, b"{}"), 1003),
    ("close of one byte", frame(CLOSE, b"\3"), 1002),
    *((f"close {code}", frame(CLOSE, code.to_bytes(2, "big")), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)),
    ("close with a reason that is not UTF-8", frame(CLOSE, b"\3\xe8\xff"), 1002),
    *((f"close {code}", frame(CLOSE, code.to_bytes(2, "big") + b"bye"), code) for code in (1000, 1001, 1011, 3000, 4999)),
    ("close without a code", frame(CLOSE), 1000),
    ("ping flood", frame(PING, b"x") * 50, 1008),
    ("pong flood", frame(PONG) * 50, 1008),
    ("10^5 subscriptions", b"".join(frame(TEXT, json.dumps(subscribe(*[f"{i:032x}" for i in range(1000)])).encode()) for _ in range(100)), 1008),
    ("65 subscriptions", frame(TEXT, json.dumps(subscribe(*[f"{i:032x}" for i in range(65)])).encode()), 1008),
]


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row[0])
@pytest.mark.parametrize("how", ["at once", "byte by byte", "with the handshake"])
def test_frames_that_close(project, row, how):
    """The code; and that nothing has changed, and that others go on."""
    _, data, code = row
    if how == "byte by byte" and len(data) > 1000:
        pytest.skip("long")
    with Stream(project.server.address, "/events", project.api.token, behind=data if how == "with the handshake" else b"") as s:
        try:
            for piece in [data] if how == "at once" else [data[i:i + 1] for i in range(len(data))] if how == "byte by byte" else []:
                s.send(piece)
        except ConnectionError:
            pass  # closed before the end
        assert s.end().code == code
    assert project.call("GET", "").status == 200


MESSAGES = [(b"", "json_invalid"), (b"x", "json_invalid"), (b"[]", "field_type"), (b'{"a":1}', "unknown_field"),
            (b'{"subscribe":1}', "field_type"), (b'{"subscribe":[{}]}', "field_missing"), (b'{"subscribe":[{"project":"x"}]}', "id_invalid"),
            (b"[" * 40 + b"]" * 40, "json_too_deep"), (b'{"subscribe":[],"subscribe":[]}', "json_duplicate_key")]


def test_messages_that_are_refused(project, listen):
    """An error each; the stream goes on."""
    s = listen("/events")
    for text, code in MESSAGES:
        s.say(text)
        message = s.next()
        assert (message["type"], message["code"]) == ("error", code), text
    s.send(frame(TEXT, b'{"sub', fin=False) + frame(PING, b"within") + frame(0, b'scribe":[]', fin=False) + frame(0, b"}"))
    assert s.read_frame() == (PONG, b"within")
    s.say(subscribe(project.id))
    assert s.next()["type"] == "hello"


def test_answers_that_are_not_read(project):
    """What cannot be sent is not kept: the stream ends, and the server goes on."""
    with Stream(project.server.address, "/events", project.api.token, rcvbuf=4096) as s:
        text = frame(TEXT, b'{"no such member":1}') * 200
        try:
            while True:
                s.send(text)
        except OSError:
            pass
    assert project.call("GET", "").status == 200
