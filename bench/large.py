"""One large file: new, changed, grown at the front, renamed, interrupted; beside dd, rsync and syncthing."""
import concurrent.futures
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import time

from rig import BIN, MIB, drayd, link, row, rsyncd, timed, wire_bytes
from syncthing import Pair

BLOCK = 64 * 1024
CHANGED = 0.02          # of the blocks
HASHERS = (1, 2)        # the client reads and hashes one file in one thread, a large one in two
RUNS = int(os.environ.get("BENCH_RUNS", 3))


# ---- the file ------------------------------------------------------------------------------------------------------------

def size_mib(tmp):
    """As asked for, or 4 GiB, or what fits twelve times: sources, servers, devices, and their temporaries."""
    if "BENCH_LARGE_MIB" in os.environ:
        return int(os.environ["BENCH_LARGE_MIB"])
    return min(4096, shutil.disk_usage(tmp).free // MIB // 12)


def write_large(path, mib, seed):
    """Bytes that no compressor makes smaller; the same for the same seed."""
    key = f"{seed:032x}"
    with path.open("wb") as f:
        zero = subprocess.Popen(["head", "-c", str(mib * MIB), "/dev/zero"], stdout=subprocess.PIPE)
        subprocess.run(["openssl", "enc", "-aes-128-ctr", "-K", key, "-iv", "0" * 32], stdin=zero.stdout, stdout=f, check=True)
        zero.wait()


def change_blocks(path, seed):
    """Overwrite scattered blocks; how many bytes changed."""
    rng = random.Random(seed)
    count = path.stat().st_size // BLOCK
    chosen = rng.sample(range(count), int(count * CHANGED))
    with path.open("r+b") as f:
        for n in chosen:
            f.seek(n * BLOCK)
            f.write(rng.randbytes(BLOCK))
    return len(chosen) * BLOCK


def insert_front(path, seed):
    new = path.with_name("new~")
    with new.open("wb") as out, path.open("rb") as old:
        out.write(random.Random(seed).randbytes(1024))
        shutil.copyfileobj(old, out, 4 * MIB)
    new.rename(path)


def read_and_hash(path, threads):
    """What any tool must do that compares content: read it once and hash every block."""
    size = path.stat().st_size

    def part(n):
        with path.open("rb", buffering=0) as f:
            f.seek(n * size // threads // BLOCK * BLOCK)
            left = size // threads
            buffer = memoryview(bytearray(4 * MIB))
            while left > 0 and (got := f.readinto(buffer)):
                for at in range(0, got, BLOCK):
                    hashlib.sha256(buffer[at:min(at + BLOCK, got)]).digest()
                left -= got

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(threads)))
    return time.monotonic() - start


def warm(path):
    """Into the page cache, so that everybody reads from there."""
    with path.open("rb", buffering=0) as f:
        buffer = bytearray(4 * MIB)
        while f.readinto(buffer):
            pass


# ---- one sync --------------------------------------------------------------------------------------------------------------

def sync(folder):
    """Seconds, bytes on the wire, and what the client says."""
    os.sync()
    before, start = wire_bytes(), time.monotonic()
    run = subprocess.run([BIN / "dray", "sync", "--json", folder], capture_output=True, text=True)
    took = time.monotonic() - start
    if run.returncode:
        raise RuntimeError(run.stdout + run.stderr)
    return took, wire_bytes() - before, json.loads(run.stdout)


def rsync(*args):
    """Seconds and bytes on the wire."""
    before = wire_bytes()
    took = timed("rsync", "-a", *map(str, args))
    return took, wire_bytes() - before


def same(*paths):
    for p in paths[1:]:
        subprocess.run(["cmp", paths[0], p], check=True)


# ---- rows ------------------------------------------------------------------------------------------------------------------

def new_file(tmp, server, project, source, mib):
    """To the server, durable there; another name each time.  The last one stays, under the name that the rows after this one know."""
    dd, ours, fast, slow = [], [], [], []
    for i in range(RUNS):
        path = source / f"large-{i}"
        write_large(path, mib, i)
        warm(path)
        dd.append(write_once(path, tmp))
        for args, into in ((["--fsync"], slow), ([], fast)):
            with rsyncd(tmp, tmp / "rsync") as url:
                into.append(rsync(*args, path, url)[0])
            shutil.rmtree(tmp / "rsync")
        ours.append(sync(source)[0])
        if i < RUNS - 1:
            path.unlink()
            subprocess.run([BIN / "dray", "sync", "--quiet", "--allow-mass-delete", source], check=True)
    med = statistics.median
    row(f"new file of {mib} MiB up, durable", med(ours), "s", med(dd), "dd conv=fsync", "<= x1.11")
    row("  the same", med(ours), "s", med(slow), "rsync -a --fsync", "")
    row("  the same", med(ours), "s", med(fast), "rsync -a, no fsync", "")
    path.rename(source / "large")
    sync(source)


def new_file_down(server, project, b, rsync_url, rsync_back, mib):
    """To a device that has nothing; another one each time, and the last one stays.  rsync's server has just written the file, dray's reads its disk."""
    ours, peer = [], []
    for i in range(RUNS):
        shutil.rmtree(b, ignore_errors=True)
        (rsync_back / "large").unlink(missing_ok=True)
        link(server, project, f"b{i}", b)
        ours.append(sync(b)[0])
        peer.append(rsync("--fsync", f"{rsync_url}large", rsync_back)[0])
    med = statistics.median
    row(f"the file of {mib} MiB down, durable", med(ours), "s", med(peer), "rsync -a --fsync", "")


def write_once(path, where):
    took = timed("dd", f"if={path}", f"of={where}/dd", "bs=4M", "conv=fsync", "status=none")
    os.unlink(where / "dd")
    return took


def replaced(source, mib):
    """Every byte another: nothing of the old version can be used, which nobody knows before it has been looked for."""
    path = source / "large"
    write_large(path, mib, 50)
    warm(path)
    took, _, _ = sync(source)
    row("the file replaced by other bytes, up", took, "s")


def up_and_down(change, a, b, rsync_url, rsync_back, path):
    """One change of the large file: up, then down to the device that has the version before; beside rsync both ways.  What each took, by name."""
    changed = change()
    took = {}
    warm(path)
    for n in HASHERS:
        took[f"hash {n}"] = read_and_hash(path, n)
    took["rsync up"], took["rsync up wire"] = rsync("--no-whole-file", "--fsync", path, rsync_url)
    warm(path)  # what rsync has written may have driven some of it out
    took["up"], took["up wire"], up = sync(a)
    took["dd"] = write_once(path, rsync_back.parent)
    warm(rsync_back / "large")
    took["rsync down"], took["rsync down wire"] = rsync("--no-whole-file", "--fsync", f"{rsync_url}large", rsync_back)
    warm(b / "large")
    took["down"], took["down wire"], down = sync(b)
    same(path, b / "large", rsync_back / "large")
    for way, said in (("up", up), ("down", down)):
        took[f"{way} counted"] = said["wire_up"] + said["wire_down"]
    return {name: value / (changed or MIB) if "wire" in name or "counted" in name else value for name, value in took.items()}


def changes(name, change, of, a, b, rsync_url, rsync_back, path):
    """RUNS changes of one kind, one after the other; ${change} makes number i of them.  The wire is given over the changed bytes, or in MiB."""
    runs = [up_and_down(lambda: change(i), a, b, rsync_url, rsync_back, path) for i in range(RUNS)]
    med = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    unit, over, target, limit = ("x", " / changed bytes", "<= 1.02", "<= x1.15") if of else ("MiB", "", "< 1 MiB", "")
    peer = "rsync --no-whole-file --fsync"
    for way in ("up", "down"):
        row(f"{name}, {way}: bytes on the wire{over}", med[f"{way} wire"], unit, med[f"rsync {way} wire"], peer, target)
        row("  as the client counts them, up + down", med[f"{way} counted"], unit)
        row(f"{name}, {way}: time", med[way], "s", med[f"rsync {way}"], peer, "<= x1")
        if way == "down":
            row("  the same", med[way], "s", med["dd"], "dd conv=fsync", limit)
            continue
        for n in HASHERS:
            row("  the same", med[way], "s", med[f"hash {n}"], f"read and hash once, threads: {n}", limit)


def renames(a, path):
    folder = a / "folder"
    for i in range(10_000):
        p = folder / f"d{i // 100}" / f"f{i}"
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(b"%d" % i)
    sync(a)
    path.rename(a / "renamed")
    took, wire, said = sync(a)
    row("rename of the large file: content bytes", said["content_sent"], "B", target="0")
    row("  bytes on the wire", wire / 1024, "KiB")
    row("  time", took, "s")
    (a / "renamed").rename(path)
    folder.rename(a / "other")
    took, wire, said = sync(a)
    row("rename of it back and of a directory of 10,000: content bytes", said["content_sent"], "B", target="0")
    row("  bytes on the wire", wire / 1024, "KiB")
    row("  time", took, "s")
    shutil.rmtree(a / "other")
    subprocess.run([BIN / "dray", "sync", "--quiet", "--allow-mass-delete", a], check=True)


def resumed(source, mib):
    """kill -9 of the client in the middle of a new file, and on."""
    write_large(source / "resumed", mib, 99)
    warm(source / "resumed")
    os.sync()
    before = wire_bytes()
    run = subprocess.Popen([BIN / "dray", "sync", "--quiet", source])
    while wire_bytes() - before < mib * MIB // 2 and run.poll() is None:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    took, _, _ = sync(source)
    again = wire_bytes() - before - mib * MIB
    row("kill -9 in the middle of an upload: bytes on the wire beyond the file's", again / MIB, "MiB", target="<= 8 chunks, 32.5 MiB")
    row("  the rest, time", took, "s")
    (source / "resumed").unlink()
    sync(source)


def bench_large(tmp):
    """A large file through its life, beside rsync to a daemon and back."""
    mib = size_mib(tmp)
    a, b, back = tmp / "a", tmp / "b", tmp / "rsync-back"
    back.mkdir()
    with drayd(tmp) as server:
        project = server.project("large")
        link(server, project, "a", a)
        path = a / "large"
        new_file(tmp, server, project, a, mib)
        with rsyncd(tmp, tmp / "rsync") as url:
            rsync(path, url)
            new_file_down(server, project, b, url, back, mib)
            changes("2 % of the blocks changed", lambda i: change_blocks(path, 100 + i), True, a, b, url, back, path)
            changes("1 KiB inserted at the front", lambda i: insert_front(path, 200 + i), False, a, b, url, back, path)
        shutil.rmtree(tmp / "rsync")
        shutil.rmtree(back)
        renames(a, path)
        replaced(a, mib)
        resumed(a, min(mib, 1024))


def bench_syncthing(tmp):
    """The same changes from one device to another, dray through its server and syncthing directly."""
    mib = min(size_mib(tmp), 4096)
    a, b = tmp / "a", tmp / "b"
    with drayd(tmp) as server, Pair(tmp / "syncthing") as pair:
        project = server.project("syncthing")
        link(server, project, "a", a)
        link(server, project, "b", b)
        steps = [("new file", lambda p: write_large(p, mib, 1)), ("2 % of the blocks changed", lambda p: change_blocks(p, 7)),
                 ("1 KiB inserted at the front", lambda p: insert_front(p, 8))]
        for name, step in steps:
            for path in (a / "large", pair.a.folder / "large"):
                step(path)
                warm(path)
            os.sync()
            before, start = wire_bytes(), time.monotonic()
            pair.carry("large")
            peer_time, peer_wire = time.monotonic() - start, wire_bytes() - before
            up_time, up_wire, _ = sync(a)
            down_time, down_wire, _ = sync(b)
            same(a / "large", b / "large")
            same(pair.a.folder / "large", pair.b.folder / "large")
            row(f"{name}, {mib} MiB, device to device: time", up_time + down_time, "s", peer_time, "syncthing", "")
            row("  bytes on the wire", (up_wire + down_wire) / MIB, "MiB", peer_wire / MIB, "syncthing", "")
