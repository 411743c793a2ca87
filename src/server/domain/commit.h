#pragma once
/**
 * Changing the tree: a batch of operations in one transaction, each with the version it was made on.
 *
 * The batch is all or nothing against crashes (I4) and per operation against conflicts: an operation whose base is stale, whose
 * parent is missing or whose name is taken changes nothing and says so in its result; the others are applied.  Chunks that are not
 * here fail the whole batch before anything is applied, all of them listed.  Operations are applied in order and each sees what
 * those before it did: a directory and what is in it, or a directory's entries and then itself, may be in one batch.
 *
 * Results of operations (code in op_result; all with ${current} but where said otherwise):
 *
 *   ok, unchanged     the state is there already, whatever the base: same kind, content and target, and of mode and mtime those that
 *                     the operation says; a delete of a tombstone; a move to where it is
 *   NAME_EXISTS       put without base, move or restore onto something live
 *   VERSION_CONFLICT  the base is older than the file; put with base where nothing is any more (no ${current}); move of a tombstone
 *   BASE_INVALID      the base is newer than the file, or, where nothing is at the path, than the project (no ${current})
 *   NOT_EMPTY         delete of a directory with entries, or a put of another kind over one
 *   MASS_DELETE_HELD  a delete, or a put of a directory or over one, beyond what the device may delete within an hour (commit_hold.c); no ${current}
 *   PARENT_MISSING, PARENT_NOT_DIRECTORY, MOVE_CYCLE, PATH_TOO_LONG (beneath a moved directory, or for the database: meta_path_max), NOT_FOUND (id or
 *   version, or the file of a conflict), BASE_INVALID (of a conflict: a version that is still to come), FIELD_MISSING (no content to keep),
 *   HASH/SIZE mismatch of a copy: no ${current}
 *
 * A put of another kind on the right base makes the old file a tombstone and a new file with a new id: two changes.  A move of a
 * directory is a change for each entry in it.
 */

#include "server/domain/domain.h"

enum op_kind { OP_PUT, OP_DELETE, OP_MOVE, OP_RESTORE };

/** Where a put's bytes are. */
enum content_source { CONTENT_NONE, CONTENT_EXTENTS, CONTENT_TRANSFER, CONTENT_FROM };

struct op {
	enum op_kind kind;
	const char *path;    /* put, move: where to; checked here (path_check) */
	struct id file;      /* delete, move, restore */
	bool has_base;       /* delete, move and restore must have one (BASE_REQUIRED); of a tombstone: the tombstone's version */
	int64_t base;        /* the version that the caller has seen; put without: the path must be free */
	enum kind entry;     /* put */
	bool has_mode, has_mtime;
	uint32_t mode;       /* default: what the file has; new: 0644, directories 0755; masked to 0777; links are 0777 */
	int64_t mtime_ns;    /* default: now */
	enum content_source source; /* NONE: on a base and with a zero hash keeps the content; with the empty file's hash is empty */
	int64_t size;        /* file: must be what the blocks add up to */
	struct hash content; /* file: must be what the blocks hash to */
	const struct extent *extents;
	uint32_t extent_count;
	struct id transfer;  /* beside extents too: ends it as done when all operations that name it are applied */
	struct id from_file;
	int64_t from_version; /* CONTENT_FROM; and what restore brings back */
	const char *target;  /* link */
	bool has_conflict;   /* put of a new file: it holds what lost a name against conflict_version of conflict_file (conflict.h) */
	struct id conflict_file;
	int64_t conflict_version;
	bool make_parents;   /* put: make the directories on the way (PUT …/content/) */
};

struct op_result {
	err_code code;       /* ERR_OK, or why it was not applied */
	const char *reason, *detail;
	bool unchanged;      /* the tree said so already */
	struct id file;
	int64_t version;
	bool has_current;    /* on a conflict: what is there now */
	struct file current;
};

struct commit {
	const struct op *ops;
	size_t n;            /* 1..COMMIT_OPS_MAX */
	struct id device;    /* who commits */
	bool allow_mass_delete; /* its deletions are meant, however many they are: none is held, and none is counted */
	/* results, in the caller's arena */
	struct op_result *results;
	struct project project; /* after the commit: clock, digest */
	int64_t clock_before;   /* of the project: a device that had come this far has missed nothing */
	struct hash *missing;   /* with CHUNKS_MISSING; at most 65,536, the rest when those are here */
	size_t missing_n;
};

/**
 * commit_apply(d, project, c, idem, a, err):
 * Errors     PATH_INVALID and its kin, LINK_INVALID, DUPLICATE_TARGET (two of put and move with one path, two of the others with one
 *            file), FIELD_*, BASE_REQUIRED, BLOCKLIST_INVALID, FILE_HASH/SIZE mismatches, FILE_TOO_LARGE: the batch is wrong and
 *            nothing was applied (the message begins "operations[i]: "); CHUNKS_MISSING with c->missing; BLOCKS_MISSING,
 *            TRANSFER_GONE, NOT_FOUND (project, or a transfer of another device); IDEMPOTENCY_*.
 * Memory     about 1 KiB an operation, and at most 4 MiB of block lists beyond each file's first page.
 * Replay     with idem->replayed nothing else is filled.
 */
err_code commit_apply(struct domain *d, const struct id *project, struct commit *c, struct idem *idem, struct arena *a,
    struct err *err);
