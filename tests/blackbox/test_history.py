"""A file's history through the API: its versions, their bytes, what can be restored, and what a project's policy lets go."""
import urllib.parse

import pytest

from api import Chunk, Project, Unchanged, content_hash, cut, random_bytes
from waiting import wait_for

DAY = 24 * 3600 * 10**6


def versions(project, file, **query):
    return project.ok("GET", f"/files/{file}/versions?{urllib.parse.urlencode(query)}")


def edited(project, path, *texts):
    """A file that was each of ${texts} in turn; its id and its versions, oldest first."""
    made = [project.put(path, text) for text in texts]
    assert len({f["id"] for f in made}) == 1
    return made[0]["id"], [f["version"] for f in made]


def at(project, path):
    return project.files()[path]


# ---- the list -----------------------------------------------------------------------------------------------------------------


def test_versions_are_listed_newest_first(project):
    file, (one, two) = edited(project, "draft.txt", b"1", b"22")
    project.commit_ok({"op": "put", "path": "d", "kind": "dir"}, {"op": "move", "id": file, "base": two, "path": "d/final.txt"})
    other = project.device("other laptop")
    assert other.call("PUT", project.base + "/content/d/final.txt", b"333").status == 200
    listed = versions(project, file)
    assert not listed["has_more"]
    three, moved, *rest = listed["versions"]
    assert [v["version"] for v in rest] == [two, one]
    assert [v["path"] for v in listed["versions"]] == ["d/final.txt"] * 2 + ["draft.txt"] * 2
    assert [v["size"] for v in listed["versions"]] == [3, 2, 2, 1]
    assert [v["changed_by_name"] for v in listed["versions"]] == ["other laptop", "tester", "tester", "tester"]
    assert three["version"] == at(project, "d/final.txt")["version"] and three["content_hash"] == content_hash([b"333"])
    assert not any(v["deleted"] for v in listed["versions"])
    state = {k: at(project, "d/final.txt")[k] for k in ("path", "kind", "size", "mode", "mtime", "version", "content_hash", "changed_by")}
    assert {k: three[k] for k in state} == state


def test_a_page_at_a_time(project):
    file, made = edited(project, "f", *(bytes([n]) for n in range(7)))
    got, before = [], {}
    while True:
        page = versions(project, file, limit=3, **before)
        got += [v["version"] for v in page["versions"]]
        if not page["has_more"]:
            break
        assert len(page["versions"]) == 3
        project.put("f", b"later")  # what is new comes before the first page, not between two
        before = {"before": got[-1]}
    assert got == made[::-1]
    assert versions(project, file, before=made[0]) == {"versions": [], "has_more": False}


def test_of_a_deleted_file_and_by_a_device_that_is_gone(server, owner, project):
    file, (one,) = edited(project, "f", b"1")
    gone = owner.ok("POST", project.base + "/devices", {"name": "lost phone"}, status=201)
    server.api(gone["token"]).ok("DELETE", project.base + "/content/f", status=204)
    owner.ok("DELETE", f"{project.base}/devices/{gone['id']}", status=204)
    assert project.call("GET", f"/files/{file}").code == "not_found"
    tombstone, last = versions(project, file)["versions"]
    assert tombstone["deleted"] and tombstone["changed_by_name"] == "lost phone" and last["version"] == one
    reader = project.device("reader", "reader")
    assert reader.ok("GET", f"{project.base}/files/{file}/versions")["versions"] == [tombstone, last]


def test_what_is_not_there(server, owner, project):
    file, (one,) = edited(project, "f", b"1")
    other = Project.create(server, owner, "other")
    for path in (f"/files/{'0' * 32}/versions", f"/files/{file}/versions", f"/files/{file}/content?version={one}",
                 f"/files/{file}/blocks?version={one}"):
        foreign = other.call("GET", path)
        random = other.call("GET", path.replace(file, "1" * 32))
        assert foreign.code == random.code == "not_found" and foreign.json["detail"] == random.json["detail"]
    for query in ("before=0", "before=-1", f"before={2**63}", "before=x", "limit=0", "limit=1001"):
        assert project.call("GET", f"/files/{file}/versions?{query}").code == "field_range", query
    assert project.call("GET", f"/files/{file}/versions?after=1").code == "unknown_field"


# ---- bytes of then ---------------------------------------------------------------------------------------------------------------


def test_content_of_a_version(project):
    old, new = random_bytes(200_000), random_bytes(70_000)
    file, (one, two) = edited(project, "take one.mov", old, new)
    project.commit_ok({"op": "move", "id": file, "base": two, "path": "best.mov"})
    project.ok("DELETE", "/content/best.mov", status=204)
    get = lambda version, **headers: project.call("GET", f"/files/{file}/content?version={version}",
                                                  headers={k.replace("_", "-"): v for k, v in headers.items()})
    whole = get(one)
    assert whole.status == 200 and whole.body == old and get(two).body == new
    assert whole.headers["etag"] == f'"{file}.{one}"'
    assert whole.headers["content-disposition"] == "attachment; filename=\"take one.mov\"; filename*=UTF-8''take%20one.mov"
    part = get(one, Range="bytes=65530-65545")
    assert part.status == 206 and part.body == old[65530:65546]
    assert part.headers["content-range"] == "bytes 65530-65545/200000"
    assert get(one, Range="bytes=0-9", If_Range=whole.headers["etag"]).status == 206
    mixed = get(one, Range="bytes=0-9", If_Range=get(two).headers["etag"])
    assert mixed.status == 200 and mixed.body == old
    assert get(one, If_None_Match=whole.headers["etag"]).status == 304
    assert get(one, If_Match=get(two).headers["etag"]).code == "precondition_failed"
    assert get(one, Range="bytes=200000-").code == "range_unsatisfiable"


def test_versions_without_content(project):
    file, (one,) = edited(project, "f", b"1")
    project.ok("DELETE", "/content/f", status=204)
    tombstone = versions(project, file)["versions"][0]["version"]
    made = project.commit_ok({"op": "put", "path": "d", "kind": "dir"}, {"op": "put", "path": "l", "kind": "link", "target": "x"})
    for id, version in [(file, tombstone), (file, one + 1), (file, 2**62), *((r["id"], r["version"]) for r in made["results"])]:
        assert project.call("GET", f"/files/{id}/content?version={version}").code == "not_found"
    for version in ("0", "-1", "x", str(2**63)):
        assert project.call("GET", f"/files/{file}/content?version={version}").code == "field_range"
        assert project.call("GET", f"/files/{file}/blocks?version={version}").code == "field_range"
    assert project.call("GET", f"/files/{made['results'][0]['id']}/blocks?version={made['results'][0]['version']}").body == b""


def test_block_list_of_a_version(project):
    data = random_bytes(5 * 2**20)
    file, (one, two) = edited(project, "f", data, data[:100])
    page = lambda query: project.call("GET", f"/files/{file}/blocks?{query}", headers={"Accept": "application/json"})
    assert page("").json["has_more"] is False and len(page("").json["blocks"]) == 1
    first, second = page(f"version={one}"), page(f"version={one}&from=64")
    assert first.headers["dray-version"] == second.headers["dray-version"] == str(one)
    assert first.json["has_more"] and not second.json["has_more"]
    listed = first.json["blocks"] + second.json["blocks"]
    assert [b["length"] for b in listed] == [len(b) for b in cut(data)]
    assert content_hash(cut(data)) == versions(project, file)["versions"][1]["content_hash"]
    project.ok("DELETE", "/content/f", status=204)
    assert page(f"version={one}").json == first.json
    assert page("").code == "not_found"


def test_extents_of_a_version(project):
    """?form=extents: the page without its blocks, packed and as JSON."""
    data = random_bytes(5 * 2**20)
    file, (one, two) = edited(project, "f", data, data[:100])
    for query in ("", "&from=64", "&count=128", "&count=2048", "&from=128"):
        page = lambda form, accept: project.call("GET", f"/files/{file}/blocks?version={one}{query}{form}", headers={"Accept": accept})
        whole, lean = (page(form, "application/json") for form in ("", "&form=extents"))
        assert lean.json == {name: value for name, value in whole.json.items() if name != "blocks"}
        assert lean.headers["dray-version"] == str(one) and lean.headers["dray-more"] == whole.headers["dray-more"]
        whole, lean = (page(form, "application/octet-stream").body for form in ("", "&form=extents"))
        extents = int.from_bytes(whole[12:16], "little")
        assert lean == whole[:16 + 40 * extents].replace(b"DRAYBLK1", b"DRAYEXT1")
        assert bool(lean) == (query != "&from=128")
    for form in ("", "blocks", "extents%00", "Extents"):
        assert project.call("GET", f"/files/{file}/blocks?form={form}").code == "field_range"
    assert project.call("GET", f"/files/{file}/blocks?form=extents&form=extents").status == 400
    (empty,) = project.commit_ok({"op": "put", "path": "d", "kind": "dir"})["results"]
    assert project.call("GET", f"/files/{empty['id']}/blocks?form=extents").body == b""


# ---- restore ---------------------------------------------------------------------------------------------------------------------


def restore(project, file, base, version, **more):
    answer = project.commit({"op": "restore", "id": file, "base": base, "version": version, **more})
    assert answer.status == 200, answer
    return answer.json["results"][0]


def copy(project, path, file, version, text):
    """A new file out of a version."""
    answer = project.commit({"op": "put", "path": path, "kind": "file", "size": len(text), "content_hash": content_hash([text]),
                             "from": {"file": file, "version": version}})
    assert answer.status == 200, answer
    return answer.json["results"][0]


def content(project, path):
    answer = project.call("GET", "/content/" + urllib.parse.quote(path))
    assert answer.status == 200, answer
    return answer.body


def test_restore_an_older_version_of_a_live_file(project):
    file, (one, two) = edited(project, "f", b"first", b"second")
    project.commit_ok({"op": "put", "path": "f", "kind": "file", "base": two, "mode": "0600"})
    three = at(project, "f")["version"]
    with Unchanged(project):
        assert restore(project, file, two, one)["code"] == "version_conflict"
    got = restore(project, file, three, one)
    assert got["status"] == "ok" and content(project, "f") == b"first" and at(project, "f")["mode"] == "0644"
    assert [v["version"] for v in versions(project, file)["versions"]] == [got["version"], three, two, one]
    with Unchanged(project):
        assert restore(project, file, got["version"], one)["unchanged"]
    assert restore(project, file, got["version"], two)["status"] == "ok" and content(project, "f") == b"second"


def test_restore_a_deleted_file(project):
    file, (one,) = edited(project, "f", b"first")
    project.ok("DELETE", "/content/f", status=204)
    tombstone = versions(project, file)["versions"][0]["version"]
    with Unchanged(project):
        assert restore(project, file, one, one)["code"] == "version_conflict"  # the base is what one has seen: the tombstone
        assert restore(project, file, tombstone, tombstone)["code"] == "not_found"
    cursor = project.state()["last_sync"]
    got = restore(project, file, tombstone, one)
    assert got["status"] == "ok" and got["id"] == file and content(project, "f") == b"first"
    changes = project.ok("GET", "/files/changes?since=" + cursor)
    assert [f["id"] for f in changes["modified"] + changes["added"]] == [file] and changes["deleted"] == []
    assert [v["deleted"] for v in versions(project, file)["versions"]] == [False, True, False]


def test_restore_where_the_place_is_taken(project):
    file, (one,) = edited(project, "d/f", b"first")
    project.ok("DELETE", "/content/d/f", status=204)
    tombstone = versions(project, file)["versions"][0]["version"]
    new = project.put("d/f", b"another")
    with Unchanged(project):
        refused = restore(project, file, tombstone, one)
        assert refused["code"] == "name_exists" and refused["current"]["id"] == new["id"]
    assert restore(project, file, tombstone, one, path="d/f (old)")["status"] == "ok"
    assert content(project, "d/f (old)") == b"first" and content(project, "d/f") == b"another"
    live = at(project, "d/f (old)")
    with Unchanged(project):  # a file that is there is moved by move
        refused = restore(project, file, live["version"], one, path="elsewhere")
        assert (refused["status"], refused["code"]) == ("error", "field_range")
        assert restore(project, file, live["version"], one, path="d/f (old)")["unchanged"]
    project.ok("DELETE", "/content/" + urllib.parse.quote("d/f (old)"), status=204)
    tombstone = versions(project, file)["versions"][0]["version"]
    with Unchanged(project):
        assert restore(project, file, tombstone, one, path="no/f")["code"] == "parent_missing"
        assert restore(project, file, tombstone, one, path="d/f/g")["code"] == "parent_not_directory"
        for path, code in (("a/../b", "path_invalid"), ("\0", "path_invalid"), (".dray/x", "name_reserved"), ("n" * 256, "name_too_long")):
            answer = project.commit({"op": "restore", "id": file, "base": tombstone, "version": one, "path": path})
            assert answer.code == code, path
        assert project.commit({"op": "restore", "id": file, "base": tombstone, "version": one, "path": 1}).code == "field_type"


def test_restore_with_and_without_the_parent(project):
    dir, file, link = (r["id"] for r in project.commit_ok(
        {"op": "put", "path": "d", "kind": "dir", "mode": "0750", "mtime": "2020-01-02T03:04:05Z"},
        {"op": "put", "path": "d/empty", "kind": "file", "size": 0, "content_hash": content_hash([])},
        {"op": "put", "path": "d/l", "kind": "link", "target": "../x"})["results"])
    live = {f["id"]: f for f in project.files().values()}
    gone = project.commit_ok(*({"op": "delete", "id": id, "base": live[id]["version"]} for id in (link, file, dir)))["results"]
    base = {r["id"]: r["version"] for r in gone}
    ops = {id: {"op": "restore", "id": id, "base": base[id], "version": live[id]["version"]} for id in live}
    with Unchanged(project):
        assert project.commit(ops[link]).json["results"][0]["code"] == "parent_missing"
    got = project.commit_ok(ops[dir], ops[file], ops[link])["results"]  # one batch, in order
    assert [r["id"] for r in got] == [dir, file, link]
    for f in project.files().values():
        for key in ("path", "kind", "mode", "mtime", "size"):
            assert f[key] == live[f["id"]][key], (f["path"], key)
    assert at(project, "d/l")["target"] == "../x" and content(project, "d/empty") == b""


def test_restore_of_another_target_of_a_link(project):
    made = project.commit_ok({"op": "put", "path": "l", "kind": "link", "target": "one"})["results"][0]
    changed = project.commit_ok({"op": "put", "path": "l", "kind": "link", "target": "two", "base": made["version"]})["results"][0]
    assert restore(project, made["id"], changed["version"], made["version"])["status"] == "ok"
    assert at(project, "l")["target"] == "one"


def test_restore_is_for_its_own_versions(server, owner, project):
    file, (one, two) = edited(project, "f", b"1", b"2")
    other, (foreign, _) = edited(project, "g", b"3", b"4")
    elsewhere = Project.create(server, owner, "elsewhere")
    with Unchanged(project):
        assert restore(project, file, two, foreign)["code"] == "not_found"
        assert restore(project, file, two, one + 1)["code"] == "not_found"
    assert restore(elsewhere, file, two, one)["code"] == "not_found"
    reader = project.device("reader", "reader")
    body = {"operations": [{"op": "restore", "id": file, "base": two, "version": one}]}
    assert reader.call("POST", project.base + "/commits", body).code == "forbidden"


# ---- policy ----------------------------------------------------------------------------------------------------------------------


def test_the_policy_is_the_owners(server, owner, project):
    before = project.ok("GET", "")
    assert [before[k] for k in ("keep_versions", "keep_days", "quota_bytes", "stored_bytes")] == [100, 0, 0, 0]
    for api in (project.api, project.device("reader", "reader")):
        assert api.call("PATCH", project.base, {"keep_versions": 1}).code == "forbidden"
    assert Project.create(server, owner, "other").api.call("PATCH", project.base, {"keep_versions": 1}).code == "not_found"
    assert project.ok("GET", "") == before
    after = owner.ok("PATCH", project.base, {"keep_days": 7})
    assert after == {**before, "keep_days": 7} and project.ok("GET", "") == after
    listed = owner.ok("GET", "/projects?limit=1000")["projects"]
    assert after in listed


@pytest.mark.parametrize("change", [{"keep_versions": 10001}, {"keep_versions": -1}, {"keep_days": 36501}, {"keep_days": -1},
                                    {"quota_bytes": -1}, {"quota_bytes": 2**63}])
def test_policies_out_of_range(owner, project, change):
    before = project.ok("GET", "")
    assert owner.call("PATCH", project.base, change).code == "field_range"
    assert owner.call("PATCH", project.base, {**dict.fromkeys(change, "1")}).code == "field_type"
    assert project.ok("GET", "") == before


def test_the_command(own_server):
    id = own_server.project("film")
    said = own_server.drayd("project", "set", "--project", id, "--keep-versions", 3, "--keep-days", 30, "--quota", "2G", "--name", "cut")
    assert said == own_server.drayd("project", "show", "--project", id)
    lines = dict(line.split(maxsplit=1) for line in said.splitlines() if line.split()[0] in ("id", "name", "quota"))
    assert lines == {"id": id, "name": "cut", "quota": f"{2 * 2**30} bytes"}
    own_server.kill()
    own_server.start()
    project = own_server.api(own_server.owner_token).ok("GET", f"/projects/{id}")
    assert (project["keep_versions"], project["keep_days"], project["quota_bytes"]) == (3, 30, 2**31)
    own_server.drayd("project", "set", "--project", id, "--quota", "0", "--json")
    assert "without limit" in own_server.drayd("project", "show", "--project", id)


def backdate(server, file, steps):
    """Put the versions of ${file} but the newest so many days into the past, ${steps} apart: nothing but waiting could do it."""
    rows = [v for v, in server.db.rows("SELECT version FROM file_versions WHERE file_id = ? ORDER BY version DESC", bytes.fromhex(file))]
    moved = {version: version - n * steps * DAY for n, version in enumerate(rows[1:], 1)}
    server.db.run(*[["UPDATE file_versions SET version = ? WHERE file_id = ? AND version = ?", moved[v], bytes.fromhex(file), v]
                    for v in rows[1:]])
    return moved


def test_old_versions_go(own_server):
    owner = own_server.api(own_server.owner_token)
    project = Project.create(own_server, owner, "film")
    file, made = edited(project, "f", *(b"text %d" % n for n in range(6)))
    gone_file, (gone_one,) = edited(project, "gone", b"gone")
    project.ok("DELETE", "/content/gone", status=204)
    before = project.state()
    own_server.stop()
    moved = backdate(own_server, file, 10)
    own_server.start()
    project.api, owner = own_server.api(project.api.token), own_server.api(own_server.owner_token)
    # Replaced just now, 10, 20, 30 and 40 days ago: within the count all are kept, and none goes while nothing is asked for.
    assert len(versions(project, file)["versions"]) == 6
    owner.ok("PATCH", project.base, {"keep_versions": 3})
    own_server.stop()
    own_server.start()
    project.api = own_server.api(project.api.token)
    wait_for(lambda: len(versions(project, file)["versions"]) == 3)
    kept = [v["version"] for v in versions(project, file)["versions"]]
    assert kept == [made[-1], moved[made[-2]], moved[made[-3]]]
    assert [v["deleted"] for v in versions(project, gone_file)["versions"]] == [True, False]
    assert project.state() == before  # the present tree is as it was
    pruned = moved[made[0]]
    for path in (f"/files/{file}/content?version={pruned}", f"/files/{file}/blocks?version={pruned}"):
        assert project.call("GET", path).code == "not_found"
    with Unchanged(project):
        assert restore(project, file, made[-1], pruned)["code"] == "not_found"
        assert copy(project, "copy", file, pruned, b"text 0")["code"] == "not_found"
    assert copy(project, "copy", file, kept[1], b"text 4")["status"] == "ok" and content(project, "copy") == b"text 4"
    assert project.call("GET", f"/files/{file}/content?version={kept[1]}").body == b"text 4"
    assert restore(project, file, made[-1], kept[2])["status"] == "ok" and content(project, "f") == b"text 3"
    tombstone = versions(project, gone_file)["versions"][0]["version"]
    assert restore(project, gone_file, tombstone, gone_one)["status"] == "ok" and content(project, "gone") == b"gone"


# ---- named blocks ------------------------------------------------------------------------------------------------------------------


def uploaded(project, *blocks):
    chunk = Chunk(*blocks)
    project.send_chunk(project.transfer(), 0, chunk)
    return chunk


def fetch(project, *extents, api=None):
    body = {"extents": [{"chunk": chunk, "first": first, "count": count} for chunk, first, count in extents]}
    return (api or project.api).call("POST", project.base + "/blocks/fetch", body)


def test_named_blocks_come_in_one_container(project):
    a = uploaded(project, *cut(random_bytes(6 * 65536)))
    b = uploaded(project, *(random_bytes(100 + n) for n in range(1024)))
    assert fetch(project, (a.id, 0, 6)).body == a.data
    got = fetch(project, (b.id, 1000, 24), (a.id, 5, 1), (b.id, 3, 1), (b.id, 3, 1), (a.id, 0, 2), api=project.device("r", "reader"))
    want = Chunk(*b.blocks[1000:], a.blocks[5], b.blocks[3], b.blocks[3], *a.blocks[:2])
    assert got.status == 200 and got.body == want.data
    assert got.headers["content-type"] == "application/octet-stream" and got.headers["content-length"] == str(len(want.data))
    each = [(b.id, n * 389 % 1024, 1) for n in range(1024)]
    assert fetch(project, *each).body == Chunk(*(b.blocks[n] for _, n, _ in each)).data
    for method in ("GET", "PUT"):
        answer = project.call(method, "/blocks/fetch", b"" if method == "PUT" else None)
        assert answer.code == "method_not_allowed" and answer.headers["allow"] == "POST"


def test_stored_bytes_are_not_compressed_anew(project):
    """What the server stored compressed comes as it is stored, and any reader can tell from the header."""
    f = project.put("zeros", bytes(4 * 65536))
    (extent,) = project.call("GET", f"/files/{f['id']}/blocks", headers={"Accept": "application/json"}).json["extents"]
    stored = project.call("GET", "/chunks/" + extent["chunk"]).body
    assert fetch(project, (extent["chunk"], 0, 4)).body == stored and len(stored) < 4096


def test_limits_of_a_fetch(project):
    large = uploaded(project, *cut(random_bytes(4 * 2**20)))
    small = uploaded(project, *(random_bytes(10) for _ in range(1024)))
    assert fetch(project, (large.id, 0, 64)).body == large.data
    assert fetch(project, (large.id, 0, 64), (small.id, 0, 1)).code == "field_range"
    assert fetch(project, (small.id, 0, 1024)).status == 200
    assert fetch(project, (small.id, 0, 1024), (small.id, 0, 1)).code == "field_range"
    for first, count in ((0, 0), (-1, 1), (0, 1025), (1024, 1), (2**32, 1), (0, 2**32 + 1), (2**63, 1)):
        assert fetch(project, (small.id, first, count)).code == "field_range", (first, count)
    assert fetch(project).code == "field_range"
    assert fetch(project, ("A" * 64, 0, 1)).code == "hash_invalid"
    assert project.call("POST", "/blocks/fetch", {}).code == "field_missing"
    assert project.call("POST", "/blocks/fetch", {"extents": [], "more": 1}).code == "unknown_field"
    assert project.call("POST", "/blocks/fetch", {"extents": {}}).code == "field_type"


def test_a_fetch_tells_nothing_of_other_projects(server, owner, project):
    other = Project.create(server, owner, "other")
    mine, foreign = uploaded(project, b"mine"), uploaded(other, b"foreign")
    said = []
    for id in (foreign.id, "0" * 64):
        answer = fetch(project, (mine.id, 0, 1), (id, 0, 1))
        assert answer.code == "not_found"
        said.append({k: v for k, v in answer.json.items() if k != "request_id"})
    assert said[0] == said[1]
    assert fetch(project, (mine.id, 1, 1)).code == "not_found"
    assert fetch(project, (mine.id, 0, 2)).code == "not_found"
    assert fetch(project, (mine.id, 0, 1), api=other.api).code == "not_found"


def test_a_damaged_store_gives_no_container(own_server):
    owner = own_server.api(own_server.owner_token)
    project = Project.create(own_server, owner, "film")
    chunk, other = uploaded(project, *cut(random_bytes(200_000))), uploaded(project, b"other")
    (path,) = [p for p in (own_server.data / "chunks").rglob("*") if p.is_file() and chunk.id[4:] in p.name]
    whole = path.read_bytes()
    assert whole == chunk.data
    for damage in (whole[:-1], whole[:100], whole[:16] + bytes([whole[16] ^ 1]) + whole[17:], None):
        own_server.stop()
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        own_server.start()
        project.api = own_server.api(project.api.token)
        assert fetch(project, (chunk.id, 0, 1)).code == "chunk_corrupt"
        assert fetch(project, (other.id, 0, 1)).body == other.data
        if damage is None:
            assert "missing from the store" in own_server.said()


def test_a_delta_from_an_old_version(project):
    """What the call is for: from the lists of two versions a device finds what it lacks, and fetches that alone."""
    data = random_bytes(20 * 65536)
    edit = data[:3 * 65536] + random_bytes(65536) + data[4 * 65536:11 * 65536] + random_bytes(2 * 65536) + data[13 * 65536:]
    file, (one, two) = edited(project, "f", data, edit)
    page = lambda version: project.call("GET", f"/files/{file}/blocks?version={version}", headers={"Accept": "application/json"}).json
    have = {b["hash"] for b in page(one)["blocks"]}
    new = page(two)
    slots = [(e["chunk"], e["first"] + k, 1) for e in new["extents"] for k in range(e["count"])]
    lacking = [s for s, b in zip(slots, new["blocks"]) if b["hash"] not in have]
    got = fetch(project, *lacking)
    assert got.body == Chunk(edit[3 * 65536:4 * 65536], *cut(edit[11 * 65536:13 * 65536])).data
