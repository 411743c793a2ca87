"""A device that deletes too much within an hour, held by the server whatever client it runs: the API first, then dray itself."""
import shutil

import pytest

import agents
from api import Project, Unchanged
from devices import assert_same
from waiting import wait_for

LIMIT = 100  # of projects up to 400 entries


def mkdir(path, **more):
    return {"op": "put", "path": path, "kind": "dir", **more}


def delete(entry):
    return {"op": "delete", "id": entry["id"], "base": entry["version"]}


def entries(project, n, prefix="d"):
    """${n} directories in ${project}, by its first device."""
    names = [f"{prefix}{i}" for i in range(n)]
    made = project.commit_ok(*map(mkdir, names))["results"]
    return dict(zip(names, made, strict=True))


def codes(answer):
    assert answer.status == 200, answer
    return [r.get("code", "ok") for r in answer.json["results"]]


def commit(project, api, *operations, headers=None, **more):
    return api.call("POST", project.base + "/commits", {"operations": list(operations), **more}, headers=headers)


# ---- the API ---------------------------------------------------------------------------------------------------------------------------


def test_who_is_held(project):
    made = list(entries(project, 150).values())
    other = project.device()
    project.commit_ok(*map(delete, made[:LIMIT]))
    rows = [
        ([delete(made[100])], {}, "mass_delete_held"),
        ([delete(made[100])], {"allow_mass_delete": False}, "mass_delete_held"),
        ([mkdir("d100", base=made[100]["version"])], {}, "ok"),  # it is one already
        ([{"op": "delete", "id": made[100]["id"], "base": made[100]["version"] - 1}], {}, "version_conflict"),
        ([delete(made[0])], {}, "ok"),  # gone already
    ]
    for operations, more, code in rows:
        with Unchanged(project):
            assert codes(commit(project, project.api, *operations, **more)) == [code], operations
    assert codes(commit(project, other, delete(made[100]))) == ["ok"], "another device has an hour of its own"
    assert codes(commit(project, project.api, delete(made[101]), allow_mass_delete=True)) == ["ok"]
    assert codes(commit(project, project.api, delete(made[102]))) == ["mass_delete_held"]
    for bad in (1, "true", []):
        assert commit(project, project.api, delete(made[102]), allow_mass_delete=bad).status == 400


def test_the_others_of_the_commit_are_applied(project):
    made = entries(project, 105)
    answer = project.commit(*map(delete, made.values()), mkdir("new"), {"op": "move", "path": "moved", "id": made["d104"]["id"],
                                                                      "base": made["d104"]["version"]})
    assert answer.code == "duplicate_target" and answer.status == 422
    last = made.pop("d104")
    answer = project.commit(*map(delete, made.values()), mkdir("new"), {"op": "move", "path": "moved", "id": last["id"], "base": last["version"]})
    assert codes(answer) == ["ok"] * 100 + ["mass_delete_held"] * 4 + ["ok", "ok"]
    held = answer.json["results"][100]
    assert held["status"] == "error" and "current" not in held and "100 of the 105 entries" in held["detail"]
    assert set(project.files()) == {"d100", "d101", "d102", "d103", "new", "moved"}


def test_repeated_it_is_answered_the_same(project):
    made = list(entries(project, 120).values())
    key = {"Idempotency-Key": "once"}
    first = commit(project, project.api, *map(delete, made), headers=key)
    assert codes(first).count("mass_delete_held") == 20
    with Unchanged(project):
        again = commit(project, project.api, *map(delete, made), headers=key)
        assert again.json == first.json and again.headers["idempotency-replayed"] == "true"
    meant = commit(project, project.api, *map(delete, made), headers=key, allow_mass_delete=True)
    assert meant.code == "idempotency_mismatch"


def test_by_path(project):
    made = list(entries(project, 102).values())
    project.commit_ok(*map(delete, made[:LIMIT]))
    with Unchanged(project):
        for query in ("", "?allow_mass_delete=0"):
            answer = project.call("DELETE", "/content/d100" + query)
            assert (answer.status, answer.code) == (409, "mass_delete_held") and not answer.json["retryable"]
        assert project.call("DELETE", "/content/d100?allow_mass_delete=yes").code == "field_range"
    project.ok("DELETE", "/content/d100?allow_mass_delete=1", status=204)
    assert project.put("still", b"written")["path"] == "still"


def test_a_restart_forgets_nothing(own_server):
    project = Project.create(own_server, own_server.api(own_server.owner_token), "p")
    made = list(entries(project, 130).values())
    project.commit_ok(*map(delete, made[:60]))
    own_server.kill()
    own_server.start()
    project.api = own_server.api(project.api.token)
    assert codes(project.commit(*map(delete, made[60:]))) == ["ok"] * 40 + ["mass_delete_held"] * 30
    assert codes(project.commit(*map(delete, made[100:]))) == ["mass_delete_held"] * 30
    said = [line for line in own_server.said().splitlines() if "may be a mistake" in line]
    assert len(said) == 1 and "held=30" in said[0] and "deleted=100" in said[0], said


# ---- dray ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(make):
    """Two devices, of which a has deleted 80 files within this hour; 93 entries are left."""
    a, b = make("a", "b")
    for name in [f"one/{i}" for i in range(80)] + [f"two/{i}" for i in range(80)] + [f"rest/{i}" for i in range(10)]:
        a.write(name, name)
    a.sync()
    for i in range(80):
        a.path(f"one/{i}").unlink()
    assert a.sync()["deleted_there"] == 80  # below the client's own brake
    return a, b


def test_passes_that_add_up_are_held(pair):
    a, b = pair
    b.sync()
    shutil.rmtree(a.path("two"))  # 81 entries: no brake of the client's
    a.write("rest/0", "edited")
    a.write("new", "goes on")
    held = a.sync(expect=3)
    assert (held["deleted_there"], held["held_by_server"], held["held_deletes"], held["unsynced"]) == (20, 61, 0, [])
    assert held["sent"] >= 2
    again = a.sync(expect=3)
    assert (again["deleted_there"], again["held_by_server"], again["sent"]) == (0, 61, 0) and again["requests"] <= 4
    assert not a.path("two").exists(), "what the user deleted does not come back by itself"
    said = a.dray("sync", a.folder)
    assert said.returncode == 3 and "61 deletions are held by the server" in said.stdout and "--allow-mass-delete" in said.stdout
    got = b.sync()
    assert got["deleted_here"] == 20 and b.path("rest/0").read_text() == "edited" and len(list(b.path("two").iterdir())) == 60
    b.path("rest/1").unlink()
    assert b.sync()["deleted_there"] == 1, "another device is not held"
    done = a.sync("--allow-mass-delete")
    assert done["deleted_there"] == 61 and done["held_by_server"] == 0
    b.sync()
    assert_same(a.tree(), b.tree())
    a.path("rest/2").unlink()
    assert a.sync(expect=3)["held_by_server"] == 1, "what was meant has not opened the hour"


def test_a_file_in_the_place_of_a_held_directory(pair):
    """It cannot be sent before the directory is empty there, and is not tried for ever."""
    a, b = pair
    shutil.rmtree(a.path("two"))
    a.write("two", "a file now")
    held = a.sync(expect=3)
    assert held["deleted_there"] == 20 and held["held_by_server"] == 60
    assert [(p["path"], p["reason"]) for p in held["unsynced"]] == [("two", "not_empty")]
    a.sync("--allow-mass-delete")
    b.sync()
    assert_same(a.tree(), b.tree())


def test_a_client_without_a_brake_is_held(make):
    a, b = make("a", "b")
    for i in range(150):
        a.write(f"many/{i}", "x")
    a.sync()
    b.sync()
    shutil.rmtree(a.path("many"))
    held = a.sync(expect=3, env={"DRAY_FAULT": "client.no_hold"})
    assert held["deleted_there"] == LIMIT and held["held_by_server"] == 51
    b.sync()
    assert len(list(b.path("many").iterdir())) == 50


def test_own_work_of_the_hour_is_not_held(pair):
    a, _ = pair
    for i in range(70):
        a.write(f"build/{i}", "x")
    a.sync()
    for i in range(70):
        a.path(f"build/{i}").unlink()
    assert a.sync()["deleted_there"] == 70


def test_the_agent_says_it_once_and_goes_on(pair, tmp_path):
    a, b = pair
    agent = agents.Agent(a, log=tmp_path / "agent.log")
    try:
        wait_for(lambda: agents.in_step(a), "the agent is not in step")
        shutil.rmtree(a.path("two"))
        wait_for(lambda: agents.status(a)["unsynced"] == 61, "nothing is held")
        for i in range(2):
            a.write("new", f"goes on {i}")
            wait_for(lambda i=i: b.sync_any() and b.path("new").exists() and b.path("new").read_text() == f"goes on {i}", "it does not arrive")
        assert agents.status(a)["unsynced"] == 61
        said = [line for line in agent.said().splitlines() if "the server holds them" in line]
        assert len(said) == 1 and "deletions=61" in said[0], agent.said()
        assert a.sync("--allow-mass-delete")["in_sync"]
        a.write("last", "x")
        wait_for(lambda: b.sync_any() and b.path("last").exists(), "it does not arrive")
        wait_for(lambda: agents.in_step(a), "the agent is not in step")
    finally:
        agent.stop()
    assert_same(a.tree(), b.tree())
