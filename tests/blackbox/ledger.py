"""What the long campaigns have found, a line a trial, in build/ledger/: a campaign that was stopped goes on where it was."""
import hashlib
import json
import pathlib
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_of(bin, programs):
    """Names the programs: trials of others do not count."""
    digest = hashlib.sha256()
    for name in programs:
        digest.update((pathlib.Path(bin) / name).read_bytes())
    return digest.hexdigest()[:16]


class Ledger:
    def __init__(self, campaign, bin, programs=("drayd", "dray")):
        self.path = ROOT / "build/ledger" / f"{campaign}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.build = build_of(bin, programs)

    def rows(self, **like):
        """Trials of these programs, and of this kind."""
        if not self.path.exists():
            return []
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [r for r in rows if r["build"] == self.build and all(r.get(k) == v for k, v in like.items())]

    def add(self, **row):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.path.open("a") as f:
            f.write(json.dumps({"at": at, "build": self.build, **row}) + "\n")


def spread(values):
    """Least, middle, 99 of 100, most."""
    values = sorted(values)
    if not values:
        return "none"
    at = [values[min(len(values) - 1, int(len(values) * q))] for q in (0, 0.5, 0.99)] + [values[-1]]
    return "min {:,.1f} median {:,.1f} p99 {:,.1f} max {:,.1f}".format(*at)
