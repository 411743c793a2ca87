#pragma once
/**
 * What a synchronisation will do, as data: made by diff/, carried out by transfer/ and commit/.
 */

#include "client/model/entry.h"

/** A name that differs on at least one side; NULL where it does not exist. */
struct diff_item {
	const char *path;
	const struct entry *base, *local, *remote;
	bool ignored; /* by rules of here: a side that is set is there, and neither is looked at nor touched; base is NULL */
	bool rules;   /* a file that has such rules */
};

enum act {
	ACT_ADOPT,         /* both sides agree already: remember it */
	ACT_FORGET,        /* gone on both sides, or a directory that the server deleted and that stays for what is ignored in it: forget it */
	ACT_PUSH,          /* send the local state (content, or mode and time only) to the server */
	ACT_DELETE_REMOTE, /* gone here with proof: delete on the server */
	ACT_MOVE_REMOTE,   /* renamed here from ${from}: move on the server, then send what else changed */
	ACT_PULL,          /* bring the server's state here */
	ACT_DELETE_LOCAL,  /* gone on the server: move to the trash here */
	ACT_MOVE_LOCAL,    /* renamed on the server from ${from}: move here */
	ACT_CONFLICT,      /* both changed: keep the local state as a conflict copy, then pull */
	ACT_SKIP,          /* cannot be synced as it is; ${reason} says why */
	ACT_DROP,          /* not selected here and as the server has it: move to the trash here, and leave it there */
};

/** A version of a file on the server. */
struct plan_version {
	struct id file;
	int64_t version;
};

/**
 * What the fields mean to who carries the operation out.  ${local} and ${remote} are the two sides as they are now, NULL for nothing; the
 * version to name to the server as the base of a change is always that of ${remote}, and without ${remote} the change makes a new entry.
 *
 * ADOPT          both sides are there with the same content, mode and time.  The base row follows the id: ${base} may be another path's.
 * PULL, PUSH     compare the content of ${local} and ${remote}: when it is the same, mode and time are all there is to carry.  The kinds may
 *                differ: a file takes the place of a directory that the plan has emptied by then, or the other way round.
 * PUSH           ${base} without ${remote}: edited here, deleted there; send it as a new file.
 * MOVE_LOCAL     ${local} is at ${from}; ${path} is free here by then.  Only the move: what else changed is for the next plan.  The content of
 *                ${local} may differ from that of ${base}; then the new base row must not claim the stat (ctime 0).
 * MOVE_REMOTE    ${remote} is at ${from} and as in ${base}; ${local} is at ${path}.  Its content may be unknown, then it was most likely only
 *                renamed (same inode, size, time): look, and send it when it differs from ${remote}.
 * DELETE_…       a directory comes after all that was in it.
 * FORGET         with ${local}: it stays here, for what is ignored in it.
 * DROP           ${local} alone; it is not part of what was agreed on any more.  A directory comes after all that was in it.  Not made by diff/.
 * CONFLICT       ${local} is to be renamed aside (a directory as a whole), then ${remote} pulled onto the free name.
 */
struct plan_op {
	enum act act;
	const char *path;
	const char *from;          /* moves: the old path */
	const char *as;            /* PUSH: what the server calls it, where that is not ${path}; NULL: the same */
	const struct entry *base;  /* of the path; of moves: what was agreed on under the old name */
	const struct entry *local;
	const struct entry *remote;
	const struct plan_version *lost; /* PUSH of a conflict copy: what it lost its name against, to be told; else NULL */
	const char *reason;        /* why, for people and --json: "edited on both sides"; static text */
};

/** plan_op_as(op): the path by which the server knows what the operation is about. */
static inline const char *
plan_op_as(const struct plan_op *op)
{
	return op->as ? op->as : op->path;
}

/** Operations in the order in which each side must carry them out; see diff/diff.h. */
struct plan {
	struct plan_op *ops;
	size_t n;
	size_t deletes_local, deletes_remote; /* for the mass-delete hold */
	size_t conflicts, skipped;
};
