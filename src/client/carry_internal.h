#pragma once
/** Shared by carry.c, carry_local.c and carry_remote.c. */

#include "client/carry.h"
#include "client/commit/apply.h"

/** What a local operation has changed, to be recorded once it is durable. */
struct record {
	bool put;            /* entry replaces the base row; else the row of ${path} goes */
	struct entry entry;
	const char *path;
	struct id settled;   /* the pending row that this settles; zero: none */
};

struct carry {
	const struct carry_env *env;
	const struct pass *pass;
	struct apply *apply;
	struct transfer_progress *progress;
	struct arena *arena;       /* of the round */
	struct record *records;
	size_t record_count, record_cap;
	struct map *touched;       /* directories whose contents were changed here: their time is set again at the end */
	struct map *asides;        /* path -> the conflict copy that it was renamed to */
	int64_t now_us;
	bool again;
};

/** carry_local(c, err), carry_remote(c, err): the two halves of carry_out. */
err_code carry_local(struct carry *c, struct err *err);
err_code carry_remote(struct carry *c, struct err *err);

/**
 * carry_failed(c, path, code, why): one operation's failure: something to look at again, or a problem to report.  Returns the code when it
 * must stop the whole sync (disk full, database), else ERR_OK.
 */
err_code carry_failed(struct carry *c, const char *path, err_code code, const struct err *why, struct err *err);

/** carry_skips(c, op): held back, or failed before in this run. */
bool carry_skips(const struct carry *c, const struct plan_op *op);
