#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/outcome.h"

#define LIST_MAX 20
#define OUTPUT_MAX (256 * MIB)
#define MEMORY_MAX (1 * GIB)

void
outcome_init(struct outcome *o, const char *verb)
{
	*o = (struct outcome){ .verb = verb, .arena = arena_new(MEMORY_MAX), .started_ms = clock_mono_ms() };
}

void
outcome_fini(struct outcome *o)
{
	free(o->problems);
	arena_free(o->arena);
}

void
outcome_problem(struct outcome *o, const char *path, const char *reason, const char *detail)
{
	o->problems = xrealloc(o->problems, (o->problem_count + 1) * sizeof *o->problems);
	o->problems[o->problem_count++] = (struct problem){
		.path = arena_strdup(o->arena, path),
		.reason = arena_strdup(o->arena, reason),
		.detail = arena_strdup(o->arena, detail ? detail : ""),
	};
}

static void
show_json(const struct outcome *o, const struct session *s, const char *from, const char *to)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);
	struct remote_stats stats;

	remote_stats(s->remote, &stats);
	jw_object(&jw);
	jw_kid(&jw, "project", &s->link.project);
	jw_path(&jw, "from", from);
	jw_path(&jw, "to", to);
	jw_ku64(&jw, o->verb, o->done);
	jw_ku64(&jw, "unchanged", o->unchanged);
	jw_ku64(&jw, "bytes", o->bytes);
	jw_ku64(&jw, "saved", o->saved);
	jw_ku64(&jw, "requests", stats.requests);
	jw_ku64(&jw, "retries", stats.retries);
	jw_ku64(&jw, "wire_up", stats.bytes_up);
	jw_ku64(&jw, "wire_down", stats.bytes_down);
	jw_ki64(&jw, "elapsed_ms", clock_mono_ms() - o->started_ms);
	jw_key(&jw, "left_out");
	problems_json(&jw, o->problems, o->problem_count);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static void
show_text(const struct outcome *o, const struct command_line *line, const struct session *s)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	char size[SIZE_HUMAN_MAX], up[SIZE_HUMAN_MAX], down[SIZE_HUMAN_MAX];
	struct remote_stats stats;

	remote_stats(s->remote, &stats);
	sbuf_addf(&sb, "%" PRIu64 " %s (%s)", o->done, o->verb, size_human(o->bytes, size));
	if (o->unchanged)
		sbuf_addf(&sb, ", %" PRIu64 " unchanged", o->unchanged);
	sbuf_addf(&sb, " in %.1f s; %s up, %s down", (double)(clock_mono_ms() - o->started_ms) / 1000,
	    size_human(stats.bytes_up, up), size_human(stats.bytes_down, down));
	if (o->saved)
		sbuf_addf(&sb, "; saved by delta: %s", size_human(o->saved, size));
	sbuf_add(&sb, ".\n");
	if (o->problem_count) {
		sbuf_addf(&sb, "%zu left out:\n", o->problem_count);
		problems_show(&sb, o->problems, o->problem_count, command_has(line, 'v') ? SIZE_MAX : LIST_MAX);
	}
	cli_print(&sb);
}

int
outcome_show(struct outcome *o, const struct command_line *line, const struct session *s, const char *from, const char *to)
{
	if (command_has(line, 'j'))
		show_json(o, s, from, to);
	else if (!command_has(line, 'q'))
		show_text(o, line, s);
	return o->problem_count ? EXIT_REMAINS : EXIT_IN_SYNC;
}
