#!/usr/bin/python3
"""
What the long campaigns have found, from the rows that they leave in build/ledger/ (make check-full, or one campaign by itself).

    tools/ledger.py            a table: campaign, what of it, trials, failures, seconds, seeds, when; of the newest build of each campaign
    tools/ledger.py --all      of every build, since rows of another build are another proof

A campaign that stops at its first failure writes no row for it: it fails by itself, and goes on there the next time.
"""
import argparse
import collections
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
KINDS = ("subject", "what", "way", "kind", "promise")      # what tells trials of one campaign apart, the first that a row has
TRIALS = ("count", "kills", "applies", "uploads", "trials")  # how many a row stands for; else it is one


def trials_of(row):
    return next((row[k] for k in TRIALS if isinstance(row.get(k), int)), 1)


def failures_of(row):
    """A row says how many failed, or whether it did, or, of a mutant, what became of it."""
    return row.get("failures", int(bool(row.get("failed")) or row.get("outcome", "killed") not in ("killed", "skipped")))


def kind_of(row):
    if "fault" in row and "subject" in row:
        return f"{row['subject']}: {row['fault']}"
    return next((str(row[k]) for k in KINDS if row.get(k)), "")


def groups(path, every):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    newest = rows[-1]["build"] if rows else ""
    found = collections.defaultdict(list)
    for row in rows:
        if every or row["build"] == newest:
            found[row["build"], kind_of(row)].append(row)
    return sorted(found.items(), key=lambda item: item[1][0]["at"])


def seeds_of(rows):
    seeds = [row[k] for row in rows for k in ("seed", "first") if isinstance(row.get(k), int)]
    return f"{min(seeds)} … {max(seeds)}" if seeds else ""


def main():
    parser = argparse.ArgumentParser(description="Print what the long campaigns have found.")
    parser.add_argument("--all", action="store_true", help="of every build, not only the newest of each campaign")
    args = parser.parse_args()
    failures = 0
    print("| campaign | of it | build | trials | failures | seconds | seeds | from | to |")
    print("|---|---|---|---|---|---|---|---|---|")
    for path in sorted((ROOT / "build/ledger").glob("*.jsonl")):
        for (build, kind), rows in groups(path, args.all):
            failed = sum(map(failures_of, rows))
            failures += failed
            seconds = sum(row.get("seconds", 0) for row in rows)
            print(f"| {path.stem} | {kind} | {build[:8]} | {sum(map(trials_of, rows)):,} | {failed} | {f'{seconds:,.0f}' if seconds else ''} "
                  f"| {seeds_of(rows)} | {rows[0]['at'][:16]} | {rows[-1]['at'][:16]} |")
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
