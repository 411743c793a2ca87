/* Snapshots: what they hold, how long they are kept, who builds them. */
#include <errno.h>
#include <pthread.h>
#include <zlib.h>
#include <zstd.h>

#include "rig.h"

/* How many threads have been started, and whether one can be: the linker puts this in front of the real one. */
static unsigned threads_started;
static bool no_threads;
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

int
__wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	threads_started++;
	return no_threads ? EAGAIN : __real_pthread_create(out, attr, fn, arg);
}

/* A line a file: "path version list noise\n", between a head and a tail. */
static unsigned built, lines, fails_at;
static size_t noise_len;

static void
head(void *ctx, struct sbuf *out, enum snapshot_form form, const struct project *p)
{
	(void)ctx;
	__atomic_add_fetch(&built, 1, __ATOMIC_RELAXED);
	sbuf_addf(out, "head %d %jd %jd\n", (int)form, (intmax_t)p->clock, (intmax_t)p->file_count);
}

/* Text of half the entropy that it could have, the same for the same version. */
static void
add_noise(struct sbuf *out, int64_t version)
{
	uint8_t *p = (uint8_t *)sbuf_grow(out, noise_len);

	if (!p) /* a builder that has failed */
		return;
	fill(p, noise_len, (uint64_t)version);
	for (size_t i = 0; i < noise_len; i++)
		p[i] = 'a' + (p[i] & 15);
}

static void
line(void *ctx, struct sbuf *out, enum snapshot_form form, const struct file *f, const struct blocklist *list, bool first)
{
	char path[FILE_PATH_MAX];

	(void)ctx;
	(void)form;
	sbuf_addf(out, "%s%s %jd %u ", first ? "first " : "", file_path(f, path), (intmax_t)f->version,
	    list ? (unsigned)list->block_count : 0);
	if (noise_len > 0)
		add_noise(out, f->version);
	sbuf_add(out, "\n");
	out->failed |= ++lines == fails_at;
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

	assert_ok(r, snapshot_open(r->d, &r->project, form, coding, &ENCODER, NULL, &out, &r->err));
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
	assert_ok(r, meta_file_beneath(tx, &r->project, "", "", "", 100000, &rows, &n, &r->err));
	for (size_t i = 0; i < n; i++) {
		struct blocklist list = { .block_count = (uint32_t)((rows[i].size + BLOCK_LEN_MAX - 1) / BLOCK_LEN_MAX) };

		line(NULL, &sb, form, &rows[i], form == SNAPSHOT_NDJSON && rows[i].size ? &list : NULL, i == 0);
	}
	meta_abort(&tx);
	tail(NULL, &sb, form);
	assert_ok(r, sbuf_done(&sb, &r->err));
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

/* The longest lists that are told, of the longest paths. */
static void
lists_of_a_page(void **state)
{
	enum { FILES = 600 };
	static uint8_t bytes[CHUNK_RAW_MAX];
	static char dir[NAME_LEN_MAX + 1];
	struct rig *r = *state;
	struct op *ops = xcalloc(FILES, sizeof *ops);
	struct snapshot_out s;
	struct made m;

	memset(bytes, 'x', sizeof bytes);
	memset(dir, 'd', NAME_LEN_MAX);
	m = rig_upload(r, bytes, sizeof bytes);
	for (int i = 0; i < FILES; i++) {
		ops[i] = put_file(arena_printf(r->a, "%s/%s/%s/%s/%s/%d", dir, dir, dir, dir, dir, i), &m);
		ops[i].make_parents = true;
	}
	rig_commit(r, ops, FILES);
	free(ops);
	s = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_PLAIN);
	assert_string_equal(text_of(r, &s, SNAPSHOT_PLAIN), expected(r, SNAPSHOT_NDJSON));
}

static void
an_empty_project(void **state)
{
	struct rig *r = *state;
	struct snapshot_out s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_GZIP);

	assert_string_equal(text_of(r, &s, SNAPSHOT_GZIP), expected(r, SNAPSHOT_JSON));
	assert_code(r, ERR_NOT_FOUND,
	    snapshot_open(r->d, &(struct id){ 0 }, SNAPSHOT_JSON, SNAPSHOT_PLAIN, &ENCODER, NULL, &s, &r->err));
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

/* Who has read half of one reads the other half, whatever has been built since; unless it is not right any more. */
static void
one_that_is_named(void **state)
{
	struct rig *r = *state;
	struct snapshot_out first, later, out;
	struct snapshot row;

	rig_do(r, put_dir("a"));
	first = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD);
	row = first.row;
	rig_do(r, put_dir("b"));
	row.clock = rig_project(r).clock;
	later = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_PLAIN);
	row.created_at++;
	row.stored_len = later.row.stored_len;
	plant(r, row, &later);
	assert_ok(r, snapshot_open(r->d, &r->project, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD, &ENCODER, &first.key.hash, &out, &r->err));
	assert_true(hash_eq(&out.key.hash, &first.key.hash));
	out = open_snapshot(r, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD);
	assert_true(hash_eq(&out.key.hash, &later.key.hash));
	/* One that nobody has is as good as none. */
	assert_ok(r, snapshot_open(r->d, &r->project, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD, &ENCODER, &(struct hash){ { 1 } }, &out, &r->err));
	assert_true(hash_eq(&out.key.hash, &later.key.hash));
	/* Of another epoch. */
	row.epoch = id_new();
	plant(r, row, &first);
	assert_ok(r, snapshot_open(r->d, &r->project, SNAPSHOT_NDJSON, SNAPSHOT_ZSTD, &ENCODER, &first.key.hash, &out, &r->err));
	assert_false(hash_eq(&out.key.hash, &first.key.hash));
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
		    snapshot_open(r->d, &r->project, SNAPSHOT_JSON, SNAPSHOT_ZSTD, &ENCODER, NULL, &s, &r->err));
	}
	s = open_snapshot(r, SNAPSHOT_JSON, SNAPSHOT_ZSTD);
	assert_string_equal(text_of(r, &s, SNAPSHOT_ZSTD), expected(r, SNAPSHOT_JSON));
}

static void
a_small_one_starts_no_thread(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 255; i++) /* one more would be a leaf */
		rig_do(r, put_dir(arena_printf(r->a, "dir%d", i)));
	threads_started = 0;
	for (int form = 0; form < 2; form++)
		for (int coding = 0; coding < 3; coding++) {
			struct snapshot_out s = open_snapshot(r, (enum snapshot_form)form, (enum snapshot_coding)coding);

			assert_string_equal(text_of(r, &s, (enum snapshot_coding)coding), expected(r, (enum snapshot_form)form));
		}
	assert_int_equal(threads_started, 0);
}

/* ---- more rows and more text than lie between the threads that read, encode and pack ------------------------------------------------ */

#define LARGE_FILES 1300u /* more than five leaves */
#define LARGE_LINE 1100u  /* 1.4 MB: some 22 pieces */

static int
large_setup(void **state)
{
	struct rig *r;
	struct op ops[LARGE_FILES];
	int rc = rig_setup(state);

	r = *state;
	for (unsigned i = 0; i < LARGE_FILES; i++)
		ops[i] = put_dir(arena_printf(r->a, "dir%u", i));
	rig_commit(r, ops, LARGE_FILES);
	noise_len = LARGE_LINE;
	threads_started = lines = 0;
	return rc;
}

static int
large_teardown(void **state)
{
	noise_len = fails_at = 0;
	no_threads = false;
	return rig_teardown(state);
}

static bool
count(void *ctx, const struct store_key *key, uint64_t size)
{
	(void)key;
	(void)size;
	++*(unsigned *)ctx;
	return true;
}

static unsigned
object_count(struct rig *r)
{
	unsigned n = 0;

	assert_ok(r, store_list(r->store, count, &n, &r->err));
	return n;
}

static void
assert_large(struct rig *r, enum snapshot_form form, enum snapshot_coding coding)
{
	struct snapshot_out s = open_snapshot(r, form, coding);
	const char *want = expected(r, form);

	assert_int_equal(s.row.raw_len, strlen(want));
	assert_true(s.row.raw_len > (int64_t)(LARGE_FILES * LARGE_LINE));
	assert_string_equal(text_of(r, &s, coding), want);
}

static void
a_large_one_in_every_form_and_coding(void **state)
{
	struct rig *r = *state;

	for (int form = 0; form < 2; form++)
		for (int coding = 0; coding < 3; coding++)
			assert_large(r, (enum snapshot_form)form, (enum snapshot_coding)coding);
	assert_int_equal(threads_started, 2 * 6);
}

static void
no_room_for_a_thread(void **state)
{
	struct rig *r = *state;

	no_threads = true;
	for (int coding = 0; coding < 3; coding++)
		assert_large(r, SNAPSHOT_JSON, (enum snapshot_coding)coding);
	assert_true(threads_started > 0);
}

/* Whichever write it is that fails, to the very last; the attempt after that is as if nothing had been. */
static void
every_write_of_a_large_one_fails(void **state)
{
	struct rig *r = *state;

	for (int coding = 0; coding < 3; coding++) {
		unsigned before = object_count(r), skip = 0;
		struct snapshot_out s;

		for (;; skip++) {
			err_code rc;

			lines = 0;
			store_fault_arm(r->store, "write", skip, ERR_NO_SPACE);
			rc = snapshot_open(r->d, &r->project, SNAPSHOT_JSON, (enum snapshot_coding)coding, &ENCODER, NULL, &s, &r->err);
			if (!rc)
				break;
			assert_int_equal(rc, ERR_NO_SPACE);
			assert_string_equal(r->err.msg, "build a snapshot: injected: write");
			assert_int_equal(object_count(r), before);
			assert_true(skip > 0 || lines < LARGE_FILES / 2); /* nobody reads on for nothing */
		}
		store_fault_arm(r->store, "write", 0, ERR_OK);
		assert_true(skip > 5);
		assert_large(r, SNAPSHOT_JSON, (enum snapshot_coding)coding);
	}
}

static void
set_file_count(struct rig *r, int64_t n)
{
	struct project p = rig_project(r);
	struct meta_tx *tx;

	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	assert_ok(r, meta_project_total(tx, &r->project, &p.digest, n, p.total_bytes, &r->err));
	assert_ok(r, meta_commit(&tx, &r->err));
}

static void
the_builder_of_a_large_one_fails(void **state)
{
	struct rig *r = *state;

	for (int coding = 0; coding < 3; coding++) {
		unsigned before = object_count(r);
		struct snapshot_out s;

		lines = 0;
		fails_at = LARGE_FILES / 2;
		assert_code(r, ERR_BODY_TOO_LARGE,
		    snapshot_open(r->d, &r->project, SNAPSHOT_JSON, (enum snapshot_coding)coding, &ENCODER, NULL, &s, &r->err));
		fails_at = 0;
		set_file_count(r, LARGE_FILES + 1);
		assert_code(r, ERR_CORRUPT,
		    snapshot_open(r->d, &r->project, SNAPSHOT_JSON, (enum snapshot_coding)coding, &ENCODER, NULL, &s, &r->err));
		set_file_count(r, LARGE_FILES);
		assert_int_equal(object_count(r), before);
		assert_large(r, SNAPSHOT_JSON, (enum snapshot_coding)coding);
	}
	assert_int_equal(threads_started, 2 * 9);
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
		T(when_it_is_built_anew), T(one_that_is_named), T(an_old_one_of_an_older_tree), T(expiry_takes_rows_and_objects), T(a_failing_store),
		T(many_ask_and_one_builds), T(lists_of_a_page), T(a_small_one_starts_no_thread),
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, large_setup, large_teardown)
		T(a_large_one_in_every_form_and_coding), T(no_room_for_a_thread),
		T(every_write_of_a_large_one_fails), T(the_builder_of_a_large_one_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
