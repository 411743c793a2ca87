#pragma once
/**
 * Commands of drayd that are a call of the API by the owner, shown for people or as the server's JSON.  The id or token that a script wants is the
 * last word of the line.
 */

#include "base/command.h"
#include "server/admin.h"
#include "wire/json_in.h"

/** A command while it runs. */
struct manage {
	const struct command_line *line;
	bool begin; /* what the command is about may be the first thing that this server ever has */
	struct arena *arena;
	struct admin_answer answer; /* the last one, and as JSON; NULL: it has no body */
	json_t *doc;
};

/** manage_run(line, command): run it, and show what went wrong.  The exit status. */
int manage_run(const struct command_line *line, err_code (*command)(struct manage *m, struct err *err));

/** MANAGE_RUN(name, command): a command's run that is that. */
#define MANAGE_RUN(name, command) \
	static int name(const struct command_line *line) \
	{ \
		return manage_run(line, command); \
	}

/** manage_ask(m, method, path, body, err): a call; what it answers is m->answer and m->doc.  ${body} is JSON; NULL: none. */
err_code manage_ask(struct manage *m, const char *method, const char *path, const char *body, struct err *err);

/** manage_text(object, key): "" where there is none; lent. */
const char *manage_text(json_t *object, const char *key);

/** manage_print_json(m): the answer as it came. */
void manage_print_json(const struct manage *m);

/** manage_project_path(m, rest, out, err): "/projects/ID" and ${rest}, of --project; in the command's arena.  USAGE. */
err_code manage_project_path(const struct manage *m, const char *rest, const char **out, struct err *err);
