#!/usr/bin/python3
"""Checks that need no build: generated files are fresh, check_layers.py bites, no folder of src/ lacks its README.

Exits 1 and names what is wrong.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# One include against the rules for each kind of rule; check_layers.py must name each.
BREAKS = [
    ("src/server/domain/tree.c", '#include "wire/wire.h"', "must not include wire/wire.h"),
    ("src/server/route/files.c", '#include "server/meta/meta.h"', "must not include server/meta/meta.h"),
    ("src/client/diff/diff.c", '#include "client/state/state.h"', "must not include client/state/state.h"),
    ("src/chunk/codec.c", "#include <sqlite3.h>", "<sqlite3.h> belongs to db"),
    ("src/server/store/store_fs.c", '#include "server/meta/meta_internal.h"', "must not include"),
]


def layers_bite():
    with tempfile.TemporaryDirectory() as tmp:
        for file, line, expected in BREAKS:
            copy = pathlib.Path(tmp) / "tree"
            shutil.copytree(ROOT / "src", copy / "src")
            target = copy / file
            target.write_text(line + "\n" + target.read_text())
            run = subprocess.run([ROOT / "tools/check_layers.py", copy], capture_output=True, text=True)
            if run.returncode != 1 or expected not in run.stdout:
                yield f"check_layers.py does not see {line} in {file}"
            shutil.rmtree(copy)


def generated_are_fresh():
    made = subprocess.run([ROOT / "tools/gen_errors_man.py"], capture_output=True, text=True, check=True).stdout
    if made != (ROOT / "man/dray-errors.7").read_text():
        yield "man/dray-errors.7 is stale: tools/gen_errors_man.py > man/dray-errors.7"


def folders_have_readmes():
    for folder in sorted({path.parent for path in (ROOT / "src").rglob("*.c")}):
        if not (folder / "README.md").exists():
            yield f"{folder.relative_to(ROOT)} has no README.md"


def main():
    found = [*layers_bite(), *generated_are_fresh(), *folders_have_readmes()]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
