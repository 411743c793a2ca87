#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/jw.h"
#include "base/num.h"
#include "server/commands.h"
#include "server/fsck_internal.h"

#define SHOWN_MAX 20          /* of each kind, for people; --json has all that are kept */
#define OUTPUT_MAX (512 * MIB)
#define WHAT_MAX (8 * KIB)    /* the longest path and something around it */

static const struct {
	const char *code, *hint;
} kinds[] = {
#define FINDING(name, code, hint) { code, hint },
#include "server/fsck_findings.def"
#undef FINDING
};

void
findings_fini(struct findings *found)
{
	for (size_t i = 0; i < found->n; i++)
		free(found->list[i].what);
	free(found->list);
}

void
fsck_found(struct fsck *f, enum finding_kind kind, const struct id *project, const char *fmt, ...)
{
	struct sbuf sb = SBUF(WHAT_MAX);
	va_list ap;

	if (f->found.count[kind]++ >= FINDINGS_KEPT_MAX)
		return;
	va_start(ap, fmt);
	sbuf_addvf(&sb, fmt, ap);
	va_end(ap);
	f->found.list = xrealloc(f->found.list, (f->found.n + 1) * sizeof *f->found.list);
	f->found.list[f->found.n++] = (struct finding){ .kind = kind, .what = sbuf_take(&sb) };
	if (project)
		f->found.list[f->found.n - 1].project = *project;
}

err_code
fsck_unreadable(struct fsck *f, const struct id *project, const char *what, err_code rc, const struct err *err)
{
	if (rc != ERR_CORRUPT && rc != ERR_DB)
		return rc;
	fsck_found(f, FOUND_DATABASE, project, "%s: %s", what, err->msg);
	return ERR_OK;
}

void
fsck_seen(struct fsck *f, size_t n)
{
	f->rows += n;
	copy_show_rows(&f->show, f->rows);
}

/* ---- how it is shown -------------------------------------------------------------------------------------------------------- */

static uint64_t
total(const struct findings *found)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(found->count); i++)
		n += found->count[i];
	return n;
}

static void
finding_json(struct jw *jw, const struct finding *d)
{
	jw_object(jw);
	jw_kstr(jw, "code", kinds[d->kind].code);
	if (!id_is_zero(&d->project))
		jw_kid(jw, "project", &d->project);
	jw_kstr(jw, "what", d->what);
	jw_kstr(jw, "hint", kinds[d->kind].hint);
	jw_end_object(jw);
}

static void
show_json(const struct fsck *f, struct sbuf *sb)
{
	struct jw jw = JW(sb);

	jw_object(&jw);
	jw_ku64(&jw, "projects", f->projects);
	jw_ku64(&jw, "entries", f->entries);
	jw_ku64(&jw, "versions", f->versions);
	jw_ku64(&jw, "block_lists", f->lists);
	jw_ku64(&jw, "chunks", f->chunks.total);
	jw_ku64(&jw, "bytes", f->chunks.total_bytes);
	jw_kbool(&jw, "bytes_read", !f->quick);
	jw_ku64(&jw, "unnamed_objects", f->unnamed);
	jw_ku64(&jw, "finding_count", total(&f->found));
	jw_key(&jw, "findings");
	jw_array(&jw);
	for (size_t i = 0; i < f->found.n; i++)
		finding_json(&jw, &f->found.list[i]);
	jw_end_array(&jw);
	jw_end_object(&jw);
	sbuf_addc(sb, '\n');
}

/* "code: project ID: what", and what to do about all of the kind. */
static void
kind_text(const struct findings *found, enum finding_kind kind, struct sbuf *sb)
{
	char hex[ID_HEX_LEN + 1];
	unsigned shown = 0;

	for (size_t i = 0; i < found->n && shown < SHOWN_MAX; i++) {
		const struct finding *d = &found->list[i];

		if (d->kind != kind)
			continue;
		shown++;
		sbuf_addf(sb, "%s: ", kinds[kind].code);
		if (!id_is_zero(&d->project))
			sbuf_addf(sb, "project %s: ", id_hex(&d->project, hex));
		sbuf_add_visible(sb, d->what);
		sbuf_addc(sb, '\n');
	}
	if (found->count[kind] > shown)
		sbuf_addf(sb, "%s: and %" PRIu64 " more; --json lists them\n", kinds[kind].code, found->count[kind] - shown);
	sbuf_addf(sb, "  %s\n", kinds[kind].hint);
}

static void
add_count(struct sbuf *sb, const char *before, uint64_t n, const char *one, const char *many)
{
	sbuf_addf(sb, "%s%" PRIu64 " %s", before, n, n == 1 ? one : many);
}

static void
show_text(const struct fsck *f, struct sbuf *sb)
{
	char size[SIZE_HUMAN_MAX];
	uint64_t n = total(&f->found);

	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		if (f->found.count[kind])
			kind_text(&f->found, (enum finding_kind)kind, sb);
	}
	add_count(sb, "Checked ", f->projects, "project", "projects");
	add_count(sb, ", ", f->entries, "entry", "entries");
	add_count(sb, ", ", f->versions, "version", "versions");
	add_count(sb, ", ", f->lists, "block list", "block lists");
	add_count(sb, ", ", f->chunks.total, "chunk", "chunks");
	sbuf_addf(sb, f->quick ? " by their heads (%s not read)" : ", %s", size_human(f->chunks.total_bytes, size));
	if (n)
		add_count(sb, ": ", n, "finding.\n", "findings.\n");
	else
		sbuf_add(sb, ": all is sound.\n");
	if (f->unnamed)
		add_count(sb, "", f->unnamed, "object in the store is named by nothing: drayd gc takes it in time.\n",
		    "objects in the store are named by nothing: drayd gc takes them in time.\n");
}

int
fsck_show(struct fsck *f)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(OUTPUT_MAX);
	struct err err;

	if (command_has(f->line, 'j'))
		show_json(f, &sb);
	else
		show_text(f, &sb);
	if (sbuf_done(&sb, &err))
		return command_fail(f->line, &err);
	fputs(sbuf_str(&sb), stdout);
	return total(&f->found) ? COMMAND_FINDINGS : 0;
}
