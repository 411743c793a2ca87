#include <inttypes.h>

#include "base/utf8.h"
#include "client/cli.h"
#include "client/plan_show.h"

/* What an operation is called; for people (a word and an arrow's direction) and in JSON. */
static const struct {
	const char *word, *people;
} ACTS[] = {
	[ACT_ADOPT] = { "adopt", "same" },
	[ACT_FORGET] = { "forget", "gone" },
	[ACT_PUSH] = { "push", "send" },
	[ACT_DELETE_REMOTE] = { "delete_remote", "delete there" },
	[ACT_MOVE_REMOTE] = { "move_remote", "move there" },
	[ACT_PULL] = { "pull", "fetch" },
	[ACT_DELETE_LOCAL] = { "delete_local", "delete here" },
	[ACT_MOVE_LOCAL] = { "move_local", "move here" },
	[ACT_CONFLICT] = { "conflict", "conflict" },
	[ACT_SKIP] = { "skip", "skip" },
	[ACT_DROP] = { "drop", "remove here" },
};

void
jw_path(struct jw *jw, const char *key, const char *path)
{
	struct sbuf sb = SBUF(4 * (PATH_LEN_MAX + 256));

	if (!utf8_valid(path, strlen(path))) {
		sbuf_add_visible(&sb, path);
		path = sbuf_str(&sb);
	}
	if (key)
		jw_kstr(jw, key, path);
	else
		jw_str(jw, path);
	sbuf_fini(&sb);
}

void
plan_show(struct sbuf *sb, const struct plan *plan, size_t max, uint64_t later)
{
	for (size_t i = 0; i < plan->n && i < max; i++) {
		const struct plan_op *op = &plan->ops[i];
		sbuf_addf(sb, "  %-12s ", op->act == ACT_FORGET && op->local ? "stays here" : ACTS[op->act].people);
		if (op->from) {
			sbuf_add_visible(sb, op->from);
			sbuf_add(sb, " -> ");
		}
		sbuf_add_visible(sb, op->path);
		if (op->reason && *op->reason)
			sbuf_addf(sb, "  (%s)", op->reason);
		sbuf_addc(sb, '\n');
	}
	later += plan->n > max ? plan->n - max : 0;
	if (later)
		sbuf_addf(sb, "  ... and %" PRIu64 " more (--verbose lists all)\n", later);
}

void
plan_json(struct jw *jw, const struct plan *plan)
{
	jw_array(jw);
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];
		jw_object(jw);
		jw_kstr(jw, "act", ACTS[op->act].word);
		jw_path(jw, "path", op->path);
		if (op->from)
			jw_path(jw, "from", op->from);
		jw_kstr(jw, "reason", op->reason ? op->reason : "");
		jw_end_object(jw);
	}
	jw_end_array(jw);
}

void
names_show(struct sbuf *sb, const char *const *names, size_t n, size_t max)
{
	for (size_t i = 0; i < n && i < max; i++) {
		sbuf_add(sb, "  ");
		sbuf_add_visible(sb, names[i]);
		sbuf_addc(sb, '\n');
	}
	if (n > max)
		sbuf_addf(sb, "  ... and %zu more (--verbose lists all)\n", n - max);
}

void
names_json(struct jw *jw, const char *const *names, size_t n)
{
	jw_array(jw);
	for (size_t i = 0; i < n; i++)
		jw_path(jw, NULL, names[i]);
	jw_end_array(jw);
}

void
problems_show(struct sbuf *sb, const struct problem *problems, size_t n, size_t max)
{
	for (size_t i = 0; i < n && i < max; i++) {
		sbuf_add(sb, "  ");
		sbuf_add_visible(sb, *problems[i].path ? problems[i].path : ".");
		sbuf_addf(sb, ": %s", problems[i].reason);
		if (*problems[i].detail) {
			sbuf_add(sb, " (");
			sbuf_add_visible(sb, problems[i].detail);
			sbuf_addc(sb, ')');
		}
		sbuf_addc(sb, '\n');
	}
	if (n > max)
		sbuf_addf(sb, "  ... and %zu more (--verbose lists all)\n", n - max);
}

void
problems_json(struct jw *jw, const struct problem *problems, size_t n)
{
	jw_array(jw);
	for (size_t i = 0; i < n; i++) {
		jw_object(jw);
		jw_path(jw, "path", problems[i].path);
		jw_kstr(jw, "reason", problems[i].reason);
		jw_path(jw, "detail", problems[i].detail);
		jw_end_object(jw);
	}
	jw_end_array(jw);
}
