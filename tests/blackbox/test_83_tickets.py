"""Tickets: what a browser's WebSocket is opened with.  Once, in time, by whom they were given, from the server's own pages, and nowhere written down."""
import asyncio
import json
import re

import pytest
import websockets

from api import Project
from conftest import Drayd
from stream import Stream, handshake, subscribe
from waiting import wait_for

PATIENCE = 30


def ticket(api, **wish):
    made = api.ok("POST", "/events/ticket", wish, status=201)
    assert made["protocol"] == "dray.v1" and re.fullmatch(r"[0-9a-f]{64}", made["ticket"]) and made["expires_in_ms"] == 30000
    return made["ticket"]


def offered(ticket):
    return f"dray.v1, ticket.{ticket}"


@pytest.fixture
def enter(project):
    """enter(ticket, …): a stream that was opened with it, or a refusal: .status."""
    opened = []

    def one(ticket, target="/events", **more):
        fields = {"Sec_WebSocket_Protocol": offered(ticket), **more}
        opened.append(Stream(project.server.address, target, None, **fields))
        return opened[-1]

    yield one
    for stream in opened:
        stream.socket.close()


def refusal(project, target="/events", **fields):
    """(status, code) of a handshake that is refused."""
    got, _ = project.api.raw(handshake(target, None, **fields))
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


def test_a_ticket_opens_one_stream(project, enter):
    given = ticket(project.api)
    s = enter(given)
    assert s.status == 101 and s.fields["sec-websocket-protocol"] == "dray.v1"
    s.say(subscribe(project.id))
    hello = s.next("hello")
    project.put("a", b"1")
    change = s.next("change")
    assert change["since"] == hello["cursor"] and [f["path"] for f in change["added"]] == ["a"]
    assert refusal(project, Sec_WebSocket_Protocol=offered(given)) == (401, "ticket_invalid")


def test_the_reference_client(project):
    """python3-websockets, which offers protocols as a browser does and insists on the answer."""

    async def run():
        url = f"ws://{project.server.listen}{project.base}/events"
        async with websockets.connect(url, subprotocols=["dray.v1", "ticket." + ticket(project.api)]) as ws:
            assert ws.subprotocol == "dray.v1"
            assert json.loads(await asyncio.wait_for(ws.recv(), PATIENCE))["type"] == "hello"
        async with websockets.connect(url, subprotocols=["dray.v1"], extra_headers={"Authorization": f"Bearer {project.api.token}"}) as ws:
            assert ws.subprotocol == "dray.v1"

    asyncio.run(run())


def test_of_one_project(server, owner, project, enter):
    """It opens that project's stream, which tells of no other that the device may read as well."""
    api = server.api(server.owner_token)
    other = Project.create(server, owner, "other")
    assert refusal(project, f"{other.base}/events", Sec_WebSocket_Protocol=offered(ticket(api, project=project.id))) == (401, "ticket_invalid")
    assert refusal(project, "/events", Sec_WebSocket_Protocol=offered(ticket(api, project=project.id))) == (401, "ticket_invalid")
    s = enter(ticket(api, project=project.id), project.base + "/events")
    assert s.next("hello")["project"] == project.id
    s.say(subscribe(other.id, project.id))
    error = s.next("error")
    assert (error["project"], error["code"]) == (other.id, "not_found")
    assert s.next("hello")["project"] == project.id
    other.put("not told", b"1")
    project.put("told", b"1")
    assert [f["path"] for f in s.next("change")["added"]] == ["told"]
    assert project.api.call("POST", "/events/ticket", {"project": other.id}).code == "not_found"


def test_whose_it_is(project, enter):
    """A reader's ticket is a reader; it does nothing but to open a stream."""
    reader = project.device("reader", "reader")
    s = enter(ticket(reader), project.base + "/events")
    assert s.next("hello")
    given = ticket(project.api)
    for target, method in ((project.base + "/files", "GET"), ("/projects", "GET"), ("/events", "GET")):
        answer = project.api.call(method, target, headers={"Sec-WebSocket-Protocol": offered(given)}, token=None)
        assert answer.code == "auth_required", target
    assert enter(given).status == 101, "what is no handshake has not used it up"


def test_handshakes_that_are_refused(project, enter):
    given = ticket(project.api)
    both = {"Authorization": f"Bearer {project.api.token}", "Sec_WebSocket_Protocol": offered(given)}
    assert refusal(project, **both) == (400, "upgrade_invalid")
    assert refusal(project, Sec_WebSocket_Protocol=f"ticket.{given}") == (400, "upgrade_invalid")
    assert refusal(project, Sec_WebSocket_Protocol=f"dray.v1, ticket.{given}, ticket.{given}") == (400, "upgrade_invalid")
    assert refusal(project, Sec_WebSocket_Protocol=f"dray.v1\r\nSec-WebSocket-Protocol: ticket.{given}") == (400, "upgrade_invalid")
    assert refusal(project, Sec_WebSocket_Protocol="dray.v1") == (401, "auth_required")
    for wrong in ("", "0" * 64, given[:-1], given + "0", given.upper() if given.upper() != given else "A"):
        assert refusal(project, Sec_WebSocket_Protocol=f"dray.v1, ticket.{wrong}") == (401, "ticket_invalid"), wrong
    for query in (f"ticket={given}", f"token={given}"):
        assert refusal(project, f"/events?{query}") == (400, "token_in_url")
    for origin in ("null", "https://elsewhere.example", "http://localhost.elsewhere.example", "http://localhost:1", "file://"):
        assert refusal(project, Sec_WebSocket_Protocol=offered(given), Origin=origin) == (403, "origin_forbidden")
    s = enter(given, Origin="http://localhost")
    assert s.status == 101, "none of these has used it up"
    late = ticket(project.api)
    assert refusal(project, Sec_WebSocket_Protocol=offered(late), Sec_WebSocket_Key="x") == (400, "upgrade_invalid")
    assert refusal(project, Sec_WebSocket_Protocol=offered(late)) == (401, "ticket_invalid"), "a handshake that fails later has"


def test_of_a_revoked_device(project, enter):
    made = project.owner.ok("POST", project.base + "/devices", {"name": "lost"}, status=201)
    api = project.server.api(made["token"])
    kept, s = ticket(api), enter(ticket(api), project.base + "/events")
    assert s.next("hello")
    project.owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)
    assert refusal(project, Sec_WebSocket_Protocol=offered(kept)) == (401, "token_revoked")
    assert s.end().code == 1008
    assert api.call("POST", "/events/ticket", {}).code == "token_revoked"


def test_not_too_many(project, enter):
    api = project.device("greedy")
    given = [ticket(api) for _ in range(16)]
    answer = api.call("POST", "/events/ticket", {})
    assert answer.code == "too_many_requests" and "retry-after" in answer.headers
    assert enter(given[0]).status == 101
    given.append(ticket(api))
    assert ticket(project.api), "another device has its own"


def test_a_restart_ends_them(own_server):
    p = Project.create(own_server, own_server.api(own_server.owner_token), "p")
    given = ticket(p.api)
    own_server.stop()
    own_server.start()
    p = Project(own_server, own_server.api(own_server.owner_token), p.id, p.api.token)
    assert refusal(p, Sec_WebSocket_Protocol=offered(given)) == (401, "ticket_invalid")


def test_nowhere_written_down(own_server):
    """Neither tickets nor tokens are in the log or in any file of the server, whatever was done with them."""
    p = Project.create(own_server, own_server.api(own_server.owner_token), "p")
    given = [ticket(p.api) for _ in range(4)]
    with Stream(own_server.address, "/events", None, Sec_WebSocket_Protocol=offered(given[0])) as s:
        s.say(subscribe(p.id))
        s.next("hello")
        p.put("a", b"1")
        s.next("change")
    refusal(p, Sec_WebSocket_Protocol=offered(given[0]))
    refusal(p, Sec_WebSocket_Protocol=offered(given[1]), Sec_WebSocket_Key="x")
    refusal(p, Sec_WebSocket_Protocol=offered(given[2]), Origin="null")
    own_server.stop()
    log = own_server.log.read_bytes()
    assert b"/events" in log
    for secret in (*given, p.api.token):
        secret = secret.encode()
        assert secret not in log
        for path in own_server.data.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path


@pytest.mark.parametrize("fault", ["ticket.used_twice", "ticket.lives_on"])
def test_without_the_rule_it_would_be_noticed(tmp_path, fault):
    """lives_on: what is used up is one whose time is over."""
    server = Drayd(tmp_path, env={"DRAY_FAULT": fault})
    try:
        p = Project.create(server, server.api(server.owner_token), "p")
        given = ticket(p.api)
        for _ in range(2):
            with Stream(server.address, "/events", None, Sec_WebSocket_Protocol=offered(given)) as s:
                assert s.status == 101
    finally:
        server.stop()
