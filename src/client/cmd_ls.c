#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/listing.h"
#include "client/session.h"

#define OUTPUT_MAX (16 * MIB) /* of what is printed at once; a directory is printed as it comes */

struct ls {
	bool json, wide, bare; /* --long; only the last component of each name */
	struct sbuf sb;
	struct jw jw;
	uint64_t n;
};

static const char *const KINDS[] = { "file", "dir", "link" };

static void
show_json(struct jw *jw, const struct wire_file *f)
{
	char mode[8];

	snprintf(mode, sizeof mode, "%04o", f->mode);
	jw_object(jw);
	jw_kstr(jw, "path", f->path);
	jw_kstr(jw, "kind", KINDS[f->kind]);
	jw_ki64(jw, "size", f->size);
	jw_kstr(jw, "mode", mode);
	jw_ktime_ns(jw, "mtime", f->mtime_ns);
	jw_kid(jw, "id", &f->id);
	jw_ki64(jw, "version", f->version);
	if (f->kind == ENTRY_FILE)
		jw_khash(jw, "content_hash", &f->content);
	if (f->target)
		jw_kstr(jw, "target", f->target);
	jw_end_object(jw);
}

static void
show_text(const struct ls *ls, struct sbuf *sb, const struct wire_file *f)
{
	char size[SIZE_HUMAN_MAX], at[RFC3339_MAX];

	if (ls->wide)
		sbuf_addf(sb, "%c%04o  %10s  %.10s %.8s  ", "-dl"[f->kind], f->mode, f->kind == ENTRY_FILE ? size_human((uint64_t)f->size, size) : "",
		    rfc3339_ns(f->mtime_ns, at), at + 11);
	sbuf_add_visible(sb, ls->bare ? path_name(f->path) : f->path);
	sbuf_add(sb, f->kind == ENTRY_DIR ? "/" : "");
	if (f->kind == ENTRY_LINK && ls->wide) {
		sbuf_add(sb, " -> ");
		sbuf_add_visible(sb, f->target ? f->target : "");
	}
	sbuf_addc(sb, '\n');
}

static void
flush(struct ls *ls)
{
	fwrite(sbuf_str(&ls->sb), 1, ls->sb.len, stdout);
	sbuf_reset(&ls->sb);
}

static err_code
found(void *ctx, const struct wire_file *f, struct err *err)
{
	struct ls *ls = ctx;

	if (ls->json)
		show_json(&ls->jw, f);
	else
		show_text(ls, &ls->sb, f);
	ls->n++;
	if (ls->sb.len > 64 * KIB)
		flush(ls);
	return *cli_cancel() ? err_set(err, ERR_CANCELLED, "stopped on request") : ERR_OK;
}

static err_code
list(struct ls *ls, struct session *s, const struct command_line *line, const char *path, struct err *err)
{
	struct wire_file f;
	err_code rc;

	ls->bare = !command_has(line, 'R');
	if (*path) {
		rc = session_live(s, path, s->arena, &f, err);
		if (rc)
			return rc;
		if (f.kind != ENTRY_DIR)
			return found(ls, &f, err);
	}
	return (command_has(line, 'R') ? listing_tree : listing_dir)(s->remote, path, found, ls, err);
}

static err_code
run_ls(const struct command_line *line, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	const char *typed = line->arg_count ? line->args[0] : NULL, *path = "";
	struct ls ls = { .json = command_has(line, 'j'), .wide = command_has(line, 'l'), .sb = SBUF(OUTPUT_MAX) };
	err_code rc = session_open(line, typed, &s, err);

	if (rc == ERR_OK && (typed || s->root))
		rc = session_path(s, typed ? typed : ".", &path, err);
	if (rc)
		return rc;
	ls.jw = JW(&ls.sb);
	if (ls.json) {
		jw_object(&ls.jw);
		jw_kid(&ls.jw, "project", &s->link.project);
		jw_kstr(&ls.jw, "path", path);
		jw_key(&ls.jw, "entries");
		jw_array(&ls.jw);
	}
	rc = list(&ls, s, line, path, err);
	if (ls.json && rc == ERR_OK) {
		jw_end_array(&ls.jw);
		jw_end_object(&ls.jw);
		sbuf_addc(&ls.sb, '\n');
	}
	if (rc == ERR_OK || !ls.json)
		flush(&ls);
	sbuf_fini(&ls.sb);
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };

	return run_ls(line, &err) ? command_fail(line, &err) : EXIT_IN_SYNC;
}

const struct command COMMAND_LS = {
	.name = "ls",
	.args = "[PATH]",
	.summary = "List what the server has at a path of the project",
	.options = "uptTlRj",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "In a linked folder PATH is as on this disk, and the default is the current directory;\n"
	        "elsewhere --url and --project say where, and PATH is one of the project.\n\n"
	        "Example:\n"
	        "  dray ls -l shots\n",
};
