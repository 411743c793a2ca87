"""
The answers of src/client/ignore/ are those of git: a table of what gitignore(5) says, and random rules over random trees, each asked of `git
check-ignore` and of us.  Both say which line of which file decided, so an answer that is right by accident is found too.
"""
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("DRAY_BUILD", Path(__file__).resolve().parents[2] / "build/debug"))

LINES = BUILD / "tests/blackbox/ignore_lines"
GIT_ENV = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", LC_ALL="C")


def run(args, names, cwd):
    return subprocess.run(args, input="".join(n + "\0" for n in names).encode(), cwd=cwd, env=GIT_ENV, capture_output=True, timeout=120)


class Tree:
    """A tree with rules, as a repository; git reads the same files under its own name for them."""

    def __init__(self, top):
        self.top = top
        subprocess.run(["git", "init", "-q", str(top)], env=GIT_ENV, check=True)
        (top / ".git/info/exclude").write_text("")

    def rules(self, text, folder=""):
        text = text if isinstance(text, bytes) else text.encode()
        for name in (".gitignore", ".drayignore"):
            (self.top / folder / name).write_bytes(text)

    def make(self, names):
        for name in names:
            path = self.top / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                path.touch()

    def git(self, names):
        """[(ignored, "folder:line")], by git."""
        done = run(["git", "check-ignore", "--no-index", "--verbose", "--non-matching", "-z", "--stdin"], [n.rstrip("/") for n in names], self.top)
        assert done.returncode in (0, 1), done.stderr
        fields = done.stdout.decode().split("\0")[:-1]
        answers = []
        for source, line, pattern, _ in zip(*[iter(fields)] * 4):
            folder = source.rpartition("/")[0]
            answers.append((bool(source) and not pattern.startswith("!"), f"{folder}:{line or 0}"))
        return answers

    def dray(self, names):
        done = run([str(LINES), str(self.top)], names, self.top)
        assert done.returncode == 0, done.stderr
        return [(line[:1] == "1", line[2:]) for line in done.stdout.decode().splitlines()]

    def compare(self, names):
        git, dray = self.git(names), self.dray(names)
        assert len(git) == len(dray) == len(names)
        for name, theirs, ours in zip(names, git, dray):
            if theirs[0] != ours[0] or (theirs[1] != ours[1] and theirs[1] != ":0"):
                raise AssertionError(f"{name}: git {theirs}, dray {ours}, rules {(self.top / '.drayignore').read_bytes()!r}")
        return sum(theirs[0] for theirs in git)


NAMES = ["a", "b.o", "keep.o", "doc/", "doc/frotz/", "doc/frotz/x", "a0/", "a0/doc/", "a0/doc/frotz/", "a0/doc/frotz/y", "frotz", "hello.txt", "hello.c",
         "hello.java", "foo/", "foo/bar", "foo/test.json", "foo/bar0/", "foo/bar0/hello.c", "abc/", "abc/x/", "abc/x/y/", "abc/x/y/z", "z/", "z/b", "z/x/",
         "z/x/b", "z/x/y/", "z/x/y/b", "#hash", "!bang", "space ", "tab\t", "back\\slash", "[", "]", "a-b", "a]b", "x\nline", "é", "UPPER", "upper", "5", ".hidden",
         "-", "^", "q?", "star*", "build/", "build/out", "src/", "src/build", "deep/", "deep/a/", "deep/a/foo/", "deep/a/foo/bar"]

# What gitignore(5) explains, and what its implementation is known for.
TABLE = ["", "\n\n", "# comment\n#hash", "\\#hash", "!bang", "\\!bang", "*.o\n!keep.o", "!keep.o\n*.o", "hello.*", "/hello.*", "foo/", "foo/*", "/foo/*\n!/foo/bar",
         "doc/frotz/", "frotz", "frotz/", "/frotz", "**/foo", "**/foo/bar", "abc/**", "abc/**/", "z/**/b", "z/**", "**/b", "**", "**/", "/**", "/**/", "/*\n!/foo\n/foo/*\n!/foo/bar",
         "*", "*/", "*\n!*/\n!*.c", "space", "space ", "space\\ ", "tab\t", "tab\\\t", "back\\\\slash", "back\\", "[", "\\[", "[[]", "[]]", "[]-]", "[-]", "[^]]", "[!a]", "[^a]", "[\\^]", "[a-]-b",
         "a[]-]b", "[[:digit:]]", "[[:upper:]]*", "[[:alpha:][:digit:]]", "[[:nope:]]", "[[:]", "[[:]]", "[[::]]", "[[:alpha:]", "[a-\\z]", "[\\a-z]", "[z-a]", "q\\?", "q?", "star\\*", "x?line", "é", "[é]",
         "??", "?", "upper", "foo//bar", "//foo", "/", "//", "!", "!/", "\r", "frotz\r\nfoo/bar\r\n", "\xEF\xBB\xBF*.o", "build\n!build/out", "build/\n!src/build", "foo/bar/", "foo/ba[r0]",
         "foo[/]bar", "foo\\/bar", "*\\/bar", "f**/bar0", "***/b", "a0/**/frotz", "a0/**/**/y", "deep/**/bar", "*/*/bar", "*/bar", "b*", "*b*", "*[.]*", "[.]*", ".*", "-", "[a-", "[a\\",
         "*.o \\ ", "frotz   \n", "a\\", "deep/a/foo/\n!deep/a/foo/bar", "\\a", "\\**", "/\\#hash", "*.[oc]", "*.[!o]", "[^.]*o", "**/*", "**/doc/**", "/doc/**\n!/doc/frotz/"]


@pytest.fixture(scope="module")
def table_tree(tmp_path_factory):
    tree = Tree(tmp_path_factory.mktemp("table"))
    tree.make(NAMES)
    return tree


@pytest.mark.parametrize("rules", TABLE)
def test_table(table_tree, rules):
    table_tree.rules(rules.encode("latin-1") if rules.startswith("\xEF") else rules)
    table_tree.compare(NAMES)


def test_stars_in_a_name_are_one_star(table_tree):
    """Where git and its manual differ (QUIRK), we follow the manual."""
    table_tree.rules("z***/b")
    assert [name for name, (ignored, _) in zip(NAMES, table_tree.dray(NAMES)) if ignored] == ["z/b"]


# git takes "**" for any number of directories also behind a prefix without special characters ("a**/b"), where its manual says that it is a "*".
QUIRK = re.compile(r"[^/*]\*\*")
ATOMS = ["a", "b", "c", "ab", "-", ".", "*", "**", "?", "/", "/", "**/", "/**", "/**/", "[ab]", "[!a]", "[^b-c]", "[a-c]", "[]a]", "[[:alpha:]]", "[[:digit:]a]", "\\a", "\\*",
         "\\/", "[", "]", "[a/b]", "[b-]", "\\", " ", "\\ ", "!", "#"]


def random_line(rng):
    line = "".join(rng.choice(ATOMS) for _ in range(rng.randint(1, 6)))
    return rng.choice(["", "", "", "!", "/"]) + line + rng.choice(["", "", "/"])


def random_rules(rng):
    lines = [random_line(rng) for _ in range(rng.randint(1, 6))]
    return "\n".join(line for line in lines if not QUIRK.search(line)) + rng.choice(["", "\n"])


def random_names(rng):
    parts = ["a", "b", "c", "ab", "ba", "a.b", "abc", "-", "a b", "*", "[", "]", "a1"]
    names = set()
    for _ in range(150):
        names.add("/".join(rng.choice(parts) for _ in range(rng.randint(1, 4))))
    folders = {"/".join(n.split("/")[:i]) for n in names for i in range(1, n.count("/") + 1)}
    return sorted([n for n in names if n not in folders] + [f + "/" for f in folders])


def test_random(tmp_path):
    """Some 25,000 pairs of rules and a name, a quarter of them unless the campaign is full: rules at the top and in two directories."""
    rng = random.Random(20261126)
    ignored = asked = 0
    rounds = 4 if os.environ.get("DRAY_CAMPAIGN") == "full" else 1
    for round_ in range(rounds):
        tree = Tree(tmp_path / str(round_))
        names = random_names(rng)
        tree.make(names)
        folders = [n for n in names if n.endswith("/")]
        for _ in range(30):
            tree.rules(random_rules(rng))
            inner = rng.sample(folders, 2)
            for folder in inner:
                tree.rules(random_rules(rng), folder)
            ignored += tree.compare(names)
            asked += len(names)
            for folder in inner:
                tree.rules("", folder)
    assert asked > 5_000 * rounds and asked / 20 < ignored < asked * 19 / 20
