"""The real drayd for black-box tests, and devices and projects on it."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

import pytest

from api import Api, Project
from devices import BIN, Device, leaks, run_drayd
from engine import Engine

PATIENCE = 120  # seconds until a test gives up; nothing waits for it to pass
TROUBLE = re.compile(r"runtime error|Sanitizer|Assertion .* failed")


def pytest_configure(config):
    """An assertion that fails in a thread is a failure, not a note at the end."""
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")
    config.addinivalue_line("markers", "mutant: breaks the product on purpose, to see that its check bites; make mutants and make check-full run them")
    config.addinivalue_line("markers", "faulty: a quick one of that kind, which make test runs too")


def pytest_collection_modifyitems(items):
    """Files take turns, a test each, so that the few long ones are begun early and no worker has them all at the end."""
    turn = collections.Counter()

    def place(item):
        turn[item.path] += 1
        return turn[item.path]

    items.sort(key=place)
    if b"DRAY_FAULT" not in (BIN / "dray").read_bytes():
        for item in items:
            if item.get_closest_marker("mutant") or item.get_closest_marker("faulty"):
                item.add_marker(pytest.mark.skip(reason="this build has no faults to switch on"))


class Drayd:
    """A server on a data directory; kill and start it as often as you like, it keeps its port."""

    def __init__(self, folder, bin=BIN, env=None):
        self.data = pathlib.Path(folder) / "data"
        self.log = pathlib.Path(folder) / "drayd.log"
        self.db = Engine(self.data)
        self.bin, self.env = pathlib.Path(bin), {**self.db.env, **(env or {})}
        self.listen, self.proc = "127.0.0.1:0", None
        self.start()

    def start(self, *args, env=None):
        (self.data / "server.json").unlink(missing_ok=True)
        env = {**os.environ, **leaks(), **self.env, **(env or {})}
        with self.log.open("ab") as log:
            self.proc = subprocess.Popen([self.bin / "drayd", "serve", "--data", self.data, "--listen", self.listen, *args], env=env,
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.ready():
            assert self.proc.poll() is None, self.said()
            assert time.monotonic() < end, "drayd does not answer"
            time.sleep(0.01)

    def ready(self):
        """The address file is written when it listens; an answer says that the file is this start's."""
        try:
            self.listen = json.loads((self.data / "server.json").read_text())["listen"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(self.url + "/readyz", timeout=PATIENCE):
                return True
        except (OSError, ValueError):
            return False

    @property
    def url(self):
        return f"http://{self.listen}"

    @property
    def address(self):
        host, port = self.listen.rsplit(":", 1)
        return host, int(port)

    @property
    def owner_token(self):
        return (self.data / "owner.token").read_text().strip()

    def said(self):
        return self.log.read_text(errors="replace")[-5000:]

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        """SIGTERM ends it cleanly; a sanitizer's report at any time is a failure."""
        if self.proc.poll() is None:
            self.proc.terminate()
            assert self.proc.wait(timeout=60) == 0, self.said()
            assert not (self.data / "server.json").exists()
        assert not TROUBLE.search(self.log.read_text(errors="replace")), self.said()

    def drayd(self, *args):
        run = run_drayd(*args, "--data", self.data, env=self.env, bin=self.bin, timeout=60)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def make(self, target, **what):
        """By the API: a command of a build with sanitizers takes longer to start than this to be answered.  Commands have tests of their own."""
        return self.api(self.owner_token).ok("POST", target, what, status=201)

    def project(self, name):
        return self.make("/projects", name=name)["id"]

    def device(self, project, name, role="writer"):
        return self.make(f"/projects/{project}/devices", name=name, role=role)["token"]

    def revoke(self, project, name):
        listed = self.drayd("device", "list", "--project", project)
        (device,) = [line.split()[0] for line in listed.splitlines() if line.split()[1] == name]
        self.drayd("device", "revoke", device, "--project", project)

    def forget_tombstones(self, project):
        """As if all that has been deleted had been deleted long ago: the server's own rule is tested where time can be given to it."""
        self.stop()
        id = bytes.fromhex(project)
        ((last,),) = self.db.rows("SELECT max(version) FROM file_index WHERE project_id = ? AND deleted_at <> 0", id)
        self.db.run(("DELETE FROM file_index WHERE project_id = ? AND deleted_at <> 0", id),
                    ("UPDATE projects SET horizon = ? WHERE id = ?", last, id))
        self.start()
        return last

    def api(self, token=None):
        return Api(self.address, token)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One for all tests that do not kill it; each makes a project of its own."""
    s = Drayd(tmp_path_factory.mktemp("server"))
    yield s
    s.stop()


@pytest.fixture
def own_server(tmp_path):
    """For tests that kill it, or look at its data."""
    s = Drayd(tmp_path)
    yield s
    s.stop()


@pytest.fixture
def owner(server):
    """The API with the owner's token."""
    return server.api(server.owner_token)


@pytest.fixture
def anyone(server):
    """The API without a token."""
    return server.api()


@pytest.fixture
def project(server, owner, request):
    """A new project, and a writing device of its own: requests in flight are counted by device."""
    return Project.create(server, owner, re.sub(r"\W+", " ", request.node.name)[:60])


@pytest.fixture
def make(server, tmp_path):
    """make("a", "b"): dray devices of one new project."""
    project = server.project(re.sub(r"\W+", " ", tmp_path.name)[:60])

    def devices(*names, **more):
        return [Device(server, project, tmp_path / name, name, **more) for name in names]

    devices.project = project
    devices.server = server
    return devices


@pytest.fixture
def public_tmp():
    """A folder that others may enter, unlike pytest's."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="dray-test-"))
    made.chmod(0o777)
    (made / "a").mkdir()
    os.chown(made / "a", 65534, 65534)
    yield made
    shutil.rmtree(made)
