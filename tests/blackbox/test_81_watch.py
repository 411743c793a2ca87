"""dray watch: what happens on one device happens on the other, soon and by itself, and nothing gets lost when things go wrong."""
import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from agents import Agent, ask, connect, in_step, state, status
from devices import BIN, Device, ODD_NAMES, assert_same, contents, fill, run_dray
from events_proxy import EventsProxy
from waiting import wait_for

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
MIB = 1024 * 1024


@pytest.fixture
def agents(tmp_path):
    """agents(a, b): an agent each; agents.one(a, b): one for all.  All end well."""
    made = []

    def one(*devices, **more):
        made.append(Agent(*devices, log=tmp_path / f"agent{len(made)}.log", **more))
        return made[-1]

    def each(*devices, **more):
        return [one(d, **more) for d in devices]

    each.one = one
    yield each
    for agent in made:
        agent.stop()


@contextlib.contextmanager
def machine_clock(how):
    """The clock is every agent's: who sets it (LOCK_EX) waits for who counts what an agent does with nothing to do (LOCK_SH), in whatever process."""
    with open(os.path.join(tempfile.gettempdir(), "dray-test-clock.lock"), "a") as lock:
        fcntl.flock(lock, how)
        yield


def text(device, name):
    try:
        return device.path(name).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def same(a, b):
    try:
        return contents(a.tree()) == contents(b.tree())
    except FileNotFoundError:  # while it is being changed
        return False


def wait_same(a, b, *agents):
    """Both are idle, in step, and the same to the last bit."""
    try:
        wait_for(lambda: in_step(a) and in_step(b) and same(a, b))
    except AssertionError:
        for agent in agents:
            print(agent.said()[-4000:])
        assert_same(a.tree(), b.tree())
        raise AssertionError((status(a), status(b))) from None
    assert_same(a.tree(), b.tree())


def conflicts(device):
    return [p for p in device.tree() if b"(conflict" in p]


# ---- what happens there happens here -----------------------------------------------------------------------------------------------


def test_what_is_done_on_one_is_seen_on_the_other(make, agents, tmp_path):
    a, b = make("a", "b")
    agents(a, b)
    a.write("note", "one")
    wait_for(lambda: text(b, "note") == "one")
    b.write("note", "two")
    wait_for(lambda: text(a, "note") == "two")
    a.path("note").rename(a.path("renamed"))
    wait_for(lambda: text(b, "renamed") == "two" and text(b, "note") is None)
    a.write("deep/er/and deeper/file", "down there")
    wait_for(lambda: text(b, "deep/er/and deeper/file") == "down there")
    b.write("deep/er/second", "in a directory that came from the other side")
    wait_for(lambda: text(a, "deep/er/second"))
    b.path("deep").rename(b.path("moved"))
    wait_for(lambda: text(a, "moved/er/second") and not a.path("deep").exists())
    a.write("moved/er/third", "in a directory that was renamed there")
    wait_for(lambda: text(b, "moved/er/third"))
    b.path("moved", "er").rename(tmp_path / "away")
    wait_for(lambda: not a.path("moved", "er").exists())
    (tmp_path / "away" / "late").write_text("outside of the tree")
    (tmp_path / "away").rename(b.path("back"))
    wait_for(lambda: text(a, "back/late") and text(a, "back/and deeper/file"))
    b.write("back/and deeper/last", "watched again")
    wait_for(lambda: text(a, "back/and deeper/last"))
    os.symlink("renamed", a.path("link"))
    a.path("renamed").chmod(0o640)
    wait_for(lambda: b.path("link").is_symlink() and b.path("renamed").stat().st_mode & 0o777 == 0o640)
    shutil.rmtree(a.path("back"))
    a.path("renamed").unlink()
    wait_for(lambda: not b.path("back").exists() and not b.path("renamed").exists())
    wait_same(a, b)


def test_a_whole_tree_and_odd_names(make, agents):
    a, b = make("a", "b")
    fill(a.folder, files=60)
    agents(a, b)
    wait_same(a, b)
    for name in ODD_NAMES:
        b.path("odd", name).write_text("again " + name)
    wait_for(lambda: text(a, "odd/" + ODD_NAMES[-1]) == "again " + ODD_NAMES[-1])
    wait_same(a, b)
    assert not conflicts(a)


def test_a_file_that_goes_back_and_forth_makes_no_conflict(make, agents):
    a, b = make("a", "b")
    agents(a, b)
    for i in range(10):
        here, there = (a, b) if i % 2 else (b, a)
        here.write("ball", f"{i}")
        wait_for(lambda: text(there, "ball") == f"{i}")
    wait_same(a, b)
    assert not conflicts(a)


def test_both_edit_one_file_and_both_versions_are_kept(make, agents):
    a, b = make("a", "b")
    a.write("text", "first")
    one, other = agents(a, b)
    wait_for(lambda: text(b, "text") == "first")
    for d in (a, b):
        ask(d, "pause")
    a.write("text", "from a")
    b.write("text", "from b")
    for d in (a, b):
        ask(d, "resume")
    wait_for(lambda: len(conflicts(a)) == 1 and len(conflicts(b)) == 1)
    wait_same(a, b)
    assert {p.read_text() for p in a.folder.glob("text*")} == {"from a", "from b"}
    assert "changed on both sides" in one.said() + other.said()


# ---- files that are being written ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_being_written_waits_until_it_is_closed(make, agents):
    a, b = make("a", "b")
    a.write("d/other", "x")
    agents(a, b)
    wait_for(lambda: text(b, "d/other"))
    marks = []
    with a.path("d", "slow").open("wb") as f:
        for i in range(3):
            f.write(b"part %d\n" % i * 1000)
            f.flush()
            a.write(f"mark{i}", "m")
            wait_for(lambda: text(b, f"mark{i}"))
            marks.append(text(b, "d/slow"))
        assert status(a)["held_paths"] == ["d/slow"] and not status(a)["in_sync"]
        assert "d/slow" in a.dray("status", a.folder).stdout
    assert marks == [None, None, None]
    wait_for(lambda: text(b, "d/slow"))
    assert text(b, "d/slow") == text(a, "d/slow")
    wait_same(a, b)
    assert a.sync()["in_sync"] and status(a)["held"] == 0


def test_without_the_hold_a_half_written_file_is_sent(make, agents):
    """That the test above would notice."""
    a, b = make("a", "b")
    agents(a, b, fault="watch.no_hold")
    with a.path("slow").open("wb") as f:
        f.write(b"half")
        f.flush()
        wait_for(lambda: text(b, "slow") == "half")


def test_a_known_file_that_is_being_written_while_its_directory_moves(make, agents):
    a, b = make("a", "b")
    a.write("d/slow", "the version before")
    a.write("d/other", "x")
    agents(a, b)
    wait_for(lambda: text(b, "d/slow") and text(b, "d/other"))
    inode = b.path("d", "slow").stat().st_ino
    with a.path("d", "slow").open("r+") as f:
        f.write("THE")
        f.flush()
        wait_for(lambda: status(a)["held"])
        a.path("d").rename(a.path("e"))
        wait_for(lambda: text(b, "e/other"))
        assert (text(b, "e/slow") or text(b, "d/slow")) == "the version before"
        assert {text(b, "e/slow"), text(b, "d/slow")} == {"the version before", None}
        f.write(" NEW")
    wait_for(lambda: text(b, "e/slow") == "THE NEWsion before")
    wait_same(a, b)
    assert not conflicts(a) and not b.path("d").exists() and inode


@contextlib.contextmanager
def held_open(a, b, agents):
    """Both have the file; a is writing it, and what it has written is its own so far."""
    a.write("text", "first")
    agents(a, b)
    wait_for(lambda: text(b, "text") == "first")
    with a.path("text").open("r+") as f:
        f.write("mine!")
        f.flush()
        wait_for(lambda: status(a)["held"])
        yield


def test_the_server_changes_a_file_that_is_being_written_here(make, agents):
    a, b = make("a", "b")
    with held_open(a, b, agents):
        b.write("text", "theirs")
        b.write("mark", "m")
        wait_for(lambda: text(a, "mark"))
        assert text(a, "text") == "mine!"
    wait_for(lambda: len(conflicts(b)) == 1)
    wait_same(a, b)
    assert {p.read_text() for p in a.folder.glob("text*")} == {"mine!", "theirs"}


def test_the_server_moves_a_file_that_is_being_written_here(make, agents):
    """The edit goes where the file has gone, and the file is not left, or sent, under both names."""
    a, b = make("a", "b")
    with held_open(a, b, agents):
        b.path("text").rename(b.path("moved"))
        b.write("mark", "m")
        wait_for(lambda: text(a, "mark"))
        assert text(a, "text") == "mine!" and text(a, "moved") is None
    wait_for(lambda: text(b, "moved") == "mine!")
    wait_same(a, b)
    assert not a.path("text").exists() and not conflicts(a)


def test_times_and_lengths_that_are_set_are_not_writing(make, agents):
    """utimes and truncate look like a write that nobody closes."""
    a, b = make("a", "b")
    a.write("timed", "x")
    a.write("cut", "long text")
    agents(a, b)
    wait_for(lambda: text(b, "timed") and text(b, "cut"))
    subprocess.run(["touch", "-m", "-d", "2001-02-03 04:05:06 UTC", a.path("timed")], check=True)
    os.truncate(a.path("cut"), 4)
    wait_for(lambda: b.path("timed").stat().st_mtime == 981173106 and text(b, "cut") == "long")
    wait_same(a, b)


# ---- what goes wrong -----------------------------------------------------------------------------------------------------------------


def test_lost_events_are_made_good(make, agents):
    a, b = make("a", "b")
    one, _ = agents.one(a, fault="watch.overflow"), agents.one(b)
    for i in range(5):
        a.write(f"d{i}/e/f", f"{i}")
        wait_for(lambda: text(b, f"d{i}/e/f") == f"{i}")
        b.write(f"d{i}/e/g", "back")
        wait_for(lambda: text(a, f"d{i}/e/g"))
    wait_same(a, b)
    assert "more changed than the system could tell" in one.said()


def with_few_watches(make, agents):
    """Two devices in step, of which the first has more directories than its agent, the third of what is returned, can watch."""
    a, b = make("a", "b")
    for i in range(8):
        a.write(f"d{i}/f", "x")
    one, _ = agents.one(a, fault="watch.limit"), agents.one(b)
    wait_same(a, b)
    return a, b, one


def test_more_directories_than_can_be_watched(make, agents):
    a, b, one = with_few_watches(make, agents)
    told = status(a)
    assert told["directories"] == 3 and told["unwatched"] == 6
    assert "max_user_watches" in one.said() and "max_user_watches" in a.dray("status", a.folder).stdout
    for i in range(8):
        a.write(f"d{i}/f", "changed")
    ask(a, "sync")  # or a minute later by itself
    wait_for(lambda: all(text(b, f"d{i}/f") == "changed" for i in range(8)))
    wait_same(a, b)


def test_the_machine_has_slept(make, agents):
    """Then the kernel sets the clock.  What happened unseen, here in directories that are not watched, is looked for at once."""
    a, b, one = with_few_watches(make, agents)
    a.write("d7/f", "changed")  # what happens in one that is watched makes it look at the others too
    try:
        with machine_clock(fcntl.LOCK_EX):
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
    except PermissionError:
        pytest.skip("may not set the clock")
    wait_for(lambda: "the machine has slept" in one.said())
    wait_for(lambda: text(b, "d7/f") == "changed", seconds=30)  # a look by itself comes after 45 s at the soonest
    wait_same(a, b)


@pytest.mark.skipif(not FULL, reason="an agent waits for a minute before it gives up a line: DRAY_CAMPAIGN=full does")
def test_the_network_changes(server, agents, tmp_path):
    """The old lines are dead and nobody says so: they are given up, and by new ones both sides get what happened meanwhile."""
    project = server.project("roaming")
    with EventsProxy(server) as proxy:
        a, b = Device(proxy, project, tmp_path / "a", "a"), Device(server, project, tmp_path / "b", "b")
        pair = agents(a, b)
        b.write("before", "1")
        wait_for(lambda: text(a, "before") == "1")
        for n in range(3):
            proxy.freeze()
            a.write(f"from a {n}", "here")
            b.write(f"from b {n}", "there")
            wait_for(lambda n=n: text(a, f"from b {n}") == "there" and text(b, f"from a {n}") == "here", seconds=300)
        wait_same(a, b, *pair)


def test_the_folder_goes_and_comes_back(make, agents, tmp_path):
    a, b = make("a", "b")
    a.write("text", "first")
    one, _ = agents(a, b)
    wait_same(a, b)
    a.folder.rename(tmp_path / "elsewhere")
    wait_for(lambda: "moved, replaced or unmounted" in one.said())
    a.folder.mkdir()
    (a.folder / "stranger").write_text("an empty disk is mounted here")
    b.write("meanwhile", "x")
    wait_for(lambda: in_step(b))
    shutil.rmtree(a.folder)
    (tmp_path / "elsewhere").rename(a.folder)
    wait_for(lambda: text(a, "meanwhile"))
    a.write("after", "y")
    wait_for(lambda: text(b, "after"))
    wait_same(a, b)
    assert text(b, "text") == "first" and not b.path("stranger").exists()


def test_another_folder_takes_its_place(make, agents, tmp_path):
    """As a backup that is put back, or a disk that comes back: what a pass may write to is the directory that is there now."""
    a, b = make("a", "b")
    a.write("dir/text", "first")
    one, _ = agents(a, b)
    wait_same(a, b)
    a.folder.rename(tmp_path / "elsewhere")
    wait_for(lambda: "moved, replaced or unmounted" in one.said())
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "copy", symlinks=True)
    (tmp_path / "copy").rename(a.folder)
    b.write("dir/meanwhile", "x")
    wait_for(lambda: text(a, "dir/meanwhile"))
    a.write("after", "y")
    wait_for(lambda: text(b, "after"))
    wait_same(a, b)


def test_the_server_is_killed_and_comes_back(own_server, agents, tmp_path):
    project = own_server.project("killed")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    one, other = agents(a, b)
    a.write("before", "x")
    wait_for(lambda: text(b, "before"))
    for round in range(2):
        own_server.kill()
        wait_for(lambda: state(a) == state(b) == "offline")
        a.write(f"a{round}", "while it was down")
        b.write(f"b{round}", "while it was down")
        a.path("before").write_text(f"round {round}")
        own_server.start()
        wait_for(lambda: text(b, f"a{round}") and text(a, f"b{round}") and text(b, "before") == f"round {round}")
    wait_same(a, b)
    assert not conflicts(a)
    assert "the server cannot be" in one.said() and "connected to the server again" in one.said()


def test_no_server_at_the_start(own_server, agents, tmp_path):
    project = own_server.project("down")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    a.write("text", "x")
    own_server.stop()
    agents(a, b)
    wait_for(lambda: state(a) == state(b) == "offline")
    shown = json.loads(a.dray("status", "--json", a.folder).stdout)
    assert shown["agent"]["state"] in ("offline", "syncing") and shown["in_sync"] is False
    own_server.start()
    wait_for(lambda: text(b, "text") == "x")
    wait_same(a, b)


def test_a_revoked_device_says_so(own_server, agents, tmp_path):
    project = own_server.project("revoked")
    a = Device(own_server, project, tmp_path / "a", "a")
    agent = agents.one(a)
    wait_for(lambda: in_step(a))
    own_server.revoke(project, "a")
    a.write("text", "x")
    wait_for(lambda: "token_revoked" in agent.said() or "token_invalid" in agent.said())
    assert state(a) in ("failing", "syncing", "offline")


def test_killed_agents_go_on(make, agents):
    """The socket and locks of one that died are in nobody's way."""
    a, b = make("a", "b")
    one, _ = agents(a, b)
    for i in range(3):
        a.write(f"f{i}", random.Random(i).randbytes(MIB))
        one.kill()
        a.write(f"g{i}", "while it was dead")
        one.start()
        wait_for(lambda: text(b, f"g{i}"))
    wait_same(a, b)


# ---- people --------------------------------------------------------------------------------------------------------------------------


def test_pause_and_resume(make, agents):
    a, b = make("a", "b")
    one, _ = agents(a, b)
    wait_for(lambda: in_step(a) and in_step(b))
    told = json.loads(a.dray("pause", "--json", a.folder).stdout)
    assert told["state"] == "paused" and a.dot("paused").exists()
    a.write("here", "x")
    b.write("there", "y")
    wait_for(lambda: in_step(b) and status(b)["passes"] > 1)
    assert text(b, "here") is None and text(a, "there") is None
    assert "paused" in a.dray("status", a.folder).stdout
    one.stop()
    one.start()  # a pause outlives the agent
    assert state(a) == "paused" and text(b, "here") is None
    assert a.dray("resume", a.folder).stdout == f"Resumed {a.folder}.\n"
    wait_for(lambda: text(b, "here") and text(a, "there"))
    wait_same(a, b)
    assert not a.dot("paused").exists()


def test_nobody_to_pause(make):
    (a,) = make("a")
    for word in ("pause", "resume"):
        run = a.dray(word, "--json", a.folder)
        assert run.returncode == 1 and json.loads(run.stdout)["error"]["code"] == "not_found"


def test_commands_beside_an_agent(make, agents):
    a, b = make("a", "b")
    agents(a, b)
    for i in range(10):
        a.write(f"f{i}", "x" * 1000)
        a.sync_any()
        assert "agent" in a.status()
    wait_same(a, b)
    again = subprocess.run([BIN / "dray", "watch", a.folder], capture_output=True, text=True, timeout=120)
    assert again.returncode == 1 and "another dray watch" in again.stderr


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_the_middle_of_a_transfer(make, agents, sig):
    a, b = make("a", "b")
    for i in range(8):
        a.write(f"big {i}", random.Random(i).randbytes(4 * MIB))
    one = agents.one(a, args=["--limit-rate", "1M"])
    wait_for(lambda: state(a) == "syncing")
    one.stop(sig)
    assert not a.dot("agent.sock").exists()
    agents(a, b)
    wait_same(a, b)


def test_two_folders_in_one_agent(make, agents):
    a, b = make("a", "b")
    agent = agents.one(a, b)
    a.write("x", "1")
    wait_for(lambda: text(b, "x") == "1")
    b.write("y", "2")
    wait_for(lambda: text(a, "y") == "2")
    wait_same(a, b)
    assert a.dray("unlink", a.folder).returncode == 0
    b.write("z", "3")
    a.path("z").touch()
    wait_for(lambda: "not linked any more" in agent.said())
    wait_for(lambda: in_step(b))
    assert agent.proc.poll() is None and not a.dot("agent.sock").exists()
    assert b.dray("unlink", b.folder).returncode == 0
    b.path("z").touch()
    assert agent.proc.wait(timeout=120) == 0, agent.said()


def test_unlink_beside_a_pass(make, agents):
    """Whatever the agent is at, unlink takes all of the link away, and the agent ends."""
    (a,) = make("a")
    for n in range(6):
        agent = agents.one(a)
        wait_for(lambda: in_step(a))
        for i in range(n):
            a.write(f"f{n}-{i}", "x")
        assert a.dray("unlink", a.folder).returncode == 0
        a.path("touch").touch()
        assert agent.proc.wait(timeout=120) == 0, agent.said()
        assert not a.dot("state.db").exists() and not a.dot("lock").exists()
        assert a.dray("link", make.server.url, "--project", make.project, a.folder).returncode == 0


def test_rubbish_on_the_socket(make, agents):
    (a,) = make("a")
    agents(a)
    wait_for(lambda: in_step(a))
    assert oct(a.dot("agent.sock").stat().st_mode & 0o777) == "0o600"
    rng = random.Random(1)
    for line in [b"", b"{}", b"[]", b"null", b'{"ask":1}', b'{"ask":"dance"}', b'{"ask":"status","more":1}', b"{" * 2000, b"\xff\xfe",
                 b'{"ask":"status"}\0', rng.randbytes(1000).replace(b"\n", b"")]:
        with connect(a) as s:
            s.sendall(line + b"\n")
            answer = s.makefile("rb").read()
            assert "error" in json.loads(answer), (line, answer)
    with connect(a) as s:
        try:
            s.sendall(b"x" * MIB)
            assert b"too long" in s.recv(1000)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has hung up already
    deaf = [connect(a) for _ in range(16)]
    for s in deaf:  # asks without end, and reads nothing
        s.setblocking(False)
        try:
            while True:
                s.send(b'{"ask":"status"}\n' * 100)
        except BlockingIOError:
            pass
    a.write("text", "x")
    for s in deaf:
        s.close()
    wait_for(lambda: in_step(a))
    with connect(a) as s:  # many questions on one line, and half of one
        s.sendall(b'{"ask":"status"}\n' * 3 + b'{"ask":')
        lines = s.makefile()
        assert all(json.loads(lines.readline())["state"] for _ in range(3))


def log_times(server, path):
    """When the server answered requests for ${path}."""
    found = re.findall(r"^(\S+) INFO +request .*path=(\S+)", server.log.read_text(errors="replace"), re.M)
    return [t for t, p in found if path in p]


def test_an_idle_device_asks_for_nothing(own_server, agents, tmp_path):
    """Own writes must not cause passes for ever: some time after a change, no pass runs and no request is made."""
    project = own_server.project("idle")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    fill(a.folder, files=40)
    agents(a, b)
    wait_same(a, b)
    for i in range(10):
        a.write(f"d0/edit{i}", f"{i}")
        wait_for(lambda: text(b, f"d0/edit{i}") == f"{i}")
    wait_same(a, b)

    def rested():
        told = [status(a), status(b)]
        if any(t["state"] != "watching" for t in told):
            return None
        since = max(t["since"] for t in told)
        calm = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(since.replace("Z", "+00:00"))
        return since if calm.total_seconds() > 2 else None

    with machine_clock(fcntl.LOCK_SH):
        wait_for(rested, "passes go on without end")
        since = rested()
        assert [t for t in log_times(own_server, project) if t > since] == []
    # A change costs its sender some seven requests and its receiver four; one more look each at what it has done itself is two more.
    assert len(log_times(own_server, project)) < 10 * 20 + 60


# ---- the service ---------------------------------------------------------------------------------------------------------------------


def test_install_service(make, tmp_path):
    project = make.project
    odd = Device(make.server, project, tmp_path / "100% $HOME \"q\" 'x' \\ é", "odd")
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": ""}
    shown = run_dray("install-service", "--print", odd.folder, env=home)
    assert shown.returncode == 0 and not (tmp_path / "home").exists()
    assert f'ExecStart= "{BIN.resolve()}/dray" watch ' in shown.stdout
    assert "Restart=on-failure" in shown.stdout and "NoNewPrivileges=yes" in shown.stdout
    told = run_dray("install-service", odd.folder, env=home)
    unit = tmp_path / "home/.config/systemd/user/dray.service"
    assert told.returncode == 0 and unit.read_text() == shown.stdout
    assert "systemctl --user daemon-reload" in told.stdout and "systemctl --user enable --now dray.service" in told.stdout
    (word,) = re.findall(r' watch "(.*)"$', shown.stdout, re.M)
    meant = re.sub(r"\\(.)", r"\1", word.replace("%%", "%").replace("$$", "$"))
    assert meant == str(odd.folder.resolve())
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert run_dray("install-service", "--quiet", odd.folder, env=config).stdout == ""
    assert (tmp_path / "config/systemd/user/dray.service").read_text() == shown.stdout
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(["systemd-analyze", "verify", "--user", unit], capture_output=True, text=True)
        assert checked.returncode == 0 or "Failed to" in checked.stderr, checked.stderr
    refused = run_dray("install-service", tmp_path, env=home)
    assert refused.returncode == 1 and "not linked" in refused.stderr


# ---- for a while -----------------------------------------------------------------------------------------------------------------------


def change(rng, device, names):
    """One thing that a person does; what is not there is not done."""
    at = device.path(rng.choice(names))
    try:
        match rng.randrange(8):
            case 0 | 1 | 2:
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_bytes(rng.randbytes(rng.choice([0, 10, 5000, 200_000])))
            case 3:
                at.rename(device.path(rng.choice(names)))
            case 4:
                at.parent.rename(device.path(device.name, f"{rng.randrange(6)}"))
            case 5:
                at.unlink()
            case 6:
                with at.open("ab") as f:
                    f.write(b"a line more\n")
            case 7:
                with at.open("r+b") as f:
                    for _ in range(3):
                        f.write(rng.randbytes(30_000))
                        f.flush()
                        time.sleep(0.02)
    except OSError:
        pass


def rss_kib(agent):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{agent.proc.pid}/status").read_text())[1])


def cpu_s(agent):
    fields = pathlib.Path(f"/proc/{agent.proc.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_slowly(device, rng, done):
    """A file that grows for half a minute, as a camera's or a renderer's does, and another one after it."""
    while not done.is_set():
        path = device.path(f"{device.name} film {rng.randrange(3)}")
        with contextlib.suppress(OSError), path.open("wb") as f:
            for _ in range(60):
                f.write(rng.randbytes(500_000))
                f.flush()
                if done.wait(0.5):
                    break


def test_soak(own_server, agents, tmp_path):
    """Two devices at random, each in directories of its own half of the time, with the server killed now and then; in the full campaign for half
    an hour, with a slow writer on each, a restart every minute, and an eye on what the agents take."""
    seconds, seed = (int(os.environ.get("DRAY_SOAK_S", "1800")), random.SystemRandom().randrange(2**32)) if FULL else (5, 7)
    print(f"seed {seed}")
    rng = random.Random(seed)
    project = own_server.project("soak")
    a, b = (Device(own_server, project, tmp_path / n, n) for n in "ab")
    ours = {d: [f"{d.name}/{i % 6}/file{i}" for i in range(12)] for d in (a, b)}
    pair, done = agents(a, b), threading.Event()
    writers = [threading.Thread(target=write_slowly, args=(d, random.Random(rng.random()), done)) for d in (a, b) if FULL]
    for w in writers:
        w.start()
    start, restarts, memory = time.monotonic(), 0, []
    try:
        while (passed := time.monotonic() - start) < seconds:
            for d in (a, b):
                for _ in range(rng.randrange(6)):
                    change(rng, d, ours[d])
            if rng.random() < 0.02 and not FULL or passed > 60 * (restarts + 1):
                own_server.kill() if restarts % 2 else own_server.stop()
                own_server.start()
                restarts += 1
            if rng.random() < 0.05:
                memory.append(max(rss_kib(p) for p in pair))
            time.sleep(rng.random() * 0.1)
    finally:
        done.set()
        for w in writers:
            w.join()
    wait_same(a, b, *pair)
    assert not conflicts(a), "each wrote to files of its own"
    if FULL:
        third = len(memory) // 3
        assert max(memory[-third:]) < 1.2 * max(memory[third:-third]) + 4096, f"memory grows: {memory}"
        used = sum(map(cpu_s, pair))
        time.sleep(30)  # not a wait: what is measured is this rest
        assert sum(map(cpu_s, pair)) - used < 0.3, "busy with nothing to do"
    print(f"{restarts} restarts, memory {memory}, passes {status(a)['passes']} {status(b)['passes']}")
