"""
Uploads of large files: what a kill costs, and what an edit costs, counted on the line.

DRAY_SEED repeats a run, DRAY_KILLS says how often an upload is killed.
"""
import os
import random
import shutil
import socket
import threading
import time

import pytest

from devices import Device, assert_same, run_dray
from waiting import wait_for

SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("DRAY_KILLS", 6))
KIB = 1024
MIB = 1024 * KIB
CHUNK = 4 * MIB
PARALLEL = 8


class Line:
    """A line to the server that counts what goes up, and lets through so many bytes a second."""

    def __init__(self, server, rate=None):
        self.server, self.rate, self.up = server, rate, 0
        self.device = server.device
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.listener.getsockname()[1]

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.server.address)
            threading.Thread(target=self.carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.carry, args=(far, near, False), daemon=True).start()

    def carry(self, source, sink, counted):
        try:
            while data := source.recv(64 * KIB):
                if counted:
                    self.pace(len(data))
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pace(self, n):
        with self.lock:
            self.up += n
            if self.rate:
                time.sleep(n / self.rate)

    def close(self):
        self.listener.close()


@pytest.fixture
def line(server):
    made = Line(server)
    yield made
    made.close()


def kill_when(run, line, at):
    """Kill the sync when so many bytes have gone up.  False: it was over before that."""
    wait_for(lambda: line.up >= at or run.poll() is not None, "the upload stands still")
    if run.poll() is not None:
        return False
    run.kill()
    run.wait()
    return True


def test_killed_uploads_go_on(server, line, tmp_path):
    """Again and again, at any moment: what is sent twice is what was on its way."""
    print("DRAY_SEED", SEED)
    rng = random.Random(SEED)
    project = server.project("killed uploads")
    size = 96 * MIB + rng.randrange(MIB)
    a, b = Device(line, project, tmp_path / "a", "a"), Device(server, project, tmp_path / "b", "b")
    a.write("large.bin", rng.randbytes(size))
    line.rate = 200 * MIB
    kills = 0
    for _ in range(KILLS):
        run = a.start()
        if not kill_when(run, line, line.up + rng.randrange(64 * KIB, size // KILLS)):  # so there is always something left to send
            break
        kills += 1
    line.rate = None
    a.sync()
    lists = size // (64 * KIB) * 80
    assert line.up <= size * 1.002 + lists + (kills + 1) * 64 * KIB + kills * PARALLEL * (CHUNK + 64 * KIB)
    assert kills >= KILLS // 2, f"only {kills} kills: the syncs are over too soon"
    b.sync()
    assert_same(a.tree(), b.tree())
    print(f"{kills} kills, {line.up / size:.3f} times the file's bytes on the line")


def test_stopped_uploads_go_on(server, line, tmp_path):
    """Ctrl-C is no loss either."""
    rng = random.Random(SEED)
    project = server.project("stopped uploads")
    size = 64 * MIB
    a, b = Device(line, project, tmp_path / "a", "a"), Device(server, project, tmp_path / "b", "b")
    a.write("large.bin", rng.randbytes(size))
    line.rate = 100 * MIB
    run = a.start()
    wait_for(lambda: line.up >= 30 * MIB or run.poll() is not None, "the upload stands still")
    run.terminate()
    run.communicate(timeout=60)
    line.rate = None
    a.sync()
    assert line.up <= size * 1.003 + MIB + PARALLEL * (CHUNK + 64 * KIB)
    b.sync()
    assert_same(a.tree(), b.tree())


def test_edited_after_a_kill(server, line, tmp_path):
    """The file is another one when it goes on: the version is what lies there now, and what stayed is not sent again."""
    rng = random.Random(SEED)
    project = server.project("edited after a kill")
    size = 64 * MIB
    a, b = Device(line, project, tmp_path / "a", "a"), Device(server, project, tmp_path / "b", "b")
    path = a.write("large.bin", rng.randbytes(size))
    line.rate = 100 * MIB
    assert kill_when(a.start(), line, 48 * MIB)
    line.rate = None
    with path.open("r+b") as f:
        f.seek(rng.randrange(size - 100))
        f.write(b"edited after the kill")
    path.rename(a.path("renamed.bin"))
    a.sync()
    assert line.up <= size * 1.003 + MIB + (PARALLEL + 1) * (CHUNK + 64 * KIB)
    b.sync()
    assert_same(a.tree(), b.tree())


# ---- what an edit costs -----------------------------------------------------------------------------------------------------------------


def overwrite(path, rng):
    with path.open("r+b") as f:
        for _ in range(3):
            f.seek(rng.randrange(path.stat().st_size - 5000))
            f.write(rng.randbytes(5000))


def splice(path, at, out, data):
    """Take ${out} bytes away at ${at}, and put ${data} there."""
    old = path.read_bytes()
    path.write_bytes(old[:at] + data + old[at + out:])


def third(path):
    return path.stat().st_size // 3 + 17


def move_region(path, _):
    old, at = path.read_bytes(), third(path)
    path.write_bytes(old[at:2 * at] + old[:at] + old[2 * at:])


def rename_and_edit(path, rng):
    new = path.with_name("renamed.bin")
    path.rename(new)
    splice(new, len(new.read_bytes()) // 2, 0, rng.randbytes(5000))


def copy(path, _):
    shutil.copyfile(path, path.with_name("copy.bin"))


def copy_and_edit(path, rng):
    copy(path, rng)
    splice(path.with_name("copy.bin"), third(path), 100, rng.randbytes(5000))


def copy_dir(path, _):
    shutil.copytree(path.parent, path.parent.with_name("copy of dir"))


def save_as_new(path, rng):
    new = path.with_name(".saving")
    shutil.copyfile(path, new)
    overwrite(new, rng)
    os.replace(new, path)


BLOCK = 64 * KIB
EDITS = {  # what is done, and how many bytes may cross the line for it
    "overwrite": (overwrite, 7 * BLOCK),
    "insert in front": (lambda p, rng: splice(p, 0, 0, rng.randbytes(1000)), 3 * BLOCK),
    "insert in the middle": (lambda p, rng: splice(p, third(p), 0, rng.randbytes(100_000)), 100_000 + 4 * BLOCK),
    "delete in the middle": (lambda p, rng: splice(p, third(p), 100_001, b""), 5 * BLOCK),
    "append": (lambda p, rng: splice(p, p.stat().st_size, 0, rng.randbytes(5000)), 2 * BLOCK),
    "truncate": (lambda p, _: os.truncate(p, p.stat().st_size // 2), 2 * BLOCK),
    "move a region": (move_region, 6 * BLOCK),
    "rename": (lambda p, _: p.rename(p.with_name("renamed.bin")), 0),
    "rename and edit": (rename_and_edit, 4 * BLOCK),
    "copy": (copy, 0),
    "copy and edit": (copy_and_edit, 4 * BLOCK),
    "copy a directory": (copy_dir, 0),
    "rename the directory": (lambda p, _: p.parent.rename(p.parent.with_name("other")), 0),
    "save as a new file": (save_as_new, 7 * BLOCK),
    "touch": (lambda p, _: os.utime(p, (1, 1)), 0),
}


SIZES = {"small": (600 * KIB, EDITS), "large": (18 * MIB, ("overwrite", "insert in the middle"))}
if os.environ.get("DRAY_CAMPAIGN") == "full":
    SIZES = {"small": (600 * KIB, EDITS), "middle": (12 * MIB, EDITS), "large": (18 * MIB, EDITS)}


@pytest.mark.parametrize("size, edits", SIZES.values(), ids=SIZES)
def test_an_edit_costs_the_edit(make, size, edits):
    """Each edit on its own, one after the other on one pair of devices, with the tree compared after each."""
    rng = random.Random(SEED)
    a, b = make("a", "b")
    for name in edits:
        edit, allowed = EDITS[name]
        shutil.rmtree(a.path("tree"), ignore_errors=True)
        path = a.write("tree/dir/file.bin", rng.randbytes(size))
        a.sync("--allow-mass-delete")
        b.sync("--allow-mass-delete")
        edit(path, rng)
        done = a.sync("--allow-mass-delete")
        lists = 2 * size // BLOCK * 80
        assert done["wire_up"] <= allowed + lists + 12 * KIB, f"{name}: {done['wire_up']} bytes for an edit that is worth {allowed}"
        b.sync("--allow-mass-delete")
        assert_same(a.tree(), b.tree())


def test_same_bytes_cut_otherwise(make):
    """
    After an insertion the server's blocks are not those of the grid.  Who has the same bytes is not in conflict for that, be it a folder
    that knows nothing yet, or one where the file was only touched while somebody else edited it.
    """
    a, b, fresh = make("a", "b", "fresh")
    rng = random.Random(SEED)
    path = a.write("file.bin", rng.randbytes(3 * MIB))
    a.sync()
    splice(path, 0, 0, rng.randbytes(1000))
    a.sync()
    shutil.copy2(path, fresh.path("file.bin"))
    done = fresh.sync()
    assert (done["sent"], done["content_sent"], done["content_fetched"]) == (0, 0, 0)
    b.sync()
    os.utime(path, (5, 5))
    splice(b.path("file.bin"), MIB, 0, rng.randbytes(1000))
    b.sync()
    a.sync()
    assert_same(a.tree(), b.tree())
    os.chmod(b.path("file.bin"), 0o600)
    os.chmod(b.path("file.bin"), 0o644)  # the ctime alone
    b.quiet()


def test_sparse_file(make):
    """A hole costs next to nothing, and the other side has the same bytes."""
    a, b = make("a", "b")
    path = a.path("disk.img")
    with path.open("wb") as f:
        f.truncate(1024 * MIB)
        f.seek(500 * MIB)
        f.write(random.Random(SEED).randbytes(3 * MIB))
    done = a.sync()
    assert done["wire_up"] < 3 * MIB + 2 * MIB
    b.sync()
    assert_same(a.tree(), b.tree())


# ---- faults -------------------------------------------------------------------------------------------------------------------------------


def test_a_wrong_extent_is_never_committed(make):
    """A client that names the wrong block of a base is refused; nobody ever sees other bytes."""
    a, b = make("a", "b")
    rng = random.Random(SEED)
    path = a.write("file.bin", rng.randbytes(20 * MIB))
    a.sync()
    b.sync()
    before = b.tree()
    overwrite(path, rng)
    run = a.dray("sync", "--json", a.folder, env={"DRAY_FAULT": "client.delta_wrong_extent"})
    assert run.returncode == 3, run.stdout
    b.sync()
    assert_same(before, b.tree())
    a.sync()
    b.sync()
    assert_same(a.tree(), b.tree())
