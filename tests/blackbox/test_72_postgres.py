"""drayd on PostgreSQL: a server that is killed under it, a database that belongs to another, a password that nobody sees."""
import subprocess
import threading
import time

import engine
import postgres
import pytest
from api import Project
from conftest import Drayd
from devices import BIN

pytestmark = pytest.mark.skipif(engine.NAME != "postgres", reason="DRAY_TEST_DB=postgres runs it")
KILLS = 4


class Writer(threading.Thread):
    """Puts small files, one after the other, and remembers which were acknowledged and which were refused."""

    def __init__(self, project, name):
        super().__init__()
        self.project, self.api, self.name = project, project.device(name), name
        self.acknowledged, self.refused, self.stopped = [], [], False

    def run(self):
        n = 0
        while not self.stopped:
            n += 1
            path = f"{self.name}-{n}"
            answer = self.api.call("PUT", f"{self.project.base}/content/{path}", path.encode())
            if answer.status == 201:
                self.acknowledged.append(path)
            else:
                self.refused.append((path, answer))


def test_killed_under_writers(tmp_path):
    """kill -9 of PostgreSQL at any moment: what was acknowledged is there, what was refused says that it may be repeated."""
    cluster = postgres.Cluster(durable=True)
    try:
        server = Drayd(tmp_path, env={"DRAYD_DB": cluster.url})
        project = Project.create(server, server.api(server.owner_token), "killed")
        writers = [Writer(project, f"w{i}") for i in range(4)]
        for w in writers:
            w.start()
        for kill in range(KILLS):
            before = sum(len(w.acknowledged) for w in writers)
            end = time.monotonic() + 60
            while sum(len(w.acknowledged) for w in writers) < before + 20:
                assert time.monotonic() < end, server.said()
                time.sleep(0.01)
            cluster.kill()
            cluster.start()
        for w in writers:
            w.stopped = True
            w.join()
        live = set(project.files())
        for w in writers:
            assert set(w.acknowledged) <= live, "an acknowledged file is gone"
            for path, answer in w.refused:
                assert answer.status == 503 and answer.json["retryable"], f"{path}: {answer}"
        assert len(live) <= 1000, "state() reads one page"
        server.stop()
        assert postgres.PASSWORD not in server.log.read_text()
    finally:
        cluster.close()


def drayd(data, url, *args):
    return subprocess.run([BIN / "drayd", *args, "--data", data], capture_output=True, text=True, timeout=60, env={"DRAYD_DB": url})


def test_a_directory_and_its_database_belong_together(tmp_path):
    """Neither is used with another: garbage collection would take every chunk that the wrong database does not name."""
    one, two = engine.Postgres(tmp_path), engine.Postgres(tmp_path)
    assert drayd(tmp_path / "a", one.url, "project", "create", "a").returncode == 0
    for data, url in [("a", two.url), ("b", one.url), ("a", "")]:
        run = drayd(tmp_path / data, url, "project", "create", "astray")
        assert run.returncode == 2 and ("belongs to another" in run.stderr or "is in PostgreSQL" in run.stderr), run.stderr
        assert postgres.PASSWORD not in run.stderr
    assert drayd(tmp_path / "b", two.url, "project", "create", "b").returncode == 0, "that it was tried with the wrong one does not matter"
    assert drayd(tmp_path / "c", "", "project", "create", "c").returncode == 0
    run = drayd(tmp_path / "c", two.url, "project", "list")
    assert run.returncode == 2 and "meta.db" in run.stderr, run.stderr
    assert " a " in drayd(tmp_path / "a", one.url, "project", "list").stdout


def test_the_password_is_not_said(tmp_path):
    url = "postgresql://dray:very-secret@127.0.0.1:1/none"
    run = subprocess.run([BIN / "drayd", "serve", "--data", tmp_path / "d", "--db", url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "DRAYD_DB" in run.stderr and "127.0.0.1:1/none" in run.stderr, run.stderr
    assert "very-secret" not in run.stdout + run.stderr
    run = drayd(tmp_path / "d", url, "project", "list")
    assert run.returncode == 1 and "very-secret" not in run.stdout + run.stderr, run.stderr
