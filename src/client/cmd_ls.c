#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/listing.h"
#include "client/session.h"

#define OUTPUT_MAX (16 * MIB) /* of what is printed at once; a directory is printed as it comes */

struct ls {
	bool json, wide, bare; /* --long; only the last component of each name */
	struct remote_view view;
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
	if (f->has_beneath) {
		jw_key(jw, "beneath");
		jw_object(jw);
		jw_ki64(jw, "files", f->beneath.files);
		jw_ki64(jw, "dirs", f->beneath.dirs);
		jw_ki64(jw, "total_size", f->beneath.bytes);
		jw_end_object(jw);
	}
	jw_end_object(jw);
}

/* Of a directory what lies beneath it. */
static const char *
size_text(const struct wire_file *f, char out[static SIZE_HUMAN_MAX])
{
	if (f->kind == ENTRY_FILE)
		return size_human((uint64_t)f->size, out);
	return f->has_beneath ? size_human((uint64_t)f->beneath.bytes, out) : "";
}

static void
show_text(const struct ls *ls, struct sbuf *sb, const struct wire_file *f)
{
	char size[SIZE_HUMAN_MAX], at[RFC3339_MAX];

	if (ls->wide)
		sbuf_addf(sb, "%c%04o  %10s  %.10s %.8s  ", "-dl"[f->kind], f->mode, size_text(f, size), rfc3339_ns(f->mtime_ns, at),
		    at + 11);
	sbuf_add_visible(sb, ls->bare ? path_name(f->path) : f->path);
	sbuf_add(sb, f->kind == ENTRY_DIR ? "/" : "");
	if (f->kind == ENTRY_LINK && ls->wide) {
		sbuf_add(sb, " -> ");
		sbuf_add_visible(sb, f->target ? f->target : "");
	}
	if (f->has_beneath && ls->wide)
		sbuf_addf(sb, "  (%" PRId64 " files, %" PRId64 " dirs)", f->beneath.files, f->beneath.dirs);
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
	bool deep = command_has(line, 'R');
	struct wire_file f;
	err_code rc;

	ls->bare = !deep && !ls->view.search;
	if (*path) {
		rc = session_live(s, path, s->arena, &f, err);
		if (rc)
			return rc;
		if (f.kind != ENTRY_DIR)
			return found(ls, &f, err);
	}
	return (deep ? listing_tree : listing_dir)(s->remote, path, &ls->view, found, ls, err);
}

/* As ls(1) has it, what is largest or newest comes first. */
static err_code
read_view(const struct command_line *line, struct remote_view *view, struct err *err)
{
	static const struct {
		const char *typed, *sort;
		bool desc;
	} keys[] = { { "name", "name", false }, { "size", "size", true }, { "time", "mtime", true }, { "changed", "changed", true } };
	const char *typed = command_value(line, 's');

	view->search = command_value(line, 'S');
	if (view->search && (!*view->search || strlen(view->search) > NAME_LEN_MAX || strchr(view->search, '/')))
		return err_set(err, ERR_USAGE, "--search takes a part of a name");
	if (view->search && (typed || command_has(line, 'R') || command_has(line, 'b')))
		return err_set(err, ERR_USAGE, "--search looks everywhere and lists by path: not with --sort, --reverse or --recursive");
	if (command_has(line, 'b') && !typed)
		typed = "name";
	for (size_t i = 0; typed && i < ARRAY_LEN(keys); i++) {
		if (strcmp(typed, keys[i].typed) == 0) {
			view->sort = keys[i].sort;
			view->desc = keys[i].desc != command_has(line, 'b');
		}
	}
	return typed && !view->sort ? err_set(err, ERR_USAGE, "--sort takes name, size, time or changed") : ERR_OK;
}

static err_code
run_ls(const struct command_line *line, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	const char *typed = line->arg_count ? line->args[0] : NULL, *path = "";
	struct ls ls = { .json = command_has(line, 'j'), .wide = command_has(line, 'l'), .sb = SBUF(OUTPUT_MAX) };
	err_code rc = read_view(line, &ls.view, err);

	if (rc == ERR_OK)
		rc = session_open(line, typed, &s, err);
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
	return cli_run(line, run_ls);
}

const struct command COMMAND_LS = {
	.name = "ls",
	.args = "[PATH]",
	.summary = "List what the server has at a path of the project",
	.options = "uptTlsbSRj",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "In a linked folder PATH is as on this disk, and the default is the current directory;\n"
	        "elsewhere --url and --project say where, and PATH is one of the project.\n\n"
	        "Example:\n"
	        "  dray ls -l shots\n"
	        "  dray ls --sort size shots\n"
	        "  dray ls --search .mov\n",
};
