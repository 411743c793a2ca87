#pragma once
/** What came of dray get and dray put, and how it is shown. */

#include "client/plan_show.h"
#include "client/session.h"

struct outcome {
	const char *verb;        /* "fetched", "sent" */
	struct arena *arena;     /* owns the text of problems */
	uint64_t done, unchanged, bytes, saved;
	struct problem *problems;
	size_t problem_count;
	int64_t started_ms;
};

void outcome_init(struct outcome *o, const char *verb);
void outcome_fini(struct outcome *o);

/** outcome_problem(o, path, reason, detail): one more entry that was left out. */
void outcome_problem(struct outcome *o, const char *path, const char *reason, const char *detail);

/** outcome_show(o, line, s, from, to): on standard output, as text or JSON.  Returns the exit status. */
int outcome_show(struct outcome *o, const struct command_line *line, const struct session *s, const char *from, const char *to);
