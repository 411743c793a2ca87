"""The documentation tells what the programs do: man pages against --help, errors against the table, install, the README's tour."""
import os
import re
import shlex
import subprocess

import pytest

from devices import BIN, ROOT

PROGRAMS = {"dray": "dray.1", "drayd": "drayd.8"}
ALWAYS = {("h", "help"), ("V", "version")}


def run(*args, **more):
    return subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=300, **more)


def help_of(program, *command):
    told = run(BIN / program, *command, "--help")
    assert told.returncode == 0 and told.stderr == "", (program, command)
    return told.stdout


def commands_of(program):
    part = help_of(program).split("Commands:\n")[1].split("\n\n")[0]
    return [re.match(r"  (\S+(?: \S+)?)(?:  |$)", line).group(1) for line in part.splitlines() if line[2] != " "]


def options_of(text):
    """{(letter, name): argument or None} of a help text."""
    return {(m[1], m[2]): m[3] for m in re.finditer(r"^  -(\w), --([\w-]+)(?: ([A-Z:]+))?(?:  |$)", text, re.M)}


def man(page):
    return (ROOT / "man" / page).read_text()


def section(text, name):
    return re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)[1]


def synopsis_of(page):
    """{command: {letters}} of a page's synopsis."""
    found = {}
    for part in re.split(r"^\.Nm\n", section(man(page), "SYNOPSIS"), flags=re.M)[1:]:
        command = re.search(r"^\.Cm (.+)$", part, re.M)
        if command:
            letters = set()
            for line in re.findall(r"^\.(?:Op )?Fl (.*)$", part, re.M):
                letters |= set(line.split()[0])
            found[command[1]] = letters
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_man_page_has_every_option_and_no_other(program):
    documented = {(m[1], m[2]): m[3] for m in re.finditer(r"^\.It Fl (\w) , -([\w-]+)(?: Ar (\S+))?$", man(PROGRAMS[program]), re.M)}
    offered = {}
    for command in commands_of(program):
        offered.update(options_of(help_of(program, *command.split())))
    assert set(documented) == set(offered) | ALWAYS
    for option, argument in offered.items():
        assert documented[option] == argument, option


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_fits_a_terminal(program):
    """80 columns, no word lost between two lines, and examples as they are typed."""
    for command in ["", *commands_of(program)]:
        for line in help_of(program, *command.split()).splitlines():
            assert len(line) <= 80 and line == line.rstrip(), (command, line)
    assert "  dray ls --sort size shots\n" in help_of("dray", "ls")
    assert re.search(r"with all that is\sin them\.", help_of("dray", "get"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_letter_is_one_option(program):
    """Options of all commands are in one table, and a command that has a letter offers all of that letter."""
    names = {}
    for command in commands_of(program):
        for letter, name in options_of(help_of(program, *command.split())):
            names.setdefault(letter, set()).add(name)
    assert {letter: n for letter, n in names.items() if len(n) > 1} == {}


@pytest.mark.parametrize("program", PROGRAMS)
def test_man_page_has_every_command_and_no_other(program):
    page = PROGRAMS[program]
    described = set(re.findall(r"^\.It Cm (.+)$", section(man(page), "DESCRIPTION").split(".Ss Options")[0], re.M))
    commands = commands_of(program)
    assert commands and described == set(commands) == set(synopsis_of(page))
    for command, letters in synopsis_of(page).items():
        offered = {letter for letter, _ in options_of(help_of(program, *command.split()))} - {"h"}
        assert letters == offered, command


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_and_usage(program):
    told = run(BIN / program, "--version")
    assert told.returncode == 0 and told.stdout.split() == [program, (ROOT / "VERSION").read_text().strip()]
    for args in [], ["nonsense"], ["--nonsense"]:
        wrong = run(BIN / program, *args)
        assert wrong.returncode == 2 and wrong.stdout == "" and "--help" in wrong.stderr, args


def test_the_first_word_of_commands():
    """drayd project has no meaning by itself: its help lists the commands that begin so."""
    told = help_of("drayd", "project")
    assert [c.split()[0] for c in re.findall(r"^  (project \w+)  ", told, re.M)] == ["project"] * 4 and "device" not in told
    for args in ["project"], ["project", "crate"]:
        wrong = run(BIN / "drayd", *args)
        assert wrong.returncode == 2 and wrong.stdout == "" and f'"{" ".join(args)}"' in wrong.stderr and "project --help" in wrong.stderr


def test_exit_statuses_are_documented():
    listed = section(man("dray.1"), "EXIT STATUS")
    assert re.findall(r"^\.It (\d)$", listed, re.M) == ["0", "1", "2", "3"]
    for number in "0123":
        assert re.search(rf"\b{number} \w", help_of("dray").split("Exit status:")[1])


def test_every_error_is_documented():
    table = re.findall(r'^ERROR\(\w+, "(\w+)", (\d+)', (ROOT / "src/base/errors.def").read_text(), re.M)
    assert len(table) > 50
    documented = re.findall(r"^\.It Li (\w+) Pq (\d+)", man("dray-errors.7"), re.M)
    assert documented == table


@pytest.mark.parametrize("page", sorted(os.listdir(ROOT / "man")))
def test_man_pages_are_well_formed(page):
    try:
        told = run("mandoc", "-T", "lint", "-W", "warning", ROOT / "man" / page)
    except FileNotFoundError:
        told = run("groff", "-man", "-mdoc", "-ww", "-z", "-T", "utf8", ROOT / "man" / page)
    assert told.returncode == 0 and told.stdout + told.stderr == ""


def test_files_that_the_docs_name_exist():
    missing = []
    for doc in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for path in re.findall(r"`((?:src|tests|tools|docs|man|bench)/[\w./-]+)`", doc.read_text()):
            if not (ROOT / path).exists() and "NNNN" not in path:
                missing.append(f"{doc.relative_to(ROOT)}: {path}")
        for path in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", doc.read_text()):
            if not (doc.parent / path).exists():
                missing.append(f"{doc.relative_to(ROOT)}: {path}")
    assert missing == []


@pytest.mark.skipif(not (ROOT / "build/release/build.ninja").exists() and os.environ.get("DRAY_CAMPAIGN") != "full",
                    reason="builds a release: make release first")
def test_install(tmp_path):
    told = run("make", "-C", ROOT, "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/x")
    assert told.returncode == 0, told.stderr
    there = {str(p.relative_to(tmp_path)): oct(p.stat().st_mode & 0o777) for p in tmp_path.rglob("*") if p.is_file()}
    assert there == {"opt/x/bin/dray": "0o755", "opt/x/bin/drayd": "0o755", "opt/x/share/man/man1/dray.1": "0o644",
                     "opt/x/share/man/man8/drayd.8": "0o644", "opt/x/share/man/man7/dray-errors.7": "0o644"}
    version = (ROOT / "VERSION").read_text().strip()
    assert run(tmp_path / "opt/x/bin/dray", "--version").stdout == f"dray {version}\n"


def tour():
    """The commands of README's five minutes: the lines that begin with "$ " in its ```console blocks."""
    readme = ROOT / "README.md"
    part = re.search(r"^##+ .*[Ff]ive minutes.*?\n(.*?)(?=^## |\Z)", readme.read_text() if readme.exists() else "", re.M | re.S)
    blocks = re.findall(r"^```console\n(.*?)^```", part[1] if part else "", re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.skipif(not tour(), reason="README.md has no five-minute tour")
def test_readme_tour_works(tmp_path):
    script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
    for line in tour():
        script += f"echo + {shlex.quote(line)} >&2\n{line}\n"
    home = tmp_path / "home"
    home.mkdir()
    env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(home))
    env.pop("DRAY_TOKEN", None)
    told = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout + told.stderr
