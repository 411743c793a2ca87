/*
 * drayd project …, drayd device …: each is one call of the API by the owner, shown for people or as the server's JSON.  The id or
 * token that a script wants is the last word of the line.
 */
#include "base/jw.h"
#include "base/num.h"
#include "server/admin.h"
#include "server/commands.h"
#include "server/database.h"

#define MANAGE_MEMORY_MAX (64 * MIB)
#define PAGE 1000

/** A command while it runs. */
struct manage {
	const struct command_line *line;
	struct arena *arena;
	struct admin_answer answer;
	json_t *doc;
};

static err_code
ask(struct manage *m, const char *method, const char *path, const char *body, struct err *err)
{
	err_code rc = admin_call(command_data(m->line), database_url(m->line), method, path, body, m->arena, &m->answer, err);

	json_decref(m->doc);
	m->doc = NULL;
	if (rc || m->answer.len == 0)
		return rc;
	return json_in_parse(m->answer.body, m->answer.len, &m->doc, err);
}

static const char *
text(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static void
print_json(const struct manage *m)
{
	printf("%.*s\n", (int)m->answer.len, (const char *)m->answer.body);
}

/* "/projects/ID…", the id checked here so that it cannot be anything but an id. */
static err_code
project_path(const struct manage *m, const char *rest, const char **out, struct err *err)
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

/* ---- projects --------------------------------------------------------------------------------------------------------------- */

static err_code
create_project(struct manage *m, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	jw_kstr(&jw, "name", m->line->args[0]);
	jw_end_object(&jw);
	rc = ask(m, "POST", "/projects", sbuf_str(&sb), err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		print_json(m);
	else
		printf("Created project \"%s\": %s\n", m->line->args[0], text(m->doc, "id"));
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
	printf("%s  %-24s %8jd entries  %14jd bytes\n", text(p, "id"), text(p, "name"), (intmax_t)number(p, "file_count"),
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
		err_code rc = ask(m, "GET", path, NULL, err);
		if (rc)
			return rc;
		if (command_has(m->line, 'j')) {
			print_json(m);
		} else {
			json_array_foreach(json_object_get(m->doc, "projects"), i, p)
				print_project(p);
		}
		json_array_foreach(json_object_get(m->doc, "projects"), i, p)
			last = text(p, "id");
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
	printf("%-16s %s\n%-16s %s\n", "id", text(p, "id"), "name", text(p, "name"));
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
	err_code rc = ask(m, method, path, body, err);

	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		print_json(m);
	else
		print_policy(m->doc);
	return ERR_OK;
}

static err_code
show_project(struct manage *m, struct err *err)
{
	const char *path;
	err_code rc = project_path(m, "", &path, err);

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
	err_code rc = project_path(m, "", &path, err);

	if (rc == ERR_OK && !command_has(m->line, 'n') && !command_has(m->line, 'k') && !command_has(m->line, 'a') &&
	    !command_has(m->line, 'q'))
		return err_set(err, ERR_USAGE, "what to change? --name, --keep-versions, --keep-days or --quota");
	if (rc == ERR_OK)
		rc = write_change(m, &sb, err);
	return rc ? rc : ask_project(m, "PATCH", path, sbuf_str(&sb), err);
}

/* ---- devices ----------------------------------------------------------------------------------------------------------------- */

static err_code
add_device(struct manage *m, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	const char *path;
	err_code rc = project_path(m, "/devices", &path, err);

	if (rc)
		return rc;
	jw_object(&jw);
	jw_kstr(&jw, "name", m->line->args[0]);
	if (command_has(m->line, 'r'))
		jw_kstr(&jw, "role", command_value(m->line, 'r'));
	jw_end_object(&jw);
	rc = ask(m, "POST", path, sbuf_str(&sb), err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		print_json(m);
	else
		printf("Added device \"%s\"; its token, shown only now: %s\n", m->line->args[0], text(m->doc, "token"));
	return ERR_OK;
}

static err_code
list_devices(struct manage *m, struct err *err)
{
	const char *path;
	size_t i;
	json_t *d;
	err_code rc = project_path(m, "/devices", &path, err);

	if (rc == ERR_OK)
		rc = ask(m, "GET", path, NULL, err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j')) {
		print_json(m);
		return ERR_OK;
	}
	json_array_foreach(json_object_get(m->doc, "devices"), i, d)
		printf("%s  %-24s %-6s  seen %s\n", text(d, "id"), text(d, "name"), text(d, "role"),
		    *text(d, "last_seen_at") ? text(d, "last_seen_at") : "never");
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
	rc = project_path(m, arena_printf(m->arena, "/devices/%s", device), &path, err);
	if (rc == ERR_OK)
		rc = ask(m, "DELETE", path, NULL, err);
	if (rc)
		return rc;
	if (command_has(m->line, 'j'))
		printf("{\"revoked\":\"%s\"}\n", device);
	else
		printf("Revoked device %s\n", device);
	return ERR_OK;
}

/* ---- garbage ---------------------------------------------------------------------------------------------------------------- */

static long long
counted(const struct manage *m, const char *key)
{
	return json_integer_value(json_object_get(m->doc, key));
}

static void
print_collection(const struct manage *m)
{
	bool dry_run = json_is_true(json_object_get(m->doc, "dry_run"));

	printf("%s %lld chunks, %lld bytes, and %lld objects without a row, %lld bytes.\n", dry_run ? "Would free" : "Freed",
	    counted(m, "chunks_removed"), counted(m, "bytes_removed"), counted(m, "objects_removed"), counted(m, "object_bytes_removed"));
	printf("%s %lld chunks of %lld bytes, of which little is left", dry_run ? "Would rewrite" : "Rewrote", counted(m, "chunks_compacted"),
	    counted(m, "bytes_compacted"));
	if (dry_run)
		printf(".\n");
	else
		printf(", into %lld bytes.\n", counted(m, "bytes_rewritten"));
	printf("Kept are %lld chunks, %lld bytes; %lld more, %lld bytes, go when their grace is over.\n", counted(m, "chunks_kept"),
	    counted(m, "bytes_kept"), counted(m, "chunks_waiting"), counted(m, "bytes_waiting"));
}

/* A collection may take longer than a request: then the same one is waited for. */
static err_code
collect_garbage(struct manage *m, struct err *err)
{
	const char *path = command_has(m->line, 'y') ? "/gc?dry_run=1" : "/gc";
	err_code rc = ask(m, "POST", path, NULL, err);

	while (!rc && json_is_true(json_object_get(m->doc, "running")))
		rc = ask(m, "POST", arena_printf(m->arena, "/gc?run=%lld", counted(m, "run")), NULL, err);
	if (rc)
		return rc;
	if (json_is_true(json_object_get(m->doc, "failed")))
		return err_set(err, ERR_INTERNAL, "the collection ended early; the server's log says why, and the next one starts anew");
	if (command_has(m->line, 'j'))
		print_json(m);
	else
		print_collection(m);
	return ERR_OK;
}

/* ---- the commands ------------------------------------------------------------------------------------------------------------ */

static int
run(const struct command_line *line, err_code (*command)(struct manage *m, struct err *err))
{
	struct manage m = { .line = line, .arena = arena_new(MANAGE_MEMORY_MAX) };
	struct err err = { 0 };
	err_code rc = command(&m, &err);

	json_decref(m.doc);
	arena_free(m.arena);
	return rc ? command_fail(line, &err) : 0;
}

#define RUN(name, command) \
	static int name(const struct command_line *line) \
	{ \
		return run(line, command); \
	}
RUN(run_project_create, create_project)
RUN(run_project_list, list_projects)
RUN(run_project_set, set_project)
RUN(run_project_show, show_project)
RUN(run_device_add, add_device)
RUN(run_device_list, list_devices)
RUN(run_device_revoke, revoke_device)
RUN(run_gc, collect_garbage)

const struct command COMMAND_PROJECT_CREATE = {
	.name = "project create",
	.args = "NAME",
	.summary = "Create a project; the last word printed is its id",
	.options = "dbj",
	.args_min = 1,
	.args_max = 1,
	.run = run_project_create,
	.help = "Example:\n  drayd project create film\n",
};

const struct command COMMAND_PROJECT_LIST = {
	.name = "project list",
	.args = "",
	.summary = "List the projects",
	.options = "dbj",
	.run = run_project_list,
	.help = "A line each: id, name, entries, bytes.\n",
};

const struct command COMMAND_PROJECT_SET = {
	.name = "project set",
	.args = "",
	.summary = "Change a project's name, how much history it keeps, or its quota",
	.options = "dbpnkaqj",
	.run = run_project_set,
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
	.run = run_project_show,
	.help = "",
};

const struct command COMMAND_DEVICE_ADD = {
	.name = "device add",
	.args = "NAME",
	.summary = "Add a device to a project; the last word printed is its token",
	.options = "dbprj",
	.args_min = 1,
	.args_max = 1,
	.run = run_device_add,
	.help = "The token is shown once; the server keeps only its SHA-256.\n\n"
	        "Example:\n  drayd device add laptop --project 0190...\n",
};

const struct command COMMAND_DEVICE_LIST = {
	.name = "device list",
	.args = "",
	.summary = "List the devices of a project",
	.options = "dbpj",
	.run = run_device_list,
	.help = "A line each: id, name, role, when it was last seen.\n",
};

const struct command COMMAND_DEVICE_REVOKE = {
	.name = "device revoke",
	.args = "ID",
	.summary = "End a device's token, at once and for good",
	.options = "dbpj",
	.args_min = 1,
	.args_max = 1,
	.run = run_device_revoke,
	.help = "Its files stay where they are; it can no longer read or write the project.\n",
};

const struct command COMMAND_GC = {
	.name = "gc",
	.args = "",
	.summary = "Collect garbage now, and say what was found and freed",
	.options = "dbyj",
	.run = run_gc,
	.help = "A server does it by itself once a day (drayd serve --gc-interval). What nothing names any more stays for the\n"
	        "server's --gc-grace, so that nobody who is about to use it comes too late; without a running server that is\n"
	        "24 hours. Everything is served meanwhile, and a collection may be cut short at any moment.\n",
};
