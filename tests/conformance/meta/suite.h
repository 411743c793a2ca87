#pragma once
/** What the tests of meta share: a back-end under test, made-up values, and one line for a call that must succeed. */

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
#include "server/meta/meta.h"

struct fixture;

struct backend {
	const char *name;
	void (*open)(struct fixture *f);
	bool reopens;  /* opened again, it has what it had */
	bool bounded;  /* a transaction hands out only so much */
};

struct fixture {
	const struct backend *be;
	char dir[256];
	struct schema schema; /* of PostgreSQL; no name: none was made */
	struct meta *m;
	struct db *db; /* m's, where it has one */
};

/** The group of one file. */
struct group {
	const struct CMUnitTest *tests;
	size_t n;
};
extern const struct group group_projects, group_files, group_listings, group_views, group_transfers, group_sync, group_history, group_conflicts, group_garbage, group_tx;

/** fixture_reopen(f): close, and open again. */
void fixture_reopen(struct fixture *f);

/** ok(call): must succeed.  answers(call, code): must fail like this, and say so in err. */
extern struct err suite_err;
#define ok(call) \
	do { \
		if (call) \
			fail_msg("%s: %s", #call, suite_err.msg); \
	} while (0)
#define answers(call, want) \
	do { \
		err_code got_ = (call); \
		if (got_ != (want)) \
			fail_msg("%s: answered %s, not %s", #call, err_info(got_)->code, err_info(want)->code); \
		assert_int_equal(suite_err.code, want); \
	} while (0)
#define ERR (&suite_err)

/** refused(tx, call, code): a write that may be late with its error must fail like this, at once or at the commit; ends the transaction. */
#define refused(tx, call, want) \
	do { \
		err_code at_once_ = (call); \
		answers(at_once_ ? at_once_ : meta_commit(&(tx), ERR), want); \
		meta_abort(&(tx)); \
	} while (0)

struct meta_tx *writer(struct fixture *f);
struct meta_tx *reader(struct fixture *f);
void commit(struct meta_tx *tx);

/** Values told apart, and ordered, by a number; id_no(0) is not zero. */
struct id id_no(unsigned n);
struct hash hash_no(unsigned n);

/** a_project(n), a_device(n), …: with every field set to something of its own. */
struct project a_project(unsigned n);
struct device a_device(unsigned n);
struct file a_file(unsigned n, const char *dir, const char *name, int64_t version);

void assert_id(const struct id *a, const struct id *b);
void assert_hash(const struct hash *a, const struct hash *b);
void assert_file(const struct file *a, const struct file *b);

/** Projects ${P1} and ${P2} and device ${DEV}, committed. */
#define P1 (&suite_p)
#define P2 (&suite_q)
#define DEV (&suite_d)
extern struct id suite_p, suite_q, suite_d;
void add_basics(struct fixture *f);
