"""The HTTP engine over raw sockets: framing, order, deadlines, bodies, stopping.

Every refused request is sent as the first of a connection, as the second after an answered one, and pipelined behind one; each
time there must be exactly one answer to it, a closed connection, and no answer to the probe that follows.
"""
import json
import os
import re
import resource
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("DRAY_BUILD", Path(__file__).resolve().parents[2] / "build/debug"))
ECHO = BUILD / "tests/blackbox/http_echo"
HOST = b"Host: localhost\r\n"
OK = b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n"
PROBE = b"GET /target?PROBE HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /hello HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
PATIENCE = 30  # seconds until a test gives up; nothing waits for it to pass


class Server:
    def __init__(self, *args, limits=None):
        self.proc = subprocess.Popen([ECHO, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True, preexec_fn=limits)
        host, port = self.proc.stdout.readline().strip().rsplit(":", 1)
        self.host, self.port = host.strip("[]"), int(port)

    def connect(self, host=None, rcvbuf=None):
        s = socket.socket(socket.AF_INET6 if ":" in (host or self.host) else socket.AF_INET)
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(PATIENCE)
        s.connect((host or self.host, self.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def ask(self, data):
        """Send, and read until the server closes."""
        with self.connect() as s:
            s.sendall(data)
            return read_all(s)

    def get(self, path):
        (answer,) = parse(self.ask(b"GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n" % (path.encode(), HOST)))
        return answer

    def stats(self):
        return [int(n) for n in self.get("/stats").body.split()]

    def wait_until_over(self, heads):
        """Wait until ${heads} requests were begun and all of them, but for the one that asks, are done."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            begun, done, _ = self.stats()
            if begun >= heads and done == begun - 1:
                return
            time.sleep(0.01)
        raise AssertionError(f"{begun} begun, {done} done")

    def stop(self):
        out, err = self.proc.communicate(timeout=PATIENCE)
        assert self.proc.returncode == 0, err
        assert "runtime error" not in err and "Sanitizer" not in err, err
        heads, dones = out.split()
        assert heads == dones
        return err


@contextmanager
def server(*args, **kw):
    s = Server(*args, **kw)
    try:
        yield s
        if s.proc.poll() is None:
            s.stop()
    finally:
        s.proc.kill()
        s.proc.wait()


@pytest.fixture(scope="session")
def echo():
    with server("drain=500") as s:
        yield s


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def code(self):
        if "problem" not in self.fields.get("content-type", ""):
            return None
        problem = json.loads(self.body)
        assert problem["type"] == "urn:dray:error:" + problem["code"]
        return problem["code"]


def read_all(s):
    data = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return data + b"<RESET>"
        if not piece:
            return data
        data += piece


def parse_one(data, head=False):
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("ascii").split("\r\n")
    match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", lines[0])
    assert match, lines[0]
    fields = {}
    for line in lines[1:]:
        name, value = line.split(": ", 1)
        assert name.lower() not in fields, f"{name} twice"
        fields[name.lower()] = value
    status = int(match[1])
    length = 0 if head or status in (100, 204, 304) else int(fields["content-length"])
    if len(data) < end + 4 + length:
        return None
    return Answer(status, fields, data[end + 4:end + 4 + length]), data[end + 4 + length:]


def parse(data):
    answers = []
    while data:
        one = parse_one(data)
        assert one, f"not an answer: {data[:200]!r}"
        answers.append(one[0])
        data = one[1]
    return answers


def read_answers(s, count, data=b""):
    answers = []
    while len(answers) < count:
        one = parse_one(data)
        if one:
            answers.append(one[0])
            data = one[1]
            continue
        piece = s.recv(65536)
        assert piece, f"closed after {len(answers)} answers, {data[:100]!r}"
        data += piece
    assert not data
    return answers


# ---- what is refused ---------------------------------------------------------------------------------------------------


def get(fields=b"", target=b"/hello", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n" + HOST + fields + b"\r\n"


def put(fields, body=b"", path=b"/echo"):
    return get(fields, path, b"PUT") + body


def chunked(body, path=b"/stream"):
    return put(b"Transfer-Encoding: chunked\r\n", body, path)


FRAMING = {
    "89 CL and TE": put(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "89 TE and CL": put(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "90 two lengths": put(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"abcdef"),
    "90 same length twice": put(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"abcde"),
    "90 list": put(b"Content-Length: 5, 5\r\n", b"abcde"),
    **{f"91 {v!r}": put(b"Content-Length: " + v + b"\r\n", b"abcde")
       for v in (b"+5", b"-1", b"0x5", b"5 ", b"05", b"5e1", b"", b"18446744073709551621", b"9223372036854775808")},
    **{f"92 {v!r}": put(b"Transfer-Encoding:" + v + b"\r\n", b"0\r\n\r\n")
       for v in (b" chunked, identity", b" chunked, chunked", b" gzip, chunked", b"\tchunked", b" \x0bchunked", b" chunked ", b"")},
    "92 TE twice": put(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "93 TE in 1.0": get(b"Transfer-Encoding: chunked\r\n", b"/echo", b"PUT", b"HTTP/1.0") + b"0\r\n\r\n",
    **{f"94 chunk {v!r}": chunked(v + b"\r\nhello\r\n0\r\n\r\n")
       for v in (b"0x5", b"+5", b"5_0", b"00000000000000005", b"", b"-5", b"5 ", b" 5", b"fffffffffffffff5")},
    "94 whole": chunked(b"0x5\r\nhello\r\n0\r\n\r\n", b"/echo"),
    "95 extension": chunked(b"5;" + b"x" * 65536 + b"\r\nhello\r\n0\r\n\r\n"),
    "95 extensions in all": chunked(b"1;" + b"x" * 200 + b"\r\n.\r\n0;" + b"x" * 57 + b"\r\n\r\n"),
    "95 LF in extension": chunked(b"5;\nhello\r\n0\r\n\r\n"),
    "96 bare LF": b"GET /hello HTTP/1.1\nHost: localhost\n\n",
    "96 bare LF in a field": b"GET /hello HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "96 bare LF at the end": b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\n",
    "96 bare CR": get(b"X: a\rb\r\n"),
    "96 bare CR in the line": b"GET /hello HTTP/1.1\rX: y\r\n" + HOST + b"\r\n",
    "97 no CRLF after data": chunked(b"5\r\nhello0\r\n\r\n"),
    "97 LF after data": chunked(b"5\r\nhello\n0\r\n\r\n"),
    "97 length in trailer": chunked(b"0\r\nContent-Length: 5\r\n\r\n"),
    "97 TE in trailer": chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "97 authorization in trailer": chunked(b"5\r\nhello\r\n0\r\nX: y\r\nauthorization: x\r\n\r\n"),
    "97 long trailer": chunked(b"0\r\nX: " + b"x" * 4100 + b"\r\n\r\n"),
    "98 space before colon": b"GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "98 fold": get(b"X: a\r\n b\r\n"),
    "98 fold at first": b"GET /hello HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
    "98 no colon": get(b"X\r\n"),
    "98 no name": get(b": x\r\n"),
    "99 NUL": get(b"X: a\0b\r\n"),
    "99 control": get(b"X: a\x08b\r\n"),
    "99 DEL": get(b"X: a\x7f\r\n"),
    "99 name": get(b"X(y): z\r\n"),
    "99 name in Latin-1": get(b"X\xe9: z\r\n"),
    "100 no Host": b"GET /hello HTTP/1.1\r\n\r\n",
    "100 two Hosts": get(b"Host: localhost\r\n"),
    "100 Host with a path": b"GET /hello HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    "100 Host with userinfo": b"GET /hello HTTP/1.1\r\nHost: u@localhost\r\n\r\n",
    "100 Host list": b"GET /hello HTTP/1.1\r\nHost: localhost, evil\r\n\r\n",
    "102 two spaces": b"GET  /hello HTTP/1.1\r\n" + HOST + b"\r\n",
    "102 two spaces more": b"GET /hello  HTTP/1.1\r\n" + HOST + b"\r\n",
    "102 tab": b"GET\t/hello HTTP/1.1\r\n" + HOST + b"\r\n",
    "102 lower case": get(method=b"get"),
    "102 1.2": get(version=b"HTTP/1.2"),
    "102 0.9": get(version=b"HTTP/0.9"),
    "102 no version": b"GET /hello\r\n",
    "102 leading CRLF": b"\r\n" + get(),
    "103 other host": get(target=b"http://evil.example/hello"),
    "112 two authorizations": get(b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

OTHER = {
    "92 unknown coding": (put(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501, "not_implemented"),
    "92 identity": (put(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"), 501, "not_implemented"),
    "101 rebinding": (b"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "misdirected"),
    "102 2.0": (get(version=b"HTTP/2.0"), 505, "version_not_supported"),
    "103 *": (get(target=b"*", method=b"OPTIONS"), 400, "url_invalid"),
    "103 authority-form": (get(target=b"localhost:80"), 400, "url_invalid"),
    "103 CONNECT": (get(target=b"localhost:80", method=b"CONNECT"), 405, "method_not_allowed"),
    "103 fragment": (get(target=b"/hello#x"), 400, "url_invalid"),
    "103 not ASCII": (get(target=b"/h\xc3\xa9llo"), 400, "url_invalid"),
    "104 long URI": (get(target=b"/" + b"x" * 8192), 414, "uri_too_long"),
    "104 long URI without end": (b"GET /" + b"x" * 8192, 414, "uri_too_long"),
    "105 many fields": (get(b"X: y\r\n" * 64), 431, "headers_too_large"),
    "105 large head": (get(b"X: " + b"y" * 16384 + b"\r\n"), 431, "headers_too_large"),
    "106 TRACE": (get(method=b"TRACE"), 405, "method_not_allowed"),
    "106 TRACK": (get(method=b"TRACK"), 405, "method_not_allowed"),
    "106 DEBUG": (get(method=b"DEBUG"), 405, "method_not_allowed"),
    "106 unknown": (get(method=b"BREW"), 501, "not_implemented"),
    "109 expectation": (put(b"Content-Length: 5\r\nExpect: x\r\n", b"abcde"), 417, "expectation_failed"),
    "112 no length": (get(method=b"PUT", target=b"/echo"), 411, "length_required"),
    "117 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"),
    "118 preflight": (get(b"Origin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n", method=b"OPTIONS"), 403,
                      "origin_forbidden"),
    "118 null origin": (get(b"Origin: null\r\n"), 403, "origin_forbidden"),
    "GET with a body": (get(b"Content-Length: 5\r\n") + b"abcde", 400, "body_not_allowed"),
    "coded body": (put(b"Content-Length: 5\r\nContent-Encoding: gzip\r\n", b"abcde"), 415, "encoding_unsupported"),
    "too large": (put(b"Content-Length: 11\r\n", b"x" * 11, b"/small"), 413, "body_too_large"),
    "too large, declared only": (put(b"Content-Length: 4000000000\r\nExpect: 100-continue\r\n", b"", b"/echo"), 413,
                                 "body_too_large"),
    "too large, chunked": (chunked(b"b\r\n01234567890\r\n0\r\n\r\n", b"/small"), 413, "body_too_large"),
    "stopped by the service": (put(b"Content-Length: 100000\r\n", b"hello", b"/abort"), 422, "chunk_invalid"),
}
REFUSED = {**{k: (v, 400, "framing") for k, v in FRAMING.items()}, **OTHER}


def check_refusal(answer, status, code):
    assert (answer.status, answer.code) == (status, code)
    assert answer.fields["connection"] == "close"
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.fields["x-content-type-options"] == "nosniff"
    assert answer.fields["cache-control"] == "no-store"
    assert json.loads(answer.body)["request_id"] == answer.fields["dray-request-id"]
    assert not any(f.startswith("access-control") for f in answer.fields)
    if status == 405:
        assert "GET" in answer.fields["allow"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_first_request(echo, name):
    data, status, code = REFUSED[name]
    answers = parse(echo.ask(data + PROBE))
    assert len(answers) == 1
    check_refusal(answers[0], status, code)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_second_request(echo, name):
    data, status, code = REFUSED[name]
    with echo.connect() as s:
        s.sendall(OK)
        assert read_answers(s, 1)[0].body == b"hello"
        s.sendall(data + PROBE)
        answers = parse(read_all(s))
    assert len(answers) == 1
    check_refusal(answers[0], status, code)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_pipelined(echo, name):
    data, status, code = REFUSED[name]
    answers = parse(echo.ask(OK + put(b"Content-Length: 3\r\n", b"abc") + data + PROBE))
    assert [a.body for a in answers[:2]] == [b"hello", b"abc"]
    assert len(answers) == 3
    check_refusal(answers[2], status, code)


@pytest.mark.parametrize("name", [n for n in REFUSED if len(REFUSED[n][0]) < 400])
def test_refused_byte_by_byte(echo, name):
    data, status, code = REFUSED[name]
    with echo.connect() as s:
        try:
            for i in range(len(data)):
                s.sendall(data[i:i + 1])
        except OSError:
            pass  # refused before its end
        (answer,) = parse(read_all(s).removesuffix(b"<RESET>"))
        check_refusal(answer, status, code)


# ---- what is served ----------------------------------------------------------------------------------------------------


def test_ignored_headers(echo):
    data = get(b"X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /x\r\nX-Rewrite-URL: /x\r\nX-Forwarded-For: 1.2.3.4\r\n"
               b"Forwarded: for=1.2.3.4\r\nUpgrade: h2c\r\nConnection: close, Upgrade, HTTP2-Settings\r\n", b"/target?q")
    (answer,) = parse(echo.ask(data))
    assert answer.body == b"GET|/target?q|/target|q|127.0.0.1"


def test_absolute_form_is_reduced(echo):
    (answer,) = parse(echo.ask(b"GET http://LOCALHOST/target?q HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"))
    assert answer.body == b"GET|/target?q|/target|q|127.0.0.1"


def test_own_origin(echo):
    (answer,) = parse(echo.ask(get(b"Origin: http://localhost\r\nConnection: close\r\n")))
    assert answer.status == 200


def test_fields_of_an_answer(echo):
    answer = echo.get("/hello")
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer.fields["date"])
    assert re.fullmatch(r"[0-9a-f]{16}", answer.fields["dray-request-id"])
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["x-content-type-options"] == "nosniff"


def test_http_1_0_closes(echo):
    (answer,) = parse(echo.ask(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + PROBE))
    assert answer.body == b"hello" and answer.fields["connection"] == "close"


def test_head_has_the_length_and_no_body(echo):
    data = echo.ask(b"HEAD /file?5000 HTTP/1.1\r\n" + HOST + b"\r\nHEAD /source?7000 HTTP/1.1\r\n" + HOST + b"\r\n" + LAST)
    first, data = parse_one(data, head=True)
    second, data = parse_one(data, head=True)
    assert (first.fields["content-length"], second.fields["content-length"]) == ("5000", "7000")
    assert parse(data)[0].body == b"hello"


def test_204_has_no_length(echo):
    no_content, last = parse(echo.ask(get(target=b"/nothing") + LAST))
    assert no_content.status == 204 and "content-length" not in no_content.fields
    assert last.body == b"hello"


def test_a_service_without_an_answer(echo):
    assert (echo.get("/silent").status, echo.get("/silent").code) == (500, "internal")


def pattern(n):
    return (bytes(range(251)) * (n // 251 + 1))[:n]


@pytest.mark.parametrize("path", ["/source", "/file"])
@pytest.mark.parametrize("length", [0, 1, 131072, 131073, 9_000_000])
def test_bodies_sent(echo, path, length):
    assert echo.get(f"{path}?{length}").body == pattern(length)


def test_a_broken_source_is_seen_as_a_short_body(echo):
    data = echo.ask(get(target=b"/broken?1000000"))
    head, body = data.split(b"\r\n\r\n", 1)
    assert b"Content-Length: 1000000" in head and len(body) < 1000000


def stream_sum(data):
    total = 0
    for byte in data:
        total = (total * 31 + byte) & (2**64 - 1)
    return b"%d %d" % (len(data), total)


def as_chunks(data, size):
    out = b""
    for i in range(0, len(data), size):
        out += b"%x\r\n" % len(data[i:i + size]) + data[i:i + size] + b"\r\n"
    return out + b"0\r\n\r\n"


@pytest.mark.parametrize("length", [0, 1, 20_000, 131072, 131073, 700_000])
@pytest.mark.parametrize("size", [None, 7, 5000, 100_000])
def test_bodies_received(echo, length, size):
    if size == 7 and length > 20_000:
        pytest.skip("many small chunks are tested with fewer bytes")
    body = os.urandom(length)
    if size:
        framed, fields = as_chunks(body, size), b"Transfer-Encoding: chunked\r\n"
    else:
        framed, fields = body, b"Content-Length: %d\r\n" % length
    echoed, summed, last = parse(echo.ask(put(fields, framed) + put(fields, framed, b"/stream") + LAST))
    assert echoed.body == body
    assert summed.body == stream_sum(body)
    assert last.body == b"hello"


def test_split_at_every_byte(echo):
    data = put(b"Content-Length: 5\r\n", b"abcde") + chunked(b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", b"/echo") + LAST
    for i in range(1, len(data)):
        with echo.connect() as s:
            s.sendall(data[:i])
            s.sendall(data[i:])
            assert [a.body for a in parse(read_all(s))] == [b"abcde", b"abcde", b"hello"]


def test_one_byte_at_a_time(echo):
    data = put(b"Content-Length: 5\r\n", b"abcde") + chunked(b"3\r\nabc\r\n0\r\n\r\n") + LAST
    with echo.connect() as s:
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
        assert [a.body for a in parse(read_all(s))] == [b"abcde", stream_sum(b"abc"), b"hello"]


def test_a_thousand_pipelined(echo):
    requests = b"".join(get(target=b"/target?%d" % i) for i in range(1000))
    with echo.connect() as s:
        sender = threading.Thread(target=s.sendall, args=(requests + LAST,))
        sender.start()
        answers = parse(read_all(s))
        sender.join()
    assert [a.body.split(b"|")[3] for a in answers[:-1]] == [b"%d" % i for i in range(1000)]


def test_pipelined_requests_are_served_one_at_a_time():
    with server() as echo, echo.connect() as s:
        s.sendall(get(target=b"/gate") + get(target=b"/target?second"))
        while echo.stats()[0] < 2:  # the gate's request and the one that asks
            time.sleep(0.01)
        begun, done, _ = echo.stats()
        assert begun - done == 2  # the second of the pipeline has not begun
        open_gate(echo)
        first, second = read_answers(s, 2)
        assert first.body == b"hello" and b"second" in second.body


def open_gate(echo):
    echo.proc.stdin.write("gate\n")
    echo.proc.stdin.flush()


@pytest.mark.parametrize("half_close", [False, True])
def test_bytes_that_come_while_a_worker_is_busy_are_seen_at_once(half_close):
    """The loop is not woken for every answer; it must be for those that something waits behind."""
    with server() as echo, echo.connect() as s:
        s.sendall(get(target=b"/gate"))
        while echo.stats()[0] < 2:
            time.sleep(0.01)
        s.sendall(OK)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        time.sleep(0.1)  # the loop has seen that, and sleeps again
        began = time.monotonic()
        open_gate(echo)
        assert len(read_answers(s, 2)) == 2
        if half_close:
            assert read_all(s) == b""
        assert time.monotonic() - began < 0.4  # a loop that nobody wakes turns once a second


def test_later(echo):
    before = echo.stats()[0]
    assert echo.get("/later?3").body == b"hello"
    assert echo.stats()[0] == before + 2


# ---- expectations and early answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/echo", b"/stream"])
def test_100_continue(echo, path):
    with echo.connect() as s:
        s.sendall(put(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"", path))
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"abcde" + LAST)
        answer, last = parse(read_all(s))
        assert answer.body == (b"abcde" if path == b"/echo" else stream_sum(b"abcde"))
        assert last.body == b"hello"


def test_no_100_for_who_does_not_wait(echo):
    answer, last = parse(echo.ask(put(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"abcde") + LAST))
    assert (answer.body, last.body) == (b"abcde", b"hello")


def test_refused_expectation_never_reads_the_body(echo):
    with echo.connect() as s:
        s.sendall(put(b"Content-Length: %d\r\nExpect: 100-continue\r\n" % len(PROBE), b"", b"/early"))
        (answer,) = read_answers(s, 1)
        assert answer.status == 401 and answer.fields["connection"] == "close"
        s.sendall(PROBE)  # a body that looks like a request
        assert read_all(s) == b""


@pytest.mark.parametrize("path,status", [(b"/early", 401), (b"/small", 413)])
def test_early_answer_while_the_client_sends(echo, path, status):
    """The answer arrives whole although the client goes on sending more than we are willing to read."""
    with echo.connect() as s:
        s.sendall(put(b"Content-Length: 8000000\r\n", b"x" * 1000, path))
        (answer,) = read_answers(s, 1)
        assert answer.status == status
        with pytest.raises(OSError):  # in the end we close
            for _ in range(100):
                s.sendall(b"x" * 80000)
                time.sleep(0.001)


def test_the_drain_ends(echo):
    began = time.monotonic()
    with echo.connect() as s:
        s.sendall(put(b"Content-Length: 8000000\r\n", b"", b"/early"))
        assert read_answers(s, 1)[0].status == 401
        assert s.recv(1) == b""  # half closed at once
        while time.monotonic() - began < PATIENCE:  # and closed when 500 ms are over
            try:
                s.sendall(b"x")
            except OSError:
                break
            time.sleep(0.02)
    assert 0.4 < time.monotonic() - began < 10


# ---- peers that are slow or gone ---------------------------------------------------------------------------------------


def test_slow_head():
    """Bytes that trickle in do not buy more time."""
    with server("head=300") as echo, echo.connect() as s:
        began = time.monotonic()
        s.sendall(b"GET /hello HTTP/1.1\r\nX: ")
        s.settimeout(0.05)
        while True:
            assert time.monotonic() - began < PATIENCE
            try:
                data = s.recv(1)
                break
            except TimeoutError:
                s.sendall(b"x")
        assert 0.25 < time.monotonic() - began < 3
        s.settimeout(PATIENCE)
        (answer,) = parse((data + read_all(s)).removesuffix(b"<RESET>"))
        check_refusal(answer, 408, "timeout")


def test_slow_second_head():
    with server("head=300") as echo, echo.connect() as s:
        s.sendall(OK + b"G")
        answers = parse(read_all(s))
        assert [a.status for a in answers] == [200, 408]


def test_idle_connections_are_closed_silently():
    with server("idle=300") as echo, echo.connect() as never, echo.connect() as once:
        once.sendall(OK)
        began = time.monotonic()
        assert read_answers(once, 1)
        assert read_all(once) == b"" and read_all(never) == b""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", [b"/echo", b"/stream"])
@pytest.mark.parametrize("fields", [b"Content-Length: 4000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_slow_body(path, fields):
    """16 KiB/s over a window of 500 ms is 8 KiB; 100 bytes every 50 ms is an eighth of that."""
    with server("window=500", "drain=500") as echo, echo.connect() as s:
        s.sendall(put(fields, b"", path))
        began = time.monotonic()
        done = threading.Event()

        def drip():
            while not done.wait(0.05):
                try:
                    s.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        (answer,) = parse(read_all(s).removesuffix(b"<RESET>"))
        done.set()
        thread.join()
        assert (answer.status, answer.code) == (408, "timeout")
        assert time.monotonic() - began < 5
        echo.wait_until_over(1)


def test_a_fast_enough_body_passes_many_windows():
    with server("window=200") as echo, echo.connect() as s:
        s.sendall(put(b"Content-Length: 80000\r\n", b"", b"/stream"))
        for _ in range(16):
            s.sendall(b"x" * 5000)
            time.sleep(0.05)  # the rate is what is tested: 100 kB/s
        assert read_answers(s, 1)[0].body == stream_sum(b"x" * 80000)


def test_time_in_a_worker_is_not_the_clients():
    with server("window=100", "head=100", "stall=100", "idle=100") as echo, echo.connect() as s:
        s.sendall(put(b"Content-Length: 5\r\n", b"abcde", b"/gate"))
        time.sleep(0.5)  # longer than every deadline
        open_gate(echo)
        assert read_answers(s, 1)[0].body == b"hello"


@pytest.mark.parametrize("path", ["/source", "/file", "/echo"])
def test_reader_that_takes_nothing(path):
    with server("stall=300") as echo, echo.connect(rcvbuf=4096) as s:
        if path == "/echo":
            s.sendall(put(b"Content-Length: 8000000\r\n", b"x" * 8000000))
        else:
            s.sendall(get(target=b"%s?60000000" % path.encode()))
        echo.wait_until_over(1)
        data = read_all(s)
        assert len(data) < 60000000


def test_slow_reader_gets_everything():
    with server("stall=1000") as echo, echo.connect(rcvbuf=4096) as s:
        s.sendall(get(b"Connection: close\r\n", b"/source?1000000"))
        data = b""
        while True:
            piece = s.recv(20000)
            if not piece:
                break
            data += piece
            time.sleep(0.002)  # slower than the sender, faster than the stall
        assert parse(data)[0].body == pattern(1000000)


@pytest.mark.parametrize("data", [
    put(b"Content-Length: 1000\r\n", b"x" * 500), put(b"Content-Length: 1000\r\n", b"x" * 500, b"/stream"),
    chunked(b"100\r\nabc"), chunked(b"100\r\nabc", b"/echo"), get(target=b"/source?50000000"), get(target=b"/later?100000"),
    put(b"Content-Length: 9\r\nExpect: 100-continue\r\n"),
], ids=["whole", "stream", "chunked", "chunked whole", "source", "later", "expect"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_abort(data, how):
    """done() is called for every request, however its connection ended."""
    with server() as echo:
        for i in range(5):
            s = echo.connect()
            s.sendall(data)
            while echo.stats()[0] < 1:
                pass
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if how == "close" and b"later" in data:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a FIN alone is a half close
            s.close()
        echo.wait_until_over(6)


def test_abort_in_a_head(echo):
    for _ in range(5):
        with echo.connect() as s:
            s.sendall(b"GET /hel")
    assert echo.get("/hello").status == 200


# ---- many ----------------------------------------------------------------------------------------------------------------


def memory_kib(pid, what):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(what + r":\s+(\d+) kB", f.read())[1])


def sanitized():
    return b"__asan_init" in ECHO.read_bytes() or b"__tsan_init" in ECHO.read_bytes()


def in_parallel(count, fn):
    failures = []

    def run(i):
        try:
            fn(i)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_parallel_uploads():
    body = os.urandom(1 << 16) * 64
    want = stream_sum(body)
    with server("drain=500") as echo:
        def upload(i):
            with echo.connect() as s:
                if i % 2:
                    s.sendall(put(b"Content-Length: %d\r\n" % len(body), body, b"/stream"))
                else:
                    s.sendall(chunked(as_chunks(body, 100_000)))
                assert read_answers(s, 1)[0].body == want

        in_parallel(32, upload)
        if not sanitized():
            assert memory_kib(echo.proc.pid, "VmHWM") < 20 * 1024  # at its peak


def test_thousand_idle_connections():
    with server("connections=1100") as echo:
        before = memory_kib(echo.proc.pid, "VmRSS")
        conns = [echo.connect() for _ in range(1000)]
        for s in conns:
            s.sendall(OK)
        for s in conns:
            read_answers(s, 1)
        assert echo.get("/hello").status == 200
        if not sanitized():
            assert memory_kib(echo.proc.pid, "VmRSS") - before < 4 * 1024
        for s in conns:
            s.close()


def test_connections_max():
    with server("connections=3") as echo:
        held = [echo.connect() for _ in range(3)]
        for s in held:
            s.sendall(OK)
            read_answers(s, 1)
        with echo.connect() as s:
            (answer,) = parse(read_all(s))
            assert (answer.status, answer.code) == (503, "unavailable")
        held.pop().close()
        while True:  # until the server has seen that
            data = echo.ask(LAST)
            if parse(data.removesuffix(b"<RESET>"))[0].status == 200:
                break
        for s in held:
            s.sendall(OK)
            read_answers(s, 1)
            s.close()


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def test_connections_of_one_address():
    address = own_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has only loopback")
    with server("listen=0.0.0.0:0") as echo:
        held = [echo.connect(address) for _ in range(64)]
        for s in held:
            s.sendall(b"GET /target HTTP/1.1\r\nHost: %s\r\n\r\n" % address.encode())
            assert read_answers(s, 1)[0].body.endswith(address.encode())
        with echo.connect(address) as s:
            assert parse(read_all(s))[0].status == 503
        with echo.connect("127.0.0.1") as s:
            s.sendall(LAST)
            assert parse(read_all(s))[0].status == 200
        for s in held:
            s.close()


def test_wildcard_hosts():
    with server("listen=0.0.0.0:0", "hosts=dray.example") as echo:
        for host, status in [("10.1.2.3:8080", 200), ("[2001:db8::1]", 200), ("dray.example", 200), ("evil.example", 421)]:
            with echo.connect("127.0.0.1") as s:
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
                assert parse(read_all(s))[0].status == status


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with server("listen=[::1]:0") as echo:
        assert echo.get("/target").body.endswith(b"::1")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors():
    limit = 40
    with server("connections=1000", limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) as echo:
        conns, refused = [], 0
        for _ in range(2 * limit):
            s = echo.connect()
            s.sendall(OK)
            data = b""
            try:
                data = s.recv(4096)
            except ConnectionResetError:
                pass
            if data.startswith(b"HTTP/1.1 200"):
                conns.append(s)
            else:
                assert not data or data.startswith(b"HTTP/1.1 503")
                refused += 1
                s.close()
        assert refused >= limit and 20 < len(conns) < limit
        began = cpu_seconds(echo.proc.pid)
        time.sleep(0.5)  # the time over which a busy loop would show
        assert cpu_seconds(echo.proc.pid) - began < 0.2
        for s in conns:  # those that got in are served on
            s.sendall(OK)
            assert read_answers(s, 1)[0].status == 200
            s.close()
        while not echo.ask(LAST).startswith(b"HTTP/1.1 200"):
            pass


# ---- stopping --------------------------------------------------------------------------------------------------------------


def test_stop_lets_requests_end():
    with server("grace=20000") as echo, echo.connect() as busy, echo.connect() as idle, echo.connect(rcvbuf=1 << 16) as reader:
        idle.sendall(OK)
        read_answers(idle, 1)
        busy.sendall(put(b"Content-Length: 10\r\n", b"hello"))
        reader.sendall(get(target=b"/source?8000000"))
        while echo.stats()[0] < 4:
            pass
        echo.proc.stdin.close()
        assert read_all(idle) == b""
        with pytest.raises(OSError):  # accepts no more
            while True:
                echo.connect().close()
        busy.sendall(b"world" + PROBE)
        (answer,) = parse(read_all(busy))
        assert answer.body == b"helloworld" and answer.fields["connection"] == "close"
        assert parse(read_all(reader))[0].body == pattern(8000000)
        echo.proc.stdin = None
        echo.stop()


def test_stop_cuts_what_does_not_end():
    with server("grace=200") as echo, echo.connect() as body, echo.connect(rcvbuf=4096) as reader, echo.connect() as later:
        body.sendall(put(b"Content-Length: 10\r\n", b"hello", b"/stream"))
        reader.sendall(get(target=b"/source?50000000"))
        later.sendall(get(target=b"/later?1000000"))
        while echo.stats()[0] < 4:
            pass
        began = time.monotonic()
        echo.stop()
        assert time.monotonic() - began < 5


def test_taken_connections(echo):
    """What comes behind the head goes with the connection and is not read as a request."""
    for status, phrase, connection in ((101, b"Switching Protocols", b"Upgrade"), (200, b"OK", b"close")):
        got = echo.ask(get(target=b"/take?%d" % status) + PROBE)
        head, _, rest = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d %s\r\n" % (status, phrase)) and b"\r\nX-Taken: yes" in head
        assert b"\r\nConnection: %s\r\n" % connection in head and b"Content-Length" not in head
        assert rest == PROBE
    echo.ask(get(b"Connection: close\r\n", target=b"/take?101"))
    with echo.connect() as second:
        second.sendall(OK)
        read_answers(second, 1)
        second.sendall(get(target=b"/take?101") + b"abc")
        assert read_all(second).endswith(b"\r\n\r\nabc")


def test_a_taken_connection_leaves_its_place():
    """Streams stay open for days: they do not use up what requests need."""
    with server("connections=1") as echo:
        with echo.connect() as held:
            held.sendall(get(target=b"/hold?101"))
            assert b"101" in held.recv(4096)
            with echo.connect() as other:
                other.sendall(OK)
                read_answers(other, 1)
                assert b"503" in read_all(echo.connect())
                echo.proc.stdin.write("gate\n")
                echo.proc.stdin.flush()
                assert held.recv(10) == b""
                assert b"503" in read_all(echo.connect()), "it has not given back a place that it did not have"
        while b"200" not in echo.ask(LAST):  # until the server has seen that the other is gone
            pass


def test_stop_shuts_taken_connections_and_waits_for_their_release():
    with server("grace=100") as echo, echo.connect() as held:
        held.sendall(get(target=b"/hold?200"))
        assert b"X-Taken" in held.recv(4096)
        echo.proc.stdin.write("gate\n")
        echo.stop()


def test_access_log():
    with server("log=1") as echo:
        echo.ask(put(b"Content-Length: 5\r\n", b"abcde", b"/echo") + get(b"Connection: close\r\n", b"/a%0Ab?token=secret"))
        echo.ask(b"BAD\r\n\r\n")
        lines = echo.stop().splitlines()
    assert len(lines) == 3
    assert re.search(r"id=[0-9a-f]{16} method=PUT path=/echo status=200 in=5 out=5 ms=\d+ peer=127.0.0.1", lines[0])
    assert "path=/a%0Ab status=200" in lines[1] and "secret" not in lines[1] and "device=test" in lines[1]
    assert "status=400" in lines[2]
