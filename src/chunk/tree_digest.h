#pragma once
/**
 * The digest of a tree (DESIGN 2.4, docs/protocol/digest.md): the sum mod 2^256 of what each live entry adds (digest_add of
 * base/hash.h).  Server and client have this one implementation, so equal sums prove equal trees without a listing.  Pure; any thread.
 */

#include "base/hash.h"
#include "base/id.h"

/** What identifies an entry's state.  All lent. */
struct tree_digest_in {
	const struct id *id;
	int64_t version;
	const struct hash *content; /* zero for a directory */
	uint32_t mode;
	uint8_t kind;               /* as on the wire: 0 file, 1 directory, 2 link */
	uint64_t size;
	const char *path;
	size_t path_len;            /* ≤ PATH_LEN_MAX, asserted */
};

/** tree_digest_entry(in): SHA-256 of id[16] · u64 version · content[32] · u32 mode · u8 kind · u64 size · path, little-endian. */
struct hash tree_digest_entry(const struct tree_digest_in *in);
