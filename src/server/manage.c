#include "server/commands.h"
#include "server/database.h"
#include "server/manage.h"

#define MANAGE_MEMORY_MAX (64 * MIB)

err_code
manage_ask(struct manage *m, const char *method, const char *path, const char *body, struct err *err)
{
	err_code rc = admin_call(command_data(m->line), m->begin, database_url(m->line), method, path, body, m->arena, &m->answer, err);

	json_decref(m->doc);
	m->doc = NULL;
	if (rc || m->answer.len == 0)
		return rc;
	return json_in_parse(m->answer.body, m->answer.len, &m->doc, err);
}

const char *
manage_text(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

void
manage_print_json(const struct manage *m)
{
	printf("%.*s\n", (int)m->answer.len, (const char *)m->answer.body);
}

/* "/projects/ID…", the id checked here so that it cannot be anything but an id. */
err_code
manage_project_path(const struct manage *m, const char *rest, const char **out, struct err *err)
{
	const char *project = command_value(m->line, 'p');
	struct id id;

	if (!project)
		return err_set(err, ERR_USAGE, "which project? --project ID; drayd project list shows them");
	if (id_parse(project, strlen(project), &id, err))
		return err_set(err, ERR_USAGE, "--project takes an id of 32 hexadecimal digits");
	*out = arena_printf(m->arena, "/projects/%s%s", project, rest);
	return ERR_OK;
}

int
manage_run(const struct command_line *line, err_code (*command)(struct manage *m, struct err *err))
{
	struct manage m = { .line = line, .arena = arena_new(MANAGE_MEMORY_MAX) };
	struct err err = { 0 };
	err_code rc = command(&m, &err);

	json_decref(m.doc);
	arena_free(m.arena);
	return rc ? command_fail(line, &err) : 0;
}
