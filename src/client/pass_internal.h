#pragma once
/** Shared by pass.c and pass_*.c: a pass while it is made. */

#include "client/layout.h"
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
	struct map *ignored;      /* path -> of what the scan has left out, or NOT_SELECTED */
	struct selection *selection;
	struct unselected *unselected, **unselected_end; /* what is here and not selected, in the order of the scan */
	uint64_t candidates;      /* of them, those that may be the server's */
	struct map *by_path;      /* those, while the server's are looked at */
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

/** keep(a, e): a copy of ${e} with its text.  keep_as(a, e, path): at ${path}, which is lent.  keep_in(g, row, e): a side of ${row}, at its path. */
struct entry *keep(struct arena *a, const struct entry *e);
struct entry *keep_as(struct arena *a, const struct entry *e, const char *path);
struct entry *keep_in(struct gather *g, const struct row *row, const struct entry *e);

/* ---- pass_local.c --------------------------------------------------------------------------------------------------------- */

/** gather_local(g, err): scan the disk, and put what differs from what was agreed on into the rows. */
err_code gather_local(struct gather *g, struct err *err);

/** record_refreshed(g, err): what is as agreed and has another stat gets that into its base row. */
err_code record_refreshed(struct gather *g, struct err *err);

/** slice(g): how many of the new names a pass takes (pass.h). */
uint64_t slice(const struct gather *g);

/** freeze(g, problem): nothing is concluded about that name, and with subtree about nothing beneath. */
void freeze(struct gather *g, const struct scan_problem *problem);

bool is_frozen(const struct gather *g, const char *path);
bool is_held(const struct gather *g, const char *path);
bool is_held_row(const struct gather *g, const struct row *row);

/** How what was found on disk is to what was agreed on. */
enum agrees { AGREES, AGREES_TOUCHED /* the bytes say so, and its stat is another */, DIFFERS };

/** agrees(g, e, base, out, err): where only the bytes can tell they are read; then ${e} is what they are. */
err_code agrees(struct gather *g, struct entry *e, const struct entry *base, enum agrees *out, struct err *err);

/** same_bytes_as(g, e, remote, same, err): whether the file ${e}, which is read, has the content of ${remote}, however that is cut. */
err_code same_bytes_as(struct gather *g, struct entry *e, const struct entry *remote, bool *same, struct err *err);

/** look(g, e, err): read the bytes of ${e}; content_known is false where they could not be, or change. */
err_code look(struct gather *g, struct entry *e, struct err *err);

/** relaid(g, e, other, same, err): whether the bytes of ${e} are those of ${other}, cut in another way; then its content is called what that calls it. */
err_code relaid(const struct gather *g, struct entry *e, const struct entry *other, bool *same, struct err *err);
/** relaid_base: the same, of a version that was agreed on; where nobody has its list any more ${e} is called an edit of it. */
err_code relaid_base(const struct gather *g, struct entry *e, const struct entry *base, struct err *err);

/** layout_of(g): where the lists of other cuts are looked for. */
struct layout_env layout_of(const struct gather *g);

/* ---- pass_ignored.c ------------------------------------------------------------------------------------------------------- */

/** The value in gather.ignored of what is here, is not selected and stays. */
#define NOT_SELECTED ((void *)(uintptr_t)1)

/** is_left_out(g, e): ignored by the rules that the scan has come across, or not selected here. */
bool is_left_out(const struct gather *g, const struct entry *e);

/** on_ignored: the scan's callback. */
void on_ignored(void *ctx, const char *path, bool dir);

/** freeze_dir_of(g, rules_path): the rules are not known, so neither is what they ignore. */
void freeze_dir_of(struct gather *g, const char *rules_path);

/** freeze_held_rules(g): the same for rules that are being written. */
void freeze_held_rules(struct gather *g);

/** review_left_out(g, err): after the scan: record what has left, and what is no longer to be; then came_back is set, and the look must begin again. */
err_code review_left_out(struct gather *g, struct err *err);

/** gather_ignored(g, err): put what is left out on either side into the rows, as far as it concerns the plan; and all that is here into the pass. */
err_code gather_ignored(struct gather *g, struct err *err);

/* ---- pass_selected.c ------------------------------------------------------------------------------------------------------ */

/** found_unselected(g, e, base, err): the scan has found ${e}, which is not selected here; ${base}: what was agreed on of it, NULL: nothing. */
err_code found_unselected(struct gather *g, const struct entry *e, const struct entry *base, struct err *err);

/** match_unselected(g, remote, err): ${remote} is the server's and left out: is it what is here under its name? */
err_code match_unselected(struct gather *g, const struct entry *remote, struct err *err);

/** gather_unselected(g, err): when both sides have been read: what of it is to go (plan_drops), and what stays and is a problem. */
err_code gather_unselected(struct gather *g, struct err *err);

/** plan_drops(g): add what is to go to the plan. */
void plan_drops(struct gather *g);

/* ---- pass_join.c ---------------------------------------------------------------------------------------------------------- */

/** gather_remote(g, err): put what the server has said since into the rows. */
err_code gather_remote(struct gather *g, struct err *err);

/** join_sides(g, items, n, err): the rows in the order of their paths, all read that has to be.  In the gather's arena. */
err_code join_sides(struct gather *g, struct diff_item **items, size_t *n, struct err *err);
