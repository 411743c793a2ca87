"""How long a change takes from one device's agent to the other's disk: dray watch, and syncthing beside it.

BENCH_EDITS is how many changes of each kind dray is tried with, 200 by default; syncthing with fewer, as it waits for seconds.
"""
import contextlib
import os
import statistics
import subprocess
import time

from rig import BIN, MIB, cpu_s, drayd, link, memory_mib, row
from syncthing import Pair

FILES, EDITS = 300, int(os.environ.get("BENCH_EDITS", 200))
KINDS = (("1 KiB", 1, 1024), ("1 MiB", 1, MIB), ("64 MiB", 1, 64 * MIB), ("a burst of 1,000 files of 1 KiB", 1000, 1024))
DELAYS = ((10, "its default, 10 s of delay", 20), (1, "its shortest delay, 1 s", 5))  # for every so many trials of dray's one of syncthing's
REST_S = 0.15  # between two edits, so that each is a pass of its own
IDLE_S = 10
PATIENCE_S = 600


@contextlib.contextmanager
def agent(folder):
    process = subprocess.Popen([BIN / "dray", "watch", "--quiet", folder], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(condition, pause=0.0005):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("the other side never had it")
        time.sleep(pause)


def begins_with(path, tag, size):
    """Both sides' agents put a file in place whole, so its beginning and its size tell."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as f:
        return os.fstat(f.fileno()).st_size == size and f.read(len(tag)) == tag
    return False


def change(here, there, kind, n):
    """Milliseconds from the end of writing one file, or many, until the other side has all of it."""
    name, count, size = kind
    tag, rest = os.urandom(16), os.urandom(size - 16)
    folder = name.replace(" ", "-").replace(",", "")
    paths = [f"{folder}/{i if count > 1 else n % 20}" for i in range(count)]
    (here / folder).mkdir(exist_ok=True)
    for path in paths:
        (here / path).write_bytes(tag + rest)
    start, missing = time.monotonic(), set(paths)

    def all_there():
        missing.difference_update([p for p in sorted(missing)[:50] if begins_with(there / p, tag, size)])
        return not missing
    wait_for(all_there, 0.0005 if size <= MIB else 0.005)
    return (time.monotonic() - start) * 1000


def measure(a, b, kind, trials):
    """Median and the slowest of a hundred, in ms."""
    took = []
    for n in range(trials):
        took.append(change(*((b, a) if n % 2 else (a, b)), kind, n))
        time.sleep(REST_S)
    took.sort()
    return statistics.median(took), took[min(len(took) - 1, len(took) * 99 // 100)]


def trials_of(kind, one_of=1):
    return max(EDITS // one_of, 3) if kind[1:] == (1, 1024) or one_of == 1 else max(EDITS // one_of // 4, 3)


def some_tree(a):
    for i in range(FILES):
        path = a / f"d{i % 20}" / f"f{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)


def syncthings(tmp):
    """{(delay, kind): (median, slowest, trials)}"""
    found = {}
    for delay, _, one_of in DELAYS:
        with Pair(tmp / f"syncthing-{delay}", delay) as pair:
            a, b = pair.a.folder, pair.b.folder
            some_tree(a)
            wait_for(lambda: sum(1 for _ in b.glob("d*/f*")) == FILES, 0.05)
            for kind in KINDS:
                trials = trials_of(kind, one_of)
                found[delay, kind] = (*measure(a, b, kind, trials), trials)
    return found


def bench_watch(tmp):
    a, b = tmp / "a", tmp / "b"
    some_tree(a)
    peers = syncthings(tmp)
    with drayd(tmp) as server:
        project = server.project("watch")
        for name in ("a", "b"):
            link(server, project, name, tmp / name)
        with agent(a) as one, agent(b) as other:
            wait_for(lambda: sum(1 for _ in b.glob("d*/f*")) == FILES)
            time.sleep(1)
            for kind in KINDS:
                used, trials = cpu_s(one.pid) + cpu_s(other.pid), trials_of(kind)
                median, slowest = measure(a, b, kind, trials)
                used = cpu_s(one.pid) + cpu_s(other.pid) - used
                for delay, name, _ in DELAYS:
                    peer = peers[delay, kind]
                    row(f"{kind[0]} changed on one device, seen on the other", median, "ms", peer[0], f"syncthing, {name}",
                        "<= 150" if kind == KINDS[0] else "")
                    row(f"  the slowest of a hundred of {trials}", slowest, "ms", peer[1], f"of {peer[2]}")
                row("  CPU of both agents for each", used / trials * 1000, "ms")
            time.sleep(2)
            used = cpu_s(one.pid) + cpu_s(other.pid)
            time.sleep(IDLE_S)
            row(f"CPU of both agents in {IDLE_S} s without a change", (cpu_s(one.pid) + cpu_s(other.pid) - used) * 1000, "ms")
            row("memory of an agent", max(memory_mib(one.pid), memory_mib(other.pid)), "MiB")
