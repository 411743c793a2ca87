#!/usr/bin/python3
"""docs/perf/million.svg from bench/history/bench.jsonl: files a second against the number of files, both on logarithmic scales.

Takes the newest run that has rows of `million`.  Plain SVG, nothing but the standard library.
"""
import json
import math
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 210, 20, 50
LINES = (  # title, the row's name after the count, whether the peer's figure is meant, colour, dashes
    ("dray push, durable", "first push, durable", False, "#0b6e4f", ""),
    ("rsync push, --fsync", "first push, durable", True, "#0b6e4f", "6 4"),
    ("rsync push", "first push beside no fsync", True, "#7fb79f", "2 3"),
    ("dray clone, durable", "clone, durable", False, "#8a3ffc", ""),
    ("rsync clone, --fsync", "clone, durable", True, "#8a3ffc", "6 4"),
    ("rsync clone", "clone beside no fsync", True, "#c9a6ff", "2 3"),
)


def newest():
    """{(files, name): figure} of the newest run that measured it."""
    found = {}
    for line in (ROOT / "bench/history/bench.jsonl").read_text().splitlines():
        rows = {}
        for figure in json.loads(line)["figures"]:
            match = re.match(r"\s*([\d,]+) files: (.*)", figure["name"])
            if match:
                rows[int(match[1].replace(",", "")), match[2]] = figure
        found.update(rows)
    return found


def points(found, name, of_peer):
    of = "peer_value" if of_peer else "value"
    return sorted((files, f[of]) for (files, n), f in found.items() if n == name and f[of])


def decades(low, high):
    return [10 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def scale(low, high, start, stop):
    def at(value):
        return start + (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low)) * (stop - start)
    return at


def grid(x, y, xs, ys):
    out = []
    for v in xs:
        out.append(f'<line x1="{x(v):.1f}" y1="{TOP}" x2="{x(v):.1f}" y2="{HEIGHT - BOTTOM}" class="grid"/>'
                   f'<text x="{x(v):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{v:,}</text>')
    for v in ys:
        out.append(f'<line x1="{LEFT}" y1="{y(v):.1f}" x2="{WIDTH - RIGHT}" y2="{y(v):.1f}" class="grid"/>'
                   f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:,}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">files</text>'
               f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">files a second</text>')
    return out


def main():
    found = newest()
    lines = [(title, points(found, name, peer), colour, dash) for title, name, peer, colour, dash in LINES]
    all_points = [p for _, ps, _, _ in lines for p in ps]
    if not all_points:
        raise SystemExit("no rows of million in bench/history: run bench/bench.py million")
    xs = decades(min(p[0] for p in all_points), max(p[0] for p in all_points))
    ys = decades(min(p[1] for p in all_points), max(p[1] for p in all_points))
    xs = xs if len(xs) > 1 else [xs[0], 10 * xs[0]]
    ys = ys if len(ys) > 1 else [ys[0], 10 * ys[0]]
    x, y = scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT), scale(ys[0], ys[-1], HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           '<style>.grid{stroke:#ddd}text{fill:#333}</style>', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    out += grid(x, y, xs, ys)
    for i, (title, ps, colour, dash) in enumerate(lines):
        path = " ".join(f"{x(files):.1f},{y(value):.1f}" for files, value in ps)
        style = f'fill="none" stroke="{colour}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")
        at = TOP + 14 + 20 * i
        out.append(f'<polyline points="{path}" {style}/>')
        out += [f'<circle cx="{x(f):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for f, v in ps]
        out.append(f'<line x1="{WIDTH - RIGHT + 15}" y1="{at}" x2="{WIDTH - RIGHT + 45}" y2="{at}" {style}/>'
                   f'<text x="{WIDTH - RIGHT + 52}" y="{at + 4}">{title}</text>')
    out.append("</svg>\n")
    (ROOT / "docs/perf/million.svg").write_text("\n".join(out))


if __name__ == "__main__":
    main()
