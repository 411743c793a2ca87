#pragma once
/** dray get: what is to be fetched (cmd_get.c), and bringing it to its place (get_land.c). */

#include "client/outcome.h"
#include "client/scratch.h"
#include "client/transfer/transfer.h"

struct get {
	const struct command_line *line;
	struct session *session;
	struct arena *arena;
	struct outcome outcome;
	const char *from;        /* the path in the project */
	const char *to;          /* on this disk, as shown */
	int root;                /* what paths on disk are relative to */
	mode_t mask;             /* the umask */
	struct plan_op *ops;     /* what pull wants to know of each file */
	struct pull_file *files;
	size_t n, cap;
	const struct entry **dirs; /* made here: mode and time are set when all is in them */
	size_t dir_n, dir_cap;
};

/** get_entry(g, e, err): bring ${e}, at e->path beneath the root: files wait for get_files.  What cannot be is in the outcome. */
err_code get_entry(struct get *g, const struct entry *e, struct err *err);

/** get_files(g, report, err): fetch them, then set what directories should have. */
struct report;
err_code get_files(struct get *g, struct report *report, struct err *err);
