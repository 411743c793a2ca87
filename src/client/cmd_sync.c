#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/confine.h"
#include "client/cli.h"
#include "client/plan_show.h"
#include "client/turn.h"

#define LIST_MAX 20               /* lines of a list unless --verbose */
#define OUTPUT_MAX (256 * MIB)

static size_t
list_max(const struct command_line *line)
{
	return command_has(line, 'v') ? SIZE_MAX : LIST_MAX;
}

static int
exit_of(const struct sync_result *r)
{
	return r->conflict_count || r->problem_count || r->held_deletes || r->held_there ? EXIT_REMAINS : EXIT_IN_SYNC;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------------- */

static void
conflicts_json(struct jw *jw, const struct sync_result *r)
{
	jw_array(jw);
	for (size_t i = 0; i < r->conflict_count; i++) {
		jw_object(jw);
		jw_path(jw, "path", r->conflicts[i].path);
		jw_path(jw, "copy", r->conflicts[i].copy);
		jw_end_object(jw);
	}
	jw_end_array(jw);
}

static void
show_json(const struct folder *f, const struct sync_result *r)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "folder", f->path);
	jw_kid(&jw, "project", &f->link.project);
	jw_kbool(&jw, "in_sync", r->identical);
	jw_kbool(&jw, "copied", r->copied);
	if (r->renewed)
		jw_kstr(&jw, "renewed", r->renewed);
	jw_ktime_us(&jw, "at", r->clock);
	jw_ku64(&jw, "entries", r->entries);
	jw_ku64(&jw, "files", r->files);
	jw_ku64(&jw, "bytes", r->bytes);
	jw_ku64(&jw, "sent", r->pushed);
	jw_ku64(&jw, "fetched", r->pulled);
	jw_ku64(&jw, "moved_here", r->moved_local);
	jw_ku64(&jw, "moved_there", r->moved_remote);
	jw_ku64(&jw, "deleted_here", r->deleted_local);
	jw_ku64(&jw, "dropped_here", r->dropped);
	jw_ku64(&jw, "deleted_there", r->deleted_remote);
	jw_ku64(&jw, "held_deletes", r->held_deletes);
	jw_ku64(&jw, "held_by_server", r->held_there);
	jw_ku64(&jw, "ignored", r->ignored);
	jw_ku64(&jw, "left_out", r->left_out);
	jw_ku64(&jw, "not_selected", r->unselected);
	jw_ku64(&jw, "not_selected_bytes", r->unselected_bytes);
	jw_key(&jw, "kept_for_ignored");
	names_json(&jw, r->kept, r->kept_count);
	jw_ku64(&jw, "content_sent", r->content_up);
	jw_ku64(&jw, "content_fetched", r->content_down);
	jw_ku64(&jw, "saved", r->saved);
	jw_ku64(&jw, "requests", r->line.requests);
	jw_ku64(&jw, "retries", r->line.retries);
	jw_ku64(&jw, "wire_up", r->line.bytes_up);
	jw_ku64(&jw, "wire_down", r->line.bytes_down);
	jw_ki64(&jw, "elapsed_ms", r->elapsed_ms);
	jw_key(&jw, "conflicts");
	conflicts_json(&jw, r);
	jw_key(&jw, "unsynced");
	problems_json(&jw, r->problems, r->problem_count);
	if (r->planned) {
		jw_key(&jw, "plan");
		plan_json(&jw, &r->planned->plan);
	}
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

/* ---- text ---------------------------------------------------------------------------------------------------------------------- */

static void
add_count(struct sbuf *sb, uint64_t n, const char *what, uint64_t bytes)
{
	char size[SIZE_HUMAN_MAX];

	if (n == 0)
		return;
	sbuf_addf(sb, "%s%" PRIu64 " %s", sb->len ? ", " : "", n, what);
	if (bytes)
		sbuf_addf(sb, " (%s)", size_human(bytes, size));
}

static void
show_done(struct sbuf *out, const struct sync_result *r)
{
	struct sbuf sb = SBUF(4 * KIB);
	char up[SIZE_HUMAN_MAX], down[SIZE_HUMAN_MAX], saved[SIZE_HUMAN_MAX];

	add_count(&sb, r->pushed, "sent", r->content_up);
	add_count(&sb, r->pulled, "fetched", r->content_down);
	add_count(&sb, r->moved_remote, "moved there", 0);
	add_count(&sb, r->moved_local, "moved here", 0);
	add_count(&sb, r->deleted_remote, "deleted there", 0);
	add_count(&sb, r->deleted_local, "deleted here", 0);
	add_count(&sb, r->dropped, "no longer selected, moved to .dray/trash", 0);
	sbuf_addf(out, "%s in %.1f s; %s up, %s down in %" PRIu64 " request%s", sb.len ? sbuf_str(&sb) : "No changes",
	    (double)r->elapsed_ms / 1000, size_human(r->line.bytes_up, up), size_human(r->line.bytes_down, down), r->line.requests,
	    r->line.requests == 1 ? "" : "s");
	if (r->saved)
		sbuf_addf(out, "; saved by delta: %s", size_human(r->saved, saved));
	sbuf_add(out, ".\n");
	sbuf_fini(&sb);
}

static void
show_conflicts(struct sbuf *out, const struct command_line *line, const struct sync_result *r)
{
	if (r->conflict_count == 0)
		return;
	sbuf_addf(out, "%zu conflict%s; both versions are kept:\n", r->conflict_count, r->conflict_count == 1 ? "" : "s");
	for (size_t i = 0; i < r->conflict_count && i < list_max(line); i++) {
		sbuf_add(out, "  ");
		sbuf_add_visible(out, r->conflicts[i].path);
		sbuf_add(out, "\n    yours is now: ");
		sbuf_add_visible(out, r->conflicts[i].copy);
		sbuf_addc(out, '\n');
	}
	if (r->conflict_count > list_max(line))
		sbuf_addf(out, "  ... and %zu more (--verbose lists all)\n", r->conflict_count - list_max(line));
	sbuf_add(out, "Next: dray conflicts lists them; dray conflicts resolve PATH --keep current|copy|both|merged ends one.\n");
}

static void
show_ignored(struct sbuf *out, const struct command_line *line, const struct sync_result *r)
{
	if (r->kept_count) {
		sbuf_addf(out, "%zu deleted on the server and still here, for what is ignored in %s:\n", r->kept_count,
		    r->kept_count == 1 ? "it" : "them");
		names_show(out, r->kept, r->kept_count, list_max(line));
	}
	if (r->ignored && command_has(line, 'v'))
		sbuf_addf(out, "Ignored here: %" PRIu64 " %s (dray status --ignored lists them).\n", r->ignored,
		    r->ignored == 1 ? "name" : "names");
}

static void
show_remains(struct sbuf *out, const struct command_line *line, const struct sync_result *r)
{
	if (r->held_deletes)
		sbuf_addf(out, "%" PRIu64 " deletions are held back, since so many at once may be a mistake; look, then run with "
		               "--allow-mass-delete.\n", r->held_deletes);
	if (r->held_there)
		sbuf_addf(out, "%" PRIu64 " deletions are held by the server, since this device has deleted so much within an hour that it may be a\n"
		               "mistake; look, then run with --allow-mass-delete.\n", r->held_there);
	if (r->problem_count) {
		sbuf_addf(out, "%zu not synced:\n", r->problem_count);
		problems_show(out, r->problems, r->problem_count, list_max(line));
	}
}

/* What the proof is not about. */
static void
show_left_out(struct sbuf *out, const struct sync_result *r)
{
	uint64_t unselected = MIN(r->unselected, r->left_out), ignored = r->left_out - unselected;

	if (r->left_out == 0) {
		sbuf_add(out, ".\n");
		return;
	}
	sbuf_add(out, ", but for ");
	if (ignored)
		sbuf_addf(out, "%" PRIu64 " that %s ignored here%s", ignored, ignored == 1 ? "is" : "are", unselected ? " and " : "");
	if (unselected)
		sbuf_addf(out, "%" PRIu64 " that %s not selected here", unselected, unselected == 1 ? "is" : "are");
	sbuf_add(out, ".\n");
}

static void
show_place(struct sbuf *out, const struct sync_result *r)
{
	char at[RFC3339_MAX], size[SIZE_HUMAN_MAX];

	if (!r->identical)
		return;
	sbuf_addf(out, "In sync: %" PRIu64 " %s, %s, proven identical to the server at %s", r->entries,
	    r->entries == 1 ? "entry" : "entries", size_human(r->bytes, size), rfc3339_us(r->clock, at));
	show_left_out(out, r);
}

static void
show_memory(struct sbuf *out, const struct sync_result *r)
{
	if (r->renewed) {
		sbuf_add_visible(out, r->renewed);
		sbuf_add(out, ": both sides were compared anew.\n");
	}
	if (r->copied)
		sbuf_add(out, "This folder is a copy of the one that was linked: both sides were united, and nothing was deleted on the server.\n"
		    "If that one is still in use, give this one a device of its own: dray unlink, dray link.\n");
}

static void
show_text(const struct command_line *line, const struct sync_result *r)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);

	if (r->planned) {
		if (r->planned->plan.n == 0)
			sbuf_add(&sb, "Nothing to do.\n");
		else
			sbuf_addf(&sb, "Would do:\n");
		plan_show(&sb, &r->planned->plan, list_max(line), 0);
		show_remains(&sb, line, r);
	} else {
		show_memory(&sb, r);
		show_done(&sb, r);
		show_conflicts(&sb, line, r);
		show_ignored(&sb, line, r);
		show_remains(&sb, line, r);
		show_place(&sb, r);
	}
	cli_print(&sb);
}

/* ---- the command -------------------------------------------------------------------------------------------------------------- */

/* Before there are other threads: what they start with is what this one has. */
static void
confine(const struct command_line *line, const struct folder *f)
{
	struct err err;

	if (confine_to(f->root, &err) && command_has(line, 'v'))
		fprintf(stderr, "dray: the kernel does not help to stay in the folder: %s\n", err.msg);
}

static err_code
sync_folder(const struct command_line *line, int *code, struct err *err)
{
	AUTO(freep) char *path = NULL;
	AUTO(folder_freep) struct folder *f = NULL;
	struct report_opts report_opts = { .quiet = command_has(line, 'q') || command_has(line, 'j'), .bar = report_terminal() };
	struct sync_opts opts = {
		.allow_mass_delete = command_has(line, 'D'),
		.dry_run = command_has(line, 'n'),
		.cancel = cli_cancel(),
	};
	struct sync_result result;
	err_code rc = cli_parallel(line, &opts.parallel, err);

	if (rc == ERR_OK)
		rc = cli_timeout(line, &opts.retry_ms, err);
	if (rc == ERR_OK)
		rc = cli_rate(line, &opts.rate, err);
	if (rc == ERR_OK)
		rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);
	if (rc == ERR_OK)
		rc = turn_open(path, 0, cli_cancel(), &f, err);
	if (rc)
		return rc;
	confine(line, f);
	opts.report = report_new(&report_opts);
	rc = sync_run(f, &opts, &result, err);
	report_free(opts.report);
	if (rc == ERR_OK) {
		if (command_has(line, 'j'))
			show_json(f, &result);
		else if (!command_has(line, 'q'))
			show_text(line, &result);
		*code = exit_of(&result);
	}
	sync_result_fini(&result);
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };
	int code = EXIT_IN_SYNC;

	return sync_folder(line, &code, &err) ? command_fail(line, &err) : code;
}

const struct command COMMAND_SYNC = {
	.name = "sync",
	.args = "[DIR]",
	.summary = "Bring a linked folder and its project to the same state, once",
	.options = "nPTLDjqv",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "DIR may be the linked folder or lie in it.  Interrupting is safe: run it again to go on.\n\n"
	        "When a file was changed on both sides, the server's version keeps the name and yours is\n"
	        "kept beside it as \"name (conflict DEVICE DATE).ext\".  What is replaced or deleted here\n"
	        "goes to .dray/trash.\n\n"
	        "Exit status: 0 in sync, 1 error, 2 wrong usage, 3 finished but conflicts or unsynced\n"
	        "entries remain; each is listed with its reason.\n",
};
