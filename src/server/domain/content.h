#pragma once
/**
 * A file's plain bytes, in and out, for clients that know nothing of blocks (curl, a browser).
 */

#include "server/domain/commit.h"
#include "server/domain/domain.h"

/**
 * Reading: a version's bytes from any offset, every block verified before a byte of it is handed out (I3).  One thread at a
 * time.  CORRUPT when a stored block does not hash to what was recorded: nothing of that block has been given, and *got is what the
 * good blocks before it gave.  *got < len without an error only at the end.  About 200 KiB while open.
 */
struct content_out;
err_code content_open(struct domain *d, const struct id *project, const struct file *file, struct content_out **out,
    struct err *err);
err_code content_read(struct content_out *c, uint64_t off, uint8_t *buf, size_t len, size_t *got, struct err *err);
void content_close(struct content_out *c);

/** content_etag(file, out): the strong entity tag of a version, with quotes. */
#define ETAG_MAX 64
char *content_etag(const struct file *f, char out[static ETAG_MAX]);

/**
 * Writing: ${size} bytes that arrive in pieces are cut, hashed, compressed and stored as they come, in memory of a few blocks and 40
 * bytes for each 4 MiB; finish commits them as the file at ${path}, making the directories on the way.  With IF_ANY the last writer
 * wins, and what he wrote over is in the history.
 */
enum content_condition { IF_ANY, IF_ABSENT, IF_VERSION };
struct content_put {
	const char *path;
	struct id device;
	int64_t size;
	enum content_condition condition;
	int64_t version;     /* IF_VERSION; -1: any version, but there must be one */
	bool has_mtime;
	int64_t mtime_ns;
};
struct content_in;
/**
 * Errors     path errors, FILE_TOO_LARGE; NAME_EXISTS (a directory is there), PARENT_NOT_DIRECTORY, PRECONDITION_FAILED: told before
 *            the bytes come, and again at the end.  QUOTA: before, when nothing more can be stored, and whenever a chunk does not fit.
 *            SIZE_MISMATCH from feed (too many bytes) and finish (too few).
 */
err_code content_in_open(struct domain *d, const struct id *project, const struct content_put *put, struct content_in **out,
    struct err *err);
err_code content_in_feed(struct content_in *c, const uint8_t *p, size_t len, struct err *err);
/** The file as it is now; *created when it was not there before. */
err_code content_in_finish(struct content_in *c, struct arena *a, struct file *out, bool *created, struct err *err);
void content_in_free(struct content_in *c);

/**
 * content_delete(d, project, device, path, condition, version, allow_mass_delete, err): NOT_FOUND, NOT_EMPTY, PRECONDITION_FAILED;
 * MASS_DELETE_HELD, unless ${allow_mass_delete}.
 */
err_code content_delete(struct domain *d, const struct id *project, const struct id *device, const char *path,
    enum content_condition condition, int64_t version, bool allow_mass_delete, struct err *err);
