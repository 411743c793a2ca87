"""
SIGKILL of either side at random moments of a sync, and on: nothing is lost, nothing half-written is ever seen, no conflict is made
up, nothing is left behind, and both sides end in one tree.

DRAY_SEED repeats a run, DRAY_KILLS says how many kills of each.
"""
import os
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

from devices import BIN, Device, assert_same, run_dray, settle, unrecorded
from edits import Chaos

SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("DRAY_KILLS", 2000 if os.environ.get("DRAY_CAMPAIGN") == "full" else 3))
SERIES = 10  # kills between full comparisons
MIB = 1024 * 1024


class Side:
    """A device that edits only beneath its own directory, so that nothing can be in conflict."""

    def __init__(self, device, seed):
        self.device, self.name = device, device.name
        self.chaos = Chaos(seed)
        self.rng = self.chaos.rng
        self.folder = device.folder / f"from {device.name}"
        self.prefix = f"from {device.name}/".encode()
        self.copies = set()            # conflict copies after the last series
        self.unsettled = False         # its last sync was killed
        self.edited_unsettled = False  # and then it was edited: what the server has of it is not known to be its own

    def begin(self):
        for i in range(140):
            path = self.folder / f"d{i % 7}" / f"file{i}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.chaos.value(self.name))

    def work(self):
        """Enough to keep a sync busy for a while."""
        self.edited_unsettled |= self.unsettled
        for _ in range(25):
            self.chaos.step(self)
        for _ in range(8):
            (self.folder / f"new {self.rng.random()}").write_bytes(self.chaos.value(self.name))
        large = self.folder / "large"
        if not large.exists():
            large.write_bytes(self.rng.randbytes(9 * MIB))
        with large.open("r+b") as f:
            for _ in range(6):
                f.seek(self.rng.randrange(9 * MIB))
                f.write(self.rng.randbytes(100_000))


def bodies(tree):
    """What is whole or not at any instant: kind, and bytes or target."""
    return {p: (kind, what, digest) for p, (kind, _, _, what, digest) in tree.items()}


def states(sides):
    """Every state of a name that is on a disk now."""
    return {body for side in sides for body in bodies(side.device.tree()).values()}


def state_is_sound(device):
    db = sqlite3.connect(f"file:{device.dot('state.db')}", uri=True)
    try:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    finally:
        db.close()


def own_files_untouched(side, before):
    after = bodies(side.device.tree())
    for path, body in bodies(before).items():
        if path.startswith(side.prefix):
            assert after.get(path) == body, f"{path!r} is edited only here, and the sync changed it"
    return after


def copies(tree):
    """The names of conflict copies, wherever they have been moved to."""
    return {os.path.basename(p) for p in tree if b"(conflict" in os.path.basename(p)}


def clean(device):
    left = os.listdir(device.dot("tmp"))
    assert left == [], f"left in .dray/tmp of {device.name}: {left}"


def finish_series(server, project, sides, number, tmp_path):
    """Both run to the end; then all is one, also for somebody who was never killed."""
    devices = [s.device for s in sides]
    tree = settle(*devices, rounds=6, args=["--allow-mass-delete"])
    made = copies(tree) - sides[0].copies
    assert not made or any(s.edited_unsettled for s in sides), f"conflicts that nobody made: {made}"
    for side in sides:
        side.unsettled = side.edited_unsettled = False
        side.copies = copies(tree)
        side.chaos.check(side.folder)
        clean(side.device)
    fresh = Device(server, project, tmp_path / f"fresh {number}", f"fresh {number}")
    fresh.sync()
    assert_same(tree, fresh.tree())
    shutil.rmtree(fresh.folder)


def pair_of_sides(server, tmp_path, seed):
    project = server.project("kill")
    sides = [Side(Device(server, project, tmp_path / name, name), seed + i) for i, name in enumerate("ab")]
    for side in sides:
        side.begin()
    settle(*(s.device for s in sides))
    return project, sides


def timed_sync(side):
    side.work()
    started = time.monotonic()
    side.device.sync("--allow-mass-delete")
    return time.monotonic() - started


def no_sanitizer(err):
    assert "Sanitizer" not in err and "runtime error" not in err, err


def ended(run, seconds):
    try:
        run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_client_killed(own_server, tmp_path):
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED)
    project, sides = pair_of_sides(own_server, tmp_path, SEED)
    span = max(timed_sync(side) for side in sides)
    written = states(sides)  # every state that a user ever made, from what the timed syncs left on
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        assert runs < 4 * KILLS + 20, "the syncs are over before they are killed"
        side = rng.choice(sides)
        if not side.unsettled or (runs // SERIES % 3 == 0 and rng.random() < 0.6):
            side.work()
        before = side.device.tree()
        written |= states(sides)
        run = side.device.start("--allow-mass-delete")
        if not ended(run, rng.uniform(0.02, span)):
            kills += 1
            run.kill()
        _, err = run.communicate()
        assert run.returncode in (0, 3, -9), (run.returncode, err)
        side.unsettled = run.returncode == -9
        no_sanitizer(err)
        state_is_sound(side.device)
        after = own_files_untouched(side, before) if not side.edited_unsettled else bodies(side.device.tree())
        for path, body in after.items():
            assert body in written, f"{path!r} holds what nobody wrote: {body}"
        if runs % SERIES == 0:
            finish_series(own_server, project, sides, runs, tmp_path)
    finish_series(own_server, project, sides, runs, tmp_path)
    print(f"{kills} kills in {runs} syncs of up to {span:.2f} s")


def test_server_killed(own_server, tmp_path):
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED + 1000)
    project, sides = pair_of_sides(own_server, tmp_path, SEED + 1000)
    span = max(timed_sync(side) for side in sides)
    kills = again = since = 0
    while kills < KILLS:
        side = rng.choice(sides)
        side.work()
        before = side.device.tree()
        run = side.device.start("--allow-mass-delete")
        while kills < KILLS and not ended(run, rng.uniform(0.02, span)):  # several in one sync
            kills += 1
            own_server.kill()
            own_server.start()
        _, err = run.communicate(timeout=120)
        assert run.returncode in (0, 1), (run.returncode, err)
        no_sanitizer(err)
        if run.returncode:
            again += 1
            side.device.sync("--allow-mass-delete")
        own_files_untouched(side, before)
        if kills - since >= SERIES:
            since = kills
            finish_series(own_server, project, sides, kills, tmp_path)
            own_server.kill()
            own_server.start()
            assert os.listdir(own_server.data / "tmp") == [], "left by the killed server"
    finish_series(own_server, project, sides, KILLS + 1, tmp_path)
    print(f"{kills} kills; {again} syncs had to be run again; {span:.2f} s each")


NAMES = ["edited", "large", "link", "new"]


def change(device, text):
    device.write("edited", text)
    device.write("new", text)
    device.write("large", text.encode() + (device.path("large").read_bytes() if device.path("large").exists() else b""))
    device.path("link").unlink(missing_ok=True)
    os.symlink(text, device.path("link"))


@pytest.fixture
def agreed(server, tmp_path):
    project = server.project("half")
    a, b = (Device(server, project, tmp_path / name, name) for name in "ab")
    a.write("large", random.Random(SEED).randbytes(2 * MIB))
    change(a, "one")
    a.path("new").unlink()
    settle(a, b)
    return a, b


@pytest.fixture
def installed(agreed):
    """Device b has in place what the server had new, and has not recorded it."""
    a, b = agreed
    change(a, "two")
    a.sync()
    b.dray("status", b.folder)  # reads what is new
    with unrecorded(b):
        b.sync()
    return a, b


@pytest.fixture
def sent(agreed):
    """Device b has sent what is new and has not recorded it; a has it."""
    a, b = agreed
    change(b, "two")
    with unrecorded(b):
        b.sync()
    a.sync()
    return a, b


@pytest.fixture(params=["installed", "sent"])
def half(request):
    return request.getfixturevalue(request.param)


def test_unrecorded_and_edited_there(half):
    a, b = half
    change(a, "three")
    a.sync()
    b.dray("status", b.folder)  # is no reason to forget it either
    change(a, "four")  # what b has is two versions behind then
    a.sync()
    assert b.sync()["conflicts"] == []
    assert_same(a.tree(), b.tree())
    assert a.path("new").read_text() == "four"


def test_installed_and_deleted_there(installed):
    a, b = installed
    for name in NAMES:
        a.path(name).unlink()
    a.sync()
    b.sync()
    assert b.tree() == {}


def test_sent_and_deleted_there(sent):
    """What was new and is gone again has left nothing to know it by: it comes back."""
    a, b = sent
    for name in NAMES:
        a.path(name).unlink()
    a.sync()
    b.sync()
    assert set(b.tree()) == {b"new"}


def test_taken_back(agreed):
    """The very bytes of an older version are an edit, and not that version."""
    a, b = agreed
    change(a, "two")
    settle(a, b)
    b.write("edited", "one")
    change(a, "three")
    a.sync()
    assert [c["path"] for c in b.sync(expect=3)["conflicts"]] == ["edited"]
    settle(a, b)
    assert {p.read_text() for p in a.folder.glob("edited*")} == {"one", "three"}


def test_unrecorded_and_edited_here(half):
    """Which version it was an edit of is not known, so it is a conflict at worst."""
    a, b = half
    b.write("new", "mine")
    b.sync_any()
    settle(a, b)
    assert "mine" in [p.read_text() for p in a.folder.glob("new*")]


def test_kill_during_link(server, tmp_path):
    """A link that is cut short is none, and can be made again."""
    project = server.project("kill link")
    token = server.device(project, "x")
    rng = random.Random(SEED)
    folder = tmp_path / "x"
    for _ in range(10):
        run = subprocess.Popen([BIN / "dray", "link", server.url, "--project", project, folder],
                               env=dict(os.environ, DRAY_TOKEN=token), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not ended(run, rng.uniform(0.01, 0.3)):
            run.kill()
        run.wait()
        if run.returncode == 0:
            assert run_dray("unlink", folder).returncode == 0
    again = run_dray("link", server.url, "--project", project, folder, env={"DRAY_TOKEN": token})
    if again.returncode:  # linked just before it was killed
        assert "linked already" in again.stderr
    assert run_dray("sync", folder).returncode == 0
