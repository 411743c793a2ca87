/* The store, and what the metadata says of it. */
#include <inttypes.h>

#include "server/fsck_internal.h"

#define PAGE 1000
#define PIECE (256 * KIB)

/* ---- headers ------------------------------------------------------------------------------------------------------------------------- */

static void
slot_empty(struct kept_header *slot)
{
	free(slot->h.blocks);
	slot->h.blocks = NULL;
}

void
fsck_headers_fini(struct fsck *f)
{
	for (size_t i = 0; i < ARRAY_LEN(f->headers); i++)
		slot_empty(&f->headers[i]);
}

err_code
fsck_header(struct fsck *f, const struct store_key *key, const struct chunk_header **out, struct err *err)
{
	struct kept_header *slot = &f->headers[key->hash.b[0]];
	AUTO(arena_freep) struct arena *a = NULL;
	struct chunk_header h;
	err_code rc;

	*out = &slot->h;
	if (slot->h.blocks && hash_eq(&slot->key.hash, &key->hash) && id_eq(&slot->key.project, &key->project))
		return ERR_OK;
	a = arena_new(CHUNK_BLOCKS_MAX * sizeof *h.blocks + CHUNK_HEADER_MAX + 4 * KIB);
	rc = chunk_head_read(f->chunks.from, key, a, &h, err);
	if (rc)
		return rc;
	slot_empty(slot);
	*slot = (struct kept_header){ *key, h };
	slot->h.blocks = xcalloc(h.count, sizeof *h.blocks);
	memcpy(slot->h.blocks, h.blocks, h.count * sizeof *h.blocks);
	return ERR_OK;
}

/* ---- every chunk ----------------------------------------------------------------------------------------------------------------------- */

static const struct {
	enum finding_kind kind;
	const char *is;
} ills[] = {
	[CHUNK_MISSING] = { FOUND_CHUNK_MISSING, "missing" },
	[CHUNK_DAMAGED] = { FOUND_CHUNK_DAMAGED, "not what its name says" },
	[CHUNK_UNREADABLE] = { FOUND_CHUNK_UNREADABLE, "where the disk cannot be read" },
};

static void
note_bad(struct fsck *f, const struct bad_chunk *b)
{
	char hash[HASH_HEX_LEN + 1], project[ID_HEX_LEN + 1];

	(void)map_put(f->bad, &b->key, sizeof b->key, f);
	hash_hex(&b->key.hash, hash);
	fsck_found(f, ills[b->ill].kind, &b->key.project, "chunks/%.2s/%s-%s is %s", hash, id_hex(&b->key.project, project), hash,
	    ills[b->ill].is);
}

err_code
fsck_store(struct fsck *f, struct err *err)
{
	err_code rc;

	f->chunks.heads = f->quick;
	rc = chunk_copy_count(&f->chunks, err);
	if (!rc)
		rc = chunk_copy_run(&f->chunks, err);
	if (!rc)
		rc = chunk_copy_forget_collected(&f->chunks, err);
	for (size_t i = 0; !rc && i < f->chunks.bad_count; i++)
		note_bad(f, &f->chunks.bad[i]);
	return rc;
}

/* Those that cannot be read have been told of. */
static void
check_record(struct fsck_project *w, const struct chunk *c)
{
	struct store_key key = { .project = w->p.id, .hash = c->id };
	const struct chunk_header *h;
	char hash[HASH_HEX_LEN + 1];
	struct err err;

	if (fsck_header(w->f, &key, &h, &err) != ERR_OK)
		return;
	if (h->raw_len != c->raw_len || h->count != c->block_count || h->total_len != c->stored_len)
		fsck_found(w->f, FOUND_CHUNK_RECORD, &w->p.id,
		    "chunk %s has %" PRIu32 " blocks, %" PRIu32 " bytes in %" PRIu32 ", and is down as %" PRIu32 ", %" PRId64 " in %" PRId64,
		    hash_hex(&c->id, hash), h->count, h->raw_len, h->total_len, c->block_count, c->raw_len, c->stored_len);
}

err_code
fsck_chunks(struct fsck_project *w, struct err *err)
{
	struct hash after;
	int64_t stored = 0;
	size_t n = PAGE;
	bool first = true;
	err_code rc = ERR_OK;

	while (!rc && n == PAGE) {
		struct chunk *rows;

		rc = meta_chunk_list(w->tx, &w->p.id, first ? NULL : &after, PAGE, &rows, &n, err);
		first = false;
		for (size_t i = 0; !rc && i < n; i++) {
			stored += rows[i].stored_len;
			check_record(w, &rows[i]);
			after = rows[i].id;
		}
		fsck_seen(w->f, rc ? 0 : n);
		meta_tx_trim(w->tx);
	}
	if (!rc && stored != w->p.stored_bytes)
		fsck_found(w->f, FOUND_STORED_SUM, &w->p.id, "its chunks are %" PRId64 " bytes and the project says %" PRId64, stored,
		    w->p.stored_bytes);
	return rc;
}

/* ---- snapshots --------------------------------------------------------------------------------------------------------------------------- */

static err_code
object_hash(struct fsck *f, const struct store_key *key, struct hash *out, int64_t *len, struct err *err)
{
	AUTO(freep) uint8_t *piece = xmalloc(PIECE);
	struct sha sha;
	size_t got = PIECE;
	err_code rc = ERR_OK;

	*len = 0;
	sha_init(&sha);
	while (!rc && got == PIECE) {
		rc = store_read(f->chunks.from, key, (uint64_t)*len, piece, PIECE, &got, err);
		if (!rc) {
			sha_add(&sha, piece, got);
			*len += (int64_t)got;
		}
	}
	*out = sha_final(&sha);
	return rc;
}

/* One that is gone may have expired, row and all, since the transaction began. */
static err_code
check_snapshot(struct fsck_project *w, const struct snapshot *s, struct err *err)
{
	struct store_key key = { .project = w->p.id, .hash = s->object };
	char hex[ID_HEX_LEN + 1];
	enum chunk_ill ill;
	struct hash hash;
	int64_t len;
	err_code rc;

	id_hex(&s->id, hex);
	if (id_eq(&s->epoch, &w->p.epoch) && s->clock > w->p.clock)
		fsck_found(w->f, FOUND_SNAPSHOT, &w->p.id, "snapshot %s is of %" PRId64 ", past the project's clock", hex, s->clock);
	rc = object_hash(w->f, &key, &hash, &len, err);
	if (rc == ERR_NOT_FOUND && w->f->data.lock < 0)
		return ERR_OK;
	if (!rc && (len != s->stored_len || !hash_eq(&hash, &s->object)))
		rc = err_set(err, ERR_HASH_MISMATCH, "the snapshot is not what its name says");
	if (!rc || !chunk_ill_of(err, &ill))
		return rc;
	fsck_found(w->f, FOUND_SNAPSHOT, &w->p.id, "snapshot %s is %s", hex, ills[ill].is);
	return ERR_OK;
}

err_code
fsck_snapshots(struct fsck_project *w, struct err *err)
{
	struct snapshot *rows;
	size_t n = 0;
	err_code rc = meta_check_snapshots(w->tx, &w->p.id, &rows, &n, err);

	for (size_t i = 0; !rc && i < n; i++)
		rc = check_snapshot(w, &rows[i], err);
	return rc;
}

/* ---- what nothing names ------------------------------------------------------------------------------------------------------------------ */

struct unnamed {
	struct fsck *f;
	err_code rc;
	struct err *err;
};

static bool
count_unnamed(void *ctx, const struct store_key *key, uint64_t size)
{
	struct unnamed *u = ctx;
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	bool named = true;

	(void)size;
	u->rc = meta_begin(u->f->chunks.meta, META_READ, &tx, u->err);
	if (!u->rc)
		u->rc = meta_object_named(tx, &key->project, &key->hash, &named, u->err);
	u->f->unnamed += !named;
	return u->rc == ERR_OK;
}

err_code
fsck_unnamed(struct fsck *f, struct err *err)
{
	struct unnamed u = { .f = f, .err = err };
	err_code rc = store_list(f->chunks.from, count_unnamed, &u, err);

	return rc ? rc : u.rc;
}
