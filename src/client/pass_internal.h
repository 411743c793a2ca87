#pragma once
/** Shared by pass.c and pass_ignored.c: a pass while it is made. */

#include "client/left_out.h"
#include "client/pass.h"
#include "client/scan/scan.h"

/** A name that differs somewhere. */
struct row {
	struct diff_item item;
	bool remote_set; /* the server has said something about this name; else remote is base */
	bool local_set;  /* the scan has; else local is base */
};

/** A pass while it is made. */
struct gather {
	struct pass *pass;
	struct arena *arena;      /* what no plan needs: rows, items */
	struct folder *folder;
	const struct pass_opts *opts;
	int64_t now_ns;
	uint32_t mask;            /* the umask: bits that an install here could not set are not a change */
	struct map *rows;         /* path -> struct row */
	struct map *frozen;       /* path -> struct scan_problem of what could not be seen */
	bool frozen_subtrees;
	struct ignore *ignore;    /* the rules that the scan has come across */
	struct map *ignored;      /* path -> of what the scan has left out */
	struct left_out left_out; /* of what the server has */
	struct map *held_inodes;  /* of the held files: where one was renamed to, its old name is left alone too */
	struct state_walk *walk;  /* base rows, in step with the scan */
	const struct entry *base; /* its present row, NULL at the end */
	struct refresh {
		struct refresh *next;
		struct entry entry;
	} *refreshed;             /* base rows whose stat is to be recorded anew */
	struct state_totals totals; /* as the pass begins */
	uint64_t fresh;           /* rows of what is new here, as far as they count for a slice */
	uint64_t news;            /* all rows of what is new here */
	uint64_t *inodes;         /* of the base tree, sorted; NULL until they are needed */
	size_t inode_count;
};

/** row_at(g, path): the row of that name, made when there is none. */
struct row *row_at(struct gather *g, const char *path);

void add_problem(struct pass *p, const char *path, const char *reason, const char *detail);

/** freeze(g, problem): nothing is concluded about that name, and with subtree about nothing beneath. */
void freeze(struct gather *g, const struct scan_problem *problem);

/* ---- pass_ignored.c ------------------------------------------------------------------------------------------------------- */

/** is_ignored(g, e): by the rules that the scan has come across. */
bool is_ignored(const struct gather *g, const struct entry *e);

/** on_ignored: the scan's callback. */
void on_ignored(void *ctx, const char *path, bool dir);

/** freeze_dir_of(g, rules_path): the rules are not known, so neither is what they ignore. */
void freeze_dir_of(struct gather *g, const char *rules_path);

/** freeze_held_rules(g): the same for rules that are being written. */
void freeze_held_rules(struct gather *g);

/** review_left_out(g, err): after the scan: record what has left, and what is no longer ignored; then came_back is set, and the look must begin again. */
err_code review_left_out(struct gather *g, struct err *err);

/** gather_ignored(g, err): put what is ignored on either side into the rows, as far as it concerns the plan; and all that is here into the pass. */
err_code gather_ignored(struct gather *g, struct err *err);
