"""How long an edit of 1 KiB takes from one device's dray watch to the other's disk, and what an agent costs that has nothing to do."""
import contextlib
import os
import statistics
import subprocess
import time

from rig import BIN, cpu_s, drayd, link, row

FILES, EDITS = 300, 200
REST_S = 0.15  # between two edits, so that each is a pass of its own
IDLE_S = 10


@contextlib.contextmanager
def agent(folder):
    process = subprocess.Popen([BIN / "dray", "watch", "--quiet", folder], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(condition):
    while not condition():
        time.sleep(0.0005)


def is_there(path, text):
    with contextlib.suppress(FileNotFoundError):
        return path.read_text() == text
    return False


def edit(here, there, name):
    """Milliseconds from the end of the write until the other side has it."""
    text = os.urandom(512).hex()
    (here / name).write_text(text)
    start = time.monotonic()
    wait_for(lambda: is_there(there / name, text))
    return (time.monotonic() - start) * 1000


def bench_watch(tmp):
    a, b = tmp / "a", tmp / "b"
    for i in range(FILES):
        path = a / f"d{i % 20}" / f"f{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)
    with drayd(tmp) as server:
        project = server.project("watch")
        for name in ("a", "b"):
            link(server, project, name, tmp / name)
        with agent(a) as one, agent(b) as other:
            wait_for(lambda: sum(1 for p in b.glob("d*/f*")) == FILES)
            time.sleep(1)
            used, took = cpu_s(one.pid) + cpu_s(other.pid), []
            for i in range(EDITS):
                here, there = (a, b) if i % 2 else (b, a)
                took.append(edit(here, there, f"d{i % 20}/f{i % FILES // 20 * 20 + i % 20}"))
                time.sleep(REST_S)
            used = cpu_s(one.pid) + cpu_s(other.pid) - used
            took.sort()
            row("edit of 1 KiB on one device, seen on the other", statistics.median(took), "ms", target="<= 150")
            row("  the slowest of a hundred", took[len(took) * 99 // 100], "ms")
            row("  CPU of both agents for each", used / EDITS * 1000, "ms")
            time.sleep(2)
            used = cpu_s(one.pid) + cpu_s(other.pid)
            time.sleep(IDLE_S)
            row(f"CPU of both agents in {IDLE_S} s without a change", (cpu_s(one.pid) + cpu_s(other.pid) - used) * 1000, "ms")
