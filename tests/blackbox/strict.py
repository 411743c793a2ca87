"""
What a disk may hold after a power cut that owes nobody anything: a model of it, fed by what record/ wrote down.

What is durable
    bytes, size, mode and times of a file     when its own fsync has ended, as they were when that began
    a name in a directory                     when the fsync of that directory has ended
    all of it                                 after a syncfs
An fsync of a file does not keep its name (on ext4, XFS and btrfs it does), and what is not durable may be there or not, in any part.

What no file system does is not modelled either:
    - a rename, an exchange or a link is one transaction: it has happened or not, and is durable with either of its directories;
    - what becomes durable brings what it rests on: earlier changes of the same name, and of the same inode's names; a rename or a link, the name
      of the directory that it goes to; the removal of a directory, what had left it;
    - a symlink cannot be flushed by itself: its time is there with its name;
    - writing does not harm its neighbours: a torn write leaves a whole number of sectors, as SQLite believes too (PSOW).
"""
import collections
import contextlib
import fcntl
import mmap
import os
import pathlib
import stat
import struct

CREATE, MKDIR, SYMLINK, LINK, RENAME, EXCHANGE, UNLINK, WRITE, ZERO, SIZE, ATTR, FSYNC, FSYNCED, SYNCFS, SYNCEDFS = range(1, 16)
HEAD = struct.Struct("<IIQQQqqqqqIIQ")
KNOWN = struct.Struct("<QQqq")
NEVER = 1 << 62
PAGE, SECTOR = 4096, 512

Record = collections.namedtuple("Record", "kind mode ino dir dir2 off mtime ctime dir_mtime dir2_mtime name name2 data")
Attr = collections.namedtuple("Attr", "mode mtime ctime")
Op = collections.namedtuple("Op", "seq kind off data attr")  # of a file's bytes, or of any node's mode and times


def read_log(path):
    log, at, records = pathlib.Path(path).read_bytes(), 0, []
    while at < len(log):
        *numbers, n1, n2, n3 = HEAD.unpack_from(log, at)
        at += HEAD.size
        records.append(Record(*numbers, log[at:at + n1], log[at + n1:at + n1 + n2], log[at + n1 + n2:at + n1 + n2 + n3]))
        at += n1 + n2 + n3
    assert at == len(log)
    return records


class Recorder:
    """The environment in which programs write down what they do beneath ${root}; one log for all of them."""

    def __init__(self, root, library, where, slow_us=0):
        self.root, self.log = pathlib.Path(root), pathlib.Path(where) / "log"
        self.log.write_bytes(b"")
        count = pathlib.Path(where) / "count"
        count.write_bytes(bytes(8))
        self.file = count.open("r+b")
        self.count = mmap.mmap(self.file.fileno(), 8)
        self.env = {"DRAY_RECORD_LOG": str(self.log), "DRAY_RECORD_COUNT": str(count), "DRAY_RECORD_SLOW_US": str(slow_us),
                    **preloaded(library)}
        self.before = list(walk(self.root))

    def now(self):
        """How much has been called: all of it has a smaller number."""
        return struct.unpack("<Q", self.count)[0]

    @contextlib.contextmanager
    def still(self):
        """No call is under way, done and not written down: the moment to kill somebody."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_UN)

    def tape(self):
        return Tape(self.before, read_log(self.log))


def preloaded(library):
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}


def walk(root):
    """(path, stat, bytes or target) of everything, parents first."""
    root = os.fsencode(root)
    yield b"", os.lstat(root), None
    for at, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            else:
                what = pathlib.Path(os.fsdecode(path)).read_bytes() if stat.S_ISREG(st.st_mode) else None
            yield os.path.relpath(path, root), st, what


class Node:
    """An inode: what it was at first, and what was done to it since."""

    def __init__(self, ino, attr, what=None):
        self.ino, self.attr, self.what = ino, attr, what
        self.is_dir, self.is_link = stat.S_ISDIR(attr.mode), stat.S_ISLNK(attr.mode)
        self.ops, self.durable = [], []  # durable[i]: with which record ops[i] has become so
        self.flushed = 0                 # how many are durable, while the log is read
        self.kept = (0, b"" if self.is_dir or self.is_link or what is None else what)  # bytes after so many ops

    def add(self, op):
        self.ops.append(op)
        self.durable.append(NEVER)

    def flush(self, before, at):
        while self.flushed < len(self.ops) and self.ops[self.flushed].seq < before:
            self.durable[self.flushed] = at
            self.flushed += 1

    def done(self, cut):
        """How many had been done, and how many of them were durable."""
        n = sum(1 for op in self.ops if op.seq < cut)
        return sum(1 for at in self.durable[:n] if at < cut), n

    def bytes_after(self, n):
        k, data = self.kept
        if k > n:
            k, data = 0, self.what or b""
        data = bytearray(data)
        for op in self.ops[k:n]:
            apply(data, op)
        return data

    def settle(self):
        """Begin there from now on: nobody asks for less."""
        if not self.is_dir and not self.is_link:
            self.kept = (self.flushed, bytes(self.bytes_after(self.flushed)))

    def attr_after(self, n):
        return self.ops[n - 1].attr if n else self.attr


def apply(data, op, only_size=False):
    if op.kind == WRITE:
        if len(data) < op.off + len(op.data):
            data.extend(bytes(op.off + len(op.data) - len(data)))
        if not only_size:
            data[op.off:op.off + len(op.data)] = op.data
    elif op.kind == SIZE:
        if op.off < len(data):
            del data[op.off:]
        else:
            data.extend(bytes(op.off - len(data)))
    elif op.kind == ZERO:
        end = min(len(data), op.off + op.data)
        if op.off < end:
            data[op.off:end] = bytes(end - op.off)


class Edit:
    """One transaction on names: [(directory, name, node or None)]."""

    def __init__(self, seq, changes, times, rests_on):
        self.seq, self.changes, self.times, self.rests_on = seq, changes, times, rests_on
        self.dirs = {d for d, _, _ in changes}
        self.durable = NEVER


class Tape:
    """All that was done, in order, and when each of it became durable."""

    def __init__(self, before, records):
        self.nodes, self.edits = [], []
        self.by_ino, self.tree = {}, {}  # while the log is read: who has the number, {directory: {name: node}}
        self.last = {}                   # {what may be rested on: the last edit of it}
        self.within = {}                 # {directory: [edit]}
        paths = {}
        for path, st, what in before:
            node = self.node(st.st_ino, Attr(st.st_mode, st.st_mtime_ns, st.st_ctime_ns), what)
            paths[path] = node
            if path:
                parent, _, name = path.rpartition(b"/")
                self.tree[paths[parent]][name] = node
        self.root = paths[b""]
        self.first = {d: dict(names) for d, names in self.tree.items()}
        self.end = len(records)
        self.events = []                 # the cuts at which something is worth losing
        for seq, r in enumerate(records):
            self.take(seq, r)

    def node(self, ino, attr, what=None):
        node = Node(ino, attr, what)
        self.by_ino[ino] = node
        self.nodes.append(node)
        if node.is_dir:
            self.tree[node] = {}
        return node

    def take(self, seq, r):
        attr = Attr(r.mode, r.mtime, r.ctime)
        if r.kind in (CREATE, MKDIR, SYMLINK):
            self.by_ino.pop(r.ino, None)  # who had the number before is gone
            if r.dir in self.by_ino:
                made = self.node(r.ino, attr, r.data if r.kind == SYMLINK else None)
                self.edit(seq, [(self.by_ino[r.dir], r.name, made)], [r.dir_mtime])
        elif r.kind in (FSYNCED, SYNCEDFS):
            self.flush(seq, r)
        elif r.kind in (FSYNC, SYNCFS):
            pass
        elif r.kind in (RENAME, EXCHANGE, LINK, UNLINK):
            self.take_names(seq, r, attr)
        elif r.ino in self.by_ino:
            data = struct.unpack("<q", r.data)[0] if r.kind == ZERO else r.data
            self.by_ino[r.ino].add(Op(seq, r.kind, r.off, data, attr))
            self.events.append(seq)

    def take_names(self, seq, r, attr):
        d, d2 = self.by_ino.get(r.dir), self.by_ino.get(r.dir2)
        if r.kind == LINK and d and r.ino in self.by_ino:
            self.edit(seq, [(d, r.name, self.by_ino[r.ino])], [r.dir_mtime], goes_to=d)
        elif r.kind == UNLINK and d:
            gone = self.tree[d][r.name]
            self.edit(seq, [(d, r.name, None)], [r.dir_mtime], emptied=gone if gone.is_dir else None)
        elif r.kind in (RENAME, EXCHANGE) and (d or d2):
            assert d and d2, "a rename across the root"
            moved, other = self.tree[d][r.name], self.tree[d2].get(r.name2)
            back = other if r.kind == EXCHANGE else None
            self.edit(seq, [(d, r.name, back), (d2, r.name2, moved)], [r.dir_mtime, r.dir2_mtime], goes_to=d2 if d2 is not d else None,
                      emptied=other if other and not back and other.is_dir else None)
        if r.kind != UNLINK and r.ino in self.by_ino:
            self.by_ino[r.ino].add(Op(seq, ATTR, 0, b"", attr))

    def edit(self, seq, changes, times, goes_to=None, emptied=None):
        keys = {(d, name) for d, name, _ in changes} | {node for d, name, new in changes for node in (new, self.tree[d].get(name)) if node}
        rests_on = {self.last[k] for k in keys if k in self.last}
        if goes_to in self.last:
            rests_on.add(self.last[goes_to])
        rests_on.update(self.within.get(emptied, ()))
        index = len(self.edits)
        self.edits.append(Edit(seq, changes, times, sorted(rests_on)))
        for k in keys:
            self.last[k] = index
        for d, name, new in changes:
            self.within.setdefault(d, []).append(index)
            if new:
                self.tree[d][name] = new
            else:
                del self.tree[d][name]
        self.events.append(seq)

    def flush(self, seq, r):
        node = self.by_ino.get(r.ino)
        if r.kind == SYNCEDFS:
            for n in self.nodes:
                n.flush(r.off, seq)
            self.keep([i for i, e in enumerate(self.edits) if e.seq < r.off], seq)
        elif node:
            node.flush(r.off, seq)
            if node.is_dir:
                self.keep([i for i in self.within.get(node, ()) if self.edits[i].seq < r.off], seq)
        self.events.append(seq)

    def keep(self, todo, at):
        while todo:
            e = self.edits[todo.pop()]
            if e.durable == NEVER:
                e.durable = at
                todo += e.rests_on

    def settle(self, cut):
        """All until then is durable, as after a sync; cuts come later."""
        for n in self.nodes:
            while n.flushed < len(n.ops) and n.ops[n.flushed].seq < cut:
                n.flushed += 1
            n.flushed = sum(1 for op in n.ops if op.seq < cut)
            n.durable[:n.flushed] = [min(at, cut - 1) for at in n.durable[:n.flushed]]
            n.settle()
        for e in self.edits:
            if e.seq < cut:
                e.durable = min(e.durable, cut - 1)
        self.events = [seq for seq in self.events if seq >= cut]

    # ---- states ----

    def state(self, cut, names="all", data="all", rng=None, point=None):
        """The tree after the power has failed before record ${cut}; ${names}, ${data}: what of the rest is there (NAMES, DATA)."""
        point = cut if point is None else point
        chosen = NAMES[names](self, cut, rng, point)
        kept = []
        for i, e in enumerate(self.edits):
            if e.seq >= cut:
                break
            kept.append(e.durable < cut or (chosen(e) and all(kept[j] for j in e.rests_on)))
        tree = {d: dict(n) for d, n in self.first.items()}
        dir_times, named = {}, {}
        for e, is_kept in zip(self.edits, kept):
            if is_kept:
                for (d, name, new), mtime in zip(e.changes, e.times * len(e.changes)):
                    dir_times[d], named[new] = (e.seq, mtime), e.seq
                    names_of = tree.setdefault(d, {})
                    if new:
                        names_of[name] = new
                    else:
                        names_of.pop(name, None)
        return State(self, cut, tree, dir_times, named, data, rng, point)

    def whole(self):
        return self.state(self.end)


NAMES = {
    "none": lambda tape, cut, rng, point: lambda e: False,
    "all": lambda tape, cut, rng, point: lambda e: True,
    "prefix": lambda tape, cut, rng, point: lambda e: e.seq < point,
    "some": lambda tape, cut, rng, point: lambda e: rng.random() < 0.5,
    "dirs": lambda tape, cut, rng, point: each_to_its_point(cut, rng, tape),
}


def each_to_its_point(cut, rng, tape):
    """Every directory has come to a point of its own."""
    floor = min((e.seq for e in tape.edits if e.seq < cut <= e.durable), default=cut)
    points = collections.defaultdict(lambda: rng.randint(floor, cut))
    return lambda e: all(e.seq < points[d] for d in sorted(e.dirs, key=lambda d: d.ino))


def data_drop(node, durable, done, rng, point):
    return node.bytes_after(durable), durable


def data_all(node, durable, done, rng, point):
    return node.bytes_after(done), done


def data_prefix(node, durable, done, rng, point):
    n = max(durable, sum(1 for op in node.ops[:done] if op.seq < point))
    return node.bytes_after(n), n


def data_torn(node, durable, done, rng, point):
    """As a prefix, and of the write after it some sectors."""
    data, n = data_prefix(node, durable, done, rng, point)
    if n < done and node.ops[n].kind == WRITE:
        op = node.ops[n]
        sectors = rng.randrange((len(op.data) + SECTOR - 1) // SECTOR)
        end = min(len(op.data), max(0, (op.off // SECTOR + sectors) * SECTOR - op.off))
        if end:
            apply(data, op._replace(data=op.data[:end]))
    return data, n


def data_pages(node, durable, done, rng, point):
    """Each page is as it was at some time since the last flush, and so is the size."""
    data, sized = node.bytes_after(durable), rng.randint(durable, done)
    then, pages = bytearray(data), {}
    for i, op in enumerate(node.ops[durable:done], durable + 1):
        apply(then, op)
        if i == sized:
            size = len(then)
        if op.kind == WRITE:
            for page in range(op.off // PAGE, (op.off + len(op.data) - 1) // PAGE + 1):
                if rng.random() < 0.5:
                    pages[page] = bytes(then[page * PAGE:(page + 1) * PAGE])
    size = len(data) if sized == durable else size
    if size < len(data):
        del data[size:]
    data.extend(bytes(size - len(data)))
    for page, content in pages.items():
        at = page * PAGE
        if at < size:
            content = content[:size - at]
            data[at:at + len(content)] = content
    return data, sized


def data_zeros(node, durable, done, rng, point):
    """The inode is there, its blocks were never written."""
    data = node.bytes_after(durable)
    for op in node.ops[durable:done]:
        apply(data, op, only_size=True)
    return data, done


def data_each(node, durable, done, rng, point):
    return rng.choice([data_drop, data_all, data_prefix, data_torn, data_pages, data_zeros])(node, durable, done, rng, rng.randint(0, point))


DATA = {"drop": data_drop, "all": data_all, "prefix": data_prefix, "torn": data_torn, "pages": data_pages, "zeros": data_zeros,
        "each": data_each}

# What a power cut can leave of what was not flushed: (a) nothing, (b) what came first, (c) any of it, (d) a torn write, (e) names before
# their bytes, (f) sizes before their bytes, and the rest of the mixtures.
WAYS = {"nothing": ("none", "drop"), "first": ("prefix", "prefix"), "any": ("some", "pages"), "torn": ("prefix", "torn"), "names": ("all", "drop"),
        "sizes": ("all", "zeros"), "data": ("none", "all"), "dirs": ("dirs", "each"), "mixed": ("some", "each"), "early": ("prefix", "pages")}


class State:
    def __init__(self, tape, cut, tree, dir_times, named, data, rng, point):
        self.tape, self.cut, self.tree, self.dir_times, self.named = tape, cut, tree, dir_times, named
        self.how, self.rng, self.point = DATA[data], rng, point
        self.keep_all = data == "all"
        self.found = {}

    def at(self, path):
        node = self.tape.root
        for name in os.fsencode(path).split(b"/"):
            node = self.tree.get(node, {}).get(name) if node else None
        return node

    def content(self, node):
        """(bytes, mode and times)."""
        if node not in self.found:
            durable, done = node.done(self.cut)
            if node.is_dir or node.is_link:
                n = done if self.keep_all else durable
                if node.is_link:
                    n = max(n, sum(1 for op in node.ops[:done] if op.seq <= self.named.get(node, -1)))
                self.found[node] = (node.what, node.attr_after(n))
            else:
                data, n = self.how(node, durable, done, self.rng, self.point)
                self.found[node] = (data, node.attr_after(n))
        return self.found[node]

    def dir_attr(self, node):
        attr = self.content(node)[1]
        durable, done = node.done(self.cut)
        n = done if self.keep_all else durable
        set_at = node.ops[n - 1].seq if n else -1
        seq, mtime = self.dir_times.get(node, (-1, 0))
        return attr._replace(mtime=mtime) if seq > set_at else attr

    def write(self, path, folder, stats=None):
        """What is at ${path} as ${folder}; what its files were known by goes to ${stats}, for DRAY_RECORD_STATS."""
        node = self.at(path)
        if node is None:
            return False
        made, known = {}, []
        self.write_node(node, os.fsencode(folder), made, known)
        if stats:
            used = set()
            rows = []
            for here, node, ctime, mine in sorted(known, key=lambda k: k[0]):
                if node.ino not in used:
                    used.add(node.ino)
                    rows.append(KNOWN.pack(here, node.ino, mine, ctime))
            pathlib.Path(stats).write_bytes(b"".join(rows))
        return True

    def write_node(self, node, path, made, known):
        what, attr = self.content(node)
        if node in made:
            os.link(made[node], path, follow_symlinks=False)
            return
        made[node] = path
        if node.is_link:
            os.symlink(what, path)
        elif node.is_dir:
            os.mkdir(path)
            for name, child in self.tree.get(node, {}).items():
                self.write_node(child, path + b"/" + name, made, known)
            attr = self.dir_attr(node)
        else:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.write(fd, what) if what else None
            finally:
                os.close(fd)
        if not node.is_link:
            os.chmod(path, stat.S_IMODE(attr.mode))
        os.utime(path, ns=(attr.mtime, attr.mtime), follow_symlinks=False)
        st = os.lstat(path)
        known.append((st.st_ino, node, attr.ctime, st.st_ctime_ns))

    def picture(self, path):
        """As picture_of sees it on a disk."""
        node = self.at(path)
        found, todo = {}, [(b"", node)] if node else []
        while todo:
            at, node = todo.pop()
            what, attr = self.content(node)
            if node.is_dir:
                attr = self.dir_attr(node)
                todo += [(at + b"/" + name, child) for name, child in self.tree.get(node, {}).items()]
            found[at] = (attr.mode, attr.mtime, None if node.is_dir or at.endswith(b"-shm") else bytes(what))
        return found


def picture_of(folder):
    """{path: (mode, time, bytes or target)}; an index in shared memory is written through a mapping, and means nothing after a cut."""
    return {b"/" + path if path else b"": (st.st_mode, st.st_mtime_ns if not path.endswith(b"-shm") else None,
                                            None if path.endswith(b"-shm") else what) for path, st, what in walk(folder)}
