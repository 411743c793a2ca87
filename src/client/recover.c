#include "base/clock.h"
#include "base/fault.h"
#include "client/layout.h"
#include "client/recover.h"
#include "client/scan/scan.h"

#define BATCH 256
#define BATCH_MEMORY (BATCH * (PATH_LEN_MAX + LINK_TARGET_MAX + 64))
#define ROW_MEMORY (64 * KIB)

struct recover {
	struct folder *folder;
	struct remote *remote;
	const bool *cancel;
	int64_t now_ns;
	struct arena *row; /* while one is looked at */
	struct arena *batch;
	struct entry installed[BATCH]; /* to be recorded */
	size_t n;
};

/* Whether the file's bytes are the version's.  What cannot be read now is looked at again by the pass. */
static err_code
same_bytes(const struct recover *r, struct entry *here, const struct entry *version, bool *same, struct err *err)
{
	struct layout_env env = { .root = r->folder->root, .state = r->folder->state, .remote = r->remote, .cancel = r->cancel };
	struct entry hashed;
	err_code rc = scan_hash(r->folder->root, here, r->now_ns, r->cancel, &hashed, err);

	*same = false;
	if (rc)
		return rc == ERR_CANCELLED ? rc : ERR_OK;
	*here = hashed;
	if (entry_same_content(here, version)) {
		*same = true;
		return ERR_OK;
	}
	rc = layout_same(&env, here, version, same, err);
	return rc == ERR_VERSION_CONFLICT ? ERR_OK : rc;
}

/* Whether it is here as it would have been installed; then *here is what there is. */
static err_code
is_installed(const struct recover *r, const struct entry *version, struct entry *here, bool *is, struct err *err)
{
	*is = false;
	if (scan_stat(r->folder->root, version->path, r->now_ns, r->row, here, err) || here->kind != version->kind ||
	    here->mtime_ns != version->mtime_ns || here->size != version->size)
		return ERR_OK;
	/* The bytes may be those of before, and the mode all that is new: recorded as done, the old one would be sent as an edit. */
	if (here->kind == ENTRY_FILE && entry_mode_through(version->mode, here->mode, r->folder->mask) != version->mode)
		return ERR_OK;
	if (here->kind == ENTRY_FILE)
		return same_bytes(r, here, version, is, err);
	*is = entry_same_content(here, version);
	return ERR_OK;
}

/* It has been recorded, or what is here goes by another name: then there is a move to plan first. */
static err_code
is_known(const struct recover *r, const struct entry *version, bool *known, struct err *err)
{
	struct entry base;
	err_code rc = state_base_by_id(r->folder->state, &version->id, r->row, &base, err);

	*known = rc == ERR_OK && (base.version >= version->version || strcmp(base.path, version->path) != 0);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static err_code
record(struct recover *r, struct err *err)
{
	struct state *s = r->folder->state;
	err_code rc;

	if (r->n == 0)
		return ERR_OK;
	rc = state_begin(s, err);
	for (size_t i = 0; rc == ERR_OK && i < r->n; i++) {
		rc = state_base_put(s, &r->installed[i], err);
		if (rc == ERR_OK)
			rc = state_pending_remove(s, &r->installed[i].id, err);
	}
	rc = state_end(s, rc, err);
	r->n = 0;
	arena_reset(r->batch);
	return rc;
}

static void
keep(struct recover *r, const struct entry *here, const struct entry *version)
{
	struct entry *e = &r->installed[r->n++];

	*e = *version;
	e->path = arena_strdup(r->batch, version->path);
	e->target = arena_strdup(r->batch, version->target);
	e->dev = here->dev;
	e->ino = here->ino;
	e->ctime_ns = here->ctime_ns;
}

static err_code
on_pending(void *ctx, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *err)
{
	struct recover *r = ctx;
	struct entry here;
	bool known = false, is = false;
	err_code rc;

	(void)extra;
	(void)extra_len;
	if (deleted || e->kind == ENTRY_DIR)
		return ERR_OK;
	if (flag_is_set(r->cancel))
		return err_set(err, ERR_CANCELLED, "stopped");
	arena_reset(r->row);
	rc = is_known(r, e, &known, err);
	if (rc == ERR_OK && !known)
		rc = is_installed(r, e, &here, &is, err);
	if (rc)
		return rc;
	if (is)
		keep(r, &here, e);
	return r->n == BATCH ? record(r, err) : ERR_OK;
}

err_code
recover_installed(struct folder *f, struct remote *remote, const bool *cancel, struct err *err)
{
	struct recover r = { .folder = f, .remote = remote, .cancel = cancel, .now_ns = clock_wall_ns() };
	struct state_totals totals;
	struct entry_sum left;
	err_code rc = state_totals(f->state, &totals, err);

	if (rc || totals.pending == 0 || FAULT("client.forgets_installed"))
		return rc;
	r.row = arena_new(ROW_MEMORY);
	r.batch = arena_new(BATCH_MEMORY);
	rc = state_pending_each(f->state, UINT64_MAX, &left, on_pending, &r, err);
	if (rc == ERR_OK)
		rc = record(&r, err);
	arena_free(r.row);
	arena_free(r.batch);
	return rc;
}
