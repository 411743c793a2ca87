"""A proxy that does to HTTP what networks do: it cuts, stalls, trickles, flips a bit, loses an answer, answers for the server, or asks again.

It reads the framing, so that a fault can be put into any byte of one request or its answer, and counts what crossed it.  What is to
go wrong is asked for each request: decide(request) -> Fault or None.  Only what dray's client sends is understood: HTTP/1.1, one request
at a time, Content-Length.
"""
import dataclasses
import json
import random
import re
import select
import socket
import struct
import threading
import time

PIECE = 256 * 1024
PATIENCE = 120  # seconds that a line may lie still before a test is taken to hang


@dataclasses.dataclass
class Fault:
    """One thing that goes wrong with one request.

    kind   cut (FIN), reset (RST), stall (not a byte more, and no FIN), pause (as long as .seconds), trickle (.length bytes in small
           pieces), flip (one bit of the body), lost (the request arrives, the answer does not), answer (.status instead of the server's,
           as a problem document where there is a .code), again (the same bytes reach the server once more, before the answer is passed
           on; .status becomes what it says then)
    side   up: the request's bytes, down: the answer's
    at     after how many of those bytes, head and body; of a flip: which byte of the body
    """
    kind: str
    side: str = "up"
    at: int = 0
    seconds: float = 0.3
    length: int = 20_000
    status: int = 503
    code: str = ""
    retry_after: int = 0
    struck: bool = False


class Request:
    """What crossed of one request: bytes of the bodies in each direction."""

    def __init__(self, head):
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        self.method, self.target = line.split(" ")[:2]
        self.length = length_of(head)
        self.heads = {"up": len(head), "down": 0}
        self.up = self.down = 0
        self.status = None
        self.answered = False  # to the last byte
        self.fault = None

    @property
    def resource(self):
        """chunk up, blocks up, chunk down, … : what the body is of."""
        path = self.target.split("?")[0]
        if self.method == "PUT" and re.search(r"/transfers/\w+/chunks/\d+$", path):
            return "chunk up"
        if self.method == "PUT" and path.endswith("/blocks"):
            return "list up"
        if self.method == "GET" and re.search(r"/chunks/\w+$", path) or path.endswith("/blocks/fetch"):
            return "chunk down"
        if self.method == "GET" and path.endswith("/blocks"):
            return "list down"
        return "other"

    @property
    def bulk(self):
        """Bytes that the protocol vouches for itself; the rest relies on TLS, as names and times do."""
        return {"chunk up": "up", "list up": "up", "chunk down": "down", "list down": "down"}.get(self.resource)


def length_of(head):
    found = re.search(rb"\r\ncontent-length:[ \t]*(\d+)", head, re.IGNORECASE)
    return int(found.group(1)) if found else 0


class Cut(Exception):
    """The line ends here; .how is FIN or RST."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Stream:
    """One direction of a line: splits bytes into heads and bodies."""

    def __init__(self, on_head, on_body):
        self.on_head, self.on_body = on_head, on_body
        self.head, self.left = b"", 0

    def feed(self, data):
        while data:
            if self.left:
                piece, data = data[:self.left], data[self.left:]
                self.left -= len(piece)
                self.on_body(piece, self.left == 0)
                continue
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data, self.head = self.head[:end + 4], self.head[end + 4:], b""
            self.left = self.on_head(head)


class Line:
    """One connection from a client, and ours to the server for it."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.up, self.down = Stream(self.request_head, self.request_body), Stream(self.answer_head, self.answer_body)
        self.request = None
        self.sent = {"up": 0, "down": 0}  # of this request
        self.swallow = False              # this request does not reach the server
        self.kept = b""                   # of this request, to be sent again

    # ---- framing ----

    def request_head(self, head):
        if self.proxy.down:
            raise Cut("RST")
        self.request = self.proxy.begin(head)
        self.sent = {"up": 0, "down": 0}
        self.swallow = bool(self.request.fault and self.request.fault.kind == "answer")
        self.kept = b""
        self.pass_on("up", head)
        if self.swallow and self.request.length == 0:
            self.answer_for_the_server()
        return self.request.length

    def request_body(self, piece, last):
        self.request.up += len(piece)
        self.proxy.crossed(len(piece))
        self.pass_on("up", piece, self.request.up - len(piece))
        if self.swallow and last:
            self.answer_for_the_server()

    def answer_head(self, head):
        status = int(head[9:12])
        if status == 100:
            self.pass_on("down", head)
            return 0
        self.request.status = status
        length = 0 if self.request.method == "HEAD" or status in (204, 304) else length_of(head)
        self.request.heads["down"] = len(head)
        if self.request.fault and self.request.fault.kind == "again":
            self.ask_again()
        self.pass_on("down", head)
        self.request.answered = length == 0
        return length

    def answer_body(self, piece, last):
        self.request.down += len(piece)
        self.proxy.crossed(len(piece))
        self.pass_on("down", piece, self.request.down - len(piece))
        self.request.answered = last

    def answer_for_the_server(self):
        fault = self.request.fault
        fault.struck = True
        wait = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
        body = json.dumps({"code": fault.code, "status": fault.status, "title": "Told."}) if fault.code else ""
        kind = "Content-Type: application/problem+json\r\n" if body else ""
        self.client.sendall(f"HTTP/1.1 {fault.status} Told\r\n{wait}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def ask_again(self):
        """As a proxy does that has lost its line to the server: nobody sees the second answer."""
        fault = self.request.fault
        fault.struck = True
        with socket.create_connection(self.proxy.server.address, timeout=PATIENCE) as s:
            s.sendall(self.kept)
            answer = b""
            while b"\r\n\r\n" not in answer or answer[9:12] == b"100":
                answer = answer.partition(b"\r\n\r\n")[2] if answer[9:12] == b"100" and b"\r\n\r\n" in answer else answer
                piece = s.recv(PIECE)
                if not piece:
                    return
                answer += piece
            fault.status = int(answer[9:12])

    # ---- what goes wrong ----

    def pass_on(self, side, data, body_at=None):
        """Send ${data} on, unless something happens to it; ${body_at}: which byte of the body it begins with."""
        to = self.server if side == "up" else self.client
        fault = self.request.fault
        if side == "up" and self.swallow:
            return
        if fault and fault.kind == "again":
            self.kept += data if side == "up" else b""
            to.sendall(data)
            return
        if fault and fault.kind == "lost" and side == "down":
            fault.struck = True
            raise Cut("RST")
        if fault and fault.side == side and not fault.struck:
            data = self.strike(fault, side, data, body_at, to)
        to.sendall(data)
        self.sent[side] += len(data)

    def strike(self, fault, side, data, body_at, to):
        """What is left of ${data} to be sent as it is."""
        if fault.kind == "flip":
            if body_at is None or not body_at <= fault.at < body_at + len(data):
                return data
            fault.struck = True
            data = bytearray(data)
            data[fault.at - body_at] ^= 1 << fault.at % 8
            return bytes(data)
        before = fault.at - self.sent[side]
        if before > len(data):
            return data
        fault.struck = True
        before = max(before, 0)
        to.sendall(data[:before])
        self.sent[side] += before
        if fault.kind == "trickle":
            return self.trickle(data[before:], fault.length, to, side)
        if fault.kind == "pause":
            time.sleep(fault.seconds)
            return data[before:]
        if fault.kind == "stall":
            self.wait_for_the_client()
        raise Cut("RST" if fault.kind == "reset" else "FIN")

    def trickle(self, data, length, to, side):
        while data and length > 0:
            n = random.randint(1, 600)
            to.sendall(data[:n])
            self.sent[side] += len(data[:n])
            data, length = data[n:], length - n
            time.sleep(0.001)
        return data

    def wait_for_the_client(self):
        """Not a byte more from us, in neither direction, until the client has had enough, or the proxy is healed."""
        poll = select.poll()
        poll.register(self.client, select.POLLRDHUP)
        end = time.monotonic() + PATIENCE
        while not self.proxy.closed and time.monotonic() < end:
            if poll.poll(100):
                return

    # ---- moving ----

    def run(self):
        how = "FIN"
        try:
            self.move()
        except Cut as cut:
            how = cut.how
        except OSError:
            how = "RST"  # one side is gone: a server that was killed resets its lines
        for s in (self.client, self.server):
            if how == "RST":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        self.proxy.ended(self)

    def move(self):
        streams = {self.client: self.up, self.server: self.down}
        poll = select.poll()
        for s in streams:
            poll.register(s, select.POLLIN)
        by_fd = {s.fileno(): s for s in streams}
        while not self.proxy.closed:
            for fd, _ in poll.poll(200):
                data = by_fd[fd].recv(PIECE)
                if not data:
                    return
                streams[by_fd[fd]].feed(data)


class Proxy:
    """Between devices and a server: hand it to Device in the server's place."""

    def __init__(self, server, decide=None):
        self.server, self.decide = server, decide
        self.lock = threading.Lock()
        self.requests, self.lines, self.threads = [], set(), []
        self.bytes, self.watch = 0, None
        self.closed = False
        self.down = False  # the server is about to die: no request begins, as its lines close one after the other
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.start(self.accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True
        self.socket.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join()
        self.socket.close()

    def project(self, *args):
        return self.server.project(*args)

    def device(self, *args):
        return self.server.device(*args)

    def start(self, what):
        t = threading.Thread(target=what, daemon=True)
        with self.lock:
            self.threads = [old for old in self.threads if old.is_alive()] + [t]
        t.start()

    def accept(self):
        while not self.closed:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.start(lambda client=client: self.connect(client))

    def connect(self, client):
        """Nothing is read from a client for whom there is no server: what it could not send was not sent."""
        try:
            server = socket.create_connection(self.server.address, timeout=PATIENCE)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        for s in (client, server):
            s.settimeout(PATIENCE)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(self, client, server)
        with self.lock:
            self.lines.add(line)
        line.run()

    def ended(self, line):
        with self.lock:
            self.lines.discard(line)

    def begin(self, head):
        request = Request(head)
        with self.lock:  # decide may hold a random generator
            self.requests.append(request)
            if self.decide:
                request.fault = self.decide(request)
        return request

    # ---- counting ----

    def crossed(self, n):
        with self.lock:
            self.bytes += n
            due = self.watch if self.watch and self.bytes >= self.watch[0] else None
            if due:
                self.watch = None
        if due:
            due[1].set()

    def after(self, n):
        """An event that is set when ${n} bytes of bodies have crossed from now on."""
        event = threading.Event()
        with self.lock:
            self.watch = (self.bytes + n, event)
        return event

    def forget(self):
        with self.lock:
            self.requests.clear()
            self.bytes = 0

    def total(self, resource):
        """Bytes of bodies of ${resource} that crossed, whether they were of use or not."""
        with self.lock:
            return sum(r.up if resource.endswith("up") else r.down for r in self.requests if r.resource == resource)

    def told(self, resource):
        """Each request of ${resource}, to find out what became of it: where, length, bytes up and down, status (None: no answer came)."""
        with self.lock:
            return [(r.target.rsplit("/", 1)[-1], r.length, r.up, r.down, r.status if r.answered else None) for r in self.requests
                    if r.resource == resource]

    def struck(self):
        """{kind: how many} of the faults that happened."""
        with self.lock:
            kinds = [r.fault.kind for r in self.requests if r.fault and r.fault.struck]
        return {k: kinds.count(k) for k in sorted(set(kinds))}
