"""What users do to their trees: single edits by name, and random ones that remember what must not be lost."""
import os
import pathlib
import random
import shutil

KIB = 1024


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def small(folder):
    """A few of everything."""
    for i in range(12):
        write(folder / "dir" / f"file {i}", f"content {i}\n" * (i * 40))
    for i in range(5):
        write(folder / "dir" / "sub" / f"deep {i}", f"deep {i}\n" * 3)
    write(folder / "big", random.Random(3).randbytes(300 * KIB))
    write(folder / "text", "line\n" * 5000)
    write(folder / "empty", "")
    (folder / "hollow" / "inner").mkdir(parents=True)
    os.symlink("dir/file 3", folder / "link")
    os.symlink("dir", folder / "link to dir")


def bump(path, ns=1_600_000_000_987_654_321):
    os.utime(path, ns=(ns, ns), follow_symlinks=False)


def swap(one, other):
    keep = one.with_name("swap")
    one.rename(keep)
    other.rename(one)
    keep.rename(other)


def rotate(d):
    (d / "file 1").rename(d / "t")
    (d / "file 2").rename(d / "file 1")
    (d / "file 3").rename(d / "file 2")
    (d / "t").rename(d / "file 3")


def to_dir(path):
    path.unlink()
    path.mkdir()
    (path / "child").write_text("was a file")


def to_file(path):
    shutil.rmtree(path)
    path.write_text("was a directory")


def to_link(path, target="text"):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    os.symlink(target, path)


def replace(path, data):
    """As most editors save: a new file renamed over the old one."""
    new = path.with_name(".new~")
    new.write_bytes(data)
    os.replace(new, path)


def many(folder, names, data=b"n"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(data + name.encode())


def insert_front(path):
    path.write_bytes(b"in front of all" + path.read_bytes())


def edit_middle(path):
    with path.open("r+b") as f:
        f.seek(100_000)
        f.write(b"changed here")


def recreate(path):
    shutil.rmtree(path)
    many(path, ["file 3", "fresh"], b"again ")


def move_and_edit(d):
    (d / "dir").rename(d / "moved")
    (d / "moved" / "file 5").write_text("edited after the move")
    (d / "moved" / "sub" / "added").write_text("added after the move")
    (d / "moved" / "file 6").unlink()


def into_own_old_name(d):
    (d / "dir").rename(d / "t")
    (d / "dir").mkdir()
    (d / "t").rename(d / "dir" / "inner")


def swap_parent_child(d):
    (d / "dir" / "sub").rename(d / "t")
    (d / "dir").rename(d / "t" / "dir")
    (d / "t").rename(d / "sub")


def replace_dir_by_its_child(d):
    (d / "dir" / "sub" / "deep 1").rename(d / "t")
    shutil.rmtree(d / "dir")
    (d / "t").rename(d / "dir")


def truncated(path):
    os.truncate(path, 70_000)


LONG = "n" * 251 + ".txt"
EDITS = {
    "edit": lambda d: (d / "text").write_text("other\n"),
    "edit in the middle": lambda d: edit_middle(d / "big"),
    "append": lambda d: (d / "big").open("ab").write(b"tail"),
    "insert in front": lambda d: insert_front(d / "big"),
    "truncate": lambda d: truncated(d / "big"),
    "to empty": lambda d: (d / "text").write_bytes(b""),
    "from empty": lambda d: (d / "empty").write_bytes(b"something"),
    "same size": lambda d: (d / "dir/file 4").write_text("CONTENT 4\n" * 160),
    "saved by rename": lambda d: replace(d / "text", b"saved"),
    "touched": lambda d: bump(d / "text"),
    "time of a link": lambda d: bump(d / "link"),
    "time of a directory": lambda d: bump(d / "hollow"),
    "mode": lambda d: (d / "text").chmod(0o751),
    "mode of a directory": lambda d: (d / "dir").chmod(0o700),
    "mode of a directory, read only": lambda d: (d / "dir").chmod(0o555),
    "add a read-only directory": lambda d: (write(d / "ro/in/file", "x"), (d / "ro/in").chmod(0o555), (d / "ro").chmod(0o500)),
    "mode 0": lambda d: (d / "dir/file 2").chmod(0),
    "add": lambda d: write(d / "new", "new"),
    "add empty": lambda d: write(d / "new", ""),
    "add deep": lambda d: write(d / "p/q/r/s/t/new", "new"),
    "add directory": lambda d: (d / "new/empty").mkdir(parents=True),
    "add link": lambda d: os.symlink("nowhere", d / "new"),
    "add a longest name": lambda d: write(d / LONG / LONG, "long"),
    "add equal content": lambda d: write(d / "copy", (d / "big").read_bytes()),
    "add many": lambda d: many(d / "many", [f"f{i}" for i in range(300)]),
    "delete": lambda d: (d / "text").unlink(),
    "delete a link": lambda d: (d / "link to dir").unlink(),
    "delete a directory": lambda d: shutil.rmtree(d / "dir"),
    "delete an empty directory": lambda d: (d / "hollow/inner").rmdir(),
    "delete all": lambda d: [shutil.rmtree(p) if p.is_dir() and not p.is_symlink() else p.unlink() for p in d.iterdir()
                             if p.name != ".dray"],
    "recreate a directory": lambda d: recreate(d / "dir"),
    "rename": lambda d: (d / "big").rename(d / "renamed"),
    "rename into a new directory": lambda d: ((d / "x").mkdir(), (d / "big").rename(d / "x/y")),
    "rename over another": lambda d: (d / "text").rename(d / "big"),
    "rename an empty file": lambda d: (d / "empty").rename(d / "emptier"),
    "rename a link": lambda d: (d / "link").rename(d / "dir/link"),
    "rename and edit": lambda d: ((d / "big").rename(d / "renamed"), edit_middle(d / "renamed")),
    "rename and touch": lambda d: ((d / "big").rename(d / "renamed"), bump(d / "renamed")),
    "rename a directory": lambda d: (d / "dir").rename(d / "moved"),
    "rename a directory into another": lambda d: (d / "dir").rename(d / "hollow/inner/dir"),
    "rename a directory and edit in it": move_and_edit,
    "rename case only": lambda d: ((d / "text").rename(d / "TEXT"), (d / "dir").rename(d / "Dir")),
    "swap files": lambda d: swap(d / "text", d / "big"),
    "swap directories": lambda d: swap(d / "dir", d / "hollow"),
    "swap file and directory": lambda d: swap(d / "text", d / "dir"),
    "rotate three": lambda d: rotate(d / "dir"),
    "a directory into its own old name": into_own_old_name,
    "parent and child change places": swap_parent_child,
    "a child takes its directory's name": replace_dir_by_its_child,
    "file to directory": lambda d: to_dir(d / "text"),
    "directory to file": lambda d: to_file(d / "dir"),
    "file to link": lambda d: to_link(d / "text", "big"),
    "link to file": lambda d: ((d / "link").unlink(), write(d / "link", "was a link")),
    "directory to link": lambda d: to_link(d / "dir"),
    "link to directory": lambda d: to_dir(d / "link to dir"),
    "link elsewhere": lambda d: to_link(d / "link", "dir/file 4"),
    "hard link": lambda d: os.link(d / "big", d / "hard"),
}


class Chaos:
    """
    Random edits with values that never repeat.  A value is explained when a user replaced or deleted it on a device that had it;
    all others must be in the tree in the end (I8).
    """

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.written, self.explained = set(), set()

    def value(self, name):
        self.written.add(len(self.written))
        value = f"value {len(self.written) - 1} of {name}\n"
        return value.encode() + self.rng.randbytes(self.rng.choice([0, 10, 70_000]))

    @staticmethod
    def number(path):
        with open(path, "rb") as f:
            head = f.read(40)
        return int(head.split()[1]) if head.startswith(b"value ") else None

    def gone(self, path):
        for file in [path] if not path.is_dir() or path.is_symlink() else [f for f in path.rglob("*")]:
            if file.is_file() and not file.is_symlink():
                self.explained.add(self.number(file))

    @staticmethod
    def entries(folder):
        """(all, files, directories), as text, without what dray keeps."""
        every, files, dirs = [], [], []
        for dirpath, subdirs, names in os.walk(folder):
            if ".dray" in subdirs and dirpath == str(folder):
                subdirs.remove(".dray")
            subdirs.sort()
            for name in sorted(subdirs + names):
                path = f"{dirpath}/{name}"
                every.append(path)
                if not os.path.islink(path):
                    (dirs if name in subdirs else files).append(path)
        return every, files, dirs

    def step(self, device):
        rng, folder = self.rng, device.folder
        found, files, dirs = self.entries(folder)
        dirs.append(str(folder))

        def one_of(paths):
            return pathlib.Path(rng.choice(paths))

        act = rng.choice(["write", "write", "edit", "edit", "delete", "rename", "rename", "mkdir", "rmtree", "chmod", "touch", "link"])
        name = one_of(dirs) / rng.choice(["a", "b", "c", "A", "d.txt", "é", "f (1)"])
        if act == "write" and not os.path.lexists(name):
            name.write_bytes(self.value(device.name))
        elif act == "edit" and files:
            path = one_of(files)
            self.gone(path)
            path.write_bytes(self.value(device.name))
        elif act == "delete" and files:
            path = one_of(files)
            self.gone(path)
            path.unlink()
        elif act == "rename" and found and not os.path.lexists(name):
            path = one_of(found)
            if path != name and path not in name.parents:
                path.rename(name)
        elif act == "mkdir" and not os.path.lexists(name):
            name.mkdir()
        elif act == "rmtree" and len(dirs) > 3 and rng.random() < 0.4:
            path = one_of(dirs[:-1])
            self.gone(path)
            shutil.rmtree(path)
        elif act == "chmod" and found:
            path = one_of(found)
            if not path.is_symlink():
                path.chmod(rng.choice([0o600, 0o644, 0o755, 0o700]))
        elif act == "touch" and found:
            bump(one_of(found), rng.randrange(2 * 10**18))
        elif act == "link" and not os.path.lexists(name):
            os.symlink(rng.choice(["a", "b/c", "/nowhere"]), name)

    def check(self, folder):
        there = {self.number(p) for p in self.entries(folder)[1]}
        lost = self.written - self.explained - there
        assert not lost, f"values that nobody replaced are gone: {sorted(lost)}"
