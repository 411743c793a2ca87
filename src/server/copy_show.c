#include <unistd.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/num.h"
#include "server/copy_show.h"

#define INTERVAL_MS 100
#define BAD_SHOWN_MAX 20      /* for people; --json has all */
#define JSON_MAX (256 * MIB) /* more than a million bad chunks */

void
copy_show_start(struct copy_show *s)
{
	*s = (struct copy_show){ .terminal = isatty(STDERR_FILENO) };
}

static bool
is_due(struct copy_show *s)
{
	int64_t now = clock_mono_ms();

	if (!s->terminal || now < s->next_ms)
		return false;
	s->next_ms = now + INTERVAL_MS;
	return true;
}

void
copy_show_rows(void *ctx, uint64_t rows)
{
	struct copy_show *s = ctx;

	if (is_due(s))
		s->width = fprintf(stderr, "\r%-*s\rmetadata: %ju rows", s->width, "", (uintmax_t)rows);
}

void
copy_show_chunks(void *ctx, const struct chunk_copy *c)
{
	char done[SIZE_HUMAN_MAX], total[SIZE_HUMAN_MAX];
	struct copy_show *s = ctx;

	if (is_due(s))
		s->width = fprintf(stderr, "\r%-*s\rchunks: %ju of %ju, %s of %s", s->width, "", (uintmax_t)c->done,
		    (uintmax_t)c->total, size_human(c->done_bytes, done), size_human(c->total_bytes, total));
}

void
copy_show_clear(struct copy_show *s)
{
	if (s->width > 0)
		fprintf(stderr, "\r%-*s\r", s->width, "");
	s->width = 0;
}

static void
show_bad(const struct chunk_copy *c)
{
	for (size_t i = 0; i < MIN(c->bad_count, (size_t)BAD_SHOWN_MAX); i++) {
		const struct bad_chunk *b = &c->bad[i];
		char project[ID_HEX_LEN + 1], hash[HASH_HEX_LEN + 1];

		fprintf(stderr, "chunk %s of project %s is %s\n", hash_hex(&b->key.hash, hash), id_hex(&b->key.project, project),
		    chunk_ill_name(b->ill));
	}
	if (c->bad_count > BAD_SHOWN_MAX)
		fprintf(stderr, "and %zu more; --json lists them\n", c->bad_count - BAD_SHOWN_MAX);
	if (c->bad_count)
		fprintf(stderr, "All else is there.\n");
}

static err_code
show_json(const struct chunk_copy *c, uint64_t removed, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(JSON_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_ku64(&jw, "chunks", c->total);
	jw_ku64(&jw, "bytes", c->total_bytes);
	jw_ku64(&jw, "copied", c->copied);
	jw_ku64(&jw, "bytes_copied", c->copied_bytes);
	jw_ku64(&jw, "removed", removed);
	jw_key(&jw, "bad");
	jw_array(&jw);
	for (size_t i = 0; i < c->bad_count; i++) {
		jw_object(&jw);
		jw_kid(&jw, "project", &c->bad[i].key.project);
		jw_khash(&jw, "chunk", &c->bad[i].key.hash);
		jw_kstr(&jw, "what", chunk_ill_name(c->bad[i].ill));
		jw_end_object(&jw);
	}
	jw_end_array(&jw);
	jw_end_object(&jw);
	if (sbuf_done(&sb, err))
		return err->code;
	printf("%s\n", sbuf_str(&sb));
	return ERR_OK;
}

int
copy_show_result(const struct command_line *line, const char *verb, const struct chunk_copy *c, uint64_t removed)
{
	char all[SIZE_HUMAN_MAX], copied[SIZE_HUMAN_MAX];
	struct err err;

	if (command_has(line, 'j')) {
		if (show_json(c, removed, &err))
			return command_fail(line, &err);
	} else {
		printf("%s %ju chunks, %s: %ju copied, %s; %ju were there already", verb, (uintmax_t)c->total,
		    size_human(c->total_bytes, all), (uintmax_t)c->copied, size_human(c->copied_bytes, copied),
		    (uintmax_t)(c->done - MIN(c->copied, c->done)));
		if (removed)
			printf("; %ju that nothing names any more went", (uintmax_t)removed);
		printf(".\n");
	}
	show_bad(c);
	return c->bad_count ? COMMAND_ERROR : 0;
}
