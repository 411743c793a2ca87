#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/feed.h"
#include "client/get.h"
#include "client/listing.h"
#include "client/report.h"
#include "client/stream.h"

#define MEMORY_MAX (4 * GIB)

/* ---- where to -------------------------------------------------------------------------------------------------------------------- */

/* As cp has it: into a folder that is there, or that a slash says is one; else by that name.  The caller frees it. */
static char *
choose_target(const struct get *g, const char *name)
{
	const char *typed = g->line->arg_count > 1 ? g->line->args[1] : NULL;
	struct sbuf sb = SBUF(64 * KIB);
	struct stat st;

	if (!typed || (stat(typed, &st) == 0 && S_ISDIR(st.st_mode)) || typed[strlen(typed) - 1] == '/')
		sbuf_addf(&sb, "%s%s%s", typed ? typed : "", typed && typed[strlen(typed) - 1] != '/' ? "/" : "", name);
	else
		sbuf_add(&sb, typed);
	return sbuf_take(&sb);
}

static err_code
open_root(struct get *g, const char *dir, struct err *err)
{
	g->root = open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return g->root < 0 ? err_errno(err, "%s", *dir ? dir : ".") : ERR_OK;
}

/* ---- a file ---------------------------------------------------------------------------------------------------------------------- */

static err_code
one(struct get *g, const struct wire_file *f, struct err *err)
{
	struct entry e = feed_entry(f);
	AUTO(freep) char *dir = xstrdup(g->to);
	char *slash = strrchr(dir, '/');
	err_code rc;

	e.path = path_name(g->to);
	if (slash)
		slash[slash == dir] = '\0';
	rc = open_root(g, slash ? dir : "", err);
	if (rc == ERR_OK)
		rc = get_entry(g, &e, err);
	if (rc == ERR_OK && g->outcome.problem_count > 0)
		rc = err_set(err, ERR_EXISTS, "%s: %s", g->to, g->outcome.problems[0].detail);
	return rc;
}

/* ---- a folder -------------------------------------------------------------------------------------------------------------------- */

static err_code
listed(void *ctx, const struct wire_file *f, struct err *err)
{
	struct get *g = ctx;
	struct entry e = feed_entry(f);
	size_t len = strlen(g->from);

	e.path = f->path + len + (len > 0);
	return get_entry(g, &e, err);
}

static err_code
tree(struct get *g, const struct wire_file *f, struct err *err)
{
	bool made = mkdir(g->to, 0777) == 0;
	err_code rc;

	if (!made && errno != EEXIST)
		return err_errno(err, "%s", g->to);
	rc = open_root(g, g->to, err);
	if (rc == ERR_OK && made && f && fchmod(g->root, (f->mode | 0700) & 0777 & ~g->mask) < 0)
		rc = err_errno(err, "%s", g->to);
	return rc ? rc : listing_tree(g->session->remote, g->from, NULL, listed, g, err);
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------- */

static err_code
to_stdout(struct get *g, const struct wire_file *f, struct err *err)
{
	if (!f || f->kind != ENTRY_FILE)
		return err_set(err, ERR_USAGE, "only a file goes to standard output");
	if (command_has(g->line, 'j'))
		return err_set(err, ERR_USAGE, "standard output is for the file; --json needs a name");
	return stream_file(g->session->remote, f, cli_cancel(), &g->outcome.bytes, err);
}

static err_code
to_disk(struct get *g, const struct wire_file *f, struct report *report, struct err *err)
{
	AUTO(freep) char *to = NULL;
	struct err ignored;
	err_code rc, files_rc;

	if (!f && g->line->arg_count < 2)
		return err_set(err, ERR_USAGE, "where to? dray get PATH DEST; the whole project has no name of its own");
	to = f ? choose_target(g, path_name(g->from)) : xstrdup(g->line->args[1]);
	g->to = arena_strdup(g->arena, to);
	rc = f && f->kind != ENTRY_DIR ? one(g, f, err) : tree(g, f, err);
	if (g->root < 0)
		return rc;
	if (rc) { /* what was made so far is left in order */
		g->n = 0;
		(void)!get_files(g, report, &ignored);
		return rc;
	}
	files_rc = get_files(g, report, err);
	return files_rc;
}

static err_code
run_get(const struct command_line *line, int *code, struct err *err)
{
	struct report_opts opts = { .quiet = command_has(line, 'q') || command_has(line, 'j'), .bar = report_terminal() };
	struct get g = { .line = line, .root = -1 };
	bool out = line->arg_count > 1 && strcmp(line->args[1], "-") == 0;
	struct report *report;
	struct wire_file f;
	err_code rc = session_open(line, NULL, &g.session, err);

	if (rc == ERR_OK)
		rc = session_path(g.session, line->args[0], &g.from, err);
	if (rc == ERR_OK && *g.from)
		rc = session_live(g.session, g.from, g.session->arena, &f, err);
	if (rc) {
		session_free(g.session);
		return rc;
	}
	g.mask = umask(0); /* can only be read by setting it; no other thread runs yet */
	umask(g.mask);
	outcome_init(&g.outcome, "fetched");
	g.arena = arena_new(MEMORY_MAX);
	report = report_new(&opts);
	rc = out ? to_stdout(&g, *g.from ? &f : NULL, err) : to_disk(&g, *g.from ? &f : NULL, report, err);
	report_free(report);
	if (rc == ERR_OK && !out)
		*code = outcome_show(&g.outcome, line, g.session, *g.from ? g.from : ".", g.to);
	closep(&g.root);
	free(g.files);
	free(g.dirs);
	arena_free(g.arena);
	outcome_fini(&g.outcome);
	session_free(g.session);
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };
	int code = EXIT_IN_SYNC;

	return run_get(line, &code, &err) ? command_fail(line, &err) : code;
}

const struct command COMMAND_GET = {
	.name = "get",
	.args = "PATH [DEST]",
	.summary = "Fetch a file or folder from the server without linking a folder",
	.options = "uptfPTLjqv",
	.args_min = 1,
	.args_max = 2,
	.run = run,
	.help = "PATH is as for dray ls.  DEST - is standard output; a folder that is there, or a slash at\n"
	        "the end, means into it; the default is the current folder.  Folders come with all that is\n"
	        "in them.  Every block is verified.  A file that is here and differs is left as it is\n"
	        "without --force.  Interrupted, it goes on when it is run again.\n\n"
	        "Exit status: 0 done, 1 error, 2 wrong usage, 3 some files were left out, each listed.\n\n"
	        "Examples:\n"
	        "  dray get shots/010.mov ~/review/\n"
	        "  dray get backup.tar - --url http://127.0.0.1:8080 --project 0190... | tar x\n",
};
