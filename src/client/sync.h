#pragma once
/**
 * A synchronisation from beginning to end: read the feed, look at all three sides, carry out the plan, again while there is
 * something left to do, then say where we are.
 */

#include "client/pass.h"
#include "client/report.h"

struct sync_opts {
	bool allow_mass_delete;
	bool deletes_wait;    /* the server has held deletions a moment ago: it is not asked again */
	bool dry_run;         /* plan only */
	bool verify;          /* read also files that nothing has touched */
	const struct map *held; /* paths that are being written: left alone in this sync; may be NULL */
	struct remote *remote; /* to be used, borrowed; NULL: one of its own, by the next three */
	unsigned parallel;    /* requests at once, 0: the default */
	int64_t retry_ms;     /* how long to try a server that does not answer, 0: the default */
	uint64_t rate;        /* bytes a second in each direction, 0: no limit */
	const bool *cancel;   /* set by a signal handler, or by who runs this */
	struct report *report;
};

/** A local state that was kept beside the server's. */
struct sync_conflict {
	const char *path, *copy;
};

struct sync_result {
	struct arena *arena;  /* owns the text */
	uint64_t pushed, pulled, moved_local, moved_remote, deleted_local, deleted_remote; /* entries */
	uint64_t dropped;     /* entries that are not selected here, moved to the trash */
	uint64_t content_up, content_down; /* bytes of the files that were sent and fetched */
	uint64_t saved;       /* of them, what did not cross the line, as the other side had it */
	struct sync_conflict *conflicts;
	size_t conflict_count;
	struct problem *problems; /* what stays unsynced */
	size_t problem_count;
	struct map *problem_paths;
	const char **kept;        /* directories that the server has deleted and that stay here for what is ignored in them */
	size_t kept_count;
	uint64_t ignored;         /* names here that are, by the last look */
	uint64_t left_out;        /* entries of the server's that are not here, as they are ignored or not selected */
	uint64_t unselected, unselected_bytes; /* of them, those that are not selected, by the last look */
	uint64_t held_back;       /* entries that differ and are being written, by the last look */
	uint64_t held_deletes;    /* not carried out: --allow-mass-delete */
	uint64_t held_there;      /* not carried out by the server, which counts what a device deletes within an hour: the same */
	uint64_t entries, files, bytes; /* of the agreed tree */
	bool copied;          /* the folder was a copy of the linked one: both sides have been united */
	const char *renewed;  /* why its state was begun anew, NULL: it was not */
	bool identical;       /* proven by the digest: all that is not ignored, and what is left out is all there is besides */
	int64_t clock;        /* of the project, at which that holds */
	struct state_place place; /* as it was when the sync had ended */
	struct remote_stats line;
	int64_t elapsed_ms;
	struct pass *planned; /* with dry_run: the plan that was not carried out */
};

/**
 * sync_run(f, opts, out, err): errors stop the whole; what concerns single entries is in ${out}, which is filled in any case and
 * freed with sync_result_fini.
 * Errors     NETWORK, TOKEN_*, PROTOCOL, CANCELLED, NO_SPACE, SERVER_SHRUNK, IO, DB.
 */
err_code sync_run(struct folder *f, const struct sync_opts *opts, struct sync_result *out, struct err *err);
void sync_result_fini(struct sync_result *r);

/** sync_problem(r, path, reason, detail): one more entry that stays unsynced; once for each path. */
void sync_problem(struct sync_result *r, const char *path, const char *reason, const char *detail);
