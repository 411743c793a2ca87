/*
 * The whole tree in one answer.  The bytes are made once, by the encoder here, and kept compressed by the domain; what is sent are
 * those bytes, so ETag and Range work on them.
 */
#include "server/domain/snapshot.h"

#include <strings.h>

#include "server/route/route_internal.h"

/* ---- encoding ------------------------------------------------------------------------------------------------------------------- */

static void
write_summary(struct jw *jw, const struct project *p)
{
	jw_ki64(jw, "file_count", p->file_count);
	jw_ki64(jw, "total_size", p->total_bytes);
	jw_ktime_us(jw, "updated_at", p->clock);
	reply_cursor(jw, "cursor", p->clock, &p->epoch);
	jw_khash(jw, "digest", &p->digest);
}

/** JSON: the summary's object stays open, with "tree" as its last member, because the tree comes a file at a time. */
static void
encode_head(void *ctx, struct sbuf *out, enum snapshot_form form, const struct project *p)
{
	struct jw jw = JW(out);

	(void)ctx;
	jw_object(&jw);
	write_summary(&jw, p);
	if (form == SNAPSHOT_NDJSON) {
		jw_end_object(&jw);
		sbuf_add(out, "\n");
	} else {
		sbuf_add(out, ",\"tree\":{");
	}
}

static void
encode_file(void *ctx, struct sbuf *out, enum snapshot_form form, const struct file *f, const struct blocklist *list, bool first)
{
	struct arena *a = ctx; /* a path, and the extents of a page: one file's at a time */
	struct jw key = JW(out), jw = JW(out);
	struct wire_file w;

	arena_reset(a);
	if (object_file(a, f, list, &w, NULL)) {
		out->failed = true; /* sticky: the builder fails, and with it the build */
		return;
	}
	if (form == SNAPSHOT_JSON) {
		if (!first)
			sbuf_add(out, ",");
		jw_str(&key, w.path);
		sbuf_add(out, ":");
	}
	wire_file_write(&jw, &w);
	if (form == SNAPSHOT_NDJSON)
		sbuf_add(out, "\n");
}

static void
encode_tail(void *ctx, struct sbuf *out, enum snapshot_form form)
{
	(void)ctx;
	if (form == SNAPSHOT_JSON)
		sbuf_add(out, "}}");
}

/* ---- negotiation ---------------------------------------------------------------------------------------------------------------- */

/** Whether an element of Accept-Encoding, "zstd;q=0.5", is taken at all: a q of zero says no. */
static bool
is_refused(const char *params, size_t len)
{
	const char *q = memmem(params, len, "q=", 2);
	size_t rest;

	if (q == NULL)
		return false;
	rest = len - (size_t)(q + 2 - params);
	for (size_t i = 0; i < rest && q[2 + i] != ' '; i++) {
		if (q[2 + i] >= '1' && q[2 + i] <= '9')
			return false;
	}
	return true;
}

/** Whether the header names ${coding}, other than to refuse it.  "*" names all; preferences among what is taken are ours. */
static bool
takes(const char *header, const char *coding)
{
	while (header != NULL && *header) {
		size_t len, name;

		header += strspn(header, " \t,");
		len = strcspn(header, ",");
		name = strcspn(header, " \t;,");
		if ((name == strlen(coding) && strncasecmp(header, coding, name) == 0) || (name == 1 && *header == '*'))
			return !is_refused(header + name, len - name);
		header += len;
	}
	return false;
}

static enum snapshot_coding
choose_coding(struct call *c, const char **name)
{
	const char *header = http_header(c->rq, "accept-encoding");

	if (takes(header, "zstd")) {
		*name = "zstd";
		return SNAPSHOT_ZSTD;
	}
	if (takes(header, "gzip")) {
		*name = "gzip";
		return SNAPSHOT_GZIP;
	}
	*name = NULL;
	return SNAPSHOT_PLAIN;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------ */

struct reader {
	struct domain *d;
	struct snapshot_out s;
	uint64_t off, left;
};

static err_code
reader_read(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	struct reader *r = ctx;
	err_code rc = snapshot_read(r->d, &r->s, r->off, buf, (size_t)MIN(cap, r->left), got, err);

	if (!rc && *got == 0)
		rc = err_set(err, ERR_CORRUPT, "the snapshot ends early");
	r->off += *got;
	r->left -= *got;
	return rc;
}

static err_code
reader_open(struct call *c, void *ctx, uint64_t off, uint64_t len, struct http_source *src, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof *r);

	(void)err;
	*r = (struct reader){ .d = c->d, .s = *(struct snapshot_out *)ctx, .off = off, .left = len };
	*src = (struct http_source){ .ctx = r, .read = reader_read, .close = free };
	return ERR_OK;
}

/** The one that the caller has a part of: If-Match and If-Range name it by its tag.  False: none, or by no tag of ours. */
static bool
is_named(struct call *c, struct hash *object)
{
	const char *tag = http_header(c->rq, "if-match");

	if (tag == NULL)
		tag = http_header(c->rq, "if-range");
	return tag != NULL && strlen(tag) == HASH_HEX_LEN + 2 && tag[0] == '"' && tag[HASH_HEX_LEN + 1] == '"' &&
	    hash_parse(tag + 1, HASH_HEX_LEN, object, NULL) == ERR_OK;
}

err_code
route_snapshot_get(struct call *c, struct err *err)
{
	const char *accept = http_header(c->rq, "accept"), *coding_name;
	enum snapshot_form form = accept && strstr(accept, "application/x-ndjson") ? SNAPSHOT_NDJSON : SNAPSHOT_JSON;
	enum snapshot_coding coding = choose_coding(c, &coding_name);
	AUTO(arena_freep) struct arena *one_file = arena_new(64 * KIB);
	struct snapshot_encoder encoder = { .ctx = one_file, .head = encode_head, .file = encode_file, .tail = encode_tail };
	struct snapshot_out *s = arena_must(c->a, sizeof *s);
	char hex[HASH_HEX_LEN + 1], etag[HASH_HEX_LEN + 3];
	struct hash named;
	struct body b;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = snapshot_open(c->d, &c->project, form, coding, &encoder, is_named(c, &named) ? &named : NULL, s, err);
	if (rc)
		return rc;
	snprintf(etag, sizeof etag, "\"%s\"", hash_hex(&s->row.object, hex));
	b = (struct body){ .size = s->len, .etag = etag, .fd = s->fd, .source = reader_open, .ctx = s,
		.type = form == SNAPSHOT_NDJSON ? "application/x-ndjson" : "application/json" };
	http_add_header(c->rq, "Vary", "Accept, Accept-Encoding");
	http_add_header(c->rq, "Cache-Control", "private, no-cache");
	rc = reply_body(c, &b, err);
	if (!rc && coding_name != NULL)
		http_add_header(c->rq, "Content-Encoding", coding_name);
	return rc;
}
