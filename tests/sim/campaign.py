#!/usr/bin/python3
"""Seeds or trials by the hundred thousand, in blocks: a row for each in build/ledger/, so what was stopped goes on where it was, as long as
the program is the same.

    campaign.py sim PROGRAM --total 200000 [--minutes 10]      seeds of the simulation (tests/sim)
    campaign.py planner PROGRAM --total 10000000               worlds of the planner (tests/unit/client/diff/test_diff_random)
    campaign.py feed PROGRAM --total 100000 --jobs 1           commits of 8 writers before 4 readers on PostgreSQL (tests/unit/domain/test_feed.c),
                                                               behind tests/postgres.py

Exit status 1 when a block failed, 3 when the time was over before the end."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/blackbox"))
from ledger import Ledger  # noqa: E402

SEEDS = ROOT / "tests/sim/seeds.txt"
BLOCK = {"sim": 500, "planner": 250000, "feed": 10000}
FAILURES_SHOWN = 4000


def command(campaign, program, first, count):
    """What runs a block, and in which environment."""
    if campaign == "sim":
        return [program, "--from", str(first), "--count", str(count), "--again", "10"], {}
    if campaign == "feed":
        return [program], {"DRAY_TEST_META": "postgres", "DRAY_TEST_COMMITS": str(count)}
    return [program], {"DRAY_SEED": str(first), "DRAY_TRIALS": str(count)}


def run_block(campaign, program, first, count):
    argv, env = command(campaign, program, first, count)
    began = time.monotonic()
    done = subprocess.run(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    row = {"first": first, "count": count, "failures": int(done.returncode != 0), "seconds": round(time.monotonic() - began, 1)}
    said = re.search(r"(\d+) failed, (\d+) of what is known", done.stdout)
    if campaign == "sim" and said and done.returncode in (0, 1):
        row |= {"failures": int(said[1]), "known": int(said[2])}
    return row, done.stdout


def replay_known(program):
    """Those that failed once come first.  A build that fails one of them need not look for others."""
    known = [line.split()[0] for line in SEEDS.read_text().splitlines() if line[:1].isdigit()]
    failed = [seed for seed in known if subprocess.run([program, "--from", seed, "--count", "1"], stdout=subprocess.DEVNULL).returncode]
    if failed:
        print("of the known seeds fail:", ", ".join(failed))
    return not failed


def missing(ledger, total, block):
    """The blocks that have no row yet."""
    done = {row["first"] for row in ledger.rows(count=block)}
    return [first for first in range(1, total + 1, block) if first not in done]


def run_all(args, ledger, block):
    """True when nothing failed.  Rows are written as blocks end."""
    todo = missing(ledger, args.total, block)
    until = time.monotonic() + 60 * args.minutes if args.minutes else None
    good = True
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = set()
        while todo or running:
            while todo and len(running) < args.jobs and (until is None or time.monotonic() < until):
                running.add(pool.submit(run_block, args.campaign, args.program, todo.pop(0), block))
            if not running:
                break
            ended, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                row, text = future.result()
                ledger.add(**row)
                if row["failures"]:
                    good = False
                    print(text[-FAILURES_SHOWN:])
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("campaign", choices=sorted(BLOCK))
    parser.add_argument("program")
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--block", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    block = args.block or BLOCK[args.campaign]
    program = pathlib.Path(args.program)
    ledger = Ledger(args.campaign, program.parent, [program.name])
    good = args.campaign != "sim" or replay_known(args.program)
    good &= run_all(args, ledger, block)
    rows = ledger.rows(count=block)
    failures = sum(row["failures"] for row in rows)
    print(f"{args.campaign}: {sum(row['count'] for row in rows):,} trials in {len(rows)} blocks, {failures} failures, "
          f"{sum(row['seconds'] for row in rows):,.0f} s, build {ledger.build}")
    if failures or not good:
        return 1
    return 3 if missing(ledger, args.total, block) else 0


if __name__ == "__main__":
    sys.exit(main())
