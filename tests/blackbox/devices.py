"""Devices for black-box tests: a folder, the real dray, and trees compared to the last bit."""
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import stat
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DRAY_BIN", ROOT / "build/debug"))
# The search for leaks takes as long as the rest of a short command: one process in so many is searched, all of them in a full campaign.
LEAKS_EVERY = 1 if os.environ.get("DRAY_CAMPAIGN") == "full" else 8
processes = itertools.count()
if LEAKS_EVERY > 1:
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")


def leaks():
    """The environment of the next process: is it searched?"""
    return {"ASAN_OPTIONS": f"detect_leaks={int(next(processes) % LEAKS_EVERY == 0)}"}


def run_program(program, *args, env=None, bin=BIN, timeout=600, **more):
    """One command to its end; a sanitizer that speaks up fails the test whatever the exit status."""
    run = subprocess.run([bin / program, *map(str, args)], capture_output=True, text=True, errors="surrogateescape",
                         env={**os.environ, **leaks(), **(env or {})}, timeout=timeout, **more)
    assert "runtime error" not in run.stderr and "Sanitizer" not in run.stderr, run.stderr
    assert run.returncode in (0, 1, 2, 3), f"{program} {args}: {run.returncode}\n{run.stderr}"
    return run


def run_dray(*args, **more):
    return run_program("dray", *args, **more)


def run_drayd(*args, timeout=300, **more):
    return run_program("drayd", *args, timeout=timeout, **more)


class Device:
    """A folder linked to a project of a running server."""

    def __init__(self, server, project, folder, name, role=None, bin=BIN, **more):
        self.folder = pathlib.Path(folder)
        self.project = project
        self.name = name
        self.bin = bin
        self.more = more  # for every process: user=, group=
        self.token = server.device(project, name, role) if role else server.device(project, name)
        run = self.dray("link", server.url, "--project", project, self.folder)
        assert run.returncode == 0, run.stderr

    def dray(self, *args, env=None, **more):
        return run_dray(*args, env=dict(env or {}, DRAY_TOKEN=self.token), bin=self.bin, **self.more, **more)

    def start(self, *args, **more):
        """A sync of its own, to be killed."""
        return subprocess.Popen([self.bin / "dray", "sync", "--quiet", *args, self.folder], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, **self.more, **more)

    def sync(self, *args, expect=0, **more):
        run = self.dray("sync", "--json", *args, self.folder, **more)
        assert run.returncode == expect, f"{self.name}: exit {run.returncode}, not {expect}\n{run.stdout[:4000]}\n{run.stderr}"
        answer = json.loads(run.stdout)
        if expect in (0, 3):
            assert answer["in_sync"] or expect == 3, f"{self.name}: exit 0 and yet not in sync: {run.stdout[:4000]}"
        return answer

    def sync_any(self, *args, **more):
        """A sync that may end with conflicts."""
        run = self.dray("sync", "--json", *args, self.folder, **more)
        assert run.returncode in (0, 3), f"{self.name}: exit {run.returncode}\n{run.stdout[:4000]}\n{run.stderr}"
        return json.loads(run.stdout)

    def quiet(self, **same):
        """A sync that finds nothing to do."""
        done = self.sync(**same)
        counts = ("sent", "fetched", "moved_here", "moved_there", "deleted_here", "deleted_there", "held_deletes", "content_sent",
                  "content_fetched", "retries")
        assert {k: done[k] for k in counts if done[k]} == {}, f"{self.name} was not quiet"
        assert done["requests"] <= 3
        return done

    def status(self):
        run = self.dray("status", "--json", self.folder)
        assert run.returncode in (0, 3), run.stderr
        return json.loads(run.stdout)

    def tree(self):
        return tree_of(self.folder)

    def path(self, *names):
        return self.folder.joinpath(*names)

    def dot(self, *names):
        return self.folder.joinpath(".dray", *names)

    def write(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path


def tree_of(folder):
    """{path: (kind, mode, mtime_ns, size or target, hash)} of everything but .dray; bytes as names, so that any name compares."""
    found = {}
    root = os.fsencode(folder)
    for dirpath, dirs, files in os.walk(root):
        if dirpath == root and b".dray" in dirs:
            dirs.remove(b".dray")
        for name in dirs + files:
            path = os.path.join(dirpath, name)
            st = os.lstat(path)
            rel = os.path.relpath(path, root)
            if stat.S_ISLNK(st.st_mode):
                found[rel] = ("link", None, st.st_mtime_ns, os.readlink(path), None)
            elif stat.S_ISDIR(st.st_mode):
                found[rel] = ("dir", stat.S_IMODE(st.st_mode), st.st_mtime_ns, None, None)
            else:
                digest = hashlib.sha256()
                with open(path, "rb") as f:
                    for piece in iter(lambda: f.read(1 << 20), b""):
                        digest.update(piece)
                found[rel] = ("file", stat.S_IMODE(st.st_mode), st.st_mtime_ns, st.st_size, digest.hexdigest())
    return found


@contextlib.contextmanager
def unrecorded(device):
    """What is done in it is done to the tree and to the server, and the device was killed before it could record it."""
    state = {f.name: f.read_bytes() for f in device.dot().glob("state.db*")}
    yield
    for f in device.dot().glob("state.db*"):
        f.unlink()
    for name, content in state.items():
        device.dot(name).write_bytes(content)


def assert_same(a, b):
    """Two trees are the same, or the first few differences are shown."""
    differing = [p for p in sorted(set(a) | set(b)) if a.get(p) != b.get(p)]
    shown = "\n".join(f"{p!r}: {a.get(p)} | {b.get(p)}" for p in differing[:10])
    assert not differing, f"{len(differing)} entries differ:\n{shown}"


def move_from_unseen(a, b):
    """The server moves what b cannot see, for there is a fifo in its place: b does that when it is back, and nobody gets it twice."""
    aside = b.folder.parent / "aside"
    b.path("text").rename(aside)
    os.mkfifo(b.path("text"))
    a.path("text").rename(a.path("dir/text"))
    a.sync()
    b.sync(expect=3)
    b.path("text").unlink()
    aside.rename(b.path("text"))
    b.sync()
    a.sync()
    for device in (a, b):
        assert device.path("dir/text").is_file() and not device.path("text").exists()


def settle(*devices, rounds=4, args=()):
    """Sync all until nobody has anything to do, then all trees must be one.  Returns the tree."""
    for _ in range(rounds):
        done = [d.sync_any(*args) for d in devices]
        if not any(r[k] for r in done for k in ("sent", "fetched", "moved_here", "moved_there", "deleted_here", "deleted_there")):
            break
    else:
        raise AssertionError(f"still busy after {rounds} rounds: {done}")
    trees = [d.tree() for d in devices]
    for other in trees[1:]:
        assert_same(trees[0], other)
    assert all(r["in_sync"] for r in done), [(r, d.status()["plan"]) for r, d in zip(done, devices) if not r["in_sync"]]
    return trees[0]


def contents(tree):
    """Names and bytes only."""
    return {p: (kind, what, digest) for p, (kind, _, _, what, digest) in tree.items()}


ODD_NAMES = ["plain", "with space", " leading", "trailing ", "quote\"s'", "new\nline", "tab\t", "-dash", "--help", "~", "$(x)", "`y`",
             "back\\slash", "semi;colon", "star*", "question?", "percent%41", "a:b", "CON", "nul.txt", "dot.", "...", "ünïcödé", "日本語",
             "e\u0301", "é", "\u202ecod.exe", "\u200bzero", "emoji 🎬", "=cmd()", "__proto__", "<img src=x onerror=alert(1)>", "UPPER", "upper",
             "x" * 255, "ß" * 127, ".hidden", "..hidden", "#fragment", "a&b=c", "\x01ctl", "\x7fdel"]


def fill(folder, seed=1, files=200):
    """A tree with everything that a tree can hold: odd names, links, empty files and directories, modes, old and new times."""
    rng = random.Random(seed)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ODD_NAMES:
        (folder / "odd").mkdir(exist_ok=True)
        (folder / "odd" / name).write_bytes(name.encode())
        (folder / "odd dirs" / name).mkdir(parents=True, exist_ok=True)
    for i in range(files):
        path = folder / f"d{i % 17}" / f"e{i % 5}" / f"file{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.choice([0, 1, 100, 5000, 65535, 65536, 65537, 200_000])
        path.write_bytes(rng.randbytes(size) if i % 2 else (b"text %d " % i) * (size // 8))
        path.chmod(rng.choice([0o644, 0o600, 0o755, 0o444, 0o400]))
        os.utime(path, ns=(0, rng.choice([0, 1, -1_500_000_001, 999_999_999, 1_700_000_000_123_456_789, 4_102_444_800_000_000_000])))
    (folder / "large").write_bytes(rng.randbytes(9 * 1024 * 1024 + 12345))
    (folder / "empty dir").mkdir(exist_ok=True)
    for name, target in [("relative", "d0/e0"), ("dangling", "no/such"), ("absolute", "/etc/passwd"), ("up", "../.."), ("self", "self"),
                         ("odd\nlink", "tar\nget"), ("long", "t" * 4000)]:
        os.symlink(target, folder / name)
        os.utime(folder / name, ns=(0, rng.randrange(10**18)), follow_symlinks=False)
    os.utime(folder / "empty dir", ns=(0, 1_234_567_890_987_654_321))
