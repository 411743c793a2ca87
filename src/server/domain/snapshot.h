#pragma once
/**
 * The whole tree in one answer: built by streaming, kept compressed in the store for seven days, then brought up to date by
 * changes from its cursor.
 */

#include "server/domain/domain.h"

enum snapshot_form { SNAPSHOT_JSON, SNAPSHOT_NDJSON };
enum snapshot_coding { SNAPSHOT_PLAIN, SNAPSHOT_GZIP, SNAPSHOT_ZSTD };

/**
 * The bytes of a snapshot are made by the router's encoder, piece by piece, so that this folder knows no JSON.  ${list}: the blocks of
 * a file that has at most a page of them, in SNAPSHOT_NDJSON, which programs read; else NULL.
 */
struct snapshot_encoder {
	void *ctx;
	void (*head)(void *ctx, struct sbuf *out, enum snapshot_form form, const struct project *p);
	void (*file)(void *ctx, struct sbuf *out, enum snapshot_form form, const struct file *f, const struct blocklist *list, bool first);
	void (*tail)(void *ctx, struct sbuf *out, enum snapshot_form form);
};

/** A snapshot ready to send. */
struct snapshot_out {
	struct snapshot row;   /* clock, epoch, digest, sizes */
	struct store_key key;  /* its stored bytes, in the coding asked for */
	uint64_t len;
	int fd;                /* to send from, or -1: read */
};

/**
 * snapshot_open(d, project, form, coding, encoder, a, out, err): the cached one while the change feed reaches back to it and it is
 * either of the present clock and at most ${SNAPSHOT_LIFE} old, or at most ten minutes old; else a new one (one builder at a time per
 * project, form and coding; others wait for it).  Snapshot and changes from its clock make the present tree either way.
 * ${named}, or NULL: the object of one that the caller has read a part of: while it is kept and the change feed reaches back to it, that one is
 * it, so that a reading over a slow line comes to its end.
 * The caller closes out->fd.
 */
err_code snapshot_open(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, const struct hash *named, struct snapshot_out *out, struct err *err);
err_code snapshot_read(struct domain *d, const struct snapshot_out *s, uint64_t off, uint8_t *buf, size_t len, size_t *got,
    struct err *err);
