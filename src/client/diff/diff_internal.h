#pragma once
/** Shared by the files of diff/ only: the rows of a plan while it is made. */

#include "client/diff/diff.h"

#define ROW_NONE UINT32_MAX

/** In place of an act: nothing to do. */
#define ROW_NOTHING UINT8_MAX

/** One name.  A move has taken its three sides from two or three names; its row is the new name's. */
struct row {
	const char *path;
	const struct entry *base, *local, *remote;
	const char *reason;
	const struct entry *end; /* what will be at this name on both sides; NULL: nothing */
	uint32_t parent;         /* row of the directory, ROW_NONE when it is unchanged or the top */
	uint32_t src;            /* moves: row of the name where the following side has it now, else ROW_NONE */
	uint8_t act;             /* enum act, or ROW_NOTHING */
	bool holds;              /* something beneath lives on after the plan */
	bool aside;              /* a directory above is moved aside, and this goes with it */
	bool rules;              /* a file of ignore rules */
	bool ignored_here, ignored_there; /* an ignored name, of which the row has no sides, and which side it is on */
	bool stays;              /* something beneath is ignored and here */
	bool holds_rules;        /* of what lives on beneath, rules that the server does not have are to be told apart from holds */
	bool kept;               /* a directory that is only here, for what is ignored in it */
};

static inline bool
row_moves(const struct row *r)
{
	return r->act == ACT_MOVE_LOCAL || r->act == ACT_MOVE_REMOTE;
}

struct rows {
	struct row *v;
	uint32_t n;
	uint32_t *moves;           /* rows of moves, each after the move that frees its name */
	uint32_t move_count;
};

/** How a side differs from what was agreed on. */
enum change { CHANGE_NONE, CHANGE_META, CHANGE_EDITED, CHANGE_DELETED, CHANGE_NEW, CHANGE_COUNT };

enum change change_local(const struct entry *base, const struct entry *local);
enum change change_remote(const struct entry *base, const struct entry *remote);

/** Known to be the same: an unknown content is not. */
bool content_agrees(const struct entry *a, const struct entry *b);

/** remote_unusable(remote): why this device cannot have what the server has (static), or NULL. */
const char *remote_unusable(const struct entry *remote);

/** row_find(rows, path, len): the row of that name, or ROW_NONE. */
uint32_t row_find(const struct rows *rows, const char *path, size_t len);

/** moves_find(rows, a): recognise renames on both sides, and join the two names' sides in the row of the new name. */
void moves_find(struct rows *rows, struct arena *a);

/** tree_settle(rows): make the decisions of single names fit together as a tree. */
void tree_settle(struct rows *rows);

/** order_ops(rows, a, out): the operations, in the order that diff.h promises. */
void order_ops(const struct rows *rows, struct arena *a, struct plan *out);
