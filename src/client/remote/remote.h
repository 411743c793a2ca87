#pragma once
/**
 * The server's API as typed calls, over libcurl.  Nothing the server sends is trusted: sizes are bounded before allocation, redirects
 * are not followed, encodings not asked for are refused, and what does not fit the protocol is PROTOCOL.
 *
 * Retries    connection loss, timeouts, 429 and 503 are repeated with jittered back-off (as Retry-After says) for up to retry_ms; permanent
 *            errors never.  POSTs carry an Idempotency-Key, so repeating is safe (I5).
 *            The time runs from the first failure of a call, so a slow upload is not cut off for being slow.
 * Threads    all calls from any thread, concurrently; connections are pooled inside.
 * Errors     NETWORK, PROTOCOL, CANCELLED, TOKEN_*; else the code of the server's problem.
 */

#include "base/arena.h"
#include "wire/event.h"

struct remote;

struct remote_opts {
	const char *url;      /* base URL; http only for loopback unless allow_http */
	const char *token;
	struct id project;
	int64_t retry_ms;     /* 0: 30,000 */
	const bool *cancel;   /* stop soon when it becomes true; may be NULL */
	bool allow_http;
	const char *ca_file;  /* PEM of the authorities to trust; NULL: the system's */
	uint64_t rate;        /* bytes a second that all requests together may take in each direction; 0: no limit */
	unsigned stall_s;     /* a line that moves less than 1 KiB/s for so long is cut and tried again; 0: 30 */
};
/** Errors     USAGE: the URL cannot be one; TOKEN_INVALID: nor can the token; TLS_REQUIRED.  Nothing is sent yet. */
err_code remote_open(const struct remote_opts *opts, struct remote **out, struct err *err);
void remote_free(struct remote *r);

/** remote_is_away(rc): the line or the server does not work just now; later it may. */
bool remote_is_away(err_code rc);

/** What has crossed the line so far. */
struct remote_stats {
	uint64_t requests, retries, bytes_up, bytes_down; /* bodies and heads */
};
void remote_stats(struct remote *r, struct remote_stats *out);

/** Who am I: GET …/checkpoint.  Names in ${a}. */
struct remote_self {
	struct id device;
	const char *device_name, *project_name;
	bool writer;
};
err_code remote_self(struct remote *r, struct arena *a, struct remote_self *out, struct err *err);

/**
 * remote_changes: a page of …/files/changes with extents, 1,000 rows.  ${since} NULL: from the start.
 * Errors     CURSOR_EXPIRED, EPOCH_CHANGED.
 */
err_code remote_changes(struct remote *r, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *err);

/**
 * remote_snapshot_part(r, object, off, buf, cap, got, total, err): bytes ${off}… of the whole tree as compressed lines (zstd; wire_snapshot, then a wire_file
 * with extents each) into ${buf}: ${cap} of them, or up to the end at *total.  *object is which one it is: all zero with ${off} 0 takes whichever the server has.
 * Errors     PRECONDITION_FAILED: it does not have that one any more.  NO_SPACE, CORRUPT, …: it cannot make one.
 */
err_code remote_snapshot_part(struct remote *r, struct hash *object, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *err);

/** One page of a file's packed block list; *more.  ${version} 0: of the present one. */
err_code remote_blocks(struct remote *r, const struct id *file, int64_t version, uint64_t from, struct arena *a,
    const uint8_t **packed, size_t *len, bool *more, struct err *err);
/** The same page without the blocks' hashes and lengths (blocklist_extents_unpack).  UNKNOWN_FIELD: the server does not have this form. */
err_code remote_extents(struct remote *r, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed, size_t *len,
    bool *more, struct err *err);

err_code remote_transfer_create(struct remote *r, const char *path, int64_t size, struct id *out, struct err *err);
err_code remote_transfer_blocks(struct remote *r, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
    struct err *err);
err_code remote_chunk_put(struct remote *r, const struct id *transfer, uint32_t n, const uint8_t *p, size_t len, struct err *err);
err_code remote_transfer_delete(struct remote *r, const struct id *transfer, struct err *err);

/** Bytes off…off+len-1 of a chunk's container into ${buf}; exactly ${len}, else PROTOCOL. */
err_code remote_chunk_get(struct remote *r, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t len, struct err *err);
/**
 * The first bytes of a container, at most ${cap} ≤ CHUNK_LEN_MAX of them: *got arrived (all of a smaller container), *total is its size.
 * One request shows the header, which is at most 40 KiB, and often the whole of a small chunk.
 */
err_code remote_chunk_start(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t cap, size_t *got, size_t *total,
    struct err *err);
/** A whole container of unknown size, ≤ CHUNK_LEN_MAX, into ${buf} (CHUNK_LEN_MAX bytes). */
err_code remote_chunk_get_all(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t *len, struct err *err);

/**
 * 1..COMMIT_OPS_MAX operations in one transaction; out->n is always c->n.
 * Errors     CHUNKS_MISSING: nothing was applied; out->missing names the chunks (missing_n 0: not told which).  Others: the batch is
 *            wrong as a whole.
 */
err_code remote_commit(struct remote *r, const struct wire_commit *c, struct arena *a, struct wire_commit_answer *out, struct err *err);

/* ---- blocks of several chunks (blocks.c) ------------------------------------------------------------------------------------ */

/**
 * remote_blocks_fetch(r, runs, n, buf, len, err): the named blocks, of any chunks, at most BLOCKS_FETCH_MAX of BLOCKS_FETCH_RAW_MAX bytes, as one container of exactly those in that order, into
 * ${buf} (CHUNK_LEN_MAX bytes).  Its id is not one that anybody vouches for: compare each block with what it should be.
 * Errors     NOT_FOUND: a chunk or block is not there, or the server does not have this call; METHOD_NOT_ALLOWED: surely the latter;
 *            FIELD_RANGE: more than the limits.
 */
err_code remote_blocks_fetch(struct remote *r, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err);

/* ---- people's views of the tree, and its history (history.c) ------------------------------------------------------------------ */

/** How a directory is sorted, and what is looked for beneath it instead. */
struct remote_view {
	const char *sort;   /* "name", "size", "mtime", "changed": directories first, then files by that; NULL: all by name */
	bool desc;          /* from the other end; with ${sort} only */
	const char *search; /* names that hold this, anywhere beneath the directory; with neither of those.  NULL: what lies directly in it */
};
/**
 * remote_dir: a page of what lies in ${dir} ("" is the top), in ${a}.  ${after}: *next of the page before, NULL at first; *next is NULL on
 * the last page.  A page of a search may be empty and lead on.
 * Errors     NOT_FOUND: no such directory (a search finds nothing there).
 */
err_code remote_dir(struct remote *r, const char *dir, const struct remote_view *view, const char *after, struct arena *a,
    struct wire_file **out, size_t *n, const char **next, struct err *err);
/** remote_at: the live entry at ${path}, if there is one, then those that were deleted there, the newest first.  NOT_FOUND: neither. */
err_code remote_at(struct remote *r, const char *path, struct arena *a, struct wire_file **out, size_t *n, struct err *err);
/** remote_versions: a page of a file's kept versions older than ${before} (INT64_MAX: all), the newest first; *more. */
err_code remote_versions(struct remote *r, const struct id *file, int64_t before, struct arena *a, struct wire_version **out, size_t *n,
    bool *more, struct err *err);

/* ---- conflicts (conflicts.c) ---------------------------------------------------------------------------------------------------- */

/** remote_conflicts: a page of the open conflicts, or of ${all}, after ${after} (NULL: from the first), in ${a}. */
err_code remote_conflicts(struct remote *r, bool all, const struct cursor *after, struct arena *a, struct wire_conflicts *out,
    struct err *err);
/** remote_resolve: Errors VERSION_CONFLICT, NOT_EMPTY, …, each with the server's reason; NOT_FOUND. */
err_code remote_resolve(struct remote *r, const struct id *conflict, const struct wire_resolve *wish, struct arena *a,
    struct wire_conflict *out, struct err *err);

/* ---- uploads under way (uploads.c) -------------------------------------------------------------------------------------------- */

#define TRANSFER_PAGE_CHUNKS 1000 /* PAGE_LIMIT_MAX: as many as the server tells at once */

/** A page of what has arrived of an upload, by number. */
struct remote_transfer {
	bool open;   /* false: it has ended, and nothing more can be sent to it */
	bool more;   /* there are further numbers */
	struct remote_arrived {
		uint32_t n;
		struct hash chunk;
	} *chunks;   /* numbers ascend from the one asked for */
	size_t n;
};
/** remote_transfer_get(r, transfer, from, a, out, err): the chunks from number ${from} on.  NOT_FOUND: there is no such transfer. */
err_code remote_transfer_get(struct remote *r, const struct id *transfer, uint32_t from, struct arena *a, struct remote_transfer *out,
    struct err *err);

/** remote_devices(r, a, out, n, project, err): all of the project's, in ${a}, and where the project is. */
err_code remote_devices(struct remote *r, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project, struct err *err);
/**
 * remote_progress(r, p, n, err): tell those who listen how far up to PROGRESS_PER_DEVICE_MAX downloads are (device and up are not looked at).
 * Said once: what comes next is newer than what could be said again.
 * Errors     NOT_FOUND, METHOD_NOT_ALLOWED: the server does not have this call.
 */
err_code remote_progress(struct remote *r, const struct wire_progress *p, size_t n, struct err *err);

err_code remote_checkpoint_put(struct remote *r, const struct cursor *at, struct err *err);
