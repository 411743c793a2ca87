"""A first sync takes new names a slice at a time, and status says "identical" only when it is true."""
import os
import re
import shlex
import shutil
import sqlite3
import subprocess

import pytest

from devices import BIN, Device, assert_same, fill

TINY = {"DRAY_FAULT": "client.tiny_slices"}  # not a fault: eight new names a pass, so that a small tree takes as many as a large one


# ---- slices ---------------------------------------------------------------------------------------------------------------


def test_first_push_and_clone_in_slices(make):
    a, b = make("a", "b")
    fill(a.folder, files=150)
    sent = a.sync(env=TINY)
    fetched = b.sync(env=TINY)
    tree = a.tree()
    assert_same(tree, b.tree())
    assert sent["sent"] == len(tree) and fetched["fetched"] == len(tree) and sent["conflicts"] == fetched["conflicts"] == []
    a.quiet()
    b.quiet()


def test_rename_beside_many_new_files(make):
    """Both names of a renamed file are seen in one pass, however many new files there are."""
    a, b = make("a", "b")
    for i in range(30):
        a.write(f"old/{i:02}", f"content {i}" * 50)
    a.sync()
    b.sync()
    os.rename(a.path("old"), a.path("new"))
    for i in range(100):
        a.write(f"between/{i:03}", f"fresh {i}")
    done = a.sync(env=TINY)
    assert done["moved_there"] == 30
    got = b.sync(env=TINY)
    assert got["moved_here"] == 30 and got["conflicts"] == []
    assert_same(a.tree(), b.tree())


def test_two_full_trees_in_slices(make):
    """Equal content on both sides is adopted, what differs is kept in both versions, in slices as in one."""
    a, b = make("a", "b")
    for device in (a, b):
        for i in range(60):
            path = device.write(f"d{i % 7}/{i:02}", f"the same {i}")
            os.utime(path, (1_700_000_000, 1_700_000_000))
        device.write("differs", f"of {device.name}")
        device.write(f"only-{device.name}", "one")
    a.sync(env=TINY)
    met = b.sync(env=TINY, expect=3)
    assert [c["path"] for c in met["conflicts"]] == ["differs"]
    a.sync(env=TINY)
    b.sync(env=TINY)
    assert_same(a.tree(), b.tree())
    assert len([p for p in a.tree() if p.startswith(b"differs")]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_what_cannot_be_sent_does_not_stop_the_rest(server, public_tmp):
    """More files that cannot be read than a slice has room for: the rest goes on, each of them is told, and the sync ends."""
    project = server.project("locked")
    nobody = dict(user=65534, group=65534, extra_groups=[])
    shutil.copy(BIN / "dray", public_tmp)  # the build may lie where only root comes
    a = Device(server, project, public_tmp / "a", "a", bin=public_tmp, cwd="/", **nobody)
    b = Device(server, project, public_tmp / "b", "b")
    for i in range(40):
        a.write(f"locked/{i:02}", "secret")
        a.write(f"open/{i:02}", f"free {i}")
    subprocess.run(["chown", "-R", "65534:65534", a.folder], check=True)
    for i in range(40):
        os.chown(a.path(f"locked/{i:02}"), 0, 0)
        a.path(f"locked/{i:02}").chmod(0o600)
    done = a.sync(expect=3, env=TINY)
    assert len({u["path"] for u in done["unsynced"]}) == len(done["unsynced"]) == 40
    b.sync()
    assert len(os.listdir(b.path("open"))) == 40 and os.listdir(b.path("locked")) == []


# ---- status ---------------------------------------------------------------------------------------------------------------


def status(device, *args):
    run = device.dray("status", *args, device.folder)
    assert run.returncode in (0, 3), run.stderr
    return run


def test_status_tells_what_differs(make):
    a, b = make("a", "b")
    for name in ("mine", "theirs", "both", "same"):
        a.write(name, "one")
    a.sync()
    b.sync()
    assert "identical to the server at " in status(a).stdout and status(a).returncode == 0
    b.write("theirs", "two of b")
    b.write("both", "two of b")
    b.sync()
    a.write("mine", "two of a")
    a.write("both", "two of a!")
    before = a.tree()
    told = a.status()
    assert {(p["act"], p["path"]) for p in told["plan"]} == {("push", "mine"), ("pull", "theirs"), ("conflict", "both")}
    assert not told["in_sync"] and status(a).returncode == 3 and "identical" not in status(a).stdout
    assert_same(before, a.tree())


def test_status_sees_an_edit_of_equal_size_and_time(make):
    (a,) = make("a")
    path = a.write("f", "aaaa")
    a.sync()
    st = os.stat(path)
    path.write_text("bbbb")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert not a.status()["in_sync"]


def test_status_verify_reads_everything(make):
    """Bytes that change beneath an unchanged stat, as a bad disk changes them, are told, and are nobody's edit."""
    (a,) = make("a")
    a.write("good", "x" * 1000)
    a.write("large", os.urandom(200_000))
    path = a.write("rotten", "aaaa")
    a.sync()
    a.quiet()
    st = os.stat(path)
    path.write_text("bbbb")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    with sqlite3.connect(a.dot("state.db")) as db:
        for name in ("good", "large", "rotten"):
            db.execute("UPDATE base SET ctime_ns = ? WHERE name = ?", (os.stat(a.path(name)).st_ctime_ns, name.encode()))
    db.close()
    assert a.status()["in_sync"]  # by the stat: which is what --verify is for
    run = status(a, "--verify", "--json")
    assert run.returncode == 3
    assert '"in_sync":false' in run.stdout and '"verified":2' in run.stdout and '"content_differs"' in run.stdout
    assert "rotten: content_differs" in status(a, "--verify").stdout
    assert a.sync()["sent"] == 0
    path.write_text("aaaa")
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert status(a, "--verify").returncode == 0 and "Verified  3 files" in status(a, "--verify").stdout


# ---- what is said of what is not planned yet ----------------------------------------------------------------------------------------------------


def bars(device):
    """The numbers of files that a bar shows during a sync on a terminal: done, of how many."""
    command = shlex.join([str(BIN / "dray"), "sync", "--limit-rate", "150K", str(device.folder)])
    shown = device.folder.parent / "shown"
    subprocess.run(["script", "-qec", command, shown], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120,
                   env={**os.environ, **TINY, "DRAY_TOKEN": device.token, "TERM": "xterm", "COLUMNS": "100"})
    return [tuple(map(int, m)) for m in re.findall(r"(\d+)/(\d+) files", shown.read_text(errors="replace"))]


@pytest.mark.faulty
def test_a_bar_counts_what_is_left_for_later_slices(make):
    """However many slices a sync takes, it has one bar, from nothing to all."""
    a, b = make("a", "b")
    for i in range(40):
        a.write(f"f{i:02}", os.urandom(6000))
    for device in (a, b):
        seen = bars(device)
        assert seen and {total for _, total in seen} == {40}, seen
        assert [done for done, _ in seen] == sorted(done for done, _ in seen), seen
        assert seen[-1][0] > 20, "the bar began anew"
    assert_same(a.tree(), b.tree())


@pytest.mark.faulty
def test_status_counts_what_it_does_not_plan(make):
    """For people it plans a slice and counts the rest; who asks for all names gets them."""
    a, b = make("a", "b")
    for i in range(40):
        a.write(f"f{i:02}", "new")
    for device, word in ((a, "send"), (b, "fetch")):
        said = device.dray("status", device.folder, env=TINY).stdout
        shown = said.count(f"  {word} ")
        assert "State     40 entries differ; dray sync would:" in said and 0 < shown < 40 and f"... and {40 - shown} more" in said, said
        assert device.dray("status", "--verbose", device.folder, env=TINY).stdout.count(f"  {word} ") == 40
        assert len(device.status()["plan"]) == 40
        a.sync()
