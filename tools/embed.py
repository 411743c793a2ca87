#!/usr/bin/python3
"""Write a C file that holds a set of SQL migrations, in the order of their names.

Usage: tools/embed.py SYMBOL FILE.sql… > OUT.c      defines `const struct db_migrations SYMBOL`.
"""
import pathlib
import re
import sys

NAME = re.compile(r"\d{8}_\d{3}_[a-z_]+")


def literal(line):
    return '\t"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '\\n"'


def main():
    symbol, files = sys.argv[1], sorted(map(pathlib.Path, sys.argv[2:]), key=lambda path: path.name)
    print('/* Made by tools/embed.py from the .sql files. */\n#include "db/db.h"\n')
    print("static const struct db_migration list[] = {")
    for path in files:
        if not NAME.fullmatch(path.stem):
            sys.exit(f"embed.py: {path.name} is not named YYYYMMDD_NNN_topic.sql")
        text = path.read_text(encoding="ascii")
        body = "\n".join(literal(line) for line in text.splitlines())
        print(f'\t{{ "{path.stem}",\n{body} }},')
    print("};\n")
    print(f"const struct db_migrations {symbol} = {{ .list = list, .n = ARRAY_LEN(list) }};")


if __name__ == "__main__":
    main()
