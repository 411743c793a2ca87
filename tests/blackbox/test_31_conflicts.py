"""
Conflicts as people meet them: listed on every device, decided on any of them, the trees one again, and nothing that gave way out of
reach of dray log and dray restore.
"""
import json
import os
import random
import signal
import sqlite3

import pytest

from api import Project
from devices import assert_same, settle
from edits import small
from waiting import wait_for


def conflicts(device, *args, expect=None, **more):
    run = device.dray("conflicts", "--json", *args, cwd=device.folder, **more)
    answer = json.loads(run.stdout)
    assert run.returncode == (3 if answer["open"] else 0), run
    if expect is not None:
        assert answer["open"] == expect, answer
    return answer["conflicts"]


def resolve(device, what, keep, expect=0):
    run = device.dray("conflicts", "resolve", what, "--keep", keep, cwd=device.folder)
    assert run.returncode == expect, run
    return run.stdout if expect == 0 else run.stderr


def edit_both(a, b, name="text", more=""):
    """a's reaches the server first; both have both in the end."""
    a.write(name, "from a" + more)
    b.write(name, "from b" + more)
    a.sync()
    (met,) = b.sync(expect=3)["conflicts"]
    a.sync()
    return met["copy"]


@pytest.fixture
def pair(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    b.sync()
    return a, b


def read(device, name):
    return device.path(name).read_text()


# ---- listed -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "dir/sub/deep 0"])
def test_listed_on_both(pair, name):
    a, b = pair
    conflicts(a, expect=0)
    copy = edit_both(a, b, name)
    (seen,) = conflicts(a, expect=1)
    assert conflicts(b) == [seen]
    assert (seen["original"]["path"], seen["copy"]["path"], seen["device_name"]) == (name, copy, "b")
    assert seen["id"] == seen["copy"]["id"] and seen["lost_against"] == seen["original"]["version"]
    for args, cwd in ([], a.folder), ([a.folder], "/"):
        run = a.dray("conflicts", *args, cwd=cwd)
        first, second, last = run.stdout.splitlines()
        assert run.returncode == 3 and first.endswith(f"  b       {name}") and second.strip() == copy and last.startswith("1 open.")


def test_sync_says_where_they_are_listed(pair):
    a, b = pair
    a.write("text", "from a")
    b.write("text", "from b")
    a.sync()
    assert "dray conflicts lists them" in b.dray("status", b.folder).stdout
    run = b.dray("sync", b.folder)
    assert run.returncode == 3 and "dray conflicts lists them" in run.stdout
    assert "conflict" not in b.dray("sync", b.folder).stdout


def test_both_new_and_links(pair):
    a, b = pair
    edit_both(a, b, "new")
    for device, target in (a, "there"), (b, "here"):
        os.symlink(target, device.path("new link"))
    a.sync()
    b.sync(expect=3)
    assert [c["original"]["kind"] for c in conflicts(a, expect=2)] == ["file", "link"]


def test_equal_edits_are_none(pair):
    a, b = pair
    a.write("text", "the same")
    b.write("text", "the same")
    settle(a, b)
    conflicts(a, expect=0)


def test_an_edit_beside_a_deletion_stays_and_is_shown(pair):
    a, b = pair
    a.path("text").unlink()
    b.write("text", "from b")
    a.sync()
    (planned,) = b.status()["plan"]
    assert "the edit stays" in json.dumps(planned)
    b.sync()
    settle(a, b)
    assert read(a, "text") == "from b"
    conflicts(a, expect=0)  # nothing has lost its name


def test_many_are_listed_page_by_page(pair):
    a, b = pair
    names = [f"d/{i:03}" for i in range(520)]
    for device in pair:
        for name in names:
            device.write(name, f"{name} {device.name}")
    a.sync()
    b.sync(expect=3)
    seen = conflicts(a, expect=len(names))
    assert {c["original"]["path"] for c in seen} == set(names) and len({c["id"] for c in seen}) == len(names)


# ---- decided ----------------------------------------------------------------------------------------------------------------------


def history(device, path):
    return json.loads(device.dray("log", "--json", path, cwd=device.folder).stdout)


def bring_back(device, path, *args):
    run = device.dray("restore", path, *args, cwd=device.folder)
    assert run.returncode == 0, run.stderr
    device.sync()
    return read(device, path)


def by_copy(seen):
    return seen["copy"]["path"]


def by_file(seen):
    return seen["original"]["path"]


def by_id(seen):
    return seen["id"]


@pytest.mark.parametrize("by", [by_copy, by_file, by_id], ids=lambda f: f.__name__)
def test_keep_current(pair, by):
    a, b = pair
    copy = edit_both(a, b)
    (seen,) = conflicts(a)
    assert f"Next: dray sync {a.folder}" in resolve(a, by(seen), "current")
    settle(a, b)
    assert read(b, "text") == "from a" and not b.path(copy).exists()
    conflicts(b, expect=0)
    (seen,) = conflicts(b, "--all")
    assert (seen["state"], seen["resolution"], seen["resolved_by_name"], seen["copy"]["deleted"]) == ("resolved", "current", "a", True)
    assert "current" in a.dray("conflicts", "--all", cwd=a.folder).stdout
    assert history(b, copy)["deleted"] and bring_back(b, copy) == "from b"


def test_keep_copy(pair):
    a, b = pair
    copy = edit_both(a, b)
    resolve(b, copy, "copy")
    settle(a, b)
    assert read(a, "text") == "from b" and not a.path(copy).exists()
    conflicts(a, expect=0)
    assert bring_back(a, "text") == "from a"
    assert bring_back(a, copy) == "from b"


def test_keep_both(pair):
    a, b = pair
    copy = edit_both(a, b)
    before = a.tree()
    assert "dray sync" not in resolve(a, "text", "both")
    assert_same(settle(a, b), before)
    conflicts(a, expect=0)
    b.write(copy, "goes on by itself")
    settle(a, b)
    assert read(a, copy) == "goes on by itself"


def test_keep_merged(pair):
    a, b = pair
    copy = edit_both(a, b)
    assert "nothing was merged into it" in resolve(a, copy, "merged", expect=1)
    a.write("text", "from a and from b")
    assert "nothing was merged into it" in resolve(a, copy, "merged", expect=1), "it is not synced yet"
    a.sync()
    resolve(a, copy, "merged")
    settle(a, b)
    assert read(b, "text") == "from a and from b" and not b.path(copy).exists()
    assert bring_back(b, copy) == "from b"


def test_a_copy_that_somebody_deletes(pair):
    a, b = pair
    copy = edit_both(a, b)
    a.path(copy).unlink()
    settle(a, b)
    conflicts(b, expect=0)
    (seen,) = conflicts(b, "--all")
    assert (seen["resolution"], seen["resolved_by_name"]) == ("copy_gone", "a")


def test_files_go_on_meanwhile(pair):
    """Renamed, edited and deleted by people, a conflict shows what its files have become."""
    a, b = pair
    copy = edit_both(a, b)
    a.path("text").rename(a.path("dir/renamed"))
    a.path(copy).rename(a.path("mine"))
    a.sync()
    a.write("mine", "from b, and on")
    settle(a, b)
    (seen,) = conflicts(b, expect=1)
    assert (seen["original"]["path"], seen["copy"]["path"]) == ("dir/renamed", "mine")
    b.path("dir/renamed").unlink()
    settle(a, b)
    (seen,) = conflicts(b, expect=1)
    assert seen["original"]["deleted"] and "(deleted)" in b.dray("conflicts", cwd=b.folder).stdout
    resolve(b, "mine", "copy")
    settle(a, b)
    assert read(a, "dir/renamed") == "from b, and on" and not a.path("mine").exists()


def test_an_edit_that_is_not_synced_is_not_lost(pair):
    """Resolved by one device while the other one works on the copy."""
    a, b = pair
    copy = edit_both(a, b)
    b.write(copy, "from b, still at work")
    resolve(a, copy, "current")
    a.sync()
    settle(b, a)
    assert read(a, copy) == "from b, still at work"


def test_a_copy_of_a_copy(pair):
    a, b = pair
    copy = edit_both(a, b)
    again = edit_both(a, b, copy, more=" again")
    seen = conflicts(a, expect=2)
    assert seen[1]["original"]["id"] == seen[0]["id"] and seen[1]["copy"]["path"] == again and again.count("(conflict") == 1
    assert "2 open" in a.dray("conflicts", cwd=a.folder).stdout


def test_two_of_one_file(make):
    a, b, c = make("a", "b", "c")
    a.write("text", "from the start")
    settle(a, b, c)
    for device in a, b, c:
        device.write("text", f"from {device.name}")
    a.sync()
    b.sync(expect=3)
    c.sync(expect=3)
    settle(a, b, c)
    seen = conflicts(a, expect=2)
    assert "2 open conflicts" in resolve(a, "text", "current", expect=2)
    resolve(a, by_copy(seen[0]), "copy")
    # The other one lost against what is a former version by now; it is decided on what is there.
    resolve(a, "text", "current")
    settle(a, b, c)
    assert read(c, "text") == "from b"


def test_a_directory_against_a_file(pair):
    a, b = pair
    a.write("place", "a file")
    b.write("place/inner", "in a directory")
    a.sync()
    (met,) = b.sync(expect=3)["conflicts"]
    settle(a, b)
    (seen,) = conflicts(a, expect=1)
    assert (seen["original"]["kind"], seen["copy"]["kind"], seen["copy"]["path"]) == ("file", "dir", met["copy"])
    assert "has something in it" in resolve(a, "place", "current", expect=1)
    resolve(a, "place", "copy")
    settle(a, b)
    assert read(a, "place/inner") == "in a directory"
    conflicts(b, expect=0)


def test_a_file_against_a_directory(pair):
    a, b = pair
    a.write("place/inner", "in a directory")
    b.write("place", "a file")
    a.sync()
    b.sync(expect=3)
    settle(a, b)
    (seen,) = conflicts(a, expect=1)
    assert "has something in it" in resolve(a, "place", "copy", expect=1)
    resolve(a, "place", "current")
    settle(a, b)
    assert read(b, "place/inner") == "in a directory" and not b.path(by_copy(seen)).exists()


# ---- asked again, too late, by strangers -------------------------------------------------------------------------------------------


def test_asked_again(pair):
    a, b = pair
    edit_both(a, b)
    (seen,) = conflicts(a)
    resolve(a, seen["id"], "copy")
    settle(a, b)
    resolve(b, seen["id"], "copy")
    b.quiet()
    assert "resolved otherwise" in resolve(b, seen["id"], "current", expect=1)
    assert "has no open conflict" in resolve(b, "text", "copy", expect=1)
    assert "has no open conflict" in resolve(b, "0" * 32, "copy", expect=1)


def body(seen, keep):
    return {"keep": keep, "version": seen["original"]["version"], "copy_version": seen["copy"]["version"]}


def project_of(device, server):
    id = json.loads(device.dray("conflicts", "--json", cwd=device.folder).stdout)["project"]
    return Project(server, server.api(server.owner_token), id, device.token)


def test_too_late(pair, server):
    """Decided on what somebody has seen, and neither file is that any more."""
    a, b = pair
    copy = edit_both(a, b)
    p = project_of(a, server)
    for name in "text", copy:
        (seen,) = conflicts(a)
        b.write(name, f"{name} newer")
        b.sync()
        for keep in "current", "copy", "both", "merged":
            answer = p.call("POST", f"/conflicts/{seen['id']}/resolve", body(seen, keep))
            assert (answer.status, answer.code) == (409, "version_conflict"), answer
            assert [answer.json["current"]] == conflicts(a)
    settle(a, b)
    assert read(a, "text") == "text newer" and read(a, copy) == f"{copy} newer"


def test_one_decision_of_many(pair, server):
    """Sent by many at once with one key, and with keys of their own: done once."""
    a, b = pair
    edit_both(a, b)
    p = project_of(a, server)
    (seen,) = conflicts(a)
    send = lambda key, keep="copy": p.call("POST", f"/conflicts/{seen['id']}/resolve", body(seen, keep), headers={"Idempotency-Key": key})
    first = send("one")
    assert first.status == 200 and send("one").json == first.json and send("two").json == first.json
    assert send("one", "both").code == "idempotency_mismatch" and send("three", "both").code == "version_conflict"
    assert p.files()["text"]["version"] == first.json["original"]["version"]
    settle(a, b)


def test_strangers(pair, server, owner):
    a, b = pair
    edit_both(a, b)
    (seen,) = conflicts(a)
    p = project_of(a, server)
    stranger = Project.create(server, owner, "stranger")
    reader = server.api(server.device(p.id, "reader", "reader"))
    base = f"/projects/{p.id}/conflicts"
    nowhere = f"/projects/{'0' * 32}/conflicts"
    for method, path, data in ("GET", "", None), ("POST", f"/{seen['id']}/resolve", body(seen, "both")):
        here, none = (stranger.api.call(method, start + path, data) for start in (base, nowhere))
        assert (here.status, here.code, here.json["detail"]) == (none.status, none.code, none.json["detail"]) == (404, "not_found", none.json["detail"])
    # The conflict of one project is none of another, and neither are its files and cursors.
    cursor = reader.ok("GET", base)["next_cursor"]
    assert stranger.call("POST", f"/conflicts/{seen['id']}/resolve", body(seen, "both")).code == "not_found"
    assert stranger.call("GET", "/conflicts?cursor=" + cursor).code == "cursor_invalid"
    of = {"file": seen["original"]["id"], "version": seen["original"]["version"]}
    answer = stranger.commit({"op": "put", "path": "d", "kind": "dir", "conflict_of": of})
    assert answer.json["results"][0]["code"] == "not_found"
    assert reader.call("POST", f"{base}/{seen['id']}/resolve", body(seen, "both")).code == "forbidden"
    conflicts(a, expect=1)


@pytest.mark.parametrize("args", [["resolve", "text"], ["resolve"], ["resolve", "text", "--keep", "mine"], ["resolve", "text", "--keep", "copy_gone"],
                                  [".", "--keep", "both"], ["a", "b"], ["resolve", "a", "b", "--keep", "both"]], ids=" ".join)
def test_usage(pair, args):
    a, _ = pair
    run = a.dray("conflicts", *args, cwd=a.folder)
    assert run.returncode == 2 and run.stdout == "" and run.stderr


# ---- killed between the copy and its commit ------------------------------------------------------------------------------------------


def kill_after_the_copy(a, b):
    """b has renamed its file aside and is fetching a's, which takes a while, when it is killed."""
    a.write("text", random.Random(5).randbytes(3_000_000))
    b.write("text", "from b")
    a.sync()
    run = b.start("--limit-rate", "200K")
    wait_for(lambda: list(b.folder.glob("text (conflict *")) or run.poll() is not None)
    assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    conflicts(a, expect=0)


def test_killed_before_the_copy_is_sent(pair):
    a, b = pair
    kill_after_the_copy(a, b)
    b.sync_any()
    settle(a, b)
    (seen,) = conflicts(a, expect=1)
    assert seen["original"]["path"] == "text" and seen["copy"]["path"].startswith("text (conflict b ")
    resolve(a, "text", "copy")
    settle(a, b)
    assert read(a, "text") == "from b"


def test_killed_before_the_name_is_known(pair):
    """As if the kill had come between the rename and its record: the copy is known by its inode."""
    a, b = pair
    kill_after_the_copy(a, b)
    forget_names(b)
    b.sync_any()
    settle(a, b)
    (seen,) = conflicts(a, expect=1)
    assert seen["copy"]["path"].startswith("text (conflict b ")


def forget_names(device):
    db = sqlite3.connect(device.dot("state.db"))
    with db:
        assert db.execute("UPDATE asides SET path = ''").rowcount == 1
    db.close()


def test_killed_and_the_copy_deleted(pair):
    """Nothing of it remains to be told, and nothing is told of another file later."""
    a, b = pair
    kill_after_the_copy(a, b)
    (copy,) = b.folder.glob("text (conflict *")
    copy.unlink()
    b.sync_any()
    settle(a, b)
    copy.write_text("somebody's own")
    settle(b, a)
    conflicts(a, expect=0)


def test_a_name_that_only_looks_like_one(pair):
    a, b = pair
    a.write("text (conflict of interests).txt", "x")
    settle(a, b)
    conflicts(a, expect=0)
