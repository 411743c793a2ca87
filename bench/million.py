"""Trees of many small files: first push, clone and the pass with no change, beside rsync and find, at growing sizes."""
import os
import pathlib
import shutil
import subprocess

from rig import BIN, drayd, link, row, rsyncd, timed

HERE = pathlib.Path(__file__).resolve().parent
FILES = os.environ.get("BENCH_FILES", "10000,100000")
FSYNC_FILES = int(os.environ.get("BENCH_FSYNC_FILES", 100_000))  # rsync --fsync takes ten minutes a million, each way


def peak(*command):
    """Seconds, and the most memory that the command had, in MiB.  A small process starts it, so that ours does not count as its own."""
    starter = ("import os,sys,time;t=time.monotonic();p=os.posix_spawn(sys.argv[1],sys.argv[1:],os.environ);"
               "s=open(f'/proc/{p}/status').read;m=0\n"
               "while True:\n"
               "  try: m=max([m]+[int(l.split()[1]) for l in s().splitlines() if l.startswith('VmHWM:')])\n"
               "  except OSError: pass\n"
               "  s=lambda: open(f'/proc/{p}/status').read()\n"
               "  d,c=os.waitpid(p,os.WNOHANG)\n"
               "  if d: break\n"
               "  time.sleep(.01)\n"
               "print(time.monotonic()-t,m);sys.exit(os.waitstatus_to_exitcode(c))")
    os.sync()
    run = subprocess.run(["/usr/bin/python3", "-c", starter, *map(str, command)], check=True, stdout=subprocess.PIPE, text=True)
    seconds, kib = run.stdout.split()[-2:]
    return float(seconds), int(kib) / 1024


def memory_row(name, mib, files):
    row(f"  {name}: peak memory of the client", mib, "MiB", 64 + 250 * files / (1 << 20), "64 MiB + 250 B a file", "<= x1")


def measure(tmp, generator, files):
    source, where, n = tmp / f"tree-{files}", tmp / f"at-{files}", f"{files:,} files"
    where.mkdir()
    subprocess.run([generator, source, str(files)], check=True)
    durable = back_durable = None
    if files <= FSYNC_FILES:
        with rsyncd(where, where / "rsync-fsync") as url:
            durable = timed("rsync", "-a", "--fsync", f"{source}/", url)
        shutil.rmtree(where / "rsync-fsync")
    with rsyncd(where, where / "rsync") as url:
        plain = timed("rsync", "-a", f"{source}/", url)
        none = timed("rsync", "-a", f"{source}/", url)
        back = timed("rsync", "-a", url, f"{where}/rsync-back/")
        shutil.rmtree(where / "rsync-back")
        if files <= FSYNC_FILES:
            back_durable = timed("rsync", "-a", "--fsync", url, f"{where}/rsync-back/")
            shutil.rmtree(where / "rsync-back")
    shutil.rmtree(where / "rsync")
    with drayd(where) as server:
        project = server.project("bench")
        link(server, project, "a", source)
        up, up_mib = peak(BIN / "dray", "sync", "--quiet", source)
        quiet, quiet_mib = peak(BIN / "dray", "sync", "--quiet", source)
        found = timed("find", source, "-printf", "%s %T@ %C@ %i %m %p\\n")
        told, told_mib = peak(BIN / "dray", "status", source)
        link(server, project, "b", where / "b")
        down, down_mib = peak(BIN / "dray", "sync", "--quiet", where / "b")
        row(f"{n}: first push, durable", files / up, "/s", durable and files / durable, "rsync -a --fsync, files/s", ">= x1")
        row(f"{n}: first push beside no fsync", files / up, "/s", files / plain, "rsync -a, files/s", ">= x0.5")
        row(f"{n}: clone, durable", files / down, "/s", back_durable and files / back_durable, "rsync -a --fsync, files/s", ">= x1")
        row(f"{n}: clone beside no fsync", files / down, "/s", files / back, "rsync -a, files/s", "")
        row(f"{n}: no change", quiet, "s", found, "find -printf", "<= x1.5")
        row(f"{n}: no change beside rsync", quiet, "s", none, "rsync -a", "<= x1")
        row(f"{n}: status", told, "s", found, "find -printf", "")
        for name, mib in (("push", up_mib), ("clone", down_mib), ("no change", quiet_mib), ("status", told_mib)):
            memory_row(f"{n}: {name}", mib, files)
    shutil.rmtree(where)
    shutil.rmtree(source)


def bench_million(tmp):
    """BENCH_FILES=10000,100000,1000000: one size after the other; 1,000,000 take some 15 GB.  rsync --fsync up to BENCH_FSYNC_FILES."""
    generator = tmp / "tree_gen"
    subprocess.run(["gcc", "-O2", "-std=gnu2x", HERE / "tree_gen.c", "-o", generator], check=True)
    for files in map(int, FILES.split(",")):
        measure(tmp, generator, files)
