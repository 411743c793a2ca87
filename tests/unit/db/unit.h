#pragma once
/**
 * What the tests of db share: a database of its own for each, on the engine that DRAY_TEST_DB names (sqlite, postgres; default sqlite).
 * SQLite lies in a directory of its own, on a disk that fails on command.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "db/db.h"
#include "schema.h"

extern struct err unit_err;
#define ERR (&unit_err)
#define ok(call) \
	do { \
		if (call) \
			fail_msg("%s: %s", #call, unit_err.msg); \
	} while (0)
#define answers(call, want) \
	do { \
		err_code got_ = (call); \
		if (got_ != (want)) \
			fail_msg("%s: answered %s, not %s", #call, err_info(got_)->code, err_info(want)->code); \
		assert_int_equal(unit_err.code, want); \
	} while (0)

struct fixture {
	char dir[256], path[300];
	struct schema schema; /* of PostgreSQL */
	struct db *db;
};

struct open_opts {
	unsigned wait_ms, readers_max;
};

/** An engine, and what a test may ask it for instead of asking which one it is. */
struct engine {
	const char *name;
	const char *int_type; /* what @int@ is */
	bool file;            /* it lies in f->path */
	err_code (*open)(const struct fixture *f, const struct open_opts *opts, struct db **out, struct err *err);
	unsigned (*syncs)(struct fixture *f); /* how often a commit of the rows in t has been made durable */
};
extern const struct engine *engine;

/** engine_choose(): false when the one that is asked for has no server: exit with SCHEMA_SKIP. */
bool engine_choose(void);

/** NEEDS_FILE(): for tests of what only a database in a file has. */
#define NEEDS_FILE() \
	do { \
		if (!engine->file) \
			skip(); \
	} while (0)

/** setup: an open database with tables t (id, v) and child (id refers to t).  open_db: again, with these options. */
int setup(void **state);
int teardown(void **state);
void open_db(struct fixture *f, struct open_opts opts);

struct db_tx *begin(struct fixture *f, enum db_mode mode);
void commit(struct db_tx *tx);

/** put(tx, id, v): insert into t.  look(f, id): its v, or -1. */
err_code put(struct db_tx *tx, int64_t id, int64_t v, struct err *err);
int64_t look(struct fixture *f, int64_t id);

/** The disk: SQLite's own, but for what is armed here.  faults_install() before the first database is opened. */
void faults_install(void);
extern _Atomic bool fault_sync, fault_full; /* fsync fails; writing finds no space */
extern _Atomic unsigned sync_count;         /* successful ones */

/** T(fn): a test with a database of its own. */
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
