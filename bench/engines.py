"""Where a server's metadata is, for rows that run once for each of BENCH_ENGINES: "sqlite,postgres" by default."""
import os
import pathlib
import re
import subprocess
import sys
import time

from rig import ROOT, cpu_s

sys.path.append(str(ROOT / "tests"))
from postgres import Cluster, bindir  # noqa: E402


class Engine:
    def cpu_s(self, server):
        """CPU time that the server and its database have had."""
        return sum(map(cpu_s, [server.process.pid, *self.pids()]))


class Sqlite(Engine):
    """In the server's data directory."""
    name, env = "sqlite", {}

    def pids(self):
        return []

    def settle(self):
        """Nothing is done later."""

    def lookups(self, connections, seconds):
        """There is no line to it."""
        return None

    def rows_s(self, project):
        """Nor does anybody else send rows."""
        return None

    def close(self):
        pass


class Postgres(Engine):
    """
    A cluster of its own on the disk that the other rows use, reached over its Unix socket.  It flushes as it would in earnest, and has the
    buffers and the log that PostgreSQL has unless it is told otherwise.
    """
    name = "postgres"

    def __init__(self):
        self.cluster = Cluster(durable=True, where=os.environ.get("BENCH_DIR", "/var/tmp"), shared_buffers="128MB", max_wal_size="1GB")
        self.env = {"DRAYD_DB": self.cluster.local_url}

    def pids(self):
        """Of its processes that there are now: their CPU time is the server's too."""
        postmaster = self.cluster.proc.pid
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        return [postmaster, *map(int, children.split())]

    def settle(self):
        """What autovacuum does within minutes of a project being filled, and would otherwise do beside what is measured."""
        self.cluster.sql("VACUUM (ANALYZE)")
        self.cluster.sql("CHECKPOINT")

    def lookups(self, connections, seconds):
        """Transactions a second of one prepared look-up each: what the engine itself does over so many lines, beside nobody but pgbench."""
        run = subprocess.run([bindir() / "pgbench", "--no-vacuum", "--protocol=prepared", "--file=-", f"--client={connections}", f"--time={seconds}",
                              self.cluster.local_url], input="SELECT clock FROM projects", capture_output=True, text=True, check=True)
        return float(re.search(r"tps = ([\d.]+)", run.stdout).group(1))

    def rows_s(self, project):
        """Seconds until psql, which throws them away, has been sent what a snapshot as lines is made of, in its order."""
        rows = f"""SELECT id, dir, name, kind, version, size, mode, mtime_ns, content, target, created_at, changed_by,
          (SELECT packed FROM file_blocks b WHERE b.project_id = f.project_id AND b.list = f.list AND b.page = 0)
          FROM file_index f WHERE f.project_id = decode('{project}', 'hex') AND f.deleted_at = 0 ORDER BY dir, name"""
        start = time.monotonic()
        subprocess.run([bindir() / "psql", "-Xq", "-d", self.cluster.local_url, "-c", f"SET jit = off; COPY ({rows}) TO STDOUT (FORMAT binary)"],
                       stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - start

    def close(self):
        self.cluster.close()


def installed(engine):
    try:
        return engine is not Postgres or bool(bindir())
    except RuntimeError:
        print("no PostgreSQL is installed, so its rows are left out; tools/setup.sh bench installs it")
        return False


def engines():
    """The classes of those that were asked for and are there."""
    known = {e.name: e for e in (Sqlite, Postgres)}
    wanted = os.environ.get("BENCH_ENGINES", "sqlite,postgres").split(",")
    for name in wanted:
        if name not in known:
            raise SystemExit(f"BENCH_ENGINES: no engine {name}; there are: {', '.join(known)}")
    return [known[name] for name in wanted if installed(known[name])]
