/* Pull with something on this disk already: older versions, copies, what an earlier attempt has left.  ioctl is wrapped, so that
 * every file system can share blocks, or cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/align.h"
#include "pulling.h"

#define B BLOCK_LEN_MAX

/* ---- sharing blocks ----------------------------------------------------------------------------------------------------------------- */

static unsigned clones;     /* asked for */
static bool clones_work;

int __wrap_ioctl(int fd, unsigned long request, struct file_clone_range *range);

/* What a file system that can share blocks does, and what it refuses. */
int
__wrap_ioctl(int fd, unsigned long request, struct file_clone_range *range)
{
	uint8_t *p;
	struct stat st;
	ssize_t n;

	assert_int_equal(request, FICLONERANGE);
	__atomic_add_fetch(&clones, 1, __ATOMIC_RELAXED);
	if (!clones_work) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (range->src_offset % 4096 || range->dest_offset % 4096 || range->src_length % 4096 || range->src_length == 0 ||
	    fstat((int)range->src_fd, &st) || range->src_offset + range->src_length > (uint64_t)st.st_size) {
		errno = EINVAL;
		return -1;
	}
	p = xmalloc(range->src_length);
	n = pread((int)range->src_fd, p, range->src_length, (off_t)range->src_offset);
	assert_int_equal(n, range->src_length);
	assert_int_equal(pwrite(fd, p, range->src_length, (off_t)range->dest_offset), n);
	free(p);
	return 0;
}

static uint8_t *
copy_of(struct rig *r, const uint8_t *p, size_t len)
{
	return arena_memdup(r->a, p, len);
}

static void
edit_here(struct rig *r, const char *path, off_t at)
{
	int fd = openat(r->tree->root, path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "edited", 6, at), 6);
	close(fd);
}

static int
shorten(struct rig *r, const char *path, off_t len)
{
	AUTO(closep) int fd = openat(r->tree->root, path, O_WRONLY | O_CLOEXEC);

	return ftruncate(fd, len);
}

static uint64_t
saved(struct rig *r)
{
	struct transfer_counts c;

	transfer_progress_read(r->progress, &c);
	return c.bytes_saved;
}

static uint64_t
stored(struct rig *r, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(r->tree->root, name, &st, 0), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* ---- older versions ------------------------------------------------------------------------------------------------------------------- */

static void
test_older_version(void **ctx)
{
	struct rig *r = *ctx;
	static const size_t lens[] = { 80 * B + 77, 10 * B, 4 * B };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		uint8_t *old = rig_bytes(r, lens[i], i + 1), *new = copy_of(r, old, lens[i]);
		struct mem_file *f = have(r, "f", old, lens[i]);
		struct pull_file w;
		uint64_t before = saved(r);

		new[5] ^= 1;
		new[3 * B + 1] ^= 1;
		w = newer(r, serve(r, "new", new, lens[i], 0, 64), "f", f);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, new, lens[i]);
		assert_int_equal(r->server->chunk_gets, 0);
		assert_int_equal(r->server->fetches, 1);
		assert_true(r->server->bytes_down <= 2 * B + 200);
		assert_int_equal(saved(r) - before, lens[i] - 2 * B);
	}
}

/* Below LIST_FROM the list is not asked for: it would cost a request for each of thousands of small files. */
static void
test_older_version_of_a_small_file(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *old = rig_bytes(r, 3 * B, 1), *new = copy_of(r, old, 3 * B);
	struct mem_file *f = have(r, "f", old, 3 * B);
	struct pull_file w;

	new[0] ^= 1;
	w = newer(r, serve(r, "new", new, 3 * B, 0, 64), "f", f);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, new, 3 * B);
	assert_int_equal(r->server->lists_asked, 0);
}

/* The list of what has come is kept, with rolling sums, so that the next edit here can be sent as a difference. */
static void
test_lists_are_kept(void **ctx)
{
	struct rig *r = *ctx;
	static const size_t lens[] = { B + 1, 3 * B + 1, 130 * B };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		uint8_t *p = rig_bytes(r, lens[i], i + 1);
		struct mem_file *f = have(r, "f", p, lens[i]);
		size_t at = 0;

		for (uint32_t page = 0; at < lens[i]; page++) {
			const uint8_t *packed;
			const uint32_t *weak;
			struct blocklist l;
			size_t len;

			assert_int_equal(state_blocks_get(r->state, &f->e.content, page, r->a, &packed, &len, &weak, &r->err), ERR_OK);
			assert_int_equal(blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, r->a, &l, &r->err), ERR_OK);
			assert_true(hash_eq(&l.extents[0].chunk, &f->list.extents[page].chunk));
			for (uint32_t b = 0; b < l.block_count; at += l.blocks[b++].len) {
				struct hash h = hash_of(p + at, l.blocks[b].len);
				assert_true(hash_eq(&h, &l.blocks[b].hash));
				assert_int_equal(weak[b], weak_sum(p + at, l.blocks[b].len));
			}
		}
		assert_int_equal(at, lens[i]);
	}
}

/* Also where nobody says which file it is like: its pages begin with blocks that a page of another one begins with. */
static void
test_insertion(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 140 * B;
	uint8_t *old = rig_bytes(r, len, 1), *front = rig_bytes(r, 1000, 2), *new = arena_must(r->a, len + 1000);
	struct mem_file *f = have(r, "f", old, len);
	struct mem_file *inserted = serve_inserted(r, f, front, 1000);

	memcpy(new, front, 1000);
	memcpy(new + 1000, old, len);
	for (size_t i = 0; i < 2; i++) {
		struct pull_file w = newer(r, inserted, i ? NULL : "f", f);

		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, new, len + 1000);
		assert_true(r->server->bytes_down < 2000);
	}
}

/* ---- copies --------------------------------------------------------------------------------------------------------------------------- */

static void
test_copy_asks_nothing(void **ctx)
{
	struct rig *r = *ctx;
	static const size_t lens[] = { 1, 1000, B + 1, 64 * B, 100 * B + 1 };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		uint8_t *p = rig_bytes(r, lens[i], i + 1);
		struct pull_file w;

		have(r, "f", p, lens[i]);
		w = wanted(r, serve(r, "copy", p, lens[i], 0, 64), false);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, lens[i]);
		assert_int_equal(r->server->lists_asked + r->server->chunk_gets + r->server->fetches, 0);
	}
}

static void
copy_that_changed(struct rig *r, size_t len)
{
	uint8_t *p = rig_bytes(r, len, len);
	struct pull_file w;

	have(r, "f", p, len);
	w = wanted(r, serve(r, "copy", p, len, 0, 64), false);
	edit_here(r, "f", (off_t)len / 2);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_true(r->server->bytes_down <= B + 100);
	assert_int_equal(shorten(r, "f", (off_t)len / 3), 0);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(unlinkat(r->tree->root, "f", 0), 0);
	assert_int_equal(mkfifoat(r->tree->root, "f", 0600), 0); /* nobody waits for it */
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(unlinkat(r->tree->root, "f", 0), 0);
}

static void
test_copy_that_changed(void **ctx)
{
	struct rig *r = *ctx;

	for (unsigned on = 0; on < 2; on++) {
		clones_work = on;
		copy_that_changed(r, 300);
		copy_that_changed(r, 10 * B + 4096);
		copy_that_changed(r, 90 * B + 1);
	}
}

/* A file that is here without its list being known, as after the first sync of two equal trees: looked at in place. */
static void
test_listless(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 100 * B;
	uint8_t *old = rig_bytes(r, len, 1), *new = copy_of(r, old, len);
	struct mem_file *f = serve(r, "f", old, len, 0, 64);
	struct pull_file w;

	rig_write(r, "f", old, len);
	agree(r, "f", f);
	new[7 * B] ^= 1;
	w = newer(r, serve(r, "new", new, len, 0, 64), "f", f);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, new, len);
	assert_true(r->server->bytes_down <= B + 100);
}

/* ---- sharing blocks with the source ----------------------------------------------------------------------------------------------------- */

static void
test_cloned(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 100 * B + 4096;
	uint8_t *old = rig_bytes(r, len, 1), *new = copy_of(r, old, len);
	struct mem_file *f = have(r, "f", old, len);
	struct pull_file w;

	new[9 * B] ^= 1;
	w = newer(r, serve(r, "new", new, len, 0, 64), "f", f);
	clones_work = true;
	for (unsigned i = 0; i < 3; i++) { /* as it is; changed; shorter */
		count_anew(r);
		clones = 0;
		if (i == 1)
			edit_here(r, "f", 20 * B + 5);
		if (i == 2)
			assert_int_equal(shorten(r, "f", 50 * B), 0);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, new, len);
		assert_true(clones > 0 && clones < 10);
		assert_true(r->server->bytes_down <= (i == 2 ? 55 : 2) * (B + 100));
	}
	clones_work = false;
	count_anew(r);
	clones = 0;
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, new, len);
	assert_true(clones <= 4); /* each copier may be refused once */
}

/* What has been shared and is wrong lies where zeros belong: they must be written (L3). */
static void
test_zeros_over_what_was_cloned(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 10 * B + 8192;
	uint8_t *p = copy_of(r, rig_bytes(r, len, 1), len);
	struct pull_file w;

	memset(p + 10 * B, 0, 8192);
	have(r, "f", p, len);
	w = wanted(r, serve(r, "copy", p, len, 0, 64), false);
	edit_here(r, "f", 10 * B + 100);
	clones_work = true;
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	clones_work = false;
}

/* ---- what an earlier attempt has left ----------------------------------------------------------------------------------------------------- */

static void
leave(struct rig *r, const uint8_t *p, size_t from, size_t len)
{
	int fd = openat(r->tree->root, "temp-0", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(pwrite_full(fd, p + from, len, from, &r->err), ERR_OK);
	close(fd);
}

static void
resume(struct rig *r, size_t len)
{
	uint8_t *p = rig_bytes(r, len, len), *other = rig_bytes(r, len, len + 1);
	struct pull_file w = wanted(r, serve(r, "f", p, len, 0, 64), false);

	w.resumes = true;
	unlinkat(r->tree->root, "temp-0", 0);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t missing = len;

		if (i >= 1) { /* half of it, with a hole and some bytes of something else */
			unlinkat(r->tree->root, "temp-0", 0);
			leave(r, p, 0, len / 2);
			leave(r, p, len / 2 + B, B / 2);
			missing = len - len / 2 + B;
		}
		if (i >= 2) {
			leave(r, other, 3 * B + 17, 1);
			missing += B;
		}
		if (i == 3)
			leave(r, other, len - 1, 1), leave(r, other, len - 1 - B, B);
		got.keep = true;
		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, len);
		assert_true(r->server->bytes_down <= missing + missing / 500 + 600);
	}
}

static void
test_resume(void **ctx)
{
	struct rig *r = *ctx;

	resume(r, 10 * B + 5); /* the feed tells its extents */
	resume(r, 64 * B);
	resume(r, 100 * B + 4096);
}

/* Longer than what it becomes, and with bytes where zeros belong. */
static void
test_resume_on_another_version(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 100 * B + 9;
	uint8_t *p = copy_of(r, rig_bytes(r, len, 1), len), *old = rig_bytes(r, 2 * len, 2);
	struct pull_file w;

	memset(p + 20 * B, 0, 30 * B);
	memset(p + 100 * B, 0, 9);
	w = wanted(r, serve(r, "f", p, len, 0, 64), true);
	w.resumes = true;
	leave(r, old, 0, 2 * len);
	got.keep = true;
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
}

/* ---- holes -------------------------------------------------------------------------------------------------------------------------------- */

static void
test_holes(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 200 * B + 3;

	for (unsigned listed = 0; listed < 2; listed++) {
		uint8_t *p = arena_must(r->a, len);
		struct pull_file w;

		memset(p, 0, len);
		p[2 * B] = 1;
		w = wanted(r, serve(r, "f", p, listed ? len : 30 * B, 0, 64), listed);
		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, (size_t)w.want->size);
		assert_true(stored(r, "temp-0") <= 3 * B);
		assert_true(r->server->bytes_down < B);
	}
}

/* ---- blocks of many chunks ------------------------------------------------------------------------------------------------------------------ */

static size_t
serve_scattered(struct rig *r, struct pull_file *files, const uint8_t **bytes, size_t n)
{
	char path[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof path, "f%zu", i);
		bytes[i] = rig_bytes(r, 3000, i + 1);
		files[i] = wanted(r, serve(r, path, bytes[i], 3000, 0, 64), false);
	}
	return n;
}

static void
test_one_request(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[600];
	const uint8_t *bytes[600];
	size_t n = serve_scattered(r, files, bytes, 600);

	assert_int_equal(pull(r, files, n), ERR_OK);
	for (size_t i = 0; i < n; i++)
		assert_temp_is(r, i, bytes[i], 3000);
	assert_int_equal(r->server->fetches, 1);
	assert_int_equal(r->server->chunk_gets, 0);
}

/* A server that does not have the call is asked once or twice; one that refuses a single question, each time. */
static void
test_without_the_call(void **ctx)
{
	static const err_code answers[] = { ERR_NOT_FOUND, ERR_METHOD_NOT_ALLOWED, ERR_FIELD_RANGE, ERR_PROTOCOL };
	struct rig *r = *ctx;
	struct pull_file files[1100];
	const uint8_t *bytes[1100];
	size_t n = serve_scattered(r, files, bytes, 1100);

	r->env.parallel = 1;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		count_anew(r);
		r->server->fetch_fails = answers[i];
		assert_int_equal(pull(r, files, n), ERR_OK);
		for (size_t k = 0; k < n; k += 7)
			assert_temp_is(r, k, bytes[k], 3000);
		assert_int_equal(r->server->fetches, i < 2 ? 1 : 2);
	}
}

/* A lost chunk is not a server without the call. */
static void
test_lost_chunk_in_a_request(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[1100];
	const uint8_t *bytes[1100];
	size_t n = serve_scattered(r, files, bytes, 1100);
	struct wire_extent lost = *files[100].extents;

	lost.chunk.b[0] ^= 1;
	files[100].extents = &lost;
	r->env.parallel = 1;
	assert_int_equal(pull(r, files, n), ERR_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got.code[i], i == 100 ? ERR_NOT_FOUND : ERR_OK);
	assert_int_equal(r->server->fetches, 2);
}

/* An answer of sound blocks that are others than those that were asked for. */
static void
test_other_blocks(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[2];
	const uint8_t *bytes[2];
	struct wire_extent x;

	serve_scattered(r, files, bytes, 2);
	x = *files[1].extents;
	files[0].extents = &x;
	assert_int_equal(pull(r, files, 2), ERR_OK);
	assert_int_equal(got.code[0], ERR_CORRUPT);
	assert_temp_is(r, 1, bytes[1], 3000);
}

/* ---- trouble ------------------------------------------------------------------------------------------------------------------------------ */

static void
test_disk_full(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *p = rig_bytes(r, 5000, 1);
	struct pull_file w = wanted(r, serve(r, "f", p, 5000, 0, 64), false);

	got.open_as = "/dev/full";
	assert_int_equal(pull(r, &w, 1), ERR_NO_SPACE);
	assert_int_equal(got.code[0], ERR_NO_SPACE);
	have(r, "f", p, 5000);
	got.open_as = "/dev/full"; /* when copying */
	assert_int_equal(pull(r, &w, 1), ERR_NO_SPACE);
	assert_int_equal(r->server->fetches, 0);
}

/* Stopped at any time, everything that was begun ends (L2). */
static void
test_stopped(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = 80 * B;
	uint8_t *old = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", old, len);
	struct pull_file files[8];
	char path[32];

	for (size_t i = 0; i < 8; i++) {
		uint8_t *new = copy_of(r, old, len);

		for (size_t b = 0; b < 80; b += 5)
			new[b * B + i] ^= 1;
		snprintf(path, sizeof path, "new%zu", i);
		files[i] = newer(r, serve(r, path, new, len, 0, 64), i % 2 ? "f" : NULL, f);
	}
	for (size_t at = 1; at < 8; at += 2) {
		got.fail_ready = at;
		assert_int_equal(pull(r, files, 8), ERR_NO_SPACE);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_older_version), T(test_older_version_of_a_small_file), T(test_lists_are_kept), T(test_insertion), T(test_copy_asks_nothing),
		T(test_copy_that_changed), T(test_listless), T(test_cloned), T(test_zeros_over_what_was_cloned), T(test_resume),
		T(test_resume_on_another_version), T(test_holes), T(test_one_request), T(test_without_the_call), T(test_lost_chunk_in_a_request),
		T(test_other_blocks), T(test_disk_full), T(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
