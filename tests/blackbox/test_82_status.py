"""Who is connected, how far behind and how far along: told to all who look, at most five times a second, never in the way of a change."""
import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unicodedata

import pytest

from agents import TROUBLE, Agent
from api import Chunk, Project, content_hash, packed, random_bytes
from conftest import Drayd
from devices import Device
from stream import Stream
from waiting import wait_for


@pytest.fixture
def listen(server, project):
    """listen(token): a stream of the project, whose greeting has been read."""
    with contextlib.ExitStack() as opened:
        def one(token=None):
            s = opened.enter_context(Stream(server.address, project.base + "/events", token or project.api.token))
            s.next("hello")
            return s
        yield one


def device(project, name, role="writer"):
    """(id, API) of a device of the project."""
    made = project.owner.ok("POST", project.base + "/devices", {"name": name, "role": role}, status=201)
    return made["id"], project.server.api(made["token"])


def listed(project):
    return {d["name"]: d for d in project.ok("GET", "/devices")["devices"]}


def report(api, project, *entries, status=204):
    return api.ok("POST", project.base + "/progress", {"progress": list(entries)}, status=status)


def download(n, done, **more):
    return {"transfer": f"{n:032x}", "path": f"file {n}", "done": done, "total": 1000, **more}


def told_until(stream, say, want):
    """Messages of ${stream}, while ${say} repeats itself: a transfer is told once it has lasted for a moment.  The first that is wanted."""
    stream.socket.settimeout(0.05)
    for _ in range(1200):
        say()
        with contextlib.suppress(TimeoutError):
            while True:
                message = stream.next()
                if want(message):
                    stream.socket.settimeout(30)
                    return message
    raise AssertionError("never told")


# ---- devices ---------------------------------------------------------------------------------------------------------------------------


def test_the_list_says_who_is_connected_and_how_far_behind(project, listen):
    id, api = device(project, "laptop")
    told = listed(project)["laptop"]
    assert (told["connected"], told["lag_us"], told["lag_changes"], told["behind_since"]) == (False, None, None, None)
    s = listen(api.token)
    assert listed(project)["laptop"]["connected"] and not listed(project)["tester"]["connected"]
    project.put("a", b"1")
    cursor = project.ok("GET", "/checkpoint")["project_cursor"]
    api.ok("PUT", project.base + "/checkpoint", {"cursor": cursor}, status=204)
    told = listed(project)["laptop"]
    assert (told["lag_us"], told["lag_changes"], told["behind_since"]) == (0, 0, None)
    first = project.put("b", b"1")
    project.put("c", b"1")
    told = listed(project)["laptop"]
    assert told["lag_changes"] == 2 and told["lag_us"] > 0 and told["behind_since"] == first["changed_at"]
    project.commit_ok(*[{"op": "put", "path": f"d{i}", "kind": "dir"} for i in range(150)])
    assert listed(project)["laptop"]["lag_changes"] == 100
    s.socket.close()
    wait_for(lambda: not listed(project)["laptop"]["connected"])


def test_a_checkpoint_that_moves_is_told(project, listen):
    id, api = device(project, "laptop")
    watcher, theirs = listen(), listen(api.token)
    assert watcher.next("status")["online"]
    project.put("a", b"1")
    cursor = project.ok("GET", "/checkpoint")["project_cursor"]
    api.ok("PUT", project.base + "/checkpoint", {"cursor": cursor}, status=204)
    told = watcher.next("status")
    assert told == {"type": "status", "project": project.id, "device": id, "online": True, "cursor": cursor, "in_sync": True, "lag_us": 0}
    project.put("b", b"1")  # it does not follow
    told = watcher.next("status")
    assert (told["cursor"], told["in_sync"]) == (cursor, False) and told["lag_us"] > 0
    theirs.socket.close()
    assert watcher.next("status")["online"] is False
    again = listen(api.token)
    told = watcher.next("status")  # where it was is known at once
    assert (told["online"], told["cursor"]) == (True, cursor)
    again.socket.close()


# ---- transfers ---------------------------------------------------------------------------------------------------------------------------


def test_an_upload_is_seen_as_it_comes(project, listen):
    """Its bytes are told while a chunk is still on its way; and its end."""
    s = listen()
    chunks = [Chunk(*(random_bytes(65536) for _ in range(64))) for _ in range(2)]
    id = project.transfer(path="shots/010.mov", size=2 * 64 * 65536)
    data, sent = chunks[0].data, 0
    with contextlib.closing(socket.create_connection(project.server.address, timeout=30)) as line:
        line.sendall((f"PUT {project.base}/transfers/{id}/chunks/0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {project.api.token}\r\n"
                      f"Content-Type: application/octet-stream\r\nContent-Length: {len(data)}\r\n\r\n").encode())

        def more():
            nonlocal sent
            line.sendall(data[sent:min(sent + 32768, len(data) - 1)])
            sent = min(sent + 32768, len(data) - 1)

        told = told_until(s, more, lambda m: m["type"] == "progress" and m["done"] > 0)
        assert (told["transfer"], told["direction"], told["path"], told["state"]) == (id, "up", "shots/010.mov", "running")
        assert told["done"] <= sent < len(data) and told["total"] == 2 * 64 * 65536
    for n, chunk in enumerate(chunks):
        project.send_chunk(id, n, chunk)
        project.ok("PUT", f"/transfers/{id}/blocks?from={64 * n}", packed(chunk), status=204)
    project.commit_ok({"op": "put", "path": "010.mov", "kind": "file", "size": 2 * 64 * 65536, "transfer": id,
                       "content_hash": content_hash(chunks[0].blocks + chunks[1].blocks)})
    while (told := s.next("progress"))["state"] == "running":
        assert told["transfer"] == id
    assert told["state"] == "done" and told["done"] == told["total"]


def test_an_upload_that_is_given_up(project, listen):
    s = listen()
    id = project.transfer(path="a", size=4 * 65536 * 64)
    chunks = iter([Chunk(random_bytes(65536)) for _ in range(1200)])
    numbers = iter(range(1200))
    told = told_until(s, lambda: project.send_chunk(id, next(numbers), next(chunks)), lambda m: m["type"] == "progress")
    assert told["state"] == "running" and told["transfer"] == id
    project.ok("DELETE", f"/transfers/{id}", status=204)
    while (told := s.next("progress"))["state"] == "running":
        pass
    assert told["state"] == "gone"


def test_a_download_is_told_by_its_device(project, listen):
    """Also by a reader, who may not write anything; to others as to itself; and it is gone when the device is."""
    id, reader = device(project, "reader", "reader")
    s, theirs = listen(), listen(reader.token)
    told = told_until(s, lambda: report(reader, project, download(1, 300)), lambda m: m["type"] == "progress")
    assert told == {"type": "progress", "project": project.id, "transfer": f"{1:032x}", "device": id, "direction": "down", "path": "file 1",
                    "done": 300, "total": 1000, "state": "running"}
    assert theirs.next("progress") == told
    report(reader, project, download(1, 300, state="done"))
    told = s.next("progress")
    assert (told["state"], told["done"]) == ("done", 1000)
    told = told_until(s, lambda: report(reader, project, download(2, 5, path=None, total=None)), lambda m: m["type"] == "progress")
    assert told["path"] is None and told["total"] is None and told["transfer"] == f"{2:032x}"
    theirs.socket.close()
    while (told := s.next("progress"))["state"] == "running":
        pass
    assert (told["state"], told["transfer"], told["done"]) == ("gone", f"{2:032x}", 5)


def test_at_most_five_a_second(project, listen):
    s, begun = listen(), time.monotonic()
    done = iter(range(1000))
    messages = []
    told_until(s, lambda: report(project.api, project, download(1, next(done))),
               lambda m: m["type"] == "progress" and (messages.append(m) or len(messages) == 6))
    assert len(messages) <= (time.monotonic() - begun) * 5 + 1
    assert [m["done"] for m in messages] == sorted({m["done"] for m in messages})


def test_a_foreign_project_is_told_nothing(server, owner, project, listen):
    other = Project.create(server, owner, "foreign")
    s = listen()
    for target in (other.id, "0" * 32):
        assert project.api.call("POST", f"/projects/{target}/progress", {"progress": [download(1, 1)]}).code == "not_found"
    report(other.api, other, download(1, 1))
    told = told_until(s, lambda: report(project.api, project, download(2, 1)), lambda m: m["type"] == "progress")
    assert told["transfer"] == f"{2:032x}"
    assert project.server.api().call("POST", project.base + "/progress", {"progress": []}).status == 401


def test_what_a_device_may_not_say(project, listen):
    """Nothing of a message that is wrong anywhere is told."""
    s = listen()
    good = download(9, 9)
    for wrong, code in [({"done": -1}, "field_range"), ({"done": 2**63}, "field_range"), ({"done": "1"}, "field_type"), ({"done": 1.5}, "field_type"),
                        ({"done": True}, "field_type"), ({"done": 1001}, "field_range"), ({"total": -1}, "field_range"), ({"total": []}, "field_type"),
                        ({"transfer": "x" * 32}, "id_invalid"), ({"transfer": None}, "field_type"), ({"path": 7}, "field_type"),
                        ({"path": "/a"}, "path_invalid"), ({"path": "a\0b"}, "path_invalid"), ({"path": "x" * 256}, "name_too_long"),
                        ({"path": "x/" * 2048 + "x"}, "path_too_long"), ({"state": "paused"}, "field_range"), ({"state": 1}, "field_type"),
                        ({"device": project.id}, "unknown_field"), ({"direction": "up"}, "unknown_field")]:
        answer = project.call("POST", "/progress", {"progress": [good, {**download(8, 8), **wrong}]})
        assert answer.code == code, (wrong, answer)
    for body, code in [({}, "field_missing"), ({"progress": {}}, "field_type"), ({"progress": [1]}, "field_type"), ([], "field_type"),
                       ({"progress": [], "more": 1}, "unknown_field"), ({"progress": [good] * 17}, "field_range"), (b"{", "json_invalid")]:
        headers = {"Content-Type": "application/json"}
        assert project.call("POST", "/progress", body, headers=headers).code == code, body
    assert project.call("POST", "/progress", b'{"progress":[' + b" " * 2**20 + b"]}", headers={"Content-Type": "application/json"}).status == 413
    told = told_until(s, lambda: report(project.api, project, download(1, 1)), lambda m: m["type"] == "progress")
    assert told["transfer"] == f"{1:032x}"


def test_more_downloads_than_are_told(project, listen):
    s, seen = listen(), set()

    def say():
        for n in range(0, 40, 10):
            report(project.api, project, *(download(1 + n + i, 1) for i in range(10)))

    told_until(s, say, lambda m: m["type"] == "progress" and (seen.add(m["transfer"]) or len(seen) == 16))
    for _ in range(3):
        project.put("a", random_bytes(10))
        assert s.next("change", "progress")["type"] == "change"
    report(project.api, project, download(1, 1, state="done"))
    told_until(s, lambda: report(project.api, project, download(99, 1)), lambda m: m["type"] == "progress" and m["transfer"] == f"{99:032x}")


# ---- dray devices, and what dray tells ---------------------------------------------------------------------------------------------------


def test_dray_devices(make, tmp_path):
    a, b, c = make("alpha", "beta", "name\u202ewith 日本語 " + "long " * 30)
    a.write("x", b"1")
    a.sync()
    b.sync()
    a.write("y", b"1")
    a.write("z", b"1")
    a.sync()
    agent = Agent(a, log=tmp_path / "log")
    try:
        wait_for(lambda: {d["name"]: d for d in json.loads(a.dray("devices", "--json", a.folder).stdout)["devices"]}["alpha"]["connected"])
        told = {d["name"]: d for d in json.loads(b.dray("devices", "--json", b.folder).stdout)["devices"]}
        assert told["alpha"]["in_sync"] and told["alpha"]["lag_changes"] == 0 and not told["beta"]["in_sync"] and told["beta"]["lag_changes"] == 2
        assert not told["beta"]["connected"] and told["beta"]["behind_since"] and told[c.name]["cursor"] is None
        run = b.dray("devices", b.folder)
        heading, *lines = run.stdout.splitlines()
        assert run.returncode == 0 and heading.split() == ["Name", "Role", "Place", "Last", "seen"] and len(lines) == 3
        by_name = {line[2:].split()[0]: line for line in lines}
        assert by_name["alpha"].startswith("* ") and "in sync" in by_name["alpha"] and by_name["alpha"].endswith("connected")
        assert by_name["beta"].startswith("  ") and "2 changes behind for " in by_name["beta"] and by_name["beta"].endswith("(this device)")
        assert "never synced" in run.stdout and "\u202e" not in run.stdout.replace("\\u202e", "")
    finally:
        agent.stop()
    wait_for(lambda: not {d["name"]: d for d in json.loads(a.dray("devices", "--json", a.folder).stdout)["devices"]}["alpha"]["connected"])


def test_dray_devices_fails_as_others_do(make, tmp_path):
    (a,) = make("a")
    assert a.dray("devices", tmp_path).returncode == 1 and "not linked" in a.dray("devices", tmp_path).stderr
    assert a.dray("devices", "--nonsense").returncode == 2
    assert a.dray("devices", "-T", "0", a.folder).returncode == 2


def test_a_download_is_seen_by_others(make, tmp_path):
    """dray sync tells of it by itself; also that it was done."""
    a, b = make("a", "b")
    a.write("film.mov", random_bytes(3_000_000))
    a.sync()
    with Stream(make.server.address, f"/projects/{make.project}/events", a.token) as s:
        s.next("hello")
        run = b.start("--limit-rate", "600K")
        told = s.next("progress")
        assert (told["direction"], told["path"], told["total"], told["state"]) == ("down", "film.mov", 3_000_000, "running")
        done = [told["done"]]
        while (told := s.next("progress"))["state"] == "running":
            done.append(told["done"])
        assert (told["state"], told["done"]) == ("done", 3_000_000) and done == sorted(done)
        assert run.wait() == 0


# ---- dray status --follow ----------------------------------------------------------------------------------------------------------------


def width_of(text):
    """Columns that a terminal takes for it."""
    return sum(0 if unicodedata.combining(c) or unicodedata.category(c) == "Cf" else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Screen:
    """dray status --follow on a terminal of ${rows} x ${columns}: what it shows, by a terminal that knows what it may use and no more."""

    def __init__(self, device, rows=24, columns=80, args=()):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        env = {**os.environ, "TERM": "xterm"}
        self.proc = subprocess.Popen([device.bin / "dray", "status", "--follow", *args, device.folder], stdin=slave, stdout=slave,
                                     stderr=subprocess.PIPE, env=env, start_new_session=True,
                                     preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.said, self.lines, self.cursor, self.other = "", [], True, False
        self.rest = b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "proc"):
            self.proc.send_signal(signal.SIGWINCH)

    def read(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.master, 65536):
                self.rest += piece
                with contextlib.suppress(UnicodeDecodeError):
                    self.said += self.rest.decode()
                    self.rest = b""

    def frames(self):
        """Each frame that was drawn: its rows."""
        frames = []
        for frame in self.said.replace("\x1b[?1049h", "").replace("\x1b[?25l", "").split("\x1b[H")[1:]:
            if "\x1b[J" in frame:
                rows = frame.split("\x1b[J")[0].replace("\r\r\n", "\r\n").split("\r\n")  # the terminal adds one
                assert all(r.endswith("\x1b[K") for r in rows), rows
                rows = [r.removesuffix("\x1b[K") for r in rows]
                assert not any(unicodedata.category(c) == "Cc" for r in rows for c in r), rows
                frames.append(rows)
        return frames

    def shows(self, *texts):
        frames = self.frames()
        return bool(frames) and all(any(t in row for row in frames[-1]) for t in texts)

    def wait(self, *texts):
        wait_for(lambda: self.shows(*texts), f"never shown: {texts}", seconds=40)

    def fits(self, since=0):
        for rows in self.frames()[since:]:
            assert len(rows) <= self.rows and all(width_of(r) < self.columns for r in rows), rows

    def stop(self):
        """Ctrl-C, as typed; the cursor and the screen are given back."""
        os.write(self.master, b"\x03")
        err = self.proc.stderr.read()
        assert self.proc.wait(timeout=60) == 0, err
        assert not TROUBLE.search(err.decode()), err
        self.thread.join()
        os.close(self.master)
        assert self.said.startswith("\x1b[?1049h\x1b[?25l") and self.said.endswith("\x1b[?25h\x1b[?1049l")


@pytest.fixture
def follow():
    opened = []

    def one(*args, **more):
        opened.append(Screen(*args, **more))
        return opened[-1]

    yield one
    for s in opened:
        if s.proc.poll() is None:
            s.proc.kill()


class Lines:
    """dray status --follow, piped."""

    def __init__(self, device, *args):
        self.proc = subprocess.Popen([device.bin / "dray", "status", "--follow", *args, device.folder], stdout=subprocess.PIPE, text=True)
        self.lines, self.ended = [], False
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        with contextlib.suppress(ValueError):  # closed by the test
            for line in self.proc.stdout:
                self.lines.append(line)
        self.ended = True

    def until(self, want):
        """The first line that is wanted and was not asked for before; those beside it stay, since the order of some is a matter of luck."""
        found = []

        def look():
            ended = self.ended
            found.extend(line for line in self.lines if want(line))
            return found or ended

        wait_for(look, lambda: f"never printed: {self.lines}")
        assert found, self.lines
        self.lines.remove(found[0])
        return found[0]

    def objects_until(self, want):
        return json.loads(self.until(lambda line: want(json.loads(line))))

    def stop(self):
        self.proc.send_signal(signal.SIGINT)
        assert self.proc.wait(timeout=60) == 0
        self.thread.join()
        self.proc.stdout.close()


ODD = "very " * 20 + "日本語の長い名前" * 5 + "\x1b[31mred\ttab.mov"


def test_a_large_upload_is_followed(make, follow, tmp_path):
    """By a screen of 80 x 24, as lines and as JSON, and by the other device's stream; and the device that is killed is gone."""
    a, b = make("alpha", "beta")
    with Stream(make.server.address, f"/projects/{make.project}/events", b.token) as stream:
        stream.next("hello")
        screen, lines, objects = follow(b), Lines(b), Lines(b, "--json")
        screen.wait("connected to", "Devices  2", "beta", "(this device)", "Transfers", "Changes", "no agent runs here")
        objects.objects_until(lambda o: o["type"] == "devices")
        agent = Agent(a, log=tmp_path / "log", args=("--limit-rate", "4M"))
        assert stream.next("status")["online"]
        screen.wait("* alpha")
        assert "is connected" in lines.until(lambda line: "alpha is connected" in line)
        assert objects.objects_until(lambda o: o["type"] == "status")["online"]
        a.write(ODD, random_bytes(40_000_000))
        told = stream.next("progress")
        assert told["direction"] == "up" and told["path"] == ODD and told["total"] == 40_000_000 and told["state"] == "running"
        assert 0 < stream.next("progress")["done"] < 40_000_000
        screen.wait("Transfers  1", "  up    alpha", "...", "iB/s")
        assert "up    alpha  very " in (line := lines.until(lambda line: "tab.mov" in line)) and "\x1b" not in line and "% of" in line
        assert objects.objects_until(lambda o: o["type"] == "progress")["path"] == ODD
        while stream.next("progress")["state"] != "done":
            pass
        screen.wait("added", "in sync")
        lines.until(lambda line: "  done" in line and line[10:12] == "up")
        lines.until(lambda line: "  added  very" in line or "alpha is in sync" in line)
        agent.kill()
        while (told := stream.next("status"))["online"]:
            pass
        screen.wait("  alpha")
        lines.until(lambda line: "alpha has gone" in line)
        screen.fits()
        screen.stop()
        lines.stop()
        objects.stop()


@pytest.mark.parametrize("rows, columns", [(24, 80), (10, 40), (1, 2), (60, 200)])
def test_screens_of_all_sizes(make, follow, rows, columns):
    names = ["d" * 190, "名前" * 30, "\u202eodd"] + [f"device {i}" for i in range(2)]
    a, *others = make("me", *names)
    s = follow(a, rows=rows, columns=columns)
    wait_for(lambda: any("connected"[:columns - 3] in r for f in s.frames() for r in f) or columns < 20 and s.frames())
    for d in others[:3]:
        d.write(ODD + d.name[-5:], b"x")
        d.sync_any()
    if columns >= 40:
        s.wait("added")
    s.fits()
    if columns == 80:
        before = len(s.frames())
        s.resize(12, 50)
        wait_for(lambda: len(s.frames()) > before and len(s.frames()[-1]) <= 12)
        s.fits(since=len(s.frames()) - 1)
    s.stop()


def test_a_server_that_goes_away_is_waited_for(own_server, follow, tmp_path):
    project = own_server.project("p")
    a = Device(own_server, project, tmp_path / "a", "a")
    screen, lines, objects = follow(a), Lines(a), Lines(a, "--json")
    screen.wait("connected to")
    lines.until(lambda line: "connected" in line)
    objects.objects_until(lambda o: o["type"] == "connected")
    own_server.kill()
    screen.wait("not connected to")
    assert "disconnected: " in lines.until(lambda line: "disconnected" in line)
    assert objects.objects_until(lambda o: o["type"] == "disconnected")["reason"]
    own_server.start()
    wait_for(lambda: screen.shows("  connected to"))
    lines.until(lambda line: "  connected" in line)
    objects.objects_until(lambda o: o["type"] == "connected")
    own_server.revoke(project, "a")
    for run in (lines, objects):
        assert run.proc.wait(timeout=60) == 1
    assert screen.proc.wait(timeout=60) == 1
    screen.thread.join()
    assert screen.said.endswith("\x1b[?25h\x1b[?1049l")


def test_follow_is_refused_what_it_cannot_do(make, tmp_path):
    (a,) = make("a")
    assert a.dray("status", "--follow", "--verify", a.folder).returncode == 2
    assert a.dray("status", "--follow", "--verbose", a.folder).returncode == 2
    assert a.dray("status", "--follow", tmp_path).returncode == 1
    run = subprocess.Popen([a.bin / "dray", "status", "--follow", a.folder], stdout=subprocess.PIPE)
    run.stdout.close()  # nobody reads
    a.write("x", b"1")
    a.sync()
    assert run.wait(timeout=60) == 1


# ---- do these tests bite? --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "notify.forgets_gone"])
def test_a_device_that_is_not_told_as_gone_is_noticed(tmp_path, fault):
    """Two states of another device are a fifth of a second apart, and begin after this one has gone: by then it has been told."""
    server = Drayd(tmp_path, env={"DRAY_FAULT": fault} if fault else None)
    project = Project.create(server, server.api(server.owner_token), "p")
    laptop, api = device(project, "laptop")
    other, other_api = device(project, "other")
    with Stream(server.address, project.base + "/events", project.api.token) as s:
        hello = s.next("hello")
        with Stream(server.address, project.base + "/events", api.token):
            assert s.next("status")["online"]
        wait_for(lambda: not listed(project)["laptop"]["connected"])
        told = []
        with Stream(server.address, project.base + "/events", other_api.token):
            while not any(m["device"] == other for m in told):
                told.append(s.next("status"))
            other_api.ok("PUT", project.base + "/checkpoint", {"cursor": hello["cursor"]}, status=204)
            while not told[-1]["in_sync"]:
                told.append(s.next("status"))
    assert [m["online"] for m in told if m["device"] == laptop] == ([] if fault else [False])
    server.stop()
