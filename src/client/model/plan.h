#pragma once
/**
 * What a synchronisation will do, as data: made by diff/, carried out by transfer/ and commit/.
 */

#include "client/model/entry.h"

/** A name that differs on at least one side; NULL where it does not exist. */
struct diff_item {
	const char *path;
	const struct entry *base, *local, *remote;
};

enum act {
	ACT_ADOPT,         /* both sides agree already: remember it */
	ACT_FORGET,        /* gone on both sides: forget it */
	ACT_PUSH,          /* send the local state (content, or mode and time only) to the server */
	ACT_DELETE_REMOTE, /* gone here with proof: delete on the server */
	ACT_MOVE_REMOTE,   /* renamed here from ${from}: move on the server, then send what else changed */
	ACT_PULL,          /* bring the server's state here */
	ACT_DELETE_LOCAL,  /* gone on the server: move to the trash here */
	ACT_MOVE_LOCAL,    /* renamed on the server from ${from}: move here, then bring what else changed */
	ACT_CONFLICT,      /* both changed: keep the local state as a conflict copy, then pull */
	ACT_SKIP,          /* cannot be synced as it is; ${reason} says why */
};

struct plan_op {
	enum act act;
	const char *path;
	const char *from;          /* moves: the old path */
	const struct entry *base;  /* of the path, or of ${from} for moves */
	const struct entry *local;
	const struct entry *remote;
	const char *reason;        /* why, for people and --json: "edited on both sides"; static text */
};

/** Operations in the order in which each side must carry them out; see diff/diff.h. */
struct plan {
	struct plan_op *ops;
	size_t n;
	size_t deletes_local, deletes_remote; /* for the mass-delete hold */
	size_t conflicts, skipped;
};
