/* drayd gc. */
#include "server/commands.h"
#include "server/manage.h"

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
	err_code rc = manage_ask(m, "POST", path, NULL, err);

	while (!rc && json_is_true(json_object_get(m->doc, "running")))
		rc = manage_ask(m, "POST", arena_printf(m->arena, "/gc?run=%lld", counted(m, "run")), NULL, err);
	if (rc)
		return rc;
	if (json_is_true(json_object_get(m->doc, "failed")))
		return err_set(err, ERR_INTERNAL, "the collection ended early; the server's log says why, and the next one starts anew");
	if (command_has(m->line, 'j'))
		manage_print_json(m);
	else
		print_collection(m);
	return ERR_OK;
}

/* ---- the commands ------------------------------------------------------------------------------------------------------------ */

MANAGE_RUN(run, collect_garbage)

const struct command COMMAND_GC = {
	.name = "gc",
	.args = "",
	.summary = "Collect garbage now, and say what was found and freed",
	.options = "dbyj",
	.run = run,
	.help = "A server does it by itself once a day (drayd serve --gc-interval). What nothing names any more stays for the\n"
	        "server's --gc-grace, so that nobody who is about to use it comes too late; without a running server that is\n"
	        "24 hours. Everything is served meanwhile, and a collection may be cut short at any moment.\n",
};
