"""One commit to very many subscribers: how long until the last has been told, and what it costs the server.

BENCH_SUBSCRIBERS says how many, "1000,10000" by default.  bench/subscribers.c holds their streams, in one thread on the same two cores; its CPU
time is in the row beside the server's.  Clocks: CLOCK_MONOTONIC of one machine, from before the commit is sent.
"""
import contextlib
import os
import statistics
import subprocess
import time

from rig import BIN, ask, cpu_s, drayd, memory_mib, row

COUNTS = tuple(int(n) for n in os.environ.get("BENCH_SUBSCRIBERS", "1000,10000").split(","))
PER_DEVICE = 8  # EVENTS_PER_DEVICE_MAX
TRIALS = 15
MESSAGE = 610   # bytes of the event of a commit of one entry
SILENT = 1      # in a hundred
MANY = 200      # files of a commit: messages that fill a socket which nobody reads


class Subscribers:
    def __init__(self, host, port, project, tokens, n, silent):
        self.process = subprocess.Popen([BIN / "bench/subscribers", host, port, project, tokens, str(n), str(silent)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("not all could subscribe")

    def expect_change(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self):
        """When the last of them had the change that was expected, in ms."""
        return int(self.process.stdout.readline()) / 1e6

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def trials(server, project, token, readers, size):
    """Milliseconds from before a commit of ${size} entries until the last has been told, and CPU seconds of server and readers for one."""
    line, took = server.connect(), []
    before = cpu_s(server.process.pid), cpu_s(readers.process.pid)
    for n in range(TRIALS):
        operations = [{"op": "put", "path": f"{time.monotonic_ns()}", "kind": "dir"} for _ in range(size)]
        readers.expect_change()
        start = time.monotonic_ns() / 1e6
        ask(line, token, "POST", f"/projects/{project}/commits", {"operations": operations})
        took.append(readers.told() - start)
    return took, (cpu_s(server.process.pid) - before[0]) / TRIALS, (cpu_s(readers.process.pid) - before[1]) / TRIALS


def bare_fan_out(tokens, count):
    """Milliseconds until the last has a message, from a loop that does nothing but send it (bench/sender.c): what the kernel takes."""
    with subprocess.Popen([BIN / "bench/sender", str(count), str(MESSAGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        port = sender.stdout.readline().strip()
        with contextlib.closing(Subscribers("127.0.0.1", port, "none", tokens, count, 0)) as readers:
            took = []
            for _ in range(TRIALS):
                readers.expect_change()
                start = time.monotonic_ns() / 1e6
                sender.stdin.write("\n")
                sender.stdin.flush()
                took.append(readers.told() - start)
        sender.stdin.close()
    return statistics.median(took)


def bench_fan_out(where, count, size, silent):
    where.mkdir()
    with drayd(where) as server:
        project, line = server.project("events"), server.connect()
        tokens = [ask(line, server.owner, "POST", f"/projects/{project}/devices", {"name": f"device {n}", "role": "writer"})["token"]
                  for n in range(count // PER_DEVICE + 1)]
        (where / "tokens").write_text("".join(f"{t}\n" for t in tokens for _ in range(PER_DEVICE)))
        idle = memory_mib(server.process.pid)
        with contextlib.closing(Subscribers(server.host, server.port, project, where / "tokens", count, silent)) as readers:
            each = (memory_mib(server.process.pid) - idle) * 1024 / count
            took, server_s, readers_s = trials(server, project, tokens[-1], readers, size)
            bare = bare_fan_out(where / "tokens", count) if (size, silent) == (1, 0) else None
            of = f"{count:,} subscribers" + (f", {silent} % silent" if silent else "")
            row(f"a commit of {size} to {of}: to the last", statistics.median(took), "ms", bare, "send to each, no more", target="<= 150 ms" if (count, size) == (10_000, 1) else "")
            row(f"  slowest of {TRIALS}", max(took), "ms")
            row("  CPU time of the server", server_s * 1000, "ms", readers_s * 1000, "the subscribers'")
            row("  memory of the server for each, idle", each, "KiB", target="<= 16 KiB")
            row("  the same behind all that the silent have not read" if silent else "  the same afterwards",
                (memory_mib(server.process.pid) - idle) * 1024 / count, "KiB")


def bench_events(tmp):
    for count in COUNTS:
        for size, silent in ((1, 0), (MANY, 0), (MANY, SILENT)):
            bench_fan_out(tmp / f"{count} {size} {silent}", count, size, silent)
