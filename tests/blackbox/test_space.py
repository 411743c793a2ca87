"""What a project may store and what the disk can: the quota, uploads that race for its last bytes, and a disk that fills up."""
import os
import shutil
import subprocess
import threading
import time

import pytest

from api import BLOCK, Chunk, Project, Unchanged, cut, put_op, random_bytes
from conftest import Drayd

PATIENCE = 60


def quota(owner, project, bytes):
    return owner.ok("PATCH", project.base, {"quota_bytes": bytes})


def stored(project):
    return project.ok("GET", "")["stored_bytes"]


def exceeded(answer):
    """Refused because of the quota, in words that have its numbers."""
    assert (answer.status, answer.code) == (507, "quota_exceeded"), answer
    assert answer.json["retryable"] is False and " of at most " in answer.json["detail"], answer
    return True


# ---- the quota ----------------------------------------------------------------------------------------------------------------------


def test_what_counts_is_what_is_stored_once(project):
    assert stored(project) == 0
    project.put("a", random_bytes(3 * BLOCK))
    one = stored(project)
    assert 3 * BLOCK < one < 3 * BLOCK + 1000
    a = project.files()["a"]
    project.commit_ok({"op": "put", "path": "copy", "kind": "file", "size": a["size"], "content_hash": a["content_hash"],
                       "from": {"file": a["id"], "version": a["version"]}})
    project.call("PUT", "/content/again", project.call("GET", "/content/a").body)
    assert stored(project) == one  # the same chunk, whoever brings it
    project.put("zeros", bytes(2**20))
    assert stored(project) < one + 4096  # after compression


def test_every_way_in_meets_the_quota(owner, project):
    f = project.put("f", b"small")
    begun, chunk = project.transfer(), Chunk(random_bytes(1000))
    kept = project.transfer()
    project.send_chunk(kept, 0, chunk)
    quota(owner, project, stored(project))
    with Unchanged(project):
        exceeded(project.call("POST", "/transfers", {}))
        exceeded(project.call("PUT", f"/transfers/{begun}/chunks/0", Chunk(b"new").data))
        exceeded(project.call("PUT", "/content/new", b"x"))
        exceeded(project.call("PUT", "/content/f", b"x", headers={"If-Match": f'"{f["id"]}.{f["version"]}"'}))
    # What is stored already needs no room: a repetition, and a commit that names it.
    project.send_chunk(kept, 0, chunk)
    project.commit_ok(put_op("kept", chunk.blocks[0], chunk))
    quota(owner, project, stored(project) + len(Chunk(b"new").data) - 1)
    exceeded(project.call("PUT", f"/transfers/{begun}/chunks/0", Chunk(b"new").data))
    quota(owner, project, stored(project) + len(Chunk(b"new").data))
    project.send_chunk(begun, 0, Chunk(b"new"))
    quota(owner, project, 0)
    project.put("new", random_bytes(100_000))


def test_a_quota_below_what_is_stored_refuses_writes_only(owner, project):
    data = random_bytes(200_000)
    project.put("d/f", data)
    project.put("d/f", data[::-1])
    assert quota(owner, project, 1)["stored_bytes"] > 400_000
    f = project.files()["d/f"]
    exceeded(project.call("PUT", "/content/d/f", b"x"))
    exceeded(project.call("POST", "/transfers", {"size": 1}))
    assert project.call("GET", "/content/d/f").body == data[::-1]
    old = project.ok("GET", f"/files/{f['id']}/versions")["versions"][1]["version"]
    assert project.call("GET", f"/files/{f['id']}/content?version={old}").body == data
    assert project.ok("GET", "/snapshot")["file_count"] == 2
    moved = project.commit_ok({"op": "move", "id": f["id"], "base": f["version"], "path": "d/g"})["results"][0]
    back = project.commit_ok({"op": "restore", "id": f["id"], "base": moved["version"], "version": old})["results"][0]
    assert project.call("GET", "/content/d/g").body == data
    project.commit_ok({"op": "put", "path": "d/empty", "kind": "dir"}, {"op": "delete", "id": f["id"], "base": back["version"]})
    project.put("nothing", b"")  # an empty file has no chunk
    project.ok("DELETE", "/content/nothing", status=204)
    assert set(project.files()) == {"d", "d/empty"}


def test_of_another_project_it_says_nothing(server, owner, project):
    quota(owner, project, 1)
    project.call("PUT", "/content/x", b"1")
    other = Project.create(server, owner, "other")
    other.put("f", random_bytes(100_000))
    assert stored(other) > 100_000 and stored(project) == 0


def test_sixteen_uploads_at_once(server, owner, project):
    """16 devices, a chunk of 256 KiB each, room for five: five get in, at no moment is there more than the quota."""
    chunks = [Chunk(*cut(random_bytes(4 * BLOCK))) for _ in range(16)]
    size = len(chunks[0].data)
    senders = [project.device(f"device {n}") for n in range(16)]
    transfers = [api.ok("POST", project.base + "/transfers", {}, status=201)["id"] for api in senders]
    quota(owner, project, 5 * size + size // 2)
    start, answers, seen, done = threading.Barrier(17), [None] * 16, [], threading.Event()

    def send(n):
        start.wait()
        answers[n] = senders[n].call("PUT", f"{project.base}/transfers/{transfers[n]}/chunks/0", chunks[n].data)

    def watch():
        api = server.api(project.api.token)
        start.wait()
        while not done.is_set():
            seen.append(api.ok("GET", project.base)["stored_bytes"])

    threads = [threading.Thread(target=send, args=(n,)) for n in range(16)]
    watcher = threading.Thread(target=watch)
    for t in (*threads, watcher):
        t.start()
    for t in threads:
        t.join()
    done.set()
    watcher.join()
    assert sorted(a.status for a in answers) == [200] * 5 + [507] * 11
    assert all(exceeded(a) for a in answers if a.status == 507)
    assert stored(project) == 5 * size and max(seen) <= 5 * size
    for n, answer in enumerate(answers):
        known = project.call("GET", "/chunks/" + chunks[n].id)
        assert known.status == (200 if answer.status == 200 else 404) and answer.status in (200, 507)


def test_sixteen_plain_uploads_at_once(server, owner, project):
    """The same with curl's way in, several chunks each: whoever is told yes has all of his file there."""
    apis = [project.device(f"device {n}") for n in range(16)]
    files = [random_bytes(5 * 2**20) for _ in range(16)]
    limit = 4 * len(files[0])
    quota(owner, project, limit)
    start, answers = threading.Barrier(16), [None] * 16

    def put(n):
        start.wait()
        answers[n] = apis[n].call("PUT", f"{project.base}/content/f{n}", files[n])

    threads = [threading.Thread(target=put, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert stored(project) <= limit
    for n, answer in enumerate(answers):
        got = project.call("GET", f"/content/f{n}")
        if answer.status == 201:
            assert got.body == files[n]
        else:
            assert exceeded(answer) and got.code == "not_found"
    assert any(a.status == 507 for a in answers)


# ---- a disk that fills up -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own as the data directory: 320 MiB, of which the server keeps 256 free."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m,mode=700", "dray-test", data], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield data
    subprocess.run(["umount", data], check=True)


def fill(path, leave):
    """Take all room but ${leave} bytes; ${path} is what does."""
    with path.open("ab") as f:
        more = shutil.disk_usage(path.parent).free - leave
        os.posix_fallocate(f.fileno(), f.seek(0, os.SEEK_END), more)


def until(condition):
    end = time.monotonic() + PATIENCE
    while not (got := condition()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)
    return got


def test_a_full_disk(disk, tmp_path):
    server = Drayd(tmp_path)
    try:
        full_disk(server, disk)
    finally:
        server.stop()


def full_disk(server, disk):
    owner = server.api(server.owner_token)
    project = Project.create(server, owner, "film")
    data = random_bytes(300_000)
    project.put("kept", data)
    project.put("deleted later", data[:100_000])
    begun = project.transfer()
    chunk = Chunk(*cut(random_bytes(4 * BLOCK)))
    filler = disk / "filler"

    # Below the reserve: nothing new comes in; all else goes on.
    fill(filler, 255 * 2**20)
    until(lambda: server.api().get("/readyz").status == 503)
    for refused in (project.call("PUT", "/content/new", data), project.call("PUT", f"/transfers/{begun}/chunks/0", chunk.data)):
        assert (refused.status, refused.code) == (507, "disk_full") and refused.json["retryable"] is True
    assert project.call("GET", "/content/kept").body == data
    project.ok("DELETE", "/content/deleted later".replace(" ", "%20"), status=204)
    f = project.files()["kept"]
    project.commit_ok({"op": "move", "id": f["id"], "base": f["version"], "path": "moved"})
    assert [f["path"] for f in project.ok("GET", "/files")["files"]] == ["moved"]

    # Not a byte left: reads go on, and whatever is refused is refused as a full disk.
    fill(filler, 0)
    assert shutil.disk_usage(disk).free == 0
    before = project.state()
    for n in range(20):
        answer = project.commit({"op": "put", "path": f"d{n}", "kind": "dir"})
        assert answer.status == 200 or (answer.status, answer.code) == (507, "disk_full"), answer
        refused = project.call("PUT", "/content/new", data)
        assert (refused.status, refused.code) == (507, "disk_full")
    assert project.call("GET", "/content/moved").body == data
    assert {f["path"] for f in project.state()["added"]} >= {"moved"} and project.state()["last_sync"] >= before["last_sync"]

    # Room again, the same process: everything works, and what was acknowledged is there.
    filler.unlink()
    until(lambda: server.api().get("/readyz").status == 200)
    project.send_chunk(begun, 0, chunk)
    project.commit_ok(put_op("sent", b"".join(chunk.blocks), chunk))
    project.put("new", data)
    live = project.files()
    assert {"moved", "sent", "new"} <= set(live) and "deleted later" not in live
    assert project.call("GET", "/content/moved").body == project.call("GET", "/content/new").body == data
    server.kill()
    server.start()
    project.api = server.api(project.api.token)
    assert project.files() == live and project.call("GET", "/content/sent").body == b"".join(chunk.blocks)


def test_a_device_at_the_quota(make, owner):
    """The one that cannot send says so; what needs no room is synchronised all the same, and room heals it."""
    (a, b) = make("a", "b")
    project = f"/projects/{make.project}"
    (a.folder / "first").write_bytes(random_bytes(100_000))
    a.sync()
    b.sync()
    owner.ok("PATCH", project, {"quota_bytes": 1})
    (a.folder / "first").rename(a.folder / "renamed")
    (a.folder / "new").write_bytes(random_bytes(100_000))
    told = a.dray("sync", a.folder)
    assert told.returncode in (1, 3) and "quota" in told.stdout + told.stderr, (told.returncode, told.stdout, told.stderr)
    b.sync()
    assert (b.folder / "renamed").exists() and not (b.folder / "first").exists() and not (b.folder / "new").exists()
    owner.ok("PATCH", project, {"quota_bytes": 0})
    a.sync()
    b.sync()
    assert (b.folder / "new").read_bytes() == (a.folder / "new").read_bytes()
