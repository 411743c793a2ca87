#pragma once
/** Shared by carry.c, carry_local.c, carry_install.c and carry_remote.c. */

#include "client/carry.h"
#include "client/commit/apply.h"
#include "client/transfer/transfer.h"

/** What a local operation has changed, to be recorded once it is durable. */
struct record {
	bool put;            /* entry replaces the base row; else the row of ${path} goes */
	struct entry entry;
	const char *path;
	bool aside;          /* nothing of base: ${entry} was renamed aside to ${path}, by the server's ${settled} at entry.version */
	struct id settled;   /* the pending row that this settles; zero: none */
};

struct carry {
	const struct carry_env *env;
	const struct pass *pass;
	struct apply *apply;
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

/** record_put(c, installed, remote): ${installed} is now on disk as the server's ${remote}: a base row, once it is durable. */
void record_put(struct carry *c, const struct entry *installed, const struct entry *remote);

/** write_records(c, err): what has been noted since the last time, in one transaction.  It is durable by now. */
err_code write_records(struct carry *c, struct err *err);

/** touch_parent(c, path): the directory that holds ${path} gets its agreed time back when all is done. */
void touch_parent(struct carry *c, const char *path);

/* ---- carry_install.c ---------------------------------------------------------------------------------------------------- */

#define KEPT_FROM ((int64_t)BLOCK_LEN_MAX) /* files at least so large keep their temporaries until they are whole */

/**
 * Installs what is fetched, in batches, on a thread of its own.  Until install_finish the carry's records, results and touched directories are
 * that thread's.
 */
struct install;
err_code install_new(struct carry *c, struct install **out, struct err *err);
void install_free(struct install *in);

/** install_open_temp, install_fetched: the callbacks of pull_run; their context is the install. */
err_code install_open_temp(void *install, const struct pull_file *f, int *fd, char *name, struct err *err);
err_code install_fetched(void *install, const struct pull_file *f, const char *name, err_code code, const struct err *why,
    struct err *err);

/** install_finish(in, err): install what has arrived, and wait for it.  Why nothing more can be installed, of any batch since it was new. */
err_code install_finish(struct install *in, struct err *err);

/** carry_skips(c, op): held back, or failed before in this run. */
bool carry_skips(const struct carry *c, const struct plan_op *op);
