/* What the server has changed: which of it is new to a state that knows the file already.  The server is a page of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/feed.h"

static struct err err;
static struct wire_page page;
static bool asked_for_all; /* the last question had no cursor */

err_code
remote_changes(struct remote *r, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *e)
{
	(void)r;
	(void)a;
	(void)e;
	asked_for_all = since == NULL;
	*out = page;
	return ERR_OK;
}

static void
ok(err_code rc)
{
	if (rc)
		fail_msg("%s: %s", err_info(rc)->code, err.msg);
}

/* A state that knows the file of ${f} as ${f} says, and where the feed is; ${known} false: it has to be listed anew. */
static struct state *
state_that_knows(const char *dir, const struct wire_file *f, bool known)
{
	struct entry e = feed_entry(f);
	struct state_place place = { .clock = 100, .epoch = { { 1 } }, .known = known };
	struct state *s;

	ok(state_open(dir, &s, &err));
	ok(state_begin(s, &err));
	ok(state_base_put(s, &e, &err));
	ok(state_place_put(s, &place, &err));
	ok(state_commit(s, &err));
	return s;
}

static void
state_end_of(struct state *s, const char *dir)
{
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm" };
	char path[128];

	state_free(s);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	assert_return_code(rmdir(dir), 0);
}

/* How much is pending when the server says ${there} of what is known as ${here}. */
static uint64_t
pending_of(const struct wire_file *here, const struct wire_file *there, bool known)
{
	char dir[] = "/tmp/dray-feed-XXXXXX";
	struct state_totals totals;
	struct wire_file f = *there;
	struct state *s;

	assert_non_null(mkdtemp(dir));
	s = state_that_knows(dir, here, known);
	page = (struct wire_page){ .files = &f, .n = 1, .cursor = { .clock = 200, .epoch = { { 1 } }, .has_epoch = true } };
	ok(feed_pull(s, NULL, false, &err));
	assert_int_equal(asked_for_all, !known);
	ok(state_totals(s, &totals, &err));
	state_end_of(s, dir);
	return totals.pending;
}

static const struct wire_file KNOWN = { .id = { { 7 } }, .path = "d/f", .size = 3, .mtime_ns = 5, .mode = 0644, .version = 50, .content = { { 9 } } };

/* A version that is known, or an older one, is our own commit that comes back. */
static void
own_commits_come_back(void **unused)
{
	struct wire_file there = KNOWN;

	(void)unused;
	assert_int_equal(pending_of(&KNOWN, &there, true), 0);
	there.version = 49;
	assert_int_equal(pending_of(&KNOWN, &there, true), 0);
	there.version = 51;
	assert_int_equal(pending_of(&KNOWN, &there, true), 1);
}

/* All is listed anew because the trees differ: of what is then the same, nothing is pending; of what is not, its version does not hide it. */
static bool
differences_show(void)
{
	struct wire_file content = KNOWN, path = KNOWN, mode = KNOWN, mtime = KNOWN;

	content.content.b[0]++;
	path.path = "d/g";
	mode.mode = 0600;
	mtime.mtime_ns++;
	return pending_of(&KNOWN, &content, false) == 1 && pending_of(&KNOWN, &path, false) == 1 && pending_of(&KNOWN, &mode, false) == 1 &&
	    pending_of(&KNOWN, &mtime, false) == 1;
}

static void
listed_anew(void **unused)
{
	struct wire_file there = KNOWN;

	(void)unused;
	assert_int_equal(pending_of(&KNOWN, &there, false), 0);
	assert_true(differences_show());
	setenv("DRAY_FAULT", "client.believes_versions", 1);
	assert_false(differences_show());
	unsetenv("DRAY_FAULT");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(own_commits_come_back), cmocka_unit_test(listed_anew) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
