#pragma once
/** Shared by the files of commit/ only. */

#include "base/map.h"
#include "base/pathat.h"
#include "client/commit/apply.h"

#define DAY_LEN 10 /* "2026-11-22" */

struct apply {
	int root, tmp, trash;
	mode_t mask;             /* the umask, read once: umask() cannot be asked without being set */
	char day[DAY_LEN + 1];   /* the folder of the trash */
	struct map *touched;     /* directories beneath the root whose entries have changed since the last flush */
	struct map *trashed;     /* content -> where a deleted file of it is, beneath the root; malloc'd */
	struct map *kept;        /* names of the temporaries that an earlier run has left */
	int64_t now_us;
	bool sync_all;           /* something has changed that a directory's fsync does not cover */
	bool broken;             /* a flush has failed: nothing more is promised (I6) */
};

/** A name in a directory that is held open. */
struct place {
	int dir;
	const char *name;
};
void place_fini(struct place *p);

/** place_open(ap, path, out, err): where ${path} is, or would be.  NOT_FOUND, PARENT_NOT_DIRECTORY. */
err_code place_open(struct apply *ap, const char *path, struct place *out, struct err *err);

/** place_stat(p, path, st, err): lstat.  Nothing there is VERSION_CONFLICT: something was expected. */
err_code place_stat(const struct place *p, const char *path, struct stat *st, struct err *err);

/** place_expect(p, path, expect, st, err): VERSION_CONFLICT unless what is there is what was expected, down to its change time. */
err_code place_expect(const struct place *p, const char *path, const struct entry *expect, struct stat *st, struct err *err);

/**
 * place_is(p, st, expect): whether what is at ${p}, with stat ${st}, is what was expected, as far as a rename leaves it alone.  A file is known
 * by inode, size and time, but not by the change time, which a rename sets; a link by its target; and a directory is a
 * directory: it is only ever removed empty, and its times move with whatever is done in it.
 */
bool place_is(const struct place *p, const struct stat *st, const struct entry *expect);

/** apply_ready(ap, err): IO after a failed flush. */
err_code apply_ready(const struct apply *ap, struct err *err);

/** touch_dir(ap, prefix, path): the directory that holds ${path} has changed; ${prefix} is "" or a directory with its '/'. */
void touch_dir(struct apply *ap, const char *prefix, const char *path);

/** temps_sweep(ap, err): remove what is in .dray/tmp and not kept, and remember what is. */
err_code temps_sweep(struct apply *ap, struct err *err);

/** temp_name(name): a fresh name for .dray/tmp. */
void temp_name(char name[static APPLY_TEMP_NAME_MAX]);

/** time_of_ns(ns): seconds round down also before 1970. */
struct timespec time_of_ns(int64_t ns);

/** installed_as(want, st, out): ${want} with the stat of what is there now. */
void installed_as(const struct entry *want, const struct stat *st, struct entry *out);
/**
 * installed_anew(want, st, looked_ns, out): the same of a file that was there, as a look at ${looked_ns} has seen it, and whose change time we have set since, by a
 * rename or a new mode.  A write in between, with the old time set again, shows in nothing any more; so unless that was too short a while for any change
 * time to show one (RACY_NS), the bytes are to be looked at again.
 */
void installed_anew(const struct entry *want, const struct stat *st, int64_t looked_ns, struct entry *out);

/**
 * place_new(ap, from, path, done_ns, err), place_over(ap, from, path, expect, done_ns, err): rename what is at ${from} (ours, in .dray/tmp) to
 * ${path}: where nothing is, or over what is expected, which goes to the trash.  ${from} is gone in any case.  *done_ns is when it was done: a
 * later change time is another one's.  VERSION_CONFLICT.
 */
err_code place_new(struct apply *ap, const struct place *from, const char *path, int64_t *done_ns, struct err *err);
err_code place_over(struct apply *ap, const struct place *from, const char *path, const struct entry *expect, int64_t *done_ns, struct err *err);

/** A place in the trash, with room for its own name. */
struct slot {
	struct place at;
	char day[DAY_LEN + 8];
	char name[NAME_LEN_MAX + 1];
};

/** trash_take(ap, from, path, slot, err): rename what is at ${from} into the trash, as ${path} of today. */
err_code trash_take(struct apply *ap, const struct place *from, const char *path, struct slot *slot, struct err *err);
