# The front door: meson and ninja do the work behind it.
#
#   make run      build, start a server, sync a real tree between two folders through it, leave the server running
#   make test     everything that a change must pass (debug build with sanitizers)
#   make help     the rest

SHELL := /bin/bash
PYTHON := /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

#   make debug    build/debug: sanitizers on, deliberate faults compiled in
.PHONY: debug
debug: setup build/debug/build.ninja
	ninja -C build/debug

build/debug/build.ninja:
	CC=$(CC) meson setup build/debug --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false

#   make release  build/release/drayd and build/release/dray, hardened
.PHONY: release
release: setup build/release/build.ninja
	ninja -C build/release

build/release/build.ninja:
	CC=$(CC) meson setup build/release --buildtype=release -Db_pie=true -Db_lto=true -Dtests=false

.PHONY: setup
setup:
	@tools/setup.sh build
