/* What refuses a whole batch, what a batch remembers, and where its bytes may come from. */
#include "rig.h"

static struct commit unused;

static void
refuse(struct rig *r, struct op bad, err_code code)
{
	struct op ops[] = { put_dir("fine"), bad };
	int64_t clock = rig_project(r).clock;

	assert_code(r, code, rig_try(r, ops, 2, &unused));
	assert_non_null(strstr(r->err.msg, "operations[1]"));
	assert_int_equal(rig_project(r).clock, clock);
	assert_false(rig_there(r, "fine"));
}

static void
wrong_operations_refuse_the_batch(void **state)
{
	struct rig *r = *state;
	static char long_target[LINK_TARGET_MAX + 2], long_name[NAME_LEN_MAX + 2], long_path[PATH_LEN_MAX + 2];
	struct op f = put_text(r, "f", "text"), big = f;
	struct file any = { .id = id_new(), .version = 5 };
	struct op no_base = del(&any);

	memset(long_target, 't', LINK_TARGET_MAX + 1);
	memset(long_name, 'n', NAME_LEN_MAX + 1);
	for (size_t i = 0; i < PATH_LEN_MAX + 1; i++)
		long_path[i] = i % 100 == 99 ? '/' : 'p';
	refuse(r, put_dir(""), ERR_PATH_INVALID);
	refuse(r, put_dir("a//b"), ERR_PATH_INVALID);
	refuse(r, put_dir("a/./b"), ERR_PATH_INVALID);
	refuse(r, put_dir("../x"), ERR_PATH_INVALID);
	refuse(r, put_dir("/etc"), ERR_PATH_INVALID);
	refuse(r, put_dir("a/"), ERR_PATH_INVALID);
	refuse(r, put_dir("caf\xe9"), ERR_NAME_NOT_UTF8);
	refuse(r, put_dir("a/.dray"), ERR_NAME_RESERVED);
	refuse(r, put_dir(long_name), ERR_NAME_TOO_LONG);
	refuse(r, put_dir(long_path), ERR_PATH_TOO_LONG);
	refuse(r, put_link("l", ""), ERR_LINK_INVALID);
	refuse(r, put_link("l", NULL), ERR_LINK_INVALID);
	refuse(r, put_link("l", long_target), ERR_LINK_INVALID);
	refuse(r, mv(&any, "a/../b"), ERR_PATH_INVALID);
	no_base.has_base = false;
	refuse(r, no_base, ERR_BASE_REQUIRED);
	refuse(r, on(del(&any), 0), ERR_FIELD_RANGE);
	big.size = -1;
	refuse(r, big, ERR_FIELD_RANGE);
	big.size = (int64_t)FILE_SIZE_MAX + 1;
	refuse(r, big, ERR_FILE_TOO_LARGE);
	big.size = (int64_t)FILE_SIZE_MAX;
	refuse(r, big, ERR_SIZE_MISMATCH);
	f.content = hash_of("other", 5);
	refuse(r, f, ERR_FILE_HASH_MISMATCH);
	long_target[LINK_TARGET_MAX] = long_name[NAME_LEN_MAX] = '\0';
	rig_do(r, put_link("l", long_target)); /* the other side of the limits */
	rig_do(r, put_dir(long_name));
}

static void
extents_outside_of_their_chunk(void **state)
{
	struct rig *r = *state;
	struct made m = rig_upload(r, "text", 4);
	struct op op;

	m.extent.count = 2;
	op = put_file("f", &m);
	refuse(r, op, ERR_BLOCKLIST_INVALID);
	m.extent.count = 0;
	refuse(r, op, ERR_BLOCKLIST_INVALID);
	m.extent = (struct extent){ .chunk = m.extent.chunk, .first = UINT32_MAX, .count = 1 };
	refuse(r, op, ERR_BLOCKLIST_INVALID);
	m.extent = (struct extent){ .chunk = m.extent.chunk, .first = 1, .count = UINT32_MAX };
	refuse(r, op, ERR_BLOCKLIST_INVALID);
	m.extent = (struct extent){ .chunk = m.extent.chunk, .first = 1, .count = 1 };
	refuse(r, op, ERR_BLOCKLIST_INVALID);
	m.extent = (struct extent){ .chunk = m.extent.chunk, .first = 0, .count = 1 };
	m.size = 3;
	refuse(r, put_file("f", &m), ERR_SIZE_MISMATCH);
}

static void
each_target_once(void **state)
{
	struct rig *r = *state;
	struct file any = { .id = id_new(), .version = 5 };

	assert_code(r, ERR_DUPLICATE_TARGET, rig_try(r, (struct op[]){ put_dir("a"), put_dir("a") }, 2, &unused));
	assert_code(r, ERR_DUPLICATE_TARGET, rig_try(r, (struct op[]){ put_dir("a"), mv(&any, "a") }, 2, &unused));
	assert_code(r, ERR_DUPLICATE_TARGET, rig_try(r, (struct op[]){ del(&any), mv(&any, "a") }, 2, &unused));
	assert_code(r, ERR_DUPLICATE_TARGET, rig_try(r, (struct op[]){ del(&any), restore(&any, 3) }, 2, &unused));
	assert_code(r, ERR_FIELD_RANGE, rig_try(r, NULL, 0, &unused));
	assert_code(r, ERR_FIELD_RANGE, rig_try(r, NULL, COMMIT_OPS_MAX + 1, &unused));
}

static void
missing_chunks_are_listed_together(void **state)
{
	struct rig *r = *state;
	struct made here = rig_upload(r, "here", 4), gone1 = here, gone2 = here;
	struct commit c;

	gone1.extent.chunk = hash_of("1", 1);
	gone2.extent.chunk = hash_of("2", 1);
	assert_code(r, ERR_CHUNKS_MISSING, rig_try(r, (struct op[]){ put_file("a", &gone1), put_file("b", &here),
	    put_file("c", &gone2), put_file("d", &gone1) }, 4, &c));
	assert_int_equal(c.missing_n, 2);
	assert_true(hash_eq(&c.missing[0], &gone1.extent.chunk) || hash_eq(&c.missing[1], &gone1.extent.chunk));
	assert_true(hash_eq(&c.missing[0], &gone2.extent.chunk) || hash_eq(&c.missing[1], &gone2.extent.chunk));
	assert_false(rig_there(r, "b"));
}

static void
chunks_of_another_project_are_missing(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "f", "text");
	struct id mine = r->project;
	struct project other;

	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	r->project = other.id;
	assert_code(r, ERR_CHUNKS_MISSING, rig_try(r, &op, 1, &unused));
	r->project = mine;
	rig_do(r, op);
}

/* The row is there, the object is not: sending it again heals, so it is missing and not an error without a way out. */
static void
a_lost_object_is_missing(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "f", "text");
	struct store_key key = { .project = r->project, .hash = op.extents[0].chunk };

	domain_free(r->d);
	r->d = domain_open(r->meta, r->store); /* without the header that the upload left in the cache */
	assert_ok(r, store_delete(r->store, &key, &r->err));
	assert_code(r, ERR_CHUNKS_MISSING, rig_try(r, &op, 1, &unused));
	op = put_text(r, "f", "text");
	rig_do(r, op);
	rig_assert_text(r, "f", "text");
}

/* ---- idempotency ------------------------------------------------------------------------------------------------- */

static unsigned encoded;

static err_code
encode(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	const struct commit *c = ctx;

	(void)err;
	encoded++;
	sbuf_addf(out, "%jd", (intmax_t)c->results[0].version);
	*status = 200;
	return ERR_OK;
}

static err_code
encode_failing(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	(void)ctx;
	(void)out;
	(void)status;
	return err_set(err, ERR_INTERNAL, "no answer");
}

static void
a_repetition_gets_the_first_answer(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct op op = put_text(r, "f", "text");
	struct commit c = { .ops = &op, .n = 1, .device = r->device.id };
	struct idem idem = { .device = r->device.id, .key = "key", .request_hash = hash_of("request", 7), .encode = encode,
		.ctx = &c }, again = idem;
	char answer[32];

	op.transfer = t; /* has ended when the repetition comes */
	encoded = 0;
	assert_ok(r, commit_apply(r->d, &r->project, &c, &idem, r->a, &r->err));
	assert_false(idem.replayed);
	snprintf(answer, sizeof answer, "%jd", (intmax_t)c.results[0].version);
	rig_do(r, del_at(r, "f"));
	assert_ok(r, commit_apply(r->d, &r->project, &c, &again, r->a, &r->err));
	assert_true(again.replayed);
	assert_int_equal(again.status, 200);
	assert_int_equal(again.body_len, strlen(answer));
	assert_memory_equal(again.body, answer, again.body_len);
	assert_int_equal(encoded, 1);
	assert_false(rig_there(r, "f")); /* it did not happen again */
	again = idem;
	again.request_hash = hash_of("another", 7);
	assert_code(r, ERR_IDEMPOTENCY_MISMATCH, commit_apply(r->d, &r->project, &c, &again, r->a, &r->err));
	again = idem;
	again.replayed = false;
	again.device = r->owner.id; /* keys are a device's own */
	assert_ok(r, commit_apply(r->d, &r->project, &c, &again, r->a, &r->err));
	assert_false(again.replayed);
}

static void
an_answer_that_cannot_be_kept_undoes_the_commit(void **state)
{
	struct rig *r = *state;
	struct op op = put_dir("d");
	struct commit c = { .ops = &op, .n = 1, .device = r->device.id };
	struct idem idem = { .device = r->device.id, .key = "key", .encode = encode_failing, .ctx = &c };

	assert_code(r, ERR_INTERNAL, commit_apply(r->d, &r->project, &c, &idem, r->a, &r->err));
	assert_false(rig_there(r, "d"));
	assert_int_equal(r->told, 0);
	idem.encode = encode;
	assert_ok(r, commit_apply(r->d, &r->project, &c, &idem, r->a, &r->err));
	assert_true(rig_there(r, "d"));
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

static enum transfer_state
state_of(struct rig *r, const struct id *t)
{
	struct transfer out;
	struct transfer_chunk *chunks;
	size_t n;

	assert_ok(r, transfer_get(r->d, &r->project, &r->device.id, t, 0, 10, r->a, &out, &chunks, &n, &r->err));
	return out.state;
}

static void
a_transfer_ends_when_all_that_names_it_is_there(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct op a = put_text(r, "a", "a"), b = put_text(r, "no/b", "b");

	a.transfer = b.transfer = t;
	rig_commit(r, (struct op[]){ a, b }, 2);
	assert_int_equal(state_of(r, &t), TRANSFER_OPEN); /* one has failed */
	b.path = "b";
	rig_commit(r, (struct op[]){ a, b }, 2);
	assert_int_equal(state_of(r, &t), TRANSFER_DONE);
}

/* A content of ${n} blocks of one byte, 1,024 of them again and again, as a client would list it. */
static struct made
tiny_blocks(struct rig *r, uint32_t n, struct blocklist *list)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	struct id t = rig_transfer(r);
	struct made m = { .size = n };
	struct content_hash ch;
	struct hash id;
	size_t len;
	const uint8_t *p;

	for (uint32_t i = 0; i < CHUNK_BLOCKS_MAX; i++) {
		uint8_t byte = (uint8_t)(i * 7);
		struct hash h = hash_of(&byte, 1);

		chunk_builder_add(b, &byte, 1, &h);
	}
	p = chunk_builder_finish(b, &id, &len);
	assert_ok(r, rig_try_chunk(r, &t, 0, p, len, &id));
	*list = (struct blocklist){ .block_count = n };
	list->blocks = arena_array(r->a, n, sizeof *list->blocks);
	list->extents = arena_array(r->a, n / CHUNK_BLOCKS_MAX + 1, sizeof *list->extents);
	content_hash_init(&ch);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)(i % CHUNK_BLOCKS_MAX * 7);

		list->blocks[i] = (struct block){ .hash = hash_of(&byte, 1), .len = 1 };
		content_hash_add(&ch, &list->blocks[i].hash, 1);
		if (i % CHUNK_BLOCKS_MAX == 0)
			list->extents[list->extent_count++] = (struct extent){ .chunk = id };
		list->extents[list->extent_count - 1].count++;
	}
	m.content = content_hash_final(&ch);
	return m;
}

static void
assert_tiny(struct rig *r, const char *path, uint32_t n)
{
	struct file f = rig_at(r, path);
	AUTO(freep) uint8_t *buf = xmalloc(n + 1);
	struct content_out *c;
	size_t got;

	assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
	assert_ok(r, content_read(c, 0, buf, n + 1, &got, &r->err));
	content_close(c);
	assert_int_equal(got, n);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(buf[i], (uint8_t)(i % CHUNK_BLOCKS_MAX * 7));
}

/* Below, at and above what is held in memory until the transaction (about 113,000 blocks). */
static void
lists_of_any_length(void **state)
{
	struct rig *r = *state;
	static const uint32_t counts[] = { 1, 63, 64, 65, 128, 1024, 1025, 100000, 115000, 250000 };
	char path[32];

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct blocklist l;
		struct made m = tiny_blocks(r, counts[i], &l);
		struct op op = put_file(path, &m);

		snprintf(path, sizeof path, "f%u", (unsigned)counts[i]);
		op.extents = l.extents;
		op.extent_count = l.extent_count;
		rig_do(r, op);
		assert_tiny(r, path, counts[i]);
	}
}

static err_code
send_page(struct rig *r, const struct id *t, const struct blocklist *all, uint32_t from, uint32_t n)
{
	struct blocklist page = { .blocks = all->blocks + from, .block_count = n };
	AUTO(freep) struct extent *extents = xcalloc(n, sizeof *extents);
	AUTO(freep) uint8_t *packed = NULL;
	size_t len;

	page.extents = extents;
	for (uint32_t i = 0; i < n; i++) {
		struct extent e = { .chunk = all->extents[0].chunk, .first = (from + i) % CHUNK_BLOCKS_MAX, .count = 1 };

		extents[page.extent_count++] = e;
	}
	len = blocklist_packed_len(&page);
	packed = xmalloc(len);
	blocklist_pack(&page, packed);
	return transfer_put_blocks(r->d, &r->project, &r->device.id, t, from, packed, len, r->a, &r->err);
}

static void
a_list_in_pages_of_a_transfer(void **state)
{
	enum { N = 150000 };
	struct rig *r = *state;
	struct blocklist l;
	struct made m = tiny_blocks(r, N, &l);
	struct id t = rig_transfer(r);
	struct op op = put_file("f", &m);

	op.source = CONTENT_TRANSFER;
	op.transfer = t;
	assert_code(r, ERR_BLOCKS_MISSING, rig_try(r, &op, 1, &unused));
	for (uint32_t from = BLOCKLIST_UPLOAD_MAX; from < N; from += BLOCKLIST_UPLOAD_MAX)
		assert_ok(r, send_page(r, &t, &l, from, MIN((uint32_t)BLOCKLIST_UPLOAD_MAX, N - from)));
	assert_code(r, ERR_BLOCKS_MISSING, rig_try(r, &op, 1, &unused)); /* the first one */
	l.blocks[5].hash.b[0] ^= 1;
	assert_ok(r, send_page(r, &t, &l, 0, BLOCKLIST_UPLOAD_MAX));
	assert_code(r, ERR_FILE_HASH_MISMATCH, rig_try(r, &op, 1, &unused)); /* not what the chunk says */
	l.blocks[5].hash.b[0] ^= 1;
	assert_ok(r, send_page(r, &t, &l, 0, BLOCKLIST_UPLOAD_MAX));
	op.size--;
	assert_code(r, ERR_SIZE_MISMATCH, rig_try(r, &op, 1, &unused));
	op.size++;
	op.content.b[0] ^= 1;
	assert_code(r, ERR_FILE_HASH_MISMATCH, rig_try(r, &op, 1, &unused));
	op.content.b[0] ^= 1;
	op.path = "no/f";
	assert_int_equal(rig_one(r, op).code, ERR_PARENT_MISSING);
	assert_int_equal(state_of(r, &t), TRANSFER_OPEN);
	op.path = "f";
	rig_do(r, op);
	assert_int_equal(state_of(r, &t), TRANSFER_DONE);
	assert_tiny(r, "f", N);
	assert_code(r, ERR_TRANSFER_GONE, rig_try(r, &op, 1, &unused));
	assert_code(r, ERR_TRANSFER_GONE, send_page(r, &t, &l, 0, 10));
	op.transfer = id_new();
	assert_code(r, ERR_NOT_FOUND, rig_try(r, &op, 1, &unused));
}

static void
a_transfer_whose_chunks_are_not_here(void **state)
{
	struct rig *r = *state;
	struct blocklist l;
	struct made m = tiny_blocks(r, 3000, &l);
	struct id t = rig_transfer(r);
	struct op op = put_file("f", &m);
	struct commit c;

	op.source = CONTENT_TRANSFER;
	op.transfer = t;
	l.extents[0].chunk = hash_of("nowhere", 7);
	assert_ok(r, send_page(r, &t, &l, 0, 3000));
	assert_code(r, ERR_CHUNKS_MISSING, rig_try(r, &op, 1, &c));
	assert_int_equal(c.missing_n, 1);
	assert_true(hash_eq(&c.missing[0], &l.extents[0].chunk));
}

static void
ten_thousand_files_in_one_batch(void **state)
{
	enum { N = COMMIT_OPS_MAX };
	struct rig *r = *state;
	AUTO(freep) struct op *ops = xcalloc(N, sizeof *ops);
	struct made m = rig_upload(r, "shared by all", 13);
	struct commit c;
	int64_t start, last = 0;

	for (size_t i = 0; i < N; i++)
		ops[i] = put_file(arena_printf(r->a, "file %05zu", i), &m);
	start = clock_mono_us();
	c = rig_commit(r, ops, N);
	print_message("10,000 files: %jd us\n", (intmax_t)(clock_mono_us() - start));
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(c.results[i].code, ERR_OK);
		assert_true(c.results[i].version > last);
		last = c.results[i].version;
	}
	assert_int_equal(rig_assert_sums(r), N);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(wrong_operations_refuse_the_batch), T(extents_outside_of_their_chunk), T(each_target_once),
		T(missing_chunks_are_listed_together), T(chunks_of_another_project_are_missing), T(a_lost_object_is_missing),
		T(a_repetition_gets_the_first_answer), T(an_answer_that_cannot_be_kept_undoes_the_commit),
		T(a_transfer_ends_when_all_that_names_it_is_there), T(lists_of_any_length), T(a_list_in_pages_of_a_transfer),
		T(a_transfer_whose_chunks_are_not_here), T(ten_thousand_files_in_one_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
