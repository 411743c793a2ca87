"""A WebSocket client that can do wrong: handshake and frames are written by hand (RFC 6455)."""
import base64
import hashlib
import json
import os
import socket
import struct

PATIENCE = 30
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def handshake(target, token, key=None, **replaced):
    """The request's bytes; a field of None is left out."""
    fields = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(), "Authorization": token and f"Bearer {token}"}
    fields |= {name.replace("_", "-"): value for name, value in replaced.items()}
    lines = [f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v is not None), "", ""]
    return "\r\n".join(lines).encode()


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
    """${length}: the bytes that say it, where they are not to be the right ones."""
    n = len(payload)
    if length is None:
        length = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
    head = bytes([fin << 7 | rsv << 4 | opcode, length[0] | masked << 7]) + length[1:]
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class Closed(Exception):
    """The server has closed: its code, or None where there was no close frame."""

    def __init__(self, code, reason=""):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Stream:
    def __init__(self, address, target, token, rcvbuf=None, behind=b"", **replaced):
        self.socket = socket.socket()
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.data = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(handshake(target, token, key, **replaced) + behind)
        while b"\r\n\r\n" not in self.data:
            got = self.socket.recv(65536)
            assert got, self.data
            self.data += got
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head.decode().splitlines()[1:])}
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
            assert self.fields["sec-websocket-accept"] == accept
            assert self.fields["upgrade"] == "websocket" and self.fields["connection"].lower() == "upgrade"
            assert "sec-websocket-extensions" not in self.fields and self.fields.get("sec-websocket-protocol", "dray.v1") == "dray.v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def need(self, n):
        while len(self.data) < n:
            try:
                got = self.socket.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed(None)
            self.data += got
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def read_frame(self):
        first, second = self.need(2)
        assert first & 0xf0 == 0x80 and not second & 0x80, "whole frames, no extension, no mask"
        n = second
        if n == 126:
            (n,) = struct.unpack(">H", self.need(2))
        elif n == 127:
            (n,) = struct.unpack(">Q", self.need(8))
        return first & 15, self.need(n)

    def send(self, data):
        self.socket.sendall(data)

    def say(self, message):
        self.send(frame(TEXT, message if isinstance(message, bytes) else json.dumps(message).encode()))

    def next(self, *types):
        """The next message, of these types if any are given; pings are answered on the way."""
        while True:
            opcode, payload = self.read_frame()
            if opcode == CLOSE:
                raise Closed(struct.unpack(">H", payload[:2])[0] if payload else None, payload[2:].decode())
            if opcode == PING:
                self.send(frame(PONG, payload))
            elif opcode == TEXT:
                message = json.loads(payload.decode())
                if not types or message["type"] in types:
                    return message

    def end(self):
        """Read to the end; how it closed."""
        try:
            while True:
                self.next()
        except Closed as closed:
            return closed


def subscribe(*projects):
    """Each an id, or (id, cursor)."""
    return {"subscribe": [{"project": p} if isinstance(p, str) else {"project": p[0], "since": p[1]} for p in projects]}
