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

/* ---- what is here ------------------------------------------------------------------------------------------------------------------- */

static void
agree(struct rig *r, const char *path, const struct mem_file *f)
{
	struct entry e = f->e;

	e.path = path;
	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_base_put(r->state, &e, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
}

static void
count_anew(struct rig *r)
{
	struct remote_mem *m = r->server;

	m->chunk_gets = m->fetches = m->lists_asked = m->extents_asked = 0;
	m->bytes_down = 0;
	clones = 0;
}

/* A file that a sync has brought here: in the tree, in the base, its list in the state. */
static struct mem_file *
have_cut(struct rig *r, const char *path, const uint8_t *p, size_t len, size_t cut, uint32_t per_chunk)
{
	struct mem_file *f = serve(r, path, p, len, cut, per_chunk);
	struct pull_file w = wanted(r, f, false);

	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	rig_write(r, path, p, len);
	agree(r, path, f);
	count_anew(r);
	return f;
}

static struct mem_file *
have(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	return have_cut(r, path, p, len, 0, 64);
}

static struct pull_file
newer(struct rig *r, const struct mem_file *f, const char *old_path, const struct mem_file *old)
{
	struct pull_file w = wanted(r, f, false);

	w.old_path = old_path;
	w.old_content = old->e.content;
	return w;
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
	static const size_t lens[] = { 100, 3 * B + 1, 130 * B };

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

/* The list of ${old} behind a block of ${n} bytes in front. */
static struct mem_file *
serve_inserted(struct rig *r, const struct mem_file *old, const uint8_t *front, uint32_t n)
{
	struct mem_file *one = serve(r, "front", front, n, 0, 64);
	struct blocklist l = { .block_count = old->list.block_count + 1, .extent_count = old->list.extent_count + 1 };

	l.blocks = arena_must(r->a, l.block_count * sizeof *l.blocks);
	l.extents = arena_must(r->a, l.extent_count * sizeof *l.extents);
	l.blocks[0] = one->list.blocks[0];
	l.extents[0] = one->list.extents[0];
	memcpy(l.blocks + 1, old->list.blocks, old->list.block_count * sizeof *l.blocks);
	memcpy(l.extents + 1, old->list.extents, old->list.extent_count * sizeof *l.extents);
	return mem_file_add(r->server, "inserted", &l);
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

/* ---- lists of which only the extents are asked for ------------------------------------------------------------------------------------- */

#define LARGE 260 /* blocks: enough for the list to count */

/* The list of ${old} with each ${every}-th block of ${p} changed: those lie in a chunk of their own, and the bytes are changed as well. */
static struct mem_file *
serve_edited(struct rig *r, const struct mem_file *old, uint8_t *p, uint32_t cut, uint32_t from, uint32_t every)
{
	struct blocklist l = { .block_count = old->list.block_count };
	uint8_t *edits = arena_must(r->a, (size_t)l.block_count * cut);
	struct mem_file *one;
	uint32_t n = 0, at = 0;

	for (uint32_t i = from; i < l.block_count; i += every, n++) {
		p[(size_t)i * cut] ^= 1;
		memcpy(edits + (size_t)n * cut, p + (size_t)i * cut, cut);
	}
	one = serve(r, "edits", edits, (size_t)n * cut, cut, CHUNK_BLOCKS_MAX);
	assert_int_equal(one->list.extent_count, 1);
	l.blocks = arena_must(r->a, l.block_count * sizeof *l.blocks);
	l.extents = arena_must(r->a, l.block_count * sizeof *l.extents);
	for (uint32_t x = 0; x < old->list.extent_count; x++)
		for (uint32_t i = 0; i < old->list.extents[x].count; i++, at++) {
			bool edited = at >= from && (at - from) % every == 0;
			uint32_t k = edited ? (at - from) / every : 0;

			l.blocks[at] = edited ? one->list.blocks[k] : old->list.blocks[at];
			if (edited)
				l.extents[l.extent_count++] = (struct extent){ one->list.extents[0].chunk, k, 1 };
			else if (i > 0 && at - 1 >= from && (at - 1 - from) % every != 0)
				l.extents[l.extent_count - 1].count++;
			else
				l.extents[l.extent_count++] = (struct extent){ old->list.extents[x].chunk, old->list.extents[x].first + i, 1 };
		}
	return mem_file_add(r->server, "edited", &l);
}

/* Generation after generation: what one has left is what the next is told by. */
static void
test_extents(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);

	for (uint32_t generation = 0; generation < 3; generation++) {
		struct mem_file *edited = serve_edited(r, f, p, B, generation, 50);
		struct pull_file w = newer(r, edited, "f", f);

		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, len);
		assert_int_equal(r->server->lists_asked, 0);
		assert_int_equal(r->server->extents_asked, (LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS);
		assert_true(r->server->bytes_down <= 6 * B + 4000);
		rig_write(r, "f", p, len);
		agree(r, "f", edited);
		f = edited;
	}
}

static void
test_extents_of_what_is_shifted(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *old = rig_bytes(r, len, 1), *front = rig_bytes(r, 1000, 2), *new = arena_must(r->a, len + 1000);
	struct mem_file *f = have(r, "f", old, len);
	struct pull_file w = newer(r, serve_inserted(r, f, front, 1000), "f", f);

	memcpy(new, front, 1000);
	memcpy(new + 1000, old, len);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, new, len + 1000);
	assert_int_equal(r->server->lists_asked, 0);
	assert_true(r->server->bytes_down < 5000);
}

/* Each block for itself, which is more than is taken. */
static void
bend_apart(struct blocklist *page, uint64_t from)
{
	struct extent one[BLOCKLIST_PAGE_BLOCKS];
	uint32_t n = 0;

	(void)from;
	for (uint32_t x = 0; x < page->extent_count; x++)
		for (uint32_t i = 0; i < page->extents[x].count; i++)
			one[n++] = (struct extent){ page->extents[x].chunk, page->extents[x].first + i, 1 };
	memcpy(page->extents, one, n * sizeof *one);
	page->extent_count = n;
}

/* More blocks than are remembered of the older list at a time, in chunks whose headers are long. */
static void
test_extents_of_a_long_list(void **ctx)
{
	struct rig *r = *ctx;
	size_t cut = 512, len = 40000 * cut;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have_cut(r, "f", p, len, cut, CHUNK_BLOCKS_MAX);
	struct pull_file w = newer(r, serve_edited(r, f, p, (uint32_t)cut, 7, 400), "f", f);

	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->lists_asked, 0);
	assert_true(r->server->bytes_down <= 100 * (cut + 2 * CHUNK_ENTRY_LEN) + 1000);

	r->server->bend_extents = bend_apart;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_true(r->server->lists_asked > 0);
}

/* A server that does not know the form is asked once; the list comes as ever. */
static void
test_extents_not_there(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w[2];

	w[0] = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);
	w[1] = w[0];
	r->server->extents_fail = ERR_UNKNOWN_FIELD;
	count_anew(r);
	assert_int_equal(pull(r, w, 2), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_temp_is(r, 1, p, len);
	assert_int_equal(r->server->extents_asked, 1);
	assert_int_equal(r->server->lists_asked, 2 * ((LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS));
}

static struct hash bent_to;

static void
bend_slot(struct blocklist *page, uint64_t from)
{
	if (from == 64)
		page->extents[1].first ^= 1;
}

static void
bend_chunk(struct blocklist *page, uint64_t from)
{
	if (from == 128)
		page->extents[0].chunk = bent_to; /* the first one's, which is known */
}

static void
bend_beyond(struct blocklist *page, uint64_t from)
{
	(void)from;
	for (uint32_t i = 0; i < page->extent_count; i++)
		page->extents[i].first += 64; /* slots that no chunk has */
}

static void
bend_unknown(struct blocklist *page, uint64_t from)
{
	(void)from;
	page->extents[0].chunk = hash_of("nobody's", 8);
}

static void
bend_count(struct blocklist *page, uint64_t from)
{
	if (from == 64)
		page->extents[0].count = CHUNK_BLOCKS_MAX + 1;
}

static void
bend_short(struct blocklist *page, uint64_t from)
{
	if (from == 256)
		page->block_count = page->extent_count = 1;
}

/* Whatever is said of where the blocks lie: when it does not come to the content that is wanted, the whole list is asked for. */
static void
test_extents_that_lie(void **ctx)
{
	struct rig *r = *ctx;
	static void (*const lies[])(struct blocklist *page, uint64_t from) = { bend_slot, bend_chunk, bend_beyond, bend_unknown, bend_count, bend_short };
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	bent_to = f->list.extents[0].chunk;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		r->server->bend_extents = lies[i];
		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, len);
		assert_true(r->server->extents_asked > 0);
		assert_true(r->server->lists_asked > 0);
		assert_true(r->server->bytes_down <= 3 * B + 6000);
		assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
		assert_int_equal(state_blocks_forget(r->state, &w.want->content, &r->err), ERR_OK);
		assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	}
}

/* A header that is not the chunk's, and an older list that is not the older version's. */
static void
test_extents_with_something_wrong_here(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1), *packed;
	struct mem_file *f = have(r, "f", p, len);
	struct blocklist l = { .extents = &f->list.extents[1], .extent_count = 1, .blocks = f->list.blocks, .block_count = 64 };
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	r->server->garble_gets = 1;
	r->server->garble_at = CHUNK_FIXED_LEN + 1;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->garble_gets, 0);
	assert_true(r->server->lists_asked > 0);

	packed = arena_must(r->a, blocklist_packed_len(&l));
	blocklist_pack(&l, packed);
	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_blocks_put(r->state, &f->e.content, 1, packed, blocklist_packed_len(&l), NULL, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_true(r->server->lists_asked > 0);
}

/* The server has rewritten chunks: one of them is read anew; when they are many, none is. */
static void
test_extents_that_moved(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len), *one = serve_edited(r, f, p, B, 3, LARGE), *all;
	struct pull_file w = newer(r, one, "f", f);

	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->lists_asked, 0);

	all = serve(r, "all", p, len, 0, 32);
	p[5] ^= 1;
	all = serve(r, "all moved", p, len, 0, 32);
	w = newer(r, all, "f", f);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->extents_asked, (LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS);
	assert_int_equal(r->server->chunk_gets, 0);
	assert_true(r->server->lists_asked > 0);
}

/* A line that is down is not tried twice. */
static void
test_extents_and_no_line(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	r->server->extents_fail = ERR_NETWORK;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_NETWORK);
	assert_int_equal(r->server->extents_asked, 1);
	assert_int_equal(r->server->lists_asked, 0);
}

/* Nothing to tell by, or not worth a question. */
static void
test_extents_not_asked_for(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_blocks_forget(r->state, &f->e.content, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->extents_asked, 0);

	f = have(r, "g", p, 80 * B);
	w = newer(r, serve_edited(r, f, p, B, 1, 100), "g", f);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, 80 * B);
	assert_int_equal(r->server->extents_asked, 0);
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
	struct pull_file files[3000];
	const uint8_t *bytes[3000];
	size_t n = serve_scattered(r, files, bytes, 3000);

	r->env.parallel = 1;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		count_anew(r);
		r->server->fetch_fails = answers[i];
		assert_int_equal(pull(r, files, n), ERR_OK);
		for (size_t k = 0; k < n; k += 7)
			assert_temp_is(r, k, bytes[k], 3000);
		assert_int_equal(r->server->fetches, i < 2 ? 1 : 3);
	}
}

/* A lost chunk is not a server without the call. */
static void
test_lost_chunk_in_a_request(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[2600];
	const uint8_t *bytes[2600];
	size_t n = serve_scattered(r, files, bytes, 2600);
	struct wire_extent lost = *files[100].extents;

	lost.chunk.b[0] ^= 1;
	files[100].extents = &lost;
	r->env.parallel = 1;
	assert_int_equal(pull(r, files, n), ERR_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got.code[i], i == 100 ? ERR_NOT_FOUND : ERR_OK);
	assert_int_equal(r->server->fetches, 3);
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
		T(test_older_version), T(test_older_version_of_a_small_file), T(test_lists_are_kept), T(test_insertion), T(test_extents),
		T(test_extents_of_what_is_shifted), T(test_extents_of_a_long_list), T(test_extents_not_there), T(test_extents_that_lie),
		T(test_extents_with_something_wrong_here), T(test_extents_that_moved), T(test_extents_and_no_line), T(test_extents_not_asked_for), T(test_copy_asks_nothing),
		T(test_copy_that_changed), T(test_listless), T(test_cloned), T(test_zeros_over_what_was_cloned), T(test_resume),
		T(test_resume_on_another_version), T(test_holes), T(test_one_request), T(test_without_the_call), T(test_lost_chunk_in_a_request),
		T(test_other_blocks), T(test_disk_full), T(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
