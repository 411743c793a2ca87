#pragma once
/**
 * A server in memory, behind the table of client/remote: keeps chunks, transfers and files, and checks what a real one checks, so that
 * a commit that names a chunk which has not arrived, or a list that does not make its content, is found here.
 */

#include <pthread.h>

#include "chunk/blocklist.h"
#include "chunk/container.h"
#include "client/model/entry.h"
#include "client/remote/remote_backend.h"

#define MEM_FILES_MAX 8192
#define MEM_LOG_MAX 16384
#define MEM_TRANSFER_CHUNKS_MAX 256
#define MEM_TRANSFER_PAGE 3 /* chunks told at once: few, so that there are pages */

struct mem_file {
	struct entry e;
	bool live;
	struct blocklist list; /* malloc'd arrays */
};

struct remote_mem {
	struct remote base;
	pthread_mutex_t mu;
	struct arena *arena;
	struct map *chunks;    /* id -> struct mem_chunk */
	struct map *transfers; /* id -> struct mem_transfer */
	struct mem_file files[MEM_FILES_MAX];
	size_t file_count;
	int64_t clock;
	struct id epoch;

	/* what happened */
	unsigned commits, chunk_puts, list_puts, chunk_gets, fetches, transfers_made, transfers_deleted, transfers_asked, lists_asked, extents_asked, copies;
	size_t ops_max;        /* of one commit */
	uint64_t bytes_up, bytes_down;
	char log[MEM_LOG_MAX]; /* "put a;move b;delete c;" in the order in which they were applied */

	/* what to do wrong */
	const bool *cancel;    /* calls end with CANCELLED when it becomes true, as the real ones do */
	unsigned delay_ms;     /* of each chunk that is put or fetched */
	err_code put_fails;    /* chunk_put answers this from the put_fails_at-th on */
	unsigned put_fails_at;
	err_code fetch_fails;  /* blocks/fetch answers this */
	err_code extents_fail; /* a list's extents alone are not given, but this */
	void (*bend_extents)(struct blocklist *page, uint64_t from); /* lie about them */
	unsigned do_at;        /* when the do_at-th chunk comes, call do_what(do_arg) */
	unsigned do_at_page;   /* the same when the do_at_page-th page of a block list comes */
	void (*do_what)(void *arg);
	void *do_arg;
	bool no_copies;        /* no version can be copied from */
	unsigned garble_gets;  /* so many chunk answers have a wrong byte, at garble_at */
	uint64_t garble_at;
	const char *poison;    /* a path that makes a commit PATH_INVALID as a whole */
	bool silent_missing;   /* CHUNKS_MISSING without saying which */
};

struct remote_mem *remote_mem_new(void);
void remote_mem_free(struct remote_mem *m);
struct mem_file *mem_file_at(struct remote_mem *m, const char *path); /* live, or NULL */
/** mem_chunk_put(m, p, len): as if it had been sent. */
struct hash mem_chunk_put(struct remote_mem *m, const uint8_t *p, size_t len);
/** mem_late_chunks(m, count): so many that an earlier run has sent arrive, by the next numbers of each transfer; for do_what. */
void mem_late_chunks(struct remote_mem *m, uint32_t count);
void mem_transfers_end(struct remote_mem *m); /* they have expired */
void mem_transfers_forget(struct remote_mem *m); /* nothing is known of them */
void mem_chunks_drop(struct remote_mem *m); /* the garbage collector went too far */
/** mem_file_add(m, path, l): a file that is made of ${l}; its entry is filled in. */
struct mem_file *mem_file_add(struct remote_mem *m, const char *path, const struct blocklist *l);
/** mem_block_is(m, f, i, p, len): whether block ${i} of the file has these bytes. */
bool mem_file_is(struct remote_mem *m, const struct mem_file *f, const uint8_t *p, size_t len);
