"""
Both sides changed the same name.  Nothing that a user wrote may be gone afterwards, the server's version keeps the name, the other
is kept beside it on all devices, and whoever made it is told; and too many deletions at once are held.
"""
import os
import re
import shutil

import pytest

from devices import assert_same, settle
from edits import bump, many, small, swap, to_dir, to_file

COPY = re.compile(r" \(conflict (?P<device>.+?) \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d(?: \d+)?\)")


def values(device):
    """{name: bytes} of all files."""
    return {str(p.relative_to(device.folder)): p.read_bytes() for p in device.folder.rglob("*")
            if p.is_file() and not p.is_symlink() and ".dray" not in p.relative_to(device.folder).parts[:1]}


def copies(device):
    return sorted(n for n in values(device) if COPY.search(n))


@pytest.fixture
def pair(make):
    a, b = make("a", "b")
    small(a.folder)
    a.sync()
    b.sync()
    return a, b


def collide(a, b, expect=1):
    """a's sync comes first, so b's states are set aside; returns b's conflicts."""
    a.sync()
    met = b.sync(expect=3 if expect else 0)
    assert len(met["conflicts"]) == expect, met["conflicts"]
    assert met["in_sync"], "both versions are kept and sent: the trees are one"
    back = a.sync()
    assert back["conflicts"] == []
    assert_same(a.tree(), b.tree())
    a.quiet()
    b.quiet()
    return met["conflicts"]


@pytest.mark.parametrize("name", ["text", "dir/file 1", "dir/sub/deep 0", "empty"])
def test_both_edited(pair, name):
    a, b = pair
    a.path(name).write_text("from a")
    b.path(name).write_text("from b")
    (met,) = collide(a, b)
    assert met["path"] == name
    assert COPY.search(met["copy"])["device"] == "b"
    assert os.path.dirname(met["copy"]) == os.path.dirname(name)
    for device in pair:
        assert device.path(name).read_text() == "from a"
        assert device.path(met["copy"]).read_text() == "from b"
        assert copies(device) == [met["copy"]]


def test_conflict_is_told_to_people(pair):
    a, b = pair
    a.path("text").write_text("from a")
    b.path("text").write_text("from b")
    a.sync()
    told = b.dray("sync", b.folder)
    assert told.returncode == 3
    assert "1 conflict; both versions are kept:" in told.stdout and "yours is now: text (conflict b " in told.stdout


def test_keeps_time_and_mode_of_both(pair):
    a, b = pair
    a.path("text").write_text("from a")
    a.path("text").chmod(0o600)
    bump(a.path("text"), 111_000_000_222)
    b.path("text").write_text("from b")
    b.path("text").chmod(0o751)
    bump(b.path("text"), 333_000_000_444)
    (met,) = collide(a, b)
    for device in pair:
        theirs, ours = device.path("text").stat(), device.path(met["copy"]).stat()
        assert (theirs.st_mode & 0o777, theirs.st_mtime_ns) == (0o600, 111_000_000_222)
        assert (ours.st_mode & 0o777, ours.st_mtime_ns) == (0o751, 333_000_000_444)


def test_equal_edits_are_no_conflict(pair):
    a, b = pair
    for device in pair:
        device.path("text").write_text("the same on both")
        device.path("big").write_bytes(device.path("big").read_bytes() + b"same tail")
        device.write("new/file", "same new")
        device.path("dir/file 1").unlink()
        device.path("dir/sub").rename(device.path("sub"))
    collide(a, b, expect=0)
    assert copies(a) == []


def test_both_created(pair):
    a, b = pair
    a.write("new", "from a")
    b.write("new", "from b")
    (met,) = collide(a, b)
    assert values(a)["new"] == b"from a" and values(a)[met["copy"]] == b"from b"


@pytest.mark.parametrize("first", ["edit", "delete"])
def test_edit_beats_delete(pair, first):
    a, b = pair
    editor, deleter = (a, b) if first == "edit" else (b, a)
    editor.path("text").write_text("edited while it was deleted")
    deleter.path("text").unlink()
    a.sync()
    b.sync_any()
    settle(a, b)
    assert values(a)["text"] == b"edited while it was deleted"


@pytest.mark.parametrize("first", ["mode", "delete"])
def test_delete_beats_mode(pair, first):
    a, b = pair
    changer, deleter = (a, b) if first == "mode" else (b, a)
    for name in ("text", "dir", "hollow/inner"):
        changer.path(name).chmod(0o700)
    deleter.path("text").unlink()
    shutil.rmtree(deleter.path("dir"))
    deleter.path("hollow/inner").rmdir()
    a.sync()
    assert b.sync()["fetched"] <= 1  # the time of hollow
    settle(a, b)
    for device in pair:
        assert not device.path("text").exists() and not device.path("dir").exists()
        device.quiet()


@pytest.mark.parametrize("first", ["edit", "delete"])
@pytest.mark.parametrize("edit", ["edit", "add", "add deep", "rename into"])
def test_directory_deleted_while_something_happens_in_it(pair, first, edit):
    a, b = pair
    editor, deleter = (a, b) if first == "edit" else (b, a)
    if edit == "edit":
        editor.path("dir/file 1").write_text("precious")
    elif edit == "add":
        editor.write("dir/new", "precious")
    elif edit == "add deep":
        editor.write("dir/sub/p/q/new", "precious")
    else:
        editor.path("text").write_text("precious")
        editor.path("text").rename(editor.path("dir/text"))
    shutil.rmtree(deleter.path("dir"))
    a.sync()
    b.sync_any()
    tree = settle(a, b)
    assert b"precious" in values(a).values()
    name = {"edit": b"dir/file 1", "add": b"dir/new", "add deep": b"dir/sub/p/q/new", "rename into": b"dir/text"}[edit]
    assert name in tree
    assert b"dir/file 2" not in tree, "what nobody touched is deleted"


@pytest.mark.parametrize("edit", ["add", "edit"])
def test_directory_renamed_while_something_happens_in_it(pair, edit):
    a, b = pair
    a.path("dir").rename(a.path("moved"))
    b.write("dir/new" if edit == "add" else "dir/file 4", "precious")
    a.sync()
    b.sync_any()
    settle(a, b)
    assert b"precious" in values(a).values()
    assert "moved/file 5" in values(a)


@pytest.mark.parametrize("here,there", [("file", "dir"), ("dir", "file"), ("file", "link"), ("link", "file"), ("dir", "link"),
                                        ("link", "dir"), ("link", "link")])
def test_different_kinds_under_one_new_name(pair, here, there):
    a, b = pair

    def put(device, kind):
        if kind == "file":
            device.write("new", f"file of {device.name}")
        elif kind == "dir":
            device.write("new/child", f"child of {device.name}")
            device.write("new/deep/child", f"deep child of {device.name}")
        else:
            os.symlink(f"target of {device.name}", device.path("new"))

    put(a, here)
    put(b, there)
    a.sync()
    met = b.sync(expect=3)
    tree = settle(a, b)
    assert [c["path"] for c in met["conflicts"]] == ["new"]
    copy = met["conflicts"][0]["copy"].encode()
    assert tree[b"new"][0] == here and tree[copy][0] == there
    found = set(values(a).values()) | {t[3] for t in tree.values() if t[0] == "link"}
    for device, kind in ((a, here), (b, there)):
        expected = {"file": [f"file of {device.name}"], "dir": [f"child of {device.name}", f"deep child of {device.name}"],
                    "link": [f"target of {device.name}"]}[kind]
        assert all(v.encode() in found for v in expected), (kind, found)


@pytest.mark.parametrize("first", ["a", "b"])
def test_file_edited_there_made_a_directory_here(pair, first):
    a, b = pair
    one, other = (a, b) if first == "a" else (b, a)
    one.path("text").write_text("edited text")
    to_dir(other.path("text"))
    a.sync()
    b.sync_any()
    settle(a, b)
    assert {b"edited text", b"was a file"} <= set(values(a).values())


@pytest.mark.parametrize("first", ["a", "b"])
def test_directory_edited_in_there_made_a_file_here(pair, first):
    a, b = pair
    one, other = (a, b) if first == "a" else (b, a)
    one.path("dir/file 1").write_text("edited in the directory")
    to_file(other.path("dir"))
    a.sync()
    b.sync_any()
    settle(a, b)
    assert {b"edited in the directory", b"was a directory"} <= set(values(a).values())


def test_both_rename_one_file_differently(pair):
    """One name in the end, and not two files; whoever came first decides."""
    a, b = pair
    content = a.path("big").read_bytes()
    a.path("big").rename(a.path("name of a"))
    b.path("big").rename(b.path("name of b"))
    a.sync()
    b.sync_any()
    settle(a, b)
    names = [n for n, v in values(a).items() if v == content]
    assert names and "big" not in names
    assert "name of a" in names


def test_both_rename_one_directory_differently(pair):
    a, b = pair
    a.path("dir").rename(a.path("name of a"))
    b.path("dir").rename(b.path("name of b"))
    a.sync()
    b.sync_any()
    tree = settle(a, b)
    assert b"dir" not in tree
    for i in range(12):
        assert any(p.endswith(b"/file %d" % i) for p in tree), i


def test_rename_and_edit(pair):
    a, b = pair
    a.path("big").rename(a.path("renamed"))
    b.path("big").write_text("edited under the old name")
    a.sync()
    b.sync_any()
    settle(a, b)
    assert b"edited under the old name" in values(a).values()


def test_rename_onto_a_name_that_the_other_took(pair):
    a, b = pair
    big, text = a.path("big").read_bytes(), a.path("text").read_bytes()
    a.path("big").rename(a.path("taken"))
    b.path("text").rename(b.path("taken"))
    a.sync()
    b.sync_any()
    settle(a, b)
    assert {big, text} <= set(values(a).values())
    assert values(a)["taken"] == big


def test_opposite_swaps_and_moves_into_each_other(pair):
    a, b = pair
    before = sorted(values(a).values())
    a.path("dir").rename(a.path("hollow/dir"))
    b.path("hollow").rename(b.path("dir/hollow"))
    swap(a.path("text"), a.path("big"))
    swap(b.path("text"), b.path("big"))
    a.sync()
    b.sync_any()
    settle(a, b, rounds=6)
    after = list(values(a).values())
    assert all(v in after for v in before)


@pytest.mark.parametrize("name", ["text", "text.txt", "archive.tar.gz"])
def test_copy_of_a_copy_does_not_grow(pair, name):
    a, b = pair
    a.path("text").rename(a.path(name))
    a.sync()
    b.sync()
    stem, ext = os.path.splitext(name)
    for turn in range(4):
        a.path(name).write_text(f"from a, turn {turn}")
        b.path(name).write_text(f"from b, turn {turn}")
        (met,) = collide(a, b)
        name = met["copy"]
        assert re.fullmatch(re.escape(stem) + COPY.pattern + re.escape(ext), name), name
    texts = {v for n, v in values(a).items() if n.startswith(stem)}
    assert {f"from a, turn {t}".encode() for t in range(4)} | {b"from b, turn 3"} <= texts


def test_copies_do_not_overwrite_each_other(pair):
    """Several conflicts of one name within a second."""
    a, b = pair
    made = set()
    for turn in range(5):
        a.path("text").write_text(f"from a {turn}")
        b.path("text").write_text(f"from b {turn}")
        (met,) = collide(a, b)
        made.add(met["copy"])
    assert len(made) == 5
    assert {f"from b {t}".encode() for t in range(5)} <= set(values(a).values())


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".txt", "ß" * 127, "." + "h" * 254, "日" * 84 + ".ab", "e." + "x" * 253])
def test_longest_name(pair, name):
    a, b = pair
    a.write("dir/" + name, "from a")
    b.write("dir/" + name, "from b")
    (met,) = collide(a, b)
    copy = os.path.basename(met["copy"])
    assert len(copy.encode()) <= 255 and COPY.search(copy)
    assert values(a)["dir/" + name] == b"from a" and values(a)[met["copy"]] == b"from b"
    if name.endswith(".txt"):
        assert copy.endswith(".txt")


def test_mode_and_time_on_both_sides_are_no_conflict(pair):
    a, b = pair
    a.path("text").chmod(0o600)
    b.path("text").chmod(0o755)
    bump(a.path("dir/file 2"), 5_000_000_000)
    bump(b.path("dir/file 2"), 6_000_000_000)
    collide(a, b, expect=0)
    assert a.path("text").stat().st_mode & 0o777 == 0o600


def test_edit_here_and_mode_there(pair):
    a, b = pair
    a.path("text").chmod(0o600)
    b.path("text").write_text("edited")
    a.sync()
    b.sync_any()
    settle(a, b)
    assert b"edited" in values(a).values()


# ---- too many deletions at once ------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(make):
    a, b = make("a", "b")
    many(a.path("many"), [f"f{i}" for i in range(400)])
    small(a.folder)
    a.sync()
    b.sync()
    return a, b


def test_mass_delete_here_is_held(crowd):
    a, b = crowd
    before = b.tree()
    shutil.rmtree(a.path("many"))
    a.write("new", "goes on")
    held = a.sync(expect=3)
    assert held["held_deletes"] >= 400 and held["deleted_there"] == 0 and held["in_sync"] is False
    assert "held back" in a.dray("sync", a.folder).stdout
    b.sync()
    assert {p: e for p, e in b.tree().items() if p != b"new"} == before
    assert not a.path("many").exists(), "what the user deleted does not come back by itself"
    done = a.sync("--allow-mass-delete")
    assert done["deleted_there"] >= 401
    b.sync("--allow-mass-delete")
    assert_same(a.tree(), b.tree())


def test_mass_delete_there_is_held(crowd):
    a, b = crowd
    shutil.rmtree(a.path("many"))
    a.sync("--allow-mass-delete")
    before = b.tree()
    held = b.sync(expect=3)
    assert held["held_deletes"] >= 400 and held["deleted_here"] == 0
    assert_same(before, b.tree())
    b.write("new", "goes on")
    b.sync(expect=3)
    a.sync()
    assert a.path("new").read_text() == "goes on"
    b.sync("--allow-mass-delete")
    assert_same(a.tree(), b.tree())
    trash = {p.name for p in b.dot("trash").rglob("*")}
    assert {f"f{i}" for i in range(400)} <= trash, "what was deleted here lies in the trash"


def test_everything_deleted_is_held(crowd):
    a, b = crowd
    before = b.tree()
    for path in a.folder.iterdir():
        if path.name != ".dray":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert a.sync(expect=3)["deleted_there"] == 0
    b.sync()
    assert_same(before, b.tree())


def test_moving_everything_is_not_a_deletion(crowd):
    a, b = crowd
    a.path("many").rename(a.path("elsewhere"))
    done = a.sync()
    assert done["held_deletes"] == 0 and done["content_sent"] == 0
    b.sync()
    assert_same(a.tree(), b.tree())


def test_folder_emptied_with_its_state_is_not_linked(crowd):
    """An unmounted disk: the folder is there, and empty."""
    a, b = crowd
    before = b.tree()
    a.folder.rename(a.folder.with_name("elsewhere"))
    a.folder.mkdir()
    run = a.dray("sync", a.folder)
    assert run.returncode == 1 and "not linked" in run.stderr
    a.folder.rmdir()
    a.folder.with_name("elsewhere").rename(a.folder)
    b.sync()
    assert_same(before, b.tree())
    a.quiet()


# ---- a memory that is lost or old -----------------------------------------------------------------------------------------------------


def test_lost_state_is_rebuilt(pair, make):
    """Without its memory a device compares by content: nothing is sent twice, nothing deleted."""
    a, b = pair
    b.dray("unlink", b.folder)
    b.path("text").write_text("edited meanwhile")
    b.path("dir/file 1").unlink()
    assert b.dray("link", make.server.url, "--project", make.project, b.folder).returncode == 0
    met = b.sync(expect=3)
    assert [c["path"] for c in met["conflicts"]] == ["text"]
    assert met["deleted_there"] == met["deleted_here"] == 0 and met["wire_up"] < 64 * 1024
    settle(a, b)
    assert b"edited meanwhile" in values(a).values() and b.path("dir/file 1").exists()


def test_old_state_is_no_danger(pair):
    """A .dray from a backup beside today's files: what it does not know is compared, not overwritten."""
    a, b = pair
    shutil.copytree(b.dot(), b.folder.with_name("backup"))
    a.path("text").write_text("second")
    a.path("dir/file 1").unlink()
    a.write("new", "x")
    a.sync()
    b.sync()
    b.path("text").write_text("third")
    b.sync()
    a.sync()
    shutil.rmtree(b.dot())
    b.folder.with_name("backup").rename(b.dot())
    b.sync_any()
    settle(a, b)
    assert b"third" in values(a).values() and "new" in values(a)


def test_damaged_state_is_begun_anew_and_no_deletion(pair):
    a, b = pair
    before = a.tree()
    for suffix in ("-wal", "-shm"):
        b.dot("state.db" + suffix).unlink(missing_ok=True)
    size = b.dot("state.db").stat().st_size
    b.dot("state.db").write_bytes(b"not a database at all, for sure" * (size // 32))
    done = b.sync()
    assert "could not be read" in done["renewed"] and done["sent"] == done["deleted_there"] == 0
    a.sync()
    assert_same(before, a.tree())
    assert b.tree().keys() == before.keys()
