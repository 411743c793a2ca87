#include <inttypes.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/num.h"
#include "client/agent_show.h"
#include "client/cli.h"
#include "client/feed.h"
#include "client/follow.h"
#include "client/plan_show.h"
#include "client/recover.h"
#include "client/turn.h"

#define LIST_MAX 20
#define RETRY_MS 1000 /* who asks for the status wants an answer, not patience */
#define TURN_MS 2000  /* for the end of an agent's pass; a longer one is what there is to say */
#define OUTPUT_MAX (256 * MIB)

/** What status has found out. */
struct status {
	struct state_totals totals;
	struct state_place place;
	bool online;
	struct err offline;   /* why not */
	struct pass *pass;
	bool identical;
	const char **left_out; /* what the server has and is ignored here; NULL: not asked for */
	size_t left_out_count;
	struct sbuf agent; /* what the agent says about itself; empty: none runs */
};

/** What is looked at, and how much of it is told. */
struct question {
	bool verify;
	bool all; /* each name that differs, and not only how many beyond a slice: a million take 700 MiB */
};

static err_code
look(struct folder *f, struct remote *remote, const struct question *q, struct status *st, struct err *err)
{
	struct pass_opts opts = { .cancel = cli_cancel(), .verify = q->verify, .remote = q->verify && st->online ? remote : NULL,
		.slice = q->all ? 0 : pass_slice() };
	err_code rc = pass_open(f, &opts, &st->pass, err);

	if (rc == ERR_OK)
		rc = state_totals(f->state, &st->totals, err);
	return rc ? rc : state_place_get(f->state, &st->place, err);
}

static err_code
add_left_out(void *ctx, const struct entry *e, struct err *err)
{
	struct status *st = ctx;

	(void)err;
	if (st->left_out_count < st->totals.left_out)
		st->left_out[st->left_out_count++] = arena_strdup(st->pass->arena, e->path);
	return ERR_OK;
}

static err_code
list_left_out(struct folder *f, struct status *st, struct err *err)
{
	err_code rc;

	st->left_out = arena_must(st->pass->arena, (st->totals.left_out + 1) * sizeof *st->left_out);
	rc = state_left_out_each(f->state, add_left_out, st, err);
	qsort(st->left_out, st->left_out_count, sizeof *st->left_out, path_ptr_cmp);
	return rc;
}

static uint64_t
differing(const struct status *st)
{
	return st->pass->plan.n + st->pass->deferred.entries;
}

static err_code
find_out(struct folder *f, const struct question *q, struct status *st, struct err *err)
{
	struct remote *remote;
	struct hash known;
	err_code rc = folder_remote(f, &(struct line_opts){ .retry_ms = RETRY_MS, .cancel = cli_cancel() }, &remote, err);

	if (rc)
		return rc;
	/* A server that cannot be reached is worth saying, and no reason not to look at the disk. */
	rc = recover_installed(f, remote, cli_cancel(), &st->offline);
	if (rc == ERR_OK)
		rc = feed_pull(f->state, remote, &(struct feed_opts){ .allow_shrink = true }, &st->offline);
	st->online = rc == ERR_OK;
	if (rc == ERR_CANCELLED || rc == ERR_DB)
		*err = st->offline;
	else
		rc = look(f, remote, q, st, err);
	remote_free(remote);
	if (rc)
		return rc;
	known = state_tree_digest(&st->totals);
	st->identical = st->online && differing(st) == 0 && st->pass->problem_count == 0 && st->totals.pending == 0 &&
	    hash_eq(&known, &st->place.digest);
	return ERR_OK;
}

static void
agent_json(struct jw *jw, const struct status *st)
{
	if (st->agent.len == 0)
		return;
	jw_key(jw, "agent");
	jw_raw(jw, st->agent.s, st->agent.len);
}

static void
add_agent(struct sbuf *sb, const struct status *st)
{
	struct err err;

	if (st->agent.len && agent_show(sb, &st->agent, &err)) {
		sbuf_add(sb, "Agent     says what is not understood: ");
		sbuf_add_visible(sb, err.msg);
		sbuf_addc(sb, '\n');
	}
}

/* The agent is at it, and the folder its own until it has done. */
static void
show_busy(const struct command_line *line, const char *path, const struct status *st)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	if (command_has(line, 'j')) {
		jw_object(&jw);
		jw_kstr(&jw, "folder", path);
		agent_json(&jw, st);
		jw_kbool(&jw, "in_sync", false);
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	} else {
		sbuf_add(&sb, "Folder    ");
		sbuf_add_visible(&sb, path);
		sbuf_addc(&sb, '\n');
		add_agent(&sb, st);
		sbuf_add(&sb, "State     being synced\n");
	}
	cli_print(&sb);
}

static void
show_json(const struct folder *f, bool verify, const struct status *st)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "folder", f->path);
	agent_json(&jw, st);
	jw_kstr(&jw, "server", f->link.url);
	jw_kid(&jw, "project", &f->link.project);
	jw_kstr(&jw, "project_name", f->link.project_name);
	jw_kid(&jw, "device", &f->link.device);
	jw_kstr(&jw, "device_name", f->link.device_name);
	jw_kbool(&jw, "online", st->online);
	if (!st->online)
		jw_kstr(&jw, "offline_reason", st->offline.msg);
	jw_kbool(&jw, "in_sync", st->identical);
	if (st->place.known)
		jw_ktime_us(&jw, "at", st->place.clock);
	if (st->place.synced_at)
		jw_ktime_us(&jw, "synced_at", st->place.synced_at);
	jw_ku64(&jw, "entries", st->totals.entries);
	jw_ku64(&jw, "files", st->totals.files);
	jw_ku64(&jw, "bytes", st->totals.bytes);
	jw_khash(&jw, "digest", &st->totals.digest);
	jw_ku64(&jw, "ignored", st->pass->ignored_count);
	jw_ku64(&jw, "left_out", st->totals.left_out);
	jw_ku64(&jw, "not_selected", st->pass->unselected);
	jw_ku64(&jw, "not_selected_bytes", st->pass->unselected_bytes);
	if (st->left_out) {
		jw_key(&jw, "ignored_names");
		names_json(&jw, st->pass->ignored, st->pass->ignored_count);
		jw_key(&jw, "left_out_names");
		names_json(&jw, st->left_out, st->left_out_count);
	}
	if (verify) {
		jw_ku64(&jw, "verified", st->pass->verified);
		jw_ku64(&jw, "verified_bytes", st->pass->verified_bytes);
	}
	jw_key(&jw, "plan");
	plan_json(&jw, &st->pass->plan);
	jw_key(&jw, "unsynced");
	problems_json(&jw, st->pass->problems, st->pass->problem_count);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

/* Only where there is something, and in full only for who asks. */
static void
show_ignored(struct sbuf *sb, const struct status *st, size_t max)
{
	uint64_t there = st->totals.left_out - MIN(st->pass->unselected, st->totals.left_out);

	if (st->pass->ignored_count == 0 && st->totals.left_out == 0)
		return;
	if (st->pass->ignored_count || there)
		sbuf_addf(sb, "Ignored   %zu here, %" PRIu64 " on the server and not kept here%s\n", st->pass->ignored_count, there,
		    st->left_out ? "" : " (--ignored lists them)");
	if (!st->left_out)
		return;
	names_show(sb, st->pass->ignored, st->pass->ignored_count, max);
	if (st->left_out_count)
		sbuf_add(sb, "On the server:\n");
	names_show(sb, st->left_out, st->left_out_count, max);
}

static void
show_unselected(struct sbuf *sb, const struct status *st)
{
	char size[SIZE_HUMAN_MAX];

	if (st->pass->unselected)
		sbuf_addf(sb, "Selected  not %" PRIu64 " %s, %s, of the server's (dray select lists them)\n", st->pass->unselected,
		    st->pass->unselected == 1 ? "entry" : "entries", size_human(st->pass->unselected_bytes, size));
}

static void
show_text(const struct command_line *line, const struct folder *f, const struct status *st)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	char size[SIZE_HUMAN_MAX], at[RFC3339_MAX];
	size_t max = command_has(line, 'v') ? SIZE_MAX : LIST_MAX;

	sbuf_add(&sb, "Folder    ");
	sbuf_add_visible(&sb, f->path);
	sbuf_add(&sb, "\nProject   \"");
	sbuf_add_visible(&sb, f->link.project_name);
	sbuf_addf(&sb, "\" on %s\nDevice    ", f->link.url);
	sbuf_add_visible(&sb, f->link.device_name);
	sbuf_addf(&sb, "\nAgreed    %" PRIu64 " %s, %s in %" PRIu64 " file%s\n", st->totals.entries,
	    st->totals.entries == 1 ? "entry" : "entries", size_human(st->totals.bytes, size), st->totals.files,
	    st->totals.files == 1 ? "" : "s");
	sbuf_addf(&sb, "Last sync %s\n", st->place.synced_at ? rfc3339_us(st->place.synced_at, at) : "never");
	add_agent(&sb, st);
	if (!st->online) {
		sbuf_add(&sb, "Server    cannot be asked: ");
		sbuf_add_visible(&sb, st->offline.msg);
		sbuf_addc(&sb, '\n');
	}
	if (command_has(line, 'c'))
		sbuf_addf(&sb, "Verified  %" PRIu64 " files, %s read and as agreed\n", st->pass->verified,
		    size_human(st->pass->verified_bytes, size));
	if (st->identical)
		sbuf_addf(&sb, "State     identical to the server at %s%s\n", rfc3339_us(st->place.clock, at),
		    st->totals.left_out ? ", but for what is ignored or not selected here" : "");
	else if (differing(st) == 0)
		sbuf_addf(&sb, "State     nothing to do%s\n", st->online ? "" : " here");
	else
		sbuf_addf(&sb, "State     %" PRIu64 " entries differ; dray sync would:\n", differing(st));
	plan_show(&sb, &st->pass->plan, max, st->pass->deferred.entries);
	if (st->pass->plan.conflicts)
		sbuf_addf(&sb, "Conflicts %zu: both versions will be kept; after that, dray conflicts lists them\n", st->pass->plan.conflicts);
	show_unselected(&sb, st);
	show_ignored(&sb, st, max);
	if (st->pass->problem_count) {
		sbuf_addf(&sb, "Unsynced  %zu:\n", st->pass->problem_count);
		problems_show(&sb, st->pass->problems, st->pass->problem_count, max);
	}
	cli_print(&sb);
}

static err_code
show_status(const struct command_line *line, int *code, struct err *err)
{
	AUTO(freep) char *path = NULL;
	AUTO(folder_freep) struct folder *f = NULL;
	struct question q = { .verify = command_has(line, 'c'), .all = command_has(line, 'j') || command_has(line, 'v') };
	struct status st = { .agent = SBUF(CONTROL_ANSWER_MAX) };
	err_code rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);

	if (rc == ERR_OK && turn_agent(path, &st.agent, err))
		sbuf_reset(&st.agent);
	if (rc == ERR_OK)
		rc = turn_open(path, TURN_MS, cli_cancel(), &f, err);
	if (rc == ERR_ROOT_IN_USE && st.agent.len) {
		show_busy(line, path, &st);
		*code = EXIT_REMAINS;
		rc = ERR_OK;
	} else if (rc == ERR_OK) {
		rc = find_out(f, &q, &st, err);
		if (rc == ERR_OK && command_has(line, 'i'))
			rc = list_left_out(f, &st, err);
	}
	if (rc == ERR_OK && f) {
		if (command_has(line, 'j'))
			show_json(f, command_has(line, 'c'), &st);
		else
			show_text(line, f, &st);
		*code = st.identical ? EXIT_IN_SYNC : EXIT_REMAINS;
	}
	pass_free(st.pass);
	sbuf_fini(&st.agent);
	return rc;
}

static err_code
follow(const struct command_line *line, struct err *err)
{
	AUTO(freep) char *path = NULL;
	err_code rc;

	if (command_has(line, 'c') || command_has(line, 'v'))
		return err_set(err, ERR_USAGE, "--follow looks at the project and not at the disk: not with --verify or --verbose");
	rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);
	return rc ? rc : follow_run(path, command_has(line, 'j'), err);
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };
	int code = EXIT_IN_SYNC;

	if (command_has(line, 'F'))
		return cli_run(line, follow);
	return show_status(line, &code, &err) ? command_fail(line, &err) : code;
}

const struct command COMMAND_STATUS = {
	.name = "status",
	.args = "[DIR]",
	.summary = "Tell whether a linked folder is in sync, and what differs",
	.options = "Fcijv",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "Looks at the disk and asks the server; changes nothing in the tree.  Where dray watch runs on the\n"
	        "folder, it also tells what that is doing.  A file whose size and times are the agreed ones is\n"
	        "taken for unchanged; with --verify it is read.  With --ignored it lists the names that are ignored\n"
	        "by a .drayignore: here, and what the server has of such names.\n\n"
	        "With --follow it shows what happens in the project instead, on a terminal as a screen that is\n"
	        "redrawn in place: who is connected and how far behind, transfers, changes.  Elsewhere it prints a\n"
	        "line as each thing happens, with --json an object a line.  Interrupting ends it with 0.\n\n"
	        "Exit status: 0 identical to the server, 1 error, 2 wrong usage, 3 something differs or\n"
	        "the server could not be asked.\n",
};
