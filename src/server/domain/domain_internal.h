#pragma once
/**
 * What the files of this folder share.  Only they include it.
 *
 * Locks: everything here is RANK_DOMAIN or RANK_LEAF.  A transaction may hold RANK_META from begin to end, so no RANK_DOMAIN
 * lock is taken inside of one, and none is held while the store or metadata is asked.
 */

#include "base/map.h"
#include "base/thread.h"
#include "chunk/container.h"
#include "server/domain/commit.h"
#include "server/domain/domain.h"
#include "server/domain/garbage.h"

struct headers;
struct registrar;
struct snapshots;
struct clocks;
struct recent;
struct underways;
struct underway;

struct domain {
	struct meta *meta;
	struct store *store;
	struct headers *headers;
	struct leases *leases;
	struct registrar *registrar;
	struct snapshots *snapshots;
	struct clocks *clocks;
	struct recent *seen;     /* devices: when last_seen_at was written */
	struct recent *progress; /* transfers: when the progress row was written */
	struct id pruned;        /* the project that history_prune looked at last; its caller's thread only */
	int64_t opened_at; /* wall clock, microseconds */
	void (*on_change)(void *ctx, const struct id *project, int64_t clock);
	void *on_change_ctx;
	struct domain_live live;
	struct underways *underways;
};

/** How much one transaction's worth of rows is, where we page for ourselves. */
#define ROWS_PAGE 1000

/* ---- small things (domain.c) ------------------------------------------------------------------------------------- */

err_code no_memory(struct err *err);
/** no_project(err): one wording for "does not exist" and "not for you" (I12). */
err_code no_project(struct err *err);
/** project_in(tx, id, out, err): meta_project_get, with no_project. */
err_code project_in(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err);
/** Copies out of a transaction, into ${a}; NO_MEM past its ceiling.  ${in} and ${out} may be the same. */
err_code project_copy(struct arena *a, const struct project *in, struct project *out, struct err *err);
err_code file_copy(struct arena *a, const struct file *in, struct file *out, struct err *err);
/** project_ids(d, after, ids, n, err): the ids of up to ROWS_PAGE projects after ${after} (NULL or zero: from the start). */
err_code project_ids(struct domain *d, const struct id *after, struct id ids[ROWS_PAGE], size_t *n, struct err *err);
/** limit_check(limit, err): 1..PAGE_LIMIT_MAX, else FIELD_RANGE. */
err_code limit_check(unsigned limit, struct err *err);

/** domain_changed(d, project, clock): a commit is durable: let waiters and listeners know. */
void domain_changed(struct domain *d, const struct id *project, int64_t clock);

/* ---- recent.c: "not more often than …", by id; remembers a bounded number and forgets all when full -------------- */

struct recent *recent_new(int64_t every_ms);
void recent_free(struct recent *r);
/** recent_due(r, id): whether ${every_ms} have passed since it last said so for ${id}. */
bool recent_due(struct recent *r, const struct id *id);
void recent_forget(struct recent *r, const struct id *id);

/* ---- clocks.c: the newest clock of each project that this process has seen --------------------------------------- */

struct clocks *clocks_new(void);
void clocks_free(struct clocks *c);
void clocks_publish(struct clocks *c, const struct id *project, int64_t clock); /* never goes back */
void clocks_forget(struct clocks *c, const struct id *project);
void clocks_forget_all(struct clocks *c);
/** clocks_past(c, project, since): true also when nothing is known, so that the asker looks for himself. */
bool clocks_past(struct clocks *c, const struct id *project, int64_t since);

/* ---- underway.c: uploads as they come, for those who watch -------------------------------------------------------- */

struct underways *underways_new(void);
void underways_free(struct underways *us);
/** underway_begin(d, project, t): a chunk of ${t} begins to come; pieces of it do; it ends, having brought ${len} bytes.  NULL may end. */
struct underway *underway_begin(struct domain *d, const struct id *project, const struct transfer *t);
void underway_moved(struct domain *d, struct underway *u, size_t len);
void underway_end(struct domain *d, struct underway *u, uint64_t len, bool arrived);
/** underway_over(d, project, device, transfer, done): it was completed, or given up. */
void underway_over(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer, bool done);

/* ---- headers.c: parsed chunk headers, least recently used first out ---------------------------------------------- */

struct header {
	struct chunk_header h;
	/* the rest is headers.c's */
	struct store_key key;
	struct header *newer, *older;
	unsigned refs;
	bool listed;
};

struct headers *headers_new(size_t max_bytes);
void headers_free(struct headers *hs);
/**
 * header_get(d, key, out, err): a chunk's header, verified against its id; release it with header_release.
 * Errors     NOT_FOUND (the store has no such object), CORRUPT (logged here), IO, UNAVAILABLE.
 */
err_code header_get(struct domain *d, const struct store_key *key, const struct header **out, struct err *err);
void header_release(struct domain *d, const struct header **h); /* sets NULL; NULL inside is fine */
/** header_offer(d, key, parsed): remember one that has just been verified. */
void header_offer(struct domain *d, const struct store_key *key, const struct chunk_header *parsed);

/* ---- registrar.c: chunks that have become durable are written down, many threads' in one transaction ------------- */

struct registration {
	struct id project, device;
	struct id transfer; /* zero: belongs to none */
	uint32_t n;
	struct chunk chunk;
	/* the rest is registrar.c's */
	bool progress_due, done;
	err_code rc;
	struct err err;
	struct registration *next;
};

struct registrar *registrar_new(void);
void registrar_free(struct registrar *r);
/** register_chunk(d, r, err): Errors NOT_FOUND (project, transfer), TRANSFER_GONE, CHUNK_CONFLICT.  Blocks until durable. */
err_code register_chunk(struct domain *d, struct registration *r, struct err *err);

/* ---- garbage.c: what keeps the garbage collector off ------------------------------------------------------------- */

struct leases *leases_new(void);
void leases_free(struct leases *l);

/** lease_renew(d, tx, project, row, err): something new names the chunk: unless it was used lately, its used_at becomes now. */
err_code lease_renew(struct domain *d, struct meta_tx *tx, const struct id *project, const struct chunk *row, struct err *err);

/** An upload without a transfer, while it runs: embedded in its own struct. */
struct upload {
	struct upload *next;
	int64_t begun_at;
};
void content_upload_begin(struct domain *d, struct upload *u);
void content_upload_end(struct domain *d, struct upload *u);

/** A block list whose pages are written ahead, until the commit has ended.  Releasing one that is not held is fine. */
struct held {
	struct held *next;
	struct id project, list;
	bool begun;
};
void list_hold(struct domain *d, struct held *h);
void list_release(struct domain *d, struct held *h);

/* ---- idem.c ------------------------------------------------------------------------------------------------------ */

/** idem_find(tx, idem, a, err): fills idem->replayed and the answer.  IDEMPOTENCY_MISMATCH.  NULL ${idem} is fine. */
err_code idem_find(struct meta_tx *tx, struct idem *idem, struct arena *a, struct err *err);
/** idem_keep(tx, idem, err): encode and remember the answer, in the effect's own transaction (I5). */
err_code idem_keep(struct meta_tx *tx, struct idem *idem, struct err *err);

/* ---- digest.c: the sums that a project keeps over its live files ------------------------------------------------- */

struct sums {
	struct hash digest;
	int64_t file_count, total_bytes;
};
void sums_add(struct sums *s, const struct file *f);
void sums_sub(struct sums *s, const struct file *f);

/* ---- quota.c ----------------------------------------------------------------------------------------------------- */

/** quota_check(tx, project, chunk, err): whether the project has room for the chunk's row, which ${tx} is about to write.  QUOTA. */
err_code quota_check(struct meta_tx *tx, const struct id *project, const struct chunk *chunk, struct err *err);
/**
 * quota_foresee(d, project, chunk, more, err): the same before the bytes are stored, ${more} of them with what is on its way beside;
 * by the time of quota_check others may have taken the room.
 */
err_code quota_foresee(struct domain *d, const struct id *project, const struct hash *chunk, int64_t more, struct err *err);
/** quota_left(p, err): whether there is room for anything. */
err_code quota_left(const struct project *p, struct err *err);

/* ---- transfer.c -------------------------------------------------------------------------------------------------- */

/** transfer_mine(tx, project, device, id, out, err): NOT_FOUND for another device's, as for one that does not exist (I12). */
err_code transfer_mine(struct meta_tx *tx, const struct id *project, const struct id *device, const struct id *id,
    struct transfer *out, struct err *err);
/** transfer_open_mine: as transfer_mine; TRANSFER_GONE unless it is open. */
err_code transfer_open_mine(struct meta_tx *tx, const struct id *project, const struct id *device, const struct id *id,
    struct transfer *out, struct err *err);

/* ---- tree.c ------------------------------------------------------------------------------------------------------ */

struct tree_page;

#define SMALL_LIST_TO ((int64_t)(BLOCKLIST_PAGE_BLOCKS * BLOCK_LEN_MAX)) /* bytes: of larger files the list is more than a page */
/** small_list(f, page, a, out, err): of one file, from page 0 of its list, as small_lists. */
err_code small_list(const struct file *f, const struct packed_page *page, struct arena *a, struct blocklist *out, struct err *err);
/**
 * small_lists(tx, project, rows, n, a, out, err): the block lists of those of ${n} files whose whole content is one page.  block_count 0: it has
 * none, or a longer one, which is asked for page by page.
 */
err_code small_lists(struct meta_tx *tx, const struct id *project, const struct file *rows, size_t n, struct arena *a,
    struct blocklist *out, struct err *err);
/** tree_page_fill(…): what a page of ${n} rows becomes in the caller's arena; rows past ${limit} only say that there is more. */
err_code tree_page_fill(struct meta_tx *tx, const struct id *project, const struct file *rows, size_t n, unsigned limit,
    bool want_extents, struct arena *a, struct tree_page *out, struct err *err);
/** dir_check(tx, project, dir, err): NOT_FOUND unless ${dir} is a live directory; "" always is. */
err_code dir_check(struct meta_tx *tx, const struct id *project, const char *dir, struct err *err);

/* ---- history.c --------------------------------------------------------------------------------------------------- */

/** version_in(tx, project, file, version, out, err): a kept version that is no tombstone, or NOT_FOUND. */
err_code version_in(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version, struct version *out,
    struct err *err);
/**
 * file_known(tx, project, file, a, out, err): a file by id, live, a tombstone, or one whose tombstone has gone while its history is kept:
 * then the tombstone that it was, in ${a}, with the time of its deletion as created_at.  NOT_FOUND.
 */
err_code file_known(struct meta_tx *tx, const struct id *project, const struct id *file, struct arena *a, struct file *out,
    struct err *err);
/** version_file(v, a, out, err): the file as it was then, in ${a}; created_at is not known here and 0. */
err_code version_file(const struct version *v, struct arena *a, struct file *out, struct err *err);

/* ---- commit ------------------------------------------------------------------------------------------------------ */

/**
 * parent_check(tx, project, path, existing, err): may something be put at ${path}?  *existing: how many bytes of ${path} name the
 * deepest ancestor that exists, 0 when none does, or SIZE_MAX when the parent itself does.  PARENT_NOT_DIRECTORY when an ancestor is not a directory.
 */
err_code parent_check(struct meta_tx *tx, const struct id *project, const char *path, size_t *existing, struct err *err);

/* ---- snapshot.c -------------------------------------------------------------------------------------------------- */

struct snapshots *snapshots_new(void);
void snapshots_free(struct snapshots *s);
/** snapshot_expire(d, project, now_us, err): rows that have outlived SNAPSHOT_LIFE, and their objects. */
err_code snapshot_expire(struct domain *d, const struct id *project, int64_t now_us, struct err *err);
