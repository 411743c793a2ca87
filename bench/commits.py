"""Commits a second: 1, 100 and 1,000 operations each, by 1 and by 16 devices at once, beside how often the disk flushes in the same run.

BENCH_ENGINES says where the metadata is, "sqlite,postgres" by default.  wrk sends them, a thread and a connection for each device.  An
operation is a new file whose content the server has, so no bytes are sent and what is measured is the metadata.
"""
import contextlib
import json
import os
import re
import subprocess
import time

from engines import engines
from rig import ask, drayd, row

BATCHES = (1, 100, 1000)
CLIENTS = (1, 16)
SECONDS = 8  # of each load
FLUSH_SECONDS = 1
CONTENT = b"x" * 1000

LUA = """local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local made, batch, operation = 0
function init(args)
  local tokens = {}
  for token in io.lines(args[1]) do tokens[#tokens + 1] = token end
  batch, operation = tonumber(args[2]), args[3]
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. tokens[number]
end

function request()
  local operations = {}
  for i = 1, batch do
    made = made + 1
    operations[i] = string.format(operation, number, made)
  end
  return wrk.format(nil, nil, nil, '{"operations":[' .. table.concat(operations, ",") .. "]}")
end
"""


def flushes(where):
    """How often a second 4 KiB more of a file can be made durable, one after the other."""
    n, start = 0, time.monotonic()
    fd = os.open(where / "flushed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while time.monotonic() - start < FLUSH_SECONDS:
        os.write(fd, bytes(4096))
        os.fdatasync(fd)
        n += 1
    os.close(fd)
    return n / (time.monotonic() - start)


def commit(line, base, token, *operations):
    for result in ask(line, token, "POST", f"{base}/commits", {"operations": operations})["results"]:
        if result["status"] != "ok":
            raise RuntimeError(result)


def load(server, engine, where, batch, clients):
    """Commits a second into a new project, and the CPU time of one's operation."""
    project = server.project(f"{batch} by {clients}")
    tokens = [server.device(f"device {n}", project) for n in range(clients)]
    line, base = server.connect(), f"/projects/{project}"
    source = ask(line, tokens[0], "PUT", f"{base}/content/source", CONTENT)
    commit(line, base, tokens[0], *({"op": "put", "path": f"from {n + 1}", "kind": "dir"} for n in range(clients)))
    operation = json.dumps({"op": "put", "path": "from %d/file %d", "kind": "file", "size": source["size"],
                            "content_hash": source["content_hash"], "from": {"file": source["id"], "version": source["version"]}})
    (where / "tokens").write_text("\n".join(tokens) + "\n")
    (where / "commits.lua").write_text(LUA)
    files, cpu, start = ask(line, tokens[0], "GET", base)["file_count"], engine.cpu_s(server), time.monotonic()
    out = subprocess.run(["wrk", f"-t{clients}", f"-c{clients}", f"-d{SECONDS}s", "--timeout", "60s", "-s", where / "commits.lua",
                          f"{server.url}{base}/commits", "--", where / "tokens", str(batch), operation],
                         capture_output=True, text=True, check=True).stdout
    commit(line, base, tokens[0], json.loads(operation % (1, 0)))  # behind those that were on their way when the load ended
    cpu, took = engine.cpu_s(server) - cpu, time.monotonic() - start
    made = ask(line, tokens[0], "GET", base)["file_count"] - files - 1
    if "Non-2xx" in out or "Socket errors" in out or made < int(re.search(r"(\d+) requests in", out).group(1)) * batch:
        raise RuntimeError(out)  # a commit that was answered and is not there is one that failed
    return made / batch / took, cpu / made


def bench_commits(tmp):
    for make in engines():
        where = tmp / make.name
        where.mkdir()
        with contextlib.closing(make()) as engine, drayd(where, engine.env) as server:
            for batch in BATCHES:
                for clients in CLIENTS:
                    disk = flushes(where)
                    rate, cpu_s_each = load(server, engine, where, batch, clients)
                    row(f"commits of {batch:,} by {clients} at once, {engine.name}", rate, "/s", disk, "write, fdatasync /s")
                    row("  operations", rate * batch, "/s")
                    row("  CPU time of the server for an operation", cpu_s_each * 1e6, "us")
