#pragma once
/**
 * What the front and the back-ends of meta share.  A back-end embeds struct meta and struct meta_tx first in its own.
 */

#include "server/meta/meta.h"

struct meta_ops {
	/** begin: a transaction made with meta_tx_init; excludes other writers when ${mode} is META_WRITE. */
	err_code (*begin)(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err);
	err_code (*commit)(struct meta_tx *tx, struct err *err); /* releases */
	void (*abort)(struct meta_tx *tx);                       /* releases */
	err_code (*ping)(struct meta *m, struct err *err);
	void (*free)(struct meta *m);
#define METHOD(mode, name, params, args) err_code(*name) params;
#include "server/meta/methods.def"
#undef METHOD
};

struct meta {
	const struct meta_ops *ops;
	size_t path_max; /* meta_path_max */
};

struct meta_tx {
	struct meta *meta;
	enum meta_mode mode;
	struct arena *arena; /* what this transaction hands out */
};

/** How long a writer waits for those before it: longer than any sane commit, shorter than a person's patience. */
#define META_WRITER_WAIT_MS 30000

/** What one transaction may hand out between two calls of meta_tx_trim: thousands of rows with the longest of names. */
#define META_ARENA_MAX (64 * MIB)

void meta_tx_init(struct meta_tx *tx, struct meta *m, enum meta_mode mode, size_t arena_max);
void meta_tx_fini(struct meta_tx *tx);

/**
 * meta_beneath(dir, name, …): the paths beneath a directory are not one run in (dir, name) order: "a-b" sorts between "a" and "a/c".
 * They are two: the entries of ${dir} itself, and those of the directories that start with "${dir}/".
 *
 * beneath_first: where the second run starts, "${dir}/".  beneath_within: whether ${d} is in it.
 */
#define BENEATH_MAX (PATH_LEN_MAX + 2)
const char *beneath_first(const char *dir, char out[static BENEATH_MAX]);
bool beneath_within(const char *first, const char *d);
