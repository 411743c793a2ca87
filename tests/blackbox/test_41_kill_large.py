"""
SIGKILL of the client, the server or both in the middle of a large file's way up or down, and on: the run after it completes, both
sides have the same bytes, and of those that had crossed at most the chunks in flight cross again.  Counted on the wire, by the proxy.

DRAY_SEED repeats a run.  DRAY_TRIALS says how many kills; with DRAY_CAMPAIGN=full they are 500 of files up to 256 MB, by the release
build where there is one, and what the ledger has of the same programs counts.
"""
import os
import random
import shutil
import time

import pytest

from audit import audit
from conftest import Drayd
from devices import BIN, Device
from ledger import Ledger, spread
from proxy import Proxy
from test_43_line import sha, sha_of_file

FULL = os.environ.get("DRAY_CAMPAIGN") == "full"
SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
TRIALS = int(os.environ.get("DRAY_TRIALS", 500 if FULL else 4))
RELEASE = BIN.parent / "release"
PROGRAMS = RELEASE if FULL and (RELEASE / "drayd").exists() else BIN
MIB = 1 << 20
# From 16 MiB on a file has a transfer of its own, which resumes.  With as many requests at once as keep it several times what is in flight.
FILES = [(24, 40, 2)] * 6 + [(64, 80, 4)] * 2 + [(64, 80, 8), (192, 256, 8)] if FULL else [(17, 24, 2)]
CHUNK_MAX = 4 * MIB + 64 * 1024    # CHUNK_LEN_MAX
FOLDER_TRIALS = 8                  # then a new server, so that the disk does not fill
PATIENCE = 300


class Scene:
    """A server and two devices of one project, each behind a proxy of its own."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.server = Drayd(folder, PROGRAMS)
        self.project = self.server.project("kill large")
        self.lines = {name: Proxy(self.server) for name in "ab"}
        self.devices = {n: Device(self.lines[n], self.project, folder / n, n, bin=PROGRAMS) for n in "ab"}
        self.api = self.server.api(self.devices["a"].token)

    def close(self):
        for line in self.lines.values():
            line.__exit__()
        self.server.stop()
        shutil.rmtree(self.folder)


def wait_end(run):
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode in (0, 1, -9), (run.returncode, err)
    assert "Sanitizer" not in err and "runtime error" not in err, err
    return run.returncode


def kill_in_the_middle(scene, name, victims, at, rng, args):
    """Sync device ${name}; kill ${victims} when ${at} bytes have crossed, or a little later."""
    run = scene.devices[name].start(*args)
    due = scene.lines[name].after(at)
    while not due.wait(0.01) and run.poll() is None:
        pass
    time.sleep(rng.uniform(0, 0.02))
    if "server" in victims:
        scene.lines[name].down = True
        scene.server.kill()
    if "client" in victims:
        run.kill()
    if "server" in victims:
        scene.server.start()
        scene.lines[name].down = False
    return wait_end(run)


def trial(scene, n, rng):
    """One file one way, killed once or twice.  A row for the ledger."""
    way, victims = rng.choice(["up", "down"]), rng.choice([("client",), ("server",), ("client", "server")])
    name, other = ("a", "b") if way == "up" else ("b", "a")
    device, line = scene.devices[name], scene.lines[name]
    least, most, parallel = rng.choice(FILES)
    data = rng.randbytes(rng.randint(least * MIB, most * MIB))
    scene.devices["a"].write(f"large {n}", data)
    if way == "down":
        scene.devices[other].sync()
    line.forget()
    kills = rng.choice([1, 1, 2])
    args = ["--timeout", "120", "--parallel", str(parallel)]
    for _ in range(kills):
        kill_in_the_middle(scene, name, victims, int(len(data) / kills * rng.uniform(0, 1.05)), rng, args)
    device.sync(*args)
    assert sha_of_file(device.path(f"large {n}")) == sha(data)
    whole, chunks = audit(scene.api, f"/projects/{scene.project}", f"large {n}")[f"large {n}"]
    assert whole == sha(data)
    assert os.listdir(device.dot("tmp")) == []
    again = line.total(f"chunk {way}") - sum(chunks.values())
    row = {"way": way, "killed": "+".join(victims), "kills": kills, "parallel": parallel, "size": len(data), "again": again}
    assert again <= kills * parallel * CHUNK_MAX, f"more crossed again than was in flight: {row}\n{line.told('chunk ' + way)}"
    scene.devices[other].sync()  # so that the next trial is of one file
    return row


def report(rows):
    share = [max(r["again"], 0) / (r["kills"] * r["parallel"] * CHUNK_MAX) * 100 for r in rows]
    lines = [f"{len(rows)} trials, {sum(r['kills'] for r in rows)} kills; bytes again in % of what can be in flight: {spread(share)}"]
    for way in ("up", "down"):
        for who in ("client", "server", "client+server"):
            again = [max(r["again"], 0) / r["kills"] / MIB for r in rows if (r["way"], r["killed"]) == (way, who)]
            lines.append(f"  {way}, {who} killed: {len(again)} trials; MiB again for each kill: {spread(again)}")
    return "\n".join(lines)


def test_large_file_killed(tmp_path):
    print("DRAY_SEED", SEED)
    ledger = Ledger("kill-large", PROGRAMS)
    done = len(ledger.rows()) if FULL else 0
    rows, scene = [], None
    try:
        for n in range(done, TRIALS):
            if n == done or n % FOLDER_TRIALS == 0:
                if scene:
                    scene.close()
                scene = Scene(tmp_path / f"scene {n}")
            rows.append(trial(scene, n, random.Random(SEED + n)))
            ledger.add(seed=SEED + n, **rows[-1])
    finally:
        if scene:
            scene.close()
    print(report(ledger.rows() if FULL else rows))


@pytest.mark.skipif(not FULL, reason="the distribution is of the full campaign")
def test_ways_and_victims_all_occurred():
    rows = Ledger("kill-large", PROGRAMS).rows()
    assert len({(r["way"], r["killed"]) for r in rows}) == 6
