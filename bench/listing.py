#!/usr/bin/python3
"""
Pages of a project of a million files: in clock order, of a directory of 100,000 by each sort, of 500 subfolders, of a search.

    bench/listing.py DATA PROJECT     DATA and PROJECT as build/release/bench/fill DATA 1000000 makes and prints them

Adds a directory of 100,000 files and one of 500 subfolders when they are not there yet.  Prints the median, and on a busy machine more
telling the least, of 31 over one connection: the first page, one in the middle and the last whole one.
"""
import json
import statistics
import sys
import time
import urllib.parse

from rig import Drayd

ROUNDS = 31
FLAT = 100_000
PAGE = 500
SIZES = 50
SORTS = ("name", "size", "mtime", "changed")


class Api:
    def __init__(self, server, project):
        self.conn = server.connect()
        self.base = f"/projects/{project}"
        self.headers = {"Authorization": f"Bearer {server.device('bench', project)}"}

    def call(self, method, path, body=None, raw=False):
        headers = dict(self.headers)
        if body is not None and not raw:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        self.conn.request(method, self.base + path, body, headers)
        answer = self.conn.getresponse()
        data = answer.read()
        if answer.status >= 300 and answer.status != 404:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:300]}")
        return answer.status, data

    def get(self, path):
        return json.loads(self.call("GET", path)[1])


def commit(api, operations):
    start = time.monotonic()
    results = json.loads(api.call("POST", "/commits", {"operations": operations})[1])["results"]
    if not all(r["status"] == "ok" for r in results):
        raise SystemExit(f"a commit failed: {results[0]}")
    return time.monotonic() - start


def prepare(api):
    """The flat directory: 50 contents, copied, so that no bytes are sent for most of it."""
    if api.call("GET", "/files?dir=many/000&limit=1")[0] == 200:
        return
    commit(api, [{"op": "put", "path": "flat", "kind": "dir"}])
    sources = [json.loads(api.call("PUT", f"/content/source-{i}", b"x" * (i * i + 1), raw=True)[1]) for i in range(SIZES)]
    took = []
    for n in range(0, FLAT, 10_000):
        took.append(commit(api, [{"op": "put", "path": f"flat/{(i * 7919) % FLAT:06}-take.mov", "kind": "file",
                                  "size": sources[i % SIZES]["size"], "content_hash": sources[i % SIZES]["content_hash"],
                                  "mtime": f"2026-{i % 12 + 1:02}-{i % 28 + 1:02}T00:00:{i % 60:02}Z",
                                  "from": {"file": sources[i % SIZES]["id"], "version": sources[i % SIZES]["version"]}}
                                 for i in range(n, n + 10_000)]))
    print(f"commit of 10,000 copies over HTTP: median {statistics.median(took):.3f} s of {len(took)}")
    operations = [{"op": "put", "path": "many", "kind": "dir"}]
    for i in range(500):
        operations += [{"op": "put", "path": f"many/{i:03}", "kind": "dir"}] + \
            [{"op": "put", "path": f"many/{i:03}/{k}", "kind": "dir"} for k in range(9)]
    commit(api, operations)


def page_ms(api, query):
    took, data = [], b""
    for _ in range(ROUNDS):
        start = time.monotonic()
        _, data = api.call("GET", "/files?" + query)
        took.append((time.monotonic() - start) * 1000)
    return statistics.median(took), min(took), data


def show(api, name, query):
    took, least, data = page_ms(api, query)
    page = json.loads(data)
    print(f"{name:44} {took:8.3f} ms   least {least:7.3f} ms   {len(page['files'])} rows, {len(data) / 1024:.0f} KiB", flush=True)
    return page


def walk(api, query):
    """Every page of a listing; the cursors that lead to them."""
    cursors, cursor, rows, start = [], None, 0, time.monotonic()
    while True:
        page = api.get(f"/files?limit={PAGE}{query}" + (f"&cursor={cursor}" if cursor else ""))
        rows += len(page["files"])
        if not page["has_more"]:
            return cursors, rows, time.monotonic() - start
        cursor = page["next_cursor"]
        cursors.append(cursor)


def measure(api, name, query):
    cursors, rows, took = walk(api, query)
    print(f"{name + ', all of it':44} {took:8.3f} s    {rows} rows, {len(cursors) + 1} pages", flush=True)
    show(api, f"{name}, first page", f"limit={PAGE}{query}")
    if len(cursors) > 1:
        show(api, f"{name}, middle", f"limit={PAGE}{query}&cursor={cursors[len(cursors) // 2]}")
        show(api, f"{name}, last page", f"limit={PAGE}{query}&cursor={cursors[-2]}")


def main():
    server = Drayd(sys.argv[1])
    try:
        api = Api(server, sys.argv[2])
        prepare(api)
        measure(api, "by clock", "")
        measure(api, "dir of 100,000, order=path", "&dir=flat")
        for sort in SORTS:
            for desc in (0, 1):
                measure(api, f"dir of 100,000, sort={sort}" + ("&desc=1" if desc else ""), f"&dir=flat&sort={sort}&desc={desc}")
        show(api, "500 subfolders with counts", f"limit={PAGE}&dir=many&sort=name")
        measure(api, "prefix=, the whole tree by path", "&prefix=")
        for text in ("nowhere to be found", "00777777", "überblick 0001"):
            measure(api, f"search={text}", "&search=" + urllib.parse.quote(text))
        print(f"peak memory of the server: {server.peak_mib():.0f} MiB")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
