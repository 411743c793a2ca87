#pragma once
/**
 * The parts of the local-directory store: store_fs.c (objects), store_fs_write.c (their bytes), store_fs_layout.c (directories,
 * made at open) and store_fs_sync.c (what durable means, and free space).
 */

#include <stdatomic.h>

#include "base/thread.h"
#include "server/store/store_internal.h"

#define FS_SHARDS 256
#define FS_NAME_LEN (ID_HEX_LEN + 1 + HASH_HEX_LEN) /* <project>-<hash> */
#define FS_NAME_SIZE (FS_NAME_LEN + 1)
#define FS_RUNS_IDLE_MAX 16 /* buffers that are kept: 4 MiB */
#define FS_TMP_NAME_SIZE 20 /* 16 hexadecimal digits and NUL */

/** One of chunks/00…ff.  Its descriptor is kept open, so that no write error of the directory can go unseen between two fsyncs. */
struct fs_shard {
	int fd;
	struct mutex mu; /* RANK_STORE; guards what follows */
	struct cond cv;
	uint64_t begun; /* fsyncs of the directory started so far */
	uint64_t done;  /* the last of them that succeeded */
	bool syncing;   /* one is running */
};

struct store_fs {
	struct store base;
	int root;            /* the directory itself */
	int tmp;             /* root/tmp */
	bool reader;         /* opened to read only */
	atomic_bool failed;  /* an fsync failed: no writes until the next start (I6) */
	struct fs_shard shards[FS_SHARDS];

	uint64_t reserve;
	struct mutex room_mu;    /* RANK_LEAF; guards the two below */
	int64_t room_checked_ms; /* when statvfs was last asked, monotonic; 0: never */
	uint64_t room;           /* bytes free then, less what was written since */

	atomic_bool direct;      /* the file system takes O_DIRECT, as far as is known */
	struct mutex runs_mu;    /* RANK_LEAF; guards the two below */
	uint8_t *runs[FS_RUNS_IDLE_MAX];
	unsigned runs_idle;
};

struct fs_writer {
	struct store_writer base;
	int fd;
	char tmp_name[FS_TMP_NAME_SIZE]; /* in tmp; "" once it has moved to its shard */
	uint8_t *run;                    /* NULL: nothing was written yet */
	uint64_t at;                     /* where in the file it begins */
	size_t have;                     /* bytes in it */
};

/* ---- store_fs_layout.c ------------------------------------------------------------------------------------------------ */

/** fs_layout_open(fs, dir, err): make what is missing, durably, open it, empty tmp, and try what the file system must be able to. */
err_code fs_layout_open(struct store_fs *fs, const char *dir, struct err *err);

/** fs_layout_open_reader(fs, dir, err): open what is there. */
err_code fs_layout_open_reader(struct store_fs *fs, const char *dir, struct err *err);

/** fs_tmp_name(out): a name for tmp that nothing has.  Returns ${out}. */
char *fs_tmp_name(char out[static FS_TMP_NAME_SIZE]);

/* ---- store_fs_write.c ------------------------------------------------------------------------------------------------- */

/** fs_write: the method.  fs_write_tail(w, err): what is not in the file yet, before its fsync.  fs_write_end(w): in any case. */
err_code fs_write(struct store_writer *base, uint64_t off, const uint8_t *p, size_t len, struct err *err);
err_code fs_write_tail(struct fs_writer *w, struct err *err);
void fs_write_end(struct fs_writer *w);
void fs_runs_free(struct store_fs *fs);

/* ---- store_fs_sync.c -------------------------------------------------------------------------------------------------- */

/** fs_writable(fs, err): READ_ONLY for a reader, and once an fsync has failed. */
err_code fs_writable(struct store_fs *fs, struct err *err);

/**
 * fs_sync_new(fs, fd, err): make the bytes of a file in tmp durable.  NO_SPACE, or READ_ONLY and the store has failed.
 * fs_sync_old(fs, fd, err): the same for an object that has its name; every failure is READ_ONLY.
 */
err_code fs_sync_new(struct store_fs *fs, int fd, struct err *err);
err_code fs_sync_old(struct store_fs *fs, int fd, struct err *err);

/**
 * fs_sync_shard(fs, shard, err): make every entry durable that was in ${shard} before the call.  Calls that wait together share
 * one fsync.  READ_ONLY: the store has failed.
 */
err_code fs_sync_shard(struct store_fs *fs, struct fs_shard *shard, struct err *err);

/** fs_room(fs, len, err): may ${len} more bytes be written?  NO_SPACE when that would eat into the reserve. */
err_code fs_room(struct store_fs *fs, uint64_t len, struct err *err);

/** fs_error(err, …): as err_errno, with the codes that errno has for a store: no descriptors is UNAVAILABLE, no quota NO_SPACE. */
#define fs_error(err, ...) err_sys(err, fs_error_code(errno), errno, __VA_ARGS__)
err_code fs_error_code(int sys);
