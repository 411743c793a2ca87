"""A proxy that knows where a message of an event stream begins and ends, in WebSocket frames and in text/event-stream, and does to each what it is told:
let it pass, drop it, double it, hold it back until others have passed, or cut the line before, behind or within it.  All else crosses as it is.

decide(line, n, frame) -> what is sent in the place of the line's n-th message: a list of bytes; or it raises Cut.
"""
import select
import socket
import struct
import threading

PIECE = 256 * 1024


class Cut(Exception):
    """The line ends, after these bytes."""

    def __init__(self, last=b""):
        super().__init__()
        self.last = last


def websocket_frame(data):
    """(length of the first whole frame or 0, whether it is a message)"""
    if len(data) < 2:
        return 0, False
    n, head = data[1] & 0x7f, 2
    if n == 126 and len(data) >= 4:
        (n,), head = struct.unpack(">H", data[2:4]), 4
    elif n == 127 and len(data) >= 10:
        (n,), head = struct.unpack(">Q", data[2:10]), 10
    elif n >= 126:
        return 0, False
    return (head + n if len(data) >= head + n else 0), data[0] & 15 == 1


def sse_event(data):
    return data.find(b"\n\n") + 2 if b"\n\n" in data else 0, True


class Line:
    """A connection, and ours to the server for it.  .held is the policy's."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.head, self.data, self.split = b"", b"", None
        self.asked = b""       # the request's head
        self.is_events = None
        self.n, self.held = 0, []
        self.moves = threading.Event()
        self.moves.set()

    def up(self, data):
        if self.is_events is None:
            self.asked += data
            line = self.asked.split(b"\r\n", 1)[0]
            if b"\r\n" in self.asked:
                self.is_events = line.startswith(b"GET ") and line.split(b" ")[1].split(b"?")[0].endswith(b"/events")
        self.server.sendall(data)

    def down(self, data):
        if not self.is_events:
            self.client.sendall(data)
            return
        self.data += data
        if self.split is None and not self.answer_head():
            return
        while self.split:
            length, is_message = self.split(self.data)
            if not length:
                return
            frame, self.data = self.data[:length], self.data[length:]
            for piece in self.proxy.judge(self, frame) if is_message else [frame]:
                self.client.sendall(piece)
        self.client.sendall(self.data)
        self.data = b""

    def answer_head(self):
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if not end:
            return False
        self.client.sendall(head + end)
        self.data = rest
        self.split = websocket_frame if head.startswith(b"HTTP/1.1 101") else sse_event if b"text/event-stream" in head else False
        return True

    def run(self):
        poll = select.poll()
        to = {self.client.fileno(): (self.client, self.up), self.server.fileno(): (self.server, self.down)}
        for fd in to:
            poll.register(fd, select.POLLIN)
        try:
            while True:
                for fd, _ in poll.poll():
                    self.moves.wait()
                    source, hand_on = to[fd]
                    data = source.recv(PIECE)
                    if not data:
                        return
                    hand_on(data)
        except Cut as cut:
            self.client.sendall(cut.last)
        except OSError:
            pass

    def cut(self):
        self.moves.set()
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class EventsProxy:
    """Hand it to Device or Stream in the server's place."""

    def __init__(self, server, decide=None):
        self.server, self.decide = server, decide
        self.lock = threading.Lock()
        self.lines, self.closed, self.frames = set(), False, []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.socket.getsockname()
        self.url = "http://127.0.0.1:%d" % self.address[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.cut()

    def project(self, *args):
        return self.server.project(*args)

    def device(self, *args):
        return self.server.device(*args)

    def accept(self):
        while not self.closed:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        try:
            server = socket.create_connection(self.server.address)
        except OSError:
            client.close()
            return
        line = Line(self, client, server)
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.lines.add(line)
        try:
            line.run()
        except OSError:
            pass
        with self.lock:
            self.lines.discard(line)
        for s in (client, server):
            s.close()

    def judge(self, line, frame):
        with self.lock:  # a policy may hold a random generator
            self.frames.append(frame)
            line.n += 1
            return self.decide(line, line.n - 1, frame) if self.decide else [frame]

    def freeze(self):
        """The lines that are there stand still from now on, without an end, as when a network has gone; new ones pass."""
        with self.lock:
            for line in self.lines:
                line.moves.clear()

    def calm(self):
        """From now on everything passes; streams begin anew."""
        with self.lock:
            self.decide = None
        self.cut()

    def cut(self, events_only=False):
        with self.lock:
            lines = list(self.lines)
        for line in lines:
            if line.is_events or not events_only:
                line.cut()


class Weather:
    """Of the messages, every fourth or so is lost, doubled or late, and now and then the line goes with one, whole or in its middle."""

    def __init__(self, rng, cuts=0.02):
        self.rng, self.cuts = rng, cuts
        self.done = {"passed": 0, "dropped": 0, "doubled": 0, "late": 0, "cut": 0}

    def note(self, what, pieces):
        self.done[what] += 1
        return pieces

    def __call__(self, line, n, frame):
        roll = self.rng.random()
        if roll < self.cuts:
            self.note("cut", None)
            raise Cut(frame[:self.rng.randrange(len(frame) + 1)])
        late, line.held = line.held, []
        if roll < 0.22:
            return self.note("dropped", late)
        if roll < 0.36:
            return self.note("doubled", [frame, *late, frame])
        if roll < 0.55:
            line.held = [*late, frame] if len(late) < 3 else [frame]  # behind those that come next, in any order
            self.rng.shuffle(line.held)
            return self.note("late", [] if len(late) < 3 else late)
        return self.note("passed", [frame, *late])
