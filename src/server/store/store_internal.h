#pragma once
/**
 * What the back-ends of the store share: the table of methods that the front calls.  Only files of this folder include this.
 */

#include "server/store/store.h"

/** A back-end: one row a call of store.h, whose contract it fulfils.  NULL for open_fd where there are no files. */
struct store_ops {
	void (*free)(struct store *s);
	err_code (*open_writer)(struct store *s, struct store_writer **w, struct err *err);
	/* Writers: ${off} + ${len} may lie at the end (append) or before it; the front has checked and counts the length. */
	err_code (*write)(struct store_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err);
	/* Both release ${w} whatever they return. */
	err_code (*finish)(struct store_writer *w, const struct store_key *key, struct err *err);
	void (*abandon)(struct store_writer *w);
	err_code (*read)(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got,
	    struct err *err);
	err_code (*size)(struct store *s, const struct store_key *key, uint64_t *size, struct err *err);
	err_code (*age)(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err);
	err_code (*open_fd)(struct store *s, const struct store_key *key, int *fd, uint64_t *size, struct err *err);
	err_code (*delete)(struct store *s, const struct store_key *key, struct err *err);
	err_code (*list)(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx,
	    struct err *err);
	err_code (*check)(struct store *s, struct err *err);
};

/** Embedded first in every back-end's store. */
struct store {
	const struct store_ops *ops;
};

/** Embedded first in every back-end's writer; the front keeps ${len} and ${failed}, the back-end sets ${store}. */
struct store_writer {
	struct store *store;
	uint64_t len;    /* bytes appended so far */
	err_code failed; /* of the first write that failed: such an object is never finished */
};
