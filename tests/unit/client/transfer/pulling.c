#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pulling.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/cut.h"

struct got got;

static err_code
open_temp(void *ctx, const struct pull_file *f, int *fd, char *name, struct err *err)
{
	struct got *g = ctx;
	size_t i = (size_t)(f - g->first);

	(void)err;
	assert_int_equal(g->inside++, 0); /* one at a time */
	assert_false(g->opened[i]);
	snprintf(name, 32, "temp-%zu", i);
	if (g->open_as)
		*fd = open(g->open_as, O_RDWR | O_CLOEXEC);
	else
		*fd = openat(g->r->tree->root, name, O_RDWR | O_CREAT | (g->keep ? 0 : O_EXCL) | O_CLOEXEC, 0600);
	assert_true(*fd >= 0);
	g->opened[i] = true;
	g->opened_n++;
	g->inside--;
	return ERR_OK;
}

static err_code
on_ready(void *ctx, const struct pull_file *f, const char *name, err_code code, const struct err *why, struct err *err)
{
	struct got *g = ctx;
	size_t i = (size_t)(f - g->first);

	assert_int_equal(g->inside++, 0);
	assert_false(g->ended[i]);
	assert_true(code == ERR_OK ? name != NULL : why && why->code == code);
	assert_true(!name || g->opened[i]);
	if (name)
		snprintf(g->name[i], sizeof g->name[i], "%s", name);
	g->code[i] = code;
	g->ended[i] = true;
	g->ended_n++;
	g->inside--;
	return g->fail_ready && g->ended_n == g->fail_ready ? err_set(err, ERR_NO_SPACE, "as the test wants it") : ERR_OK;
}

err_code
pull(struct rig *r, const struct pull_file *files, size_t n)
{
	struct transfer_env env = r->env;
	struct got asked = got;
	err_code rc;

	for (size_t i = 0; !asked.keep && i < got.opened_n + got.ended_n + n && i < FILES_MAX; i++) {
		char name[32];
		snprintf(name, sizeof name, "temp-%zu", i);
		unlinkat(r->tree->root, name, 0);
	}
	memset(&got, 0, sizeof got);
	got.r = r;
	got.first = files;
	got.fail_ready = asked.fail_ready;
	got.keep = asked.keep;
	got.open_as = asked.open_as;
	env.ctx = &got;
	rc = pull_run(&env, files, n, open_temp, on_ready, &r->err);
	assert_int_equal(got.inside, 0);
	got.fail_ready = 0;
	got.keep = false;
	got.open_as = NULL;
	for (size_t i = 0; i < n; i++)
		assert_true(!got.opened[i] || got.ended[i]); /* every temporary is handed over */
	return rc;
}

void
assert_temp_is(struct rig *r, size_t i, const uint8_t *p, size_t len)
{
	uint8_t *have = xmalloc(len + 1);
	size_t n = 0;
	int fd;

	if (got.code[i])
		fail_msg("file %zu: %s", i, err_info(got.code[i])->code);
	fd = openat(r->tree->root, got.name[i], O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read_full(fd, have, len + 1, &n, &r->err), ERR_OK);
	assert_int_equal(n, len);
	assert_true(memcmp(have, p, len) == 0);
	close(fd);
	free(have);
}

/* ---- files on the server ------------------------------------------------------------------------------------------------------------ */

struct mem_file *
serve(struct rig *r, const char *path, const uint8_t *p, size_t len, size_t cut, uint32_t per_chunk)
{
	struct chunk_builder *b = r->builder;
	struct blocklist l = { 0 };
	size_t n = len / (cut ? cut : BLOCK_LEN_MAX) + 2;
	struct hash id;
	size_t size;

	l.blocks = arena_must(r->a, n * sizeof *l.blocks);
	l.extents = arena_must(r->a, n * sizeof *l.extents);
	for (size_t at = 0; at < len;) {
		uint32_t block = (uint32_t)MIN(cut ? cut : BLOCK_LEN_MAX, len - at);
		struct hash h = hash_of(p + at, block);

		chunk_builder_add(b, p + at, block, &h);
		l.blocks[l.block_count++] = (struct block){ h, block };
		at += block;
		if (at == len || chunk_builder_count(b) == per_chunk) {
			const uint8_t *bytes = chunk_builder_finish(b, &id, &size);
			l.extents[l.extent_count++] = (struct extent){ mem_chunk_put(r->server, bytes, size), 0, chunk_builder_count(b) };
			chunk_builder_reset(b);
		}
	}
	return mem_file_add(r->server, path, &l);
}

struct pull_file
wanted(struct rig *r, const struct mem_file *f, bool listed)
{
	struct pull_file w = { .want = arena_memdup(r->a, &f->e, sizeof f->e) };
	struct wire_extent *x;

	if (listed || f->list.block_count > BLOCKLIST_PAGE_BLOCKS || f->list.block_count == 0)
		return w;
	x = arena_must(r->a, f->list.extent_count * sizeof *x);
	for (uint32_t i = 0; i < f->list.extent_count; i++)
		x[i] = (struct wire_extent){ f->list.extents[i].chunk, f->list.extents[i].first, f->list.extents[i].count };
	w.extents = x;
	w.extent_count = f->list.extent_count;
	return w;
}

struct mem_file *
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

/* ---- files that are here ----------------------------------------------------------------------------------------------------------- */

void
agree(struct rig *r, const char *path, const struct mem_file *f)
{
	struct entry e = f->e;

	e.path = path;
	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_base_put(r->state, &e, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
}

void
count_anew(struct rig *r)
{
	struct remote_mem *m = r->server;

	m->chunk_gets = m->fetches = m->lists_asked = m->extents_asked = 0;
	m->bytes_down = 0;
}

struct mem_file *
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

struct mem_file *
have(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	return have_cut(r, path, p, len, 0, 64);
}

struct pull_file
newer(struct rig *r, const struct mem_file *f, const char *old_path, const struct mem_file *old)
{
	struct pull_file w = wanted(r, f, false);

	w.old_path = old_path;
	w.old_content = &old->e.content;
	return w;
}
