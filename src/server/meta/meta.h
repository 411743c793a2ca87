#pragma once
/**
 * Metadata: projects, devices, the tree, chunks, transfers.  A thin front over a back-end: SQL over db/ (SQLite or PostgreSQL) or
 * memory; one conformance suite holds all.  No rules here: domain/ decides, meta remembers.
 *
 * Everything happens in a transaction.  A reader sees one instant.  A writer excludes other writers (of its project at least)
 * from meta_begin on, so what it has read stays true until it commits; it sees its own writes at once.  After meta_commit returned
 * ERR_OK the effect survives power loss (I2, I4); on any error nothing of it happened, unless the code is UNAVAILABLE, where the
 * outcome is unknown.
 *
 * Ownership  text and arrays that come out live in the transaction's arena, until commit or abort; copy what must live longer.
 *            What goes in is borrowed for the call.
 * Threads    a transaction belongs to one thread; transactions of different threads run at the same time.
 * Errors     NOT_FOUND where one row was asked for, and where a row would belong to a project, device or transfer that is not there;
 *            EXISTS on a key that is taken; NO_SPACE; DB; UNAVAILABLE (retry).  A write that failed leaves the transaction fit for
 *            meta_abort only, unless the function itself names the error (EXISTS of an add, NOT_FOUND of a get).
 * Late       what is written most may be sent without waiting: the error of meta_file_put, meta_version_add, meta_blocks_add or
 *            meta_chunk_touch, and an engine's of any write, may come from a later call in the transaction, at the latest from
 *            meta_commit, which answers with its code.
 * Paging     ${after} 0, "" or NULL: from the start.
 */

#include "base/arena.h"
#include "server/model/model.h"

struct meta;
struct meta_tx;

enum meta_mode {
	META_READ,
	META_READ_ONE, /* one look-up by key alone, as meta_token_get or meta_project_get, with nothing around it that it would have to agree with */
	META_WRITE
};

void meta_free(struct meta *m);

err_code meta_begin(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err);
/**
 * meta_commit(tx, err): releases *tx whatever it returns.  Writers that wait may be let in first, to share one fsync; so hold no lock
 * here that another takes inside its write transaction.
 */
err_code meta_commit(struct meta_tx **tx, struct err *err);
void meta_abort(struct meta_tx **tx);                       /* NULL inside is fine: usable as AUTO() */
struct arena *meta_arena(struct meta_tx *tx);

/**
 * meta_tx_trim(tx): forget everything that this transaction has handed out so far, so that a long one (a snapshot, moving a large
 * directory) runs page by page in constant memory.  What it has written stays, and what it reads stays of one instant.
 */
void meta_tx_trim(struct meta_tx *tx);

/** meta_ping(m, err): can it answer? */
err_code meta_ping(struct meta *m, struct err *err);

/** meta_path_max(m): the longest path that it can keep; PATH_LEN_MAX, or less where an index takes no longer one. */
size_t meta_path_max(const struct meta *m);

/* ---- projects ------------------------------------------------------------------------------------------------------------ */

err_code meta_project_add(struct meta_tx *tx, const struct project *p, struct err *err);
err_code meta_project_get(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err);
err_code meta_project_rename(struct meta_tx *tx, const struct id *id, const char *name, struct err *err);
/** Its history begins anew: cursors and checkpoints of another epoch count no more. */
err_code meta_project_epoch(struct meta_tx *tx, const struct id *id, const struct id *epoch, struct err *err);
err_code meta_project_policy(struct meta_tx *tx, const struct id *id, const struct policy *p, struct err *err);
/** All rows of the project go, its chunk rows too; the store's objects are the garbage collector's. */
err_code meta_project_delete(struct meta_tx *tx, const struct id *id, struct err *err);

/** Projects after ${after} in id order (NULL: from the start), those that ${device} has a grant for (NULL: all). */
err_code meta_project_list(struct meta_tx *tx, const struct id *device, const struct id *after, unsigned limit,
    struct project **out, size_t *n, struct err *err);

/**
 * meta_clock_take(tx, project, now_us, n, last, err): the project's clock becomes max(now, clock + n) … *last; the caller's ${n} ≥ 1
 * changes get *last - n + 1 … *last.  The row stays locked to the end of the transaction, so clock order is commit order (I7).
 */
err_code meta_clock_take(struct meta_tx *tx, const struct id *project, int64_t now_us, unsigned n, int64_t *last,
    struct err *err);

/** meta_project_total(tx, project, digest, file_count, total_bytes, err): set the sums that a commit has changed. */
err_code meta_project_total(struct meta_tx *tx, const struct id *project, const struct hash *digest, int64_t file_count,
    int64_t total_bytes, struct err *err);

/* ---- devices and grants ---------------------------------------------------------------------------------------------------- */

err_code meta_device_add(struct meta_tx *tx, const struct device *d, struct err *err);
err_code meta_device_get(struct meta_tx *tx, const struct id *id, struct device *out, struct err *err);

/** Whose a token is, what he may do in a project, and where that is. */
struct token_row {
	struct device device;
	enum role role;
	bool exists;            /* the project does */
	struct project project; /* undefined unless it exists */
};
/** By the SHA-256 of the token; revoked devices are found too.  ${project} NULL: none.  All at once, since every request asks it. */
err_code meta_token_get(struct meta_tx *tx, const struct hash *token_hash, const struct id *project, struct token_row *out,
    struct err *err);
err_code meta_device_revoke(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err);
err_code meta_device_seen(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err);
/** Replaces; ROLE_NONE takes the grant away. */
err_code meta_grant_set(struct meta_tx *tx, const struct grant *g, struct err *err);
/** ROLE_NONE without error when there is no grant. */
err_code meta_grant_get(struct meta_tx *tx, const struct id *device, const struct id *project, enum role *out, struct err *err);

/** A device of a project with its role and place; checkpoint.clock is 0 while it has none. */
struct device_row {
	struct device device;
	enum role role;
	struct checkpoint checkpoint;
};
/** Devices with a grant for the project that are not revoked, by id. */
err_code meta_device_list(struct meta_tx *tx, const struct id *project, struct device_row **out, size_t *n, struct err *err);

/* ---- the tree ---------------------------------------------------------------------------------------------------------------- */

/** A file by id, live or tombstone. */
err_code meta_file_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct file *out, struct err *err);
/** A live file by path ("dir/name"). */
err_code meta_file_at(struct meta_tx *tx, const struct id *project, const char *path, struct file *out, struct err *err);

/**
 * Insert or replace the row of file->id.  No other live file has the path, which the caller has seen in this transaction.  0 < created_at ≤
 * version; deleted_at is 0 or the version; only a file has a size; no two files of a project share a version.  Else DB or EXISTS, and the
 * transaction is spent.
 * What a row counts beneath it stays as it is, whatever ${file} says; a tombstone counts nothing.
 */
err_code meta_file_put(struct meta_tx *tx, const struct id *project, const struct file *file, struct err *err);

/** meta_file_counts(tx, project, path, delta, err): what lies beneath the live directory ${path} has changed by ${delta}.  NOT_FOUND. */
err_code meta_file_counts(struct meta_tx *tx, const struct id *project, const char *path, const struct beneath *delta,
    struct err *err);

/** Live files with version > after, by version: the listing in clock order. */
err_code meta_file_page(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out,
    size_t *n, struct err *err);
/** Live and deleted files with version > after, by version: the change feed. */
err_code meta_file_changes(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out,
    size_t *n, struct err *err);
/** Live entries directly in ${dir} whose name is > after_name (byte order), by name. */
err_code meta_file_dir(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_name, unsigned limit,
    struct file **out, size_t *n, struct err *err);
/**
 * Live entries anywhere beneath ${dir}, which is not itself among them, after (after_dir, after_name) in (dir, name) byte order: a directory at a
 * time, and beneath "" the whole tree.
 */
err_code meta_file_beneath(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_dir,
    const char *after_name, unsigned limit, struct file **out, size_t *n, struct err *err);

/* ---- the tree as people look at it ------------------------------------------------------------------------------------------ */

/** Live directories directly in ${dir} whose name is past ${after_name} (NULL: from the start), by name; with ${desc} from the other end. */
err_code meta_file_dirs(struct meta_tx *tx, const struct id *project, const char *dir, bool desc, const char *after_name,
    unsigned limit, struct file **out, size_t *n, struct err *err);
/** As meta_file_dir from the other end: names < before_name (NULL: all), the last first. */
err_code meta_file_dir_back(struct meta_tx *tx, const struct id *project, const char *dir, const char *before_name,
    unsigned limit, struct file **out, size_t *n, struct err *err);

/** What the files and links of a directory are sorted by: that, and equal ones by name. */
enum file_key { FILE_SIZE, FILE_MTIME, FILE_VERSION };
/** A place in that order; ${name} says nothing with FILE_VERSION, of which no two are equal. */
struct file_place {
	int64_t key;
	const char *name;
};
/** Live files and links directly in ${dir} past ${after} (NULL: from the start) by ${key}; with ${desc} from the other end. */
err_code meta_file_sorted(struct meta_tx *tx, const struct id *project, const char *dir, enum file_key key, bool desc,
    const struct file_place *after, unsigned limit, struct file **out, size_t *n, struct err *err);

/** No more than where a live entry is: what a search looks at. */
struct file_name {
	struct id id;
	const char *dir, *name;
};
/** Live entries from (dir, name) on, that one included, in the order of meta_file_beneath. */
err_code meta_file_names(struct meta_tx *tx, const struct id *project, const char *dir, const char *name, unsigned limit,
    struct file_name **out, size_t *n, struct err *err);

/* ---- versions and their blocks ----------------------------------------------------------------------------------------------- */

/** EXISTS when the file has that version already, and the transaction is spent. */
err_code meta_version_add(struct meta_tx *tx, const struct id *project, const struct version *v, struct err *err);
err_code meta_version_get(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version,
    struct version *out, struct err *err);
/** Newest first, older than ${before} (INT64_MAX: from the newest). */
err_code meta_version_list(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit,
    struct version **out, size_t *n, struct err *err);

/** The newest versions of files that were deleted at ${path} and have not come back, the newest first; whether or not their tombstones are kept. */
err_code meta_version_gone(struct meta_tx *tx, const struct id *project, const char *path, unsigned limit, struct version **out,
    size_t *n, struct err *err);

/** meta_version_nth(tx, project, file, nth, version, err): the ${nth} newest (1: the newest) that is no tombstone; *version 0: fewer. */
err_code meta_version_nth(struct meta_tx *tx, const struct id *project, const struct id *file, unsigned nth, int64_t *version,
    struct err *err);
/** meta_version_prune(…): the oldest versions of a file go that are older than ${before}, at most ${limit} of them; *n of them went. */
err_code meta_version_prune(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit,
    unsigned *n, struct err *err);

/** A file's versions in numbers. */
struct history_file {
	struct id file;
	int64_t count, oldest; /* rows; the smallest version */
};
/** Files with versions after ${after} (a zero id: from the start), by id, live or not. */
err_code meta_history_files(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit,
    struct history_file **out, size_t *n, struct err *err);

/** How far a walk over a project's histories has come.  All zero: there has been none. */
struct history_walk {
	struct id file;   /* the last one looked at; zero: none is running */
	int64_t ended_at; /* of the walk before, microseconds */
};
err_code meta_history_walk_put(struct meta_tx *tx, const struct id *project, const struct history_walk *w, struct err *err);
err_code meta_history_walk_get(struct meta_tx *tx, const struct id *project, struct history_walk *out, struct err *err);

/* ---- conflicts -------------------------------------------------------------------------------------------------------------------- */

/** meta_conflict_add(…): an open one.  One whose copy has a conflict already, open or not, changes nothing. */
err_code meta_conflict_add(struct meta_tx *tx, const struct id *project, const struct conflict *c, struct err *err);
err_code meta_conflict_get(struct meta_tx *tx, const struct id *project, const struct id *copy, struct conflict *out, struct err *err);
/** meta_conflict_end(…): an open one becomes resolved, as the last three members of ${c} say; *ended: there was an open one. */
err_code meta_conflict_end(struct meta_tx *tx, const struct id *project, const struct conflict *c, bool *ended, struct err *err);

enum conflict_which { CONFLICTS_ALL, CONFLICTS_OPEN, CONFLICTS_RESOLVED };
/** Those with created_at > after, by created_at. */
err_code meta_conflict_list(struct meta_tx *tx, const struct id *project, enum conflict_which which, int64_t after, unsigned limit,
    struct conflict **out, size_t *n, struct err *err);

/* ---- block lists ---------------------------------------------------------------------------------------------------------------- */

/**
 * A block list, in packed pages (chunk/blocklist.h) of BLOCKLIST_PAGE_BLOCKS blocks, all but the last full.  Lists are named by ids of id_new():
 * those of new files lie together, whatever they hash to.  Adding a page that is there already changes nothing.
 */
err_code meta_blocks_add(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page,
    const uint8_t *packed, size_t len, struct err *err);
err_code meta_blocks_get(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page,
    const uint8_t **packed, size_t *len, struct err *err);

#define META_LISTS_MAX 64 /* lists of one question */
struct packed_page {
	const uint8_t *p; /* NULL: there is no such list */
	size_t len;
};
/** meta_blocks_first(tx, project, lists, n, out, err): page 0 of each of ${n} lists, in their order: one question to the database for all. */
err_code meta_blocks_first(struct meta_tx *tx, const struct id *project, const struct id *lists, size_t n, struct packed_page *out,
    struct err *err);
/**
 * meta_file_each(tx, project, lists_to, fn, ctx, err): all live entries to ${fn}, in the order of meta_file_beneath, as the database finds them.  ${list}: page
 * 0 of the block list of a file of 1 … ${lists_to} bytes.  Entries come without what a copy of the tree has no use for, the id of their list and what
 * lies beneath: each column is a twentieth of what a database takes to send a row.  What ${fn} is given, and all that the transaction has handed out before, is gone when it
 * returns; it asks the transaction, which is one of META_READ, nothing.  Its error ends the walk and is the result.
 */
typedef err_code file_each_fn(void *ctx, const struct file *f, const struct packed_page *list, struct err *err);
err_code meta_file_each(struct meta_tx *tx, const struct id *project, int64_t lists_to, file_each_fn *fn, void *ctx, struct err *err);
/** meta_blocks_has(…): whether page 0 is there. */
err_code meta_blocks_has(struct meta_tx *tx, const struct id *project, const struct id *list, bool *has, struct err *err);

/* ---- chunks -------------------------------------------------------------------------------------------------------------------- */

/** Remember a durable chunk and count it in the project's stored_bytes; of one that is known already only used_at changes. */
err_code meta_chunk_add(struct meta_tx *tx, const struct id *project, const struct chunk *c, struct err *err);
err_code meta_chunk_get(struct meta_tx *tx, const struct id *project, const struct hash *id, struct chunk *out, struct err *err);

/* ---- transfers ------------------------------------------------------------------------------------------------------------------ */

err_code meta_transfer_add(struct meta_tx *tx, const struct id *project, const struct transfer *t, struct err *err);
err_code meta_transfer_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct transfer *out, struct err *err);
/** Ends an open transfer: its progress, chunk numbers and block pages go.  One that has ended stays as it ended. */
err_code meta_transfer_end(struct meta_tx *tx, const struct id *project, const struct id *id, enum transfer_state state,
    int64_t now_us, struct err *err);
/** Open transfers of a device in all projects. */
err_code meta_transfer_open_count(struct meta_tx *tx, const struct id *device, unsigned *n, struct err *err);
/** Open transfers whose expires_at ≤ now end as TRANSFER_EXPIRED, each with the milestone "expired"; *n of them. */
err_code meta_transfer_expire(struct meta_tx *tx, int64_t now_us, unsigned *n, struct err *err);

/** Chunk number ${n} of a transfer has arrived; EXISTS when ${n} holds another chunk, ERR_OK when it holds this one. */
err_code meta_transfer_chunk_add(struct meta_tx *tx, const struct id *transfer, const struct transfer_chunk *c,
    int64_t stored_len, struct err *err);
/** By number, from ${from} on. */
err_code meta_transfer_chunk_list(struct meta_tx *tx, const struct id *transfer, uint32_t from, unsigned limit,
    struct transfer_chunk **out, size_t *n, struct err *err);

/** Packed pages of the block list that a transfer brings, by the number of their first block; replacing is fine. */
err_code meta_transfer_blocks_put(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t *packed,
    size_t len, uint32_t block_count, struct err *err);
/** The page whose first block is ${first}. */
err_code meta_transfer_blocks_get(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t **packed,
    size_t *len, struct err *err);

/** Progress is one small row while a transfer runs, gone when it ends (meta_transfer_end deletes it); events are milestones. */
err_code meta_transfer_progress(struct meta_tx *tx, const struct id *transfer, int64_t bytes_done, int64_t now_us,
    struct err *err);
struct transfer_progress {
	int64_t bytes_done, updated_at;
};
err_code meta_transfer_progress_get(struct meta_tx *tx, const struct id *transfer, struct transfer_progress *out,
    struct err *err);
err_code meta_transfer_event(struct meta_tx *tx, const struct id *project, const struct id *transfer, const char *event,
    int64_t now_us, struct err *err);
struct transfer_event {
	const char *event;
	int64_t at;
};
/** Oldest first. */
err_code meta_transfer_event_list(struct meta_tx *tx, const struct id *transfer, unsigned limit, struct transfer_event **out,
    size_t *n, struct err *err);
/** Milestones older than ${before_us} go. */
err_code meta_transfer_event_expire(struct meta_tx *tx, int64_t before_us, struct err *err);

/* ---- snapshots, checkpoints, idempotency ---------------------------------------------------------------------------------------- */

err_code meta_snapshot_add(struct meta_tx *tx, const struct id *project, const struct snapshot *s, struct err *err);
/** The one of ${format} with the newest clock that has not expired. */
err_code meta_snapshot_latest(struct meta_tx *tx, const struct id *project, int format, int64_t now_us, struct snapshot *out,
    struct err *err);
/** The newest of ${format} that is stored as ${object} and has not expired. */
err_code meta_snapshot_named(struct meta_tx *tx, const struct id *project, int format, const struct hash *object, int64_t now_us,
    struct snapshot *out, struct err *err);
/** Removes rows whose expires_at ≤ now; hands them out, in no order, so that their objects can be deleted. */
err_code meta_snapshot_expire(struct meta_tx *tx, const struct id *project, int64_t now_us, struct snapshot **out, size_t *n,
    struct err *err);

/** Insert or replace; device_name is not stored: get reads it from the device. */
err_code meta_checkpoint_put(struct meta_tx *tx, const struct id *project, const struct checkpoint *c, struct err *err);
err_code meta_checkpoint_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct checkpoint *out,
    struct err *err);

/** What a device has deleted of a project within an hour.  All zero: nothing yet. */
struct delete_hour {
	int64_t began_at; /* microseconds */
	int64_t clock;    /* of the project, when it began: who came later was not there */
	int64_t entries;  /* live ones, when it began */
	int64_t deleted;  /* of them */
	int64_t held_at;  /* when the first deletion was held, 0: none was */
};
err_code meta_delete_hour_put(struct meta_tx *tx, const struct id *project, const struct id *device, const struct delete_hour *h,
    struct err *err); /* inserts or replaces */
err_code meta_delete_hour_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct delete_hour *out,
    struct err *err);

/**
 * meta_checkpoint_slowest(tx, project, seen_us, clock, err): the smallest clock among the checkpoints of the present epoch of devices that
 * are not revoked, may still read the project and were seen, or named their place, at ${seen_us} or later; INT64_MAX: there is none.
 */
err_code meta_checkpoint_slowest(struct meta_tx *tx, const struct id *project, int64_t seen_us, int64_t *clock, struct err *err);
/** The oldest tombstone's version; INT64_MAX: there is none. */
err_code meta_tombstone_first(struct meta_tx *tx, const struct id *project, int64_t *version, struct err *err);
/**
 * meta_tombstone_prune(…): the oldest tombstones with a version ≤ ${upto} leave the tree, at most ${limit} of them, and the project's
 * horizon becomes that of the last that went.  Their versions stay.
 */
err_code meta_tombstone_prune(struct meta_tx *tx, const struct id *project, int64_t upto, unsigned limit, unsigned *n, struct err *err);

/** The remembered answer to a request that carried an Idempotency-Key.  ${key_hash}: SHA-256 of the key. */
struct idempotent {
	struct id device;
	struct hash key_hash;
	struct hash request_hash; /* over method, target and body */
	int status;
	const uint8_t *body;
	size_t body_len;
	int64_t created_at;
};
err_code meta_idempotent_add(struct meta_tx *tx, const struct idempotent *i, struct err *err); /* EXISTS when the key is taken */
err_code meta_idempotent_get(struct meta_tx *tx, const struct id *device, const struct hash *key_hash, struct idempotent *out,
    struct err *err);
err_code meta_idempotent_expire(struct meta_tx *tx, int64_t before_us, struct err *err);

/* ---- what the garbage collector asks -------------------------------------------------------------------------------------------- */

/** meta_chunk_touch(…): its used_at becomes ${used_at}.  No row: nothing. */
err_code meta_chunk_touch(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t used_at, struct err *err);
/** By id, after ${after} (NULL: from the start). */
err_code meta_chunk_list(struct meta_tx *tx, const struct id *project, const struct hash *after, unsigned limit, struct chunk **out,
    size_t *n, struct err *err);
/** The row goes, and out of stored_bytes, when its used_at is before ${before_us}; *gone: it did. */
err_code meta_chunk_sweep(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t before_us, bool *gone,
    struct err *err);

/** Whether a version that is no tombstone has the list.  The present state of a file is one of its versions. */
err_code meta_list_named(struct meta_tx *tx, const struct id *project, const struct id *list, bool *named, struct err *err);
/** The first list after ${after} (NULL: at all) that has a page.  NOT_FOUND: there is none. */
err_code meta_list_after(struct meta_tx *tx, const struct id *project, const struct id *after, struct id *out, struct err *err);

struct blocks_row {
	struct id list;
	uint32_t page;
	const uint8_t *packed;
	size_t len;
};
/** Pages of all lists after page ${page} of ${list} (-1: from its first), in that order. */
err_code meta_blocks_list(struct meta_tx *tx, const struct id *project, const struct id *list, int64_t page, unsigned limit,
    struct blocks_row **out, size_t *n, struct err *err);
/** NOT_FOUND when there is no such page. */
err_code meta_blocks_replace(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page,
    const uint8_t *packed, size_t len, struct err *err);
/** Pages 0 … ${last} of a list go. */
err_code meta_blocks_drop(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t last, struct err *err);

/** Open transfers of a project by id, after ${after} (NULL: from the start). */
err_code meta_transfer_open_list(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit, struct id **out,
    size_t *n, struct err *err);
struct transfer_page {
	int64_t first; /* block */
	const uint8_t *packed;
	size_t len;
};
/** Pages of the list that a transfer brings whose first block is after ${after} (-1: all). */
err_code meta_transfer_blocks_list(struct meta_tx *tx, const struct id *transfer, int64_t after, unsigned limit,
    struct transfer_page **out, size_t *n, struct err *err);
/** Up to ${limit} transfers that ended before ${before_us} go, milestones and all; *n of them. */
err_code meta_transfer_forget(struct meta_tx *tx, int64_t before_us, unsigned limit, unsigned *n, struct err *err);

/** Whether a row of the project, of a chunk or a snapshot, names the store's object. */
err_code meta_object_named(struct meta_tx *tx, const struct id *project, const struct hash *object, bool *named, struct err *err);

/* ---- back-ends -------------------------------------------------------------------------------------------------------------------- */

struct db;
/** meta_sql_open(db, out, err): over a database whose migrations have been applied; takes ${db}. */
err_code meta_sql_open(struct db *db, struct meta **out, struct err *err);

/** meta_mem_new(): in memory, for tests; the same promises but durability. */
struct meta *meta_mem_new(void);
