#pragma once
/**
 * A linked folder: its root, its .dray directory (0700: state.db, link, token, lock, tmp, trash) and the lock that keeps a second
 * dray off it.
 */

#include <sys/stat.h>

#include "client/remote/remote.h"
#include "client/state/state.h"

struct folder {
	char *path;               /* absolute, without trailing slash */
	int root;                 /* directory descriptor */
	int lock;                 /* holds the lock while open, -1 without */
	mode_t mask;              /* the process's umask */
	struct state *state;
	struct arena *arena;      /* owns the text of link and token */
	struct state_link link;
	const char *token;
	const char *renewed;      /* why its state has been begun anew since it was opened, NULL: it has not */
	bool copied;              /* the folder is a copy of the one that was linked, and no sync has united it yet */
};

/**
 * folder_find(dir, out, err): the linked folder that ${dir} (NULL: the current directory) is, or lies in.  The caller frees *out.
 * Errors     NOT_LINKED; NOT_FOUND when ${dir} does not exist.
 */
err_code folder_find(const char *dir, char **out, struct err *err);

/**
 * folder_open(path, out, err): open the folder that folder_find found and lock it.
 * A state that is lost or damaged is set aside (.dray/state-damaged.db) and begun anew.
 * Errors     NOT_LINKED, ROOT_IN_USE, STATE_DAMAGED, DB, IO.
 */
err_code folder_open(const char *path, struct folder **out, struct err *err);
/**
 * folder_open_untouched(path, out, err): to look at it only: not a byte of .dray is written.  Beside a dray that works on it too; f->lock is -1
 * then, and what is read may be changing.
 */
err_code folder_open_untouched(const char *path, struct folder **out, struct err *err);
/** folder_renew(f, why, err): set a state that has turned out to be damaged aside, and begin it anew. */
err_code folder_renew(struct folder *f, const struct err *why, struct err *err);
/** folder_united(f, err): a copy has been united with the project: from here on it is the folder that it is. */
err_code folder_united(struct folder *f, struct err *err);
void folder_free(struct folder *f);
void folder_freep(struct folder **f);

/**
 * folder_peek(path, a, link, token, err): what the folder at ${path} is linked to, in ${a}; takes no lock, so it works beside a sync.
 * Errors     NOT_LINKED, TOKEN_INVALID, DB, IO.
 */
err_code folder_peek(const char *path, struct arena *a, struct state_link *link, const char **token, struct err *err);

/** How to talk to a server; each as in remote_opts. */
struct line_opts {
	int64_t retry_ms;
	uint64_t rate;
	const bool *cancel;
};
/** folder_remote(f, opts, out, err): the server that the folder is linked to. */
err_code folder_remote(const struct folder *f, const struct line_opts *opts, struct remote **out, struct err *err);

/**
 * folder_create(path, link, token, err): make .dray in ${path} and remember the link, durably.  Leaves nothing behind on failure.
 * Errors     EXISTS when it is linked already or lies in, or holds, a linked folder.
 */
err_code folder_create(const char *path, const struct state_link *link, const char *token, struct err *err);

/** folder_remove(path, trash_kept, err): forget the link; the files stay, and .dray/trash where there is something in it. */
err_code folder_remove(const char *path, bool *trash_kept, struct err *err);
