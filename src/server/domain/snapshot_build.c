/*
 * One read transaction from the first row to the last, so that the tree, the clock, the digest and the sums are of one instant.
 * What a page has handed out is forgotten before the next is read: a million files take the memory of a thousand.
 *
 * Three threads side by side: this one reads rows into leaves, a second encodes leaves as text, a third packs the text.
 *
 * The transaction is held while bytes go to the store's buffers; readers keep nobody from writing, and the fsync comes after it.
 */
#include <assert.h>

#include "base/clock.h"
#include "server/domain/snapshot_internal.h"

#define TREE_PAGE 256 /* rows: one block of the transaction's arena, which stays, and stays in the processor's cache */

#define LEAVES 3
#define LEAF_MAX (8 * MIB) /* of texts and lists: for each row at most a path, a target, and the list of a page of blocks */

#define TEXTS 4               /* 2 and 8 take the same time, as do pieces of half and of four times the length (docs/perf/tree.md) */
#define PIECE_MAX (8 * MIB)   /* of encoded text before it is handed on: the longest single file object is far smaller */
#define PIECE_FULL (64 * KIB)

/** Rows that have been read, with the block lists of those that have small ones. */
struct leaf {
	struct arena *arena; /* what they point to */
	size_t n;
	struct file rows[TREE_PAGE];
	struct blocklist lists[TREE_PAGE];
};

struct build {
	struct domain *d;
	const struct id *project;
	const struct snapshot_encoder *encoder;
	enum snapshot_form form;

	struct meta_tx *tx; /* the reader's, and what follows */
	char after_dir[FILE_PATH_MAX], after_name[NAME_LEN_MAX + 1];
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
lists_of(struct build *b, struct leaf *l, struct err *err)
{
	if (b->form != SNAPSHOT_NDJSON) /* the lists are of no blocks, as they were made */
		return ERR_OK;
	return small_lists(b->tx, b->project, l->rows, l->n, l->arena, l->lists, err);
}

static err_code
fill_leaf(struct build *b, const struct file *rows, size_t n, struct err *err)
{
	struct leaf *l = &b->leaves[b->leaf];

	l->n = n;
	for (size_t i = 0; i < n; i++) {
		struct file *f = &l->rows[i];

		*f = rows[i];
		f->dir = kept(l, f->dir);
		f->name = kept(l, f->name);
		f->target = kept(l, f->target);
	}
	return lists_of(b, l, err);
}

static void
remember_place(struct build *b, const struct file *last)
{
	size_t dir_len = strlen(last->dir), name_len = strlen(last->name);

	assert(dir_len < sizeof b->after_dir && name_len < sizeof b->after_name); /* stored paths are checked ones */
	memcpy(b->after_dir, last->dir, dir_len + 1);
	memcpy(b->after_name, last->name, name_len + 1);
}

static err_code
add_files(struct build *b, struct err *err)
{
	for (;;) {
		struct file *rows;
		size_t n;
		err_code rc;

		meta_tx_trim(b->tx);
		rc = meta_file_tree(b->tx, b->project, b->after_dir, b->after_name, TREE_PAGE, &rows, &n, err);
		if (!rc)
			rc = fill_leaf(b, rows, n, err);
		if (rc || n < TREE_PAGE)
			return rc; /* the last leaf is given when all is read */
		remember_place(b, &rows[n - 1]);
		rc = relay_give(b->encoding, &b->leaf, err);
		if (rc)
			return rc;
	}
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
	rc = add_files(b, err);
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
