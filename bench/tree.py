"""Listings, the change feed and snapshots of large projects, each beside nginx sending a static file of the same bytes in the same run.

BENCH_FILES says how large the projects are, "10000,100000" by default, BENCH_ENGINES where their metadata is, "sqlite,postgres";
bench/fill.c makes them.  wrk is the load for requests a second.  CPU time of a server behind PostgreSQL has that of the cluster in it,
memory has not.
"""
import concurrent.futures
import contextlib
import functools
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import time

from engines import engines
from rig import BIN, Drayd, ask, memory_mib, row

SIZES = [int(n) for n in os.environ.get("BENCH_FILES", "10000,100000").split(",")]
SECONDS = 5  # of each load
CONNECTIONS = 8  # fewer than a device may have in flight
LOAD_CONNECTIONS = 64  # of many devices
FLEET = 5000  # devices that ask in turn: each may learn nothing 50 times at once and 20 times a second
IDLE = 1000
LARGE = 4 << 20  # an answer
LARGE_MAX = 160 << 20
PLAN = {10_000: {"list": 0.5, "none": 0.1, "one percent": 0.03, "snapshot": 0.1}, 100_000: {"list": 0.5}}  # seconds, of the original plan


class Nginx:
    """Sends the bytes that it was given under names."""

    def __init__(self, where):
        self.root = where / "www"
        self.root.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        conf = where / "nginx.conf"
        conf.write_text(f"""daemon off; worker_processes 2; pid {where}/nginx.pid; error_log /dev/null; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; keepalive_requests 100000000; default_type application/octet-stream;
  client_body_temp_path {where}/t1; proxy_temp_path {where}/t2; fastcgi_temp_path {where}/t3; uwsgi_temp_path {where}/t4; scgi_temp_path {where}/t5;
  server {{ listen 127.0.0.1:{self.port}; root {self.root}; }} }}""")
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-p", where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)

    def stop(self):
        self.process.terminate()
        self.process.wait()


@functools.cache
def touched():
    """Memory for a large answer: making a hundred MB of it while one comes would be a fifth of a second of nobody's work but this process's."""
    return memoryview(bytearray(b"\1" * LARGE_MAX))


class Line:
    """One keep-alive connection."""

    def __init__(self, port, token=None):
        self.conn = http.client.HTTPConnection("127.0.0.1", int(port))
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.large = touched()

    def get(self, target, **headers):
        start = time.monotonic()
        self.conn.request("GET", target, headers={**self.headers, **headers})
        answer = self.conn.getresponse()
        body = answer.read() if answer.length is None or answer.length < LARGE else self.read_large(answer)
        took = time.monotonic() - start
        if answer.status != 200:
            raise RuntimeError(body[:500])
        return took, body

    def read_large(self, answer):
        body = self.large[:answer.length]
        at = 0
        while at < len(body):
            if not (got := answer.readinto(body[at:])):
                raise RuntimeError("the answer was cut")
            at += got
        return body

    def median_ms(self, target, n=100, **headers):
        return statistics.median(self.get(target, **headers)[0] for _ in range(n)) * 1000


LUA = """local requests, n = {}, 0
function init(args)
  for token in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", nil, {Authorization = "Bearer " .. token}) end
end
function request()
  n = n % #requests + 1
  return requests[n]
end
"""


def load(port, target, tokens):
    """Requests a second over kept connections, each of the next device in the file ${tokens}."""
    script = tokens.with_suffix(".lua")
    script.write_text(LUA)
    out = subprocess.run(["wrk", "-t1", f"-c{LOAD_CONNECTIONS}", f"-d{SECONDS}s", "-s", script, f"http://127.0.0.1:{port}{target}", "--", tokens],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise RuntimeError(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), int(re.search(r"(\d+) requests in", out).group(1))


class Bench:
    """A project of many files behind one engine, the server that has it, and an nginx beside it."""

    def __init__(self, tmp, files, engine):
        self.files, self.plan, self.engine = files, PLAN.get(files, {}), engine
        self.of = f"{files:,} files, {engine.name}"
        self.where = where = tmp / f"tree-{engine.name}-{files}"
        where.mkdir()
        self.project = subprocess.run([BIN / "bench/fill", where / "data", str(files)], capture_output=True, text=True, check=True,
                                      env={**os.environ, **engine.env}).stdout.strip()
        engine.settle()
        self.nginx, self.server = Nginx(where), Drayd(where / "data", engine.env)
        self.base, self.token, self.pid = f"/projects/{self.project}", self.server.owner, self.server.process.pid
        self.line, self.static = Line(self.server.port, self.token), Line(self.nginx.port)

    def stop(self):
        self.server.stop()
        self.nginx.stop()

    def cpu_s(self):
        return self.engine.cpu_s(self.server)

    def beside(self, name, ms, body, target, n=100):
        """One figure beside nginx with the same bytes."""
        (self.nginx.root / "same").write_bytes(body)
        row(f"{name}, {self.of}", ms, "ms", self.static.median_ms("/same", n), f"nginx, {len(body):,} bytes", target)

    def fleet(self):
        """A file of the tokens of new devices."""
        def add(first):
            line = self.server.connect()
            return [ask(line, self.token, "POST", f"{self.base}/devices", {"name": f"device {n}", "role": "reader"})["token"]
                    for n in range(first, FLEET, CONNECTIONS)]

        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            tokens = sum(pool.map(add, range(CONNECTIONS)), [])
        (self.where / "tokens").write_text("\n".join(tokens) + "\n")
        return self.where / "tokens"

    def json(self, target):
        return json.loads(self.line.get(self.base + target)[1])

    def plan_row(self, name, key, seconds):
        if key in self.plan:
            row(f"{name}, {self.of}", seconds, "s", self.plan[key], "the plan's figure", "<= x1")


def bench_pages(b):
    """The whole list is its bytes in hand, page after page: what parses them is the caller's."""
    start, cursor, pages, last = time.monotonic(), "", 0, ""
    while True:
        page = b.line.get(f"{b.base}/files?limit=500{cursor}")[1]
        pages += 1
        if b'"has_more":true' not in page:
            break
        last, cursor = cursor, "&cursor=" + re.search(rb'"next_cursor":"([^"]+)"', page).group(1).decode()
    whole = time.monotonic() - start
    first_ms = b.line.median_ms(f"{b.base}/files?limit=500")
    last_ms = b.line.median_ms(f"{b.base}/files?limit=500{last}")
    b.beside("page of 500, first", first_ms, b.line.get(f"{b.base}/files?limit=500")[1], "<= 2 ms")
    b.beside("page of 500, last", last_ms, b.line.get(f"{b.base}/files?limit=500{last}")[1], "<= 2 ms")
    row(f"  the last beside the first, {b.of}", last_ms, "ms", first_ms, "first page", "<= x1.2")
    b.plan_row(f"list, {pages} pages", "list", whole)


def nth_newest(b, n):
    """The version behind which there are n changes; what is listed is in clock order."""
    versions, cursor = [], ""
    while True:
        page = b.json(f"/files?limit=1000{cursor}")
        versions = (versions + [f["version"] for f in page["files"]])[-n - 1:]
        if not page["has_more"]:
            return versions[0]
        cursor = f"&cursor={page['next_cursor']}"


def bench_changes(b):
    clock, epoch = b.json("")["cursor"].split(".")
    none = f"{b.base}/files/changes?since={clock}.{epoch}"
    ms, body = b.line.median_ms(none, 40), b.line.get(none)[1]
    b.beside("changes, nothing new", ms, body, "", 40)
    fleet = b.fleet()
    load(b.server.port, none, fleet)  # each device is seen once: that is written down
    before = b.cpu_s()
    rate, n = load(b.server.port, none, fleet)
    cpu_us = (b.cpu_s() - before) / n * 1e6
    row(f"  the same, {LOAD_CONNECTIONS} connections, {b.of}", rate, "req/s", load(b.nginx.port, "/same", fleet)[0], "nginx", ">= 20,000")
    if lookups := b.engine.lookups(CONNECTIONS, SECONDS):
        row("  the same", rate, "req/s", lookups, "pgbench, one look-up each")
    row("  CPU time of the server for one", cpu_us, "us", target="<= 300 us")
    b.plan_row("no change", "none", ms / 1000)
    changed = min(b.files // 100, 1000)
    since = nth_newest(b, changed)
    some = f"{b.base}/files/changes?limit=1000&since={since}.{epoch}"
    ms, body = b.line.median_ms(some), b.line.get(some)[1]
    b.beside(f"changes, {changed} changed", ms, body, "<= 3 ms" if changed == 100 else "")
    b.plan_row("1 % changed", "one percent", ms / 1000)


def bench_snapshot(b):
    for name, accept, coding in (("JSON, zstd", "application/json", "zstd"), ("lines, zstd", "application/x-ndjson", "zstd"),
                                 ("JSON, gzip", "application/json", "gzip")):
        headers = {"Accept": accept, "Accept-Encoding": coding}
        rss, cpu = memory_mib(b.pid), b.cpu_s()
        took, body = b.line.get(f"{b.base}/snapshot", **headers)
        target = {10_000: "<= 60 ms", 1_000_000: "<= 4,000 ms"}.get(b.files, "")
        row(f"snapshot built: {name}, {b.of}", took * 1000, "ms", target=target)
        row(f"  CPU time, {len(body):,} bytes", (b.cpu_s() - cpu) * 1000, "ms")
        row("  extra memory at its peak", memory_mib(b.pid, "VmHWM") - rss, "MiB", target="<= 64 MiB")
        if name == "lines, zstd" and (rows_s := b.engine.rows_s(b.project)):
            row("  its time", took * 1000, "ms", rows_s * 1000, "psql, COPY of its rows and lists", "<= x1.25")
        if name == "JSON, zstd":
            ms = b.line.median_ms(f"{b.base}/snapshot", 20, **headers)
            b.beside("snapshot cached: JSON, zstd", ms, body, "<= 2 ms" if b.files == 10_000 else "", 20)
            b.plan_row("snapshot cached", "snapshot", ms / 1000)


def bench_idle(b):
    """Peak of the server that has built all that, with connections that wait for nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", int(b.server.port))))
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            s.recv(65536)
        b.line.get(f"{b.base}/snapshot", Accept="application/x-ndjson", **{"Accept-Encoding": "gzip"})
        row(f"server's peak, {IDLE:,} idle connections, {b.of}", memory_mib(b.pid, "VmHWM"), "MiB", target="<= 128 MiB")


def bench_project(tmp, files, engine):
    b = Bench(tmp, files, engine)
    try:
        for part in (bench_pages, bench_changes, bench_snapshot, bench_idle):
            part(b)
    finally:
        b.stop()


def bench_tree(tmp):
    for make in engines():
        for files in SIZES:
            with contextlib.closing(make()) as engine:
                bench_project(tmp, files, engine)
