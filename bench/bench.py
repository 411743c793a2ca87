#!/usr/bin/python3
"""make bench: dray's figures, each beside a peer or a limit of this machine in the same run, as ratios.

Usage: bench/bench.py [ROW …]      rows: small, folder, chunks, memory, api, tree, commits, events, idle, large, million, watch, syncthing
                                   (default: all)

BENCH_DIR is where it works (/var/tmp), BENCH_LARGE_MIB how large the large file is (4096, or what a twelfth of the free space holds),
BENCH_RUNS how often the whole file is sent (3), BENCH_FILES how many files there are in the rows tree and
million (10000,100000), BENCH_FSYNC_FILES up to how many rsync --fsync is run beside them (100000), BENCH_ENGINES where the metadata is in the rows tree and commits (sqlite,postgres).

Prints a table and appends one line of JSON to bench/history/bench.jsonl.  Nothing here passes or fails.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from commits import bench_commits
from events import bench_events
from idle import bench_idle
from large import RUNS as LARGE_RUNS, bench_large, bench_syncthing
from million import bench_million
from rig import BIN, MIB, ROOT, RUNS, drayd, figures, link, own_loopback, row, rsyncd, timed
from tree import bench_tree
from watch import bench_watch

# ---- trees ---------------------------------------------------------------------------------------------------------------

def small_files(folder, count=10_000, total=100 * 1000 * 1000):
    """Half text-like, half incompressible; sizes spread evenly between nothing and twice the mean."""
    rng = random.Random(1)
    words = b" ".join(rng.randbytes(6).hex().encode() for _ in range(4096))
    for i in range(count):
        path = folder / f"d{i // 100:03}" / f"file {i:05}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.randrange(2 * total // count)
        start = rng.randrange(len(words) - 20_000) if size else 0
        path.write_bytes(rng.randbytes(size) if i % 2 else words[start:start + size])


def chunk(raw):
    """A container of 64 KiB blocks, stored as they are."""
    blocks = [raw[i:i + 65536] for i in range(0, len(raw), 65536)]
    table = b"".join(hashlib.sha256(b).digest() + struct.pack("<II", len(b), len(b)) for b in blocks)
    return b"DRAYCHK1" + struct.pack("<II", len(blocks), 0) + table + raw


# ---- rows -----------------------------------------------------------------------------------------------------------------

def bench_small(tmp):
    """10,000 small files to the server, durable, beside rsync --fsync; then the pass with no change."""
    source = tmp / "small"
    small_files(source)
    dray, rsync, rsync_fast, dray_none, rsync_none, down = [], [], [], [], [], []
    for i in range(RUNS):
        where = tmp / f"small-{i}"
        where.mkdir()
        with rsyncd(where, where / "rsync") as url:
            rsync.append(timed("rsync", "-a", "--fsync", f"{source}/", url))
            rsync_none.append(timed("rsync", "-a", "--fsync", f"{source}/", url))
        with rsyncd(where, where / "rsync-fast") as url:
            rsync_fast.append(timed("rsync", "-a", f"{source}/", url))
        with drayd(where) as server:
            project = server.project("bench")
            link(server, project, "a", source)
            dray.append(timed(BIN / "dray", "sync", "--quiet", source))
            dray_none.append(timed(BIN / "dray", "sync", "--quiet", source))
            link(server, project, "b", where / "b")
            down.append(timed(BIN / "dray", "sync", "--quiet", where / "b"))
            subprocess.run([BIN / "dray", "unlink", "--quiet", source], check=True)
        shutil.rmtree(where)
    med = statistics.median
    row("10,000 small files up, durable", med(dray), "s", med(rsync), "rsync -a --fsync", "<= x1")
    row("  the same beside rsync without fsync", med(dray), "s", med(rsync_fast), "rsync -a", "<= x2")
    row("10,000 small files down, durable", med(down), "s", med(rsync), "rsync -a --fsync", "")
    row("no change, 10,000 files", med(dray_none), "s", med(rsync_none), "rsync -a", "<= x1")


def bench_folder(tmp):
    """A real tree from one folder through the server to another, beside rsync to a daemon and back."""
    source = tmp / "tree"
    source.mkdir()
    subprocess.run(["cp", "-a", "/usr/share", "/usr/include", source], check=True)
    entries = sum(len(d) + len(f) for _, d, f in os.walk(source))
    size = int(subprocess.run(["du", "-sb", source], capture_output=True, text=True, check=True).stdout.split()[0])
    with rsyncd(tmp, tmp / "tree-rsync") as url:
        up_peer = timed("rsync", "-a", f"{source}/", url)
        down_peer = timed("rsync", "-a", url, f"{tmp}/tree-back/")
    with drayd(tmp) as server:
        project = server.project("tree")
        link(server, project, "a", source)
        up = timed(BIN / "dray", "sync", "--quiet", source)
        link(server, project, "b", tmp / "tree-b")
        down = timed(BIN / "dray", "sync", "--quiet", tmp / "tree-b")
        none = timed(BIN / "dray", "sync", "--quiet", tmp / "tree-b")
        find = timed("find", source, "-printf", "%s %T@ %C@ %i %m %p\\n")
        row(f"{entries:,} real entries, no change", none, "s", find, "find -printf", "")
        row(f"{entries:,} real entries, {size / 1e6:.0f} MB, up", up, "s", up_peer, "rsync -a, no fsync", "")
        row(f"{entries:,} real entries, {size / 1e6:.0f} MB, down", down, "s", down_peer, "rsync -a, no fsync", "")


def put_chunks(server, project, token, bodies, parallel):
    """PUT every body, ${parallel} at a time; seconds."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    connection = server.connect()
    connection.request("POST", f"/projects/{project}/transfers", b"{}", {**headers, "Content-Type": "application/json"})
    transfer = json.loads(connection.getresponse().read())["id"]

    def worker(first):
        line = server.connect()
        for n in range(first, len(bodies), parallel):
            line.request("PUT", f"/projects/{project}/transfers/{transfer}/chunks/{n}", bodies[n], headers)
            answer = line.getresponse()
            text = answer.read()
            if answer.status not in (200, 201):
                raise RuntimeError(text.decode())
        line.close()

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        list(pool.map(worker, range(parallel)))
    return time.monotonic() - start


def raw_loop(where, bodies, parallel):
    """The limit: receive on a socket, hash, write, fsync, rename, ${parallel} at a time, nothing else."""
    def worker(first):
        ours, theirs = socket.socketpair()
        for n in range(first, len(bodies), parallel):
            with concurrent.futures.ThreadPoolExecutor(1) as sender:
                sent = sender.submit(theirs.sendall, bodies[n])
                got, sha = bytearray(), hashlib.sha256()
                while len(got) < len(bodies[n]):
                    piece = ours.recv(262144)
                    sha.update(piece)
                    got += piece
                sent.result()
            path = where / f"{n}.tmp"
            with open(path, "wb") as f:
                f.write(got)
                f.flush()
                os.fsync(f.fileno())
            os.rename(path, where / sha.hexdigest())
        ours.close()
        theirs.close()

    where.mkdir()
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        list(pool.map(worker, range(parallel)))
    return time.monotonic() - start


def bench_chunks(tmp):
    """PUT of 4 MiB chunks, 8 in parallel."""
    raw = [random.Random(n).randbytes(4 * MIB) for n in range(128)]
    total = len(raw) * 4
    ours, loop, direct = [], [], []
    with drayd(tmp) as server:
        for i in range(3):
            bodies = [chunk(bytes([i]) + r[1:]) for r in raw]
            project = server.project(f"chunks{i}")
            os.sync()
            ours.append(total / put_chunks(server, project, server.owner, bodies, 8))
            os.sync()
            loop.append(total / raw_loop(tmp / f"raw{i}", bodies, 8))
            shutil.rmtree(tmp / f"raw{i}")
            direct.append(total / timed("dd", "if=/dev/zero", f"of={tmp}/dd", "bs=4M", f"count={len(raw)}", "oflag=direct",
                                        "status=none"))
            os.unlink(tmp / "dd")
    row("PUT of chunks, 8 at once", statistics.median(ours), "MiB/s", statistics.median(loop), "receive, hash, write, fsync", ">= x0.5")
    row("  the same beside dd", statistics.median(ours), "MiB/s", statistics.median(direct), "dd oflag=direct", ">= x0.5")


def bench_memory(tmp):
    """Peak memory of the server with 32 uploads at once."""
    bodies = [chunk(random.Random(n).randbytes(4 * MIB)) for n in range(96)]
    with drayd(tmp) as server:
        project = server.project("memory")
        put_chunks(server, project, server.owner, bodies, 16)
        tokens = [server.device(f"d{i}", project) for i in range(2)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda t: put_chunks(server, project, t, bodies, 16), tokens))
        row("server memory, 32 chunk uploads at once", server.peak_mib(), "MiB", target="< 64 MiB")
    with drayd(tmp) as server:
        project = server.project("plain")
        blob = tmp / "blob"
        blob.write_bytes(random.Random(0).randbytes(32 * MIB))
        curls = [subprocess.Popen(["curl", "-sf", "-o", "/dev/null", "-T", blob, "-H",
                                   f"Authorization: Bearer {server.device(f'c{i}', project)}",
                                   f"{server.url}/projects/{project}/content/blob{i}"]) for i in range(32)]
        if any([c.wait() for c in curls]):
            raise RuntimeError("an upload failed")
        row("server memory, 32 x curl -T of 32 MiB at once", server.peak_mib(), "MiB", target="< 64 MiB")


def latency(server, target, n=200):
    connection = server.connect()
    headers = {"Authorization": f"Bearer {server.owner}"}
    took = []
    for _ in range(n):
        start = time.monotonic()
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        took.append(time.monotonic() - start)
        if answer.status != 200:
            raise RuntimeError(body.decode())
    return statistics.median(took) * 1000, json.loads(body)


def bench_api(tmp):
    """Pages, changes and snapshot of a project of 10,000 files."""
    source = tmp / "api"
    small_files(source, total=10 * 1000 * 1000)
    with drayd(tmp) as server:
        project = server.project("api")
        link(server, project, "a", source)
        subprocess.run([BIN / "dray", "sync", "--quiet", source], check=True)
        base = f"/projects/{project}"
        floor, _ = latency(server, "/healthz")
        first, page = latency(server, f"{base}/files?limit=500")
        cursor = page["next_cursor"]
        while page["has_more"]:
            last_cursor = cursor
            _, page = latency(server, f"{base}/files?limit=500&cursor={cursor}", 1)
            cursor = page["next_cursor"]
        last, _ = latency(server, f"{base}/files?limit=500&cursor={last_cursor}")
        none, _ = latency(server, f"{base}/files/changes?since={cursor}", 40)  # a device may not learn nothing much more often
        snapshot, _ = latency(server, f"{base}/snapshot", 20)
        row("an answer of nothing (/healthz), one connection", floor, "ms")
        row("page of 500, first", first, "ms", floor, "/healthz", "<= 2 ms")
        row("page of 500, last of 10,000", last, "ms", first, "first page", "<= x1.2")
        row("changes with nothing new", none, "ms", floor, "/healthz", "<= 0.3 ms of server time")
        row("snapshot of 10,000, cached, uncompressed", snapshot, "ms", floor, "/healthz", "<= 2 ms")


ROWS = {"small": bench_small, "folder": bench_folder, "chunks": bench_chunks, "memory": bench_memory, "api": bench_api, "tree": bench_tree,
        "commits": bench_commits, "events": bench_events, "idle": bench_idle, "large": bench_large, "million": bench_million, "watch": bench_watch,
        "syncthing": bench_syncthing}


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    return f"{os.cpu_count()} x {model}"


def main():
    wanted = sys.argv[1:] or list(ROWS)
    for name in wanted:
        if name not in ROWS:
            raise SystemExit(f"no row {name}; there are: {', '.join(ROWS)}")
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    if not own_loopback():
        print("not root: bytes on the wire are all that cross this machine's loopback")
    print(f"{machine()}, commit {commit}, medians of {RUNS} runs ({LARGE_RUNS} of a large file); x is dray over its peer\n")
    for name in wanted:
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", "/var/tmp"), prefix="dray-bench-") as tmp:
            ROWS[name](pathlib.Path(tmp))
    history = ROOT / "bench/history/bench.jsonl"
    history.parent.mkdir(exist_ok=True)
    with open(history, "a") as f:
        f.write(json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit, "machine": machine(),
                            "figures": figures}) + "\n")


if __name__ == "__main__":
    main()
