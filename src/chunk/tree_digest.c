/*
 * The digest of a tree.  A sum can be kept up to date by a commit in O(what it changes), in any order of commits; XOR could too, but
 * with XOR an entry that is counted twice would vanish.
 */
#include "chunk/tree_digest.h"

#include <assert.h>

#include "base/limits.h"

#define FIXED_LEN (16 + 8 + 32 + 4 + 1 + 8)

struct hash
tree_digest_entry(const struct tree_digest_in *in)
{
	uint8_t buf[FIXED_LEN + PATH_LEN_MAX];
	uint8_t *p = buf;

	assert(in->path_len <= PATH_LEN_MAX); /* path_check let it in */
	memcpy(p, in->id->b, sizeof in->id->b);
	p += sizeof in->id->b;
	put_u64le(p, (uint64_t)in->version);
	p += 8;
	memcpy(p, in->content->b, sizeof in->content->b);
	p += sizeof in->content->b;
	put_u32le(p, in->mode);
	p += 4;
	*p++ = in->kind;
	put_u64le(p, in->size);
	p += 8;
	memcpy(p, in->path, in->path_len);
	return hash_of(buf, FIXED_LEN + in->path_len);
}
