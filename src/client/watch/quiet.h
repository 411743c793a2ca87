#pragma once
/**
 * When a pass may run, and which files it leaves alone because they are still being written.  Pure: time is a parameter, in milliseconds of
 * any clock that does not go back; nothing is waited for here.
 *
 * A pass may run when something has changed and nothing more has for WATCH_CALM_MS, and under constant change WATCH_CALM_MAX_MS after the
 * first of it.  A file that is written to is held from the first write until it is closed, or a look finds nobody who could write (utimes and
 * truncate are told as writes, and nothing is closed), or it has rested for WATCH_HOLD_REST_MS, or has been held for WATCH_HOLD_MAX_MS.
 * Writes to a held file are no reason for a pass; the end of the hold is.
 */

#include "base/map.h"

struct quiet;

/** quiet_new(writing, ctx): ${writing} looks whether somebody has ${path} open and could write; asked now and then while it is held. */
struct quiet *quiet_new(bool (*writing)(void *ctx, const char *path), void *ctx);
void quiet_free(struct quiet *q);

/** quiet_dirty(q, now): something changed, whatever it was. */
void quiet_dirty(struct quiet *q, int64_t now_ms);

/** A file was made; it was written to; it was closed by one that could write; it is gone; it, or all beneath it, has another name. */
void quiet_made(struct quiet *q, const char *path, int64_t now_ms);
void quiet_written(struct quiet *q, const char *path, int64_t now_ms);
void quiet_closed(struct quiet *q, const char *path, int64_t now_ms);
void quiet_gone(struct quiet *q, const char *path, int64_t now_ms);
void quiet_moved(struct quiet *q, const char *from, const char *to, int64_t now_ms);

/** quiet_forget(q, now): events were lost: nothing is known of what is being written. */
void quiet_forget(struct quiet *q, int64_t now_ms);

/** quiet_wait_ms(q, now): until a pass may run, or a hold ends: 0: a pass may run now; -1: nothing will happen by itself. */
int64_t quiet_wait_ms(struct quiet *q, int64_t now_ms);

/** quiet_take(q, now): a pass begins: what has changed so far is its business.  The held paths, as a set that the caller frees. */
struct map *quiet_take(struct quiet *q, int64_t now_ms);

/** quiet_held(q), quiet_each(q, &pos, path): how many are held, and a walk over them in no particular order; *pos starts at 0. */
size_t quiet_held(const struct quiet *q);
bool quiet_each(const struct quiet *q, size_t *pos, const char **path);
