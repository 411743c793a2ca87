#include "client/listing.h"

#define PAGE_MEMORY (16 * MIB)

static const struct remote_view by_name;

err_code
listing_dir(struct remote *remote, const char *dir, const struct remote_view *view, listing_fn fn, void *ctx, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	AUTO(freep) char *after = NULL;
	const char *next;

	do {
		struct wire_file *files;
		size_t n;
		err_code rc;

		arena_reset(a);
		rc = remote_dir(remote, dir, view ? view : &by_name, after, a, &files, &n, &next, err);
		for (size_t i = 0; rc == ERR_OK && i < n; i++)
			rc = fn(ctx, &files[i], err);
		if (rc)
			return rc;
		freep(&after);
		after = next ? xstrdup(next) : NULL;
	} while (next);
	return ERR_OK;
}

struct descent {
	struct remote *remote;
	const struct remote_view *view;
	listing_fn fn;
	void *ctx;
};

static err_code
descend(void *ctx, const struct wire_file *f, struct err *err)
{
	struct descent *d = ctx;
	err_code rc = d->fn(d->ctx, f, err);

	if (rc || f->kind != ENTRY_DIR)
		return rc;
	/* As deep as a path may be (PATH_DEPTH_MAX), since every path has been checked. */
	rc = listing_dir(d->remote, f->path, d->view, descend, d, err);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc; /* gone since its parent was listed */
}

err_code
listing_tree(struct remote *remote, const char *dir, const struct remote_view *view, listing_fn fn, void *ctx, struct err *err)
{
	struct descent d = { .remote = remote, .view = view, .fn = fn, .ctx = ctx };

	return listing_dir(remote, dir, view, descend, &d, err);
}
