/*
 * The digest is a sum, so a change costs one subtraction and one addition whatever the size of the tree (DESIGN 2.4).
 */
#include "base/fault.h"
#include "server/domain/domain_internal.h"

void
sums_add(struct sums *s, const struct file *f)
{
	struct hash h = file_digest(f);

	if (!FAULT("domain.no_digest"))
		digest_add(&s->digest, &h);
	s->file_count++;
	s->total_bytes += f->size;
}

void
sums_sub(struct sums *s, const struct file *f)
{
	struct hash h = file_digest(f);

	digest_sub(&s->digest, &h);
	s->file_count--;
	s->total_bytes -= f->size;
}
