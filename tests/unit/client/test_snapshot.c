/* A snapshot into pages, whatever pieces it comes in; and what is not one, or not all of one, is not taken for one.  The server is bytes of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <zstd.h>

#include "base/sbuf.h"
#include "client/remote/snapshot.h"

static struct err err;
static uint8_t packed[4 * MIB];
static size_t packed_len;
static struct hash named;  /* what it says that it is */
static size_t piece;       /* at most so many bytes a part */
static err_code refused;   /* at the second part; ERR_OK: not */
static unsigned parts;

err_code
remote_snapshot_part(struct remote *r, struct hash *object, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *e)
{
	(void)r;
	if (++parts == 2 && refused)
		return err_set(e, refused, "said at the second part");
	assert_int_equal(hash_is_zero(object), off == 0);
	*object = named;
	assert_true(off < packed_len);
	*got = MIN(MIN(cap, piece), packed_len - off);
	*total = packed_len;
	memcpy(buf, packed + off, *got);
	return ERR_OK;
}

#define HEAD "{\"file_count\":%u,\"total_size\":1,\"updated_at\":\"2026-11-22T17:31:41.717484Z\"," \
	"\"cursor\":\"77.01a204504ed2a3efacec116d72e6f10b\",\"digest\":\"%064d\",\"newer\":[]}\n"
#define LINE "{\"id\":\"%032x\",\"path\":\"%s%u\",\"kind\":\"file\",\"size\":3,\"mtime\":\"2026-11-22T14:00:00.500000000Z\",\"mode\":\"0644\"," \
	"\"version\":7,\"created_at\":\"2026-11-22T17:31:41.711683Z\",\"changed_at\":\"2026-11-22T17:31:41.711683Z\"," \
	"\"changed_by\":\"01a204504ed70fb74d0eb8a2641e41df\",\"state\":\"%s\",\"extents\":[{\"chunk\":\"%064d\",\"first\":2,\"count\":1}]}\n"

/* ${n} files of which ${announced} are announced, then ${more}. */
static struct sbuf
lines(unsigned announced, unsigned n, const char *more)
{
	struct sbuf text = SBUF(64 * MIB);

	sbuf_addf(&text, HEAD, announced, 5);
	for (unsigned i = 0; i < n; i++)
		sbuf_addf(&text, LINE, i + 1, "d/f", i, "live", 6);
	sbuf_add(&text, more);
	return text;
}

static void
pack(struct sbuf text, int window_log)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();

	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, window_log);
	ZSTD_inBuffer in = { .src = sbuf_str(&text), .size = text.len };
	ZSTD_outBuffer out = { .dst = packed, .size = sizeof packed };
	assert_int_equal(ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush), 0); /* so that it does not know how much it will be */
	assert_int_equal(ZSTD_compressStream2(z, &out, &in, ZSTD_e_end), 0);
	packed_len = out.pos;
	named = hash_of(packed, packed_len);
	ZSTD_freeCCtx(z);
	sbuf_fini(&text);
	piece = SIZE_MAX;
	parts = 0;
	refused = ERR_OK;
}

/* All pages: how many files, and in sizes how many each. */
static err_code
read_all(unsigned *n, size_t sizes[8])
{
	struct arena *a = arena_new(16 * MIB);
	struct snapshot_reader *s = snapshot_reader_open(NULL);
	struct wire_page page = { .has_more = true };
	err_code rc = ERR_OK;

	*n = 0;
	for (unsigned i = 0; rc == ERR_OK && page.has_more; i++) {
		arena_reset(a);
		rc = snapshot_reader_next(s, a, &page, &err);
		for (size_t k = 0; rc == ERR_OK && k < page.n; k++, ++*n) {
			char path[32];

			snprintf(path, sizeof path, "d/f%u", *n);
			assert_string_equal(page.files[k].path, path);
			assert_int_equal(page.files[k].extent_count, 1);
			assert_int_equal(page.files[k].extents[0].first, 2);
		}
		if (rc == ERR_OK) {
			assert_int_equal(page.cursor.clock, 77);
			assert_int_equal(page.digest.b[31], 5);
			sizes[i] = page.n;
		}
	}
	snapshot_reader_free(s);
	arena_free(a);
	return rc;
}

static void
pages_of_a_thousand(void **unused)
{
	size_t sizes[8] = { 0 };
	unsigned n;

	(void)unused;
	pack(lines(2500, 2500, ""), 0);
	assert_int_equal(read_all(&n, sizes), ERR_OK);
	assert_int_equal(n, 2500);
	assert_int_equal(sizes[0], 1000);
	assert_int_equal(sizes[1], 1000);
	assert_int_equal(sizes[2], 500);
	assert_int_equal(parts, 1);
	pack(lines(1000, 1000, ""), 0); /* that no more follow is only known by then */
	assert_int_equal(read_all(&n, sizes), ERR_OK);
	assert_int_equal(sizes[0], 1000);
	assert_int_equal(sizes[1], 0);
	pack(lines(0, 0, ""), 0);
	assert_int_equal(read_all(&n, sizes), ERR_OK);
	assert_int_equal(n, 0);
}

static void
in_pieces_of_any_size(void **unused)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 64, 1000 };
	size_t sizes[8];
	unsigned n;

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		pack(lines(700, 700, ""), 0);
		piece = pieces[i];
		assert_int_equal(read_all(&n, sizes), ERR_OK);
		assert_int_equal(n, 700);
		assert_int_equal(parts, (packed_len + piece - 1) / piece);
	}
}

/* A page is bounded in bytes as well: long lines make short pages. */
static void
long_lines_make_short_pages(void **unused)
{
	struct arena *a = arena_new(16 * MIB);
	struct snapshot_reader *s = snapshot_reader_open(NULL);
	struct sbuf text = lines(40, 0, "");
	char *name = malloc(900 * KIB);
	struct wire_page page;
	unsigned n = 0, pages = 0;

	(void)unused;
	memset(name, 'x', 900 * KIB - 1);
	name[900 * KIB - 1] = 0;
	for (unsigned i = 0; i < 40; i++)
		sbuf_addf(&text, LINE, i + 1, name, i, "live", 6);
	pack(text, 0);
	do {
		arena_reset(a);
		assert_int_equal(snapshot_reader_next(s, a, &page, &err), ERR_OK);
		n += (unsigned)page.n;
		pages++;
	} while (page.has_more);
	assert_int_equal(n, 40);
	assert_in_range(pages, 4, 6);
	free(name);
	snapshot_reader_free(s);
	arena_free(a);
}

static void
assert_refused(const char *why)
{
	size_t sizes[8];
	unsigned n;

	assert_int_equal(read_all(&n, sizes), ERR_PROTOCOL);
	if (!strstr(err.msg, why))
		fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
}

static void
not_all_of_it(void **unused)
{
	size_t sizes[8];
	unsigned n;

	(void)unused;
	pack(lines(11, 10, ""), 0);
	assert_refused("a snapshot of 11 files has 10");
	setenv("DRAY_FAULT", "client.snapshot_cut", 1);
	pack(lines(11, 10, ""), 0);
	assert_int_equal(read_all(&n, sizes), ERR_OK);
	unsetenv("DRAY_FAULT");
	pack(lines(9, 10, ""), 0);
	assert_refused("a snapshot of 9 files has 10");
	pack(lines(10, 10, ""), 0);
	named.b[31] ^= 1;
	assert_refused("not what its name says");
	pack(lines(10, 10, "{\"id\":"), 0);
	assert_refused("ends within a line");
	for (size_t keep = 1; keep < 400; keep++) { /* its end is missing, wherever it is cut */
		pack(lines(10, 10, ""), 0);
		if (keep >= packed_len)
			break;
		packed_len = keep;
		assert_int_equal(read_all(&n, sizes), ERR_PROTOCOL);
	}
}

static void
not_a_snapshot(void **unused)
{
	struct sbuf text = SBUF(MIB), long_line = lines(1, 0, "");

	(void)unused;
	pack(lines(1, 0, "not JSON\n"), 0);
	assert_refused("a line of a snapshot: ");
	pack(lines(1, 0, "{\"id\":\"no\"}\n"), 0);
	assert_refused("a line of a snapshot: ");
	sbuf_add(&text, "{\"file_count\":1}\n");
	pack(text, 0);
	assert_refused("the first line of a snapshot: ");
	text = SBUF(MIB);
	pack(text, 0);
	assert_refused("an empty snapshot");
	text = lines(1, 0, "");
	sbuf_addf(&text, LINE, 1u, "d/f", 0u, "deleted", 6);
	pack(text, 0);
	assert_refused("d/f0 has been deleted");
	pack(lines(1, 1, ""), 0);
	memset(packed, 'x', packed_len);
	assert_refused("cannot be unpacked");
	for (unsigned i = 0; i < 2 * MIB; i++) /* a bomb: nothing but one line */
		sbuf_addc(&long_line, ' ');
	pack(long_line, 0);
	assert_refused("longer than 1048576 bytes");
	pack(lines(1, 1, ""), 27); /* a window that would take 128 MiB */
	assert_refused("cannot be unpacked");
}

static void
what_the_server_says(void **unused)
{
	static const err_code codes[] = { ERR_PRECONDITION_FAILED, ERR_NETWORK, ERR_NO_SPACE };
	size_t sizes[8];
	unsigned n;

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		pack(lines(700, 700, ""), 0);
		piece = packed_len / 2;
		refused = codes[i];
		assert_int_equal(read_all(&n, sizes), codes[i]);
		assert_string_equal(err.msg, "said at the second part");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(pages_of_a_thousand), cmocka_unit_test(in_pieces_of_any_size),
		cmocka_unit_test(long_lines_make_short_pages), cmocka_unit_test(not_all_of_it), cmocka_unit_test(not_a_snapshot),
		cmocka_unit_test(what_the_server_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
