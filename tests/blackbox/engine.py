"""
Where the metadata of a server under test is, and a way to look at it behind the server's back: SQLite, or with DRAY_TEST_DB=postgres
PostgreSQL, in the cluster that DRAY_TEST_POSTGRES names (tests/postgres.py) or else in one of this process's own.
"""
import atexit
import functools
import os
import pathlib
import secrets
import sqlite3
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
import postgres  # noqa: E402

NAME = os.environ.get("DRAY_TEST_DB") or "sqlite"
assert NAME in ("sqlite", "postgres"), NAME


class Sqlite:
    """meta.db in the data directory."""

    path_max = 4096

    def __init__(self, data):
        self.path, self.env = data / "meta.db", {}

    def rows(self, sql, *values):
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def run(self, *statements):
        """Statements with their values, (sql, value…), in one transaction."""
        db = sqlite3.connect(self.path)
        with db:
            for sql, *values in statements:
                db.execute(sql, values)
        db.close()


@functools.cache
def server_url():
    if url := os.environ.get("DRAY_TEST_POSTGRES"):
        return url
    cluster = postgres.Cluster()
    atexit.register(cluster.close)
    return cluster.url


def filled(sql, values):
    """The statement with its values, numbers and bytes, in the places of its question marks."""
    parts = sql.split("?")
    assert len(parts) == len(values) + 1, sql
    texts = [f"'\\x{v.hex()}'::bytea" if isinstance(v, bytes) else str(int(v)) for v in values]
    return "".join(a + b for a, b in zip(parts, [*texts, ""]))


def read(text):
    """A column as psql shows it: NULL is "", bytes are \\x and digits."""
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:])
    return int(text) if text.lstrip("-").isdigit() else text or None


class Postgres:
    """A schema of its own."""

    path_max = 2640 - 16 - 8  # postgres.c, meta_sql.c

    def __init__(self, data):
        name = "b" + secrets.token_hex(8)
        self.url = f"{server_url()}?options=-csearch_path%3D{name}"
        self.env = {"DRAYD_DB": self.url}
        self.psql(f"CREATE SCHEMA {name}")

    def psql(self, sql):
        command = [postgres.bindir() / "psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def rows(self, sql, *values):
        return [tuple(read(c) for c in line.split("\t")) for line in self.psql(filled(sql, values)).splitlines()]

    def run(self, *statements):
        self.psql("; ".join(filled(sql, values) for sql, *values in statements))


Engine = {"sqlite": Sqlite, "postgres": Postgres}[NAME]
