#pragma once
/**
 * The chunks that a server's metadata names, each read and verified, and copied from one store to another: what a backup, a restore and a
 * check have in common.
 */

#include "chunk/container.h"
#include "server/meta/meta.h"
#include "server/store/store.h"

/** A chunk that is not in the source, is not what its name says, or lies where the disk cannot be read. */
struct bad_chunk {
	struct store_key key;
	enum chunk_ill { CHUNK_MISSING, CHUNK_DAMAGED, CHUNK_UNREADABLE } ill;
};

/** chunk_ill_name(ill): "missing", "damaged", "unreadable". */
const char *chunk_ill_name(enum chunk_ill ill);

/** chunk_ill_of(err, ill): what the error says of the object that was read; false: nothing, it could not be looked at. */
bool chunk_ill_of(const struct err *err, enum chunk_ill *ill);

struct chunk_copy {
	/* what to do */
	struct meta *meta;
	struct store *from, *to; /* ${to} NULL: verify, and copy nothing */
	bool heads; /* with ${to} NULL: read no more than the head of each, and compare its length */
	void (*tick)(void *ctx, const struct chunk_copy *c); /* after each chunk; NULL: nobody asks */
	void *ctx;

	/* what was done */
	uint64_t total, total_bytes;   /* chunks that are named, and their containers' length */
	uint64_t done, done_bytes;     /* of them, sound, and in the target if there is one */
	uint64_t copied, copied_bytes; /* in all runs */
	struct bad_chunk *bad;         /* of the last run; chunk_copy_fini */
	size_t bad_count;
};

/**
 * chunk_copy_count(c, err): how much there is to do, from ${meta} alone: total and total_bytes.
 *
 * chunk_copy_run(c, err): each chunk is read, verified as one that comes over a line (I3), and durable in the target when this returns (I1).
 * One that the target has in its length is neither read nor copied again.  One that is missing, damaged or unreadable in the source is noted in
 * ${bad}, and the others are copied all the same.
 *
 * chunk_copy_prune(c, removed, err): what ${meta} does not name goes from the target.
 *
 * Errors     those of either store and of meta.
 */
err_code chunk_copy_count(struct chunk_copy *c, struct err *err);
err_code chunk_copy_run(struct chunk_copy *c, struct err *err);
err_code chunk_copy_prune(struct chunk_copy *c, uint64_t *removed, struct err *err);
void chunk_copy_fini(struct chunk_copy *c);

/** chunk_copy_forget_collected(c, err): those that are named no more are taken from ${bad}: what was collected meanwhile is not amiss. */
err_code chunk_copy_forget_collected(struct chunk_copy *c, struct err *err);

/** chunk_copy_projects(c, fn, ctx, err): ${fn} for each project, in the order of their ids, with no transaction open. */
err_code chunk_copy_projects(struct chunk_copy *c, err_code (*fn)(void *ctx, const struct id *project, struct err *err), void *ctx,
    struct err *err);

/**
 * chunk_head_read(from, key, a, out, err): the head of a chunk, which is the one of its name; all in ${a}, which has room for
 * CHUNK_HEADER_MAX bytes and CHUNK_BLOCKS_MAX blocks.
 * Errors     NOT_FOUND, CHUNK_INVALID, HASH_MISMATCH: it is bad.  Those of the store.
 */
err_code chunk_head_read(struct store *from, const struct store_key *key, struct arena *a, struct chunk_header *out, struct err *err);
