#!/usr/bin/python3
"""
Every deliberate fault of src/ (FAULT("name"), src/base/fault.h) with the promise that it breaks and the check that must notice.

    tools/mutants.py             run all of them on build/debug, print a table; exit 1 when one survives, or one of src/ is not in the table
    tools/mutants.py NAME…       those
    tools/mutants.py --list      print the table and run nothing

The checks stay where they are; this says which is whose. Promises (P1 … P33) and the numbers M1 … M40 are those of the project's list of promises; rows go
to build/ledger/mutants.jsonl.
"""
import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/blackbox"))
BIN = pathlib.Path(os.environ.get("DRAY_BIN", ROOT / "build/debug"))
TRIES = 3        # some faults are races that a single run may win
PATIENCE = 1200  # seconds; a check that hangs with the fault on has noticed nothing

# How a check is run, and what says that it has noticed:
#   breaks   a unit test's program, with the fault on, must fail
#   inside   a unit test's program switches the fault on by itself, and must pass
#   pytest   a black-box test switches it on by itself, and must pass
#   bends    a black-box test, with the fault on in all that it starts, must fail
#   postgres as pytest, behind PostgreSQL
Mutant = collections.namedtuple("Mutant", "m promise how check")
FAULTS = "tests/blackbox/test_70_faults.py::test_"
STRICT = "tests/blackbox/test_47_strict.py::test_a_strict_disk_shows_a_fault_of_the_"
TABLE = {
    "store.no_fsync": Mutant(1, "P1", "inside", "store_fs"),
    "store.no_fsync_dir": Mutant(2, "P1", "pytest", STRICT + "server[store.no_fsync_dir]"),
    "domain.ack_before_commit": Mutant(3, "P2", "bends", "tests/blackbox/test_40_syscalls.py::test_server_killed_at_a_call[works]"),
    "store.dup_early": Mutant(4, "P1", "inside", "store_fs"),
    "domain.chunk_known_early": Mutant(5, "P2", "pytest", STRICT + "server[domain.chunk_known_early]"),
    "chunk.no_hash": Mutant(6, "P3", "inside", "chunk/container"),
    "chunk.hash_prefix": Mutant(7, "P3", "inside", "chunk/container"),
    "store.fsync_ignored": Mutant(8, "P6", "inside", "store_fs"),
    "store.fsync_retried": Mutant(9, "P6", "inside", "store_fs"),
    "domain.clock_early": Mutant(10, "P17", "breaks", "domain/feed"),
    "domain.since_off_by_one": Mutant(11, "P17", "breaks", "domain/model"),
    "domain.page_ends_commit": Mutant(12, "P17", "breaks", "domain/feed"),
    "job.gc_ignores_leases": Mutant(13, "P8", "breaks", "job/gc"),
    "domain.lease_late": Mutant(14, "P8", "breaks", "job/gc"),
    "client.no_exchange_check": Mutant(15, "P12", "pytest", FAULTS + "client_fault_is_noticed[client.no_exchange_check]"),
    "client.check_seconds": Mutant(16, "P12", "inside", "apply"),
    "client.conflict_overwrites": Mutant(17, "P15", "pytest", FAULTS + "client_fault_is_noticed[client.conflict_overwrites]"),
    "client.unreadable_is_empty": Mutant(18, "P13", "inside", "scan"),
    "domain.no_horizon": Mutant(21, "P16", "breaks", "domain/tombstone"),
    "domain.tombstones_early": Mutant(21, "P16", "breaks", "domain/tombstone"),
    "domain.tombstones_unpassed": Mutant(21, "P16", "breaks", "domain/tombstone"),
    "client.no_moves": Mutant(22, "P20", "breaks", "diff_table"),
    "domain.no_cycle_check": Mutant(23, "P20", "breaks", "domain/move"),
    "domain.chunk_unasked": Mutant(25, "P25", "breaks", "domain/transfer"),
    "notify.keeps_revoked": Mutant(26, "P26", "bends", "tests/blackbox/test_80_events.py::test_a_revoked_device_is_closed"),
    "http.both_framings": Mutant(27, "P27", "breaks", "http/head"),
    "http.chunk_wraps": Mutant(28, "P27", "breaks", "http/chunked"),
    "client.open_by_path": Mutant(30, "P22", "pytest", "tests/blackbox/test_37_races.py::test_without_both_the_canary_shows_it"),
    "client.syncs_temps": Mutant(31, "P18", "breaks", "scan"),
    "chunk.align_trusts_weak": Mutant(32, "P3", "inside", "chunk/align"),
    "client.trusts_local": Mutant(32, "P3", "pytest", "tests/blackbox/test_42_download.py::test_faults_are_noticed[client.trusts_local-changed_source]"),
    "chunk.size_unbounded": Mutant(33, "P28", "breaks", "chunk/codec"),
    "domain.no_idem": Mutant(34, "P5", "breaks", "domain/batch"),
    "domain.since_wall": Mutant(35, "P12", "breaks", "domain/feed"),
    "domain.quota_not_atomic": Mutant(36, "P7", "breaks", "domain/quota"),
    "restore.keeps_epoch": Mutant(37, "P10", "pytest", "tests/blackbox/test_34_backup.py::test_a_kept_epoch_is_noticed"),
    "client.believes": Mutant(40, "P31", "pytest", FAULTS + "client_fault_is_noticed[client.believes,client.feed_drops]"),
    # Others than those of the list.
    "client.conflict_untold": Mutant(0, "P15", "pytest", FAULTS + "client_fault_is_noticed[client.conflict_untold]"),
    "client.delta_wrong_extent": Mutant(0, "P3", "inside", "client/upload"),
    "client.feed_drops": Mutant(0, "P14", "pytest", FAULTS + "client_fault_is_noticed[client.feed_drops]"),
    "client.flushed_is_all": Mutant(0, "P18", "breaks", "client/flush"),
    "client.no_flush_before_commit": Mutant(0, "P18", "breaks", "client/flush"),
    "client.forgets_installed": Mutant(0, "P16", "pytest", FAULTS + "client_fault_is_noticed[client.forgets_installed]"),
    "client.forgets_sent": Mutant(0, "P5", "pytest", FAULTS + "client_fault_is_noticed[client.forgets_sent]"),
    "client.ignore_deletes": Mutant(0, "P13", "pytest", FAULTS + "client_fault_is_noticed[client.ignore_deletes]"),
    "client.keeps_no_temp": Mutant(0, "P18", "pytest", "tests/blackbox/test_42_download.py::test_faults_are_noticed[client.keeps_no_temp-resumed]"),
    "client.trusts_temp": Mutant(0, "P3", "pytest", "tests/blackbox/test_42_download.py::test_faults_are_noticed[client.trusts_temp-corrupted_temporary]"),
    "client.no_conflict_copy": Mutant(0, "P12", "pytest", FAULTS + "client_fault_is_noticed[client.no_conflict_copy]"),
    "client.no_dir_times": Mutant(0, "P14", "pytest", FAULTS + "client_fault_is_noticed[client.no_dir_times]"),
    "client.no_hold": Mutant(0, "P13", "pytest", FAULTS + "client_fault_is_noticed[client.no_hold]"),
    "client.no_look_before": Mutant(0, "P12", "inside", "apply"),
    "client.believes_versions": Mutant(0, "P14", "inside", "client/feed"),
    "client.keeps_half_a_listing": Mutant(0, "P16", "inside", "client/feed"),
    "client.snapshot_cut": Mutant(0, "P16", "inside", "client/snapshot"),
    "client.edited_is_ours": Mutant(0, "P12", "inside", "apply"),
    "client.trusts_own_ctime": Mutant(0, "P31", "inside", "apply"),
    "client.resume_trusts_number": Mutant(0, "P3", "inside", "client/upload"),
    "client.keeps_its_number": Mutant(0, "P5", "inside", "client/upload"),
    "client.rows_before_names": Mutant(0, "P18", "breaks", "client/carry_install"),
    "client.unseen_is_gone": Mutant(0, "P13", "pytest", FAULTS + "client_fault_is_noticed[client.unseen_is_gone]"),
    "client.unread_is_edited": Mutant(0, "P12", "bends", "tests/blackbox/test_20_sync.py::test_what_cannot_be_read_is_no_edit"),
    "client.unseen_moves": Mutant(0, "P16", "pytest", FAULTS + "client_fault_is_noticed[client.unseen_moves]"),
    "db.late_error_lost": Mutant(0, "P4", "breaks", "db/postgres/tx"),
    "db.no_turns": Mutant(0, "P17", "breaks", "db/fault no_turns"),
    "domain.conflict_unrecorded": Mutant(0, "P15", "pytest", FAULTS + "server_fault_is_noticed[domain.conflict_unrecorded]"),
    "domain.counts_not_handed_up": Mutant(0, "P14", "breaks", "domain/counts"),
    "domain.move_not_counted": Mutant(0, "P14", "breaks", "domain/counts"),
    "domain.keeps_what_is_there": Mutant(0, "P31", "inside", "domain/commit"),
    "domain.no_mass_hold": Mutant(0, "P13", "breaks", "domain/hold"),
    "domain.no_base_check": Mutant(0, "P12", "breaks", "domain/model"),
    "domain.no_digest": Mutant(0, "P14", "breaks", "domain/model"),
    "job.compact_early": Mutant(0, "P8", "breaks", "job/gc"),
    "job.gc_no_grace": Mutant(0, "P8", "breaks", "job/gc"),
    "job.gc_long_readers": Mutant(0, "P28", "breaks", "job/gc_readers"),
    "notify.drops_change": Mutant(0, "P17", "pytest", "tests/blackbox/test_80_events.py::test_a_dropped_change_is_noticed"),
    "notify.forgets_gone": Mutant(0, "P31", "pytest", "tests/blackbox/test_82_status.py::test_a_device_that_is_not_told_as_gone_is_noticed"),
    "notify.live_floods": Mutant(0, "P28", "breaks", "notify/live"),
    "notify.live_queues": Mutant(0, "P28", "breaks", "notify/live"),
    "watch.no_hold": Mutant(0, "P19", "breaks", "client/quiet"),
    "watch.trusts_event": Mutant(39, "P32", "pytest", "tests/blackbox/test_84_loss.py::test_an_agent_that_trusts_events_is_caught"),
    "client.copy_unnoticed": Mutant(0, "P24", "pytest", "tests/blackbox/test_36_memory.py::test_clone_that_is_not_noticed_is_noticed"),
    "client.deselect_deletes": Mutant(0, "P13", "pytest", FAULTS + "client_fault_is_noticed[client.deselect_deletes]"),
    "client.unsure_deletes": Mutant(0, "P13", "pytest", "tests/blackbox/test_36_memory.py::test_row_that_is_believed_is_noticed"),
    "db.deaf": Mutant(0, "P17", "postgres", "tests/blackbox/test_84_servers.py::test_deaf_is_noticed"),
    "ticket.lives_on": Mutant(0, "P26", "pytest", "tests/blackbox/test_83_tickets.py::test_without_the_rule_it_would_be_noticed[ticket.lives_on]"),
    "ticket.used_twice": Mutant(0, "P26", "pytest", "tests/blackbox/test_83_tickets.py::test_without_the_rule_it_would_be_noticed[ticket.used_twice]"),
}

# Not mistakes but circumstances: the code must cope with them, and tests switch them on to see that it does.
CIRCUMSTANCES = {
    "client.no_landlock": "a kernel without Landlock, which stops M30 before the canary could show it",
    "client.tiny_slices": "a first sync in slices of eight names",
    "db.lose_answer": "a commit whose answer is lost",
    "db.lose_commit": "a commit that is lost with its answer",
    "domain.commit_pauses": "commits that take long",
    "store.bad_sectors": "a disk that cannot be read where a third of the chunks lie",
    "store.fsync_fails": "a disk whose fsync fails",
    "store.no_direct": "a file system without O_DIRECT",
    "watch.limit": "fewer watches than directories",
    "watch.overflow": "an inotify queue that overflows",
    "client.no_rate": "a device that does not keep to its rate: the server's own limit is tested with it",
}

# Of M1 … M40, those that have no fault here.
WITHOUT = {
    19: "what an ignored overflow loses comes with the next full look, a minute later: only a test of that length would see it",
    20: "there is no marker beside the state: a root without .dray/state.db is not linked",
    24: "there is no cache of tokens",
    29: "names are decoded once, by the JSON parser or the URL's, before anything looks at them; there is no later decoding to leave out",
    38: "no code re-sends by content: base, disk and server decide",
}


def faults_of_source():
    text = "".join(p.read_text() for p in (ROOT / "src").rglob("*.c"))
    return set(re.findall(r'FAULT\("([^"]+)"\)', text))


def programs():
    """{name of a unit test: (command, environment)}; the first of a name counts, which is the one without an engine."""
    told = subprocess.run(["meson", "introspect", "--tests", BIN], capture_output=True, text=True, check=True).stdout
    found = {}
    for test in json.loads(told):
        found.setdefault(test["name"], (test["cmd"], test["env"]))
    return found


@dataclasses.dataclass
class Runner:
    programs: dict

    def program(self, check, env):
        command, own = self.programs[check]
        return subprocess.run(command, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **own, **env}, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE).returncode

    def pytest(self, check, env):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", check]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE).returncode

    def noticed(self, fault, mutant):
        """True, False, or why it could not be tried."""
        on = {"DRAY_FAULT": fault}
        if mutant.how in ("breaks", "inside"):
            if mutant.check not in self.programs:
                return f"there is no test {mutant.check}"
            code = self.program(mutant.check, on if mutant.how == "breaks" else {})
            return "skipped" if code == 77 else (code == 0) == (mutant.how == "inside")
        code = self.pytest(mutant.check, {"bends": on, "postgres": {"DRAY_TEST_DB": "postgres"}}.get(mutant.how, {}))
        if code not in (0, 1):
            return f"pytest: exit {code}"
        return (code == 0) == (mutant.how != "bends")


def run_one(runner, fault, ledger):
    mutant, began, noticed = TABLE[fault], time.monotonic(), False
    trials = 0
    while noticed is False and trials < TRIES:
        trials += 1
        try:
            noticed = runner.noticed(fault, mutant)
        except subprocess.TimeoutExpired:
            noticed = "it hung"
    seconds = time.monotonic() - began
    said = "killed" if noticed is True else "SURVIVED" if noticed is False else noticed
    name = f"M{mutant.m}" if mutant.m else ""
    print(f"{name:4} {fault:32} {mutant.promise:4} {said:9} {trials:2} {seconds:7.1f}  {mutant.check}", flush=True)
    ledger.add(fault=fault, m=mutant.m, promise=mutant.promise, check=mutant.check, outcome=said, trials=trials, seconds=round(seconds, 1))
    return noticed in (True, "skipped")


def check_table():
    known = TABLE.keys() | CIRCUMSTANCES.keys()
    wrong = [f"{name}: a fault of src/ without a row" for name in sorted(faults_of_source() - known)]
    wrong += [f"{name}: a row without a fault in src/" for name in sorted(known - faults_of_source())]
    numbered = {m.m for m in TABLE.values()} | WITHOUT.keys()
    wrong += [f"M{n}: neither a fault nor a reason" for n in range(1, 41) if n not in numbered]
    return wrong


def show_list():
    for fault, mutant in TABLE.items():
        print(f"{f'M{mutant.m}' if mutant.m else '':4} {fault:32} {mutant.promise:4} {mutant.how:7} {mutant.check}")
    for fault, what in CIRCUMSTANCES.items():
        print(f"     {fault:32} no mutant: {what}")
    for n, why in WITHOUT.items():
        print(f"M{n:<3} none: {why}")


def main():
    parser = argparse.ArgumentParser(description="Run every deliberate fault against the check that must notice it.")
    parser.add_argument("faults", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    args = parser.parse_args()
    wrong = check_table()
    for line in wrong:
        print(line, file=sys.stderr)
    if args.list:
        show_list()
        return bool(wrong)
    unknown = [f for f in args.faults if f not in TABLE]
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}")
    from ledger import Ledger
    ledger, runner = Ledger("mutants", BIN), Runner(programs())
    survived = [f for f in args.faults or TABLE if not run_one(runner, f, ledger)]
    if survived:
        print(f"{len(survived)} not killed: {', '.join(survived)}", file=sys.stderr)
    return bool(wrong or survived)


if __name__ == "__main__":
    sys.exit(main())
