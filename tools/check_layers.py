#!/usr/bin/python3
"""Hold the tree to its layers: data flows one way, and each folder may include only what is listed for it here.

Usage: tools/check_layers.py [ROOT]     exits 1 and names each include that breaks a rule.
"""
import pathlib
import re
import sys

BASE = {"base"}

# folder -> what it may include besides itself.  "dir/file.h" allows that one header only.
ALLOWED = {
    "base": set(),
    "chunk": BASE,
    "wire": BASE,
    "db": BASE,
    "server/http": BASE,
    "server/model": BASE | {"chunk"},
    "server/meta": BASE | {"chunk", "server/model", "db"},
    "server/store": BASE | {"chunk"},
    "server/notify": BASE | {"server/model", "wire"},
    "server/domain": BASE | {"server/model", "chunk", "server/meta/meta.h", "server/store/store.h", "server/notify/notify.h"},
    "server/route": BASE | {"server/http", "wire", "server/model", "server/domain", "server/notify", "chunk"},
    "server/job": BASE | {"server/model", "server/domain", "server/meta/meta.h", "server/store/store.h", "chunk"},
    "client/model": BASE | {"chunk"},
    "client/ignore": BASE,
    "client/scan": BASE | {"client/model", "client/ignore", "chunk"},
    "client/diff": BASE | {"client/model"},
    "client/state": BASE | {"client/model", "chunk/blocklist.h", "db"},
    "client/remote": BASE | {"wire"},
    "client/transfer": BASE | {"client/model", "chunk", "client/remote", "client/state", "wire"},
    "client/watch": BASE | {"client/ignore", "client/remote", "wire"},
    "client/commit": BASE | {"client/model", "client/state"},
}

# The composition roots: files directly in these folders may use everything on their side.
ROOTS = {"server": "server/", "client": "client/"}
SHARED = {"base", "chunk", "wire", "db"}

# Libraries that only one place may know, so that replacing one is a change in one folder.
LIBRARIES = {
    "sqlite3.h": {"db"},
    "libpq-fe.h": {"db"},
    "jansson.h": {"wire"},
    "curl/curl.h": {"client/remote", "server"},
    "zstd.h": {"chunk", "server/domain", "client/remote"},
    "isa-l/igzip_lib.h": {"server/domain"},
    "sys/epoll.h": {"server/http", "server/notify"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def folder_of(path):
    return str(path.parent)


def may_include(folder, header):
    target = str(pathlib.PurePosixPath(header).parent)
    if target == folder:
        return True
    if folder in ROOTS:
        return target in SHARED or target.startswith(ROOTS[folder])
    allowed = ALLOWED.get(folder)
    if allowed is None:
        return False
    if header.endswith("_internal.h"):
        return False
    return target in allowed or header in allowed


def violations(src):
    for path in sorted(list(src.rglob("*.[ch]")) + list(src.rglob("*.def"))):
        rel = path.relative_to(src)
        folder = folder_of(rel)
        if folder not in ALLOWED and folder not in ROOTS:
            yield f"{rel}: the folder {folder} has no rule in tools/check_layers.py"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quote, header = match.groups()
            if quote == "<":
                owners = LIBRARIES.get(header)
                if owners is not None and folder not in owners:
                    yield f"{rel}:{number}: <{header}> belongs to {', '.join(sorted(owners))}"
            elif not (src / header).exists() and "/" not in header:
                yield f'{rel}:{number}: write the path from src/: "{header}"'
            elif not may_include(folder, header):
                yield f"{rel}:{number}: {folder} must not include {header}"


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    found = list(violations(root / "src"))
    for line in found:
        print(line)
    if found:
        print(f"check_layers: {len(found)} includes against the rules (ARCHITECTURE.md)")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
