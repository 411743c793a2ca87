/*
 * Named blocks, packed in one chunk container: the way down of a file that has changed in places.  It changes nothing, so a repetition
 * needs no key; it is a POST because its question does not fit a URL.
 */
#include "server/domain/blocks.h"

#include "server/route/route_internal.h"

static err_code
source_read(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	err_code rc = blocks_read(ctx, buf, cap, got, err);

	if (!rc && *got == 0)
		return err_set(err, ERR_INTERNAL, "the container ends early");
	return rc;
}

static void
source_close(void *ctx)
{
	blocks_close(ctx);
}

/** {"extents":[{chunk, first, count}, …]}, the list kept in the request's arena. */
static err_code
read_extents(struct call *c, struct extent **out, uint32_t *n, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct wire_extent *list = NULL;
	struct json_in in;
	bool present = false;
	err_code rc = call_json(c, &doc, &in, err);

	*n = 0;
	if (!rc)
		rc = wire_extents_read(&in, c->a, &list, n, &present, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (rc)
		return rc;
	if (!present)
		return err_set(err, ERR_FIELD_MISSING, "extents is missing");
	*out = arena_array(c->a, *n, sizeof **out);
	if (*out == NULL)
		return err_set(err, ERR_NO_MEM, "extents");
	for (uint32_t i = 0; i < *n; i++)
		(*out)[i] = (struct extent){ .chunk = list[i].chunk, .first = list[i].first, .count = list[i].count };
	return ERR_OK;
}

err_code
route_blocks_fetch(struct call *c, struct err *err)
{
	struct extent *extents = NULL;
	struct blocks_out *b;
	uint64_t len;
	uint32_t n;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = read_extents(c, &extents, &n, err);
	if (!rc)
		rc = blocks_open(c->d, &c->project, extents, n, &b, &len, err);
	if (!rc)
		http_answer_source(c->rq, 200, "application/octet-stream", len,
		    (struct http_source){ .ctx = b, .read = source_read, .close = source_close });
	return rc;
}
