/* drayd device add, list, revoke. */
#include "base/jw.h"
#include "server/commands.h"
#include "server/manage.h"

static err_code
add_device(struct manage *m, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	const char *path;
	err_code rc = manage_project_path(m, "/devices", &path, err);

	if (rc)
		return rc;
	jw_object(&jw);
	jw_kstr(&jw, "name", m->line->args[0]);
	if (command_has(m->line, 'r'))
		jw_kstr(&jw, "role", command_value(m->line, 'r'));
	jw_end_object(&jw);
	rc = manage_ask(m, "POST", path, sbuf_str(&sb), err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		manage_print_json(m);
	else
		printf("Added device \"%s\"; its token, shown only now: %s\n", m->line->args[0], manage_text(m->doc, "token"));
	return ERR_OK;
}

static err_code
list_devices(struct manage *m, struct err *err)
{
	const char *path;
	size_t i;
	json_t *d;
	err_code rc = manage_project_path(m, "/devices", &path, err);

	if (rc == ERR_OK)
		rc = manage_ask(m, "GET", path, NULL, err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j')) {
		manage_print_json(m);
		return ERR_OK;
	}
	json_array_foreach(json_object_get(m->doc, "devices"), i, d)
		printf("%s  %-24s %-6s  seen %s\n", manage_text(d, "id"), manage_text(d, "name"), manage_text(d, "role"),
		    *manage_text(d, "last_seen_at") ? manage_text(d, "last_seen_at") : "never");
	return ERR_OK;
}

static err_code
revoke_device(struct manage *m, struct err *err)
{
	const char *device = m->line->args[0];
	const char *path;
	struct id id;
	err_code rc;

	if (id_parse(device, strlen(device), &id, err))
		return err_set(err, ERR_USAGE, "a device's id has 32 hexadecimal digits; drayd device list shows them");
	rc = manage_project_path(m, arena_printf(m->arena, "/devices/%s", device), &path, err);
	if (rc == ERR_OK)
		rc = manage_ask(m, "DELETE", path, NULL, err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		printf("{\"revoked\":\"%s\"}\n", device);
	else
		printf("Revoked device %s\n", device);
	return ERR_OK;
}

/* ---- the commands ------------------------------------------------------------------------------------------------------------ */

MANAGE_RUN(run_add, add_device)
MANAGE_RUN(run_list, list_devices)
MANAGE_RUN(run_revoke, revoke_device)

const struct command COMMAND_DEVICE_ADD = {
	.name = "device add",
	.args = "NAME",
	.summary = "Add a device to a project; the last word printed is its token",
	.options = "dbprj",
	.args_min = 1,
	.args_max = 1,
	.run = run_add,
	.help = "The token is shown once; the server keeps only its SHA-256.\n\n"
	        "Example:\n  drayd device add laptop --project 0190...\n",
};

const struct command COMMAND_DEVICE_LIST = {
	.name = "device list",
	.args = "",
	.summary = "List the devices of a project",
	.options = "dbpj",
	.run = run_list,
	.help = "A line each: id, name, role, when it was last seen.\n",
};

const struct command COMMAND_DEVICE_REVOKE = {
	.name = "device revoke",
	.args = "ID",
	.summary = "End a device's token, at once and for good",
	.options = "dbpj",
	.args_min = 1,
	.args_max = 1,
	.run = run_revoke,
	.help = "Its files stay where they are; it can no longer read or write the project.\n",
};
