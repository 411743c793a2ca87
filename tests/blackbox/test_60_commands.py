"""Commands that need no linked folder, and what they share with sync: ls, get, put, log, restore; rates; being interrupted."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from devices import BIN, assert_same, fill, run_dray, run_drayd, tree_of
from proxy import Fault, Proxy
from waiting import wait_for

MIB = 1024 * 1024
PATIENCE = 60
SOON = 5  # seconds; a stalled line is given up after 30, so who ends by then was called off


@pytest.fixture
def there(server, tmp_path):
    """A project, and dray talking to it from a folder that is not linked."""
    return Remote(server, server.project("commands"), tmp_path)


class Remote:
    def __init__(self, server, project, tmp_path):
        self.server, self.project, self.tmp = server, project, tmp_path
        self.token = server.device(project, "cli")
        self.cwd = tmp_path / "cwd"
        self.cwd.mkdir()
        self.env = {"DRAY_TOKEN": self.token, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}

    def args(self, command, *args):
        return [command, *args, "--url", self.server.url, "--project", self.project]

    def run(self, command, *args, expect=0, **more):
        run = run_dray(*self.args(command, *args), env=self.env, cwd=self.cwd, **more)
        assert run.returncode == expect, (run.returncode, run.stdout, run.stderr)
        return run

    def json(self, command, *args, **more):
        return json.loads(self.run(command, "--json", *args, **more).stdout)

    def start(self, command, *args, url=None):
        argv = self.args(command, *args)
        if url:
            argv[argv.index("--url") + 1] = url
        return start(*argv, cwd=self.cwd, env=self.env)

    def names(self, *args):
        return [e["path"] for e in self.json("ls", *args)["entries"]]

    def left(self):
        """What a command left behind beside its result."""
        found = []
        for folder, dirs, files in os.walk(self.tmp):
            mine = folder.startswith(str(self.tmp / "cache/dray"))
            found += [os.path.join(folder, name) for name in dirs + files if mine or name.startswith((".dray-part-", "dray-"))]
        return found


def start(*args, cwd=None, env=None):
    return subprocess.Popen([BIN / "dray", *map(str, args)], cwd=cwd, env=dict(os.environ, **(env or {})), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def interrupt(run, sig=signal.SIGINT, started=True):
    """
    It ends soon, by the signal, says how to go on, and no sanitizer complains.  Who has only just been ${started} may not be there yet to
    say anything.
    """
    run.send_signal(sig)
    began = time.monotonic()
    _, err = run.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < SOON
    err = err if isinstance(err, str) else err.decode()
    assert "Sanitizer" not in err and "runtime error" not in err, err
    if run.returncode == -sig and (started or err):
        assert "Run it again to go on." in err, err
    return run.returncode


def waits_and_listens(pid, sig):
    """The process sleeps, and has said what is to be done at the signal."""
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return status["State"].startswith("S") and int(status["SigCgt"], 16) >> (sig - 1) & 1


# ---- trees ---------------------------------------------------------------------------------------------------------------------

def test_a_tree_there_and_back(there):
    fill(there.cwd / "src", files=60)
    there.run("put", "src")
    there.run("get", "src", "back")
    assert_same(tree_of(there.cwd / "src"), tree_of(there.cwd / "back"))
    again = there.json("put", "src")
    assert again["sent"] == 0 and again["unchanged"] > 100 and again["wire_up"] < 100_000
    again = there.json("get", "src", ".")
    assert again["fetched"] == 0 and again["unchanged"] > 100
    assert there.left() == []


def test_where_things_go(there):
    (there.cwd / "f").write_text("one")
    there.run("put", "f")                  # by its own name, at the top
    there.run("put", "f", "a/b/c")         # directories are made
    there.run("put", "f", "a/b/")          # into one
    there.run("put", "f", "a")             # into one that is there
    assert there.names("-R") == ["a", "a/b", "a/b/c", "a/b/f", "a/f", "f"]
    assert there.names("a/b/c") == ["a/b/c"] and there.names("/a/./b/../") == ["a/b", "a/f"]
    (there.cwd / "d").mkdir()
    there.run("get", "a/f", "d")
    there.run("get", "a/f", "d/other")
    there.run("get", "/", "all")
    assert sorted(p.name for p in (there.cwd / "d").iterdir()) == ["f", "other"]
    assert (there.cwd / "all/a/b/c").read_text() == "one"
    there.run("put", "f", "../f", expect=2)
    there.run("put", "f", "f/below", expect=1)
    there.run("get", "nowhere", expect=1)
    there.run("get", "/", expect=2)
    there.run("ls", "nowhere", expect=1)


def test_many_names_are_listed_page_by_page(there):
    folder = there.cwd / "many"
    folder.mkdir()
    for i in range(1201):
        (folder / f"n{i:04}").write_text("x")
    there.run("put", "many")
    assert there.names("many") == [f"many/n{i:04}" for i in range(1201)]
    text = there.run("ls", "-l", "many").stdout.splitlines()
    assert len(text) == 1201 and text[0].endswith("  n0000") and text[0].startswith("-0644")


def test_sorted_searched_and_counted(there):
    for i, name in enumerate(("b", "C", "a")):
        (there.cwd / name).write_text("x" * (i * 5 % 3 + 1))
        os.utime(there.cwd / name, (1_700_000_000 + i, 1_700_000_000 + i))
        there.run("put", name, f"shots/{name}")
    there.run("put", "a", "shots/sub/Deep.mov")
    assert there.names("shots") == ["shots/C", "shots/a", "shots/b", "shots/sub"]
    for args, want in ((("--sort", "name"), "sub C a b"), (("--reverse",), "sub b a C"), (("--sort", "size"), "sub C a b"),
                       (("--sort", "size", "--reverse"), "sub b a C"), (("--sort", "time"), "sub a C b"), (("--sort", "time", "-b"), "sub b C a"),
                       (("--sort", "changed"), "sub a C b")):
        assert there.names("shots", *args) == ["shots/" + name for name in want.split()], args
    assert there.names("-R", "--sort", "size") == ["shots", "shots/sub", "shots/sub/Deep.mov", "shots/C", "shots/a", "shots/b"]
    assert there.names("--search", "deep") == ["shots/sub/Deep.mov"] == there.names("shots/sub", "-S", ".MOV")
    assert there.names("--search", "s") == ["shots", "shots/sub"] and there.names("--search", "%") == []
    assert there.run("ls", "--search", "deep").stdout == "shots/sub/Deep.mov\n"
    entry = there.json("ls", "--sort", "name")["entries"][0]
    assert entry["beneath"] == {"files": 4, "dirs": 1, "total_size": sum(e["size"] for e in there.json("ls", "-R")["entries"])}
    assert there.run("ls", "-l").stdout.rstrip().endswith("  shots/  (4 files, 1 dirs)")
    for bad in (("--sort", "sizes"), ("--search", ""), ("--search", "a/b"), ("--search", "x" * 256), ("--search", "x", "--sort", "name"),
                ("--search", "x", "-R"), ("--search", "x", "--reverse")):
        there.run("ls", *bad, expect=2)
    there.run("ls", "nowhere", "--sort", "size", expect=1)


def test_in_a_linked_folder(make):
    (a,) = make("a")
    a.write("shots/one", "1")
    a.sync()
    told = a.dray("ls", cwd=a.path("shots"))
    assert told.stdout == "one\n"
    a.write("shots/two", "2")
    assert a.dray("put", "two", cwd=a.path("shots")).returncode == 0
    assert a.dray("ls", a.path("shots"), cwd="/").stdout == "one\ntwo\n"
    assert a.dray("get", "one", "copy", cwd=a.path("shots")).returncode == 0
    assert a.path("shots/copy").read_text() == "1"
    assert a.dray("ls", "..", cwd=a.folder).returncode == 1
    assert a.sync()["sent"] == 2  # the copy, and the directory's time; "two" is there already


# ---- never lose anything -------------------------------------------------------------------------------------------------------

def test_get_overwrites_only_when_told(there):
    (there.cwd / "f").write_text("theirs")
    there.run("put", "f")
    (there.cwd / "f").write_text("mine, longer")
    run = there.run("get", "f", expect=1)
    assert "--force" in run.stderr and (there.cwd / "f").read_text() == "mine, longer"
    (there.cwd / "d").mkdir()
    there.run("put", "d")
    there.run("put", "f", "d/f")
    (there.cwd / "d/f").write_text("also mine")
    left = there.json("get", "d", ".", expect=3)["left_out"]
    assert [p["path"] for p in left] == ["f"] and (there.cwd / "d/f").read_text() == "also mine"
    there.run("get", "--force", "f")
    assert (there.cwd / "f").read_text() == "theirs"
    assert there.left() == []


def test_put_makes_a_version_of_what_it_replaces(there):
    for text in "first", "second":
        (there.cwd / "f").write_text(text)
        there.run("put", "f")
    assert [v["what"] for v in there.json("log", "f")["versions"]] == ["edited", "created"]
    assert there.run("get", "f", "-").stdout == "second"


def test_standard_input_and_output(there):
    data = random.Random(1).randbytes(9 * MIB + 7)
    run = there.start("put", "-", "deep/er/data")
    _, err = run.communicate(data, timeout=PATIENCE)
    assert run.returncode == 0, err
    run = there.start("get", "deep/er/data", "-")
    got, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0 and got == data, err
    there.run("put", "-", expect=2)
    there.run("get", "deep", "-", expect=2)
    assert there.left() == []


def test_what_the_line_garbles_is_asked_for_again(there):
    """To standard output, where nothing can be taken back: a bit flips in the middle of a chunk, when blocks before it have gone out."""
    data = random.Random(2).randbytes(9 * MIB)
    (there.cwd / "data").write_bytes(data)
    there.run("put", "data")
    flips = []

    def weather(request):
        if request.resource != "chunk down" or len(flips) == 2:
            return None
        flips.append(Fault("flip", side="down", at=(3 - len(flips)) * MIB))  # later, then earlier than what has gone out by then
        return flips[-1]

    with Proxy(there.server, weather) as line:
        run = there.start("get", "data", "-", url=line.url)
        got, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0 and got == data, err
        assert [f.struck for f in flips] == [True, True]
        assert sum(r.resource == "chunk down" for r in line.requests) == 4  # of three; the second flip was in what had gone out


# ---- history -------------------------------------------------------------------------------------------------------------------

def test_log_and_restore(make):
    a, b = make("a", "b")
    path = a.write("notes.txt", "first")
    a.sync()
    b.sync()
    b.path("notes.txt").write_text("second")
    b.sync()
    a.sync()
    os.chmod(path, 0o600)
    a.sync()
    os.rename(path, a.path("renamed.txt"))
    a.sync()
    log = json.loads(a.dray("log", "--json", "renamed.txt", cwd=a.folder).stdout)["versions"]
    assert [(v["what"], v["device_name"]) for v in log] == [("renamed", "a"), ("mode", "a"), ("edited", "b"), ("created", "a")]
    text = a.dray("log", a.path("renamed.txt"), cwd="/").stdout
    assert "renamed from notes.txt" in text and len(text.splitlines()) == 4
    told = a.dray("restore", "renamed.txt", cwd=a.folder)
    assert told.returncode == 0 and f"Next: dray sync {a.folder}" in told.stdout, told.stderr
    a.sync()
    assert a.path("renamed.txt").read_text() == "first"
    assert a.dray("restore", "renamed.txt", "--at", log[2]["at"], cwd=a.folder).returncode == 0
    a.sync()
    assert a.path("renamed.txt").read_text() == "second"
    again = json.loads(a.dray("restore", "--json", "renamed.txt", "--version", log[2]["version"], cwd=a.folder).stdout)
    assert again["changed"] is False
    for wrong in ["--version", "17"], ["--at", "2001-01-01T00:00:00Z"]:
        assert a.dray("restore", "renamed.txt", *wrong, cwd=a.folder).returncode == 1
    for wrong in ["--version", "x"], ["--at", "yesterday"], ["--at", "2026-01-01T00:00:00Z", "--version", "1"]:
        assert a.dray("restore", "renamed.txt", *wrong, cwd=a.folder).returncode == 2


def test_restore_what_was_deleted(make):
    a, b = make("a", "b")
    a.write("dir/sub/file", "precious")
    a.sync()
    b.sync()
    os.remove(a.path("dir/sub/file"))
    os.rmdir(a.path("dir/sub"))
    os.rmdir(a.path("dir"))
    a.sync()
    told = a.dray("get", "dir/sub/file", "x", cwd=a.folder)
    assert told.returncode == 1 and "dray restore brings it back" in told.stderr
    assert "deleted" in a.dray("log", "dir/sub/file", cwd=a.folder).stdout
    assert a.dray("restore", "dir/sub/file", cwd=a.folder).returncode == 0
    for device in a, b:
        device.sync_any()
        assert device.path("dir/sub/file").read_text() == "precious"
    # another file has the name now: it is not touched
    os.remove(a.path("dir/sub/file"))
    a.sync()
    a.write("dir/sub/file", "newcomer")
    a.sync()
    told = a.dray("restore", "dir/sub/file", cwd=a.folder)
    assert told.returncode == 1 and "nothing to bring back" in told.stderr
    assert a.dray("log", "never/was", cwd=a.folder).returncode == 1


def test_a_restore_beside_an_edit_keeps_both(make):
    """The folder has an edit that nobody knows of yet: what is restored there becomes a conflict copy's neighbour, nothing is lost."""
    (a,) = make("a")
    for text in "first", "second, longer":
        a.write("f", text)
        a.sync()
    a.write("f", "third, and not yet sent")
    assert a.dray("restore", "f", cwd=a.folder).returncode == 0
    a.sync_any()
    assert {p.read_text() for p in a.folder.glob("f*")} == {"first", "third, and not yet sent"}


# ---- rates ---------------------------------------------------------------------------------------------------------------------

def test_limited_rate(there):
    (there.cwd / "f").write_bytes(random.Random(2).randbytes(2 * MIB))
    up = there.json("put", "--limit-rate", "1M", "f")
    down = there.json("get", "--limit-rate", "1.0MiB", "f", "g")
    assert up["elapsed_ms"] > 1500 and down["elapsed_ms"] > 1500
    assert (there.cwd / "f").read_bytes() == (there.cwd / "g").read_bytes()
    for wrong in "0", "31K", "-1", "fast", "1X", "1.M", "1.2345M", "", "9999999G":
        told = there.run("put", "--limit-rate", wrong, "f", expect=2)
        assert "at least 32K" in told.stderr, wrong


def test_limited_sync(make):
    (a,) = make("a")
    a.write("f", random.Random(3).randbytes(MIB))
    assert a.sync("--limit-rate", "512k")["elapsed_ms"] > 1500


# ---- interrupted ---------------------------------------------------------------------------------------------------------------

def arrived(there):
    return there.server.api(there.server.owner_token).get(f"/projects/{there.project}").json["stored_bytes"]


def test_put_goes_on_where_it_was_interrupted(there):
    (there.cwd / "large").write_bytes(random.Random(4).randbytes(24 * MIB))
    run = there.start("put", "large", "--limit-rate", "8M", "--parallel", "2")
    wait_for(lambda: arrived(there) >= 8 * MIB)
    assert interrupt(run) == -signal.SIGINT
    had = arrived(there)
    done = there.json("put", "large")
    assert done["sent"] == 1 and done["wire_up"] < 25 * MIB - had + MIB
    assert there.left() == []
    there.run("get", "large", "copy")
    assert (there.cwd / "copy").read_bytes() == (there.cwd / "large").read_bytes()


def test_get_goes_on_where_it_was_interrupted(there):
    (there.cwd / "large").write_bytes(random.Random(5).randbytes(24 * MIB))
    there.run("put", "large")

    def part():
        return next(iter(there.cwd.glob(".dray-part-*")), None)

    run = there.start("get", "large", "copy", "--limit-rate", "8M", "--parallel", "2")
    wait_for(lambda: part() and part().stat().st_blocks * 512 >= 8 * MIB)
    assert interrupt(run) == -signal.SIGINT
    assert part() and not (there.cwd / "copy").exists()
    had = part().stat().st_blocks * 512
    done = there.json("get", "large", "copy")
    assert done["fetched"] == 1 and done["wire_down"] < 25 * MIB - had + 4 * MIB
    assert (there.cwd / "copy").read_bytes() == (there.cwd / "large").read_bytes()
    assert there.left() == []


class Silent:
    """Takes connections and requests, and never says a word."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                self.taken.append(self.listener.accept()[0])
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for sock in self.taken:
            sock.close()


@pytest.fixture
def silent():
    s = Silent()
    yield s
    s.close()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["ls"], ["log", "f"], ["restore", "f"], ["get", "f", "g"], ["get", "f", "-"], ["put", "f"]])
def test_interrupted_while_the_server_is_silent(there, silent, command, sig):
    (there.cwd / "f").write_text("x")
    run = there.start(*command, url=silent.url)
    wait_for(lambda: silent.taken)
    assert interrupt(run, sig) == -sig
    assert there.left() == []


def test_interrupted_while_standard_input_is_silent(there):
    run = there.start("put", "-", "f")
    wait_for(lambda: list(there.tmp.glob("dray-*/stdin")))
    assert interrupt(run) == -signal.SIGINT
    assert there.left() == []


def test_interrupted_while_nobody_is_there(there):
    """Between two attempts."""
    run = there.start("ls", "--timeout", "60", url="http://127.0.0.1:1")
    wait_for(lambda: waits_and_listens(run.pid, signal.SIGINT))
    assert interrupt(run) == -signal.SIGINT


def test_interrupted_at_any_moment(make, tmp_path):
    """Syncs of a tree with large files, called off at random: each ends soon, and in the end all is well."""
    a, b = make("a", "b")
    rng = random.Random(int(os.environ.get("DRAY_SEED", 6)))
    ended = 0
    for i in range(8):
        a.write(f"large{i}", rng.randbytes(12 * MIB))
        for device in (a, b):
            run = device.start("--parallel", "2")
            time.sleep(rng.uniform(0, 0.7))
            ended += interrupt(run, rng.choice([signal.SIGINT, signal.SIGTERM]), started=False) < 0
    assert ended > 0
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())


# ---- full ----------------------------------------------------------------------------------------------------------------------

def test_a_full_project_says_so_and_goes_on_later(make, server):
    (a,) = make("a")
    owner = server.api(server.owner_token)
    assert owner.call("PATCH", f"/projects/{make.project}", {"quota_bytes": 3 * MIB}).status == 200
    a.write("large", random.Random(7).randbytes(6 * MIB))
    run = a.dray("sync", "--json", a.folder)
    assert run.returncode == 1 and json.loads(run.stdout)["error"]["code"] == "quota_exceeded", run.stdout
    assert "quota" in run.stderr and "raise the quota" in run.stderr
    assert owner.call("PATCH", f"/projects/{make.project}", {"quota_bytes": 0}).status == 200
    a.sync()


def test_a_data_directory_that_is_none(tmp_path):
    """A slip in its name makes no server: only who creates a project begins one."""
    (tmp_path / "other").mkdir()
    for name in "missing", "other":
        for command in ["project", "list"], ["device", "list", "--project", "0" * 32], ["gc"]:
            run = run_drayd(*command, "--data", tmp_path / name, timeout=PATIENCE)
            assert run.returncode == 1 and name in run.stderr and "Check the path." in run.stderr, run.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "other"] and not list((tmp_path / "other").iterdir())
    run = run_drayd("project", "create", "first", "--data", tmp_path / "other", timeout=PATIENCE)
    assert run.returncode == 0 and (tmp_path / "other/owner.token").exists(), run.stderr
