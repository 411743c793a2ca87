#pragma once
/**
 * The chunk store: immutable objects by project and hash.  A thin front over a back-end (local directory, memory; wrappers
 * for faults); every method is documented here and held by one conformance suite.
 *
 * The store does not look into objects: who puts one has verified that it is what its key says (domain/transfer.c).
 *
 * Threads    every call may come from any thread, concurrently; all may block on disk or network, so never on an event loop.
 * Errors     NO_SPACE, DENIED: permanent until someone acts; UNAVAILABLE: retry; READ_ONLY: a write after a failed fsync (I6).
 */

#include "base/err.h"
#include "base/hash.h"
#include "base/id.h"

/** Where an object lies.  Projects never share objects, so knowing a hash opens nothing (I12). */
struct store_key {
	struct id project;
	struct hash hash;
};

struct store;
struct store_writer;

void store_free(struct store *s);

/**
 * store_open_writer(s, w, err), store_write, store_write_at, store_finish, store_abandon: one new object.
 *
 * store_write appends; store_write_at overwrites bytes before the append position (a header that is known last).
 * store_finish makes the object durable under ${key}: after ERR_OK it survives power loss (I1), also when the key was there
 * already, in which case the old object stays and the new bytes are dropped; an old object of another length can only be a
 * damaged one, and is replaced.  A writer that failed to write answers that code again.  Both store_finish and store_abandon release *w
 * whatever they return and set it to NULL.  What a crash leaves of an unfinished writer is removed at the next open.
 */
err_code store_open_writer(struct store *s, struct store_writer **w, struct err *err);
err_code store_write(struct store_writer *w, const uint8_t *p, size_t len, struct err *err);
err_code store_write_at(struct store_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err);
err_code store_finish(struct store_writer **w, const struct store_key *key, struct err *err);
void store_abandon(struct store_writer **w); /* NULL inside is fine: usable as AUTO() */

/** store_put(s, key, p, len, err): a whole object at once, by the calls above. */
err_code store_put(struct store *s, const struct store_key *key, const uint8_t *p, size_t len, struct err *err);

/**
 * store_read(s, key, off, buf, len, got, err): up to ${len} bytes from ${off}; *got < len only at the object's end.
 * Errors     NOT_FOUND, IO.
 */
err_code store_read(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got,
    struct err *err);

/** store_size(s, key, size, err): length of the object.  NOT_FOUND when there is none. */
err_code store_size(struct store *s, const struct store_key *key, uint64_t *size, struct err *err);

/** store_age(s, key, age_us, err): microseconds since the object was put, by the wall clock, so below 0 when that was set back.  NOT_FOUND. */
err_code store_age(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err);

/**
 * store_open_fd(s, key, fd, size, err): a descriptor to send the object from; the caller closes it.  It stays readable when
 * the object is deleted meanwhile.  NOT_IMPLEMENTED where the back-end has no files: read instead.
 */
err_code store_open_fd(struct store *s, const struct store_key *key, int *fd, uint64_t *size, struct err *err);

/** store_delete(s, key, err): gone after this; ERR_OK also when it was not there.  Works on a full disk. */
err_code store_delete(struct store *s, const struct store_key *key, struct err *err);

/**
 * store_list(s, fn, ctx, err): hand every object to ${fn}, in no particular order; objects that come or go meanwhile may or may
 * not be seen.  ${fn} returns false to stop.
 */
err_code store_list(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx,
    struct err *err);

/** store_check(s, err): can it take writes now?  READ_ONLY, NO_SPACE (below the reserve), UNAVAILABLE. */
err_code store_check(struct store *s, struct err *err);

/**
 * store_fs_open(dir, reserve, out, err): objects as files beneath ${dir}, made when missing: chunks/00…ff and tmp.  One process
 * at a time (the caller holds the data directory's lock).  A write is refused with NO_SPACE while less than ${reserve} bytes are
 * free.
 */
err_code store_fs_open(const char *dir, uint64_t reserve, struct store **out, struct err *err);

/**
 * store_fs_open_reader(dir, out, err): the same objects to read only, beside a process that serves them; nothing is made or removed.
 * Every write and delete is READ_ONLY.  NOT_FOUND when ${dir} has no chunks.
 */
err_code store_fs_open_reader(const char *dir, struct store **out, struct err *err);

/** store_mem_new(): in memory, for tests; the same promises but durability. */
struct store *store_mem_new(void);

/**
 * store_fault_new(inner): wraps ${inner} (taken) and fails on demand, for tests: the next call of ${op} after ${skip} more
 * answers ${code}.  ops: "open", "write", "finish" (nothing happened), "finished" (the object is there all the same), "read",
 * "delete".  One failure an arming.
 */
struct store *store_fault_new(struct store *inner);
void store_fault_arm(struct store *fault, const char *op, unsigned skip, err_code code);
