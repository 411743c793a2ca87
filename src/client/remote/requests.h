#pragma once
/** What the files with the API's calls share.  Private to remote/. */

#include "client/remote/http.h"

struct remote_http {
	struct remote base;
	struct http *http;
	char project[ID_HEX_LEN + 1];
};

#define REQUEST_PATH_MAX 512 /* no path of ours carries text that someone chose */

static inline struct remote_http *
remote_http_of(struct remote *r)
{
	return (struct remote_http *)(void *)r;
}

/** request_path(r, out, fmt, …): a path beneath the project.  Returns ${out}. */
FORMAT(3, 4)
const char *request_path(const struct remote_http *r, char out[static REQUEST_PATH_MAX], const char *fmt, ...);

/** request_run(r, c, err): http_run for calls whose answer may hold a problem that only its code matters of. */
err_code request_run(struct remote_http *r, struct http_call *c, struct err *err);

/* ---- history.c --------------------------------------------------------------------------------------------------------------- */

err_code request_dir(struct remote *base, const char *dir, const struct remote_view *view, const char *after, struct arena *a,
    struct wire_file **out, size_t *n, const char **next, struct err *err);
err_code request_at(struct remote *base, const char *at, struct arena *a, struct wire_file **out, size_t *n, struct err *err);
err_code request_versions(struct remote *base, const struct id *file, int64_t before, struct arena *a, struct wire_version **out,
    size_t *n, bool *more, struct err *err);

/* ---- conflicts.c ------------------------------------------------------------------------------------------------------------ */

err_code request_conflicts(struct remote *base, bool all, const struct cursor *after, struct arena *a, struct wire_conflicts *out,
    struct err *err);
err_code request_resolve(struct remote *base, const struct id *conflict, const struct wire_resolve *wish, struct arena *a,
    struct wire_conflict *out, struct err *err);

/* ---- blocks.c --------------------------------------------------------------------------------------------------------------- */

err_code request_blocks(struct remote *base, const struct id *file, int64_t version, uint64_t from, struct arena *a,
    const uint8_t **packed, size_t *len, bool *more, struct err *err);
err_code request_extents(struct remote *base, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed,
    size_t *len, bool *more, struct err *err);
err_code request_blocks_fetch(struct remote *base, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len,
    struct err *err);

/* ---- devices.c -------------------------------------------------------------------------------------------------------------- */

err_code request_devices(struct remote *base, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project,
    struct err *err);
err_code request_progress(struct remote *base, const struct wire_progress *p, size_t n, struct err *err);

/* ---- uploads.c -------------------------------------------------------------------------------------------------------------- */

err_code request_transfer_get(struct remote *base, const struct id *transfer, uint32_t from, struct arena *a, struct remote_transfer *out,
    struct err *err);
