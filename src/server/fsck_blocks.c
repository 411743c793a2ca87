/*
 * Block lists: the pages of a list come one after the other, so one list is added up at a time, whatever its length.  What a list says of a
 * block is compared with the head of the chunk that it names; that the chunk's bytes are those of its head has been seen before.
 */
#include <inttypes.h>

#include "server/fsck_internal.h"

#define ROWS 64 /* of 2.4 KB */

struct list {
	struct fsck_project *w;
	struct arena *arena; /* a page */
	bool open;
	struct id id;
	struct content_hash sum;
	uint64_t bytes;
	uint32_t pages;
	bool ended;          /* a page that was not full has come */
	const char *broken;  /* why; NULL: so far it is whole */
	bool lost;           /* it names a chunk that cannot be read */
};

/* ---- a page ---------------------------------------------------------------------------------------------------------------------------- */

static err_code
check_extent(struct list *l, const struct extent *e, const struct block *blocks, struct err *err)
{
	struct fsck_project *w = l->w;
	struct store_key key = { .project = w->p.id, .hash = e->chunk };
	const struct chunk_header *h;
	struct chunk row;
	struct err why;
	err_code rc = meta_chunk_get(w->tx, &w->p.id, &e->chunk, &row, err);

	if (rc == ERR_NOT_FOUND) {
		l->broken = "names a chunk that is not known";
		return ERR_OK;
	}
	if (rc)
		return rc;
	l->lost |= map_get(w->f->bad, &key, sizeof key) != NULL;
	if (fsck_header(w->f, &key, &h, &why) != ERR_OK)
		return ERR_OK;
	if (e->first + e->count > h->count)
		l->broken = "names blocks that its chunk has not";
	for (uint32_t i = 0; !l->broken && i < e->count; i++) {
		const struct chunk_block *b = &h->blocks[e->first + i];

		if (!hash_eq(&b->hash, &blocks[i].hash) || b->raw_len != blocks[i].len)
			l->broken = "names blocks that are others in its chunk";
	}
	return ERR_OK;
}

static err_code
add_page(struct list *l, const struct blocks_row *row, struct err *err)
{
	struct blocklist page;
	const struct block *block;
	struct err why;
	err_code rc = ERR_OK;

	arena_reset(l->arena);
	if (row->page != l->pages++ || l->ended)
		l->broken = "has not all of its pages";
	if (blocklist_unpack(row->packed, row->len, BLOCKLIST_PAGE_BLOCKS, l->arena, &page, &why)) {
		l->broken = "has a page that is none";
		return ERR_OK;
	}
	l->ended = page.block_count < BLOCKLIST_PAGE_BLOCKS;
	l->bytes += blocklist_bytes(&page);
	for (uint32_t i = 0; i < page.block_count; i++)
		content_hash_add(&l->sum, &page.blocks[i].hash, page.blocks[i].len);
	block = page.blocks;
	for (uint32_t i = 0; !rc && i < page.extent_count; block += page.extents[i].count, i++)
		rc = check_extent(l, &page.extents[i], block, err);
	return rc;
}

/* ---- a list ---------------------------------------------------------------------------------------------------------------------------- */

/* What a version says of the list, beside what it is. */
static void
check_said(struct list *l, const struct meta_said *said, const struct hash *sum)
{
	struct fsck *f = l->w->f;
	const struct id *project = &l->w->p.id;
	char hex[ID_HEX_LEN + 1];

	if (l->broken) {
		fsck_found(f, FOUND_FILE_UNREADABLE, project, "%s cannot be read whole: its block list is damaged", said->path);
	} else if (!hash_eq(&said->content, sum)) {
		fsck_found(f, FOUND_BLOCKS_INVALID, project, "block list %s is not the one of %s's content", id_hex(&l->id, hex), said->path);
		fsck_found(f, FOUND_FILE_UNREADABLE, project, "%s cannot be read whole: its block list is damaged", said->path);
	} else if (said->size != (int64_t)l->bytes) {
		fsck_found(f, FOUND_SIZE, project, "%s has a version whose size is not that of its content", said->path);
	} else if (l->lost) {
		fsck_found(f, FOUND_FILE_UNREADABLE, project, "%s cannot be read whole: a chunk of it is bad", said->path);
	}
}

static err_code
list_end(struct list *l, struct err *err)
{
	char hex[ID_HEX_LEN + 1];
	struct meta_said *said;
	struct hash sum;
	size_t n;
	err_code rc;

	if (!l->open)
		return ERR_OK;
	l->open = false;
	l->w->f->lists++;
	sum = content_hash_final(&l->sum);
	if (l->broken)
		fsck_found(l->w->f, FOUND_BLOCKS_INVALID, &l->w->p.id, "block list %s %s", id_hex(&l->id, hex), l->broken);
	rc = meta_check_said(l->w->tx, &l->w->p.id, &l->id, &said, &n, err);
	for (size_t i = 0; !rc && i < n; i++)
		check_said(l, &said[i], &sum);
	return rc;
}

static void
list_begin(struct list *l, const struct id *id)
{
	*l = (struct list){ .w = l->w, .arena = l->arena, .open = true, .id = *id };
	content_hash_init(&l->sum);
}

static err_code
add_row(struct list *l, const struct blocks_row *row, struct err *err)
{
	err_code rc = ERR_OK;

	if (!l->open || !id_eq(&l->id, &row->list)) {
		rc = list_end(l, err);
		if (rc)
			return rc;
		list_begin(l, &row->list);
	}
	return add_page(l, row, err);
}

static err_code
walk(struct list *l, struct err *err)
{
	struct fsck_project *w = l->w;
	struct id list = { { 0 } };
	int64_t page = -1;
	size_t n = ROWS;
	err_code rc = ERR_OK;

	while (!rc && n == ROWS) {
		struct blocks_row *rows;

		rc = meta_blocks_list(w->tx, &w->p.id, &list, page, ROWS, &rows, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			rc = add_row(l, &rows[i], err);
			list = rows[i].list;
			page = rows[i].page;
		}
		fsck_seen(w->f, rc ? 0 : n);
		meta_tx_trim(w->tx);
	}
	return rc ? rc : list_end(l, err);
}

err_code
fsck_blocks(struct fsck_project *w, struct err *err)
{
	AUTO(arena_freep) struct arena *arena = arena_new(64 * KIB);
	struct list l = { .w = w, .arena = arena };
	err_code rc = walk(&l, err);

	if (l.open)
		content_hash_fini(&l.sum);
	return rc;
}
