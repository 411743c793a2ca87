/* What a push does not send: what has arrived before, what a base has, what others have, and holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"

#define SLACK (64 * KIB) /* headers and lists do not count */

static err_code last_code;
static struct entry last;

static err_code
on_done(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct rig *r = ctx;

	(void)why;
	last_code = code;
	if (code)
		return ERR_OK;
	if (entry)
		last = *entry;
	return entry ? state_base_put(r->state, entry, err) : state_base_remove(r->state, op->base->path, err);
}

static err_code
push_ops(struct rig *r, const struct plan_op *ops, size_t n)
{
	last_code = ERR_OK;
	return push_run(&r->env, ops, n, on_done, &r->err);
}

/* Push what lies at ${path}; returns what crossed the line. */
static uint64_t
push_path(struct rig *r, const char *path)
{
	struct plan_op op = rig_push(r, path);
	uint64_t before = r->server->bytes_up;

	assert_int_equal(push_ops(r, &op, 1), ERR_OK);
	assert_int_equal(last_code, ERR_OK);
	return r->server->bytes_up - before;
}

static void
assert_is(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	struct mem_file *f = mem_file_at(r->server, path);

	assert_non_null(f);
	assert_true(mem_file_is(r->server, f, p, len));
}

static size_t
uploads(struct rig *r, struct state_upload *out)
{
	struct state_upload rows[8];
	size_t n;

	assert_int_equal(state_upload_list(r->state, r->a, rows, 8, &n, &r->err), ERR_OK);
	if (n > 0 && out)
		*out = rows[0];
	return n;
}

static uint8_t *
joined(struct rig *r, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	uint8_t *p = arena_must(r->a, a_len + b_len + 1);

	memcpy(p, a, a_len);
	memcpy(p + a_len, b, b_len);
	return p;
}

/* ---- deltas -------------------------------------------------------------------------------------------------------------------------- */

/* Each kind of edit of files of each way of travelling: what is sent is what changed. */
static void
edits(struct rig *r, size_t len)
{
	uint8_t *old = rig_bytes(r, len, len), *extra = rig_bytes(r, MIB, 99), *now;
	struct transfer_counts counts;

	rig_write(r, "f", old, len);
	push_path(r, "f");
	now = joined(r, old, len, extra, 0);
	memcpy(now + len / 2, extra, 1000); /* over */
	rig_write(r, "f", now, len);
	assert_in_range(push_path(r, "f"), 1, 2 * BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", now, len);
	now = joined(r, extra, 3000, now, len); /* in front */
	rig_write(r, "f", now, len + 3000);
	assert_in_range(push_path(r, "f"), 1, 3000 + 2 * BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", now, len + 3000);
	now = joined(r, now, len + 3000, extra, 5000); /* behind */
	rig_write(r, "f", now, len + 8000);
	assert_in_range(push_path(r, "f"), 1, 5000 + BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", now, len + 8000);
	now = joined(r, now, len / 3, now + len / 3 + 70001, len + 8000 - len / 3 - 70001); /* out of the middle */
	rig_write(r, "f", now, len + 8000 - 70001);
	assert_in_range(push_path(r, "f"), 1, 4 * BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", now, len + 8000 - 70001);
	rig_write(r, "f", now, len / 2); /* cut off */
	assert_in_range(push_path(r, "f"), 0, BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", now, len / 2);
	transfer_progress_read(r->progress, &counts);
	assert_in_range(counts.bytes_saved, 3 * len, 6 * len);
	assert_int_equal(counts.bytes_done, counts.bytes_total);
}

static void
test_edits_small(void **ctx)
{
	edits(*ctx, 1500000);
}

static void
test_edits_middle(void **ctx)
{
	edits(*ctx, 9 * MIB);
}

static void
test_edits_large(void **ctx)
{
	struct rig *r = *ctx;

	edits(r, 17 * MIB + 5);
	assert_int_equal(uploads(r, NULL), 0); /* the journal forgets what is done */
}

/* Moved within the file: all of it is named, and only its list is sent. */
static void
test_region_moved(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 17 * MIB, at = 7 * MIB;
	uint8_t *old = rig_bytes(r, len, 5), *now = joined(r, old + at, len - at, old, at);

	rig_write(r, "f", old, len);
	push_path(r, "f");
	rig_write(r, "f", now, len);
	assert_in_range(push_path(r, "f"), 0, SLACK);
	assert_is(r, "f", now, len);
	assert_true(mem_file_at(r->server, "f")->list.extent_count < 16); /* runs stay runs */
}

/* The state has no list: the server is asked for it, and what was edited in place is found. */
static void
test_list_from_the_server(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 17 * MIB;
	uint8_t *p = rig_bytes(r, len, 5);

	rig_write(r, "f", p, len);
	push_path(r, "f");
	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_blocks_forget(r->state, &last.content, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	memcpy(p + 5 * MIB, "changed", 7);
	rig_write(r, "f", p, len);
	assert_in_range(push_path(r, "f"), 1, BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", p, len);
	assert_true(r->server->lists_asked > 0);
	memcpy(p + 9 * MIB, "again", 5); /* and now the state has it */
	rig_write(r, "f", p, len);
	r->server->lists_asked = 0;
	assert_in_range(push_path(r, "f"), 1, BLOCK_LEN_MAX + SLACK);
	assert_int_equal(r->server->lists_asked, 0);
}

/* ---- copies -------------------------------------------------------------------------------------------------------------------------- */

static void
test_copies(void **ctx)
{
	static const size_t sizes[] = { 100000, 6 * MIB + 1, 17 * MIB + 3 };
	struct rig *r = *ctx;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint8_t *p = rig_bytes(r, sizes[i], i + 50);

		rig_write(r, "a", p, sizes[i]);
		push_path(r, "a");
		rig_write(r, "copy", p, sizes[i]);
		assert_int_equal(push_path(r, "copy"), 0);
		assert_is(r, "copy", p, sizes[i]);
		memcpy(p + sizes[i] / 2, "edited", 6);
		rig_write(r, "edited copy", p, sizes[i]);
		assert_in_range(push_path(r, "edited copy"), 1, 2 * BLOCK_LEN_MAX + SLACK);
		assert_is(r, "edited copy", p, sizes[i]);
	}
	assert_true(r->server->copies >= 2);
	assert_int_equal(uploads(r, NULL), 0);
}

/* A copy of what is not cut on the grid: its blocks are nowhere where they could be looked up. */
static void
test_copy_of_what_was_shifted(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 17 * MIB;
	uint8_t *p = rig_bytes(r, len, 5), *now = joined(r, (const uint8_t *)"in front", 8, p, len);

	rig_write(r, "f", p, len);
	push_path(r, "f");
	rig_write(r, "f", now, len + 8);
	push_path(r, "f");
	rig_write(r, "copy", now, len + 8);
	assert_int_equal(push_path(r, "copy"), 0);
	assert_is(r, "copy", now, len + 8);
}

/* The version that was to be copied is gone: its bytes are sent, and nothing is lost. */
static void
test_copy_of_what_is_gone(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, 6 * MIB, 50);

	rig_write(r, "a", p, 6 * MIB);
	push_path(r, "a");
	rig_write(r, "copy", p, 6 * MIB);
	r->server->no_copies = true;
	push_path(r, "copy");
	assert_is(r, "copy", p, 6 * MIB);
}

/* Renamed and edited, which the planner takes for a deletion and a new file: the inode says what it was. */
static void
test_renamed_and_edited(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 17 * MIB;
	uint8_t *p = rig_bytes(r, len, 5), *now = joined(r, (const uint8_t *)"in front", 8, p, len);
	struct plan_op ops[2];
	uint64_t before;

	rig_write(r, "a", p, len);
	ops[0] = rig_push(r, "a");
	push_path(r, "a");
	ops[0] = (struct plan_op){ .act = ACT_DELETE_REMOTE, .path = "a", .base = arena_memdup(r->a, &last, sizeof last) };
	assert_int_equal(renameat(r->tree->root, "a", r->tree->root, "b"), 0);
	rig_write(r, "b", now, len + 8);
	ops[1] = rig_push(r, "b");
	before = r->server->bytes_up;
	assert_int_equal(push_ops(r, ops, 2), ERR_OK);
	assert_in_range(r->server->bytes_up - before, 1, 2 * BLOCK_LEN_MAX + SLACK);
	assert_is(r, "b", now, len + 8);
	assert_null(mem_file_at(r->server, "a"));
}

/* Another inode and another directory, the same name. */
static void
test_found_by_its_name(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 17 * MIB;
	uint8_t *p = rig_bytes(r, len, 5), *now = joined(r, (const uint8_t *)"in front", 8, p, len);
	struct plan_op ops[3];
	uint64_t before;

	tree_mkdir(r->tree, "old");
	ops[0] = rig_push(r, "old");
	assert_int_equal(push_ops(r, ops, 1), ERR_OK);
	rig_write(r, "old/clip.mov", p, len);
	push_path(r, "old/clip.mov");
	ops[0] = (struct plan_op){ .act = ACT_DELETE_REMOTE, .path = "old/clip.mov", .base = arena_memdup(r->a, &last, sizeof last) };
	tree_mkdir(r->tree, "new");
	rig_write(r, "new/clip.mov", now, len + 8);
	assert_int_equal(unlinkat(r->tree->root, "old/clip.mov", 0), 0);
	ops[1] = rig_push(r, "new");
	ops[2] = rig_push(r, "new/clip.mov");
	before = r->server->bytes_up;
	assert_int_equal(push_ops(r, ops, 3), ERR_OK);
	assert_in_range(r->server->bytes_up - before, 1, 2 * BLOCK_LEN_MAX + SLACK);
	assert_is(r, "new/clip.mov", now, len + 8);
}

/* A base that has nothing of the file costs nothing but time. */
static void
test_wrong_base(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, 17 * MIB, 6);

	rig_write(r, "f", rig_bytes(r, 18 * MIB, 5), 18 * MIB);
	push_path(r, "f");
	rig_write(r, "f", p, 17 * MIB);
	assert_in_range(push_path(r, "f"), 17 * MIB, 17 * MIB + SLACK);
	assert_is(r, "f", p, 17 * MIB);
}

/* The server has lost the chunks of the base: they are sent again, whatever the state believes. */
static void
base_chunks_missing(struct rig *r, size_t len, bool silent)
{
	uint8_t *p = rig_bytes(r, len, 5);

	r->server->silent_missing = silent;
	rig_write(r, "f", p, len);
	push_path(r, "f");
	mem_chunks_drop(r->server);
	memcpy(p + len / 2, "edited", 6);
	rig_write(r, "f", p, len);
	push_path(r, "f");
	assert_is(r, "f", p, len);
	memcpy(p + len / 3, "edited", 6); /* and what the state knows now is true */
	rig_write(r, "f", p, len);
	assert_in_range(push_path(r, "f"), 1, BLOCK_LEN_MAX + SLACK);
	assert_is(r, "f", p, len);
}

static void
test_base_chunks_missing(void **ctx)
{
	base_chunks_missing(*ctx, 9 * MIB, false);
}

static void
test_base_chunks_missing_large(void **ctx)
{
	base_chunks_missing(*ctx, 17 * MIB, false);
}

static void
test_base_chunks_missing_unnamed(void **ctx)
{
	base_chunks_missing(*ctx, 17 * MIB, true);
}

/* ---- uploads that go on -------------------------------------------------------------------------------------------------------------- */

#define LARGE (25 * MIB + 7) /* seven chunks */

/* Begin to send ${path}, and lose the line after ${n} chunks; the server has ${n} - 1. */
static void
lose_the_line(struct rig *r, const char *path, unsigned n)
{
	struct plan_op op = rig_push(r, path);

	r->server->put_fails = ERR_NETWORK;
	r->server->put_fails_at = r->server->chunk_puts + n;
	assert_int_equal(push_ops(r, &op, 1), ERR_NETWORK);
	r->server->put_fails = ERR_OK;
	assert_int_equal(r->server->transfers_deleted, 0);
	assert_int_equal(uploads(r, NULL), 1);
}

static void
test_resumes(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);
	struct state_upload u;

	rig_write(r, "f", p, LARGE);
	lose_the_line(r, "f", 5);
	assert_int_equal(uploads(r, &u), 1);
	assert_string_equal(u.path, "f");
	assert_int_equal(u.size, LARGE);
	assert_true(hash_is_zero(&u.base));
	assert_in_range(push_path(r, "f"), LARGE - 4 * CHUNK_RAW_MAX, LARGE - 4 * CHUNK_RAW_MAX + SLACK);
	assert_is(r, "f", p, LARGE);
	assert_int_equal(r->server->transfers_made, 1);
	assert_int_equal(uploads(r, NULL), 0);
}

/* Again and again, and what has arrived each time is not sent once more. */
static void
test_resumes_often(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	for (unsigned i = 0; i < 5; i++)
		lose_the_line(r, "f", 2);
	assert_in_range(push_path(r, "f"), LARGE - 5 * CHUNK_RAW_MAX, LARGE - 5 * CHUNK_RAW_MAX + SLACK);
	assert_is(r, "f", p, LARGE);
	assert_int_equal(r->server->transfers_made, 1);
}

/* Edited meanwhile: what has not changed is not sent again, and the version is what lies there now. */
static void
test_resumes_what_has_not_changed(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	r->env.parallel = 1; /* the first chunks are those that arrive */
	lose_the_line(r, "f", 5);
	memcpy(p + 5 * MIB, "edited", 6);
	rig_write(r, "f", p, LARGE);
	assert_in_range(push_path(r, "f"), LARGE - 3 * CHUNK_RAW_MAX - SLACK, LARGE - 3 * CHUNK_RAW_MAX + SLACK);
	assert_is(r, "f", p, LARGE);
	assert_int_equal(uploads(r, NULL), 0);
}

/* As it becomes a conflict copy: another name, the same file. */
static void
test_resumes_under_another_name(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	lose_the_line(r, "f", 5);
	assert_int_equal(renameat(r->tree->root, "f", r->tree->root, "g"), 0);
	assert_in_range(push_path(r, "g"), LARGE - 4 * CHUNK_RAW_MAX, LARGE - 4 * CHUNK_RAW_MAX + SLACK);
	assert_is(r, "g", p, LARGE);
}

/* Along a base, and cut along the same one again. */
static void
test_resumes_along_a_base(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *old = rig_bytes(r, LARGE, 5), *now = joined(r, rig_bytes(r, 24 * MIB, 6), 24 * MIB, old, LARGE);
	struct state_upload u;
	struct hash base;

	rig_write(r, "f", old, LARGE);
	push_path(r, "f");
	base = last.content;
	r->server->transfers_deleted = 0;
	rig_write(r, "f", now, 24 * MIB + LARGE);
	lose_the_line(r, "f", 5);
	assert_int_equal(uploads(r, &u), 1);
	assert_true(hash_eq(&u.base, &base));
	assert_in_range(push_path(r, "f"), 20 * MIB - 4 * CHUNK_RAW_MAX, 24 * MIB - 4 * CHUNK_RAW_MAX + SLACK + BLOCK_LEN_MAX);
	assert_is(r, "f", now, 24 * MIB + LARGE);
}

/* The server has given it up: it begins anew. */
static void
test_transfer_expired(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	lose_the_line(r, "f", 5);
	mem_transfers_end(r->server);
	assert_in_range(push_path(r, "f"), LARGE, LARGE + SLACK);
	assert_is(r, "f", p, LARGE);
	assert_int_equal(r->server->transfers_made, 2);
	assert_int_equal(uploads(r, NULL), 0);
}

static void
end_transfers(void *arg)
{
	struct rig *r = arg;

	mem_transfers_end(r->server);
}

static void
forget_transfers(void *arg)
{
	struct rig *r = arg;

	mem_transfers_forget(r->server);
}

/* It ends while its chunks are on their way, or before its list. */
static void
ends_meanwhile(struct rig *r, unsigned chunk, unsigned page, void (*what)(void *arg))
{
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	r->server->do_at = chunk;
	r->server->do_at_page = page;
	r->server->do_what = what;
	r->server->do_arg = r;
	push_path(r, "f");
	assert_is(r, "f", p, LARGE);
	assert_int_equal(r->server->transfers_made, 2);
	assert_int_equal(uploads(r, NULL), 0);
}

static void
test_transfer_ends_at_a_chunk(void **ctx)
{
	ends_meanwhile(*ctx, 5, 0, end_transfers);
}

static void
test_transfer_ends_at_its_list(void **ctx)
{
	ends_meanwhile(*ctx, 0, 1, end_transfers);
}

static void
test_transfer_unknown_at_a_chunk(void **ctx)
{
	ends_meanwhile(*ctx, 5, 0, forget_transfers);
}

static void
test_transfer_unknown_at_its_list(void **ctx)
{
	ends_meanwhile(*ctx, 0, 1, forget_transfers);
}

/* What had arrived is gone: it is not believed a second time. */
static void
test_arrived_chunks_missing(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	rig_write(r, "f", p, LARGE);
	lose_the_line(r, "f", 5);
	mem_chunks_drop(r->server);
	push_path(r, "f");
	assert_is(r, "f", p, LARGE);
}

/* The file is gone: so is its upload, with the next push. */
static void
test_upload_given_up(void **ctx)
{
	struct rig *r = *ctx;

	rig_write(r, "f", rig_bytes(r, LARGE, 5), LARGE);
	lose_the_line(r, "f", 5);
	rig_write(r, "g", rig_bytes(r, 100, 6), 100);
	push_path(r, "g");
	assert_int_equal(uploads(r, NULL), 1); /* still there, and not of this push */
	r->server->transfers_deleted = 0;
	assert_int_equal(unlinkat(r->tree->root, "f", 0), 0);
	rig_write(r, "g", rig_bytes(r, 100, 7), 100);
	push_path(r, "g");
	assert_int_equal(uploads(r, NULL), 0);
	assert_int_equal(r->server->transfers_deleted, 2); /* and that of small files */
}

/* One inode under two names: each has a transfer of its own. */
static void
test_two_names_one_inode(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);
	struct plan_op ops[2];

	rig_write(r, "f", p, LARGE);
	lose_the_line(r, "f", 4);
	assert_int_equal(linkat(r->tree->root, "f", r->tree->root, "g", 0), 0);
	ops[0] = rig_push(r, "f");
	ops[1] = rig_push(r, "g");
	assert_int_equal(push_ops(r, ops, 2), ERR_OK);
	assert_is(r, "f", p, LARGE);
	assert_is(r, "g", p, LARGE);
	assert_int_equal(uploads(r, NULL), 0);
}

struct edit {
	struct rig *r;
	size_t at;
};

static void
edit_now(void *arg)
{
	const struct edit *e = arg;
	int fd = openat(e->r->tree->root, "f", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "meanwhile", 9, (off_t)e->at), 9);
	close(fd);
}

/*
 * It changes while it is sent: what is committed is what it was at one instant, and only what changed is sent again.  So long that by the sixth
 * request it has not been read to its end: after that a change would be another version's.
 */
static void
test_changes_while_sent(void **ctx)
{
	enum { LONGER = LARGE + 16 * MIB };
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LONGER, 5);
	struct edit e = { .r = r, .at = 100 };

	rig_write(r, "f", p, LONGER);
	r->server->do_at = 6;
	r->server->do_what = edit_now;
	r->server->do_arg = &e;
	assert_in_range(push_path(r, "f"), LONGER, LONGER + BLOCK_LEN_MAX + SLACK);
	memcpy(p + 100, "meanwhile", 9);
	assert_is(r, "f", p, LONGER);
	assert_int_equal(r->server->transfers_made, 1);
}

/* A number means nothing where the file has changed: this is what would be sent too often if it were trusted. */
static void
test_number_is_not_trusted(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);
	uint64_t sent;

	rig_write(r, "f", p, LARGE);
	r->env.parallel = 1; /* the first chunks are those that arrive */
	lose_the_line(r, "f", 5);
	memcpy(p, "edited", 6);
	rig_write(r, "f", p, LARGE);
	setenv("DRAY_FAULT", "client.resume_trusts_number", 1);
	sent = push_path(r, "f");
	unsetenv("DRAY_FAULT");
	assert_is(r, "f", p, LARGE); /* the server knows better */
	assert_true(sent > LARGE);   /* which costs what test_resumes_what_has_not_changed does not grant */
}

static void
late(void *server)
{
	mem_late_chunks(server, 3);
}

/* Resume ${path} while those arrive; how that ends. */
static err_code
resume_beside_late_chunks(struct rig *r, const char *path, const uint8_t *p)
{
	struct plan_op op;

	rig_write(r, path, p, LARGE);
	lose_the_line(r, path, 5);
	r->server->do_at = r->server->chunk_puts + 1;
	r->server->do_what = late;
	r->server->do_arg = r->server;
	op = rig_push(r, path);
	assert_int_equal(push_ops(r, &op, 1), ERR_OK);
	return last_code;
}

/* What a run that was killed had on its way arrives when the next one has asked what is there: its numbers are not free any more. */
static void
test_late_chunks(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, LARGE, 5);

	assert_int_equal(resume_beside_late_chunks(r, "f", p), ERR_OK);
	assert_is(r, "f", p, LARGE);
	assert_int_equal(r->server->transfers_made, 1);
	setenv("DRAY_FAULT", "client.keeps_its_number", 1);
	assert_int_equal(resume_beside_late_chunks(r, "g", rig_bytes(r, LARGE, 6)), ERR_CHUNK_CONFLICT);
	unsetenv("DRAY_FAULT");
}

static void
test_wrong_extent_is_refused(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, 17 * MIB, 5);
	struct plan_op op;

	rig_write(r, "f", p, 17 * MIB);
	push_path(r, "f");
	memcpy(p, "edited", 6);
	rig_write(r, "f", p, 17 * MIB);
	op = rig_push(r, "f");
	setenv("DRAY_FAULT", "client.delta_wrong_extent", 1);
	assert_int_equal(push_ops(r, &op, 1), ERR_OK);
	unsetenv("DRAY_FAULT");
	assert_int_not_equal(last_code, ERR_OK);
	push_path(r, "f");
	assert_is(r, "f", p, 17 * MIB);
}

/* ---- holes ---------------------------------------------------------------------------------------------------------------------------- */

static void
test_holes(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 200 * MIB + 5;
	uint8_t *p = arena_must(r->a, len), *data = rig_bytes(r, MIB, 3);
	int fd = openat(r->tree->root, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(pwrite(fd, data, MIB, 50 * MIB + 4096), MIB);
	assert_int_equal(pwrite(fd, data, 1000, (off_t)len - 1000), 1000);
	close(fd);
	memcpy(p + 50 * MIB + 4096, data, MIB);
	memcpy(p + len - 1000, data, 1000);
	assert_in_range(push_path(r, "f"), MIB, MIB + 3 * SLACK);
	assert_is(r, "f", p, len);
	assert_true(mem_file_at(r->server, "f")->list.extent_count < 64);
	/* and it is the content that it would be if it were read */
	rig_write(r, "g", p, len);
	assert_in_range(push_path(r, "g"), 0, SLACK);
	assert_true(hash_eq(&mem_file_at(r->server, "f")->e.content, &mem_file_at(r->server, "g")->e.content));
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_edits_small), T(test_edits_middle), T(test_edits_large), T(test_region_moved), T(test_list_from_the_server), T(test_copies), T(test_copy_of_what_was_shifted),
		T(test_copy_of_what_is_gone), T(test_renamed_and_edited), T(test_found_by_its_name), T(test_wrong_base),
		T(test_base_chunks_missing), T(test_base_chunks_missing_large), T(test_base_chunks_missing_unnamed), T(test_resumes),
		T(test_resumes_often), T(test_resumes_what_has_not_changed), T(test_resumes_under_another_name), T(test_resumes_along_a_base),
		T(test_transfer_expired), T(test_transfer_ends_at_a_chunk), T(test_transfer_ends_at_its_list), T(test_transfer_unknown_at_a_chunk),
		T(test_transfer_unknown_at_its_list), T(test_arrived_chunks_missing), T(test_upload_given_up),
		T(test_two_names_one_inode), T(test_changes_while_sent), T(test_number_is_not_trusted), T(test_late_chunks), T(test_wrong_extent_is_refused),
		T(test_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
