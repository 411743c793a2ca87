#include "base/num.h"
#include "server/route/route_internal.h"

const char *
query_text(struct call *c, const char *name, size_t *len)
{
	const struct target_text *q = target_query(&c->target, name);

	if (q == NULL)
		return NULL;
	*len = q->len;
	return q->s;
}

err_code
query_u64(struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *out, struct err *err)
{
	const struct target_text *q = target_query(&c->target, name);
	uint64_t n;

	if (q == NULL)
		return ERR_OK;
	if (!parse_u64(q->s, q->len, max, &n) || n < min)
		return err_set(err, ERR_FIELD_RANGE, "%s: a number from %llu to %llu", name, (unsigned long long)min,
		    (unsigned long long)max);
	*out = n;
	return ERR_OK;
}

err_code
query_limit(struct call *c, unsigned *out, struct err *err)
{
	uint64_t n = PAGE_LIMIT_DEFAULT;
	err_code rc = query_u64(c, "limit", 1, PAGE_LIMIT_MAX, &n, err);

	*out = (unsigned)n;
	return rc;
}

err_code
query_flag(struct call *c, const char *name, bool *out, struct err *err)
{
	const struct target_text *q = target_query(&c->target, name);

	if (q == NULL)
		return ERR_OK;
	if (q->len != 1 || (q->s[0] != '0' && q->s[0] != '1'))
		return err_set(err, ERR_FIELD_RANGE, "%s: 0 or 1", name);
	*out = q->s[0] == '1';
	return ERR_OK;
}

err_code
query_end(struct call *c, struct err *err)
{
	for (unsigned i = 0; i < c->target.query_count; i++) {
		if (!c->target.query[i].used)
			return err_set(err, ERR_UNKNOWN_FIELD, "%.100s: no such query parameter here", c->target.query[i].name);
	}
	return ERR_OK;
}
