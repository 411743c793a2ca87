#!/usr/bin/python3
"""Prints the table of src/server/model/fold.c: simple case folding, from the Unicode data of this Python.

A code point whose full folding is several is left as it is, or goes to its lower case where that is one.
"""
import sys
import unicodedata

WIDTH = 128


def fold(c):
    for text in (chr(c).casefold(), chr(c).lower()):
        if len(text) == 1:
            return ord(text)
    return c


def ranges():
    out = []
    for c in range(0x80, 0x110000):
        if 0xD800 <= c < 0xE000 or fold(c) == c:
            continue
        delta = fold(c) - c
        last = out[-1] if out else None
        if last and last[3] == delta and c - last[1] == (last[2] or min(c - last[1], 2)):
            last[2] = c - last[1]
            last[1] = c
        else:
            out.append([c, c, 0, delta])
    return out


def main():
    line = ""
    print(f"Unicode {unicodedata.unidata_version}", file=sys.stderr)
    for first, last, step, delta in ranges():
        item = f"{{ 0x{first:04x}, 0x{last:04x}, {step or 1}, {delta} }},"
        if len(line) + len(item) + 9 > WIDTH:
            print("\t" + line.strip())
            line = ""
        line += item + " "
    print("\t" + line.strip())


if __name__ == "__main__":
    main()
