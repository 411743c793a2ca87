/*
 * Reading the tree.  Each page and the project row it is answered with come from one transaction, so the digest and the clock
 * that a client keeps are those of what it was shown.
 */
#include "server/domain/tree.h"

#include "base/clock.h"
#include "base/fault.h"
#include "server/domain/domain_internal.h"

static const struct blocklist NO_LIST;

static bool
has_small_list(const struct file *f)
{
	return f->kind == KIND_FILE && f->size > 0 && !f->deleted_at && f->size <= SMALL_LIST_TO;
}

static err_code
list_unpack(const struct file *f, const struct packed_page *page, struct arena *a, struct blocklist *out, struct err *err)
{
	err_code rc = page->p ? blocklist_unpack(page->p, page->len, BLOCKLIST_PAGE_BLOCKS, a, out, err)
	                      : err_set(err, ERR_NOT_FOUND, "no such page of a block list");

	if (rc)
		return err_wrap(err, "block list of %s", f->name);
	if (blocklist_bytes(out) != (uint64_t)f->size)
		*out = NO_LIST;
	return ERR_OK;
}

err_code
small_list(const struct file *f, const struct packed_page *page, struct arena *a, struct blocklist *out, struct err *err)
{
	*out = NO_LIST;
	return has_small_list(f) ? list_unpack(f, page, a, out, err) : ERR_OK;
}

/* Of up to META_LISTS_MAX files that have one, at rows[which[0]], rows[which[1]], … */
static err_code
lists_read(struct meta_tx *tx, const struct id *project, const struct file *rows, const size_t *which, size_t n, struct arena *a,
    struct blocklist *out, struct err *err)
{
	struct packed_page pages[META_LISTS_MAX];
	struct id lists[META_LISTS_MAX];
	err_code rc;

	if (n == 0)
		return ERR_OK;
	for (size_t i = 0; i < n; i++)
		lists[i] = rows[which[i]].list;
	rc = meta_blocks_first(tx, project, lists, n, pages, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = list_unpack(&rows[which[i]], &pages[i], a, &out[which[i]], err);
	return rc;
}

err_code
small_lists(struct meta_tx *tx, const struct id *project, const struct file *rows, size_t n, struct arena *a, struct blocklist *out,
    struct err *err)
{
	size_t which[META_LISTS_MAX], some = 0;
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < n; i++) {
		out[i] = NO_LIST;
		if (has_small_list(&rows[i]))
			which[some++] = i;
		if (some == META_LISTS_MAX || i + 1 == n) {
			rc = lists_read(tx, project, rows, which, some, a, out, err);
			some = 0;
		}
	}
	return rc;
}

err_code
tree_page_fill(struct meta_tx *tx, const struct id *project, const struct file *rows, size_t n, unsigned limit, bool want_extents,
    struct arena *a, struct tree_page *out, struct err *err)
{
	struct blocklist *lists = NULL;
	err_code rc = ERR_OK;

	out->has_more = n > limit;
	out->n = out->has_more ? limit : n;
	out->files = arena_array(a, out->n, sizeof *out->files);
	if (want_extents)
		lists = arena_array(a, out->n, sizeof *lists);
	if (!out->files || (want_extents && !lists))
		return no_memory(err);
	for (size_t i = 0; !rc && i < out->n; i++)
		rc = file_copy(a, &rows[i], &out->files[i], err);
	if (!rc && want_extents)
		rc = small_lists(tx, project, rows, out->n, a, lists, err);
	out->lists = lists;
	return rc;
}

/* Where to go on: behind the last row, or at the clock of the instant that was read, which no commit that is still to come is before (I7). */
static int64_t
page_end(const struct tree_page *page, const struct file *rows, const struct project *p)
{
	int64_t last = page->n ? page->files[page->n - 1].version : 0;

	if (!page->has_more)
		return FAULT("domain.since_wall") ? MAX(p->clock, clock_wall_us()) : p->clock;
	if (FAULT("domain.page_ends_commit") && rows[page->n].version == last + 1) /* M12: as if the rest of a commit had been sent with it */
		return last + 1;
	return last;
}

typedef err_code (*by_clock_fn)(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit,
    struct file **out, size_t *n, struct err *err);

static err_code
page_by_clock(struct domain *d, const struct id *project, by_clock_fn read, int64_t after, unsigned limit,
    bool want_extents, struct arena *a, struct tree_page *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	struct file *rows;
	size_t n;
	err_code rc;

	*out = (struct tree_page){ 0 };
	rc = limit_check(limit, err);
	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = project_copy(a, &p, &out->project, err);
	if (!rc)
		rc = read(tx, project, after, limit + 1, &rows, &n, err);
	if (!rc)
		rc = tree_page_fill(tx, project, rows, n, limit, want_extents, a, out, err);
	if (rc)
		return rc;
	out->next = page_end(out, rows, &p);
	clocks_publish(d->clocks, project, p.clock);
	return ERR_OK;
}

err_code
tree_list(struct domain *d, const struct id *project, int64_t after, unsigned limit, bool want_extents, struct arena *a,
    struct tree_page *out, struct err *err)
{
	return page_by_clock(d, project, meta_file_page, after, limit, want_extents, a, out, err);
}

bool
tree_nothing_since(struct domain *d, const struct project *p, int64_t since, struct tree_page *out)
{
	*out = (struct tree_page){ .project = *p };
	out->next = page_end(out, NULL, p);
	clocks_publish(d->clocks, &p->id, p->clock);
	return p->clock <= since;
}

err_code
tree_changes(struct domain *d, const struct id *project, int64_t since, unsigned limit, bool want_extents, struct arena *a,
    struct tree_page *out, struct err *err)
{
	if (FAULT("domain.since_off_by_one")) /* M11 */
		since++;
	return page_by_clock(d, project, meta_file_changes, since, limit, want_extents, a, out, err);
}

err_code
dir_check(struct meta_tx *tx, const struct id *project, const char *dir, struct err *err)
{
	struct file f;
	err_code rc;

	if (!dir[0])
		return ERR_OK;
	rc = path_check(dir, strlen(dir), err);
	if (!rc)
		rc = meta_file_at(tx, project, dir, &f, err);
	if (rc == ERR_NOT_FOUND || (!rc && f.kind != KIND_DIR))
		return err_set(err, ERR_NOT_FOUND, "there is no such directory here");
	return rc;
}

bool
tree_changed_since(struct domain *d, const struct id *project, int64_t since)
{
	return clocks_past(d->clocks, project, since);
}

err_code
cursor_check(const struct project *project, bool has_epoch, const struct id *epoch, int64_t clock, struct err *err)
{
	if (clock < 0)
		return err_set(err, ERR_CURSOR_INVALID, "a cursor is not negative");
	if (has_epoch && !id_eq(epoch, &project->epoch))
		return err_set(err, ERR_EPOCH_CHANGED, "the cursor is of another history of this project");
	if (clock > project->clock)
		return err_set(err, ERR_EPOCH_CHANGED, "the cursor is ahead of the project's clock");
	if (clock != 0 && clock < project->horizon && !FAULT("domain.no_horizon"))
		return err_set(err, ERR_CURSOR_EXPIRED, "the cursor is older than the kept history");
	return ERR_OK;
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

/* By path where ${path} is given, else by id.  Only live ones are seen. */
static err_code
live_file(struct meta_tx *tx, const struct id *project, const struct id *id, const char *path, struct file *out,
    struct err *err)
{
	err_code rc = path ? path_check(path, strlen(path), err) : ERR_OK;

	if (!rc)
		rc = path ? meta_file_at(tx, project, path, out, err) : meta_file_get(tx, project, id, out, err);
	if (rc == ERR_NOT_FOUND || (!rc && out->deleted_at))
		return err_set(err, ERR_NOT_FOUND, "there is no such file here");
	return rc;
}

static err_code
one_file(struct domain *d, const struct id *project, const struct id *id, const char *path, struct arena *a,
    struct file *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct file f;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = live_file(tx, project, id, path, &f, err);
	return rc ? rc : file_copy(a, &f, out, err);
}

err_code
tree_file(struct domain *d, const struct id *project, const struct id *file, struct arena *a, struct file *out,
    struct err *err)
{
	return one_file(d, project, file, NULL, a, out, err);
}

err_code
tree_file_at(struct domain *d, const struct id *project, const char *path, struct arena *a, struct file *out,
    struct err *err)
{
	return one_file(d, project, NULL, path, a, out, err);
}

/* The live entry at ${path} goes before the rows. */
static err_code
add_live(struct meta_tx *tx, const struct id *project, const char *path, struct file *rows, size_t *n, struct err *err)
{
	err_code rc = meta_file_at(tx, project, path, &rows[0], err);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	*n += rc == ERR_OK;
	return rc;
}

err_code
tree_at(struct domain *d, const struct id *project, const char *path, unsigned limit, struct arena *a, struct tree_page *out,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct file *rows = arena_array(a, (size_t)limit + 2, sizeof *rows);
	struct version *gone = NULL;
	size_t n = 0, gone_n = 0;
	err_code rc = limit_check(limit, err);

	*out = (struct tree_page){ 0 };
	if (!rc)
		rc = path_check(path, strlen(path), err);
	if (!rc && !rows)
		rc = no_memory(err);
	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = add_live(tx, project, path, rows, &n, err);
	if (!rc)
		rc = meta_version_gone(tx, project, path, limit + 1 - (unsigned)n, &gone, &gone_n, err);
	for (size_t i = 0; !rc && i < gone_n; i++)
		rc = file_known(tx, project, &gone[i].file, a, &rows[n++], err);
	if (rc)
		return rc;
	if (n == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such file here, nor has it been deleted here lately");
	return tree_page_fill(tx, project, rows, n, limit, false, a, out, err);
}

/* Page ${page} of a list into ${out}; *there says whether it has one. */
static err_code
page_of(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, struct arena *a,
    struct blocklist *out, bool *there, struct err *err)
{
	const uint8_t *packed;
	size_t len;
	err_code rc = meta_blocks_get(tx, project, list, page, &packed, &len, err);

	*there = rc == ERR_OK;
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc || !out)
		return rc;
	return blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, out, err);
}

/* The file as it is, or as it was at ${version}. */
static err_code
file_then(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version, struct arena *a, struct file *out,
    struct err *err)
{
	struct version v;
	struct file f;
	err_code rc;

	if (version) {
		rc = version_in(tx, project, file, version, &v, err);
		return rc ? rc : version_file(&v, a, out, err);
	}
	rc = live_file(tx, project, file, NULL, &f, err);
	return rc ? rc : file_copy(a, &f, out, err);
}

/* A run that ends where the next page's first one begins is one with it. */
static void
list_append(struct blocklist *l, const struct blocklist *page)
{
	if (page->block_count == 0)
		return;
	memcpy(l->blocks + l->block_count, page->blocks, page->block_count * sizeof *l->blocks);
	l->block_count += page->block_count;
	for (uint32_t i = 0; i < page->extent_count; i++) {
		const struct extent *x = &page->extents[i];
		struct extent *last = l->extent_count ? &l->extents[l->extent_count - 1] : NULL;

		if (i == 0 && last && hash_eq(&last->chunk, &x->chunk) && last->first + last->count == x->first)
			last->count += x->count;
		else
			l->extents[l->extent_count++] = *x;
	}
}

/* Pages of a list from ${page} on, as many as there are of ${count} blocks. */
static err_code
pages_of(struct meta_tx *tx, const struct id *project, const struct id *list, uint64_t page, uint32_t count, struct arena *a,
    struct blocklist *out, bool *has_more, struct err *err)
{
	bool there = true;
	err_code rc = ERR_OK;

	out->blocks = arena_array(a, count, sizeof *out->blocks);
	out->extents = arena_array(a, count, sizeof *out->extents);
	if (!out->blocks || !out->extents)
		return err_set(err, ERR_NO_MEM, "a page of blocks");
	while (!rc && there && out->block_count < count) {
		struct blocklist one = NO_LIST;

		rc = page_of(tx, project, list, (uint32_t)page++, a, &one, &there, err);
		if (!rc && one.block_count > 0)
			list_append(out, &one);
		there = there && one.block_count == BLOCKLIST_PAGE_BLOCKS;
	}
	if (!rc && there)
		rc = page_of(tx, project, list, (uint32_t)page, a, NULL, has_more, err);
	return rc;
}

err_code
tree_blocks(struct domain *d, const struct id *project, const struct id *file, int64_t version, uint64_t from, uint32_t count,
    struct arena *a, struct blocklist *out, struct file *file_out, bool *has_more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	uint64_t page = from / BLOCKLIST_PAGE_BLOCKS;
	err_code rc;

	*out = NO_LIST;
	*has_more = false;
	if (count == 0 || count % BLOCKLIST_PAGE_BLOCKS != 0 || count > BLOCKLIST_ANSWER_MAX)
		return err_set(err, ERR_FIELD_RANGE, "count: a multiple of %d, at most %d", BLOCKLIST_PAGE_BLOCKS, BLOCKLIST_ANSWER_MAX);
	if (from % BLOCKLIST_PAGE_BLOCKS != 0 || page >= UINT32_MAX - BLOCKLIST_ANSWER_MAX)
		return err_set(err, ERR_FIELD_RANGE, "from: a multiple of %d", BLOCKLIST_PAGE_BLOCKS);
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = file_then(tx, project, file, version, a, file_out, err);
	if (rc || file_out->kind != KIND_FILE || file_out->size == 0)
		return rc;
	return pages_of(tx, project, &file_out->list, page, count, a, out, has_more, err);
}
