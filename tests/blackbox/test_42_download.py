"""
Large files on their way down: what this disk has is not fetched, what was fetched is not fetched again, zeros stay holes, and nothing
that a local file or a left temporary says is believed.

DRAY_SEED repeats a run, DRAY_KILLS says how many kills of each side.
"""
import os
import pathlib
import random
import shutil
import time

import pytest

from devices import Device, assert_same, settle
from test_40_kill import ended, no_sanitizer

SEED = int(os.environ.get("DRAY_SEED", random.SystemRandom().randrange(1 << 30)))
KILLS = int(os.environ.get("DRAY_KILLS", 40 if os.environ.get("DRAY_CAMPAIGN") == "full" else 6))
KIB, MIB = 1024, 1024 * 1024
BLOCK, CHUNK = 64 * KIB, 4 * MIB
FLIGHT = 8 * (CHUNK + BLOCK)  # as many requests at once


def down(device, **same):
    """A sync that brings something here: the bytes that came over the line."""
    return device.sync(**same)["wire_down"]


def list_bytes(size):
    """What a block list of a file costs, and the answers' heads and the feed on the way."""
    return 36 * (size // BLOCK + 2) + 80 * 64 + 8 * KIB


@pytest.fixture
def pair(make):
    return make("a", "b")


def spread(device, name, size, seed=1):
    data = random.Random(seed).randbytes(size)
    device.write(name, data)
    return data


def flip_blocks(path, share, seed=2):
    """Overwrite whole blocks here and there; the bytes that have changed."""
    blocks = path.stat().st_size // BLOCK
    rng = random.Random(seed)
    picked = rng.sample(range(blocks), max(1, int(blocks * share)))
    with path.open("r+b") as f:
        for block in picked:
            f.seek(block * BLOCK)
            f.write(rng.randbytes(BLOCK))
    return len(picked) * BLOCK


# ---- edits of a large file ---------------------------------------------------------------------------------------------------------

def overwrite(path):
    return flip_blocks(path, 0.02)


def insert_front(path):
    path.write_bytes(random.Random(3).randbytes(1000) + path.read_bytes())
    return MIB


def append(path):
    with path.open("ab") as f:
        f.write(random.Random(4).randbytes(3 * BLOCK))
    return 4 * BLOCK


def truncate(path):
    os.truncate(path, path.stat().st_size - 5 * MIB - 17)
    return BLOCK


def move_region(path):
    data = path.read_bytes()
    path.write_bytes(data[:2 * MIB] + data[20 * MIB:24 * MIB] + data[2 * MIB:20 * MIB] + data[24 * MIB:])
    return MIB


def rename_and_edit(path):
    path = path.rename(path.with_name("renamed"))
    return flip_blocks(path, 0.01)


def copy(path):
    shutil.copy2(path, path.with_name("copy"))
    return 0


def copy_and_edit(path):
    shutil.copy2(path, path.with_name("copy"))
    return flip_blocks(path.with_name("copy"), 0.01)


def move_to_new_directory(path):
    path.with_name("dir").mkdir()
    path.rename(path.with_name("dir") / "moved")
    return 0


@pytest.mark.parametrize("edit", [overwrite, insert_front, append, truncate, move_region, rename_and_edit, copy, copy_and_edit,
                                  move_to_new_directory], ids=lambda f: f.__name__)
def test_edit_comes_as_its_own_size(pair, edit):
    a, b = pair
    size = 40 * MIB + 12345
    spread(a, "large", size)
    a.sync()
    b.sync()
    changed = edit(a.path("large"))
    a.sync()
    got = down(b)
    assert_same(a.tree(), b.tree())
    assert got <= changed * 1.01 + list_bytes(size), f"{got} bytes came for {changed} that changed"
