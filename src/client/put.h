#pragma once
/** dray put, in two steps: what is to be sent (put_plan.c), and sending it (cmd_put.c). */

#include "base/map.h"
#include "client/outcome.h"
#include "client/scratch.h"

#define PUT_STDIN "stdin" /* the name of the spool, in the scratch directory */

struct put {
	const struct command_line *line;
	struct session *session;
	struct scratch *scratch;
	struct report *report;
	struct arena *arena;
	struct outcome outcome;
	const char *source;     /* as typed */
	const char *to;         /* the path in the project */
	int root;               /* what paths on disk are relative to */
	struct map *there;      /* project path -> struct entry, of what the server has beneath ${to} */
	struct plan_op *ops;
	size_t n, cap;
};

/** put_plan(p, err): look at both sides, fill p->to, p->root, p->ops; what cannot be sent goes to p->outcome. */
err_code put_plan(struct put *p, err_code (*open_scratch)(struct put *p, struct err *err), struct err *err);
