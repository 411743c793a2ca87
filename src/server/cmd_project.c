/* drayd project create, list, set, show. */
#include "base/jw.h"
#include "base/num.h"
#include "server/commands.h"
#include "server/manage.h"

#define PAGE 1000

static err_code
create_project(struct manage *m, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	jw_kstr(&jw, "name", m->line->args[0]);
	jw_end_object(&jw);
	m->begin = true;
	rc = manage_ask(m, "POST", "/projects", sbuf_str(&sb), err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		manage_print_json(m);
	else
		printf("Created project \"%s\": %s\n", m->line->args[0], manage_text(m->doc, "id"));
	return ERR_OK;
}

static int64_t
number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
print_project(json_t *p)
{
	printf("%s  %-24s %8jd entries  %14jd bytes\n", manage_text(p, "id"), manage_text(p, "name"), (intmax_t)number(p, "file_count"),
	    (intmax_t)number(p, "total_size"));
}

static err_code
list_projects(struct manage *m, struct err *err)
{
	const char *path = arena_printf(m->arena, "/projects?limit=%d", PAGE);
	size_t i;
	json_t *p;
	bool more = true;

	while (more) {
		const char *last = "";
		err_code rc = manage_ask(m, "GET", path, NULL, err);
		if (rc)
			return rc;
		if (command_has(m->line, 'j')) {
			manage_print_json(m);
		} else {
			json_array_foreach(json_object_get(m->doc, "projects"), i, p)
				print_project(p);
		}
		json_array_foreach(json_object_get(m->doc, "projects"), i, p)
			last = manage_text(p, "id");
		more = json_is_true(json_object_get(m->doc, "has_more"));
		path = arena_printf(m->arena, "/projects?limit=%d&after=%s", PAGE, last);
	}
	return ERR_OK;
}

static void
print_limit(const char *what, int64_t limit, const char *unit)
{
	if (limit == 0)
		printf("%-16s without limit\n", what);
	else
		printf("%-16s %jd%s\n", what, (intmax_t)limit, unit);
}

static void
print_policy(json_t *p)
{
	printf("%-16s %s\n%-16s %s\n", "id", manage_text(p, "id"), "name", manage_text(p, "name"));
	printf("%-16s %jd\n%-16s %jd\n", "entries", (intmax_t)number(p, "file_count"), "bytes", (intmax_t)number(p, "total_size"));
	printf("%-16s %jd\n", "stored bytes", (intmax_t)number(p, "stored_bytes"));
	print_limit("quota", number(p, "quota_bytes"), " bytes");
	print_limit("versions kept", number(p, "keep_versions"), " of each file");
	print_limit("kept for", number(p, "keep_days"), " days after they were replaced");
}

/* Ask for the project, or change it: either is answered with what it is now. */
static err_code
ask_project(struct manage *m, const char *method, const char *path, const char *body, struct err *err)
{
	err_code rc = manage_ask(m, method, path, body, err);

	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		manage_print_json(m);
	else
		print_policy(m->doc);
	return ERR_OK;
}

static err_code
show_project(struct manage *m, struct err *err)
{
	const char *path;
	err_code rc = manage_project_path(m, "", &path, err);

	return rc ? rc : ask_project(m, "GET", path, NULL, err);
}

/* "500G": a number and, if need be, one letter for its unit. */
static err_code
parse_size(const char *s, uint64_t *out, struct err *err)
{
	static const char units[] = "KMGT";
	size_t len = strlen(s);
	const char *unit = len ? strchr(units, s[len - 1]) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (!parse_u64(s, len - (unit != NULL), (uint64_t)INT64_MAX >> shift, out))
		return err_set(err, ERR_USAGE, "--quota takes a number of bytes, such as 1500000 or 500G");
	*out <<= shift;
	return ERR_OK;
}

static err_code
change_number(struct manage *m, struct jw *jw, char letter, const char *option, const char *key, uint64_t max, struct err *err)
{
	const char *value = command_value(m->line, letter);
	uint64_t n;

	if (!value)
		return ERR_OK;
	if (!parse_u64(value, strlen(value), max, &n))
		return err_set(err, ERR_USAGE, "--%s takes a number from 0 to %ju", option, (uintmax_t)max);
	jw_ku64(jw, key, n);
	return ERR_OK;
}

/* The members that were asked for, as PATCH /projects/:project takes them. */
static err_code
write_change(struct manage *m, struct sbuf *sb, struct err *err)
{
	struct jw jw = JW(sb);
	const char *quota = command_value(m->line, 'q');
	uint64_t bytes;
	err_code rc;

	jw_object(&jw);
	if (command_has(m->line, 'n'))
		jw_kstr(&jw, "name", command_value(m->line, 'n'));
	rc = change_number(m, &jw, 'k', "keep-versions", "keep_versions", KEEP_VERSIONS_MAX, err);
	if (rc == ERR_OK)
		rc = change_number(m, &jw, 'a', "keep-days", "keep_days", KEEP_DAYS_MAX, err);
	if (rc == ERR_OK && quota)
		rc = parse_size(quota, &bytes, err);
	if (rc == ERR_OK && quota)
		jw_ku64(&jw, "quota_bytes", bytes);
	jw_end_object(&jw);
	return rc;
}

static err_code
set_project(struct manage *m, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	const char *path;
	err_code rc = manage_project_path(m, "", &path, err);

	if (rc == ERR_OK && !command_has(m->line, 'n') && !command_has(m->line, 'k') && !command_has(m->line, 'a') &&
	    !command_has(m->line, 'q'))
		return err_set(err, ERR_USAGE, "what to change? --name, --keep-versions, --keep-days or --quota");
	if (rc == ERR_OK)
		rc = write_change(m, &sb, err);
	return rc ? rc : ask_project(m, "PATCH", path, sbuf_str(&sb), err);
}

/* ---- the commands ------------------------------------------------------------------------------------------------------------ */

MANAGE_RUN(run_create, create_project)
MANAGE_RUN(run_list, list_projects)
MANAGE_RUN(run_set, set_project)
MANAGE_RUN(run_show, show_project)

const struct command COMMAND_PROJECT_CREATE = {
	.name = "project create",
	.args = "NAME",
	.summary = "Create a project; the last word printed is its id",
	.options = "dbj",
	.args_min = 1,
	.args_max = 1,
	.run = run_create,
	.help = "Example:\n  drayd project create film\n",
};

const struct command COMMAND_PROJECT_LIST = {
	.name = "project list",
	.args = "",
	.summary = "List the projects",
	.options = "dbj",
	.run = run_list,
	.help = "A line each: id, name, entries, bytes.\n",
};

const struct command COMMAND_PROJECT_SET = {
	.name = "project set",
	.args = "",
	.summary = "Change a project's name, how much history it keeps, or its quota",
	.options = "dbpnkaqj",
	.run = run_set,
	.help = "A new project keeps the newest 100 states of each file, for as long as it exists, and has no quota.\n"
	        "States that are not kept any more go within hours, and what only they used with the next collection;\n"
	        "a state replaced in the last 24 hours stays whatever their number. The present state of a file never\n"
	        "goes. A deleted file can be restored until its last state goes, which only --keep-days lets happen.\n\n"
	        "The quota bounds what is stored, after compression, each chunk once. At it new content is refused;\n"
	        "reading, deleting, renaming and restoring go on.\n\n"
	        "Example:\n  drayd project set --project 0190... --keep-days 90 --quota 500G\n",
};

const struct command COMMAND_PROJECT_SHOW = {
	.name = "project show",
	.args = "",
	.summary = "Show a project: what it stores, its quota, what it keeps",
	.options = "dbpj",
	.run = run_show,
	.help = "",
};
