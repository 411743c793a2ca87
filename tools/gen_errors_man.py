#!/usr/bin/python3
"""Make man/dray-errors.7 from src/base/errors.def.

Usage: tools/gen_errors_man.py > man/dray-errors.7
"""
import pathlib
import re

ROW = re.compile(r'^ERROR\((\w+), "([a-z0-9_]+)", (\d+), (true|false), "([^"]*)", "([^"]*)"\)$')

HEAD = """.\\" Made by tools/gen_errors_man.py from src/base/errors.def; do not edit.
.Dd November 22, 2026
.Dt DRAY-ERRORS 7
.Os dray
.Sh NAME
.Nm dray-errors
.Nd every error code of dray
.Sh DESCRIPTION
.Xr drayd 8
answers an error as
.Li application/problem+json
.Pq RFC 9457
with a stable
.Li code ,
and
.Xr dray 1
shows the same codes.
A retryable error may go away when the same request is sent again; the others need a change first.
.Bl -tag -width Ds
"""

TAIL = """.El
.Sh SEE ALSO
.Xr dray 1 ,
.Xr drayd 8
"""


def rows(text):
    for line in text.splitlines():
        if line.startswith("ERROR("):
            match = ROW.match(line)
            if not match:
                raise SystemExit(f"errors.def: cannot read {line!r}")
            yield match.groups()


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    out = HEAD
    for _, code, status, retry, text, hint in rows((root / "src/base/errors.def").read_text()):
        again = ", retryable" if retry == "true" else ""
        out += f".It Li {code} Pq {status}{again}\n{text}\n{hint}\n"
    print(out + TAIL, end="")


if __name__ == "__main__":
    main()
