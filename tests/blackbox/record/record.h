#pragma once
/**
 * Preloaded into the programs of test_47_strict.py: writes down each call that changes a file system, in the one order in which they took
 * effect, so that a model (strict.py) can say what a disk could hold if the power had failed after any of them.
 *
 *   DRAY_RECORD_LOG     the log, appended to by all processes that share it; with it:
 *   DRAY_RECORD_COUNT   a file of 8 bytes, the number of records: whoever reads it when an answer has come knows that all that was
 *                       called before has a smaller number
 *   DRAY_RECORD_SLOW_US about how long an fsync takes; one in four takes eight times as long, so that others overtake it
 *   DRAY_RECORD_STATS   the inode numbers and change times that files had where they were recorded: stat tells those (stats.c)
 *
 * R1  A call and its record are made under one lock of all processes, so the order of the log is the order of what happened.  An fsync
 *     has two records: what was called before the first is durable from the second on.
 * R2  No fsync reaches the disk, recorded or not: durability is what the model says, and a thousand starts cost nothing.
 * R3  Calls within libc (stdio, a posix_fallocate that writes) pass by unseen.  The model's last state is compared with the directory, so
 *     one that matters shows.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are needed; offsets have 64 bits anyway */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

/* What is read by strict.py, which has the same list. */
enum kind { CREATE = 1, MKDIR, SYMLINK, LINK, RENAME, EXCHANGE, UNLINK, WRITE, ZERO, SIZE, ATTR, FSYNC, FSYNCED, SYNCFS, SYNCEDFS };

struct record {
	uint32_t kind, mode;
	uint64_t ino;               /* what it is about */
	uint64_t dir[2];            /* where its name is, and where it goes */
	int64_t off;                /* or size; of FSYNCED, which FSYNC has ended */
	int64_t mtime_ns, ctime_ns; /* of ino, afterwards */
	int64_t dir_mtime_ns[2];
	uint32_t name_len[2];
	uint64_t data_len; /* the names and then the data follow */
};
_Static_assert(sizeof(off_t) == 8, "one name for two calls");
_Static_assert(sizeof(struct record) == 88, "strict.py reads it");

/** The call as it was before we came. */
#define REAL(name) ((__typeof__(&name))record_real(#name))
void *record_real(const char *name);

/** ALSO(name, call): the same call under another name. */
#define ALSO(name, call) extern __typeof__(call) name __attribute__((alias(#call), copy(call)))

int64_t record_ns(struct timespec ts);

/** record_on(): whether there is a log.  record_open(path, flags): a descriptor that is in nobody's way. */
bool record_on(void);
int record_open(const char *path, int flags);

/** Around a call and its record (R1); errno stays that of the call. */
void record_lock(void);
void record_unlock(void);

/** record_begun(): how many records there are, with the lock.  record_slow(n): wait for the disk. */
uint64_t record_begun(void);
void record_slow(uint64_t n);

/** record_about(r, st): fill in inode, mode and times. */
void record_about(struct record *r, const struct stat *st);

/** record_put(r, name, name2, data): with the lock; r->data_len bytes of data. */
void record_put(struct record *r, const char *name, const char *name2, const void *data);

/** A name and the directory that it is in. */
struct at {
	struct stat dir;
	char name[NAME_MAX + 1];
};
bool record_find(int fd, const char *path, struct at *at);

/** record_dir_time(fd, path): of the directory that holds the name, now. */
int64_t record_dir_time(int fd, const char *path);

/** record_named(kind, fd, path, at, data): a name has come; what is behind it. */
void record_named(enum kind kind, int fd, const char *path, const struct at *at, const char *data);

/** record_attr(fd, path, flags), record_size(fd): mode and times, or the size, have changed.  A NULL path is ${fd} itself. */
void record_attr(int fd, const char *path, int flags);
void record_size(int fd);

/** record_stats_start(path): stats.c, before the first call. */
void record_stats_start(const char *path);
