"""
Do the checks bite?  Each promise has a small scenario; a debug build can be told to break the promise (DRAY_FAULT), and then the
scenario must fail.  A scenario that passes with its fault on checks nothing.
"""
import json
import os
import random
import shutil
import time

import pytest

from devices import BIN, Device, assert_same, move_from_unseen, settle, unrecorded
from edits import bump, many, small


class Broken(Device):
    """A device whose client has a fault."""

    fault = ""

    def dray(self, *args, env=None, **more):
        return super().dray(*args, env=dict(env or {}, DRAY_FAULT=self.fault), **more)

    def start(self, *args):
        return super().start(*args, env=dict(os.environ, DRAY_FAULT=self.fault))


def edit_both(a, b):
    a.path("text").write_text("from a")
    b.path("text").write_text("from b")


def both_versions_are_kept(a, b):
    edit_both(a, b)
    a.sync()
    b.sync_any()
    settle(a, b)
    assert {"from a", "from b"} <= {p.read_text() for p in a.folder.glob("text*")}


def racing_commits_are_kept(a, b):
    """Both send at once: who comes second must be told that the file has changed since."""
    names = [f"f{i}" for i in range(150)]
    many(a.path("many"), names)
    a.sync()
    b.sync()
    for device in (a, b):
        many(device.path("many"), names, f"from {device.name} ".encode())
    runs = [device.start() for device in (a, b)]
    for run in runs:
        _, err = run.communicate(timeout=120)
        assert run.returncode in (0, 3), err
    settle(a, b)
    there = {p.read_text() for p in a.path("many").iterdir()}
    assert {f"from {device} {name}" for device in "ab" for name in names} <= there


def typing_during_a_download_is_kept(a, b):
    """What is written here while the server's version comes is not overwritten."""
    names = [f"f{i}" for i in range(200)]
    many(a.path("many"), names)
    a.sync()
    start = time.monotonic()
    b.sync()
    pace = (time.monotonic() - start) / len(names)
    many(a.path("many"), names, b"new ")
    a.write("large", random.Random(1).randbytes(8_000_000))
    a.sync()
    run = b.start()
    typed = set()
    for name in names:  # each once, from the beginning to the end of it
        if run.poll() is not None:
            break
        typed.add(f"typed into {name}")
        b.path("many", name).write_text(f"typed into {name}")
        time.sleep(pace)
    _, err = run.communicate()
    assert run.returncode in (0, 3), err
    settle(a, b, rounds=6)
    lost = typed - {p.read_text() for p in a.path("many").iterdir()}
    assert typed and not lost, f"{len(lost)} of {len(typed)} values are gone"


def copies_are_kept(a, b):
    """A file and its conflict copy are in conflict at once: both copies would have one name."""
    edit_both(a, b)
    a.sync()
    copy = b.sync_any()["conflicts"][0]["copy"]
    a.sync()
    while time.strftime("%H.%M.%S", time.gmtime()) in copy:
        time.sleep(0.01)
    for device in (a, b):
        for name in ("text", copy):
            device.path(name).write_text(f"{name} again from {device.name}")
    a.sync()
    b.sync_any()
    settle(a, b)
    there = {p.read_text() for p in a.folder.glob("text*")}
    assert {f"{name} again from {device}" for name in ("text", copy) for device in "ab"} <= there


def change_arrives(a, b):
    a.write("new 1", "1")
    a.write("new 2", "2")
    a.sync()
    done = b.sync()
    assert_same(a.tree(), b.tree())
    assert done["requests"] <= 4, "the feed alone was not enough: everything was listed again"


def long_feed_arrives(a, b):
    """More than one page, in one commit: a change lies right behind the end of the first."""
    many(a.path("many"), [f"f{i}" for i in range(1500)])
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())


def times_arrive(a, b):
    a.write("dir/new", "1")
    bump(a.path("dir"))
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())


def in_sync_is_proven(a, b):
    a.write("new", "1")
    assert a.sync_any()["in_sync"] and b.sync_any()["in_sync"]
    assert_same(a.tree(), b.tree())


def unseen_stays(a, b):
    before = b.tree()
    os.remove(a.path("text"))
    os.mkfifo(a.path("text"))
    a.sync(expect=3)
    b.sync()
    assert b.tree().keys() == before.keys()


def mass_delete_waits(a, b):
    many(a.path("many"), [f"f{i}" for i in range(300)])
    a.sync()
    b.sync()
    shutil.rmtree(a.path("many"))
    a.sync_any()
    b.sync_any()
    assert len(list(b.path("many").glob("*"))) == 300


def installed_is_recorded(a, b):
    a.write("new", "x")
    a.sync()
    b.dray("status", b.folder)
    with unrecorded(b):
        b.sync()
    a.path("new").unlink()
    a.sync()
    b.sync()
    assert not b.path("new").exists()


def sent_is_known(a, b):
    b.path("text").write_text("from b")
    with unrecorded(b):
        b.sync()
    a.sync()
    a.path("text").write_text("from a, who had read b's")
    a.sync()
    assert b.sync_any()["conflicts"] == []


def commits_are_durable(a, b):
    a.write("new", "x")
    a.sync()
    b.sync()
    assert b.path("new").read_text() == "x"


def conflicts_are_listed(a, b):
    edit_both(a, b)
    a.sync()
    copy = b.sync_any()["conflicts"][0]["copy"]
    listed = json.loads(a.dray("conflicts", "--json", a.folder).stdout)["conflicts"]
    assert [c["copy"]["path"] for c in listed] == [copy]


def ignored_stays_there(a, b):
    a.write("junk", "j")
    a.sync()
    b.sync()
    b.write(".drayignore", ".drayignore\njunk\n")
    b.sync()
    a.sync()
    assert a.path("junk").exists()
    b.path(".drayignore").unlink()
    b.sync()


def deselected_stays_there(a, b):
    a.write("renders/1", "r")
    a.sync()
    b.sync()
    assert b.dray("select", "--remove", b.path("renders")).returncode == 0
    b.sync()
    a.sync()
    assert a.path("renders/1").exists()
    assert b.dray("select", "--all", b.folder).returncode == 0
    b.sync()


CLIENT = {
    "client.deselect_deletes": deselected_stays_there,
    "client.no_exchange_check": typing_during_a_download_is_kept,
    "client.no_conflict_copy": both_versions_are_kept,
    "client.conflict_overwrites": copies_are_kept,
    "client.conflict_untold": conflicts_are_listed,
    "client.no_dir_times": times_arrive,
    "client.believes,client.feed_drops": in_sync_is_proven,
    "client.feed_drops": change_arrives,
    "client.forgets_installed": installed_is_recorded,
    "client.forgets_sent": sent_is_known,
    "client.ignore_deletes": ignored_stays_there,
    "client.unseen_is_gone": unseen_stays,
    "client.unseen_moves": move_from_unseen,
    "client.no_hold": mass_delete_waits,
}
SERVER = {
    "domain.no_base_check": racing_commits_are_kept,
    "domain.since_off_by_one": long_feed_arrives,
    "domain.no_digest": in_sync_is_proven,
    "domain.ack_before_commit": commits_are_durable,
    "domain.conflict_unrecorded": conflicts_are_listed,
}
ROUNDS = 20  # some are races that a sync may win
SCENARIOS = sorted(set(CLIENT.values()) | set(SERVER.values()), key=lambda f: f.__name__)


def linked_pair(server, tmp_path):
    project = server.project("faults")
    a, b = (Broken(server, project, tmp_path / name, name) for name in "ab")
    small(a.folder)
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())
    return a, b


@pytest.mark.mutant
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda f: f.__name__)
def test_healthy(server, tmp_path, scenario):
    scenario(*linked_pair(server, tmp_path))


@pytest.mark.mutant
@pytest.mark.parametrize("fault", CLIENT)
def test_client_fault_is_noticed(server, tmp_path, fault):
    a, b = linked_pair(server, tmp_path)
    a.fault = b.fault = fault
    with pytest.raises(AssertionError):
        for _ in range(ROUNDS):
            CLIENT[fault](a, b)


@pytest.mark.mutant
@pytest.mark.parametrize("fault", SERVER)
def test_server_fault_is_noticed(own_server, tmp_path, fault):
    a, b = linked_pair(own_server, tmp_path)
    own_server.kill()
    own_server.start(env={"DRAY_FAULT": fault})
    with pytest.raises(AssertionError):
        for _ in range(ROUNDS):
            SERVER[fault](a, b)


def test_release_has_no_faults():
    """The switches are compiled out of what is installed."""
    release = BIN.parent / "release" / "dray"
    if not release.exists():
        pytest.skip("no release build")
    assert b"client.no_hold" not in release.read_bytes() and b"DRAY_FAULT" not in release.read_bytes()
