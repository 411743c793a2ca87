/*
 * One read transaction from the first row to the last, so that the tree, the clock, the digest and the sums are of one instant.
 * A million files take the memory of a thousand.
 *
 * Three threads side by side: this one reads rows into leaves, a second encodes leaves as text, a third packs the text.
 *
 * The transaction is held while bytes go to the store's buffers; readers keep nobody from writing, and the fsync comes after it.
 */
#include "base/clock.h"
#include "server/domain/snapshot_internal.h"

#define LEAVES 3
#define LEAF_ROWS 256
#define LEAF_MAX (8 * MIB) /* of texts and lists: for each row at most a path, a target, and the list of a page of blocks */

#define TEXTS 4               /* 2 and 8 take the same time, as do pieces of half and of four times the length (docs/perf/tree.md) */
#define PIECE_MAX (8 * MIB)   /* of encoded text before it is handed on: the longest single file object is far smaller */
#define PIECE_FULL (64 * KIB)

/** Rows that have been read, with the block lists of those that have small ones. */
struct leaf {
	struct arena *arena; /* what they point to */
	size_t n;
	struct file rows[LEAF_ROWS];
	struct blocklist lists[LEAF_ROWS];
};

struct build {
	struct domain *d;
	const struct id *project;
	const struct snapshot_encoder *encoder;
	enum snapshot_form form;

	struct meta_tx *tx; /* the reader's, and what follows */
	struct relay *encoding;
	unsigned leaf;

	struct leaf leaves[LEAVES]; /* the encoder's, as far as it has been given them, and what follows */
	int64_t count;
	struct relay *packing;
	unsigned text;

	struct sbuf texts[TEXTS]; /* the packer's, as far as it has been given them, and what follows */
	struct pack *pack;
};

/* ---- packing ----------------------------------------------------------------------------------------------------- */

static err_code
pack_text(void *ctx, unsigned slot, struct err *err)
{
	struct build *b = ctx;
	struct sbuf *text = &b->texts[slot];
	err_code rc = pack_add(b->pack, sbuf_str(text), text->len, err);

	sbuf_reset(text);
	return rc;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static err_code
text_given(struct build *b, struct err *err)
{
	err_code rc = sbuf_done(&b->texts[b->text], err);

	return rc ? rc : relay_give(b->packing, &b->text, err);
}

static err_code
encode_leaf(void *ctx, unsigned slot, struct err *err)
{
	struct build *b = ctx;
	struct leaf *l = &b->leaves[slot];
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < l->n; i++) {
		struct sbuf *text = &b->texts[b->text];

		b->encoder->file(b->encoder->ctx, text, b->form, &l->rows[i], l->lists[i].block_count > 0 ? &l->lists[i] : NULL, b->count == 0);
		b->count++;
		if (text->len >= PIECE_FULL)
			rc = text_given(b, err);
	}
	l->n = 0;
	arena_reset(l->arena);
	return rc;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static char *
kept(struct leaf *l, const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(arena_must(l->arena, size), text, size);
}

/*
 * Lines are for programs, which save a request a file when the lists of small files are there; the one large JSON document is for
 * people and scripts, who have no use for them.
 */
static err_code
keep_list(struct build *b, struct leaf *l, const struct packed_page *page, struct err *err)
{
	if (b->form != SNAPSHOT_NDJSON) /* they stay what they were made: of no blocks */
		return ERR_OK;
	return small_list(&l->rows[l->n], page, l->arena, &l->lists[l->n], err);
}

static err_code
add_file(void *ctx, const struct file *row, const struct packed_page *page, struct err *err)
{
	struct build *b = ctx;
	struct leaf *l = &b->leaves[b->leaf];
	struct file *f = &l->rows[l->n];
	err_code rc;

	*f = *row;
	f->dir = kept(l, row->dir);
	f->name = kept(l, row->name);
	f->target = kept(l, row->target);
	rc = keep_list(b, l, page, err);
	if (!rc && ++l->n == LEAF_ROWS)
		rc = relay_give(b->encoding, &b->leaf, err);
	return rc;
}

/* ---- from end to end --------------------------------------------------------------------------------------------- */

static err_code
read_all(struct build *b, struct project *p, struct err *err)
{
	err_code rc = meta_begin(b->d->meta, META_READ, &b->tx, err);

	if (!rc)
		rc = project_in(b->tx, b->project, p, err);
	if (rc)
		return rc;
	b->encoder->head(b->encoder->ctx, &b->texts[b->text], b->form, p);
	rc = meta_file_each(b->tx, b->project, b->form == SNAPSHOT_NDJSON ? SMALL_LIST_TO : 0, add_file, b, err);
	meta_abort(&b->tx); /* before waiting for what is left to encode and to pack, and the fsync */
	return rc;
}

static err_code
finish_text(struct build *b, const struct project *p, struct err *err)
{
	err_code rc = relay_last(b->encoding, err);

	if (rc)
		return rc;
	if (b->count != p->file_count) /* of one instant, so only a damaged database can make them differ */
		return err_set(err, ERR_CORRUPT, "the tree has %jd entries, the project counts %jd", (intmax_t)b->count,
		    (intmax_t)p->file_count);
	b->encoder->tail(b->encoder->ctx, &b->texts[b->text], b->form);
	rc = sbuf_done(&b->texts[b->text], err);
	return rc ? rc : relay_last(b->packing, err);
}

static struct build *
build_new(void)
{
	struct build *b = xcalloc(1, sizeof *b);

	for (size_t i = 0; i < LEAVES; i++)
		b->leaves[i].arena = arena_new(LEAF_MAX);
	for (size_t i = 0; i < TEXTS; i++)
		b->texts[i] = SBUF(PIECE_MAX);
	b->encoding = relay_new("snapshot-text", LEAVES, encode_leaf, b);
	b->packing = relay_new("snapshot-pack", TEXTS, pack_text, b);
	return b;
}

static void
build_freep(struct build **bp)
{
	struct build *b = *bp;

	meta_abort(&b->tx);
	relay_free(b->encoding); /* before what its thread gives to, and so on */
	relay_free(b->packing);
	pack_free(b->pack);
	for (size_t i = 0; i < TEXTS; i++)
		sbuf_fini(&b->texts[i]);
	for (size_t i = 0; i < LEAVES; i++)
		arena_free(b->leaves[i].arena);
	free(b);
}

err_code
snapshot_build(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, struct publishing *publishing, struct snapshot *out, struct err *err)
{
	AUTO(build_freep) struct build *b = build_new();
	struct project p;
	err_code rc;

	b->d = d;
	b->project = project;
	b->encoder = encoder;
	b->form = form;
	rc = pack_open(d, coding, &b->pack, err);
	if (!rc)
		rc = read_all(b, &p, err);
	if (!rc)
		rc = finish_text(b, &p, err);
	if (rc)
		return rc;
	*out = (struct snapshot){ .id = id_new(), .clock = p.clock, .epoch = p.epoch, .digest = p.digest,
		.file_count = p.file_count, .total_bytes = p.total_bytes, .created_at = clock_wall_us(),
		.format = snapshot_format(form, coding) };
	out->expires_at = out->created_at + SNAPSHOT_LIFE_US;
	return pack_finish(b->pack, project, publishing, out, err);
}
