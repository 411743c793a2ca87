#!/usr/bin/python3
"""
A PostgreSQL for tests: a cluster of its own in a temporary directory, on a loopback port, that goes when whoever asked for it has ended,
however it ended.

Usage: tests/postgres.py COMMAND [ARGUMENT…]     runs the command with DRAY_TEST_POSTGRES=URL; its exit status
"""
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
USER, PASSWORD, DATABASE = "dray", "correct horse", "dray"
VERSION_MIN = 14

SMALL = {
    "shared_buffers": "64MB",
    "max_connections": "300",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
}
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}  # the driver turns the last one on again


def bindir():
    """Of the newest server that is installed."""
    found = {int(m[1]): path for path in glob.glob("/usr/lib/postgresql/*/bin") if (m := re.search(r"/(\d+)/bin$", path))}
    if not found or max(found) < VERSION_MIN:
        raise RuntimeError(f"no PostgreSQL of version {VERSION_MIN} or newer is installed; tools/setup.sh test installs it")
    return pathlib.Path(found[max(found)])


def unprivileged():
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """Start it, stop it, kill it as often as you like: it keeps its port and its data."""

    def __init__(self, durable=False, where=None, **settings):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dray-postgres-", dir=where))
        self.reaper = subprocess.Popen([sys.executable, __file__, "--reap", self.dir], stdin=subprocess.PIPE, start_new_session=True)
        self.data, self.log, self.bin, self.proc = self.dir / "data", self.dir / "log", bindir(), None
        self.settings = {**SMALL, **({} if durable else FAST), **settings}
        self.port = free_port()
        self.init()
        self.start()
        self.sql(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'", "postgres")

    @property
    def url(self):
        return self.url_of(DATABASE)

    def url_of(self, database):
        return f"postgresql://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    @property
    def local_url(self):
        """Over its Unix socket, for any user of this machine."""
        self.dir.chmod(0o711)
        return f"postgresql://{USER}:{PASSWORD.replace(' ', '%20')}@/{DATABASE}?host={self.dir}&port={self.port}"

    def run(self, *command, **more):
        return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd="/", **more)

    def init(self):
        (self.dir / "password").write_text(PASSWORD)
        if who := unprivileged():
            for path in (self.dir, self.dir / "password"):
                os.chown(path, who["user"], who["group"])
        self.run(self.bin / "initdb", "-D", self.data, "-U", USER, "--pwfile", self.dir / "password", "--auth=scram-sha-256",
                 "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions", **unprivileged())
        with (self.data / "postgresql.conf").open("a") as conf:
            for name, value in self.settings.items():
                conf.write(f"{name} = '{value}'\n")
            conf.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.dir}'\n")

    def start(self):
        end = time.monotonic() + PATIENCE
        while True:
            with self.log.open("ab") as log:
                self.proc = subprocess.Popen([self.bin / "postgres", "-D", self.data], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True, cwd="/", **unprivileged())
            while self.proc.poll() is None:
                if subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0:
                    return
                assert time.monotonic() < end, self.said()
                time.sleep(0.02)
            # After a kill the old sessions may need a moment to notice.
            assert time.monotonic() < end and "is still in use" in self.said(), self.said()
            time.sleep(0.05)

    def said(self):
        return self.log.read_text(errors="replace")[-5000:]

    def sql(self, text, database=DATABASE):
        """What psql prints: a line a row, columns separated by '|'."""
        return self.run(self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url_of(database), "-c", text).stdout.strip()

    def kill(self):
        """kill -9 of the postmaster and of every session, as a power cut would have it."""
        group = os.getpgid(self.proc.pid)
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children")
        sessions = [int(p) for p in children.read_text().split()]
        for pid in [self.proc.pid, *sessions]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.proc.wait()
        assert group == self.proc.pid

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGINT)
            self.proc.wait(timeout=PATIENCE)

    def close(self):
        self.reaper.stdin.close()
        self.reaper.wait(timeout=PATIENCE)
        if self.proc:
            self.proc.wait(timeout=PATIENCE)


def reap(folder):
    """Until the one who asked for the cluster is gone; then end it and remove all of it."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.stdin.buffer.read()
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        end = time.monotonic() + PATIENCE
        while (folder / "data" / "postmaster.pid").exists() and time.monotonic() < end:
            time.sleep(0.02)
    except (OSError, ValueError, IndexError):
        pass
    shutil.rmtree(folder, ignore_errors=True)


def main():
    if sys.argv[1:2] == ["--reap"]:
        reap(pathlib.Path(sys.argv[2]))
        return 0
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    cluster = Cluster()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DRAY_TEST_POSTGRES": cluster.url}).returncode
    finally:
        cluster.close()


if __name__ == "__main__":
    sys.exit(main())
