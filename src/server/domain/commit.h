#pragma once
/**
 * Changing the tree: a batch of operations in one transaction, each with the version it was made on.
 *
 * The batch is all or nothing against crashes (I4) and per operation against conflicts: an operation whose base is stale, whose
 * parent is missing or whose name is taken changes nothing and says so in its result; the others are applied.  Chunks that are not
 * here fail the whole batch before anything is applied, all of them listed.
 */

#include "server/domain/domain.h"

enum op_kind { OP_PUT, OP_DELETE, OP_MOVE, OP_RESTORE };

/** Where a put's bytes are. */
enum content_source { CONTENT_NONE, CONTENT_EXTENTS, CONTENT_TRANSFER, CONTENT_FROM };

struct op {
	enum op_kind kind;
	const char *path;    /* put, move: where to; checked here (path_check) */
	struct id file;      /* delete, move, restore */
	bool has_base;
	int64_t base;        /* the version that the caller has seen; put without: the path must be free */
	enum kind entry;     /* put */
	bool has_mode, has_mtime;
	uint32_t mode;       /* default: 0644, directories 0755; masked to 0777 */
	int64_t mtime_ns;    /* default: now */
	enum content_source source;
	int64_t size;        /* file: must be what the blocks add up to */
	struct hash content; /* file: must be what the blocks hash to */
	const struct extent *extents;
	uint32_t extent_count;
	struct id transfer;
	struct id from_file;
	int64_t from_version; /* CONTENT_FROM; and what restore brings back */
	const char *target;  /* link */
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
	/* results, in the caller's arena */
	struct op_result *results;
	struct project project; /* after the commit: clock, digest */
	int64_t clock_before;   /* of the project: a device that had come this far has missed nothing */
	struct hash *missing;   /* with CHUNKS_MISSING */
	size_t missing_n;
};

/**
 * commit_apply(d, project, c, idem, a, err):
 * Errors     PATH_INVALID and its kin, LINK_INVALID, DUPLICATE_TARGET, FIELD_RANGE (count), HASH/SIZE mismatches, FILE_TOO_LARGE: the
 *            batch is wrong and nothing was applied (the message names the operation's index); CHUNKS_MISSING with c->missing;
 *            BLOCKS_MISSING, TRANSFER_GONE; IDEMPOTENCY_*.
 */
err_code commit_apply(struct domain *d, const struct id *project, struct commit *c, struct idem *idem, struct arena *a,
    struct err *err);
