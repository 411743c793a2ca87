#pragma once
/**
 * Changing the local tree so that nothing is lost (I8): write aside, verify, make durable, exchange, look at what came out.
 *
 * Every call says what it expects to find (${expect}: the entry the plan was made on, NULL for nothing).  When something else is there
 * by then, the call changes nothing, or puts back what it took, and answers VERSION_CONFLICT: plan again.  What is replaced or deleted
 * goes to .dray/trash/DATE/, never away.  A directory gives way only when it is empty.
 *
 * Modes       what is stored, less the umask; never set-id.  installed->mode is the disk's: compare with entry_mode_through.
 * Errors      VERSION_CONFLICT; PARENT_NOT_DIRECTORY when a directory on the way is a symlink or a file by now (I11); NOT_FOUND when it is
 *             gone; DENIED, NO_SPACE, IO.  After a failed flush every call answers IO: open anew (I6).
 * Durability  apply_flush() makes everything done so far durable; record in the state only afterwards.
 * Threads     one at a time for each struct apply, except apply_temp, from any thread.
 */

#include "base/arena.h"
#include "client/model/conflict_name.h"
#include "client/model/entry.h"

struct apply;

/**
 * apply_open(root, now_us, out, err): makes .dray/tmp and .dray/trash when missing and removes what a crash left in tmp, but for the
 * temporaries that are kept.
 */
err_code apply_open(int root, int64_t now_us, struct apply **out, struct err *err);
void apply_free(struct apply *ap);

/** apply_temp(ap, fd, name, err): a new empty file in .dray/tmp, mode 0600, to be filled and installed; name[] without directory. */
#define APPLY_TEMP_NAME_MAX 40
err_code apply_temp(struct apply *ap, int *fd, char name[static APPLY_TEMP_NAME_MAX], struct err *err);
void apply_temp_drop(struct apply *ap, const char *name);

/**
 * apply_temp_kept(ap, file, fd, name, err): the temporary of file ${file}, named by it, with what an earlier run has left in it, else new.
 * It stays when it is not installed: over runs, until it is dropped, APPLY_KEPT_DAYS after it was last written, or until
 * apply_temps_clear.  What it holds is nobody's word for anything: verify it.
 * apply_temp_waits(ap, file): whether an earlier run has left one.
 * apply_temp_stays(name): whether the name is one of those.
 */
#define APPLY_KEPT_DAYS 7
err_code apply_temp_kept(struct apply *ap, const struct id *file, int *fd, char name[static APPLY_TEMP_NAME_MAX], struct err *err);
bool apply_temp_waits(const struct apply *ap, const struct id *file);
bool apply_temp_stays(const char *name);
/** apply_temps_clear(root): remove all temporaries: nothing is left to be fetched.  What cannot be removed is in nobody's way. */
void apply_temps_clear(int root);

/**
 * apply_install(ap, temps, n, results): install temporaries whose bytes have been verified and written: flush them all, then for
 * each set mode (masked by umask, never set-id) and mtime and exchange it into place.  One that cannot be installed is removed, unless
 * it is kept and what is in the way is a change here (VERSION_CONFLICT): the next plan will most likely want it again.
 */
struct apply_install {
	const char *temp;           /* name from apply_temp */
	const struct entry *want;   /* path, mode, mtime, size */
	const struct entry *expect;
	/* out */
	err_code code;
	struct err err;
	struct entry installed;     /* stat of what is there now, for the state; path is want->path */
};
void apply_install(struct apply *ap, struct apply_install *items, size_t n);

/**
 * One entry each; *installed is filled for the state (text from want, or of a move from expect).  A ctime of 0 in it means that
 * the bytes are to be looked at again by the next scan.
 *
 * apply_mkdir, and apply_meta of a directory, leave the owner all permissions, so that its contents can be made; apply_dir_time takes away what
 * the mode does not have.  Call it for every directory made, and for those whose contents were changed, when that is done.
 */
err_code apply_mkdir(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err);
err_code apply_link(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err);
err_code apply_meta(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err);
err_code apply_move(struct apply *ap, const char *from, const char *to, const struct entry *expect, struct entry *installed, struct err *err);
/** Into the trash; a directory must be empty (NOT_EMPTY otherwise).  What is gone already is no error. */
err_code apply_delete(struct apply *ap, const struct entry *expect, struct err *err);
/** Where files are that apply_delete has moved: content -> path beneath the root.  A hint: people empty trashes. */
const struct map *apply_trashed(const struct apply *ap);

/** apply_aside(ap, path, expect, device, time_us, to, err): rename to a free conflict name; ${to}: CONFLICT_NAME_MAX bytes. */
err_code apply_aside(struct apply *ap, const char *path, const struct entry *expect, const char *device, int64_t time_us, char *to,
    struct err *err);

/** apply_dir_time(ap, want, installed, err): set a directory's time, and the mode of one that we made, after its contents have changed.
 * Not an error when it is gone. */
err_code apply_dir_time(struct apply *ap, const struct entry *want, struct entry *installed, struct err *err);

err_code apply_flush(struct apply *ap, struct err *err);
