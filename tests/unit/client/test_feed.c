/* What the server has changed: which of it is new to a state that knows the file already.  The server is a page of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/feed.h"
#include "client/remote/snapshot.h"

static struct err err;
static uint64_t told;

static void
count_told(void *ctx, uint64_t entries)
{
	(void)ctx;
	assert_true(entries > told);
	told = entries;
}

static const struct feed_opts OPTS = { .progress = count_told };
static struct wire_page page;
static bool asked_for_all; /* the last question had no cursor */

/* What the server has in pages and in a snapshot, for those tests that have both: a file of number ${i} is "d/N". */
static struct {
	bool on;
	size_t live, page_len;            /* as changes: all at clock 200, in pages; and nothing since */
	size_t listed;                    /* as a snapshot, of the clock before that */
	size_t snapshot_page, fails_after; /* pages; SIZE_MAX: does not fail */
	err_code why;
	unsigned snapshots, from_start, since_snapshot;
} project;
static struct wire_file rows[64];
static char paths[64][8];

static size_t
files_from(struct wire_page *out, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++) {
		snprintf(paths[i], sizeof paths[i], "d/%zu", i);
		rows[i] = (struct wire_file){ .id = { { (uint8_t)(i + 1) } }, .path = paths[i], .size = 3, .mtime_ns = 5, .mode = 0644, .version = 50,
			.content = { { 9 } } };
	}
	out->files = rows + from;
	return out->n = n;
}

static err_code
page_since(const struct cursor *since, struct wire_page *out)
{
	size_t from = since && since->clock < 199 ? (size_t)since->clock : 0;

	*out = (struct wire_page){ .cursor = { .clock = 200, .epoch = { { 1 } }, .has_epoch = true } };
	project.from_start += !since;
	project.since_snapshot += since && since->clock == 199;
	if (since && since->clock >= 199) /* what came after the snapshot */
		return since->clock == 199 ? (files_from(out, project.listed, project.live - project.listed), ERR_OK) : ERR_OK;
	files_from(out, from, MIN(project.page_len, project.live - from));
	out->has_more = from + out->n < project.live;
	if (out->has_more)
		out->cursor = (struct cursor){ .clock = (int64_t)(from + out->n), .epoch = { { 1 } }, .has_epoch = true, .began = 200 };
	return ERR_OK;
}

struct snapshot_reader {
	size_t at, pages;
};
static struct snapshot_reader reader;

struct snapshot_reader *
snapshot_reader_open(struct remote *remote)
{
	(void)remote;
	project.snapshots++;
	reader = (struct snapshot_reader){ 0 };
	return &reader;
}

void
snapshot_reader_free(struct snapshot_reader *s)
{
	(void)s;
}

err_code
snapshot_reader_next(struct snapshot_reader *s, struct arena *a, struct wire_page *out, struct err *e)
{
	(void)a;
	if (s->pages++ == project.fails_after)
		return err_set(e, project.why, "the snapshot fails");
	*out = (struct wire_page){ .cursor = { .clock = 199, .epoch = { { 1 } }, .has_epoch = true } };
	s->at += files_from(out, s->at, MIN(project.snapshot_page, project.listed - s->at));
	out->has_more = s->at < project.listed;
	return ERR_OK;
}

bool
remote_is_away(err_code rc)
{
	return rc == ERR_NETWORK;
}

err_code
remote_changes(struct remote *r, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *e)
{
	(void)r;
	(void)a;
	(void)e;
	if (project.on)
		return page_since(since, out);
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
	struct state_place place = { .clock = known ? 100 : 0, .epoch = { { 1 } }, .known = known };
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
	ok(feed_pull(s, NULL, &OPTS, &err));
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

/* ---- a tree of more than a page ------------------------------------------------------------------------------------------------ */

static void
there_are(size_t live, size_t listed)
{
	memset(&project, 0, sizeof project);
	project.on = true;
	project.live = live;
	project.listed = listed;
	project.page_len = 10;
	project.snapshot_page = 10;
	project.fails_after = SIZE_MAX;
}

/* Read it with what is left by ${stale}, an entry that is not there any more; how much is pending then, and where the state is. */
static uint64_t
pull(struct state *s, bool stale, err_code expect, struct state_place *place)
{
	struct wire_file gone = { .id = { { 99 } }, .path = "gone", .version = 9 };
	struct state_totals totals;
	struct entry e = feed_entry(&gone);

	if (stale) {
		ok(state_begin(s, &err));
		ok(state_pending_put(s, &e, false, NULL, 0, &err));
		ok(state_commit(s, &err));
	}
	told = 0;
	assert_int_equal(feed_pull(s, NULL, &OPTS, &err), expect);
	ok(state_totals(s, &totals, &err));
	ok(state_place_get(s, place, &err));
	return totals.pending;
}

/* How much is pending after a first pull, beside an entry that a reading before has left and that is not there any more. */
static uint64_t
first_pull(size_t live, size_t of_snapshot)
{
	char dir[] = "/tmp/dray-feed-XXXXXX";
	struct state_place place;
	uint64_t pending;
	struct state *s;

	assert_non_null(mkdtemp(dir));
	ok(state_open(dir, &s, &err));
	there_are(live, of_snapshot);
	pending = pull(s, true, ERR_OK, &place);
	assert_int_equal(told, project.snapshots ? of_snapshot : 0); /* nobody waits for a single page */
	assert_int_equal(place.clock, 200);
	assert_int_equal(project.from_start, 1);
	assert_int_equal(project.since_snapshot, project.snapshots);
	assert_int_equal(pull(s, false, ERR_OK, &place), pending); /* a place is known now */
	assert_int_equal(project.from_start, 1);
	assert_int_equal(project.since_snapshot, project.snapshots);
	state_end_of(s, dir);
	return pending;
}

static void
a_large_tree_is_a_snapshot(void **unused)
{
	(void)unused;
	assert_int_equal(first_pull(45, 42), 45); /* those of the snapshot, and those since */
	assert_int_equal(project.snapshots, 1);
	assert_int_equal(first_pull(10, 10), 10);
	assert_int_equal(project.snapshots, 0);
	setenv("DRAY_FAULT", "client.keeps_half_a_listing", 1);
	assert_int_equal(first_pull(45, 42), 46);
	unsetenv("DRAY_FAULT");
}

/* A server that has no room for a snapshot, or a damaged one, still has pages. */
static void
without_a_snapshot(void **unused)
{
	static const err_code codes[] = { ERR_NO_SPACE, ERR_PROTOCOL, ERR_PRECONDITION_FAILED, ERR_CORRUPT };

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		for (size_t after = 0; after < 4; after++) {
			char dir[] = "/tmp/dray-feed-XXXXXX";
			struct state_place place;
			struct state *s;

			assert_non_null(mkdtemp(dir));
			ok(state_open(dir, &s, &err));
			there_are(38, 42); /* some have been deleted since: what the snapshot told must not stay */
			project.fails_after = after;
			project.why = codes[i];
			assert_int_equal(pull(s, false, ERR_OK, &place), 38);
			assert_int_equal(place.clock, 200);
			assert_int_equal(project.snapshots, 1);
			state_end_of(s, dir);
		}
	}
}

/* A line that is gone, or a stop: what has come leads to no place, and is told again next time. */
static void
a_snapshot_that_stops(void **unused)
{
	static const err_code codes[] = { ERR_NETWORK, ERR_CANCELLED };

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		char dir[] = "/tmp/dray-feed-XXXXXX";
		struct state_place place;
		struct state *s;

		assert_non_null(mkdtemp(dir));
		ok(state_open(dir, &s, &err));
		there_are(42, 42);
		project.fails_after = 3;
		project.why = codes[i];
		pull(s, false, codes[i], &place);
		assert_false(place.known);
		there_are(25, 25); /* deleted meanwhile */
		assert_int_equal(pull(s, false, ERR_OK, &place), 25);
		state_end_of(s, dir);
	}
}

/* What is known here and not in the whole listing has been deleted there: only its end says so. */
static void
listed_anew_by_a_snapshot(void **unused)
{
	char dir[] = "/tmp/dray-feed-XXXXXX";
	struct wire_file lost = { .id = { { 98 } }, .path = "lost", .version = 9 };
	struct state_place place;
	struct state *s;

	(void)unused;
	assert_non_null(mkdtemp(dir));
	s = state_that_knows(dir, &lost, false);
	there_are(42, 42);
	project.fails_after = 4;
	project.why = ERR_NETWORK;
	assert_int_equal(pull(s, false, ERR_NETWORK, &place), 40);
	assert_false(place.known);
	there_are(42, 42);
	assert_int_equal(pull(s, false, ERR_OK, &place), 42 + 1);
	assert_int_equal(place.clock, 200);
	state_end_of(s, dir);
	/* It was still in the snapshot, which then turned out to be none. */
	strcpy(dir, "/tmp/dray-feed-XXXXXX");
	assert_non_null(mkdtemp(dir));
	files_from(&page, 35, 1);
	s = state_that_knows(dir, &rows[35], false);
	there_are(30, 42);
	project.fails_after = 4;
	project.why = ERR_PROTOCOL;
	assert_int_equal(pull(s, false, ERR_OK, &place), 30 + 1);
	state_end_of(s, dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(own_commits_come_back), cmocka_unit_test(listed_anew),
		cmocka_unit_test(a_large_tree_is_a_snapshot), cmocka_unit_test(without_a_snapshot), cmocka_unit_test(a_snapshot_that_stops),
		cmocka_unit_test(listed_anew_by_a_snapshot) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
