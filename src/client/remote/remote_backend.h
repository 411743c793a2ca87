#pragma once
/**
 * What a server looks like from inside: the table that remote.h's calls go through.  http.c has the real one; tests put an
 * in-memory twin in its place.  Contracts are those of remote.h; arguments have been checked by then.
 */

#include "client/remote/remote.h"

struct remote_backend {
	void (*free)(struct remote *r);
	void (*stats)(struct remote *r, struct remote_stats *out);
	err_code (*self)(struct remote *r, struct arena *a, struct remote_self *out, struct err *err);
	err_code (*changes)(struct remote *r, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *err);
	err_code (*snapshot_part)(struct remote *r, struct hash *object, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
	    struct err *err);
	err_code (*blocks)(struct remote *r, const struct id *file, int64_t version, uint64_t from, struct arena *a,
	    const uint8_t **packed, size_t *len, bool *more, struct err *err);
	err_code (*extents)(struct remote *r, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed,
	    size_t *len, bool *more, struct err *err);
	err_code (*blocks_fetch)(struct remote *r, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err);
	err_code (*transfer_create)(struct remote *r, const char *path, int64_t size, struct id *out, struct err *err);
	err_code (*transfer_get)(struct remote *r, const struct id *transfer, uint32_t from, struct arena *a,
	    struct remote_transfer *out, struct err *err);
	err_code (*transfer_blocks)(struct remote *r, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
	    struct err *err);
	err_code (*chunk_put)(struct remote *r, const struct id *transfer, uint32_t n, const uint8_t *p, size_t len, struct err *err);
	err_code (*transfer_delete)(struct remote *r, const struct id *transfer, struct err *err);
	/** Bytes off…off+cap-1, or up to the end when that comes first; *got ≥ 1 of them, *total is the container's size. */
	err_code (*chunk_range)(struct remote *r, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t cap, size_t *got,
	    uint64_t *total, struct err *err);
	err_code (*chunk_all)(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t *len, struct err *err);
	err_code (*dir)(struct remote *r, const char *dir, const struct remote_view *view, const char *after, struct arena *a,
	    struct wire_file **out, size_t *n, const char **next, struct err *err);
	err_code (*at)(struct remote *r, const char *path, struct arena *a, struct wire_file **out, size_t *n, struct err *err);
	err_code (*versions)(struct remote *r, const struct id *file, int64_t before, struct arena *a, struct wire_version **out,
	    size_t *n, bool *more, struct err *err);
	err_code (*conflicts)(struct remote *r, bool all, const struct cursor *after, struct arena *a, struct wire_conflicts *out,
	    struct err *err);
	err_code (*resolve)(struct remote *r, const struct id *conflict, const struct wire_resolve *wish, struct arena *a,
	    struct wire_conflict *out, struct err *err);
	err_code (*commit)(struct remote *r, const struct wire_commit *c, struct arena *a, struct wire_commit_answer *out, struct err *err);
	err_code (*devices)(struct remote *r, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project, struct err *err);
	err_code (*progress)(struct remote *r, const struct wire_progress *p, size_t n, struct err *err);
	err_code (*checkpoint_put)(struct remote *r, const struct cursor *at, struct err *err);
};

/** Embedded first in each back-end's own struct. */
struct remote {
	const struct remote_backend *backend;
};
