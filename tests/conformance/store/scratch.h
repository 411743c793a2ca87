#pragma once
/** A directory of a test's own, beneath TMPDIR, and its removal; and keys to put things under. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ftw.h>
#include <unistd.h>

#include "server/store/store.h"

#define SCRATCH_MAX 256

static inline void
scratch_make(char dir[static SCRATCH_MAX])
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, SCRATCH_MAX, "%s/dray-store-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static inline int
scratch_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void
scratch_remove(const char *dir)
{
	(void)nftw(dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The ${n}th key of project ${project} in shard ${shard}: the first byte of its hash. */
static inline struct store_key
key_in_shard(uint8_t project, uint8_t shard, uint32_t n)
{
	struct store_key key = { 0 };

	memset(key.project.b, project, sizeof key.project.b);
	key.hash = hash_of(&n, sizeof n);
	key.hash.b[0] = shard;
	return key;
}

static inline struct store_key
key_no(uint8_t project, uint32_t n)
{
	struct hash h = hash_of(&n, sizeof n);

	return key_in_shard(project, h.b[0], n);
}
