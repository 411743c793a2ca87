#pragma once
/**
 * What only drayd fsck asks of the metadata: over SQL, since the twin in memory is made anew by each test.  Reads only.
 */

#include "server/meta/meta.h"

#define META_CHECK_MAX 1000 /* of one answer */

/** What the rows of a project can have wrong among each other, where no key or constraint forbids it. */
enum meta_wrong {
	WRONG_TRANSFER_CHUNK, /* an open transfer counts on a chunk that is not known */
	WRONG_TRANSFER_COUNT, /* an open transfer has another number of chunks than it says */
	WRONG_TRANSFER_LEFT,  /* one that has ended still has chunks, a block list or a progress */
	WRONG_CHECKPOINT,     /* a device is further than the project */
	WRONG_COUNT
};
/** meta_check_wrong(tx, project, which, ids, n, err): the transfers or devices of which that is so, up to META_CHECK_MAX. */
err_code meta_check_wrong(struct meta_tx *tx, const struct id *project, enum meta_wrong which, struct id **ids, size_t *n, struct err *err);

/** What a version says of the list that it has. */
struct meta_said {
	const char *path;
	struct hash content;
	int64_t size;
};
/** meta_check_said(tx, project, list, said, n, err): what the versions with that list say, by path and each thing once, up to META_CHECK_MAX. */
err_code meta_check_said(struct meta_tx *tx, const struct id *project, const struct id *list, struct meta_said **said, size_t *n,
    struct err *err);

/** Snapshots of a project, those that have expired too; of each id, clock, epoch, object and stored_len. */
err_code meta_check_snapshots(struct meta_tx *tx, const struct id *project, struct snapshot **out, size_t *n, struct err *err);
