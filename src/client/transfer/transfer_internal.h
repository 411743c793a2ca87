#pragma once
/** Shared by push and pull. */

#include <stdatomic.h>

#include "base/thread.h"
#include "client/transfer/transfer.h"

#define PARALLEL_DEFAULT 8  /* half of what the server takes from one device */
#define PARALLEL_MAX HTTP_PER_DEVICE_MAX /* more would be told to wait */
#define CANCEL_LOOK_MS 200  /* how late a waiting thread notices that it was cancelled */

#define WATCHED_MAX 32        /* large files at once: each is held by a packer, or open in a pull */
#define WATCH_MIN (8 * MIB)   /* smaller ones are over before anybody could read their names */

struct transfer_progress {
	_Atomic uint64_t files_total, files_done, files_later, bytes_total, bytes_done, bytes_later, bytes_saved;
	struct mutex mu;      /* RANK_LEAF; guards what follows */
	struct watched {
		const void *who;  /* NULL: free */
		char *path;
		uint64_t size, done;
		int64_t since_ms;
	} watched[WATCHED_MAX];
};

/** transfer_parallel(env, pieces): requests at once, within bounds: for as many pieces there is no use of more. */
unsigned transfer_parallel(const struct transfer_env *env, uint64_t pieces);

static inline bool
transfer_cancelled(const struct transfer_env *env)
{
	return flag_is_set(env->cancel);
}

/** transfer_fatal(code): whether an error of the server or the line concerns everything, and not one file. */
bool transfer_fatal(err_code code);

/**
 * list_worth(e): whether the state keeps the block list of a file's content.  Of a file of one block there is nothing to keep of it for a
 * delta, a copy is found by its content, and a list each would be half of a state of a million small files, in no order.
 */
static inline bool
list_worth(const struct entry *e)
{
	return (uint64_t)e->size > BLOCK_LEN_MAX;
}

/** Count, where somebody watches. */
void progress_expect(const struct transfer_env *env, uint64_t files, uint64_t bytes);
/** ${who} has come so much further: an item or a landing; NULL: nobody whose name is shown. */
void progress_bytes(const struct transfer_env *env, const void *who, uint64_t bytes);
/** progress_watch: a file of ${size} bytes begins; if it is large, its name is shown until progress_unwatch. */
void progress_watch(const struct transfer_env *env, const void *who, const char *path, uint64_t size);
void progress_unwatch(const struct transfer_env *env, const void *who);
void progress_saved(const struct transfer_env *env, uint64_t bytes);
void progress_file(const struct transfer_env *env);
