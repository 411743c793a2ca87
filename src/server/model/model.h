#pragma once
/**
 * The value types of the server: what a project is made of.  Plain structs, copied freely; text is lent by whoever filled the
 * struct (an arena, as each function says) and stays valid as long as that.
 */

#include "base/hash.h"
#include "base/id.h"
#include "base/path.h"
#include "chunk/blocklist.h"

enum kind { KIND_FILE = 0, KIND_DIR = 1, KIND_LINK = 2 }; /* stored as numbers: never renumber */
enum role { ROLE_NONE = 0, ROLE_READER = 1, ROLE_WRITER = 2 };
enum device_kind { DEVICE_PLAIN = 0, DEVICE_OWNER = 1 };

/** How much of its history a project keeps, and how much it may store.  0: without limit. */
struct policy {
	int64_t keep_versions; /* states of a file that is no tombstone, the present one among them; ≤ KEEP_VERSIONS_MAX */
	int64_t keep_days;     /* since a state was replaced; ≤ KEEP_DAYS_MAX */
	int64_t quota_bytes;   /* of stored_bytes */
};

struct project {
	struct id id;
	const char *name;
	struct id epoch;     /* of its history; a restored backup gets a new one */
	int64_t clock;       /* microseconds: the newest change */
	int64_t horizon;     /* microseconds: tombstones up to it may be gone */
	struct hash digest;  /* over the live files, DESIGN 2.4 */
	int64_t file_count;  /* live entries */
	int64_t total_bytes; /* sizes of the live files */
	int64_t created_at;  /* microseconds */
	struct policy policy;
	int64_t stored_bytes; /* containers of its chunks; meta keeps the sum */
};

struct device {
	struct id id;
	const char *name;
	enum device_kind kind;
	struct hash token_hash; /* SHA-256 of the token; the token itself is nowhere */
	int64_t created_at, last_seen_at, revoked_at; /* microseconds; 0: never */
};

struct grant {
	struct id device, project;
	enum role role;
};

/** How much lies anywhere beneath a directory: files and links, directories, and the sum of their sizes. */
struct beneath {
	int64_t files, dirs, bytes;
};

/** An entry of a project's tree as it is now; a tombstone when deleted_at is set. */
struct file {
	struct id id;        /* stable across renames */
	const char *dir;     /* path of the parent directory, "" at the top */
	const char *name;
	enum kind kind;
	int64_t version;     /* the project clock at which this state was committed: the base version of edits, the feed's order */
	int64_t size;        /* bytes; 0 unless a file */
	uint32_t mode;       /* permission bits, ≤ 0777 */
	int64_t mtime_ns;
	struct hash content; /* content hash; zero for a directory */
	struct id list;      /* names its block list (meta_blocks_get); zero of all but a live file that is not empty */
	const char *target;  /* of a link, else "" */
	int64_t created_at;  /* the clock of its first version */
	struct id changed_by; /* device */
	int64_t deleted_at;  /* clock of the tombstone; 0: live */
	struct beneath beneath; /* of a live directory; meta keeps it, meta_file_counts changes it */
};

/** A state that a file has had. */
struct version {
	struct id file;
	int64_t version;
	const char *path;
	enum kind kind;
	int64_t size;
	uint32_t mode;
	int64_t mtime_ns;
	struct hash content;
	struct id list;
	const char *target;
	struct id changed_by;
	bool deleted;
};

struct chunk {
	struct hash id;
	int64_t stored_len; /* of the container */
	int64_t raw_len;
	uint32_t block_count;
	int64_t created_at;
	int64_t used_at;    /* when it was last put, or last newly named: a grace after that it may go when nothing names it */
};

enum transfer_state { TRANSFER_OPEN = 0, TRANSFER_DONE = 1, TRANSFER_ABANDONED = 2, TRANSFER_EXPIRED = 3 };

struct transfer {
	struct id id, device;
	enum transfer_state state;
	const char *path;    /* what it is for, "" for a batch of small files */
	int64_t size;        /* bytes that will arrive, 0 when not known */
	uint32_t chunk_count; /* chunks that have arrived */
	int64_t bytes_done;   /* container bytes that have arrived */
	int64_t created_at, expires_at;
};

struct transfer_chunk {
	uint32_t n;
	struct hash chunk;
};

struct snapshot {
	struct id id;
	int64_t clock;       /* what it shows */
	struct id epoch;
	struct hash digest;
	struct hash object;  /* where its compressed bytes lie in the store */
	int64_t stored_len, raw_len;
	int64_t file_count, total_bytes;
	int64_t created_at, expires_at;
	int format;          /* enum snapshot_format of domain/snapshot.h */
};

struct checkpoint {
	struct id device;
	const char *device_name;
	struct id epoch;
	int64_t clock;
	int64_t updated_at;
};

/** How a conflict ended.  Stored as numbers: never renumber. */
enum resolution {
	RESOLVED_NOT = 0,
	RESOLVED_CURRENT = 1,   /* the file as it is; the copy was deleted */
	RESOLVED_COPY = 2,      /* the copy took the file's place */
	RESOLVED_BOTH = 3,      /* two files from now on */
	RESOLVED_MERGED = 4,    /* the file was changed since; the copy was deleted */
	RESOLVED_COPY_GONE = 5, /* somebody deleted the copy, without a word about the conflict */
};

/** Two edits of one base: one kept the file's name, the other is kept under a name of its own. */
struct conflict {
	struct id copy;       /* the file that holds what lost the name: the conflict's own id too */
	struct id file;       /* the file that kept it */
	int64_t file_version; /* what that was when the copy was made */
	struct id device;     /* whose edit lost the name */
	int64_t created_at;   /* the copy's first version; no two of a project share one */
	int64_t resolved_at;  /* microseconds; 0: open */
	struct id resolved_by; /* device */
	enum resolution resolution;
};

/** FILE_PATH_MAX: room for "dir/name" and NUL.  file_path writes it and returns ${out}. */
#define FILE_PATH_MAX (PATH_LEN_MAX + 1)
char *file_path(const struct file *f, char *out);

/** title_check(p, len, what, err): names of projects and devices: 1..200 bytes of UTF-8, no control characters. */
err_code title_check(const char *p, size_t len, const char *what, struct err *err);

/** file_digest(f): what a live file adds to its project's digest: tree_digest_entry (chunk/tree_digest.h) of its fields. */
struct hash file_digest(const struct file *f);
