"""A real browser as the peer: Debian's Chromium opens a page of the server's origin, which trades its token for a ticket and listens.

drayd has no page of its own, so a front serves one and passes everything else on to drayd, as a proxy does: the page is of the origin that drayd sees in
Host.  What the page has to say it posts to the front.
"""
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time

import pytest

CHROMIUM = shutil.which("chromium")
PATIENCE = 60
pytestmark = [pytest.mark.skipif(os.environ.get("DRAY_CAMPAIGN") != "full", reason="DRAY_CAMPAIGN=full runs it"),
              pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; tools/setup.sh full installs it")]

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>listens</title><script>
const said = %s;
let told = Promise.resolve();  // one after the other, else a later one may overtake
const tell = what => told = told.then(() => fetch('/told', {method: 'POST', body: JSON.stringify(what)}));
const open = protocols => new Promise(done => {
  const socket = new WebSocket(`ws://${said.host || location.host}${said.target}`, protocols);
  socket.onmessage = m => tell({message: JSON.parse(m.data)});
  socket.onopen = () => tell({open: true, protocol: socket.protocol});
  socket.onclose = e => { tell({closed: e.code}); done(); };
});
(async () => {
  try {
    let ticket = said.ticket;
    if (!ticket) {
      const answer = await fetch('/events/ticket', {method: 'POST', body: JSON.stringify(said.wish),
        headers: {'Authorization': `Bearer ${said.token}`, 'Content-Type': 'application/json'}});
      ticket = (await answer.json()).ticket;
    }
    await open(['dray.v1', `ticket.${ticket}`]);
    await open(['dray.v1', `ticket.${ticket}`]);
  } catch (error) { await tell({error: String(error)}); }
  await tell({end: true});
})();
</script>"""


class Front:
    """The page at /page, what it says at /told; the rest is drayd's."""

    def __init__(self, server, **said):
        self.server, self.told = server, queue.Queue()
        self.page = (PAGE % json.dumps(said)).encode()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            got = client.recv(65536)
            if not got:
                client.close()
                return
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        if path in (b"/page", b"/told", b"/favicon.ico"):
            self.answer(client, head, body, path)
        else:
            if b"upgrade: websocket" not in head.lower():  # the browser's next request on this line may be for the front
                data = data.replace(b"Connection: keep-alive", b"Connection: close", 1)
            self.pass_on(client, data)

    def answer(self, client, head, body, path):
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += client.recv(65536)
        if path == b"/told":
            self.told.put(json.loads(body))
        text = self.page if path == b"/page" else b""
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        client.close()

    def pass_on(self, client, data):
        server = socket.create_connection(self.server.address)
        server.sendall(data)
        threading.Thread(target=self.pump, args=(client, server), daemon=True).start()
        self.pump(server, client)

    @staticmethod
    def pump(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, to):
                s.close()

    def next(self, *kinds, seconds=PATIENCE):
        """The next that the page says which has one of these; a page that fails fails the test."""
        end = time.monotonic() + seconds
        while True:
            said = self.told.get(timeout=max(0, end - time.monotonic()))
            assert "error" not in said, said
            if set(kinds) & set(said):
                return said

    def message(self, kind):
        end = time.monotonic() + PATIENCE
        while True:
            message = self.next("message", seconds=end - time.monotonic())["message"]
            if message["type"] == kind:
                return message


class Browser:
    def __init__(self, folder, url):
        command = [CHROMIUM, "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-extensions",
                   "--disable-features=OptimizationHints,OnDeviceModel,Vulkan,Translate", f"--user-data-dir={folder}/profile", "--remote-debugging-port=0", url]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")
        self.log = open(folder / "chromium.log", "wb")
        self.proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
                                     env={**os.environ, "HOME": str(folder)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        try:
            self.proc.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()


def test_a_page_listens(server, project, tmp_path):
    """hello, then a change after a commit; then the device is revoked; and the same ticket opens nothing more."""
    made = project.owner.ok("POST", project.base + "/devices", {"name": "browser"}, status=201)
    front = Front(server, token=made["token"], wish={"project": project.id}, target=project.base + "/events")
    with Browser(tmp_path, f"http://{front.host}/page"):
        assert front.next("open") == {"open": True, "protocol": "dray.v1"}
        hello = front.message("hello")
        assert hello["project"] == project.id
        f = project.put("ünïcödé <b>", b"1")
        change = front.message("change")
        assert change["since"] == hello["cursor"] and change["added"][0]["path"] == "ünïcödé <b>"
        assert change["cursor"] == f"{f['version']}.{hello['epoch']}"
        project.owner.ok("DELETE", f"{project.base}/devices/{made['id']}", status=204)
        assert front.next("closed")["closed"] == 1008
        assert front.next("open", "closed")["closed"] == 1006, "refused before it was open"
        assert front.next("end")


def test_a_page_of_another_origin_gets_nothing(server, project, tmp_path):
    """It has got hold of a ticket, and still the handshake is refused; who may use the ticket can afterwards."""
    given = project.api.ok("POST", "/events/ticket", {}, status=201)["ticket"]
    front = Front(server, ticket=given, host=server.listen, target="/events")
    with Browser(tmp_path, f"http://{front.host}/page"):
        for _ in range(2):
            assert front.next("open", "closed")["closed"] == 1006
        assert front.next("end")
