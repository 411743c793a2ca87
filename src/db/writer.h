#pragma once
/**
 * One writer at a time, in the order in which they came, and group commit; for drivers.  The engine says how a transaction begins, is
 * saved and ends (struct writer_ops); who may begin, and whose commit makes what durable, is decided here, once for all engines.
 */

#include "base/thread.h"
#include "db/db_internal.h"

/** What an engine does.  ${tx} is the connection that writes, lent to one thread at a time. */
struct writer_ops {
	/** begin: the outer transaction, of a group or of one. */
	err_code (*begin)(struct db_tx *tx, struct err *err);
	/** save, release: a savepoint within it; release gives up the savepoint and keeps the changes. */
	err_code (*save)(struct db_tx *tx, struct err *err);
	err_code (*release)(struct db_tx *tx, struct err *err);
	/** undo: take back what came after the savepoint, and no more; false when that is not possible. */
	bool (*undo)(struct db_tx *tx);
	/** commit: durable, or an error; the outer transaction has ended either way. */
	err_code (*commit)(struct db_tx *tx, struct err *err);
	/** rollback: the outer transaction ends, if the engine has not ended it by itself. */
	void (*rollback)(struct db_tx *tx);
	/** await: all statements have been answered, and the error of one is the transaction's failure; NULL: each is answered at once. */
	err_code (*await)(struct db_tx *tx, struct err *err);
	/** alive: the outer transaction stands and takes statements. */
	bool (*alive)(struct db_tx *tx);
	/** settled: after a commit, when those who waited have been answered and before the writer is handed on; NULL: nothing to do. */
	void (*settled)(struct db_tx *tx);
};

struct group;
struct waiter;

struct writer {
	const struct writer_ops *ops;
	struct db_tx *tx;
	unsigned wait_ms;            /* for one's turn */
	struct mutex lock;           /* RANK_DB; guards what follows, up to the empty line */
	bool busy;                   /* lent */
	bool stopped;                /* writer_stop */
	struct waiter *first, *last; /* who waits, in order */

	/* whoever has the writer */
	struct group *group;         /* whose outer transaction is open; NULL: none */
	bool nested;                 /* this transaction is a savepoint in a group that others have committed into */
};

void writer_init(struct writer *w, const struct writer_ops *ops, struct db_tx *tx, unsigned wait_ms);
void writer_fini(struct writer *w);

/** writer_stop(w): nobody writes any more (I6): who asks is told READ_ONLY.  Any thread. */
void writer_stop(struct writer *w);

/** writer_begin(w, err): wait for one's turn, and begin on w->tx.  UNAVAILABLE after wait_ms; READ_ONLY; what the engine says. */
err_code writer_begin(struct writer *w, struct err *err);
err_code writer_commit(struct writer *w, struct err *err);
void writer_abort(struct writer *w);

/**
 * writer_hold(w, err), writer_release(w): the writer without a transaction; an open group is committed before.  Errors as writer_begin.
 */
err_code writer_hold(struct writer *w, struct err *err);
void writer_release(struct writer *w);
