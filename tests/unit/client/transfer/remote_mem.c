#include "remote_mem.h"

#include <unistd.h>

#include "base/map.h"

struct mem_chunk {
	uint8_t *bytes;
	struct chunk_header h;
};

struct mem_transfer {
	struct extent *extents;
	uint32_t block_count, extent_count;
	struct remote_arrived chunks[MEM_TRANSFER_CHUNKS_MAX]; /* by number */
	size_t chunk_count;
	bool open, forgotten;
};

static struct remote_mem *
mem(struct remote *r)
{
	return (struct remote_mem *)(void *)r;
}

static bool
is_cancelled(const struct remote_mem *m)
{
	return m->cancel && __atomic_load_n(m->cancel, __ATOMIC_RELAXED);
}

static err_code
wait_a_moment(const struct remote_mem *m, struct err *err)
{
	for (unsigned i = 0; i < m->delay_ms && !is_cancelled(m); i++)
		usleep(1000);
	return is_cancelled(m) ? err_set(err, ERR_CANCELLED, "cancelled") : ERR_OK;
}

/* ---- chunks --------------------------------------------------------------------------------------------------------------------- */

static err_code
chunk_keep(struct remote_mem *m, const uint8_t *p, size_t len, struct hash *id, struct err *err)
{
	struct chunk_check *check = chunk_check_new();
	const struct chunk_header *h;
	err_code rc = chunk_check_feed(check, p, len, err);
	struct mem_chunk *c;

	if (!rc)
		rc = chunk_check_done(check, &h, err);
	if (!rc && !map_get(m->chunks, h->id.b, 32)) {
		c = arena_must(m->arena, sizeof *c);
		c->bytes = xmalloc(len);
		memcpy(c->bytes, p, len);
		if (chunk_header_parse(c->bytes, len, m->arena, &c->h, err))
			abort();
		map_put(m->chunks, c->h.id.b, 32, c);
	}
	if (!rc)
		*id = h->id;
	chunk_check_free(check);
	return rc;
}

struct hash
mem_chunk_put(struct remote_mem *m, const uint8_t *p, size_t len)
{
	struct hash id;
	struct err err;

	if (chunk_keep(m, p, len, &id, &err))
		abort();
	return id;
}

void
mem_chunks_drop(struct remote_mem *m)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(m->chunks, &pos, &key, &len, &value))
		free(((struct mem_chunk *)value)->bytes);
	map_free(m->chunks);
	m->chunks = map_new();
}

/* Number ${n} holds that chunk from now on, unless it holds another one. */
static err_code
number_take(struct mem_transfer *t, uint32_t n, const struct hash *id, struct err *err)
{
	size_t at = t->chunk_count;

	for (size_t i = 0; i < t->chunk_count; i++)
		if (t->chunks[i].n == n)
			return hash_eq(&t->chunks[i].chunk, id) ? ERR_OK : err_set(err, ERR_CHUNK_CONFLICT, "another chunk");
	if (at == MEM_TRANSFER_CHUNKS_MAX)
		abort();
	for (; at > 0 && t->chunks[at - 1].n > n; at--)
		t->chunks[at] = t->chunks[at - 1];
	t->chunks[at] = (struct remote_arrived){ .n = n, .chunk = *id };
	t->chunk_count++;
	return ERR_OK;
}

void
mem_late_chunks(struct remote_mem *m, uint32_t count)
{
	size_t pos = 0, len;
	const void *key;
	void *value;
	struct err err;

	while (map_next(m->transfers, &pos, &key, &len, &value)) {
		struct mem_transfer *t = value;
		uint32_t next = t->chunk_count > 0 ? t->chunks[t->chunk_count - 1].n + 1 : 0;

		for (uint32_t n = next; t->open && n < next + count; n++) {
			struct hash id = hash_of(&n, sizeof n);

			if (number_take(t, n, &id, &err))
				abort();
		}
	}
}

/* NULL: there is none. */
static struct mem_transfer *
transfer_at(struct remote_mem *m, const struct id *id)
{
	struct mem_transfer *t = map_get(m->transfers, id->b, 16);

	return t && !t->forgotten ? t : NULL;
}

static err_code
transfer_open(struct remote_mem *m, const struct id *transfer, struct mem_transfer **out, struct err *err)
{
	*out = transfer_at(m, transfer);
	if (!*out)
		return err_set(err, ERR_NOT_FOUND, "no such transfer");
	return (*out)->open ? ERR_OK : err_set(err, ERR_TRANSFER_GONE, "the transfer has ended");
}

static err_code
mem_chunk_put_call(struct remote *r, const struct id *transfer, uint32_t n, const uint8_t *p, size_t len, struct err *err)
{
	struct remote_mem *m = mem(r);
	struct mem_transfer *t;
	struct hash id;
	err_code rc = wait_a_moment(m, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&m->mu);
	m->chunk_puts++;
	m->bytes_up += len;
	if (m->chunk_puts == m->do_at && m->do_what)
		m->do_what(m->do_arg);
	if (m->put_fails && m->chunk_puts >= m->put_fails_at)
		rc = err_set(err, m->put_fails, "as the test wants it");
	else
		rc = transfer_open(m, transfer, &t, err);
	if (!rc)
		rc = chunk_keep(m, p, len, &id, err);
	if (!rc)
		rc = number_take(t, n, &id, err);
	pthread_mutex_unlock(&m->mu);
	return rc;
}

static err_code
chunk_bytes(struct remote_mem *m, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *err)
{
	struct mem_chunk *c;
	err_code rc = wait_a_moment(m, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&m->mu);
	m->chunk_gets++;
	c = map_get(m->chunks, chunk->b, 32);
	if (!c) {
		rc = err_set(err, ERR_NOT_FOUND, "no such chunk");
	} else {
		*total = c->h.total_len;
		*got = off < *total ? MIN(cap, *total - off) : 0;
		memcpy(buf, c->bytes + off, *got);
		m->bytes_down += *got;
		if (m->garble_gets > 0 && m->garble_at >= off && m->garble_at < off + *got) {
			buf[m->garble_at - off] ^= 1;
			m->garble_gets--;
		}
	}
	pthread_mutex_unlock(&m->mu);
	return rc;
}

static err_code
mem_chunk_range(struct remote *r, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *err)
{
	return chunk_bytes(mem(r), chunk, off, buf, cap, got, total, err);
}

static err_code
mem_chunk_all(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t *len, struct err *err)
{
	uint64_t total;

	return chunk_bytes(mem(r), chunk, 0, buf, CHUNK_LEN_MAX, len, &total, err);
}

/* The named blocks as they are stored, one after the other, under a header of their own. */
static err_code
fetch_blocks(struct remote_mem *m, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err)
{
	static _Thread_local struct chunk_block table[BLOCKS_FETCH_MAX];
	static _Thread_local const uint8_t *from[BLOCKS_FETCH_MAX];
	uint32_t count = 0;
	uint64_t raw = 0;

	for (size_t i = 0; i < n; i++) {
		struct mem_chunk *c = map_get(m->chunks, runs[i].chunk.b, 32);
		if (!c || (uint64_t)runs[i].first + runs[i].count > c->h.count)
			return err_set(err, ERR_NOT_FOUND, "no such chunk or block");
		for (uint32_t b = 0; b < runs[i].count; b++, count++) {
			if (count == BLOCKS_FETCH_MAX)
				return err_set(err, ERR_FIELD_RANGE, "extents: too many blocks");
			table[count] = c->h.blocks[runs[i].first + b];
			from[count] = c->bytes + table[count].offset;
			raw += table[count].raw_len;
		}
	}
	if (raw > BLOCKS_FETCH_RAW_MAX)
		return err_set(err, ERR_FIELD_RANGE, "extents: too many bytes");
	chunk_header_write(table, count, buf);
	*len = CHUNK_FIXED_LEN + (size_t)count * CHUNK_ENTRY_LEN;
	for (uint32_t i = 0; i < count; *len += table[i++].stored_len)
		memcpy(buf + *len, from[i], table[i].stored_len);
	return ERR_OK;
}

static err_code
mem_blocks_fetch(struct remote *r, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err)
{
	struct remote_mem *m = mem(r);
	err_code rc = wait_a_moment(m, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&m->mu);
	m->fetches++;
	rc = m->fetch_fails ? err_set(err, m->fetch_fails, "as the test wants it") : fetch_blocks(m, runs, n, buf, len, err);
	if (rc == ERR_OK) {
		m->bytes_down += *len;
		if (m->garble_gets > 0 && m->garble_at < *len) {
			buf[m->garble_at] ^= 1;
			m->garble_gets--;
		}
	}
	pthread_mutex_unlock(&m->mu);
	return rc;
}

/* ---- transfers ------------------------------------------------------------------------------------------------------------------ */

static err_code
mem_transfer_create(struct remote *r, const char *path, int64_t size, struct id *out, struct err *err)
{
	struct remote_mem *m = mem(r);
	struct mem_transfer *t;

	(void)path, (void)size, (void)err;
	pthread_mutex_lock(&m->mu);
	t = arena_must(m->arena, sizeof *t);
	t->open = true;
	*out = id_new();
	map_put(m->transfers, out->b, 16, t);
	m->transfers_made++;
	pthread_mutex_unlock(&m->mu);
	return ERR_OK;
}

static err_code
mem_transfer_get(struct remote *r, const struct id *transfer, uint32_t from, struct arena *a, struct remote_transfer *out,
    struct err *err)
{
	struct remote_mem *m = mem(r);
	struct mem_transfer *t;

	*out = (struct remote_transfer){ .chunks = arena_must(a, MEM_TRANSFER_PAGE * sizeof *out->chunks) };
	pthread_mutex_lock(&m->mu);
	m->transfers_asked++;
	t = transfer_at(m, transfer);
	for (size_t i = 0; t && i < t->chunk_count; i++) {
		if (t->chunks[i].n < from)
			continue;
		if (out->n == MEM_TRANSFER_PAGE) {
			out->more = true;
			break;
		}
		out->chunks[out->n++] = t->chunks[i];
	}
	out->open = t && t->open;
	pthread_mutex_unlock(&m->mu);
	return t ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such transfer");
}

static void
transfers_end(struct remote_mem *m, bool forgotten)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(m->transfers, &pos, &key, &len, &value)) {
		struct mem_transfer *t = value;

		t->open = false;
		t->forgotten = forgotten;
	}
}

void
mem_transfers_end(struct remote_mem *m)
{
	transfers_end(m, false);
}

void
mem_transfers_forget(struct remote_mem *m)
{
	transfers_end(m, true);
}

/* A page that is sent again replaces itself and what came after it. */
static bool
list_cut(struct mem_transfer *t, uint64_t first)
{
	uint64_t count = t->block_count;

	if (first > count)
		return false;
	while (count > first)
		count -= t->extents[--t->extent_count].count;
	t->block_count = (uint32_t)count;
	return count == first;
}

static err_code
mem_transfer_blocks(struct remote *r, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len, struct err *err)
{
	struct remote_mem *m = mem(r);
	struct arena *a = arena_new(16 * MIB);
	struct mem_transfer *t;
	struct blocklist l;
	err_code rc = blocklist_extents_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, &l, err);

	pthread_mutex_lock(&m->mu);
	m->list_puts++;
	if (m->list_puts == m->do_at_page && m->do_what)
		m->do_what(m->do_arg);
	if (!rc)
		rc = transfer_open(m, transfer, &t, err);
	if (!rc && !list_cut(t, first))
		rc = err_set(err, ERR_BLOCKLIST_INVALID, "not the page that comes next");
	if (!rc) {
		t->block_count += l.block_count;
		t->extents = xrealloc(t->extents, (t->extent_count + l.extent_count) * sizeof *t->extents);
		memcpy(t->extents + t->extent_count, l.extents, l.extent_count * sizeof *l.extents);
		t->extent_count += l.extent_count;
	}
	pthread_mutex_unlock(&m->mu);
	arena_free(a);
	return rc;
}

static err_code
mem_transfer_delete(struct remote *r, const struct id *transfer, struct err *err)
{
	struct remote_mem *m = mem(r);
	struct mem_transfer *t;

	(void)err;
	pthread_mutex_lock(&m->mu);
	t = transfer_at(m, transfer);
	if (t && t->open) {
		t->open = false;
		m->transfers_deleted++;
	}
	pthread_mutex_unlock(&m->mu);
	return ERR_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------------------------- */

struct mem_file *
mem_file_at(struct remote_mem *m, const char *path)
{
	for (size_t i = 0; i < m->file_count; i++)
		if (m->files[i].live && strcmp(m->files[i].e.path, path) == 0)
			return &m->files[i];
	return NULL;
}

static struct mem_file *
file_by_id(struct remote_mem *m, const struct id *id)
{
	for (size_t i = 0; i < m->file_count; i++)
		if (m->files[i].live && id_eq(&m->files[i].e.id, id))
			return &m->files[i];
	return NULL;
}

static struct mem_file *
file_new(struct remote_mem *m, const char *path)
{
	struct mem_file *f = &m->files[m->file_count++];

	if (m->file_count > MEM_FILES_MAX)
		abort();
	f->live = true;
	f->e = (struct entry){ .path = arena_strdup(m->arena, path), .content_known = true, .target = "" };
	f->e.id = id_new();
	return f;
}

static struct hash
list_content(const struct blocklist *l)
{
	struct content_hash c;

	content_hash_init(&c);
	for (uint32_t i = 0; i < l->block_count; i++)
		content_hash_add(&c, &l->blocks[i].hash, l->blocks[i].len);
	return content_hash_final(&c);
}

static void
file_list_set(struct mem_file *f, const struct blocklist *l)
{
	free(f->list.blocks);
	free(f->list.extents);
	f->list = *l;
	f->list.blocks = xcalloc(l->block_count + 1, sizeof *l->blocks);
	f->list.extents = xcalloc(l->extent_count + 1, sizeof *l->extents);
	if (l->block_count)
		memcpy(f->list.blocks, l->blocks, l->block_count * sizeof *l->blocks);
	if (l->extent_count)
		memcpy(f->list.extents, l->extents, l->extent_count * sizeof *l->extents);
}

struct mem_file *
mem_file_add(struct remote_mem *m, const char *path, const struct blocklist *l)
{
	struct mem_file *f = file_new(m, path);

	file_list_set(f, l);
	f->e.size = (int64_t)blocklist_bytes(l);
	f->e.mode = 0644;
	f->e.content = list_content(l);
	f->e.version = ++m->clock;
	return f;
}

bool
mem_file_is(struct remote_mem *m, const struct mem_file *f, const uint8_t *p, size_t len)
{
	struct codec *codec = codec_new();
	uint8_t *block = xmalloc(BLOCK_LEN_MAX);
	size_t at = 0;
	bool same = true;
	struct err err;

	for (uint32_t x = 0; x < f->list.extent_count; x++) {
		const struct extent *run = &f->list.extents[x];
		struct mem_chunk *c = map_get(m->chunks, run->chunk.b, 32);
		for (uint32_t i = 0; same && i < run->count; i++) {
			const struct chunk_block *b = &c->h.blocks[run->first + i];
			same = chunk_block_open(codec, b, c->bytes + b->offset, block, &err) == ERR_OK && at + b->raw_len <= len &&
			    memcmp(block, p + at, b->raw_len) == 0;
			at += b->raw_len;
		}
	}
	free(block);
	codec_free(codec);
	return same && at == len;
}

/* The page of ${f} from block ${from} on; its extents go to ${extents}. */
static struct blocklist
file_page(const struct mem_file *f, uint64_t from, struct extent extents[static BLOCKLIST_PAGE_BLOCKS])
{
	struct blocklist page = { .extents = extents };
	uint64_t at = 0;

	if (!f || from >= f->list.block_count)
		return page;
	page.blocks = f->list.blocks + from;
	page.block_count = (uint32_t)MIN(BLOCKLIST_PAGE_BLOCKS, f->list.block_count - from);
	for (uint32_t x = 0; x < f->list.extent_count; at += f->list.extents[x++].count) {
		uint64_t lo = MAX(at, from), hi = MIN(at + f->list.extents[x].count, from + page.block_count);
		if (lo < hi)
			extents[page.extent_count++] = (struct extent){ .chunk = f->list.extents[x].chunk,
				.first = f->list.extents[x].first + (uint32_t)(lo - at), .count = (uint32_t)(hi - lo) };
	}
	return page;
}

static err_code
mem_blocks(struct remote *r, const struct id *file, int64_t version, uint64_t from, struct arena *a, const uint8_t **packed,
    size_t *len, bool *more, struct err *err)
{
	struct remote_mem *m = mem(r);
	struct extent extents[BLOCKLIST_PAGE_BLOCKS];
	struct blocklist page;
	struct mem_file *f;
	uint8_t *p;

	pthread_mutex_lock(&m->mu);
	m->lists_asked++;
	f = file_by_id(m, file);
	page = file_page(f && (version == 0 || version == f->e.version) ? f : NULL, from, extents);
	if (page.block_count) {
		*len = blocklist_packed_len(&page);
		*packed = p = arena_must(a, *len);
		blocklist_pack(&page, p);
		*more = from + page.block_count < f->list.block_count;
	}
	pthread_mutex_unlock(&m->mu);
	return page.block_count ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such file or block");
}

static err_code
mem_extents(struct remote *r, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed, size_t *len, bool *more,
    struct err *err)
{
	struct remote_mem *m = mem(r);
	struct extent extents[BLOCKLIST_PAGE_BLOCKS];
	struct blocklist page;
	struct mem_file *f;
	uint8_t *p;

	pthread_mutex_lock(&m->mu);
	m->extents_asked++;
	f = file_by_id(m, file);
	page = file_page(f, from, extents);
	if (page.block_count) {
		*more = from + page.block_count < f->list.block_count;
		if (m->bend_extents)
			m->bend_extents(&page, from);
		*len = blocklist_extents_len(&page);
		*packed = p = arena_must(a, *len);
		blocklist_extents_pack(&page, p);
	}
	pthread_mutex_unlock(&m->mu);
	if (m->extents_fail)
		return err_set(err, m->extents_fail, "as the test wants it");
	return page.block_count ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such file or block");
}

/* ---- commits ---------------------------------------------------------------------------------------------------------------------- */

/* A copy of a version that is current; NOT_FOUND is that operation's, which apply_put says. */
static err_code
from_list(struct remote_mem *m, const struct wire_op *op, struct blocklist *l, struct err *err)
{
	struct mem_file *f = file_by_id(m, &op->from_file);

	if (f && f->e.version == op->from_version && !m->no_copies) {
		m->copies++;
		*l = f->list;
		for (uint32_t i = 0; i < l->extent_count; i++)
			if (!map_get(m->chunks, l->extents[i].chunk.b, 32))
				return err_set(err, ERR_NOT_FOUND, "its chunks are gone");
		return ERR_OK;
	}
	return err_set(err, ERR_NOT_FOUND, "no such version");
}

/* The list that an operation names; blocks of extents come from the chunks. */
static err_code
op_list(struct remote_mem *m, const struct wire_op *op, struct arena *a, struct blocklist *l, struct wire_commit_answer *out,
    struct err *err)
{
	struct mem_transfer *t = op->has_transfer ? transfer_at(m, &op->transfer) : NULL;
	bool missing = false;
	size_t count = 0;

	*l = (struct blocklist){ 0 };
	if (op->has_transfer && (!t || !t->open))
		return err_set(err, ERR_TRANSFER_GONE, "no such transfer");
	l->extent_count = t ? t->extent_count : op->extent_count;
	l->extents = t ? t->extents : arena_must(a, (l->extent_count + 1) * sizeof *l->extents);
	for (uint32_t i = 0; !t && i < op->extent_count; i++)
		l->extents[i] = (struct extent){ op->extents[i].chunk, op->extents[i].first, op->extents[i].count };
	for (uint32_t i = 0; i < l->extent_count; i++)
		count += l->extents[i].count;
	if (op->has_from)
		return from_list(m, op, l, err);
	l->blocks = arena_must(a, (count + 1) * sizeof *l->blocks);
	for (uint32_t i = 0; i < l->extent_count; i++) {
		struct mem_chunk *c = map_get(m->chunks, l->extents[i].chunk.b, 32);
		if (!c) {
			if (!m->silent_missing)
				out->missing[out->missing_n++] = l->extents[i].chunk;
			missing = true;
			continue;
		}
		for (uint32_t b = 0; b < l->extents[i].count; b++) {
			const struct chunk_block *cb = &c->h.blocks[l->extents[i].first + b];
			if (l->extents[i].first + b >= c->h.count)
				return err_set(err, ERR_BLOCKLIST_INVALID, "beyond the chunk");
			l->blocks[l->block_count++] = (struct block){ cb->hash, cb->raw_len };
		}
	}
	if (missing)
		return err_set(err, ERR_CHUNKS_MISSING, "missing");
	return ERR_OK;
}

static err_code
content_check(const struct wire_op *op, const struct blocklist *l, struct err *err)
{
	struct hash h = list_content(l);

	if ((uint64_t)op->size != blocklist_bytes(l))
		return err_set(err, ERR_SIZE_MISMATCH, "%s: size", op->path);
	return hash_eq(&h, &op->content) ? ERR_OK : err_set(err, ERR_FILE_HASH_MISMATCH, "%s: content", op->path);
}

static struct wire_result
refuse(err_code code)
{
	return (struct wire_result){ .code = code, .detail = "refused" };
}

static struct wire_result
apply_put(struct remote_mem *m, const struct wire_op *op, const struct blocklist *l)
{
	struct mem_file *f = mem_file_at(m, op->path);

	if (f && !op->has_base)
		return refuse(ERR_NAME_EXISTS);
	if (op->has_base && (!f || f->e.version != op->base))
		return refuse(ERR_VERSION_CONFLICT);
	if (!f)
		f = file_new(m, op->path);
	f->e.kind = (enum entry_kind)op->kind;
	f->e.mode = op->mode;
	f->e.mtime_ns = op->mtime_ns;
	if (op->target)
		f->e.target = arena_strdup(m->arena, op->target);
	if (op->has_content) {
		f->e.size = op->size;
		f->e.content = op->content;
		file_list_set(f, l);
		if (op->has_transfer)
			((struct mem_transfer *)map_get(m->transfers, op->transfer.b, 16))->open = false;
	}
	f->e.version = ++m->clock;
	return (struct wire_result){ .ok = true, .id = f->e.id, .version = f->e.version };
}

static struct wire_result
apply_op(struct remote_mem *m, const struct wire_op *op, const struct blocklist *l)
{
	static const char *const names[] = { "put", "delete", "move", "restore" };
	struct mem_file *f = op->has_id ? file_by_id(m, &op->id) : NULL;
	size_t at = strlen(m->log);

	snprintf(m->log + at, sizeof m->log - at, "%s %s;", names[op->op], op->path ? op->path : f ? f->e.path : "?");
	if (op->op == WIRE_PUT)
		return apply_put(m, op, l);
	if (!f)
		return refuse(ERR_NOT_FOUND);
	if (f->e.version != op->base)
		return refuse(ERR_VERSION_CONFLICT);
	if (op->op == WIRE_DELETE)
		f->live = false;
	else if (mem_file_at(m, op->path))
		return refuse(ERR_NAME_EXISTS);
	else
		f->e.path = arena_strdup(m->arena, op->path);
	f->e.version = ++m->clock;
	return (struct wire_result){ .ok = true, .id = f->e.id, .version = f->e.version };
}

static err_code
commit(struct remote_mem *m, const struct wire_op *ops, size_t n, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	struct blocklist *lists = arena_must(a, n * sizeof *lists);
	bool *not_there = memset(arena_must(a, n), 0, n);
	err_code missing = ERR_OK, rc;

	*out = (struct wire_commit_answer){ .n = n };
	out->results = arena_must(a, n * sizeof *out->results);
	out->missing = arena_must(a, WIRE_MISSING_MAX * sizeof *out->missing);
	for (size_t i = 0; i < n; i++) {
		if (m->poison && ops[i].path && strcmp(ops[i].path, m->poison) == 0)
			return err_set(err, ERR_PATH_INVALID, "operations[%zu]", i);
		if (ops[i].op != WIRE_PUT || !ops[i].has_content)
			continue;
		rc = op_list(m, &ops[i], a, &lists[i], out, err);
		if (rc == ERR_CHUNKS_MISSING)
			missing = rc;
		else if (rc == ERR_NOT_FOUND && ops[i].has_from)
			not_there[i] = true, rc = ERR_OK;
		else if (rc == ERR_OK)
			rc = content_check(&ops[i], &lists[i], err);
		if (rc && rc != ERR_CHUNKS_MISSING)
			return rc;
	}
	if (missing)
		return err_set(err, ERR_CHUNKS_MISSING, "missing");
	out->previous = (struct cursor){ .clock = m->clock, .epoch = m->epoch, .has_epoch = true };
	for (size_t i = 0; i < n; i++)
		out->results[i] = not_there[i] ? refuse(ERR_NOT_FOUND) : apply_op(m, &ops[i], &lists[i]);
	out->cursor = (struct cursor){ .clock = m->clock, .epoch = m->epoch, .has_epoch = true };
	return ERR_OK;
}

static err_code
mem_commit(struct remote *r, const struct wire_commit *c, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	struct remote_mem *m = mem(r);
	err_code rc;

	pthread_mutex_lock(&m->mu);
	m->commits++;
	m->ops_max = MAX(m->ops_max, c->n);
	rc = commit(m, c->ops, c->n, a, out, err);
	pthread_mutex_unlock(&m->mu);
	return rc;
}

static const struct remote_backend mem_backend = {
	.blocks = mem_blocks,
	.extents = mem_extents,
	.blocks_fetch = mem_blocks_fetch,
	.transfer_create = mem_transfer_create,
	.transfer_get = mem_transfer_get,
	.transfer_blocks = mem_transfer_blocks,
	.chunk_put = mem_chunk_put_call,
	.transfer_delete = mem_transfer_delete,
	.chunk_range = mem_chunk_range,
	.chunk_all = mem_chunk_all,
	.commit = mem_commit,
};

struct remote_mem *
remote_mem_new(void)
{
	struct remote_mem *m = xcalloc(1, sizeof *m);

	m->base.backend = &mem_backend;
	pthread_mutex_init(&m->mu, NULL);
	m->arena = arena_new(512 * MIB);
	m->chunks = map_new();
	m->transfers = map_new();
	m->epoch = id_new();
	m->clock = 1000;
	return m;
}

void
remote_mem_free(struct remote_mem *m)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(m->transfers, &pos, &key, &len, &value))
		free(((struct mem_transfer *)value)->extents);
	for (size_t i = 0; i < m->file_count; i++) {
		free(m->files[i].list.blocks);
		free(m->files[i].list.extents);
	}
	mem_chunks_drop(m);
	map_free(m->chunks);
	map_free(m->transfers);
	arena_free(m->arena);
	pthread_mutex_destroy(&m->mu);
	free(m);
}
