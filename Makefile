# The front door: meson and ninja do the work behind it.
#
#   make run         build, start a server, sync a real tree between two folders through it, leave the server running
#   make stop        stop that server
#   make test        everything that a change must pass (debug build with sanitizers); some 20 minutes on two cores
#   make check-full  make test, then the long campaigns: clang, ThreadSanitizer, fuzzing, simulation, kills, power cuts, bad lines
#   make mutants     every deliberate fault against the check that must notice it
#   make bench       figures beside rsync and the limits of the machine; appends to bench/history/
#   make release     build/release/drayd and build/release/dray, hardened
#   make install     install a release; honours PREFIX (/usr/local) and DESTDIR
#   make debug       build/debug: sanitizers on, deliberate faults compiled in
#   make fmt, lint   clang-format over what is not committed yet; clang-tidy over the tree
#   make clean       remove build/

SHELL := /bin/bash
PYTHON := /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
# Tests wait for servers, clocks and disks now and then: one more than there are cores.
JOBS := $(shell echo $$(($$(nproc) + 1)))

# Optimized a little: half the time to compile, and the tests take no longer.  At fixed addresses: the descriptions of all globals that the
# address sanitizer keeps need no relocation then, a third of what a program's start costs, and the tests start some ten thousand.
# Linked by gold, which takes a third of the time for some two hundred programs.
FIXED := -Db_pie=false -Db_staticpic=false -Dc_args=-fno-pie -Dc_link_args="['-no-pie', '-fuse-ld=gold']"
SANITIZE := --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false $(FIXED)
RELEASE := --buildtype=release -Db_pie=true -Db_lto=true -Dtests=false

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

# ---- building -------------------------------------------------------------------------------------------------------

.PHONY: debug release install
debug: setup-build build/debug/build.ninja
	ninja -C build/debug
	@ln -sfn build/debug/compile_commands.json compile_commands.json

build/debug/build.ninja:
	CC=$(CC) meson setup build/debug $(SANITIZE)

release: setup-build build/release/build.ninja
	ninja -C build/release drayd dray

build/release/build.ninja:
	CC=$(CC) meson setup build/release $(RELEASE)

install: release
	install -D -m 755 build/release/drayd "$(DESTDIR)$(PREFIX)/bin/drayd"
	install -D -m 755 build/release/dray "$(DESTDIR)$(PREFIX)/bin/dray"
	install -D -m 644 man/drayd.8 "$(DESTDIR)$(PREFIX)/share/man/man8/drayd.8"
	install -D -m 644 man/dray.1 "$(DESTDIR)$(PREFIX)/share/man/man1/dray.1"
	install -D -m 644 man/dray-errors.7 "$(DESTDIR)$(PREFIX)/share/man/man7/dray-errors.7"

.PHONY: setup-build setup-test setup-full setup-run setup-bench setup-lint
setup-build setup-test setup-full setup-run setup-bench setup-lint: setup-%:
	@tools/setup.sh build $*

# ---- using ----------------------------------------------------------------------------------------------------------

.PHONY: run stop
run: setup-run release
	@tools/demo.sh start

stop:
	@tools/demo.sh stop

# ---- testing --------------------------------------------------------------------------------------------------------

# A PostgreSQL of its own for what runs behind it, gone when that has ended.
WITH_POSTGRES := tests/postgres.py
# The black-box tests in which the engine can matter; the others are about files, lines and disks.  All of them in check-full.
ON_POSTGRES := $(addprefix tests/blackbox/test_,api_smoke.py api_writing.py curl_tour.py 72_postgres.py 84_servers.py)

.PHONY: test mutants check-full check-clang check-tsan check-fuzz check-sim
test: setup-test debug
	tools/check_layers.py
	$(PYTHON) tools/check_tools.py
	$(WITH_POSTGRES) meson test -C build/debug --print-errorlogs --num-processes $(JOBS) --timeout-multiplier 6 --no-suite full
	$(PYTHON) -m pytest -q -p no:cacheprovider -n $(JOBS) -m "not mutant" tests/blackbox
	DRAY_TEST_DB=postgres $(WITH_POSTGRES) $(PYTHON) -m pytest -q -p no:cacheprovider -n $(JOBS) $(ON_POSTGRES)

# Half an hour; tools/mutants.py NAME runs one.
mutants: setup-test debug
	$(WITH_POSTGRES) tools/mutants.py

check-full: test mutants check-clang check-tsan check-fuzz check-sim release
	$(WITH_POSTGRES) meson test -C build/debug --print-errorlogs --num-processes $(JOBS) --suite full
	DRAY_TEST_DB=postgres $(WITH_POSTGRES) $(PYTHON) -m pytest -q -p no:cacheprovider -n $(JOBS) tests/blackbox
	DRAY_CAMPAIGN=full $(PYTHON) -m pytest -q -p no:cacheprovider -n $(JOBS) tests/blackbox
	DRAY_TEST_META=sqlite DRAY_TEST_COMMITS=100000 build/debug/tests/unit/domain/test_domain_feed
	DRAY_TEST_META=sqlite DRAY_TEST_TRANSFERS=1000 DRAY_TEST_STEPS=3000 build/debug/tests/unit/job/test_job_gc
	tools/ledger.py

# The other compiler, with the same warnings as errors.
check-clang: setup-test setup-full
	test -e build/clang/build.ninja || CC=clang meson setup build/clang $(SANITIZE)
	ninja -C build/clang
	$(WITH_POSTGRES) meson test -C build/clang --print-errorlogs

check-tsan: setup-test
	test -e build/tsan/build.ninja || CC=$(CC) meson setup build/tsan --buildtype=debugoptimized -Doptimization=1 -Db_sanitize=thread -Db_lundef=false
	ninja -C build/tsan
	$(WITH_POSTGRES) meson test -C build/tsan --print-errorlogs

# 200,000 seeds of the simulation, 10 million worlds of the planner and 100,000 commits on PostgreSQL, without sanitizers: hours.  Stopped, it goes on where it was.
check-sim: setup-test
	test -e build/sim/build.ninja || CC=$(CC) meson setup build/sim --buildtype=debugoptimized -Doptimization=1
	ninja -C build/sim tests/sim/sim tests/unit/client/diff/test_diff_random tests/unit/domain/test_domain_feed
	tests/sim/campaign.py planner build/sim/tests/unit/client/diff/test_diff_random --total 10000000
	tests/sim/campaign.py sim build/sim/tests/sim/sim --total 200000
	$(WITH_POSTGRES) tests/sim/campaign.py feed build/sim/tests/unit/domain/test_domain_feed --total 100000 --jobs 1

# Ten minutes for each target.
check-fuzz: setup-test setup-full
	test -e build/fuzz/build.ninja || CC=clang meson setup build/fuzz $(SANITIZE) -Dfuzz=true
	ninja -C build/fuzz
	for f in build/fuzz/tests/fuzz/fuzz_*; do \
		test -x $$f -a -f $$f || continue; \
		mkdir -p build/fuzz/corpus/$${f##*/}; \
		$$f -max_total_time=600 -timeout=5 -rss_limit_mb=1024 build/fuzz/corpus/$${f##*/} tests/fuzz/corpus/$${f##*fuzz_} || exit 1; \
	done

# ---- measuring, keeping ----------------------------------------------------------------------------------------------

.PHONY: bench fmt lint clean
bench: setup-bench release
	ninja -C build/release bench/fill bench/subscribers bench/sender
	$(PYTHON) bench/bench.py

# Only what is not committed yet: tables that were aligned by hand stay as they are.
fmt: setup-lint
	git clang-format --style=file HEAD -- '*.c' '*.h' || true


lint: setup-lint debug
	clang-tidy -p build/debug --quiet $$(git ls-files 'src/*.c')

clean:
	rm -rf build
