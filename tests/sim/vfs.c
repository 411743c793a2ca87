/*
 * The files of SQLite: a VFS in memory, as the state of a device is opened, written and closed in each of its syncs.  On disk is an empty file for
 * each, by which it is there, moves, is deleted and copied; its bytes go by that file's inode number, which tmpfs never gives twice.
 *
 * All connections are in this process, and one thread runs at a time, never two in SQLite: a lock is a number.  Those of a killed process stay, on
 * files that its next one does not open (user_reboot).
 */
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#define REGIONS_MAX 64 /* of the index of a log, 32 KiB each */

/* A file, whatever it is called. */
struct bytes {
	struct bytes *next;
	ino_t ino; /* 0: it has no name */
	uint8_t *p;
	size_t len, cap;
	unsigned opened, shared;
	const struct file *writer; /* has RESERVED, or more */
	bool pending;
	void *regions[REGIONS_MAX];
	unsigned mapped, log_shared[SQLITE_SHM_NLOCK];
	bool log_taken[SQLITE_SHM_NLOCK];
};

/* One that is open. */
struct file {
	sqlite3_file base;
	struct bytes *b;
	int level;
	bool mapped;
	unsigned log_shared, log_taken; /* bits */
};

static struct bytes *all;
static struct dice dice = { 1 };
static sqlite3_vfs *kernel;

int __real_open64(const char *path, int flags, ...);
int __real_fstat64(int fd, struct stat *st);
int __real_fstatat64(int dir, const char *path, struct stat *st, int flags);
int __real_unlinkat(int dir, const char *path, int flags);

/* ---- bytes -------------------------------------------------------------------------------------------------------------------------- */

static struct bytes *
find(ino_t ino)
{
	for (struct bytes *b = all; b; b = b->next)
		if (b->ino == ino)
			return b;
	return NULL;
}

static struct bytes *
bytes_new(ino_t ino)
{
	struct bytes *b = xcalloc(1, sizeof *b);

	b->ino = ino;
	b->next = all;
	all = b;
	return b;
}

static void
regions_free(struct bytes *b)
{
	for (size_t i = 0; i < REGIONS_MAX; i++) {
		free(b->regions[i]);
		b->regions[i] = NULL;
	}
}

static void
bytes_free(struct bytes *b)
{
	struct bytes **at = &all;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	regions_free(b);
	free(b->p);
	free(b);
}

static void
bytes_write(struct bytes *b, size_t off, const void *p, size_t len)
{
	if (off + len > b->cap) {
		b->cap = MAX(2 * b->cap, (off + len + 65535) / 65536 * 65536);
		b->p = xrealloc(b->p, b->cap);
	}
	if (off > b->len)
		memset(b->p + b->len, 0, off - b->len);
	if (len)
		memcpy(b->p + off, p, len);
	b->len = MAX(b->len, off + len);
}

/* The number is another file's now. */
static void
forget(ino_t ino)
{
	struct bytes *b = find(ino);

	if (b && b->opened == 0)
		bytes_free(b);
	else if (b)
		b->ino = 0;
}

void
vfs_copy(const char *from, const char *to)
{
	struct stat in, out;
	struct bytes *a, *b;

	if (__real_fstatat64(AT_FDCWD, from, &in, 0) || __real_fstatat64(AT_FDCWD, to, &out, 0))
		fail("sim", "copy %s", from);
	a = find(in.st_ino);
	if (!a)
		return;
	forget(out.st_ino);
	b = bytes_new(out.st_ino);
	bytes_write(b, 0, a->p, a->len);
}

/* ---- an open file --------------------------------------------------------------------------------------------------------------------- */

static struct file *
file_of(sqlite3_file *f)
{
	return (struct file *)f;
}

static int
file_read(sqlite3_file *base, void *p, int len, sqlite3_int64 off)
{
	const struct bytes *b = file_of(base)->b;
	size_t there = (size_t)off < b->len ? MIN(b->len - (size_t)off, (size_t)len) : 0;

	if (there)
		memcpy(p, b->p + off, there);
	memset((uint8_t *)p + there, 0, (size_t)len - there);
	return there == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int
file_write(sqlite3_file *base, const void *p, int len, sqlite3_int64 off)
{
	bytes_write(file_of(base)->b, (size_t)off, p, (size_t)len);
	return SQLITE_OK;
}

static int
file_truncate(sqlite3_file *base, sqlite3_int64 len)
{
	struct bytes *b = file_of(base)->b;

	b->len = MIN(b->len, (size_t)len);
	return SQLITE_OK;
}

static int
file_sync(sqlite3_file *base, int flags)
{
	(void)base, (void)flags;
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *base, sqlite3_int64 *out)
{
	*out = (sqlite3_int64)file_of(base)->b->len;
	return SQLITE_OK;
}

static int
file_lock(sqlite3_file *base, int level)
{
	struct file *f = file_of(base);
	struct bytes *b = f->b;

	if (f->level >= level)
		return SQLITE_OK;
	if (level == SQLITE_LOCK_SHARED) {
		if (b->pending)
			return SQLITE_BUSY;
		b->shared++;
		f->level = level;
		return SQLITE_OK;
	}
	if (b->writer && b->writer != f)
		return SQLITE_BUSY;
	b->writer = f;
	f->level = MIN(level, SQLITE_LOCK_PENDING);
	if (level == SQLITE_LOCK_RESERVED)
		return SQLITE_OK;
	b->pending = true; /* nobody else comes in */
	if (level == SQLITE_LOCK_EXCLUSIVE && b->shared > 1)
		return SQLITE_BUSY;
	f->level = level;
	return SQLITE_OK;
}

static int
file_unlock(sqlite3_file *base, int level)
{
	struct file *f = file_of(base);
	struct bytes *b = f->b;

	if (f->level <= level)
		return SQLITE_OK;
	if (b->writer == f) {
		b->writer = NULL;
		b->pending = false;
	}
	if (level == SQLITE_LOCK_NONE)
		b->shared--;
	f->level = level;
	return SQLITE_OK;
}

static int
file_is_reserved(sqlite3_file *base, int *out)
{
	*out = file_of(base)->b->writer != NULL;
	return SQLITE_OK;
}

static int
file_control(sqlite3_file *base, int op, void *arg)
{
	(void)base, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int
file_sector(sqlite3_file *base)
{
	(void)base;
	return 4096;
}

static int
file_traits(sqlite3_file *base)
{
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- the index of a log ----------------------------------------------------------------------------------------------------------------- */

static int
file_map(sqlite3_file *base, int region, int len, int extend, void volatile **out)
{
	struct file *f = file_of(base);
	void **at = &f->b->regions[region];

	if (region >= REGIONS_MAX)
		return SQLITE_NOMEM;
	f->b->mapped += !f->mapped;
	f->mapped = true;
	if (!*at && extend)
		*at = xcalloc(1, (size_t)len);
	*out = *at;
	return SQLITE_OK;
}

static void
log_release(struct file *f, unsigned at, unsigned n)
{
	for (unsigned i = at; i < at + n; i++) {
		f->b->log_shared[i] -= f->log_shared >> i & 1;
		if (f->log_taken >> i & 1)
			f->b->log_taken[i] = false;
		f->log_shared &= ~(1U << i);
		f->log_taken &= ~(1U << i);
	}
}

static int
file_log_lock(sqlite3_file *base, int first, int count, int flags)
{
	struct file *f = file_of(base);
	unsigned at = (unsigned)first, n = (unsigned)count;
	bool alone = flags & SQLITE_SHM_EXCLUSIVE;

	if (flags & SQLITE_SHM_UNLOCK) {
		log_release(f, at, n);
		return SQLITE_OK;
	}
	for (unsigned i = at; i < at + n; i++) {
		unsigned others = f->b->log_shared[i] - (f->log_shared >> i & 1);

		if ((f->b->log_taken[i] && !(f->log_taken >> i & 1)) || (alone && others > 0))
			return SQLITE_BUSY;
	}
	for (unsigned i = at; i < at + n; i++) {
		if (alone) {
			f->b->log_taken[i] = true;
			f->log_taken |= 1U << i;
		} else if (!(f->log_shared >> i & 1)) {
			f->b->log_shared[i]++;
			f->log_shared |= 1U << i;
		}
	}
	return SQLITE_OK;
}

static void
file_barrier(sqlite3_file *base)
{
	(void)base;
}

static int
file_unmap(sqlite3_file *base, int delete)
{
	struct file *f = file_of(base);

	(void)delete;
	log_release(f, 0, SQLITE_SHM_NLOCK);
	if (f->mapped && --f->b->mapped == 0)
		regions_free(f->b); /* who is first again makes it anew from the log */
	f->mapped = false;
	return SQLITE_OK;
}

static int
file_close(sqlite3_file *base)
{
	struct file *f = file_of(base);
	struct bytes *b = f->b;

	file_unmap(base, 0);
	file_unlock(base, SQLITE_LOCK_NONE);
	if (--b->opened == 0 && b->ino == 0)
		bytes_free(b);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = { .iVersion = 2, .xClose = file_close, .xRead = file_read, .xWrite = file_write,
	.xTruncate = file_truncate, .xSync = file_sync, .xFileSize = file_size, .xLock = file_lock, .xUnlock = file_unlock,
	.xCheckReservedLock = file_is_reserved, .xFileControl = file_control, .xSectorSize = file_sector, .xDeviceCharacteristics = file_traits,
	.xShmMap = file_map, .xShmLock = file_log_lock, .xShmBarrier = file_barrier, .xShmUnmap = file_unmap };

/* ---- names -------------------------------------------------------------------------------------------------------------------------------- */

static bool
inode_open(const char *path, int flags, ino_t *out)
{
	int how = (flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW;
	int fd = flags & SQLITE_OPEN_CREATE ? __real_open64(path, how | O_CREAT | O_EXCL, 0644) : -1;
	bool fresh = fd >= 0;
	struct stat st;

	if (!fresh)
		fd = __real_open64(path, how);
	if (fd < 0 || __real_fstat64(fd, &st))
		return false;
	close(fd);
	if (fresh)
		forget(st.st_ino);
	*out = st.st_ino;
	return true;
}

static int
vfs_open(sqlite3_vfs *v, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
	struct file *f = file_of(base);
	ino_t ino = 0;

	(void)v;
	*f = (struct file){ 0 };
	if (path && !inode_open(path, flags, &ino))
		return SQLITE_CANTOPEN;
	f->b = path ? find(ino) : NULL;
	if (!f->b)
		f->b = bytes_new(ino);
	f->b->opened++;
	f->base.pMethods = &methods;
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *v, const char *path, int sync)
{
	struct stat st;

	(void)v, (void)sync;
	if (__real_fstatat64(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
	if (__real_unlinkat(AT_FDCWD, path, 0))
		return SQLITE_IOERR_DELETE;
	forget(st.st_ino);
	return SQLITE_OK;
}

/* As the kernel's: what is empty is not there. */
static int
vfs_access(sqlite3_vfs *v, const char *path, int what, int *out)
{
	struct stat st;
	const struct bytes *b;

	(void)v;
	*out = __real_fstatat64(AT_FDCWD, path, &st, 0) == 0;
	b = *out ? find(st.st_ino) : NULL;
	if (what == SQLITE_ACCESS_EXISTS)
		*out = b && b->len > 0;
	return SQLITE_OK;
}

static int
vfs_path(sqlite3_vfs *v, const char *path, int cap, char *out)
{
	(void)v;
	return kernel->xFullPathname(kernel, path, cap, out);
}

static int
vfs_random(sqlite3_vfs *v, int len, char *out)
{
	(void)v;
	for (int i = 0; i < len; i++)
		out[i] = (char)(dice_u64(&dice) >> 56);
	return len;
}

/* Nobody else runs while SQLite waits, so there is nothing to wait for. */
static int
vfs_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	return us;
}

static int
vfs_time(sqlite3_vfs *v, double *out)
{
	(void)v;
	return kernel->xCurrentTime(kernel, out);
}

static int
vfs_error(sqlite3_vfs *v, int len, char *out)
{
	(void)v, (void)len, (void)out;
	return 0;
}

void
vfs_start(void)
{
	static sqlite3_vfs vfs = { .iVersion = 1, .szOsFile = sizeof(struct file), .mxPathname = 1024, .zName = "sim", .xOpen = vfs_open,
		.xDelete = vfs_delete, .xAccess = vfs_access, .xFullPathname = vfs_path, .xRandomness = vfs_random, .xSleep = vfs_sleep,
		.xCurrentTime = vfs_time, .xGetLastError = vfs_error };

	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	kernel = sqlite3_vfs_find(NULL);
	if (!kernel || sqlite3_vfs_register(&vfs, 1))
		abort();
}
