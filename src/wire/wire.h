#pragma once
/**
 * The API's objects and their JSON, one definition for server and client.  Encoders append to a jw; decoders fill structs whose text
 * lives in the arena given.
 *
 * Common forms: ids 32 hex digits; hashes 64; times RFC 3339 (microseconds for clocks, nanoseconds for mtime); modes "0644";
 * sizes and versions integers; cursors "MICROSECONDS.EPOCH".
 */

#include "base/jw.h"
#include "base/limits.h"
#include "wire/json_in.h"

/* ---- cursors ------------------------------------------------------------------------------------------------------------- */

struct cursor {
	int64_t clock;    /* microseconds: everything up to here has been seen */
	struct id epoch;
	bool has_epoch;   /* false when a plain time was given */
	int64_t began;    /* of a reading of the feed from its beginning that has not come so far yet: the clock at its start; else 0 */
};

#define CURSOR_MAX (20 + 1 + 20 + 1 + ID_HEX_LEN + 1)
char *cursor_format(const struct cursor *c, char out[static CURSOR_MAX]);

/** cursor_parse(s, len, out, err): "<µs>.<epoch>", "<µs>.<began µs>.<epoch>" or an RFC 3339 time.  CURSOR_INVALID. */
err_code cursor_parse(const char *s, size_t len, struct cursor *out, struct err *err);

/* ---- tokens: "dray_" 43 base62 digits of 256 random bits "_" 6 base62 digits of their CRC-32 ------------------------------ */

#define TOKEN_LEN (5 + 43 + 1 + 6)
void token_new(char out[static TOKEN_LEN + 1]);
/** token_check(s, len): whether the form and the checksum are right; costs no look-up. */
bool token_check(const char *s, size_t len);

/* ---- problems (RFC 9457) ---------------------------------------------------------------------------------------------------- */

/** problem_is_callers(code): whether it is the caller's business why; what failed inside the server (500 and up) is the log's. */
bool problem_is_callers(err_code code);
/**
 * problem_write(jw, err, request_id): {type, title, status, code, detail, reason?, retryable, request_id} left open for more members.
 * Where it is not the caller's business the detail is the hint of errors.def and not the message.
 */
void problem_write(struct jw *jw, const struct err *err, const char *request_id);
/**
 * problem_read(status, p, len, err): the error that an answer of status ${status} ≥ 400 tells, as ${err}->code.  A body that is not a
 * problem document did not come from a dray server: UNAVAILABLE for 502, 503 and 504, TOO_MANY_REQUESTS for 429 (a proxy in
 * between), else PROTOCOL.  A problem whose code is unknown here is a newer server's: INTERNAL.
 */
err_code problem_read(int status, const uint8_t *p, size_t len, struct err *err);

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

struct wire_extent {
	struct hash chunk;
	uint32_t first, count;
};

/** The member "extents":[{chunk, first, count}, …] of an object; a request of …/blocks/fetch has nothing else. */
void wire_extents_write(struct jw *jw, const struct wire_extent *e, uint32_t n);
err_code wire_extents_read(struct json_in *in, struct arena *a, struct wire_extent **out, uint32_t *n, bool *present,
    struct err *err);

/**
 * {id, path, kind: "file"|"dir"|"link", size, mtime, mode, version, content_hash, target?, created_at, changed_at, changed_by,
 *  state: "live"|"deleted", unportable?, extents?, beneath?: {files, dirs, total_size}}
 */
struct wire_file {
	struct id id;
	const char *path;
	int kind; /* 0 file, 1 dir, 2 link */
	int64_t size;
	int64_t mtime_ns;
	uint32_t mode;
	int64_t version;
	struct hash content; /* zero and absent for a directory */
	const char *target;  /* link only */
	int64_t created_at;  /* microseconds */
	struct id changed_by;
	bool deleted;
	bool unportable;
	/* With ?extents=1, files of up to BLOCKLIST_PAGE_BLOCKS blocks: where their blocks lie.  NULL and 0: ask …/blocks. */
	const struct wire_extent *extents;
	uint32_t extent_count;
	/* Of a directory, in people's views: how much lies anywhere beneath it. */
	bool has_beneath;
	struct wire_beneath {
		int64_t files, dirs, bytes; /* files and links; directories; the sum of sizes */
	} beneath;
};

void wire_file_write(struct jw *jw, const struct wire_file *f);
err_code wire_file_read(json_t *value, const char *where, struct arena *a, struct wire_file *out, struct err *err);

/** A file object by itself, as a snapshot in lines has them. */
err_code wire_file_parse(const uint8_t *p, size_t len, struct arena *a, struct wire_file *out, struct err *err);

/** The first of those lines: {file_count, total_size, updated_at, cursor, digest}. */
struct wire_snapshot {
	int64_t file_count; /* lines that follow */
	struct cursor cursor;
	struct hash digest; /* of the project at that clock */
};
err_code wire_snapshot_read(const uint8_t *p, size_t len, struct wire_snapshot *out, struct err *err);

/**
 * A state that a file has had: {version, path, kind, size, mode, mtime, content_hash?, target?, changed_by, changed_by_name, deleted}.
 * Of a tombstone the rest is the last state before it.
 */
struct wire_version {
	int64_t version;
	const char *path;
	int kind;
	int64_t size;
	uint32_t mode;
	int64_t mtime_ns;
	struct hash content; /* zero and absent for a directory */
	const char *target;  /* link only */
	struct id changed_by;
	const char *changed_by_name; /* "" when the device is not known any more */
	bool deleted;
};
void wire_version_write(struct jw *jw, const struct wire_version *v);
/** wire_versions_read: an answer of …/versions, newest first; text in ${a}. */
err_code wire_versions_read(const uint8_t *p, size_t len, struct arena *a, struct wire_version **out, size_t *n, bool *has_more,
    struct err *err);

/** A device of a project, as …/devices tells it. */
struct wire_device {
	struct id id;
	const char *name, *role;
	int64_t created_at, last_seen_at; /* microseconds; 0: never */
	bool has_at;          /* it has named a place */
	struct cursor at;
	int64_t lag_us;       /* -1: not known, as lag_changes */
	int64_t lag_changes;  /* LAG_CHANGES_MAX: so many or more */
	int64_t behind_since; /* microseconds; 0: it is not */
	bool connected;
};
/** wire_devices_read: an answer of …/devices, and where the project is; text in ${a}. */
err_code wire_devices_read(const uint8_t *p, size_t len, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project,
    struct err *err);

/** An answer of …/files or …/files/changes; the arrays of changes are told apart by created and deleted. */
struct wire_page {
	struct wire_file *files; /* in the order of the document: added, modified, deleted; or the listing */
	size_t n;
	struct cursor cursor;    /* next_cursor, last_sync */
	bool has_more;
	struct hash digest;      /* of the project at its present clock */
};
/** wire_changes_read, wire_list_read: decode an answer; text in ${a}. */
err_code wire_changes_read(const uint8_t *p, size_t len, struct arena *a, struct wire_page *out, struct err *err);
err_code wire_list_read(const uint8_t *p, size_t len, struct arena *a, struct wire_page *out, struct err *err);

/** wire_files_read: an answer of …/files?dir= or …/files/at: ${next} is where to go on, NULL at the end; text in ${a}. */
err_code wire_files_read(const uint8_t *p, size_t len, struct arena *a, struct wire_file **out, size_t *n, const char **next,
    struct err *err);

/* ---- conflicts ----------------------------------------------------------------------------------------------------------------- */

enum wire_how { WIRE_OPEN, WIRE_CURRENT, WIRE_COPY, WIRE_BOTH, WIRE_MERGED, WIRE_COPY_GONE };
/** wire_how_name(how): as the wire has it; NULL for WIRE_OPEN.  wire_how_parse(s, out): false for what is none of them. */
const char *wire_how_name(enum wire_how how);
bool wire_how_parse(const char *s, enum wire_how *out);

/** One of the two files of a conflict, as it is now; of a deleted one, as it was before. */
struct wire_side {
	struct id id;
	const char *path;
	int kind;
	int64_t version, size;
	bool deleted;
};

/**
 * {id (the copy's), state: "open"|"resolved", original: {id, path, kind, version, size, deleted}, copy: {…}, lost_against, device,
 *  device_name, created_at, resolution?, resolved_at?, resolved_by?, resolved_by_name?}
 */
struct wire_conflict {
	struct wire_side original, copy;
	int64_t lost_against; /* version of the original */
	struct id device;     /* whose edit lost the name */
	const char *device_name; /* "" when the device is not known any more */
	int64_t created_at;
	enum wire_how how;
	int64_t resolved_at;
	struct id resolved_by;
	const char *resolved_by_name;
};
void wire_conflict_write(struct jw *jw, const struct wire_conflict *c);
/** wire_conflict_read: one, as …/resolve answers it. */
err_code wire_conflict_read(const uint8_t *p, size_t len, struct arena *a, struct wire_conflict *out, struct err *err);

/** An answer of …/conflicts. */
struct wire_conflicts {
	struct wire_conflict *list;
	size_t n;
	bool has_more;
	struct cursor next;
};
err_code wire_conflicts_read(const uint8_t *p, size_t len, struct arena *a, struct wire_conflicts *out, struct err *err);

/** The body of …/resolve: {keep, version, copy_version}. */
struct wire_resolve {
	enum wire_how keep; /* CURRENT, COPY, BOTH or MERGED */
	int64_t version, copy_version; /* that the caller has seen */
};
void wire_resolve_write(struct jw *jw, const struct wire_resolve *r);
err_code wire_resolve_read(struct json_in *in, struct wire_resolve *out, struct err *err);

/* ---- commits ------------------------------------------------------------------------------------------------------------------ */

enum wire_op_kind { WIRE_PUT, WIRE_DELETE, WIRE_MOVE, WIRE_RESTORE };

/**
 * One operation of POST …/commits: {"op":"put","path":…,"kind":…,"base":…,…}.
 *
 * put      path, kind; base: the version replaced (absent: the path must be free); mode, mtime; file: size, content_hash and where
 *          its bytes are: extents, or transfer, or from (a file and version of the project); link: target.
 *          A put with base and without content keeps the content and changes mode and mtime.
 *          conflict_of: the file that kept the name, and the version of it that this new file lost against.
 * delete   id, base.   move     id, base, path.   restore  id, base, version, path (absent: where it is or was).
 */
struct wire_op {
	enum wire_op_kind op;
	const char *path;
	size_t path_len; /* may hold a NUL: path_check() has an answer for it.  0 in wire_op_write: strlen */
	int kind;
	bool has_id, has_base, has_mode, has_mtime, has_content, has_transfer, has_from;
	struct id id;
	int64_t base;
	uint32_t mode;
	int64_t mtime_ns;
	int64_t size;
	struct hash content;
	const char *target;
	struct wire_extent *extents; /* with has_content and neither transfer nor from; none for an empty file */
	uint32_t extent_count;
	struct id transfer;
	struct id from_file;
	int64_t from_version; /* also: the version that restore brings back */
	bool has_conflict;    /* put of a new file */
	struct id conflict_file;
	int64_t conflict_version;
};

void wire_op_write(struct jw *jw, const struct wire_op *op);

/** A batch: {"operations":[…],"allow_mass_delete":true?}. */
struct wire_commit {
	struct wire_op *ops;
	size_t n;               /* 1..COMMIT_OPS_MAX */
	bool allow_mass_delete; /* its deletions are meant, however many they are */
};
void wire_commit_write(struct jw *jw, const struct wire_commit *c);
/** wire_commit_read(p, len, a, out, err): messages name the operation: "operations[3].size …". */
err_code wire_commit_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit *out, struct err *err);

/**
 * The result of one operation: {"status":"ok","id":…,"version":…} | {"status":"conflict"|"error","code":…,"detail":…,"current":file?}.
 * "unchanged" is an ok that changed nothing (the state was there already).
 */
struct wire_result {
	bool ok;
	bool unchanged;
	struct id id;
	int64_t version;
	err_code code; /* when not ok */
	const char *detail;
	bool has_current;
	struct wire_file current;
};

void wire_result_write(struct jw *jw, const struct wire_result *r);

/** An answer to a commit: results in order, the cursor and digest after it, and the chunks that were missing (then nothing applied). */
struct wire_commit_answer {
	struct wire_result *results;
	size_t n;
	struct cursor cursor;
	struct cursor previous; /* the clock before the commit: a device that had come this far has missed nothing */
	struct hash digest;
	struct hash *missing; /* the first WIRE_MISSING_MAX of them */
	size_t missing_n;
	bool missing_more;    /* send these, then the next commit names the rest */
};
#define WIRE_MISSING_MAX 8192
/** wire_missing_read: the missing chunks of a CHUNKS_MISSING problem, into ${out}; the rest of *out stays as it is. */
err_code wire_missing_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit_answer *out, struct err *err);
err_code wire_commit_answer_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit_answer *out, struct err *err);
