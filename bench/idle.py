"""What a device costs that has nothing to do: requests and bytes of an agent with its stream open, counted on the line, beside a client that polls.

BENCH_IDLE_S says how long is counted, 600 by default; the rows are for an hour, scaled.  That is fair because all that an idle agent and its server
say comes round: a heartbeat each 25 s, and a pass each ten minutes, give or take a quarter.  A poll is counted once and costs the same each time.
"""
import json
import os
import select
import socket
import threading
import time

from rig import ask, drayd, link, row
from watch import agent, wait_for

COUNTED_S = int(os.environ.get("BENCH_IDLE_S", "600"))
HOUR_S, POLL_S, CHANGES = 3600, 5, 30


class Line:
    """A relay that counts: requests by the request lines that it sees, and all bytes, both ways."""

    def __init__(self, server):
        self.server, self.requests, self.bytes = server, 0, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.socket.getsockname()
        self.url = f"http://{self.host}:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        server = socket.create_connection((self.server.host, int(self.server.port)))
        to = {client: server, server: client}
        while True:
            for source in select.select(list(to), [], [])[0]:
                data = source.recv(65536)
                if not data:
                    client.close()
                    server.close()
                    return
                self.bytes += len(data)
                self.requests += data.count(b" HTTP/1.1\r\n") if source is client else 0
                to[source].sendall(data)

    def device(self, name, project):
        return self.server.device(name, project)

    def count(self, what):
        """(requests, bytes) while ${what} runs."""
        before = self.requests, self.bytes
        what()
        return self.requests - before[0], self.bytes - before[1]


def poller(server, project):
    """Its line, and a poll: what `changes` brings since the last one."""
    line, token, at = Line(server), server.device("poller", project), {}
    connection = type(server.connect())(line.host, line.port)

    def poll():
        since = f"?since={at['cursor']}" if at else ""
        page = ask(connection, token, "GET", f"/projects/{project}/files/changes{since}")
        at["cursor"] = page["last_sync"]
        return page

    poll()
    return line, connection, token, poll


def bench_idle(tmp):
    folder = tmp / "a"
    folder.mkdir()
    with drayd(tmp) as server:
        project = server.project("idle")
        line = Line(server)
        link(line, project, "agent", folder)
        with agent(folder):
            put(server, project, 0)
            wait_for((folder / "f0").exists)
            time.sleep(5)  # until it has nothing more to do
            requests, sent = line.count(lambda: time.sleep(COUNTED_S))
            polling, connection, token, poll = poller(server, project)  # now: drayd ends a connection that rests for a minute
            poll()
            polls, polled = polling.count(poll)
            an_hour, of_polls = HOUR_S / COUNTED_S, HOUR_S / POLL_S
            row(f"requests of an idle agent in an hour ({COUNTED_S} s counted)", requests * an_hour, "", polls * of_polls, "polling every 5 s")
            row("  bytes, both ways", sent * an_hour / 1024, "KiB", polled * of_polls / 1024, "polling every 5 s")
            _, told = line.count(lambda: [change(server, project, folder, i) for i in range(1, CHANGES + 1)])
            _, found = polling.count(lambda: [fetch(server, project, connection, token, poll, i) for i in range(CHANGES)])
            row("bytes for a change of 1 KiB that the agent fetches", told / CHANGES, "B", found / CHANGES, "poll and fetch")


def put(server, project, n):
    owner = server.connect()
    owner.request("PUT", f"/projects/{project}/content/f{n}", os.urandom(1024), {"Authorization": f"Bearer {server.owner}"})
    json.loads(owner.getresponse().read())
    owner.close()


def change(server, project, folder, n):
    """Until the agent has it, and has said so to the server: its place."""
    put(server, project, n)
    wait_for((folder / f"f{n}").exists)
    time.sleep(0.3)


def fetch(server, project, connection, token, poll, n):
    put(server, project, 1000 + n)
    found = poll()["added"][-1]["path"]
    connection.request("GET", f"/projects/{project}/content/{found}", headers={"Authorization": f"Bearer {token}"})
    connection.getresponse().read()
