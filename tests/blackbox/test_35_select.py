"""A device keeps the part of a project that was chosen for it (docs/protocol/ignore.md): what is not selected goes here, stays there, and comes back."""
import json
import os
import random
import signal
import time

import pytest

from agents import Agent, in_step
from devices import assert_same, settle
from waiting import wait_for


def names(device):
    return {os.fsdecode(n) for n in device.tree()}


def select(device, choice=None, *paths, expect=0):
    args = [f"--{choice}"] if choice else []
    args += [device.path(p) for p in paths] if paths else [device.folder] if choice in (None, "all") else []
    run = device.dray("select", "--json", *args)
    assert run.returncode == expect, run.stderr
    return json.loads(run.stdout)


def film(device):
    for name in ("cut.edl", "renders/1.exr", "renders/2.exr", "renders/final/1.mov", "sound/a.wav", "sound/old/b.wav"):
        device.write(name, f"bytes of {name}")
    device.path("sound", "empty").mkdir()


def agree(*devices):
    for _ in range(2):
        for device in devices:
            device.sync()


def unsynced(done):
    return {(p["path"], p["reason"]) for p in done["unsynced"]}


def trashed(device):
    return {str(p.relative_to(day)) for day in device.dot("trash").iterdir() for p in day.rglob("*") if p.is_file()}


def test_deselected_goes_here_and_stays_there(make):
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    whole = a.tree()
    told = select(b, "remove", "renders")
    assert told["paths"] == [{"path": "renders", "selected": False, "entries": 5, "bytes": told["still_here"]["bytes"]}]
    assert told["still_here"]["entries"] == 5 and told["left_out"]["entries"] == 0
    plan = b.status()["plan"]
    assert {p["path"] for p in plan} == {n for n in map(os.fsdecode, whole) if n.startswith("renders")} and {p["act"] for p in plan} == {"drop"}
    done = b.sync()
    assert done["dropped_here"] == 5 and done["deleted_there"] == done["sent"] == 0 and done["not_selected"] == done["left_out"] == 5
    assert names(b) == {n for n in map(os.fsdecode, whole) if not n.startswith("renders")}
    assert trashed(b) == {"renders/1.exr", "renders/2.exr", "renders/final/1.mov"}
    told = select(b)
    assert told["left_out"]["entries"] == 5 and told["still_here"]["entries"] == 0 and told["paths"][0]["bytes"] == told["left_out"]["bytes"] > 0
    for device in (a, b):
        device.quiet()
        assert device.status()["in_sync"]
    assert_same(whole, a.tree())
    said = b.dray("sync", b.folder).stdout
    assert "proven identical" in said and "but for 5 that are not selected here" in said
    assert "not 5 entries" in b.dray("status", b.folder).stdout
    assert "not here  renders  (5 entries" in b.dray("select", b.folder).stdout
    select(b, "add", "renders")
    done = b.sync()
    assert done["fetched"] == 5 and done["left_out"] == 0 and done["conflicts"] == []
    assert_same(whole, b.tree())
    assert select(b)["all"]


def test_only_before_the_first_sync(make):
    """A device that has no room for the rest never fetches it."""
    a, b = make("a", "b")
    film(a)
    a.write(".drayignore", "*.tmp\n")
    a.write("sound/.drayignore", "*.bak\n")
    a.sync()
    told = select(b, "only", "sound/old", "renders/final")
    assert [(p["path"], p["selected"]) for p in told["paths"]] == [("", False), ("renders/final", True), ("sound/old", True)]
    b.write("sound/old/x.tmp", "ignored by the rules above")
    b.write("sound/old/x.bak", "and by these")
    done = b.sync()
    assert done["sent"] == 0 and done["unsynced"] == [] and done["ignored"] == 2
    assert names(b) - {"sound/old/x.tmp", "sound/old/x.bak"} == {".drayignore", "renders", "renders/final", "renders/final/1.mov", "sound",
                                                                   "sound/.drayignore", "sound/old", "sound/old/b.wav"}
    b.write("sound/old/new.wav", "sent")
    b.path("renders", "final", "1.mov").unlink()
    done = b.sync()
    assert done["sent"] == 3 and done["deleted_there"] == 1  # the file, and the times of two directories
    a.sync()
    assert a.path("sound/old/new.wav").read_text() == "sent" and not a.path("renders/final/1.mov").exists()
    assert a.path("renders/final").is_dir() and a.path("cut.edl").exists()
    select(b, "all")
    b.sync()
    b.path("sound/old/x.tmp").unlink(), b.path("sound/old/x.bak").unlink()
    settle(a, b)


def test_what_was_not_sent_stays_and_is_said(make):
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    b.write("renders/1.exr", "edited and not sent")
    b.write("renders/new/3.exr", "only here")
    b.path("renders", "hollow").mkdir()
    b.path("renders", "2.exr").unlink()
    select(b, "remove", "renders")
    done = b.sync(expect=3)
    assert done["deleted_there"] == done["sent"] == 0 and not done["in_sync"]
    expected = {("renders/1.exr", "not_selected"), ("renders/new/3.exr", "not_selected"), ("renders/hollow", "not_selected")}
    assert unsynced(done) == expected
    assert b.path("renders/1.exr").read_text() == "edited and not sent" and b.path("renders/new/3.exr").read_text() == "only here"
    assert not b.path("renders", "final").exists()
    assert unsynced(b.sync(expect=3)) == expected and unsynced(b.status()) == expected
    assert_same(a.tree(), a.tree() if a.sync()["fetched"] == 0 else {})
    a.write("renders/1.exr", "edited there as well")
    a.sync()
    assert unsynced(b.sync(expect=3)) == expected
    select(b, "add", "renders")
    done = b.sync(expect=3)  # an edit against an edit; the deletion of 2.exr was never one to be sent
    assert [c["path"] for c in done["conflicts"]] == ["renders/1.exr"]
    tree = settle(a, b)
    assert {b"renders/2.exr", b"renders/new/3.exr", b"renders/hollow"} <= set(tree)
    assert {p.read_text() for p in a.path("renders").glob("1*.exr")} == {"edited and not sent", "edited there as well"}


def test_edit_is_an_edit_again(make):
    """Nobody else has touched what was edited before it was deselected: selected again it is sent, without a conflict."""
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    b.write("renders/1.exr", "edited and not sent")
    select(b, "remove", "renders")
    b.sync(expect=3)
    select(b, "all")
    done = b.sync()
    assert done["conflicts"] == [] and done["sent"] == 1
    a.sync()
    assert a.path("renders/1.exr").read_text() == "edited and not sent"


def test_changes_there(make):
    """What happens on the server to what is not selected is told and counted; what comes out of it, or goes in, moves."""
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    select(b, "remove", "renders")
    b.sync()
    a.write("renders/4.exr", "new")
    a.path("renders/1.exr").unlink()
    a.path("renders/2.exr").rename(a.path("2.exr"))
    a.path("cut.edl").rename(a.path("renders/cut.edl"))
    a.sync()
    done = b.sync()
    assert done["left_out"] == 5 and done["deleted_there"] == 0
    assert b.path("2.exr").read_text() == "bytes of renders/2.exr" and not b.path("cut.edl").exists() and not b.path("renders").exists()
    b.quiet()
    b.path("sound/a.wav").rename(b.path("a.wav"))  # life goes on beside it
    settle_selected = b.sync()
    assert settle_selected["moved_there"] == 1 and settle_selected["in_sync"]
    a.sync()
    for name in list(a.path("renders").rglob("*"))[::-1] + [a.path("renders")]:
        name.rmdir() if name.is_dir() else name.unlink()
    a.sync()
    assert b.sync()["left_out"] == 0
    settle(a, b)


def test_ignored_things_keep_their_directory_and_rules(make):
    a, b = make("a", "b")
    a.write("build/.drayignore", "*.o\n")
    a.write("build/x.c", "c")
    agree(a, b)
    b.write("build/x.o", "o")
    select(b, "remove", "build")
    done = b.sync()
    assert done["unsynced"] == [] and names(b) == {"build", "build/.drayignore", "build/x.o"}
    b.quiet()
    b.path("build/x.o").unlink()
    assert b.sync()["dropped_here"] == 2 and names(b) == set()
    select(b, "all")
    b.sync()
    settle(a, b)


def test_typing(make):
    a, = make("a")
    film(a)
    a.sync()
    for args, word in ((["--add"], "which PATH"), (["--only", "--add", a.path("sound")], "one of"), (["--remove", a.path("sonud")], "there is no sonud"),
                       (["--remove", a.path("renders/.drayignore")], "goes with its directory"), (["--remove", "/elsewhere"], "not in a linked folder"),
                       ([a.folder, a.folder], "more than one folder")):
        run = a.dray("select", *args)
        assert run.returncode in (1, 2) and word in run.stderr, run.stderr
    assert select(a)["all"] and a.quiet()
    select(a, "remove", "renders")
    select(a, "add", "renders/final")
    select(a, "remove", "renders/final/1.mov")
    assert [(p["path"], p["selected"]) for p in select(a)["paths"]] == [("renders", False), ("renders/final", True), ("renders/final/1.mov", False)]
    a.sync()
    assert names(a) & {"renders", "renders/final", "renders/1.exr", "renders/final/1.mov"} == {"renders", "renders/final"}
    select(a, "remove", "renders")  # speaks for all beneath it
    assert [p["path"] for p in select(a)["paths"]] == ["renders"]
    run = a.dray("select", "--quiet", "--only", "sound", cwd=a.folder)
    assert run.returncode == 0 and run.stdout == "" and [p["path"] for p in select(a)["paths"]] == ["", "sound"]
    a.sync()
    assert "renders" not in names(a) and "cut.edl" not in names(a) and "sound/a.wav" in names(a)


def test_damaged_choice_is_no_choice(make):
    """Nothing is fetched and nothing removed by a choice that is not known."""
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    select(b, "remove", "renders")
    b.sync()
    whole = b.dot("selection").read_bytes()
    for damaged in (b"", whole[:-3], whole.replace(b"renders", b"sendern"), b"x" * 5000, whole + b"-sound\0"):
        b.dot("selection").write_bytes(damaged)
        run = b.dray("sync", b.folder)
        assert run.returncode == 1 and "dray select --all" in run.stderr, run.stderr
        assert "renders" not in names(b) and "sound/a.wav" in names(b)
    select(b, "all")
    b.sync()
    assert_same(a.tree(), b.tree())


def test_agent_follows(make, tmp_path):
    """dray select is seen by dray watch at once, and what it removes is not taken for a deletion."""
    a, b = make("a", "b")
    film(a)
    agree(a, b)
    agent = Agent(b, log=tmp_path / "log")
    try:
        wait_for(lambda: in_step(b), "not in step")
        assert select(b, "remove", "renders")["agent"]
        wait_for(lambda: not b.path("renders").exists() and in_step(b), "still here")
        a.write("renders/5.exr", "not for b")
        a.write("sound/c.wav", "for b")
        a.sync()
        wait_for(lambda: b.path("sound/c.wav").exists() and in_step(b), "not here")
        assert not b.path("renders").exists()
        select(b, "add", "renders")
        wait_for(lambda: b.path("renders/5.exr").exists() and in_step(b), "not back")
    finally:
        agent.stop()
    assert a.sync()["fetched"] == 0
    settle(a, b)


@pytest.mark.parametrize("back", [False, True])
def test_killed_at_any_moment(make, back):
    """kill -9 while it is removed: nothing is deleted there, whether it stays deselected or is selected again before anybody looks."""
    trials = 60 if os.environ.get("DRAY_CAMPAIGN") == "full" else 3
    a, b = make("a", "b")
    for i in range(300):
        a.write(f"renders/{i % 7}/{i}", f"{i}")
    a.write("sound/a.wav", "a")
    agree(a, b)
    whole = a.tree()
    rng = random.Random(5)
    for _ in range(trials):
        select(b, "remove", "renders")
        sync = b.start()
        some = rng.randrange(1, 250)
        while sync.poll() is None and sum(len(f) for _, _, f in os.walk(b.path("renders"))) > 300 - some:
            time.sleep(0)
        sync.send_signal(signal.SIGKILL)
        sync.communicate()
        if not back:
            assert b.sync()["deleted_there"] == 0 and not b.path("renders").exists()
        select(b, "all")
        done = b.sync()
        assert done["deleted_there"] == 0 and done["sent"] == 0 and done["conflicts"] == []
        assert a.sync()["deleted_here"] == 0
        assert_same(whole, b.tree())
        assert_same(whole, a.tree())
