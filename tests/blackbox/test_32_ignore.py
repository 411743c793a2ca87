"""What is ignored by a .drayignore stays as it is on both sides (docs/protocol/ignore.md), and nothing is said to be the same that is not."""
import json
import os
import socket

import pytest

from agents import Agent, in_step, status
from devices import assert_same, contents
from waiting import wait_for


def names(device):
    return {os.fsdecode(n) for n in device.tree()}


def listed(device):
    run = device.dray("status", "--json", "--ignored", device.folder)
    assert run.returncode in (0, 3), run.stderr
    return json.loads(run.stdout)


def agree(*devices):
    for _ in range(2):
        for device in devices:
            device.sync()


def test_only_here_is_not_sent(make):
    a, b = make("a", "b")
    a.write(".drayignore", "*.o\nbuild/\n")
    a.write("x.c", "c")
    a.write("x.o", "o")
    a.write("build/out/x", "x")
    done = a.sync()
    assert done["sent"] == 2 and done["ignored"] == 2 and done["left_out"] == 0 and done["unsynced"] == []
    b.write("own.o", "from before the rules came")
    done = b.sync()
    assert names(b) == {".drayignore", "x.c", "own.o"} and done["ignored"] == 1
    for device in (a, b):
        device.quiet()
        assert device.status()["in_sync"]
    told = listed(a)
    assert told["ignored"] == 2 and told["ignored_names"] == ["build", "x.o"] and told["left_out_names"] == []
    said = a.dray("sync", "--verbose", a.folder).stdout
    assert "Ignored here: 2 names" in said and "but for" not in said


def test_what_becomes_ignored_stays_on_both_sides(make):
    a, b, c = make("a", "b", "c")
    a.write("keep", "k")
    a.write("junk/one", "1")
    a.write("junk/two", "2")
    agree(a, b)
    a.write(".drayignore", "junk\n")
    a.write("junk/one", "edited while ignored")
    done = a.sync()
    assert done["sent"] == 1 and done["deleted_there"] == 0 and done["left_out"] == 3 and done["entries"] == 2
    b.sync()
    assert b.path("junk", "one").read_text() == "1"
    b.path("junk", "two").unlink()
    done = b.sync()  # gone here while it is ignored: no deletion
    assert done["deleted_there"] == 0 and done["left_out"] == 3
    c.sync()  # a new device does not get it
    assert names(c) == {".drayignore", "keep"}
    assert listed(c)["left_out_names"] == ["junk", "junk/one", "junk/two"]
    said = c.dray("sync", c.folder).stdout
    assert "proven identical" in said and "but for 3 that are ignored here" in said
    for device in (a, b, c):
        device.quiet()


def test_no_longer_ignored_is_united(make):
    a, b = make("a", "b")
    for name in ("same", "edited", "gone"):
        a.write(f"junk/{name}", name)
    agree(a, b)
    a.write(".drayignore", "junk/\n")
    agree(a, b)
    a.write("junk/edited", "edited while ignored")
    a.path("junk", "gone").unlink()
    a.write("junk/new", "new")
    a.quiet()
    a.path(".drayignore").unlink()
    done = a.sync_any()
    assert done["deleted_there"] == 1 and done["left_out"] == 0 and len(done["conflicts"]) == 1  # the rules themselves
    assert a.path("junk", "gone").read_text() == "gone"
    assert {p.read_text() for p in a.path("junk").glob("edited*")} == {"edited", "edited while ignored"}
    agree(a, b)
    assert_same(a.tree(), b.tree())
    assert b.path("junk", "new").read_text() == "new"


def test_changes_there_are_left_out(make):
    """The server's project goes on with names that are ignored here: rules that ignore themselves are this device's own."""
    a, b = make("a", "b")
    b.write(".drayignore", ".drayignore\n*.raw\n")
    b.quiet()
    for i in range(3):
        a.write(f"{i}.raw", "r")
        a.write(f"{i}.txt", "t")
        a.sync()
        done = b.sync()
        assert done["left_out"] == i + 1 and b.path(f"{i}.txt").exists() and not b.path(f"{i}.raw").exists()
    a.write("0.raw", "edited")
    a.path("1.raw").unlink()
    a.path("2.raw").rename(a.path("2.txt"))
    a.sync()
    assert b.sync()["left_out"] == 1
    assert b.path("2.txt").read_text() == "r"
    a.path("0.txt").rename(a.path("0b.raw"))
    a.sync()
    done = b.sync()
    assert done["left_out"] == 2 and not b.path("0.txt").exists()
    b.path(".drayignore").unlink()
    b.sync()
    assert_same(a.tree(), b.tree())


def test_rules_come_first(make):
    """Rules from another device count before anything of here is sent, or of there is fetched."""
    a, b = make("a", "b")
    agree(a, b)
    a.write("deep/er/.drayignore", "*.key\n")
    a.write("deep/er/file", "f")
    a.sync()
    b.write("deep/er/secret.key", "secret")
    b.write("other", "o")
    done = b.sync()
    assert done["sent"] == 1
    a.sync()
    assert names(a) == {"deep", "deep/er", "deep/er/.drayignore", "deep/er/file", "other"}


def test_directory_deleted_there_stays_for_what_is_ignored(make):
    a, b = make("a", "b")
    a.write(".drayignore", "*.o\n")
    a.write("d/e/.drayignore", "*.key\n")
    a.write("d/e/file", "f")
    agree(a, b)
    b.write("d/e/x.o", "o")
    b.write("d/e/x.key", "secret")
    b.sync()  # the directory's time
    b.quiet()
    for path in ("d/e/file", "d/e/.drayignore"):
        a.path(path).unlink()
    a.path("d/e").rmdir()
    a.path("d").rmdir()
    a.sync()
    done = b.sync()
    assert sorted(done["kept_for_ignored"]) == ["d", "d/e"] and done["unsynced"] == []
    assert names(b) == {".drayignore", "d", "d/e", "d/e/.drayignore", "d/e/x.key", "d/e/x.o"}  # with the rules that keep the secret here
    b.quiet()
    a.sync()
    assert names(a) == {".drayignore"}
    b.write("d/e/file", "again")
    b.sync()
    a.sync()
    assert names(a) == {".drayignore", "d", "d/e", "d/e/file", "d/e/.drayignore"}


def test_directory_renamed_there_leaves_what_is_ignored(make):
    a, b = make("a", "b")
    a.write("d/.drayignore", "*.key\n")
    a.write("d/file", "f")
    agree(a, b)
    b.write("d/x.key", "secret")
    b.sync()
    a.sync()
    a.path("d").rename(a.path("e"))
    a.sync()
    b.sync()
    assert names(b) == {"d", "d/.drayignore", "d/x.key", "e", "e/.drayignore", "e/file"}
    b.quiet()
    assert a.sync()["fetched"] == 0


def test_directory_deleted_here_with_something_left_out_comes_back(make):
    a, b = make("a", "b")
    a.write("d/x.raw", "r")
    a.write("d/file", "f")
    agree(a, b)
    b.write(".drayignore", "*.raw\n")
    b.sync()
    b.path("d/x.raw").unlink()
    b.path("d/file").unlink()
    b.path("d").rmdir()
    done = b.sync()
    assert done["deleted_there"] == 1 and names(b) == {".drayignore", "d"}
    a.sync()
    assert names(a) == {".drayignore", "d", "d/x.raw"}


def test_something_else_in_place_of_a_directory_with_ignored_files(make):
    a, b = make("a", "b")
    a.write(".drayignore", "*.o\n")
    a.write("d/file", "f")
    agree(a, b)
    b.write("d/x.o", "o")
    a.path("d/file").unlink()
    a.path("d").rmdir()
    a.write("d", "a file now")
    a.sync()
    done = b.sync(expect=3)
    assert [(p["path"], p["reason"]) for p in done["unsynced"]] == [("d", "holds_ignored")]
    assert b.path("d/x.o").read_text() == "o"
    b.path("d/x.o").unlink()
    b.sync()
    assert b.path("d").read_text() == "a file now"


def test_ignored_as_one_kind_and_not_as_another(make):
    a, b = make("a", "b")
    b.write(".drayignore", ".drayignore\nx/\n")
    b.quiet()
    a.write("x/in", "i")
    a.sync()
    b.write("x", "a file")
    done = b.sync(expect=3)
    assert [(p["path"], p["reason"]) for p in done["unsynced"]] == [("x", "ignored_in_part")]
    b.path("x").unlink()
    b.sync()
    assert a.sync()["fetched"] == 0 and a.path("x/in").exists()


@pytest.mark.parametrize("rules, reason", [("a" * 5000, "ignore_line_too_long"), ("a\n" * 5000, "ignore_too_many"), ("#" * 200_000, "ignore_too_large")],
                         ids=["line", "many", "large"])
def test_rules_over_a_limit_stop_their_directory_only(make, rules, reason):
    """What is ignored is not known then: nothing there is sent, fetched or deleted, but better rules."""
    a, b = make("a", "b")
    a.write("sub/old", "o")
    agree(a, b)
    a.write("sub/.drayignore", rules)
    a.write("sub/new", "n")
    a.path("sub/old").unlink()
    a.write("beside", "b")
    done = a.sync(expect=3)
    assert [(p["path"], p["reason"]) for p in done["unsynced"]] == [("sub/.drayignore", reason)]
    done = b.sync(expect=3)
    assert names(b) == {"sub", "sub/old", "sub/.drayignore", "beside"}
    b.write("sub/.drayignore", "new\n")
    b.sync()
    a.sync()
    assert names(a) == {"sub", "sub/.drayignore", "sub/new", "beside"}
    b.sync()
    assert names(b) == {"sub", "sub/.drayignore", "beside"}


def test_rules_that_are_no_file(make):
    a, = make("a")
    a.write("file", "f")
    a.path(".drayignore").symlink_to("file")
    done = a.sync(expect=3)
    assert [(p["path"], p["reason"]) for p in done["unsynced"]] == [(".drayignore", "ignore_not_file")]
    a.path(".drayignore").unlink()
    a.sync()


def test_what_cannot_be_synced_is_no_problem_where_it_is_ignored(make):
    a, = make("a")
    a.write(".drayignore", "*.sock\nbad*\n")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.open(a.folder, os.O_RDONLY)
        try:
            s.bind(f"/proc/self/fd/{here}/x.sock")
        finally:
            os.close(here)
    with open(os.path.join(os.fsencode(a.folder), b"bad\xff"), "wb"):
        pass
    assert a.sync()["unsynced"] == []


def test_dry_run_and_status_forget_nothing(make):
    """Rules that were a mistake and are taken back before a sync have changed nothing."""
    a, = make("a")
    a.write("file", "f")
    a.sync()
    a.write(".drayignore", "*\n")
    plan = json.loads(a.dray("sync", "--json", "--dry-run", a.folder).stdout)["plan"]
    assert plan == [] and a.status()["plan"] == []
    a.path(".drayignore").unlink()
    a.path("file").unlink()
    assert a.sync()["deleted_there"] == 1


def test_a_state_that_was_lost_is_made_again(make):
    """Everything is listed anew, also what is left out."""
    a, b = make("a", "b")
    a.write("keep", "k")
    a.write("x.raw", "r")
    agree(a, b)
    a.write(".drayignore", "*.raw\n")
    agree(a, b)
    b.dray("unlink", b.folder)
    again = b.dray("link", make.server.url, "--project", make.project, b.folder)
    assert again.returncode == 0, again.stderr
    done = b.sync()
    assert done["left_out"] == 1 and done["in_sync"]
    assert contents(a.tree()) == contents(b.tree())


def test_many_left_out(make):
    """More than a slice holds, on both sides, and the rest is synced in slices."""
    a, b = make("a", "b")
    for i in range(60):
        a.write(f"{i}.raw", str(i))
    a.sync()
    a.write(".drayignore", "*.raw\n")
    for i in range(60):
        a.write(f"{i}.txt", str(i))
    a.sync(env={"DRAY_FAULT": "client.tiny_slices"})
    for i in range(60):
        b.write(f"b{i}.txt", str(i))
    done = b.sync(env={"DRAY_FAULT": "client.tiny_slices"})
    assert done["left_out"] == 60 and len(names(b)) == 121
    a.sync(env={"DRAY_FAULT": "client.tiny_slices"})
    assert a.quiet()["ignored"] == 60


def passes(device):
    return status(device)["passes"]


def test_agent_is_not_woken_by_what_is_ignored(make, tmp_path):
    a, = make("a")
    a.write(".drayignore", "build/\n*.o\n")
    a.write("build/deep/f", "f")
    a.write("src/f", "f")
    agent = Agent(a, log=tmp_path / "agent.log")
    try:
        wait_for(lambda: in_step(a))
        assert '"directories":2' in agent.said() or "directories=2" in agent.said(), agent.said()
        before = passes(a)
        for i in range(20):
            a.write(f"build/deep/{i}", "x")
            a.write(f"src/{i}.o", "x")
        a.write("src/seen", "s")
        wait_for(lambda: passes(a) > before and in_step(a))
        assert a.status()["entries"] == 4
        a.write(".drayignore", "*.o\n")  # the directory is watched from now on
        wait_for(lambda: in_step(a) and a.status()["entries"] == 4 + 2 + 21)
        a.write("build/deep/more", "m")
        wait_for(lambda: in_step(a) and a.status()["entries"] == 4 + 2 + 22)
    finally:
        agent.stop()
