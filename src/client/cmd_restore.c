#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/history.h"

static err_code
parse_when(const struct command_line *line, int64_t *version, int64_t *at_us, struct err *err)
{
	const char *n = command_value(line, 'r'), *at = command_value(line, 'a');
	uint64_t number;
	int64_t ns;

	*version = *at_us = 0;
	if (n && at)
		return err_set(err, ERR_USAGE, "--version or --at, not both");
	if (n && (!parse_u64(n, strlen(n), INT64_MAX, &number) || number == 0))
		return err_set(err, ERR_USAGE, "--version takes a number as dray log prints it");
	if (n)
		*version = (int64_t)number;
	if (at && rfc3339_parse_ns(at, strlen(at), &ns, err))
		return err_set(err, ERR_USAGE, "--at takes a time as 2026-11-22T14:00:00Z or 2026-11-22T15:00:00+01:00");
	if (at)
		*at_us = MAX(ns / 1000, 1);
	return ERR_OK;
}

/* The directories above ${path} that are gone come back with it, empty. */
static err_code
add_parents(struct session *s, const char *path, struct wire_op *ops, size_t *n, struct err *err)
{
	size_t lens[PATH_DEPTH_MAX], missing = 0;

	for (const char *slash = strrchr(path, '/'); slash; slash = memrchr(path, '/', (size_t)(slash - path))) {
		const char *dir = arena_strndup(s->arena, path, (size_t)(slash - path));
		struct wire_file f;
		err_code rc = session_live(s, dir, s->arena, &f, err);

		if (rc == ERR_OK)
			break;
		if (rc != ERR_NOT_FOUND)
			return rc;
		lens[missing++] = (size_t)(slash - path);
	}
	while (missing-- > 0)
		ops[(*n)++] = (struct wire_op){ .op = WIRE_PUT, .kind = ENTRY_DIR, .path = arena_strndup(s->arena, path, lens[missing]),
			.has_mode = true, .mode = 0755, .has_mtime = true, .mtime_ns = clock_wall_ns() };
	return ERR_OK;
}

static err_code
refused(const struct wire_result *r, const char *path, struct err *err)
{
	switch (r->code) {
	case ERR_VERSION_CONFLICT:
		return err_set(err, r->code, "%s has changed meanwhile; look at dray log %s and decide again", path, path);
	case ERR_NAME_EXISTS:
		return err_set(err, r->code, "something else is at %s now; move it away, then restore", path);
	default:
		return err_set(err, r->code ? r->code : ERR_PROTOCOL, "%s: %s", path, r->detail ? r->detail : "refused");
	}
}

/* In one commit, made on the version that was looked at: a newer edit is never overwritten. */
static err_code
commit(struct session *s, const struct wire_file *f, int64_t version, struct wire_result *out, struct err *err)
{
	struct wire_op *ops = arena_array(s->arena, PATH_DEPTH_MAX + 1, sizeof *ops);
	struct wire_commit_answer answer;
	size_t n = 0;
	err_code rc = ERR_OK;

	if (!ops)
		return err_set(err, ERR_NO_MEM, "no memory");
	if (f->deleted)
		rc = add_parents(s, f->path, ops, &n, err);
	if (rc)
		return rc;
	ops[n++] = (struct wire_op){ .op = WIRE_RESTORE, .has_id = true, .id = f->id, .has_base = true, .base = f->version,
		.from_version = version };
	rc = remote_commit(s->remote, &(struct wire_commit){ .ops = ops, .n = n }, s->arena, &answer, err);
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		if (!answer.results[i].ok)
			rc = refused(&answer.results[i], i + 1 < n ? ops[i].path : f->path, err);
	if (rc == ERR_OK)
		*out = answer.results[n - 1];
	return rc;
}

static void
show(const struct command_line *line, const struct session *s, const struct wire_file *f, const struct wire_version *v,
    const struct wire_result *r)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	char at[RFC3339_MAX], size[SIZE_HUMAN_MAX];

	if (command_has(line, 'j')) {
		jw_object(&jw);
		jw_kid(&jw, "project", &s->link.project);
		jw_kstr(&jw, "path", f->path);
		jw_kid(&jw, "id", &f->id);
		jw_ki64(&jw, "restored", v->version);
		jw_ki64(&jw, "version", r->version);
		jw_kbool(&jw, "changed", !r->unchanged);
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	} else if (!command_has(line, 'q')) {
		sbuf_add(&sb, r->unchanged ? "Nothing to do: " : "Restored ");
		sbuf_add_visible(&sb, f->path);
		sbuf_addf(&sb, "%s as of %s", r->unchanged ? " is" : "", rfc3339_us(v->version, at));
		sbuf_addf(&sb, v->kind == ENTRY_FILE ? " (%s).\n" : ".\n", size_human((uint64_t)v->size, size));
		if (s->root && !r->unchanged) {
			sbuf_add(&sb, "Next: dray sync ");
			sbuf_add_visible(&sb, s->root);
			sbuf_addc(&sb, '\n');
		}
	}
	cli_print(&sb);
}

static err_code
run_restore(const struct command_line *line, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	const struct wire_version *v;
	struct wire_result result;
	struct wire_file f;
	struct history h;
	int64_t version, at_us;
	const char *path;
	err_code rc = parse_when(line, &version, &at_us, err);

	if (rc == ERR_OK)
		rc = session_open(line, line->args[0], &s, err);
	if (rc == ERR_OK)
		rc = session_path(s, line->args[0], &path, err);
	if (rc == ERR_OK)
		rc = history_find(s, path, &f, err);
	if (rc == ERR_OK)
		rc = history_read(s, &f, &h, err);
	if (rc == ERR_OK)
		rc = history_choose(&h, version, at_us, &v, err);
	if (rc == ERR_OK)
		rc = commit(s, &f, v->version, &result, err);
	if (rc)
		return rc;
	show(line, s, &f, v, &result);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, run_restore);
}

const struct command COMMAND_RESTORE = {
	.name = "restore",
	.args = "PATH",
	.summary = "Bring an older version of a file back, or a deleted file",
	.options = "uptTrajq",
	.args_min = 1,
	.args_max = 1,
	.run = run,
	.help = "Without --version or --at: the content before the present one, or the last one of a file\n"
	        "that was deleted.  It is a change like any other: it makes a new version on the server,\n"
	        "nothing is lost, and dray sync brings it here.  An edit that is made meanwhile is not\n"
	        "overwritten.  PATH is as for dray ls.\n\n"
	        "Example:\n"
	        "  dray log notes.txt && dray restore notes.txt --version 1795369043666976\n",
};
