#pragma once
/**
 * A disk that a test commands: fsync, renameat2 and fstatvfs of the program under test come here first (the linker's --wrap).
 * They are written down, can fail, and can be held.
 */

#include "base/err.h"

/** disk_reset(): no failures, no holding, an empty record. */
void disk_reset(void);

/**
 * disk_record(out): what happened so far, a letter a call, in order: F fsync of a file, D fsync of a directory, R a rename, and
 * the same in lower case when it failed.
 */
#define DISK_RECORD_MAX 4096
const char *disk_record(char out[static DISK_RECORD_MAX]);

/** disk_fail(kind, skip, errno): after ${skip} more calls of ${kind}, a letter of the record, the next fails.  One failure an arming. */
void disk_fail(char kind, unsigned skip, int sys);

/** disk_hold(kind): the next call of ${kind} stops; disk_await_held waits until one does; disk_release lets it go on. */
void disk_hold(char kind);
void disk_await_held(void);
void disk_release(void);

/** disk_free(bytes): what fstatvfs says from now on; UINT64_MAX: the truth. */
void disk_free(uint64_t bytes);
