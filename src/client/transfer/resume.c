/*
 * Uploads that outlive a run.  The journal says which transfer a large file was being sent to and what it was cut against; the server says
 * which chunks have arrived.  The file is read and cut again, which makes the same chunks wherever it is the same, and those that are
 * there are not sent: so what is sent twice is at most what was on its way.
 *
 * R1  A chunk is known by its name, never by its number: where the file has changed meanwhile, or another version of this program packs
 *     another way, numbers mean something else.
 *     For that a number that was free may be taken: what a run that was killed had on its way may arrive after this one has asked. Then another is taken.
 * R2  A transfer is of one item at a time, also where two names are one inode.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/pathat.h"
#include "client/transfer/push_internal.h"

#define JOURNAL_MAX TRANSFERS_PER_DEVICE_MAX
#define JOURNAL_MEMORY (JOURNAL_MAX * 8 * KIB)
#define PAGE_MEMORY (256 * KIB) /* of a transfer's chunks */

/* Half a SHA-256 is as good here: who could make two of them meet is the server, and it would only miss a chunk. */
struct tag {
	uint8_t b[16];
};

struct arrived {
	struct tag *v; /* sorted */
	size_t n, cap;
};

void
arrived_free(struct arrived *a)
{
	if (!a)
		return;
	free(a->v);
	free(a);
}

/* ---- the journal --------------------------------------------------------------------------------------------------------------------- */

/* Under push.mu once threads run. */
static struct upload *
upload_add(struct push *p, const struct state_upload *row)
{
	struct upload *u = xcalloc(1, sizeof *u);

	u->row = *row;
	p->uploads = xrealloc(p->uploads, (p->upload_count + 1) * sizeof(struct upload *));
	p->uploads[p->upload_count++] = u;
	return u;
}

err_code
uploads_load(struct push *p, struct err *err)
{
	AUTO(freep) struct state_upload *rows = xcalloc(JOURNAL_MAX, sizeof *rows);
	size_t n = 0;
	err_code rc;

	p->uploads_text = arena_new(JOURNAL_MEMORY);
	rc = state_upload_list(p->env->state, p->uploads_text, rows, JOURNAL_MAX, &n, err);
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		upload_add(p, &rows[i]);
	return rc;
}

void
uploads_fini(struct push *p)
{
	for (size_t i = 0; i < p->upload_count; i++)
		free(p->uploads[i]);
	free(p->uploads);
	arena_free(p->uploads_text);
}

static err_code
journal_put(struct push *p, const struct state_upload *row, struct err *err)
{
	err_code rc = state_begin(p->env->state, err);

	if (rc == ERR_OK)
		rc = state_upload_put(p->env->state, row, err);
	return state_end(p->env->state, rc, err);
}

static err_code
journal_remove(struct push *p, const struct id *transfer, struct err *err)
{
	err_code rc = state_begin(p->env->state, err);

	if (rc == ERR_OK)
		rc = state_upload_remove(p->env->state, transfer, err);
	return state_end(p->env->state, rc, err);
}

/* ---- which upload is this file's ------------------------------------------------------------------------------------------------------ */

static bool
same_inode(const struct state_upload *row, const struct entry *e)
{
	return row->dev == e->dev && row->ino == e->ino;
}

bool
upload_same_file(const struct item *it)
{
	const struct state_upload *row = &it->upload->row;
	const struct entry *e = &it->entry;

	/* Not the ctime: a rename, as that of a conflict copy, changes it and no byte. */
	return same_inode(row, e) && row->size == e->size && row->mtime_ns == e->mtime_ns;
}

/* By inode first: an upload goes on under a new name.  By name: who saves a file as a new one has most of the old in it. */
void
upload_claim(struct push *p, struct item *it)
{
	struct upload *found = NULL;

	mutex_lock(&p->mu);
	for (size_t i = 0; i < p->upload_count && !it->upload; i++) {
		struct upload *u = p->uploads[i];

		if (u->claimed) /* R2 */
			continue;
		if (same_inode(&u->row, &it->entry)) {
			found = u;
			break;
		}
		if (!found && strcmp(u->row.path, it->entry.path) == 0)
			found = u;
	}
	if (found) {
		found->claimed = true;
		it->upload = found;
	}
	mutex_unlock(&p->mu);
}

/* ---- what has arrived ----------------------------------------------------------------------------------------------------------------- */

static struct tag
tag_of(const struct hash *chunk)
{
	struct tag t;

	memcpy(t.b, chunk->b, sizeof t.b);
	return t;
}

static int
tag_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tag));
}

static void
arrived_add(struct arrived *a, const struct remote_transfer *page)
{
	if (a->n + page->n > a->cap) {
		a->cap = MAX(a->n + page->n, 2 * a->cap);
		a->v = xrealloc(a->v, a->cap * sizeof *a->v);
	}
	for (size_t i = 0; i < page->n; i++)
		a->v[a->n++] = tag_of(&page->chunks[i].chunk);
}

/* All that the server has of the claimed transfer.  *open false: it is over there. */
static err_code
arrived_ask(struct push *p, struct item *it, bool *open, struct err *err)
{
	AUTO(arena_freep) struct arena *arena = arena_new(PAGE_MEMORY);
	struct arrived *a = it->arrived = xcalloc(1, sizeof *a);
	struct remote_transfer page = { .more = true };
	uint32_t from = 0;
	err_code rc = ERR_OK;

	*open = true;
	while (page.more && *open) {
		arena_reset(arena);
		rc = remote_transfer_get(p->env->remote, &it->upload->row.transfer, from, arena, &page, err);
		if (rc && rc != ERR_NOT_FOUND && rc != ERR_TRANSFER_GONE)
			return rc;
		*open = rc == ERR_OK && page.open;
		if (!*open)
			return ERR_OK;
		arrived_add(a, &page);
		if (page.n > 0)
			from = page.chunks[page.n - 1].n + 1;
	}
	it->next_n = MAX(it->next_n, from); /* what this run has on its way keeps its numbers */
	if (a->n > 0)
		qsort(a->v, a->n, sizeof *a->v, tag_cmp);
	return ERR_OK;
}

bool
upload_has(const struct item *it, const struct hash *chunk)
{
	struct tag t = tag_of(chunk);

	if (!it->arrived || it->arrived->n == 0)
		return false;
	if (FAULT("client.resume_trusts_number"))
		return it->fresh / CHUNK_RAW_MAX < it->arrived->n;
	return bsearch(&t, it->arrived->v, it->arrived->n, sizeof t, tag_cmp) != NULL; /* R1 */
}

void
upload_distrust(struct item *it)
{
	if (it->arrived)
		it->arrived->n = 0;
}

/* ---- beginning, and the end ------------------------------------------------------------------------------------------------------------- */

static struct state_upload
row_of(const struct item *it, const struct id *transfer, int64_t started_at)
{
	const struct entry *e = &it->entry;

	return (struct state_upload){ .path = e->path, .dev = e->dev, .ino = e->ino, .size = e->size, .mtime_ns = e->mtime_ns,
		.ctime_ns = e->ctime_ns, .transfer = *transfer, .base = it->base, .started_at = started_at };
}

err_code
upload_drop(struct push *p, struct item *it, struct err *err)
{
	struct upload *u = it->upload;

	if (!u)
		return ERR_OK;
	it->upload = NULL; /* it stays claimed: nobody else shall have it */
	arrived_free(it->arrived);
	it->arrived = NULL;
	it->next_n = 0;
	return journal_remove(p, &u->row.transfer, err);
}

static err_code
begin_new(struct push *p, struct item *it, struct err *err)
{
	struct state_upload row;
	struct id transfer;
	err_code rc = remote_transfer_create(p->env->remote, plan_op_as(it->op), it->entry.size, &transfer, err);

	if (rc)
		return rc;
	row = row_of(it, &transfer, clock_wall_us());
	mutex_lock(&p->mu);
	it->upload = upload_add(p, &row);
	it->upload->claimed = true;
	mutex_unlock(&p->mu);
	return journal_put(p, &it->upload->row, err); /* P4 */
}

static err_code
go_on(struct push *p, struct item *it, bool *open, struct err *err)
{
	struct upload *u = it->upload;
	err_code rc = it->arrived ? ERR_OK : arrived_ask(p, it, open, err);

	if (rc)
		return rc;
	if (!*open)
		return upload_drop(p, it, err);
	u->row = row_of(it, &u->row.transfer, u->row.started_at); /* as it is cut now */
	return journal_put(p, &u->row, err);
}

err_code
upload_begin(struct push *p, struct item *it, struct err *err)
{
	bool open = true;
	err_code rc = it->upload ? go_on(p, it, &open, err) : ERR_OK;

	if (rc == ERR_OK && !it->upload)
		rc = begin_new(p, it, err);
	if (rc)
		return rc;
	it->own_transfer = true;
	it->transfer = it->upload->row.transfer;
	return ERR_OK;
}

err_code
upload_over(err_code rc, struct err *err)
{
	return rc == ERR_NOT_FOUND ? err_set(err, ERR_TRANSFER_GONE, "the upload is not known to the server any more") : rc;
}

err_code
upload_forget(struct push *p, struct item *it, struct err *err)
{
	return it->upload ? state_upload_remove(p->env->state, &it->upload->row.transfer, err) : ERR_OK;
}

/* Whether its file is not what was being sent any more, or the server has long given it up. */
static bool
is_stale(const struct push *p, const struct state_upload *row)
{
	struct err ignored;
	struct stat st;

	if (clock_wall_us() - row->started_at > TRANSFER_LIFE_US)
		return true;
	return pathat_stat(p->env->root, row->path, &st, &ignored) || (uint64_t)st.st_dev != row->dev ||
	    (uint64_t)st.st_ino != row->ino || st.st_size != row->size || stat_mtime_ns(&st) != row->mtime_ns;
}

void
uploads_sweep(struct push *p)
{
	for (size_t i = 0; i < p->upload_count; i++) {
		const struct upload *u = p->uploads[i];
		struct err ignored;

		if (u->claimed || !is_stale(p, &u->row))
			continue;
		if (remote_transfer_delete(p->env->remote, &u->row.transfer, &ignored) != ERR_NETWORK)
			(void)!journal_remove(p, &u->row.transfer, &ignored);
	}
}
