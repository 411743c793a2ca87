"""What a first visitor tries with nothing but curl, and the script of docs/protocol/sync.md."""
import json
import os
import re
import subprocess

import pytest

from devices import ROOT, tree_of


class Curl:
    """curl with a server's token, as it would be typed."""

    def __init__(self, server, folder):
        self.url, self.folder = server.url, folder
        self.auth = ["-H", f"Authorization: Bearer {server.owner_token}"]
        self.at = ""

    def __call__(self, path, *args, fail=False):
        """The body as text; ${fail} is the status that a refused call must have."""
        out = self.run(*args, "-o", "answer", "-w", "%{http_code}", self.url + self.at + path)
        body = (self.folder / "answer").read_bytes() if (self.folder / "answer").exists() else b""
        (self.folder / "answer").unlink(missing_ok=True)
        assert (int(out) == fail) if fail else (200 <= int(out) < 300), (out, body)
        return body

    def json(self, path, *args, **more):
        return json.loads(self(path, *args, **more))

    def head(self, path, *args):
        """Status and headers of HEAD."""
        status, *lines = self.run(*args, "-I", self.url + self.at + path).strip().splitlines()
        return int(status.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}

    def run(self, *args, expect=0):
        run = subprocess.run(["curl", "-sS", "--noproxy", "*", *self.auth, *args], cwd=self.folder, capture_output=True, timeout=60)
        assert run.returncode == expect, run.stderr
        return run.stdout.decode()


@pytest.fixture
def curl(server, tmp_path):
    """In a folder of its own, with a project that it has just created."""
    c = Curl(server, tmp_path)
    made = c.json("/projects", "-H", "Content-Type: application/json", "-d", '{"name":"tour"}')
    c.at = f"/projects/{made['id']}"
    return c


def put(curl, path, data, *args):
    (curl.folder / "upload").write_bytes(data)
    return curl.json(f"/content/{path}", "-T", "upload", *args)


def test_put_and_get_back(curl):
    data = os.urandom(2_000_001)
    made = put(curl, "shots/a%20b.mov", data)
    assert (made["path"], made["size"], made["kind"], made["state"]) == ("shots/a b.mov", len(data), "file", "live")
    assert curl("/content/shots/a%20b.mov") == data
    assert curl(f"/files/{made['id']}/content") == data
    # A directory as target of -T takes the file's name, as with any server.
    curl.run("-T", "upload", f"{curl.url}{curl.at}/content/shots/")
    assert curl("/content/shots/upload") == data
    # Without knowing its size curl sends chunks, which says what to do about it.
    refused = curl.json("/content/piped", "-T", "-", "-H", "Transfer-Encoding: chunked", fail=411)
    assert refused["code"] == "length_required"


def test_a_name_that_curl_would_save_it_under(curl):
    put(curl, "shots/a%22%C3%A9.mov", b"x")
    curl.run("-OJ", f"{curl.url}{curl.at}/content/shots/a%22%C3%A9.mov")
    status, headers = curl.head("/content/shots/a%22%C3%A9.mov")
    assert status == 200 and headers["content-disposition"] == "attachment; filename=\"a___.mov\"; filename*=UTF-8''a%22%C3%A9.mov"
    assert (curl.folder / "a___.mov").read_bytes() == b"x"


def test_list_and_page_through(curl):
    names = [f"{i:02}" for i in range(11)]
    for name in names:
        put(curl, name, name.encode())
    assert [f["path"] for f in curl.json("/files")["files"]] == names
    seen, cursor, pages = [], "", 0
    while True:
        page = curl.json(f"/files?limit=4{cursor}")
        seen += [f["path"] for f in page["files"]]
        cursor, pages = f"&cursor={page['next_cursor']}", pages + 1
        if not page["has_more"]:
            break
    assert seen == names and pages == 3
    # By name, a directory at a time.
    put(curl, "z/deep/er", b"")
    assert [f["path"] for f in curl.json("/files?dir=z&order=path")["files"]] == ["z/deep"]
    assert curl.json("/files?dir=&order=path&limit=1")["next_cursor"].isascii()


def test_ranges_and_resuming(curl):
    data = os.urandom(3_000_000)
    put(curl, "big", data)
    assert curl("/content/big", "-r", "0-99") == data[:100]
    assert curl("/content/big", "-r", "2999990-") == data[-10:]
    assert curl("/content/big", "-r", "-5") == data[-5:]
    problem = curl.json("/content/big", "-r", "3000000-", fail=416)
    assert problem["code"] == "range_unsatisfiable"
    # A download that broke off after 1,234,567 bytes goes on there; again, and there is nothing left to do.
    (curl.folder / "copy").write_bytes(data[:1_234_567])
    said = curl.run("-C", "-", "-o", "copy", "-w", "%{http_code} %{size_download}", f"{curl.url}{curl.at}/content/big")
    assert said == f"206 {len(data) - 1_234_567}" and (curl.folder / "copy").read_bytes() == data
    # Changed meanwhile: If-Range gets the whole new file and never a mixture.
    _, before = curl.head("/content/big")
    put(curl, "big", b"new")
    assert curl("/content/big", "-r", "1-", "-H", f"If-Range: {before['etag']}") == b"new"
    _, after = curl.head("/content/big")
    assert curl("/content/big", "-r", "1-", "-H", f"If-Range: {after['etag']}") == b"ew"


def test_changes(curl):
    first = put(curl, "a", b"1")
    between = curl.json("/files/changes")["last_sync"]
    b = put(curl, "b", b"2")
    put(curl, "a", b"3")
    curl("/content/b", "-X", "DELETE")
    since_cursor = curl.json(f"/files/changes?since={between}")
    since_time = curl.json(f"/files/changes?since={first['changed_at']}")
    assert since_cursor == since_time
    assert [f["path"] for f in since_cursor["modified"]] == ["a"] and since_cursor["added"] == []
    assert [(f["id"], f["state"]) for f in since_cursor["deleted"]] == [(b["id"], "deleted")]
    assert curl.json("/files/changes?since=2100-01-01T00:00:00%2B02:00")["modified"] == []
    nothing = curl.json(f"/files/changes?since={since_cursor['last_sync']}")
    assert nothing == {"added": [], "modified": [], "deleted": [], "has_more": False, "last_sync": since_cursor["last_sync"],
                       "digest": since_cursor["digest"]}
    gone = curl.json("/files/changes?since=1.00000000000000000000000000000000", fail=410)
    assert (gone["code"], gone["merge"], gone["snapshot"]) == ("epoch_changed", "keep-local", curl.at + "/snapshot")
    assert curl.json("/files/changes?since=yesterday", fail=400)["code"] == "cursor_invalid"


def test_conditions_and_deletes(curl):
    put(curl, "plan.txt", b"one")
    _, headers = curl.head("/content/plan.txt")
    put(curl, "plan.txt", b"two", "-H", f"If-Match: {headers['etag']}")
    stale = curl.json("/content/plan.txt", "-T", "upload", "-H", f"If-Match: {headers['etag']}", fail=412)
    assert stale["code"] == "precondition_failed" and not stale["retryable"]
    assert curl.json("/content/plan.txt", "-T", "upload", "-H", "If-None-Match: *", fail=412)["code"] == "precondition_failed"
    assert curl.json("/content/plan.txt", "-X", "DELETE", "-H", f"If-Match: {headers['etag']}", fail=412)["code"] == "precondition_failed"
    assert curl("/content/plan.txt") == b"two"
    _, headers = curl.head("/content/plan.txt")
    # Nothing new: 304 and no body.
    assert curl.run("-o", os.devnull, "-w", "%{http_code} %{size_download}", "-H", f"If-None-Match: {headers['etag']}",
                    f"{curl.url}{curl.at}/content/plan.txt") == "304 0"
    assert curl("/content/plan.txt", "-X", "DELETE", "-H", f"If-Match: {headers['etag']}") == b""
    assert curl.json("/content/plan.txt", fail=404)["code"] == "not_found"
    assert curl.json("/content/plan.txt", "-X", "DELETE", fail=404)["code"] == "not_found"


def test_snapshot(curl):
    for i in range(50):
        put(curl, f"d/{i}", b"%d" % i)
    plain = curl("/snapshot")
    tree = json.loads(plain)
    assert tree["file_count"] == 51 and len(tree["tree"]) == 51 and tree["tree"]["d/7"]["size"] == 1
    for coding, tool in (("gzip", "gzip"), ("zstd", "zstd")):
        packed = curl("/snapshot", "-H", f"Accept-Encoding: {coding}")
        assert len(packed) < len(plain) / 3
        assert subprocess.run([tool, "-dc"], input=packed, capture_output=True, check=True).stdout == plain
    assert curl("/snapshot", "--compressed") == plain
    lines = curl("/snapshot", "-H", "Accept: application/x-ndjson").decode().splitlines()
    assert json.loads(lines[0])["cursor"] == tree["cursor"] and len(lines) == 52
    assert curl.json(f"/files/changes?since={tree['cursor']}")["digest"] == tree["digest"]
    _, headers = curl.head("/snapshot", "--compressed")
    assert curl.run("-o", os.devnull, "-w", "%{http_code}", "--compressed", "-H", f"If-None-Match: {headers['etag']}",
                    f"{curl.url}{curl.at}/snapshot") == "304"


def test_head(curl):
    made = put(curl, "x", b"12345")
    status, headers = curl.head("/content/x")
    assert status == 200 and headers["content-length"] == "5" and headers["accept-ranges"] == "bytes"
    assert headers["etag"] == f'"{made["id"]}.{made["version"]}"' and re.fullmatch("[0-9a-f]{16}", headers["dray-request-id"])
    assert curl.head("/content/none")[0] == 404 and curl.head("/files")[1]["content-type"] == "application/json"


def test_without_a_token(curl):
    curl.auth = []
    problem = curl.json("/files", fail=401)
    assert problem["code"] == "auth_required" and "token" in problem["detail"]
    assert curl.json("/files?token=x", fail=400)["code"] == "token_in_url"


# ---- the script -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(curl):
    """Run the page's script on a folder; the folder's tree."""
    (script,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/protocol/sync.md").read_text(), re.S)
    folder = curl.folder / "mirror"
    folder.mkdir()

    def run():
        env = {**os.environ, "URL": curl.url, "PROJECT": curl.at.split("/")[-1], "TOKEN": curl.auth[1].split()[-1], "no_proxy": "*"}
        done = subprocess.run(["bash", "-c", script, "mirror.sh", str(folder)], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return tree_of(folder)

    run.folder = folder
    return run


def commit(curl, *operations):
    body = json.dumps({"operations": operations})
    answer = curl.json("/commits", "-H", "Content-Type: application/json", "-d", body)
    assert [r["status"] for r in answer["results"]] == ["ok"] * len(operations), answer
    return answer


def live(curl):
    return {f["path"]: f for f in curl.json("/files")["files"]}


def assert_mirrors(tree, curl):
    kinds = {os.fsdecode(path): what[0] for path, what in tree.items()}
    files = live(curl)
    assert kinds == {path: f["kind"] for path, f in files.items()}
    for path, f in files.items():
        _, mode, mtime, size, _ = tree[os.fsencode(path)]
        assert size == {"file": f["size"], "dir": None, "link": os.fsencode(f.get("target", ""))}[f["kind"]]
        assert mode is None or f"{mode:04o}" == f["mode"]


def test_the_script_of_the_page(curl, mirror):
    put(curl, "shots/one", b"1")
    put(curl, "shots/deep/two%0A%20x", b"22", "-H", "Dray-Mtime: 2020-01-02T03:04:05.000000006Z")
    commit(curl, {"op": "put", "path": "latest", "kind": "link", "target": "shots/one"}, {"op": "put", "path": "empty", "kind": "dir"})
    tree = mirror()
    assert_mirrors(tree, curl)
    assert tree[b"shots/deep/two\n x"][2] == 1_577_934_245_000_000_006
    assert mirror() == tree
    # A directory is renamed, two files swap their names, one is edited, one goes.
    put(curl, "a", b"was a")
    put(curl, "b", b"was b")
    put(curl, "going/away", b"")
    assert_mirrors(mirror(), curl)
    f = live(curl)
    at = lambda path: {"id": f[path]["id"], "base": f[path]["version"]}
    commit(curl, {"op": "move", "path": "takes", **at("shots")}, {"op": "move", "path": "c", **at("a")})
    commit(curl, {"op": "move", "path": "a", **at("b")}, {"op": "delete", **at("going/away")}, {"op": "delete", **at("going")})
    f = live(curl)
    commit(curl, {"op": "move", "path": "b", **at("c")})
    put(curl, "takes/one", b"edited")
    assert_mirrors(mirror(), curl)
    assert (mirror.folder / "a").read_bytes() == b"was b" and (mirror.folder / "b").read_bytes() == b"was a"
    assert (mirror.folder / "takes/one").read_bytes() == b"edited"
    place = curl.json("/checkpoint")
    assert place["cursor"] == place["project_cursor"]


def test_the_script_after_the_history_has_started_anew(curl, mirror):
    put(curl, "there", b"1")
    mirror()
    # As after a restored backup: a cursor of another epoch, and a file that the server has never seen.
    state = mirror.folder / ".dray/state"
    known = state.read_text().replace("owner=(", f'owner=([mine]="{"0" * 32}" ')
    state.write_text(re.sub(r'cursor="[^"]*"', f'cursor="1.{"0" * 32}"', known))
    (mirror.folder / "mine").write_bytes(b"2")
    put(curl, "new", b"3")
    tree = mirror()
    assert set(tree) == {b"mine", b"there", b"new"}
    # Without the merge rule the same would be a deletion: a mirror that begins anew clears away what is not there.
    state.write_text(re.sub(r'cursor="[^"]*"', 'cursor=""', state.read_text()))
    assert set(mirror()) == {b"there", b"new"}
