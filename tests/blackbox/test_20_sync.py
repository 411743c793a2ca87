"""What dray sync promises: whatever one device does to its tree, the others have it after a sync, to the last bit."""
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import time

import pytest

from devices import BIN, Device, assert_same, fill, move_from_unseen, run_dray, settle
from edits import EDITS, Chaos, bump, edit_middle, small, write
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", "1"))
MANY = 30_000 if FULL else 3_000  # entries of a real tree
KIB, MIB = 1024, 1024 * 1024


# ---- one tree, two devices ----------------------------------------------------------------------------------------------


def test_tree_travels(make):
    a, b = make("a", "b")
    fill(a.folder)
    sent = a.sync()
    fetched = b.sync()
    tree = a.tree()
    assert_same(tree, b.tree())
    files = sum(1 for e in tree.values() if e[0] == "file")
    size = sum(e[3] for e in tree.values() if e[0] == "file")
    for done in (sent, fetched):
        assert done["in_sync"] and done["entries"] == len(tree) and done["files"] == files and done["bytes"] == size
        assert done["conflicts"] == [] and done["unsynced"] == [] and done["retries"] == 0
    assert sent["sent"] == len(tree) and fetched["fetched"] == len(tree)
    a.quiet()
    b.quiet()
    for device in (a, b):
        told = device.status()
        assert told["in_sync"] and told["online"] and told["plan"] == [] and told["entries"] == len(tree)
        assert os.listdir(device.dot("tmp")) == []
    assert a.status()["digest"] == b.status()["digest"]


def test_quiet_sync_is_cheap(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    b.sync()
    for device in (a, b):
        device.quiet()  # may tell the server where it is
        done = device.quiet()
        assert done["requests"] == 1 and done["wire_down"] < 4 * KIB


def test_empty_folder(make):
    a, b = make("a", "b")
    assert a.sync()["entries"] == 0
    assert b.sync()["entries"] == 0
    assert a.tree() == {}


@pytest.mark.parametrize("edits", [*([e] for e in EDITS if FULL), list(EDITS)], ids=lambda edits: edits[0] if len(edits) == 1 else "all")
def test_edits_travel(make, edits):
    """Each by itself in a full campaign; all at once, in directories of their own whose contents are the same."""
    a, b = make("a", "b")
    for edit in edits:
        small(a.folder / edit)
    a.sync()
    b.sync()
    for edit in edits:
        EDITS[edit](b.folder / edit)
    expected = b.tree()
    sent = b.sync()
    assert_same(expected, b.tree())
    fetched = a.sync()
    assert_same(expected, a.tree())
    for done in (sent, fetched):
        assert done["conflicts"] == [] and done["in_sync"]
    b.quiet()
    a.quiet()


@pytest.mark.parametrize("edit", ["rename", "rename a link", "rename a directory", "rename into a new directory", "rename case only",
                                  "rename a directory into another", "touched", "mode"])
def test_what_moves_no_content(make, edit):
    a, b = make("a", "b")
    small(a.folder)
    a.folder.joinpath("big").write_bytes(random.Random(5).randbytes(5 * MIB))
    a.sync()
    b.sync()
    EDITS[edit](b.folder)
    sent = b.sync()
    fetched = a.sync()
    assert_same(b.tree(), a.tree())
    assert sent["wire_up"] < 32 * KIB and sent["content_sent"] == 0, sent
    assert fetched["wire_down"] < 64 * KIB and fetched["content_fetched"] == 0, fetched
    if edit.startswith("rename"):
        assert sent["moved_there"] >= 1 and fetched["moved_here"] >= 1


@pytest.mark.parametrize("edit", ["rename and touch", "add equal content", "hard link"])
def test_content_that_the_server_has_is_named(make, edit):
    """A copy of a file of up to 4 MiB that this device has sent costs its name."""
    a, b = make("a", "b")
    small(a.folder)
    a.folder.joinpath("big").write_bytes(random.Random(5).randbytes(3 * MIB))
    a.sync()
    b.sync()
    EDITS[edit](a.folder)
    assert a.sync()["wire_up"] < 32 * KIB
    b.sync()
    assert_same(b.tree(), a.tree())


TOGETHER = [
    ("edit", "append"), ("add", "add deep"), ("delete", "rename"), ("rename a directory", "edit"), ("mode of a directory", "add many"),
    ("swap files", "delete a directory"), ("rotate three", "add link"), ("rename a directory", "delete an empty directory"),
    ("file to directory", "truncate"), ("delete a link", "time of a link"), ("touched", "time of a directory"),
]


def below(tree, folder):
    return {path: e for path, e in tree.items() if path.startswith(folder.encode() + b"/")}


@pytest.mark.parametrize("pairs", [*([p] for p in TOGETHER if FULL), TOGETHER], ids=lambda pairs: "-".join(pairs[0]) if len(pairs) == 1 else "all")
def test_both_sides_at_once(make, pairs):
    """Different entries on each side: no conflict, and both are there afterwards."""
    a, b, c = make("a", "b", "c")
    for n in range(len(pairs)):
        small(a.folder / str(n))
    a.sync()
    b.sync()
    for n, (mine, theirs) in enumerate(pairs):
        EDITS[mine](a.folder / str(n))
        EDITS[theirs](b.folder / str(n))
    expected = dict(a.tree())
    a.sync()
    assert b.sync()["conflicts"] == []
    assert a.sync()["conflicts"] == []
    assert_same(a.tree(), b.tree())
    for n, pair in enumerate(pairs):
        assert below(a.tree(), str(n)) != below(expected, str(n)), f"{pair}: the other side's edit is missing"
    c.sync()
    assert_same(a.tree(), c.tree())
    for device in (a, b, c):
        device.quiet()


def test_first_sync_of_two_trees_is_a_union(make):
    a, b = make("a", "b")
    shared = random.Random(7).randbytes(1 * MIB)
    for device in (a, b):
        device.write("shared", shared)
        device.write("dir/both", "equal")
        bump(device.path("shared"))
        bump(device.path("dir/both"))
    a.write("only a", "a")
    b.write("only b", "b")
    a.write("dir/differs", "from a")
    b.write("dir/differs", "from b")
    os.symlink("same", a.path("link"))
    os.symlink("same", b.path("link"))
    a.sync()
    met = b.sync(expect=3)
    assert [c["path"] for c in met["conflicts"]] == ["dir/differs"]
    assert met["content_fetched"] < 1 * KIB and met["wire_up"] < 64 * KIB, "equal content was sent or fetched"
    a.sync()
    assert_same(a.tree(), b.tree())
    names = {p.decode() for p in a.tree()}
    assert {"shared", "only a", "only b", "dir/differs", met["conflicts"][0]["copy"]} <= names
    assert a.path("dir/differs").read_text() == "from a"
    assert a.path(met["conflicts"][0]["copy"]).read_text() == "from b"


# ---- three devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEED, SEED + (40 if FULL else 1)))
def test_three_devices_converge(make, seed):
    print("DRAY_SEED", seed)
    devices = make("a", "b", "c")
    chaos = Chaos(seed)
    for _ in range(10):
        for device in devices:
            for _ in range(chaos.rng.randrange(6)):
                chaos.step(device)
            if chaos.rng.random() < 0.7:
                device.sync_any("--allow-mass-delete")
    settle(*devices, rounds=6, args=["--allow-mass-delete"])
    chaos.check(devices[0].folder)
    for device in devices:
        device.quiet()


# ---- what cannot be synced ----------------------------------------------------------------------------------------------------


def reasons(done):
    return {e["path"]: e["reason"] for e in done["unsynced"]}


def test_what_cannot_be_synced_is_listed(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    b.sync()
    before = b.tree()
    latin = os.fsencode(a.folder) + b"/caf\xe9"
    with open(latin, "wb") as f:
        f.write(b"latin")
    os.mkdir(os.fsencode(a.folder) + b"/dir/\xff")
    with open(os.fsencode(a.folder) + b"/dir/\xff/inside", "wb") as f:
        f.write(b"beneath")
    os.mkfifo(a.path("fifo"))
    os.mknod(a.path("socket"), stat.S_IFSOCK | 0o600)
    a.path("text").unlink()
    os.mkfifo(a.path("text"))  # a pipe in the place of a file: the file is not here, and it was not deleted
    write(a.path("dir/sub/.dray"), "reserved")
    write(a.path("hollow/.dray/inside"), "reserved")
    a.write("ordinary", "goes on")
    done = a.sync(expect=3)
    why = reasons(done)
    assert why["fifo"] == why["text"] == why["socket"] == "special_file"
    assert why["caf\\xe9"] == why["dir/\\xff"] == "name_not_utf8"
    assert why["dir/sub/.dray"] == why["hollow/.dray"] == "name_reserved"
    assert not done["in_sync"] and done["deleted_there"] == 0
    text = a.dray("sync", a.folder)
    assert text.returncode == 3 and "caf\\xe9" in text.stdout and "special_file" in text.stdout
    b.sync()
    got = b.tree()
    assert {p: e for p, e in got.items() if p != b"ordinary"}.keys() == before.keys()
    assert got[b"text"] == before[b"text"]
    assert a.status()["in_sync"] is False
    assert os.path.exists(latin)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_unreadable_is_not_deleted(server, public_tmp):
    project = server.project("unreadable")
    nobody = dict(user=65534, group=65534, extra_groups=[])
    shutil.copy(BIN / "dray", public_tmp)  # the build may lie where only root comes
    a = Device(server, project, public_tmp / "a", "a", bin=public_tmp, cwd="/", **nobody)
    b = Device(server, project, public_tmp / "b", "b")
    small(a.folder)
    subprocess.run(["chown", "-R", "65534:65534", a.folder], check=True)
    a.sync()
    b.sync()
    before = b.tree()
    a.path("dir/sub").chmod(0)       # cannot be listed
    a.path("dir/file 3").write_text("edited, and then closed")
    os.chown(a.path("dir/file 3"), 0, 0)
    a.path("dir/file 3").chmod(0o600)  # cannot be read
    a.write("ordinary", "goes on")
    os.chown(a.path("ordinary"), 65534, 65534)
    done = a.sync(expect=3)
    assert "dir/sub" in reasons(done) and "dir/file 3" in reasons(done)
    assert done["deleted_there"] == 0 and not done["in_sync"]
    b.sync()
    got = b.tree()
    assert got.keys() - before.keys() == {b"ordinary"} and before.keys() <= got.keys()
    assert got[b"dir/sub/deep 1"] == before[b"dir/sub/deep 1"]
    a.path("dir/sub").chmod(0o755)
    os.chown(a.path("dir/file 3"), 65534, 65534)
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_what_cannot_be_read_is_no_edit(server, public_tmp):
    """It may have been touched, and the server has another version of it, or has moved it: nobody's edit is invented, and nothing comes twice."""
    project = server.project("unread")
    nobody = dict(user=65534, group=65534, extra_groups=[])
    shutil.copy(BIN / "dray", public_tmp)  # the build may lie where only root comes
    a = Device(server, project, public_tmp / "a", "a")
    b = Device(server, project, public_tmp / "b", "b", bin=public_tmp, cwd="/", **nobody)
    subprocess.run(["chown", "-R", "65534:65534", b.folder], check=True)
    small(a.folder)
    names = ["text", "big"]
    for name in names:
        a.path(name).chmod(0o600)
    a.sync()
    b.sync()
    before = {name: b.path(name).read_bytes() for name in names}
    for name in names:
        os.chown(b.path(name), 0, 0)
    a.write("text", "of a")
    a.path("big").rename(a.path("dir/big"))
    a.sync()
    done = b.sync(expect=3)
    assert {reasons(done)[name] for name in names} == {"unreadable"} and done["conflicts"] == []
    assert {name: b.path(name).read_bytes() for name in names} == before and not b.path("dir/big").exists()
    for name in names:
        os.chown(b.path(name), 65534, 65534)
    assert settle(b, a).keys() == a.tree().keys()
    assert b.path("text").read_text() == "of a" and not b.path("big").exists()
    assert not [p for p in b.tree() if b"conflict" in p]


def test_moved_away_from_what_cannot_be_seen(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    b.sync()
    move_from_unseen(a, b)
    assert_same(a.tree(), b.tree())


# ---- the command line -----------------------------------------------------------------------------------------------------------


def error_of(run):
    assert run.returncode == 1, (run.returncode, run.stdout, run.stderr)
    return json.loads(run.stdout)["error"]


def test_made_anew_under_the_old_name(make):
    """Another file by its identity: the old one's deletion is settled by it, and no whole listing is needed to find that out."""
    a, b = make("a", "b")
    a.write("file", "old")
    a.sync()
    b.sync()
    a.path("file").unlink()
    a.sync()
    a.write("file", "new")
    a.sync()
    plain = requests_of(b)
    assert b.path("file").read_text() == "new"
    a.write("file", "newer")
    a.sync()
    assert plain <= requests_of(b)


def requests_of(device):
    return device.sync()["requests"]


def test_from_a_subdirectory(make):
    a, b = make("a", "b")
    small(a.folder)
    done = a.dray("sync", "--json", cwd=a.path("dir/sub"))
    assert done.returncode == 0 and json.loads(done.stdout)["folder"] == str(a.folder)
    assert a.dray("status", cwd=a.path("hollow")).returncode == 0
    assert b.dray("sync", b.folder).returncode == 0
    assert_same(a.tree(), b.tree())


def test_text_answers(make):
    """People get sentences; nothing but the result is on standard output."""
    a, b = make("a", "b")
    small(a.folder)
    first = a.dray("sync", a.folder)
    assert first.returncode == 0 and "In sync: " in first.stdout and "sent" in first.stdout
    assert a.dray("sync", "--quiet", a.folder).stdout == ""
    told = a.dray("status", a.folder)
    assert told.returncode == 0 and "identical to the server" in told.stdout
    a.write("new\n\x1b[2Jname", "x")
    told = a.dray("status", a.folder)
    assert told.returncode == 3 and "\x1b" not in told.stdout and "new\\x0a\\x1b[2Jname" in told.stdout


def test_dry_run_changes_nothing(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    before = b.tree()
    plan = b.sync_any("--dry-run")
    assert b.tree() == before == {}
    assert {op["path"] for op in plan["plan"]} == {p.decode() for p in a.tree()}
    text = b.dray("sync", "--dry-run", b.folder)
    assert "fetch" in text.stdout and "more (--verbose lists all)" in text.stdout
    b.sync()
    assert_same(a.tree(), b.tree())


def test_link_and_unlink(make):
    (a,) = make("a")
    server, project = make.server, make.project
    again = a.dray("link", "--json", server.url, "--project", project, a.folder)
    assert error_of(again)["code"] == "exists"
    inside = a.dray("link", "--json", server.url, "--project", project, a.folder / "inner")
    assert error_of(inside)["code"] == "exists"
    assert a.dot().stat().st_mode & 0o777 == 0o700
    assert a.dot("token").stat().st_mode & 0o777 == 0o600
    a.write("file", "stays")
    a.sync()
    assert a.dray("unlink", a.folder).returncode == 0
    assert a.path("file").read_text() == "stays" and not a.dot().exists()
    assert error_of(a.dray("sync", "--json", a.folder))["code"] == "not_linked"
    assert a.dray("link", server.url, "--project", project, a.folder).returncode == 0
    done = a.sync()
    assert done["content_sent"] == done["content_fetched"] == 0 and done["wire_up"] < 4 * KIB
    a.quiet()


def test_link_refuses(make, tmp_path):
    (a,) = make("a")
    server, project, other = make.server, make.project, tmp_path / "other"

    def link(*args, token=a.token):
        return run_dray("link", "--json", *args, env={"DRAY_TOKEN": token}, stdin=subprocess.DEVNULL, start_new_session=True)

    assert link(server.url, "--project", "nonsense", other).returncode == 2
    assert link(server.url, other).returncode == 2
    assert link(server.url, "--project", project, other, token="dray_nonsense").returncode == 2
    assert link("ftp://127.0.0.1", "--project", project, other).returncode == 2
    assert link(server.url, "--project", project, other, token="").returncode == 2
    assert error_of(link(server.url, "--project", "0" * 32, other))["code"] == "not_found"
    foreign = server.device(server.project("foreign"), "x")
    assert error_of(link(server.url, "--project", project, other, token=foreign))["code"] == "not_found"
    assert not (other / ".dray").exists()
    assert error_of(link("http://example.com", "--project", project, other))["code"] == "tls_required"


def test_usage_errors():
    for args in [(), ("nonsense",), ("sync", "--nonsense"), ("sync", "a", "b"), ("sync", "--parallel", "0"), ("sync", "-P", "17"),
                 ("sync", "-P", "x"), ("link",), ("status", "--dry-run"), ("sync", "--timeout", "-1")]:
        run = run_dray(*args)
        assert run.returncode == 2 and run.stdout == "" and "dray" in run.stderr, args


def test_not_linked(tmp_path):
    for command in ("sync", "status", "unlink"):
        run = run_dray(command, "--json", tmp_path)
        assert error_of(run)["code"] == "not_linked"
        assert error_of(run_dray(command, "--json", tmp_path / "missing"))["code"] == "not_found"


def locked(device):
    """Asked of the kernel: taking the lock to see whether it is free would refuse a dray that wants it at that moment."""
    try:
        inode = os.stat(device.dot("lock")).st_ino
    except FileNotFoundError:
        return False
    with open("/proc/locks") as locks:
        return any(line.split()[-3].endswith(f":{inode}") for line in locks)


def test_one_sync_at_a_time(make):
    a, b = make("a", "b")
    for i in range(8):
        a.write(f"big {i}", random.Random(i).randbytes(4 * MIB))
    first = a.start()
    wait_for(lambda: locked(a) or first.poll() is not None)
    first.send_signal(signal.SIGSTOP)
    assert first.poll() is None, f"ended before it was caught: {first.stderr.read()}"
    try:
        for command in ("sync", "status", "unlink"):
            assert error_of(a.dray(command, "--json", a.folder))["code"] == "root_in_use"
    finally:
        first.send_signal(signal.SIGCONT)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 0, err
    b.sync()
    assert_same(a.tree(), b.tree())


def test_interrupt_is_safe(make):
    a, b = make("a", "b")
    for i in range(8):
        a.write(f"big {i}", random.Random(i).randbytes(4 * MIB))
    for sig in (signal.SIGINT, signal.SIGTERM):
        run = a.start()
        wait_for(lambda: locked(a) or run.poll() is not None)
        run.send_signal(sig)
        _, err = run.communicate(timeout=60)
        assert run.returncode in (1, -sig), (run.returncode, err)
        assert "Sanitizer" not in err and "runtime error" not in err, err
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())


def test_reader_cannot_push(make):
    (a,) = make("a")
    (r,) = make("r", role="reader")
    small(a.folder)
    a.sync()
    r.sync()
    assert_same(a.tree(), r.tree())
    r.quiet()
    r.write("text", "edited by a reader")
    r.write("new", "by a reader")
    done = r.dray("sync", "--json", r.folder)
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["code"] == "forbidden", (done.returncode, done.stdout)
    assert r.path("text").read_text() == "edited by a reader" and r.path("new").read_text() == "by a reader"
    a.write("dir/later", "still comes")
    a.sync()
    r.dray("sync", "--json", r.folder)
    assert r.path("dir/later").read_text() == "still comes"
    a.quiet()


def test_revoked_token(make):
    (a,) = make("a")
    small(a.folder)
    a.sync()
    before = a.tree()
    make.server.revoke(make.project, "a")
    a.write("new", "x")
    assert error_of(a.dray("sync", "--json", a.folder))["code"] in ("token_revoked", "token_invalid")
    told = a.dray("sync", a.folder)
    assert told.returncode == 1 and "Link the device again" in told.stderr
    a.path("new").unlink()
    assert {k: v[3:] for k, v in a.tree().items()} == {k: v[3:] for k, v in before.items()}


def test_server_down(own_server, tmp_path):
    a = Device(own_server, own_server.project("down"), tmp_path / "down", "a")
    small(a.folder)
    a.sync()
    before = a.tree()
    own_server.kill()
    started = time.monotonic()
    failed = a.dray("sync", "--json", "--timeout", "1", a.folder)
    assert error_of(failed)["code"] == "network" and error_of(failed)["retryable"] is True
    assert time.monotonic() - started < 15
    told = a.dray("status", "--json", a.folder)
    answer = json.loads(told.stdout)
    assert told.returncode == 3 and answer["online"] is False and answer["offline_reason"] and answer["in_sync"] is False
    assert answer["entries"] == len(before) and answer["plan"] == []
    assert "cannot be asked" in a.dray("status", a.folder).stdout
    assert_same(before, a.tree())
    own_server.start()
    a.quiet()


def test_server_comes_back_while_trying(own_server, tmp_path):
    """A server that restarts is not an error: the client waits for it."""
    a = Device(own_server, own_server.project("back"), tmp_path / "a", "a")
    small(a.folder)
    own_server.kill()
    run = a.start()
    wait_for(lambda: locked(a) or run.poll() is not None)
    assert run.poll() is None, run.stderr.read()
    own_server.start()
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    a.quiet()


# ---- a real tree -----------------------------------------------------------------------------------------------------------------


def copy_directory(dirpath, dirs, files, at):
    """One directory of this machine without its subdirectories; how many entries it has given."""
    at.mkdir(parents=True, exist_ok=True)
    count = 1
    for name in sorted(files) + [d for d in dirs if os.path.islink(os.path.join(dirpath, d))]:
        path = os.path.join(dirpath, name)
        if not name.isprintable() or not (os.path.islink(path) or os.path.isfile(path) and os.path.getsize(path) < 200 * KIB):
            continue  # not UTF-8 (os.walk gives a surrogate), special, or large
        shutil.copy2(path, at / name, follow_symlinks=False)
        count += 1
    shutil.copystat(dirpath, at)
    return count


def copy_real_tree(folder, entries):
    """Real files of this machine, as many as asked for; where it has fewer, several copies of them."""
    count = 0
    for copy in range(100):
        for source in ("/usr/include", "/usr/share", "/usr/lib/python3"):
            for dirpath, dirs, files in os.walk(source):
                dirs.sort()
                count += copy_directory(dirpath, dirs, files, folder / f"copy {copy}" / os.path.relpath(dirpath, "/usr"))
                if count >= entries:
                    return count
    return count


def test_real_tree(own_server, tmp_path):
    """Tens of thousands of real files to the server and to a second device, 200 edits back."""
    project = own_server.project("real")
    a, b = (Device(own_server, project, tmp_path / name, name) for name in "ab")
    assert copy_real_tree(a.folder, MANY) >= MANY
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())
    chaos = Chaos(SEED)
    for _ in range(200):
        chaos.step(b)
    expected = b.tree()
    b.sync("--allow-mass-delete")
    a.sync("--allow-mass-delete")
    assert_same(expected, a.tree())
    assert_same(expected, b.tree())
    a.quiet()
    b.quiet()
