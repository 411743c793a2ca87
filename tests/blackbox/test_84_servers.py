"""Two servers on one PostgreSQL: what is committed through one is told by the other, at once and whole, also when the line between them is cut.

Only what is in the database: files' bytes are in a store that is one server's.
"""
import shutil
import threading

import pytest

import engine
from api import Api, Project
from conftest import Drayd
from stream import Stream
from test_80_events import Follower, make_dirs
from waiting import wait_for

pytestmark = pytest.mark.skipif(engine.NAME != "postgres", reason="DRAY_TEST_DB=postgres runs it")
MARK = 4  # seconds that a long poll waits in vain, which says what "at once" is


class Pair:
    def __init__(self, folder, fault=None):
        self.db = engine.Postgres(folder)
        env = {"DRAYD_DB": self.db.url}
        (folder / "a").mkdir()
        self.a = Drayd(folder / "a", env=env)
        (folder / "b" / "data").mkdir(parents=True, mode=0o700)
        for name in ("installation.json", "owner.token"):
            shutil.copy(self.a.data / name, folder / "b" / "data" / name)
        self.b = Drayd(folder / "b", env={**env, **({"DRAY_FAULT": fault} if fault else {})})
        self.project = self.make("shared")

    def make(self, name):
        return Project.create(self.a, self.a.api(self.a.owner_token), name)

    def at_b(self, project=None, device=None):
        """The same project, by way of the other server."""
        p = project or self.project
        return Project(self.b, self.b.api(self.b.owner_token), p.id, device or p.api.token)

    def listen(self, project=None, since=None):
        p = project or self.project
        return Stream(self.b.address, p.base + "/events" + (f"?since={since}" if since else ""), p.api.token)

    def listeners(self):
        """Sessions that listen for this schema: their process ids."""
        rows = self.db.psql("SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN dray_' || (SELECT oid FROM pg_namespace WHERE nspname ="
                            " current_schema())")
        return [int(line) for line in rows.split()]

    def cut(self):
        """End the sessions that listen, of both servers."""
        gone = self.listeners()
        for pid in gone:
            self.db.psql(f"SELECT pg_terminate_backend({pid}, 10000)")
        return gone

    def stop(self):
        self.b.stop()
        self.a.stop()


@pytest.fixture
def pair(tmp_path):
    two = Pair(tmp_path)
    yield two
    two.stop()


class Poll(threading.Thread):
    """A long poll at the other server, which waits when this returns."""

    def __init__(self, pair, project, seconds, order):
        super().__init__(daemon=True)
        self.at, self.order = pair.at_b(project, project.device("poller").token), order
        self.since, self.seconds = self.at.ok("GET", "/files/changes")["last_sync"], seconds
        self.start()
        for _ in range(3):  # requests are begun in the order in which they come
            Api(pair.b.address, project.api.token).ok("GET", project.base)

    def run(self):
        try:
            self.answer = self.at.ok("GET", f"/files/changes?since={self.since}&wait={self.seconds}")
            self.order.append(self)
        except OSError:
            pass  # the server was stopped: a deaf one keeps it waiting


def told_before_a_mark(pair):
    """Whether a poll that is answered by a commit of the other server ends before one that waits in vain."""
    quiet, order = pair.make("quiet"), []
    mark = Poll(pair, quiet, MARK, order)
    poll = Poll(pair, pair.project, 60, order)
    make_dirs(pair.project, 1, f"told{poll.since[:16]}-")
    mark.join()
    told = poll in order
    if told:
        assert len(poll.answer["added"]) == 1
        poll.join()
    return told


def test_a_commit_through_one_wakes_who_waits_at_the_other(pair):
    assert len(pair.listeners()) == 2
    assert told_before_a_mark(pair)


def test_deaf_is_noticed(tmp_path):
    two = Pair(tmp_path, "db.deaf")
    try:
        assert not told_before_a_mark(two)
    finally:
        two.b.kill()
        two.a.stop()


def test_streams_of_both_tell_the_same(pair):
    """Commits through both at once: one order, no gap, wherever one listens."""
    begin = pair.project.ok("GET", "/files/changes")["last_sync"]
    streams = [Stream(s.address, pair.project.base + "/events", pair.project.api.token) for s in (pair.a, pair.b)]
    for s in streams:
        assert s.next("hello")["cursor"] == begin
    last = []

    def write(p, name):
        last.append(max(make_dirs(p, 3, f"{name}{i}-") for i in range(15)))

    threads = [threading.Thread(target=write, args=(p, name)) for p, name in ((pair.project, "a"), (pair.at_b(device=pair.project.device("w").token), "b"))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seen = []
    for s in streams:
        follower = Follower(begin)
        follower.follow(s, max(last))
        seen.append(follower.seen)
        s.socket.close()
    assert seen[0] == seen[1] and len(seen[0]) == 90


def test_the_line_between_them_is_cut(pair):
    """The listening sessions are ended again and again while there are commits: late perhaps, never lost."""
    follower = Follower(pair.project.ok("GET", "/files/changes")["last_sync"])
    with pair.listen() as s:
        s.next("hello")
        for i in range(3):
            gone = pair.cut()
            last = make_dirs(pair.project, 5, f"cut{i}-")
            follower.follow(s, last)
            wait_for(lambda: len(now := pair.listeners()) == 2 and not set(now) & set(gone))
        assert told_before_a_mark(pair)
        follower.follow(s, int(pair.project.ok("GET", "/files/changes")["last_sync"].split(".")[0]))
    assert {f["path"] for f in follower.files.values()} == set(pair.project.files())
    assert "heard of late" not in pair.b.log.read_text(), "a session that is made again at once is no trouble to report"


def test_a_commit_in_the_gap_wakes_who_waits(pair):
    """It was told while nobody listened: the poll looks for itself once the line is up again."""
    poll = Poll(pair, pair.project, 60, [])
    pair.cut()
    make_dirs(pair.project, 1, "gap")
    poll.join(30)  # half of what it would wait
    assert not poll.is_alive() and len(poll.answer["added"]) == 1


def test_one_dies_and_comes_back(pair):
    """What was committed meanwhile is told to who comes back with his cursor."""
    s = pair.listen()
    follower = Follower(s.next("hello")["cursor"])
    follower.follow(s, make_dirs(pair.project, 2, "before"))
    pair.b.kill()
    s.socket.close()
    make_dirs(pair.project, 5, "while it was away")
    pair.b.start()
    with pair.listen(since=follower.cursor) as s:
        follower.follow(s, make_dirs(pair.project, 2, "after"))
    assert len(follower.seen) == 9
