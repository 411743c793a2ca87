/*
 * Compressed lines: a first one about all of them, then one for each file.
 *
 * N1  It comes in parts, one after the other, all of the same snapshot, each tried again by itself: a line that breaks costs a part.
 * N2  What does not fit into the memory that is meant for it is refused: a window of zstd's, or a line.
 * N3  It is whole when the parts, zstd's frame and the lines all end, and as many files as were announced have come; and it is what the server has made when
 *     its bytes hash to its name.
 */
#include <zstd.h>

#include "base/fault.h"
#include "client/remote/http.h"
#include "client/remote/snapshot.h"

#define PART_LEN CHUNK_LEN_MAX /* a round trip is little beside its bytes */
#define WINDOW_LOG_MAX 23      /* N2: 8 MiB; the server's level takes half of one */
#define TEXT_LEN (64 * KIB)
#define LINE_LEN_MAX MIB       /* N2: a path and a target of 4 KiB in JSON, and the extents of a page of blocks, are less */
#define PAGE_FILES 1000
#define PAGE_TEXT (8 * MIB)       /* its lines, together and about */

struct snapshot_reader {
	struct remote *remote;
	struct hash object;            /* N1: its name; zero until the first part has come */
	struct sha sha;                /* of what has come */
	uint64_t off, total;           /* of its compressed bytes */
	uint8_t *part;
	ZSTD_inBuffer packed;          /* what is left of ${part} */
	ZSTD_DStream *zstd;
	bool frame_ended, has_text;    /* of ${zstd}: nothing more is to come; there is more that it had no room for */
	char *text;
	size_t text_at, text_len;      /* what is left of ${text} */
	struct sbuf line;              /* one that began in the text before */
	bool has_head;
	struct wire_snapshot head;
	int64_t files;
};

struct snapshot_reader *
snapshot_reader_open(struct remote *remote)
{
	struct snapshot_reader *s = xcalloc(1, sizeof *s);

	s->remote = remote;
	s->part = xmalloc(PART_LEN);
	s->text = xmalloc(TEXT_LEN);
	s->line = SBUF(LINE_LEN_MAX);
	sha_init(&s->sha);
	return s;
}

void
snapshot_reader_free(struct snapshot_reader *s)
{
	if (!s)
		return;
	ZSTD_freeDStream(s->zstd);
	sbuf_fini(&s->line);
	sha_fini(&s->sha);
	free(s->text);
	free(s->part);
	free(s);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------------ */

static err_code
next_part(struct snapshot_reader *s, struct err *err)
{
	size_t got = 0;
	err_code rc = remote_snapshot_part(s->remote, &s->object, s->off, s->part, PART_LEN, &got, &s->total, err);

	if (rc)
		return rc;
	s->off += got;
	sha_add(&s->sha, s->part, got);
	s->packed = (ZSTD_inBuffer){ .src = s->part, .size = got };
	return ERR_OK;
}

static err_code
start_zstd(struct snapshot_reader *s, struct err *err)
{
	s->zstd = ZSTD_createDStream();
	if (!s->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return err_set(err, ERR_NO_MEM, "no memory to unpack a snapshot");
	return ERR_OK;
}

/* text_len stays 0 at the end of all parts. */
static err_code
next_text(struct snapshot_reader *s, struct err *err)
{
	ZSTD_outBuffer out = { .dst = s->text, .size = TEXT_LEN };
	err_code rc = s->zstd ? ERR_OK : start_zstd(s, err);

	while (!rc && out.pos == 0) {
		bool is_dry = s->packed.pos == s->packed.size && !s->has_text;
		size_t left;

		if (is_dry && s->total > 0 && s->off == s->total)
			break;
		if (is_dry)
			rc = next_part(s, err);
		if (rc)
			return rc;
		left = ZSTD_decompressStream(s->zstd, &out, &s->packed);
		if (ZSTD_isError(left))
			return err_set(err, ERR_PROTOCOL, "a snapshot that cannot be unpacked: %s", ZSTD_getErrorName(left));
		s->frame_ended = left == 0;
		s->has_text = left > 0 && out.pos == out.size;
	}
	s->text_at = 0;
	s->text_len = out.pos;
	return rc;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------ */

static err_code
keep_text(struct snapshot_reader *s, const char *p, size_t len, struct err *err)
{
	err_code rc;

	sbuf_addn(&s->line, p, len);
	rc = sbuf_done(&s->line, err);
	return rc == ERR_BODY_TOO_LARGE ? err_set(err, ERR_PROTOCOL, "a line of a snapshot is longer than %zu bytes", s->line.max) : rc;
}

/* The next line, lent until the one after it; NULL at the end of all text. */
static err_code
next_line(struct snapshot_reader *s, const char **line, size_t *len, struct err *err)
{
	sbuf_reset(&s->line);
	*line = NULL;
	for (;;) {
		const char *p = s->text + s->text_at;
		const char *newline = memchr(p, '\n', s->text_len - s->text_at);
		size_t n = newline ? (size_t)(newline - p) : s->text_len - s->text_at;
		err_code rc;

		s->text_at += n + (newline != NULL);
		if (newline && s->line.len == 0) { /* where it lies */
			*line = p;
			*len = n;
			return ERR_OK;
		}
		rc = keep_text(s, p, n, err);
		if (rc)
			return rc;
		if (newline) {
			*line = s->line.s;
			*len = s->line.len;
			return ERR_OK;
		}
		rc = next_text(s, err);
		if (rc)
			return rc;
		if (s->text_len == 0)
			return s->line.len > 0 ? err_set(err, ERR_PROTOCOL, "a snapshot ends within a line") : ERR_OK;
	}
}

static err_code
read_head(struct snapshot_reader *s, struct err *err)
{
	const char *line;
	size_t len;
	err_code rc = next_line(s, &line, &len, err);

	if (!rc && !line)
		rc = err_set(err, ERR_PROTOCOL, "an empty snapshot");
	if (rc)
		return rc;
	rc = wire_snapshot_read((const uint8_t *)line, len, &s->head, err);
	s->has_head = rc == ERR_OK;
	return rc ? answer_bad(err, "the first line of a snapshot") : ERR_OK;
}

static err_code
read_file(struct snapshot_reader *s, const char *line, size_t len, struct arena *a, struct wire_file *out, struct err *err)
{
	err_code rc = wire_file_parse((const uint8_t *)line, len, a, out, err);

	if (!rc && out->deleted)
		rc = err_set(err, ERR_FIELD_RANGE, "%s has been deleted", out->path);
	s->files++;
	return rc ? answer_bad(err, "a line of a snapshot") : ERR_OK;
}

static err_code
read_files(struct snapshot_reader *s, struct arena *a, struct wire_page *out, struct err *err)
{
	struct wire_file *files = arena_array(a, PAGE_FILES, sizeof *files);
	const char *line = NULL;
	size_t len, size = 0;
	err_code rc = files ? ERR_OK : err_set(err, ERR_NO_MEM, "no memory for a page of a snapshot");

	for (out->n = 0; !rc && out->n < PAGE_FILES && size < PAGE_TEXT; out->n++) {
		rc = next_line(s, &line, &len, err);
		if (rc || !line)
			break;
		rc = read_file(s, line, len, a, &files[out->n], err);
		size += len;
	}
	out->files = files;
	out->has_more = line != NULL;
	return rc;
}

static err_code
check_end(struct snapshot_reader *s, struct err *err) /* N3 */
{
	struct hash hash = sha_final(&s->sha);

	if (FAULT("client.snapshot_cut"))
		return ERR_OK;
	if (!s->frame_ended || s->files != s->head.file_count)
		return err_set(err, ERR_PROTOCOL, "a snapshot of %lld files has %lld", (long long)s->head.file_count, (long long)s->files);
	if (!hash_eq(&hash, &s->object))
		return err_set(err, ERR_PROTOCOL, "a snapshot is not what its name says");
	return ERR_OK;
}

err_code
snapshot_reader_next(struct snapshot_reader *s, struct arena *a, struct wire_page *out, struct err *err)
{
	err_code rc = s->has_head ? ERR_OK : read_head(s, err);

	*out = (struct wire_page){ .cursor = s->head.cursor, .digest = s->head.digest };
	if (!rc)
		rc = read_files(s, a, out, err);
	return rc || out->has_more ? rc : check_end(s, err);
}
