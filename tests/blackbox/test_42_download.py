"""
Large files on their way down: what this disk has is not fetched, what was fetched is not fetched again, zeros stay holes, and nothing
that a local file or a left temporary says is believed.

DRAY_SEED repeats a run, DRAY_KILLS says how many kills of each side.
"""
import os
import random
import shutil
import subprocess
import time

import pytest

from devices import Device, assert_same, settle
from test_40_kill import ended, no_sanitizer

SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("DRAY_KILLS", 40 if os.environ.get("DRAY_CAMPAIGN") == "full" else 6))
KIB, MIB = 1024, 1024 * 1024
BLOCK, CHUNK = 64 * KIB, 4 * MIB
FLIGHT = 8 * (CHUNK + BLOCK)  # as many requests at once


def down(device, **same):
    """A sync that brings something here: the bytes that came over the line."""
    return device.sync(**same)["wire_down"]


def list_bytes(size):
    """What a block list of a file costs, and the answers' heads and the feed on the way."""
    return 36 * (size // BLOCK + 2) + 80 * 64 + 8 * KIB


@pytest.fixture
def pair(make):
    return make("a", "b")


def spread(device, name, size, seed=1):
    data = random.Random(seed).randbytes(size)
    device.write(name, data)
    return data


def flip_blocks(path, share, seed=2):
    """Overwrite whole blocks here and there; the bytes that have changed."""
    blocks = path.stat().st_size // BLOCK
    rng = random.Random(seed)
    picked = rng.sample(range(blocks), max(1, int(blocks * share)))
    with path.open("r+b") as f:
        for block in picked:
            f.seek(block * BLOCK)
            f.write(rng.randbytes(BLOCK))
    return len(picked) * BLOCK


# ---- edits of a large file ---------------------------------------------------------------------------------------------------------

def overwrite(path):
    return flip_blocks(path, 0.02)


def insert_front(path):
    path.write_bytes(random.Random(3).randbytes(1000) + path.read_bytes())
    return MIB


def append(path):
    with path.open("ab") as f:
        f.write(random.Random(4).randbytes(3 * BLOCK))
    return 4 * BLOCK


def truncate(path):
    os.truncate(path, path.stat().st_size - 5 * MIB - 17)
    return BLOCK


def move_region(path):
    data = path.read_bytes()
    path.write_bytes(data[:2 * MIB] + data[20 * MIB:24 * MIB] + data[2 * MIB:20 * MIB] + data[24 * MIB:])
    return MIB


def rename_and_edit(path):
    path = path.rename(path.with_name("renamed"))
    return flip_blocks(path, 0.01)


def copy(path):
    shutil.copy2(path, path.with_name("copy"))
    return 0


def copy_and_edit(path):
    shutil.copy2(path, path.with_name("copy"))
    return flip_blocks(path.with_name("copy"), 0.01)


def move_to_new_directory(path):
    path.with_name("dir").mkdir()
    path.rename(path.with_name("dir") / "moved")
    return 0


def rename_by_copy(path):
    """To whoever looks on it is another file, and one that is gone."""
    shutil.copy2(path, path.with_name("renamed"))
    path.unlink()
    return 0


@pytest.mark.parametrize("edit", [overwrite, insert_front, append, truncate, move_region, rename_and_edit, rename_by_copy, copy, copy_and_edit,
                                  move_to_new_directory], ids=lambda f: f.__name__)
def test_edit_comes_as_its_own_size(pair, edit):
    a, b = pair
    size = 40 * MIB + 12345
    spread(a, "large", size)
    a.sync()
    b.sync()
    changed = edit(a.path("large"))
    a.sync()
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= changed * 1.01 + list_bytes(size), f"{got} bytes came for {changed} that changed"


def test_an_overwrite_costs_little_more_than_what_it_changed(pair):
    """Nor does the list cost, of which nearly all is known here."""
    a, b = pair
    size = 128 * MIB + 12345
    spread(a, "large", size)
    a.sync()
    b.sync()
    for generation in range(3):
        changed = flip_blocks(a.path("large"), 0.02, seed=10 + generation)
        a.sync()
        got = down(b)
        assert_same(a.tree(), b.tree())
        assert got <= changed * 1.02, f"{got} bytes came for {changed} that changed"
    front = random.Random(3).randbytes(1000)
    a.path("large").write_bytes(front + a.path("large").read_bytes())
    a.sync()
    assert down(b) <= 96 * KIB  # what is told of the progress, once a second, is in it
    assert_same(a.tree(), b.tree())


def test_old_versions_of_small_files_help_too(pair):
    """Files that come with their extents: where an older version is here, the list is asked for, and pays."""
    a, b = pair
    for i in range(30):
        spread(a, f"photo {i}", 2 * MIB, seed=i)
    a.sync()
    b.sync()
    changed = sum(flip_blocks(a.path(f"photo {i}"), 0.05, seed=i) for i in range(30))
    a.sync()
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= changed * 1.05 + 30 * list_bytes(2 * MIB)


def test_copies_of_what_is_new_come_once(pair):
    """The first of several files of one content is fetched, also when none of it was here before."""
    a, b = pair
    data = spread(a, "one", 12 * MIB)
    for i in range(4):
        a.write(f"copies/{i}", data)
    a.sync()
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= 12 * MIB * 1.01 + 5 * list_bytes(12 * MIB)


def test_a_conflict_costs_what_differs(pair):
    """The edited file is set aside, and is where the blocks of the server's version come from."""
    a, b = pair
    spread(a, "large", 24 * MIB)
    a.sync()
    b.sync()
    changed = flip_blocks(a.path("large"), 0.03, seed=5)
    a.sync()
    changed += flip_blocks(b.path("large"), 0.03, seed=6)  # and what was edited here is not the server's
    done = b.sync_any()
    assert len(done["conflicts"]) == 1
    assert done["wire_down"] <= changed * 1.02 + 3 * list_bytes(24 * MIB)
    settle(a, b)


def test_many_generations_behind(pair):
    """Blocks of many chunks, a few of each: asked for together, and exactly."""
    a, b = pair
    spread(a, "large", 30 * MIB)
    a.sync()
    b.sync()
    changed = 0
    for generation in range(12):
        changed += flip_blocks(a.path("large"), 0.02, seed=generation)
        a.sync()
    done = b.sync()
    assert_same(a.tree(), b.tree())
    assert done["wire_down"] <= changed * 1.01 + list_bytes(30 * MIB)
    assert done["requests"] <= 12


# ---- holes -------------------------------------------------------------------------------------------------------------------------

def stored(path):
    return path.stat().st_blocks * 512


def test_holes_stay_holes(pair):
    a, b = pair
    with a.write("image", b"").open("r+b") as f:
        f.write(random.Random(1).randbytes(300 * KIB))
        f.seek(200 * MIB)
        f.write(random.Random(2).randbytes(100 * KIB))
        f.truncate(300 * MIB + 5)
    with a.write("small image", b"").open("r+b") as f:
        f.seek(2 * MIB)
        f.write(b"end")
    a.sync()
    done = b.sync()
    assert_same(a.tree(), b.tree())
    assert done["wire_down"] <= 500 * KIB + list_bytes(300 * MIB)
    assert stored(b.path("image")) <= 2 * MIB, "the holes have been filled"
    assert stored(b.path("small image")) <= 256 * KIB
    # A hole where data was, and data where a hole was.
    with a.path("image").open("r+b") as f:
        f.write(bytes(4 * BLOCK))
        f.seek(100 * MIB)
        f.write(b"something")
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())
    assert stored(b.path("image")) <= 2 * MIB


# ---- what cannot be believed -------------------------------------------------------------------------------------------------------

def temps(device):
    return sorted(device.dot("tmp").glob("k-*"))


def begun(device, part, limit=60):
    """A sync that is killed when so many bytes have been written to temporaries."""
    run = device.start()
    end = time.monotonic() + limit
    while run.poll() is None and sum(stored(t) for t in temps(device) if t.exists()) < part and time.monotonic() < end:
        time.sleep(0.002)
    run.kill()
    _, err = run.communicate()
    no_sanitizer(err)
    return run.returncode == -9


def test_nothing_that_a_temporary_says_is_believed(pair):
    """What a cut power line leaves: holes, zeros, other bytes, a wrong length."""
    a, b = pair
    size = 60 * MIB
    spread(a, "large", size)
    a.sync()
    assert begun(b, size // 2)
    (temp,) = temps(b)
    rng = random.Random(7)
    with temp.open("r+b") as f:
        for _ in range(40):
            f.seek(rng.randrange(size))
            f.write(rng.choice([bytes(5000), rng.randbytes(5000), rng.randbytes(1)]))
        f.truncate(size + rng.choice([0, 77777]))
    temp.chmod(0o400)
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got < size * 0.8, "nothing of the temporary was used"
    assert os.listdir(b.dot("tmp")) == []


def test_a_temporary_of_another_version_goes_on(pair):
    """The file changes on the server while its download is cut short: what has not changed is not fetched again."""
    a, b = pair
    size = 60 * MIB
    spread(a, "large", size)
    a.sync()
    assert begun(b, size * 3 // 4)
    flip_blocks(a.path("large"), 0.02)
    a.sync()
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got < size // 2, f"{got} bytes: the temporary was not used"


def test_sources_that_changed_meanwhile(pair):
    """The older version here is edited without its stat showing it, the copy's source is gone: what does not verify is fetched."""
    a, b = pair
    spread(a, "large", 20 * MIB)
    spread(a, "other", 20 * MIB, seed=8)
    a.sync()
    b.sync()
    flip_blocks(a.path("large"), 0.05)
    shutil.copy2(a.path("other"), a.path("copy"))
    a.sync()
    path = b.path("large")
    st = path.stat()
    with path.open("r+b") as f:
        f.seek(10 * MIB)
        f.write(b"edited" * 100000)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    b.path("other").unlink()
    b.sync_any()
    for device in (a, b):
        device.sync_any()
    here = {p.name: p.read_bytes() for p in b.folder.iterdir() if p.is_file()}
    there = {p.name: p.read_bytes() for p in a.folder.iterdir() if p.is_file()}
    assert here["copy"] == there["copy"] and len(here["copy"]) == 20 * MIB
    assert any(b"edited" * 100000 in data for data in here.values()), "the edit is lost"


# ---- cut short ---------------------------------------------------------------------------------------------------------------------

def test_killed_again_and_again(own_server, tmp_path):
    """kill -9 of dray at random moments of a download: what was not in flight is not fetched again."""
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED)
    project = own_server.project("cut")
    a = Device(own_server, project, tmp_path / "a", "a")
    size = 100 * MIB
    spread(a, "large", size, seed=SEED)
    a.sync()
    b = Device(own_server, project, tmp_path / "b", "b")
    started = time.monotonic()
    Device(own_server, project, tmp_path / "c", "c").sync()
    span = time.monotonic() - started
    kills, held = 0, 0
    while kills < KILLS:
        run = b.start()
        if ended(run, rng.uniform(0.05, span * 2 / KILLS + 0.1)):
            break
        run.kill()
        no_sanitizer(run.communicate()[1])
        kills += 1
        if b.path("large").exists():  # it has its name, and the kill came before that was recorded
            held = size
            break
        now = sum(stored(t) for t in temps(b))
        assert now >= held - MIB, "what was fetched is gone"
        held = now
    done = b.sync()
    assert_same(a.tree(), b.tree())
    assert done["wire_down"] <= size - held + FLIGHT + list_bytes(size), f"{held} bytes were here and {done['wire_down']} came"
    assert os.listdir(b.dot("tmp")) == []


def test_server_killed_again_and_again(own_server, tmp_path):
    """kill -9 of drayd during one download: it goes on, with at most what was in flight fetched again for each."""
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED + 1)
    project = own_server.project("cut")
    a = Device(own_server, project, tmp_path / "a", "a")
    size = 100 * MIB
    spread(a, "large", size, seed=SEED)
    a.sync()
    b = Device(own_server, project, tmp_path / "b", "b")
    run = b.start()
    kills = 0
    while kills < KILLS and not ended(run, rng.uniform(0.05, 0.4)):
        own_server.kill()
        own_server.start()
        kills += 1
    no_sanitizer(run.communicate(timeout=300)[1])
    held = sum(stored(t) for t in temps(b))
    done = b.sync()
    assert_same(a.tree(), b.tree())
    if run.returncode:
        assert done["wire_down"] <= size - held + FLIGHT + list_bytes(size)


def test_completed_but_not_installed_counts(own_server, tmp_path):
    """Many files of a few blocks, killed in the middle: those that were whole are not fetched again."""
    project = own_server.project("cut")
    a = Device(own_server, project, tmp_path / "a", "a")
    for i in range(150):
        spread(a, f"photo {i}", 400 * KIB, seed=i)
    a.sync()
    b = Device(own_server, project, tmp_path / "b", "b")
    assert begun(b, 30 * MIB)
    held = sum(stored(t) for t in temps(b)) + sum(p.stat().st_size for p in b.folder.glob("photo *"))
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= 150 * 400 * KIB - held + FLIGHT + 150 * 2 * KIB


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB that can be made larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", folder], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(server, tmp_path, small_disk):
    """It says so, touches nothing that is here, and goes on when there is room."""
    project = server.project("full")
    a = Device(server, project, tmp_path / "a", "a")
    b = Device(server, project, small_disk / "b", "b")
    spread(a, "mine", 3 * MIB, seed=2)
    a.sync()
    b.sync()
    size = 60 * MIB
    spread(a, "large", size)
    a.sync()
    before = b.tree()
    run = b.dray("sync", b.folder)
    assert run.returncode == 1 and "No space left" in run.stderr, run.stderr
    assert_same(before, b.tree())
    held = sum(stored(t) for t in temps(b))
    assert held > 30 * MIB, "what was fetched is gone"
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= size - held + FLIGHT + list_bytes(size)


def test_what_is_not_wanted_any_more_goes(pair):
    """A temporary of a file that has been deleted meanwhile stays for no longer than the next complete sync."""
    a, b = pair
    spread(a, "large", 40 * MIB)
    a.sync()
    assert begun(b, 10 * MIB)
    assert len(temps(b)) == 1
    a.path("large").unlink()
    a.sync()
    b.sync()
    assert os.listdir(b.dot("tmp")) == []


# ---- faults ------------------------------------------------------------------------------------------------------------------------

def corrupted_temporary(a, b, fault):
    """Under a fault the wrong bytes are installed, and nobody says so: the tree tells."""
    spread(a, "large", 40 * MIB)
    a.sync()
    assert begun(b, 20 * MIB)
    (temp,) = temps(b)
    with temp.open("r+b") as f:
        data = os.lseek(f.fileno(), 0, os.SEEK_DATA)
        f.seek(data)
        f.write(b"not what was fetched" * 5000)
    b.sync(env={"DRAY_FAULT": fault})
    assert_same(a.tree(), b.tree())


def changed_source(a, b, fault):
    spread(a, "large", 20 * MIB)
    a.sync()
    b.sync()
    a.write("copy", a.path("large").read_bytes())
    a.path("large").unlink()
    a.sync()
    a.path("copy").rename(a.path("copy 2"))
    shutil.copy2(a.path("copy 2"), a.path("copy 3"))
    a.sync()
    here = next(p for p in b.folder.iterdir() if p.is_file())
    st = here.stat()
    with here.open("r+b") as f:
        f.write(b"edited after the last sync")
    os.utime(here, ns=(st.st_atime_ns, st.st_mtime_ns))
    b.sync_any(env={"DRAY_FAULT": fault})
    same = b.path("copy 3").read_bytes() == a.path("copy 2").read_bytes()
    assert same, "what was edited here stands in for what is there"


def resumed(a, b, fault):
    size = 60 * MIB
    spread(a, "large", size)
    a.sync()
    assert begun(b, size * 3 // 4)
    done = b.sync(env={"DRAY_FAULT": fault})
    assert done["wire_down"] < size * 3 // 4


@pytest.mark.mutant
@pytest.mark.parametrize("fault, scenario", [("client.trusts_temp", corrupted_temporary), ("client.trusts_local", changed_source),
                                             ("client.keeps_no_temp", resumed)])
def test_faults_are_noticed(server, tmp_path, fault, scenario):
    for on in ("", fault):
        project = server.project(f"fault {on}")
        devices = [Device(server, project, tmp_path / f"{name} {on}", name) for name in "ab"]
        if on:
            with pytest.raises(AssertionError):
                scenario(*devices, on)
        else:
            scenario(*devices, on)
