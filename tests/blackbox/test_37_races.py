"""
C17: while a device applies what another one has sent, a process exchanges its directories for symlinks that lead out, as fast as it can.  Nothing outside
changes: by either line of defence alone, openat2 beneath the root or Landlock, and a device that has neither is caught.

DRAY_CAMPAIGN=full makes 20,000 applies of each, which go on where they were stopped; DRAY_APPLIES says how many.
"""
import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from devices import BIN, Device, contents, tree_of
from ledger import Ledger

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
APPLIES = int(os.environ.get("DRAY_APPLIES", 20_000 if FULL else 40))
DIRS, FILES = 3, 10   # of a trial
TRIES = 5             # the race is lost now and then, and the one who looks for it must not depend on one
RENAME_EXCHANGE = 2
SYS_LANDLOCK_CREATE_RULESET, VERSION = 444, 1
NO_LANDLOCK, BY_PATH = "client.no_landlock", "client.open_by_path"

libc = ctypes.CDLL(None, use_errno=True)


def kernel_confines():
    return libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), VERSION) >= 2


# ---- the one who swaps, in a process of its own -------------------------------------------------------------------------------------------


def swap_all(folder, names):
    """From when the device's first content has come, so that it has found its tree as it was, until standard input ends; how many, on standard output."""
    os.chdir(folder)
    os.set_blocking(0, False)
    swaps = 0
    print("ready", flush=True)
    while not os.listdir(".dray/tmp") and ended_not():
        pass
    while ended_not():
        for _ in range(100):
            for name in names:
                swaps += libc.renameat2(-100, name, -100, name + b".out", RENAME_EXCHANGE) == 0
    print(swaps)


def ended_not():
    with contextlib.suppress(BlockingIOError):
        return os.read(0, 1) != b""
    return True


@contextlib.contextmanager
def swapping(folder, names):
    """Yields a list that has the number of swaps afterwards."""
    count = []
    swapper = subprocess.Popen([sys.executable, __file__, folder, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert swapper.stdout.readline() == b"ready\n"
    try:
        yield count
    finally:
        said, _ = swapper.communicate(timeout=60)
        count.append(int(said))


# ---- trials ------------------------------------------------------------------------------------------------------------------------------


class Race:
    """Two devices, and a canary that has what the directories have, so that every kind of change would find something there."""

    def __init__(self, make, outside, fault):
        self.a, self.b = make("a", "b")
        self.outside, self.canary, self.fault, self.trials = outside, outside / "canary", fault, 0
        self.fill(self.canary)
        (self.canary / "own").write_text("nobody else's")
        self.before = tree_of(outside)

    def fill(self, at):
        for kind in ("replaced", "deleted", "dated", "closed"):
            (at / kind).mkdir(parents=True)
            for i in range(FILES // 4):
                (at / f"{kind}{i}").write_text(kind)

    def change(self, at):
        """One of everything that a device is told; how many."""
        for i in range(FILES // 4):
            (at / f"replaced{i}").write_text("another text")
            (at / f"deleted{i}").unlink()
            os.utime(at / f"dated{i}", ns=(0, 10**18 + i))
            (at / f"closed{i}").chmod(0o600)
        for i in range(FILES):
            (at / f"new{i}").write_text(f"new {i}")
        (at / "made" / "in").mkdir(parents=True)
        (at / "deleted").rmdir()
        (at / "replaced" / "in").write_text("in a directory")
        os.symlink("new0", at / "link")
        os.utime(at / "dated", ns=(0, 10**18))
        (at / "closed").chmod(0o700)
        return 4 * (FILES // 4) + FILES + 7

    def run(self):
        """(applies, swaps) of one trial."""
        if self.trials:
            self.clear(self.names)
        self.trials += 1
        self.names = names = [f"t{self.trials}.{i}" for i in range(DIRS)]
        for name in names:
            self.fill(self.b.path(name))
        self.b.sync()
        self.a.sync()
        applies = sum(self.change(self.b.path(name)) for name in names)
        self.b.sync()
        self.a.write(".drayignore", "*.out\n")
        for name in names:
            os.symlink(self.canary, self.a.path(name + ".out"))
        with swapping(self.a.folder, names) as count:
            self.a.dray("sync", "--quiet", self.a.folder, env={"DRAY_FAULT": self.fault})
        return applies, count[0]

    def clear(self, names):
        """Both forget the trial: what the device made of a directory that is a link at every other look is its own business."""
        for device in (self.a, self.b):
            for name in names:
                for path in (device.path(name), device.path(name + ".out")):
                    path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
            device.sync_any("--allow-mass-delete")


@pytest.fixture
def race(make, tmp_path, request):
    return Race(make, tmp_path / "outside", request.param)


LINES = {"openat2": NO_LANDLOCK, "landlock": BY_PATH} | ({"both": ""} if FULL else {})


@pytest.mark.parametrize("race", LINES.values(), ids=LINES, indirect=True)
def test_nothing_outside_changes(race):
    if race.fault != NO_LANDLOCK and not kernel_confines():
        pytest.skip("this kernel has no Landlock")
    # Modes and times the kernel does not look at, so the second line alone holds names and contents.
    seen = contents if race.fault == BY_PATH else lambda tree: tree
    ledger = Ledger("races", BIN) if FULL else None
    done = sum(r["applies"] for r in ledger.rows(fault=race.fault)) if FULL else 0
    idle = 0
    while done < APPLIES:
        applies, swaps = race.run()
        assert seen(tree_of(race.outside)) == seen(race.before)
        if swaps == 0:  # a busy machine: the device was done before the first
            idle += 1
            assert idle <= TRIES, "nothing is swapped while the device works"
            continue
        done += applies
        if FULL:
            ledger.add(fault=race.fault, applies=applies, swaps=swaps)


@pytest.mark.parametrize("race", [f"{BY_PATH},{NO_LANDLOCK}"], ids=["neither"], indirect=True)
def test_without_both_the_canary_shows_it(race):
    for _ in range(TRIES):
        race.run()
        if contents(tree_of(race.outside)) != contents(race.before):
            return
    raise AssertionError("the canary was not touched, so it shows nothing")


if __name__ == "__main__":
    swap_all(pathlib.Path(sys.argv[1]), [os.fsencode(name) for name in sys.argv[2:]])
