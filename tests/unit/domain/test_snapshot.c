/* Snapshots: what they hold, how long they are kept, who builds them. */
#include <pthread.h>
#include <zlib.h>
#include <zstd.h>

#include "rig.h"

/* A line a file: "path version list\n", between a head and a tail. */
static unsigned built;

static void
head(void *ctx, struct sbuf *out, enum snapshot_form form, const struct project *p)
{
	(void)ctx;
	__atomic_add_fetch(&built, 1, __ATOMIC_RELAXED);
	sbuf_addf(out, "head %d %jd %jd\n", (int)form, (intmax_t)p->clock, (intmax_t)p->file_count);
}

static void
line(void *ctx, struct sbuf *out, enum snapshot_form form, const struct file *f, const struct blocklist *list, bool first)
{
	char path[FILE_PATH_MAX];

	(void)ctx;
	(void)form;
	sbuf_addf(out, "%s%s %jd %u\n", first ? "first " : "", file_path(f, path), (intmax_t)f->version,
	    list ? (unsigned)list->block_count : 0);
}

static void
tail(void *ctx, struct sbuf *out, enum snapshot_form form)
{
	(void)ctx;
	(void)form;
	sbuf_add(out, "tail\n");
}

static const struct snapshot_encoder ENCODER = { .head = head, .file = line, .tail = tail };

static struct snapshot_out
open_snapshot(struct rig *r, enum snapshot_form form, enum snapshot_coding coding)
{
	struct snapshot_out out;

	assert_ok(r, snapshot_open(r->d, &r->project, form, coding, &ENCODER, r->a, &out, &r->err));
	assert_int_equal(out.fd, -1); /* the store in memory has no files */
	assert_int_equal(out.len, out.row.stored_len);
	return out;
}

static uint8_t *
stored_bytes(struct rig *r, const struct snapshot_out *s)
{
	uint8_t *p = arena_must(r->a, s->len + 1);
	struct hash h;
	size_t got;

	assert_ok(r, snapshot_read(r->d, s, 0, p, s->len + 1, &got, &r->err));
	assert_int_equal(got, s->len);
	h = hash_of(p, got);
	assert_true(hash_eq(&h, &s->row.object));
	return p;
}

static char *
text_of(struct rig *r, const struct snapshot_out *s, enum snapshot_coding coding)
{
	uint8_t *stored = stored_bytes(r, s);
	size_t raw = (size_t)s->row.raw_len;
	char *text = arena_must(r->a, raw + 1);

	if (coding == SNAPSHOT_PLAIN) {
		memcpy(text, stored, raw);
	} else if (coding == SNAPSHOT_ZSTD) {
		ZSTD_DCtx *ctx = ZSTD_createDCtx();
		ZSTD_inBuffer in = { stored, s->len, 0 };
		ZSTD_outBuffer out = { text, raw + 1, 0 };

		assert_int_equal(ZSTD_decompressStream(ctx, &out, &in), 0);
		assert_int_equal(out.pos, raw);
		ZSTD_freeDCtx(ctx);
	} else {
		z_stream z = { .next_in = stored, .avail_in = (uInt)s->len, .next_out = (Bytef *)text, .avail_out = (uInt)raw + 1 };

		assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		assert_int_equal(z.total_out, raw);
		inflateEnd(&z);
	}
	return text;
}

static char *
expected(struct rig *r, enum snapshot_form form)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * MIB);
	struct project p = rig_project(r);
	struct meta_tx *tx;
	struct file *rows;
	size_t n;

	head(NULL, &sb, form, &p);
	built--;
	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_file_tree(tx, &r->project, "", "", 100000, &rows, &n, &r->err));
	for (size_t i = 0; i < n; i++) {
		struct blocklist one = { .block_count = 1 };

		line(NULL, &sb, form, &rows[i], form == SNAPSHOT_NDJSON && rows[i].size ? &one : NULL, i == 0);
	}
	meta_abort(&tx);
	tail(NULL, &sb, form);
	return arena_strdup(r->a, sbuf_str(&sb));
}

static void
every_form_and_coding_is_the_tree(void **state)
{
	struct rig *r = *state;
	struct made m = rig_upload(r, "text", 4);
	struct op ops[2511];
	size_t n = 0;

	for (int i = 0; i < 10; i++) {
		ops[n++] = put_dir(arena_printf(r->a, "dir%d", i));
		for (int k = 0; k < 250; k++)
			ops[n++] = put_file(arena_printf(r->a, "dir%d/file%d", i, k), &m);
	}
	ops[n++] = put_link("link", "to");
	rig_commit(r, ops, n);
	for (int form = 0; form < 2; form++)
		for (int coding = 0; coding < 3; coding++) {
			struct snapshot_out s = open_snapshot(r, (enum snapshot_form)form, (enum snapshot_coding)coding);
			struct project p = rig_project(r);

			assert_string_equal(text_of(r, &s, (enum snapshot_coding)coding), expected(r, (enum snapshot_form)form));
			assert_int_equal(s.row.clock, p.clock);
			assert_int_equal(s.row.file_count, p.file_count);
			assert_int_equal(s.row.total_bytes, p.total_bytes);
			assert_true(hash_eq(&s.row.digest, &p.digest));
			assert_true(id_eq(&s.row.epoch, &p.epoch));
			assert_int_equal(s.row.expires_at, s.row.created_at + SNAPSHOT_LIFE_US);
			if (coding != SNAPSHOT_PLAIN)
				assert_true(s.row.stored_len < s.row.raw_len / 4);
		}
}

static void
an_empty_project(void **state)
{
	struct rig *r = *state;
	struct snapshot_out s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_GZIP);

	assert_string_equal(text_of(r, &s, SNAPSHOT_GZIP), expected(r, SNAPSHOT_JSON));
	assert_code(r, ERR_NOT_FOUND,
	    snapshot_open(r->d, &(struct id){ 0 }, SNAPSHOT_JSON, SNAPSHOT_PLAIN, &ENCODER, r->a, &s, &r->err));
}

static void
a_cached_one_and_the_changes_make_the_tree(void **state)
{
	struct rig *r = *state;
	struct snapshot_out first, again;
	struct tree_page page;

	rig_do(r, put_text(r, "stays", "x"));
	rig_do(r, put_text(r, "goes", "x"));
	built = 0;
	first = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD);
	again = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD);
	assert_int_equal(built, 1);
	assert_true(hash_eq(&first.key.hash, &again.key.hash));
	rig_do(r, del_at(r, "goes"));
	rig_do(r, put_text(r, "comes", "x"));
	again = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD);
	assert_int_equal(built, 1); /* a few minutes old at most: the changes are cheaper */
	assert_ok(r, tree_changes(r->d, &r->project, again.row.clock, 10, false, r->a, &page, &r->err));
	assert_int_equal(page.n, 2);
	assert_string_equal(page.files[0].name, "goes");
	assert_true(page.files[0].deleted_at != 0);
	assert_string_equal(page.files[1].name, "comes");
}

/* Makes the cached snapshot look ${age} older than it is, or of another time altogether. */
static void
plant(struct rig *r, struct snapshot s, const struct snapshot_out *like)
{
	struct meta_tx *tx;

	s.object = like->row.object;
	s.id = id_new();
	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	assert_ok(r, meta_snapshot_add(tx, &r->project, &s, &r->err));
	assert_ok(r, meta_commit(&tx, &r->err));
}

static void
when_it_is_built_anew(void **state)
{
	struct rig *r = *state;
	struct snapshot_out s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_PLAIN);
	struct snapshot row = s.row;

	/* Of another epoch, though newer by its clock. */
	built = 0;
	row.epoch = id_new();
	row.clock++;
	plant(r, row, &s);
	s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_PLAIN);
	assert_int_equal(built, 1);
	assert_int_equal(s.row.clock, rig_project(r).clock);
	/* Its object is gone. */
	rig_do(r, put_dir("d"));
	s = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_PLAIN);
	built = 0;
	assert_ok(r, store_delete(r->store, &s.key, &r->err));
	s = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_PLAIN);
	assert_int_equal(built, 1);
	assert_string_equal(text_of(r, &s, SNAPSHOT_PLAIN), expected(r, SNAPSHOT_NDJSON));
}

static void
an_old_one_of_an_older_tree(void **state)
{
	struct rig *r = *state;
	struct snapshot_out s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_GZIP);
	struct snapshot row = s.row;
	struct store_key key = s.key;

	row.created_at -= 11 * 60 * INT64_C(1000000);
	row.format = 4; /* (JSON, zstd), which nobody has built yet */
	plant(r, row, &s);
	built = 0;
	s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_ZSTD);
	assert_int_equal(built, 0); /* old, but nothing has changed */
	assert_true(hash_eq(&s.key.hash, &key.hash));
	rig_do(r, put_dir("d"));
	s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_ZSTD);
	assert_int_equal(built, 1);
	assert_int_equal(s.row.clock, rig_project(r).clock);
}

static void
expiry_takes_rows_and_objects(void **state)
{
	struct rig *r = *state;
	struct snapshot_out s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_PLAIN);
	struct snapshot row = s.row;
	struct store_key key = { .project = r->project, .hash = hash_of("old", 3) };
	uint64_t size;

	assert_ok(r, store_put(r->store, &key, (const uint8_t *)"old", 3, &r->err));
	row.expires_at = clock_wall_us() - 1;
	row.clock -= 10;
	s.row.object = key.hash;
	plant(r, row, &s);
	assert_ok(r, domain_expire(r->d, &r->err));
	assert_code(r, ERR_NOT_FOUND, store_size(r->store, &key, &size, &r->err));
	built = 0;
	open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_PLAIN);
	assert_int_equal(built, 0); /* the living one was left alone */
}

static void
a_failing_store(void **state)
{
	struct rig *r = *state;
	static const char *const ops[] = { "open", "write", "finish" };
	struct snapshot_out s;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		store_fault_arm(r->store, ops[i], 0, ERR_NO_SPACE);
		assert_code(r, ERR_NO_SPACE,
		    snapshot_open(r->d, &r->project, SNAPSHOT_JSON, SNAPSHOT_ZSTD, &ENCODER, r->a, &s, &r->err));
	}
	s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_ZSTD);
	assert_string_equal(text_of(r, &s, SNAPSHOT_ZSTD), expected(r, SNAPSHOT_JSON));
}

static void *
asker(void *arg)
{
	struct rig *r = arg;
	struct snapshot_out s;
	struct err err;

	return snapshot_open(r->d, &r->project, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD, &ENCODER, NULL, &s, &err) ? r : NULL;
}

static void
many_ask_and_one_builds(void **state)
{
	struct rig *r = *state;
	pthread_t threads[8];
	void *failed;

	for (int i = 0; i < 300; i++)
		rig_do(r, put_dir(arena_printf(r->a, "dir%d", i)));
	built = 0;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_ok(r, thread_start("asker", asker, r, &threads[i], &r->err));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(built, 1);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(every_form_and_coding_is_the_tree), T(an_empty_project), T(a_cached_one_and_the_changes_make_the_tree),
		T(when_it_is_built_anew), T(an_old_one_of_an_older_tree), T(expiry_takes_rows_and_objects), T(a_failing_store),
		T(many_ask_and_one_builds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
