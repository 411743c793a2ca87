/*
 * The garbage collector against a model: contents made of blocks whose bytes follow from a number, edited, deleted, pruned and collected in
 * random order (DRAY_TEST_SEED=n for others).  After each collection everything that has a version reads back; at the end, without
 * a grace, nothing else is left, and what is stored is at most 1.5 times what is named.
 */
#include "../domain/rig.h"

#include "base/rng.h"
#include "chunk/blocklist.h"
#include "server/job/gc.h"

enum { FILES = 6, BLOCKS = 48, LEN = 700, VERSIONS = 4000, STEPS = 250 };

struct state {
	bool used;
	unsigned file;
	int64_t version;
	struct id list;
	unsigned n;
	uint32_t seeds[BLOCKS];
};

struct model {
	struct rig *r;
	uint64_t rng;
	uint32_t next_seed;
	struct state *states;
	size_t states_n;
	struct state *now[FILES]; /* NULL: deleted, or never made */
};

static uint32_t
dice(struct model *m, uint32_t n)
{
	m->rng = m->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m->rng >> 33) % n;
}

static const char *
name_of(unsigned file)
{
	static const char *const names[FILES] = { "a", "b", "c", "d", "e", "f" };

	return names[file];
}

/* ---- making contents ------------------------------------------------------------------------------------------------ */

static struct hash
block_hash(uint32_t seed)
{
	uint8_t b[LEN];

	fill(b, LEN, seed);
	return hash_of(b, LEN);
}

static struct hash
content_of_seeds(const uint32_t *seeds, unsigned n)
{
	struct content_hash ch;

	content_hash_init(&ch);
	for (unsigned i = 0; i < n; i++) {
		struct hash h = block_hash(seeds[i]);

		content_hash_add(&ch, &h, LEN);
	}
	return content_hash_final(&ch);
}

/* A container of the blocks, sent as number ${number} of a transfer. */
static struct hash
send_blocks(struct rig *r, const struct id *transfer, uint32_t number, const uint32_t *seeds, unsigned n)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	const uint8_t *container;
	struct hash id, got;
	size_t len;

	for (unsigned i = 0; i < n; i++) {
		uint8_t raw[LEN];
		struct hash h = block_hash(seeds[i]);

		fill(raw, LEN, seeds[i]);
		chunk_builder_add(b, raw, LEN, &h);
	}
	container = chunk_builder_finish(b, &id, &len);
	assert_ok(r, rig_try_chunk(r, transfer, number, container, len, &got));
	assert_true(hash_eq(&id, &got));
	return id;
}

/* Where the blocks of a list lie now. */
static void
places(struct rig *r, const struct id *list_id, struct extent out[BLOCKS])
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	struct blocklist list;
	const uint8_t *packed;
	unsigned at = 0;
	size_t len;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_blocks_get(tx, &r->project, list_id, 0, &packed, &len, &r->err));
	assert_ok(r, blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &list, &r->err));
	for (uint32_t i = 0; i < list.extent_count; i++)
		for (uint32_t k = 0; k < list.extents[i].count; k++)
			out[at++] =
			    (struct extent){ .chunk = list.extents[i].chunk, .first = list.extents[i].first + k, .count = 1 };
}

/* The list that the new version has. */
static struct id
list_of(struct rig *r, const struct op_result *made)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct version v;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_version_get(tx, &r->project, &made->file, made->version, &v, &r->err));
	return v.list;
}

static struct op_result
commit_extents(struct rig *r, const char *path, int64_t base, const struct extent *extents, const uint32_t *seeds, unsigned n,
    const struct id *transfer)
{
	struct op op = { .kind = OP_PUT,
		.path = path,
		.entry = KIND_FILE,
		.source = CONTENT_EXTENTS,
		.size = (int64_t)n * LEN,
		.content = content_of_seeds(seeds, n),
		.extents = extents,
		.extent_count = n,
		.transfer = *transfer,
		.has_base = base != 0,
		.base = base };

	return rig_do(r, op);
}

static struct state *
remember(struct model *m, unsigned file, const uint32_t *seeds, unsigned n, struct op_result made)
{
	struct state *s = &m->states[m->states_n++];

	assert_true(m->states_n < VERSIONS);
	*s = (struct state){ .used = true, .file = file, .version = made.version, .n = n, .list = list_of(m->r, &made) };
	memcpy(s->seeds, seeds, n * sizeof *seeds);
	m->now[file] = s;
	return s;
}

static void
make(struct model *m, unsigned file)
{
	struct id t = rig_transfer(m->r);
	struct extent extents[BLOCKS];
	uint32_t seeds[BLOCKS];
	struct hash chunk;

	for (unsigned i = 0; i < BLOCKS; i++)
		seeds[i] = ++m->next_seed;
	chunk = send_blocks(m->r, &t, 0, seeds, BLOCKS);
	for (unsigned i = 0; i < BLOCKS; i++)
		extents[i] = (struct extent){ .chunk = chunk, .first = i, .count = 1 };
	remember(m, file, seeds, BLOCKS, commit_extents(m->r, name_of(file), 0, extents, seeds, BLOCKS, &t));
}

/* Some blocks are new; the others stay where they are. */
static void
edit(struct model *m, unsigned file)
{
	struct state *was = m->now[file];
	struct id t = rig_transfer(m->r);
	struct extent extents[BLOCKS];
	uint32_t seeds[BLOCKS], fresh[BLOCKS], slots[BLOCKS];
	unsigned n = 0;
	struct hash chunk;

	memcpy(seeds, was->seeds, sizeof seeds);
	places(m->r, &was->list, extents);
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (dice(m, 5) == 0 || (i == BLOCKS - 1 && n == 0)) {
			fresh[n] = seeds[i] = ++m->next_seed;
			slots[n++] = i;
		}
	}
	chunk = send_blocks(m->r, &t, 0, fresh, n);
	for (unsigned i = 0; i < n; i++)
		extents[slots[i]] = (struct extent){ .chunk = chunk, .first = i, .count = 1 };
	remember(m, file, seeds, BLOCKS, commit_extents(m->r, name_of(file), was->version, extents, seeds, BLOCKS, &t));
}

static void delete (struct model *m, unsigned file)
{
	rig_do(m->r, del_at(m->r, name_of(file)));
	m->now[file] = NULL;
}

/* Versions older than ${before} go, of every file or of those at ${path}. */
static void
prune(struct rig *r, int64_t before)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct history_file *files;
	struct id zero = { 0 };
	unsigned gone;
	size_t n;

	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	assert_ok(r, meta_history_files(tx, &r->project, &zero, 1000, &files, &n, &r->err));
	for (size_t i = 0; i < n; i++) {
		struct version *newest;
		size_t one;

		assert_ok(r, meta_version_list(tx, &r->project, &files[i].file, INT64_MAX, 1, &newest, &one, &r->err));
		assert_ok(
		    r, meta_version_prune(tx, &r->project, &files[i].file, MIN(before, newest->version), 1000, &gone, &r->err));
	}
	assert_ok(r, meta_commit(&tx, &r->err));
}

static void
model_prune(struct model *m)
{
	int64_t before = m->states_n ? m->states[dice(m, (uint32_t)m->states_n)].version : 0;

	prune(m->r, before);
	for (size_t i = 0; i < m->states_n; i++) {
		struct state *s = &m->states[i];
		bool last = m->now[s->file] == s;

		if (s->version < before && !last)
			s->used = false;
	}
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */

static void
reads_back(struct rig *r, const struct id *list, const uint32_t *seeds, unsigned n)
{
	struct file f = { .kind = KIND_FILE, .list = *list, .size = (int64_t)n * LEN };
	struct content_out *c;
	uint8_t want[LEN], got[LEN];
	size_t len;

	assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
	for (unsigned i = 0; i < n; i++) {
		fill(want, LEN, seeds[i]);
		assert_ok(r, content_read(c, (uint64_t)i * LEN, got, LEN, &len, &r->err));
		assert_int_equal(len, LEN);
		assert_memory_equal(got, want, LEN);
	}
	content_close(c);
}

static void
all_read_back(struct model *m)
{
	for (size_t i = 0; i < m->states_n; i++)
		if (m->states[i].used)
			reads_back(m->r, &m->states[i].list, m->states[i].seeds, m->states[i].n);
}

static struct gc_report
collect(struct rig *r)
{
	struct gc_report report;

	assert_ok(r, gc_collect(r->d, r->meta, r->store, false, &report, &r->err));
	return report;
}

static bool
count_object(void *ctx, const struct store_key *key, uint64_t size)
{
	(void)key;
	*(uint64_t *)ctx += size;
	return true;
}

static uint64_t
store_bytes(struct rig *r)
{
	uint64_t sum = 0;

	assert_ok(r, store_list(r->store, count_object, &sum, &r->err));
	return sum;
}

/* What must be stored of the states that are left: each distinct block once, with its row of the table. */
static uint64_t
named_bytes(struct model *m)
{
	bool *seen = xcalloc(m->next_seed + 1, sizeof *seen);
	uint64_t sum = 0;

	for (size_t i = 0; i < m->states_n; i++) {
		for (unsigned k = 0; m->states[i].used && k < m->states[i].n; k++) {
			sum += seen[m->states[i].seeds[k]] ? 0 : LEN + CHUNK_ENTRY_LEN;
			seen[m->states[i].seeds[k]] = true;
		}
	}
	free(seen);
	return sum;
}

static void
step(struct model *m)
{
	unsigned file = dice(m, FILES), what = dice(m, 10);
	struct gc_report report;

	if (what == 0)
		model_prune(m);
	else if (what == 1) {
		report = collect(m->r);
		all_read_back(m);
	} else if (what == 2)
		assert_ok(m->r, gc_collect(m->r->d, m->r->meta, m->r->store, true, &report, &m->r->err));
	else if (!m->now[file])
		make(m, file);
	else if (what == 3)
		delete (m, file);
	else
		edit(m, file);
}

static void
random_operations(void **state)
{
	const char *env = getenv("DRAY_TEST_SEED"), *steps = getenv("DRAY_TEST_STEPS");
	struct model m = { .r = *state, .rng = env ? (uint64_t)atoll(env) : rng_u64() };
	long n = steps ? atol(steps) : STEPS;
	struct gc_report report;

	print_message("DRAY_TEST_SEED=%llu\n", (unsigned long long)m.rng);
	m.states = xcalloc(VERSIONS, sizeof *m.states);
	domain_grace(m.r->d, 0);
	for (long i = 0; i < n && m.states_n + 10 < VERSIONS; i++)
		step(&m);
	for (unsigned i = 0; i < 3; i++)
		report = collect(m.r);
	all_read_back(&m);
	assert_int_equal(report.chunks_waiting + report.chunks_removed + report.chunks_compacted + report.objects_removed, 0);
	assert_int_equal(store_bytes(m.r), report.bytes_kept);
	assert_int_equal(rig_project(m.r).stored_bytes, (int64_t)report.bytes_kept);
	if (report.bytes_kept * 2 > named_bytes(&m) * 3 + CHUNK_FIXED_LEN * 2 * report.chunks_kept)
		fail_msg(
		    "%llu bytes are stored for %llu", (unsigned long long)report.bytes_kept, (unsigned long long)named_bytes(&m));
	free(m.states);
}

/* ---- each promise by itself ----------------------------------------------------------------------------------------- */

static const uint32_t SEEDS[4] = { 1001, 1002, 1003, 1004 };

static void
spread(const struct hash *chunk, struct extent out[4])
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (struct extent){ .chunk = *chunk, .first = i, .count = 1 };
}

/* M13, M14: what an open transfer was told has arrived stays, without any grace. */
static void
leased(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct extent extents[4];
	struct hash chunk = send_blocks(r, &t, 0, SEEDS, 4);
	struct op_result made;
	struct id list;

	domain_grace(r->d, 0);
	assert_int_equal(collect(r).chunks_kept, 1);
	spread(&chunk, extents);
	made = commit_extents(r, "a", 0, extents, SEEDS, 4, &t);
	list = list_of(r, &made);
	collect(r);
	reads_back(r, &list, SEEDS, 4);
}

/* What nothing names yet stays for a grace; then it goes, row and object. */
static void
grace(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r), none = { 0 };
	struct extent extents[4];
	struct hash chunk = send_blocks(r, &t, 0, SEEDS, 4);
	struct op_result made;
	struct id list;
	struct gc_report report;

	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	report = collect(r);
	assert_int_equal(report.chunks_waiting, 1);
	spread(&chunk, extents);
	made = commit_extents(r, "a", 0, extents, SEEDS, 4, &none);
	list = list_of(r, &made);
	reads_back(r, &list, SEEDS, 4);
	rig_do(r, del_at(r, "a"));
	prune(r, INT64_MAX);
	report = collect(r);
	assert_int_equal(report.lists_removed, 1);
	assert_int_equal(report.chunks_waiting, 1);
	domain_grace(r->d, 0);
	assert_ok(r, gc_collect(r->d, r->meta, r->store, true, &report, &r->err));
	assert_int_equal(report.chunks_removed, 1);
	assert_true(store_bytes(r) > 0);
	report = collect(r);
	assert_int_equal(report.chunks_removed, 1);
	assert_int_equal(store_bytes(r), 0);
	assert_int_equal(rig_project(r).stored_bytes, 0);
}

/* A clock that was ahead when a chunk was put does not keep it for ever. */
static void
from_the_future(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct meta_tx *tx;
	struct hash chunk = send_blocks(r, &t, 0, SEEDS, 4);

	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	assert_ok(r, meta_chunk_touch(tx, &r->project, &chunk, clock_wall_us() + 3600 * INT64_C(1000000), &r->err));
	assert_ok(r, meta_commit(&tx, &r->err));
	domain_grace(r->d, 0);
	assert_int_equal(collect(r).chunks_waiting, 1);
	assert_int_equal(collect(r).chunks_removed, 1);
}

/* A page of an open transfer's list leases what it names of older chunks. */
static void
lists_lease(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct hash chunk = send_blocks(r, &t, 0, SEEDS, 4);
	struct extent e = { .chunk = chunk, .count = 4 };
	struct block blocks[4];
	struct blocklist list = { .extents = &e, .extent_count = 1, .blocks = blocks, .block_count = 4 };
	uint8_t packed[512];

	for (unsigned i = 0; i < 4; i++)
		blocks[i] = (struct block){ .hash = block_hash(SEEDS[i]), .len = LEN };
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	t = rig_transfer(r);
	blocklist_pack(&list, packed);
	assert_ok(
	    r, transfer_put_blocks(r->d, &r->project, &r->device.id, &t, 0, packed, blocklist_packed_len(&list), r->a, &r->err));
	domain_grace(r->d, 0);
	assert_int_equal(collect(r).chunks_kept, 1);
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	assert_int_equal(collect(r).chunks_removed, 1);
}

/* curl -T has no transfer: its chunks stay while it runs. */
static void
plain_upload(void **state)
{
	struct rig *r = *state;
	size_t size = 80 * BLOCK_LEN_MAX; /* two chunks; rows are written at the end */
	AUTO(freep) uint8_t *bytes = bytes_new(size, 9);
	struct content_put put = { .device = r->device.id, .path = "plain", .size = (int64_t)size };
	struct content_in *c;
	struct file f;
	bool created;

	domain_grace(r->d, 0);
	assert_ok(r, content_in_open(r->d, &r->project, &put, &c, &r->err));
	assert_ok(r, content_in_feed(c, bytes, 70 * BLOCK_LEN_MAX, &r->err));
	collect(r); /* one object, no row */
	assert_ok(r, content_in_feed(c, bytes + 70 * BLOCK_LEN_MAX, 10 * BLOCK_LEN_MAX, &r->err));
	assert_ok(r, content_in_finish(c, r->a, &f, &created, &r->err));
	content_in_free(c);
	assert_int_equal(collect(r).chunks_kept, 2);
}

/* Objects of a deleted project, and one without a row. */
static void
orphans(void **state)
{
	struct rig *r = *state;
	struct store_key key = { .project = r->project, .hash = hash_of("x", 1) };
	struct op op = put_text(r, "a", "text");

	rig_do(r, op);
	assert_ok(r, store_put(r->store, &key, (const uint8_t *)"orphan", 6, &r->err));
	assert_int_equal(collect(r).objects_removed, 0); /* young */
	domain_grace(r->d, 0);
	assert_int_equal(collect(r).objects_removed, 1);
	rig_assert_text(r, "a", "text");
	assert_ok(r, project_delete(r->d, &r->project, &r->err));
	assert_int_equal(collect(r).objects_removed, 1);
	assert_int_equal(store_bytes(r), 0);
}

/* A store that fails in the middle of a compaction costs that compaction and nothing else. */
static void
compaction_fails(void **state)
{
	struct rig *r = *state;
	struct model m = { .r = r, .rng = 5 };
	struct gc_report report;
	unsigned rounds = 0;

	m.states = xcalloc(VERSIONS, sizeof *m.states);
	domain_grace(r->d, 0);
	make(&m, 0);
	do {
		edit(&m, 0);
		prune(r, m.now[0]->version);
		for (size_t i = 0; i + 1 < m.states_n; i++)
			m.states[i].used = false;
		assert_ok(r, gc_collect(r->d, r->meta, r->store, true, &report, &r->err));
	} while (report.chunks_compacted == 0 && ++rounds < 20);
	assert_true(report.chunks_compacted > 0);
	store_fault_arm(r->store, "finish", 0, ERR_NO_SPACE);
	assert_ok(r, gc_collect(r->d, r->meta, r->store, false, &report, &r->err)); /* what is garbage goes all the same */
	all_read_back(&m);
	collect(r);
	report = collect(r);
	all_read_back(&m);
	assert_true(report.chunks_compacted == 0);
	free(m.states);
}

/* Who reads while what he reads is moved goes on. */
static void
a_reader_goes_on(void **state)
{
	struct rig *r = *state;
	struct model m = { .r = r, .rng = 6 };
	struct file f = { .kind = KIND_FILE, .size = BLOCKS * LEN };
	uint8_t want[LEN], got[LEN];
	struct content_out *c;
	uint64_t compacted = 0;
	size_t len;

	m.states = xcalloc(VERSIONS, sizeof *m.states);
	domain_grace(r->d, 0);
	make(&m, 0);
	for (unsigned i = 0; i < 6; i++)
		edit(&m, 0);
	prune(r, m.now[0]->version);
	f.list = m.now[0]->list;
	assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
	for (unsigned i = 0; i < BLOCKS; i++) {
		fill(want, LEN, m.now[0]->seeds[i]);
		assert_ok(r, content_read(c, (uint64_t)i * LEN, got, LEN, &len, &r->err));
		assert_memory_equal(got, want, LEN);
		for (unsigned k = 0; i == 0 && k < 3; k++)
			compacted += collect(r).chunks_compacted;
	}
	content_close(c);
	assert_true(compacted > 0);
	free(m.states);
}

/* Deletes fail; the next collection finds what is left. */
static void
delete_fails(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct gc_report report;

	send_blocks(r, &t, 0, SEEDS, 4);
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	domain_grace(r->d, 0);
	store_fault_arm(r->store, "delete", 0, ERR_IO);
	assert_code(r, ERR_IO, gc_collect(r->d, r->meta, r->store, false, &report, &r->err));
	assert_true(store_bytes(r) > 0);
	assert_int_equal(collect(r).objects_removed, 1);
	assert_int_equal(store_bytes(r), 0);
}

/* ---- transfers ------------------------------------------------------------------------------------------------------ */

static void
milestones_of(struct rig *r, const struct id *t, const char *const *want, size_t n)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct transfer_event *events;
	size_t got;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_transfer_event_list(tx, t, 100, &events, &got, &r->err));
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(events[i].event, want[i]);
}

/* Another start of the server, and a chunk after it: resumed, once. */
static void
resumed(void **state)
{
	static const char *const want[] = { "started", "resumed" };
	struct rig *r = *state;
	struct id t = rig_transfer(r);

	send_blocks(r, &t, 0, SEEDS, 2);
	milestones_of(r, &t, want, 1);
	domain_free(r->d);
	r->d = domain_open(r->meta, r->store);
	send_blocks(r, &t, 1, SEEDS, 3);
	send_blocks(r, &t, 2, SEEDS, 4);
	milestones_of(r, &t, want, 2);
}

/* After many transfers of many chunks nothing is left but their milestones.  DRAY_TEST_TRANSFERS=1000 is the promise's number. */
static void
nothing_left_of_transfers(void **state)
{
	static const char *const want[] = { "started", "completed" };
	const char *env = getenv("DRAY_TEST_TRANSFERS");
	struct rig *r = *state;
	long transfers = env ? atol(env) : 10;

	for (long i = 0; i < transfers; i++) {
		struct id t = rig_transfer(r);
		AUTO(meta_abort) struct meta_tx *tx = NULL;
		struct transfer_chunk *chunks;
		struct transfer_progress p;
		struct extent extents[100];
		uint32_t seeds[100];
		char path[32];
		size_t n;

		for (uint32_t k = 0; k < 100; k++) {
			seeds[k] = (uint32_t)i * 100 + k;
			extents[k] = (struct extent){ .chunk = send_blocks(r, &t, k, &seeds[k], 1), .count = 1 };
		}
		(void)snprintf(path, sizeof path, "file %ld", i);
		commit_extents(r, path, 0, extents, seeds, 100, &t);
		assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
		assert_ok(r, meta_transfer_chunk_list(tx, &t, 0, 1000, &chunks, &n, &r->err));
		assert_int_equal(n, 0);
		assert_code(r, ERR_NOT_FOUND, meta_transfer_progress_get(tx, &t, &p, &r->err));
		meta_abort(&tx);
		milestones_of(r, &t, want, 2);
	}
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static void
the_thread(void **state)
{
	struct gc_opts opts = { .eager = true };
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct gc_report report = { .running = true };
	struct gc *gc;
	uint64_t run;

	assert_code(r, ERR_UNAVAILABLE, gc_ask(r->d, false, &run, &r->err));
	assert_code(r, ERR_UNAVAILABLE, gc_report_get(r->d, 1, &report, &r->err));
	send_blocks(r, &t, 0, SEEDS, 4);
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	domain_grace(r->d, 0);
	assert_ok(r, gc_start(r->d, r->meta, r->store, &opts, &gc, &r->err));
	assert_code(r, ERR_NOT_FOUND, gc_report_get(r->d, 0, &report, &r->err));
	assert_ok(r, gc_ask(r->d, false, &run, &r->err));
	assert_int_equal(run, 1);
	for (report.running = true; report.running;)
		assert_ok(r, gc_report_get(r->d, run, &report, &r->err));
	assert_int_equal(report.chunks_removed, 1);
	assert_false(report.failed);
	assert_code(r, ERR_NOT_FOUND, gc_report_get(r->d, 7, &report, &r->err));
	gc_stop(gc);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(leased), T(grace), T(from_the_future), T(lists_lease), T(plain_upload), T(orphans),
		T(compaction_fails), T(a_reader_goes_on), T(delete_fails), T(resumed), T(nothing_left_of_transfers), T(the_thread),
		T(random_operations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
