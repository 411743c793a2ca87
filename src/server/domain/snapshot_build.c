/*
 * One read transaction from the first row to the last, so that the tree, the clock, the digest and the sums are of one instant.
 * What a page has handed out is forgotten before the next is read: a million files take the memory of a thousand.
 *
 * The transaction is held while bytes go to the store's buffers; readers keep nobody from writing, and the fsync comes after it.
 */
#include <assert.h>

#include "base/clock.h"
#include "server/domain/snapshot_internal.h"

#define PIECE_MAX (8 * MIB)   /* of encoded text before it is handed on: the longest single file object is far smaller */
#define PIECE_FULL (64 * KIB)
#define TREE_PAGE 256 /* rows: one block of the transaction's arena, which stays, and stays in the processor's cache */
#define LISTS_ARENA_MAX (META_LISTS_MAX * 64 * KIB)

struct build {
	struct domain *d;
	const struct id *project;
	const struct snapshot_encoder *encoder;
	enum snapshot_form form;
	struct meta_tx *tx;
	struct pack *pack;
	struct handover *handover;
	struct sbuf *text; /* the piece at hand */
	struct arena *arena; /* block lists of META_LISTS_MAX files */
	int64_t count;
	char after_dir[FILE_PATH_MAX], after_name[NAME_LEN_MAX + 1];
};

static err_code
flush(struct build *b, struct err *err)
{
	err_code rc = sbuf_done(b->text, err);

	return rc ? rc : handover_piece(b->handover, &b->text, err);
}

/*
 * Lines are for programs, which save a request a file when the lists of small files are there; the one large JSON document is for
 * people and scripts, who have no use for them.
 */
static err_code
lists_of(struct build *b, const struct file *rows, size_t n, struct blocklist *out, struct err *err)
{
	if (b->form != SNAPSHOT_NDJSON)
		return ERR_OK;
	arena_reset(b->arena);
	return small_lists(b->tx, b->project, rows, n, b->arena, out, err);
}

static err_code
add_some(struct build *b, const struct file *rows, size_t n, struct err *err)
{
	struct blocklist lists[META_LISTS_MAX] = { 0 }; /* of no blocks */
	err_code rc = lists_of(b, rows, n, lists, err);

	for (size_t i = 0; !rc && i < n; i++) {
		b->encoder->file(b->encoder->ctx, b->text, b->form, &rows[i], lists[i].block_count > 0 ? &lists[i] : NULL, b->count == 0);
		b->count++;
		if (b->text->len >= PIECE_FULL)
			rc = flush(b, err);
	}
	return rc;
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
	struct file *rows;
	size_t n = TREE_PAGE;
	err_code rc = ERR_OK;

	while (!rc && n == TREE_PAGE) {
		meta_tx_trim(b->tx);
		rc = meta_file_tree(b->tx, b->project, b->after_dir, b->after_name, TREE_PAGE, &rows, &n, err);
		if (!rc && n > 0)
			remember_place(b, &rows[n - 1]);
		for (size_t i = 0; !rc && i < n; i += META_LISTS_MAX)
			rc = add_some(b, rows + i, MIN(n - i, META_LISTS_MAX), err);
	}
	return rc;
}

static err_code
build_all(struct build *b, struct project *p, struct err *err)
{
	err_code rc = meta_begin(b->d->meta, META_READ, &b->tx, err);

	if (!rc)
		rc = project_in(b->tx, b->project, p, err);
	if (rc)
		return rc;
	b->encoder->head(b->encoder->ctx, b->text, b->form, p);
	rc = add_files(b, err);
	if (rc)
		return rc;
	if (b->count != p->file_count) /* of one instant, so only a damaged database can make them differ */
		return err_set(err, ERR_CORRUPT, "the tree has %jd entries, the project counts %jd", (intmax_t)b->count,
		    (intmax_t)p->file_count);
	b->encoder->tail(b->encoder->ctx, b->text, b->form);
	return sbuf_done(b->text, err);
}

static void
build_freep(struct build **bp)
{
	struct build *b = *bp;

	meta_abort(&b->tx);
	handover_free(b->handover); /* before the pack: its thread may be at work on it */
	pack_free(b->pack);
	arena_free(b->arena);
	free(b);
}

err_code
snapshot_build(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, struct publishing *publishing, struct snapshot *out, struct err *err)
{
	AUTO(build_freep) struct build *b = xcalloc(1, sizeof *b);
	struct project p;
	err_code rc;

	b->d = d;
	b->project = project;
	b->encoder = encoder;
	b->form = form;
	b->arena = arena_new(LISTS_ARENA_MAX);
	rc = pack_open(d, coding, &b->pack, err);
	if (rc)
		return rc;
	b->handover = handover_new(b->pack, PIECE_MAX, &b->text);
	rc = build_all(b, &p, err);
	if (rc)
		return rc;
	meta_abort(&b->tx); /* before waiting for what is left to pack, and the fsync */
	*out = (struct snapshot){ .id = id_new(), .clock = p.clock, .epoch = p.epoch, .digest = p.digest,
		.file_count = p.file_count, .total_bytes = p.total_bytes, .created_at = clock_wall_us(),
		.format = snapshot_format(form, coding) };
	out->expires_at = out->created_at + SNAPSHOT_LIFE_US;
	rc = handover_last(b->handover, err);
	return rc ? rc : pack_finish(b->pack, project, publishing, out, err);
}
