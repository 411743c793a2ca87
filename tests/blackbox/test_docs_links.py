"""Links and paths in README, docs/, the folders' guides, the API document and the manual lead to something that is there."""
import re

import pytest

from devices import ROOT

SKIPPED = {"build", "data", "demo", ".git", "node_modules"}
PAGES = sorted(p for p in ROOT.rglob("*.md") if not SKIPPED & set(p.relative_to(ROOT).parts)) + [ROOT / "docs/protocol/openapi.yaml"]
MANUALS = sorted((ROOT / "man").glob("*.[1-8]"))
LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
NAMED = re.compile(r"`((?:src|docs|tests|tools|man|bench|web)/[\w./*-]*)`")  # `src/base/errors.def`, also with a *
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def name(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", h.replace("`", "").lower()).replace(" ", "-") for h in headings}


def broken_links(page, text):
    for target in LINK.findall(text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        to = (page.parent / file).resolve() if file else page
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(to)):
            yield target


def broken_names(text):
    for named in NAMED.findall(text):
        if not any(ROOT.glob(named.rstrip("/."))):
            yield named


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page(page):
    text = FENCE.sub("", page.read_text())
    assert [*broken_links(page, text), *broken_names(text)] == []


@pytest.mark.parametrize("page", MANUALS, ids=name)
def test_manual(page):
    own = {p.name for p in MANUALS}
    for title, section in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.M):
        assert f"{title}.{section}" in own or not title.startswith("dray"), f"{title}({section})"


def test_this_test_sees_what_is_broken(tmp_path):
    (tmp_path / "there.md").write_text("# One thing: `code`\n")
    page = tmp_path / "page.md"
    good = "[a](there.md) [b](there.md#one-thing-code) [c](https://example.org/x) [d](.)"
    assert [*broken_links(page, good)] == []
    assert [*broken_links(page, "[a](gone.md) [b](there.md#two)")] == ["gone.md", "there.md#two"]
    assert [*broken_names("`src/base/errors.def` `src/*/README.md` `src/` `src/gone.c`")] == ["src/gone.c"]
    assert len(PAGES) > 10 and len(MANUALS) >= 3
