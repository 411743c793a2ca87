/*
 * Files as plain bytes, for clients that know nothing of blocks: curl, a browser.  What a user stored may be a page of HTML, so it
 * is always a download, never a document of this origin.
 */
#include "server/route/content.h"

#include "base/clock.h"

/* ---- out ---------------------------------------------------------------------------------------------------------------------- */

/** RFC 6266: an ASCII stand-in, and the name itself in the escapes of RFC 8187.  Nothing of the name appears as it is. */
static void
add_disposition(struct call *c, const char *name)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
	AUTO(sbuf_fini) struct sbuf sb = SBUF(2 * KIB);

	sbuf_add(&sb, "attachment; filename=\"");
	for (const char *s = name; *s; s++)
		sbuf_addc(&sb, strchr(plain, *s) || *s == ' ' ? *s : '_');
	sbuf_add(&sb, "\"; filename*=UTF-8''");
	for (const char *s = name; *s; s++) {
		if (strchr(plain, *s))
			sbuf_addc(&sb, *s);
		else
			sbuf_addf(&sb, "%%%02X", (unsigned char)*s);
	}
	http_add_header(c->rq, "Content-Disposition", sbuf_str(&sb));
}

struct download {
	struct content_out *out;
	uint64_t off, left;
};

static err_code
download_read(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	struct download *dl = ctx;
	err_code rc = content_read(dl->out, dl->off, buf, (size_t)MIN(cap, dl->left), got, err);

	if (rc)
		return rc;
	if (*got == 0)
		return err_set(err, ERR_CORRUPT, "the content ends %llu bytes early", (unsigned long long)dl->left);
	dl->off += *got;
	dl->left -= *got;
	return ERR_OK;
}

static void
download_close(void *ctx)
{
	struct download *dl = ctx;

	content_close(dl->out);
	free(dl);
}

/** The first byte is read before the head is sent: a damaged first block is a 500 and not a broken download (I3). */
static err_code
download_open(struct call *c, void *ctx, uint64_t off, uint64_t len, struct http_source *src, struct err *err)
{
	struct download *dl = xcalloc(1, sizeof *dl);
	uint8_t byte;
	size_t got;
	err_code rc = content_open(c->d, &c->project, ctx, &dl->out, err);

	if (!rc)
		rc = content_read(dl->out, off, &byte, 1, &got, err);
	if (rc) {
		download_close(dl);
		return rc;
	}
	dl->off = off;
	dl->left = len;
	*src = (struct http_source){ .ctx = dl, .read = download_read, .close = download_close };
	return ERR_OK;
}

err_code
content_reply(struct call *c, const struct file *f, struct err *err)
{
	struct file *kept = arena_memdup(c->a, f, sizeof *f);
	char etag[ETAG_MAX];
	struct body b = {
		.size = (uint64_t)f->size, .etag = content_etag(f, etag), .type = "application/octet-stream", .fd = -1,
		.source = download_open, .ctx = kept,
	};
	err_code rc;

	if (f->kind != KIND_FILE)
		return err_set(err, ERR_NOT_FOUND, "only files have content");
	if (kept == NULL)
		return err_set(err, ERR_NO_MEM, "a download");
	rc = reply_body(c, &b, err);
	if (rc)
		return rc;
	add_disposition(c, f->name);
	http_add_header(c->rq, "Cache-Control", "private, no-cache");
	http_add_header(c->rq, "Content-Security-Policy", "sandbox; default-src 'none'");
	return ERR_OK;
}

/** The path of the target, checked with its length: a NUL in it has an answer of its own. */
static err_code
read_path(struct call *c, const char **path, struct err *err)
{
	const struct target_text *p = target_param(&c->target, "path");

	*path = p->s;
	return path_check(p->s, p->len, err);
}

err_code
route_content_get(struct call *c, struct err *err)
{
	const char *path;
	struct file f;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = read_path(c, &path, err);
	if (!rc)
		rc = tree_file_at(c->d, &c->project, path, c->a, &f, err);
	return rc ? rc : content_reply(c, &f, err);
}

/* ---- in ----------------------------------------------------------------------------------------------------------------------- */

/** If-Match: VERSION or any; If-None-Match: * only, since "anything but this version" is nothing that a writer could mean. */
static err_code
read_condition(struct call *c, enum content_condition *condition, int64_t *version, struct err *err)
{
	const char *if_match = http_header(c->rq, "if-match"), *if_none = http_header(c->rq, "if-none-match");

	*condition = IF_ANY;
	if (http_header_count(c->rq, "if-match") + http_header_count(c->rq, "if-none-match") > 1)
		return err_set(err, ERR_ETAG_INVALID, "one condition at a time");
	if (if_none != NULL) {
		*condition = IF_ABSENT;
		return strcmp(if_none, "*") == 0 ? ERR_OK : err_set(err, ERR_ETAG_INVALID, "If-None-Match: * is the only one here");
	}
	if (if_match == NULL)
		return ERR_OK;
	*condition = IF_VERSION;
	return etag_version(if_match, version, err);
}

static err_code
read_mtime(struct call *c, struct content_put *put, struct err *err)
{
	const char *s = http_header(c->rq, "dray-mtime");

	put->has_mtime = s != NULL;
	if (s == NULL)
		return ERR_OK;
	return rfc3339_parse_ns(s, strlen(s), &put->mtime_ns, err) ? err_wrap(err, "Dray-Mtime") : ERR_OK;
}

/** RFC 9110, 14.5: a part would be taken for the whole. */
static err_code
refuse_parts(struct call *c, struct err *err)
{
	return http_header(c->rq, "content-range") ? err_set(err, ERR_FIELD_RANGE, "Content-Range: a PUT is of the whole content") : ERR_OK;
}

static err_code
put_open(struct call *c, struct err *err)
{
	struct content_put put = { .device = c->caller.device.id, .size = http_body_len(c->rq) };
	struct content_in *in;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = read_path(c, &put.path, err);
	if (!rc)
		rc = read_condition(c, &put.condition, &put.version, err);
	if (!rc)
		rc = refuse_parts(c, err);
	if (!rc)
		rc = read_mtime(c, &put, err);
	if (!rc)
		rc = content_in_open(c->d, &c->project, &put, &in, err);
	if (!rc)
		c->stream = in;
	return rc;
}

static err_code
put_feed(struct call *c, const uint8_t *p, size_t len, struct err *err)
{
	return content_in_feed(c->stream, p, len, err);
}

static err_code
put_finish(struct call *c, struct err *err)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	char etag[ETAG_MAX];
	struct wire_file out;
	struct file f;
	bool created;
	err_code rc = content_in_finish(c->stream, c->a, &f, &created, err);

	if (!rc)
		rc = object_file(c->a, &f, NULL, &out, err);
	if (rc)
		return rc;
	wire_file_write(&jw, &out);
	http_add_header(c->rq, "ETag", content_etag(&f, etag));
	if (created)
		http_add_header(c->rq, "Location", http_path(c->rq));
	return reply_json(c, created ? 201 : 200, &sb, err);
}

static void
put_free(struct call *c)
{
	if (c->stream != NULL)
		content_in_free(c->stream);
}

const struct stream_handler route_content_put = {
	.body_max = FILE_SIZE_MAX,
	.any_type = true,
	.length_required = true,
	.open = put_open,
	.feed = put_feed,
	.finish = put_finish,
	.free = put_free,
};

err_code
route_content_delete(struct call *c, struct err *err)
{
	enum content_condition condition;
	int64_t version = 0;
	const char *path;
	bool allow = false;
	err_code rc = query_flag(c, "allow_mass_delete", &allow, err);

	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = read_path(c, &path, err);
	if (!rc)
		rc = read_condition(c, &condition, &version, err);
	if (!rc)
		rc = content_delete(c->d, &c->project, &c->caller.device.id, path, condition, version, allow, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}
