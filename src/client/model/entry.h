#pragma once
/**
 * What the client knows of one name in the tree, on one of the three sides: base (last agreed), local (on disk), remote (server).
 * Plain values; text lives in whoever's arena filled them.
 */

#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"

/**
 * A write within the same tick of the file system's clock as a stat leaves that stat's change time behind, so of one that is younger than this nobody trusts
 * that it is the last.  The coarsest tick of a Linux kernel is 10 ms.
 */
#define RACY_NS (20 * INT64_C(1000000))

enum entry_kind { ENTRY_FILE = 0, ENTRY_DIR = 1, ENTRY_LINK = 2 }; /* the numbers of the wire */

struct entry_extents; /* where a file's bytes lie on the server: feed.h */

struct entry {
	const char *path;
	enum entry_kind kind;
	int64_t size;        /* bytes; 0 unless a file */
	uint32_t mode;       /* permission bits, ≤ 0777; not compared for links */
	int64_t mtime_ns;
	struct hash content; /* valid with content_known; zero for a directory */
	bool content_known;  /* always true for base and remote, for directories and links */
	const char *target;  /* link, else "" */

	/* base and remote: what the server calls it */
	struct id id;
	int64_t version;
	const struct entry_extents *extents; /* remote: as the feed told; NULL: ask for them */

	/* base and local: who it is on this disk.  ctime 0: recorded too close to a change to be trusted, so look again */
	uint64_t dev, ino;
	int64_t ctime_ns;
};

/** entry_same_content(a, b): same kind and same content (both must be known). */
bool entry_same_content(const struct entry *a, const struct entry *b);

/** entry_same_meta(a, b): same mode and mtime (links: mtime only). */
bool entry_same_meta(const struct entry *a, const struct entry *b);

/** entry_same_disk(a, b): the stat of both is one: nothing has touched the file since. */
bool entry_same_disk(const struct entry *a, const struct entry *b);

/**
 * entry_mode_through(stored, disk, mask): the mode to compare: ${stored} when the disk shows it less ${mask} (the umask), else the disk's.
 * So what a umask took away at the install is not seen as a change and sent back, which would narrow everyone's modes.
 */
uint32_t entry_mode_through(uint32_t stored, uint32_t disk, uint32_t mask);

/** How many there are, and what the files among them hold. */
struct entry_sum {
	uint64_t entries, files, bytes;
};
void entry_sum_add(struct entry_sum *sum, const struct entry *e);
void entry_sum_sub(struct entry_sum *sum, const struct entry *e);

/** path_cmp(a, b): the order of scans, states and plans: by directory (bytes), then by name. */
int path_cmp(const char *a, const char *b);
/** The same for qsort, of an array of paths. */
int path_ptr_cmp(const void *a, const void *b);

/** path_beneath(path, dir): whether ${path} lies somewhere in directory ${dir}. */
bool path_beneath(const char *path, const char *dir);

/** path_ok(path, err): what the client accepts from a server, and sends: the rules of the server's names (I11). */
err_code path_ok(const char *path, size_t len, struct err *err);

/** entry_digest(e): what the entry adds to the project's digest: as file_digest of the server (docs/protocol/digest.md). */
struct hash entry_digest(const struct entry *e);
