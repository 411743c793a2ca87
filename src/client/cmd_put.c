#include <unistd.h>

#include "client/put.h"
#include "client/transfer/transfer.h"

#define MEMORY_MAX (4 * GIB)

/* ---- sending --------------------------------------------------------------------------------------------------------------------- */

static err_code
sent(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct put *p = ctx;

	(void)err;
	switch (code) {
	case ERR_OK:
		p->outcome.done++;
		if (entry && entry->kind == ENTRY_FILE)
			p->outcome.bytes += (uint64_t)entry->size;
		break;
	case ERR_VERSION_CONFLICT:
	case ERR_NAME_EXISTS:
		outcome_problem(&p->outcome, plan_op_as(op), "version_conflict",
		    "somebody else changed it meanwhile; look at dray log, then put it again");
		break;
	default:
		outcome_problem(&p->outcome, plan_op_as(op), err_info(code)->code, why ? why->msg : "");
	}
	return ERR_OK;
}

static err_code
send_all(struct put *p, struct err *err)
{
	struct transfer_env env = { .root = p->root, .remote = p->session->remote, .state = p->scratch->state, .cancel = cli_cancel(),
		.progress = transfer_progress_new(), .ctx = p };
	struct transfer_counts counts;
	err_code rc = cli_parallel(p->line, &env.parallel, err);

	if (rc == ERR_OK) {
		report_start(p->report, "Sending", env.progress);
		rc = push_run(&env, p->ops, p->n, sent, err);
		report_stop(p->report);
		transfer_progress_read(env.progress, &counts);
		p->outcome.saved = counts.bytes_saved;
	}
	transfer_progress_free(env.progress);
	return rc;
}

/* The same source to the same place goes on where it was cut short. */
static err_code
open_scratch(struct put *p, struct err *err)
{
	AUTO(freep) char *real = realpath(p->source, NULL);
	struct sbuf sb = SBUF(64 * KIB);
	char project[ID_HEX_LEN + 1];
	struct hash key;

	sbuf_addf(&sb, "put %s %s %s %s", p->session->link.url, id_hex(&p->session->link.project, project), p->to, real ? real : "");
	key = hash_of(sbuf_str(&sb), sb.len);
	sbuf_fini(&sb);
	return scratch_open(real ? &key : NULL, &p->scratch, err);
}

static err_code
run_put(const struct command_line *line, int *code, struct err *err)
{
	struct report_opts report = { .quiet = command_has(line, 'q') || command_has(line, 'j'), .bar = report_terminal() };
	struct put p = { .line = line, .source = line->args[0], .root = -1 };
	err_code rc = session_open(line, NULL, &p.session, err);

	if (rc)
		return rc;
	outcome_init(&p.outcome, "sent");
	p.arena = arena_new(MEMORY_MAX);
	p.there = map_new();
	p.report = report_new(&report);
	rc = put_plan(&p, open_scratch, err);
	if (rc == ERR_OK)
		rc = send_all(&p, err);
	report_free(p.report);
	if (rc == ERR_OK)
		*code = outcome_show(&p.outcome, line, p.session, p.source, p.to);
	scratch_free(p.scratch, rc != ERR_OK);
	closep(&p.root);
	free(p.ops);
	map_free(p.there);
	arena_free(p.arena);
	outcome_fini(&p.outcome);
	session_free(p.session);
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };
	int code = EXIT_IN_SYNC;

	return run_put(line, &code, &err) ? command_fail(line, &err) : code;
}

const struct command COMMAND_PUT = {
	.name = "put",
	.args = "SOURCE [PATH]",
	.summary = "Send a file or folder to the server without linking a folder",
	.options = "uptPTLjqv",
	.args_min = 1,
	.args_max = 2,
	.run = run,
	.help = "SOURCE - is standard input.  PATH is as for dray ls; a directory that is there, or a slash\n"
	        "at the end, means into it; missing directories are made.  Folders go with all that is in\n"
	        "them; files of the same size, time and mode are not looked at.  A file that is there gets\n"
	        "a new version, unless somebody changed it meanwhile.  Interrupted, it goes on when it is\n"
	        "run again.\n\n"
	        "Exit status: 0 done, 1 error, 2 wrong usage, 3 some files were left out, each listed.\n\n"
	        "Examples:\n"
	        "  dray put ~/renders shots/\n"
	        "  tar c . | dray put - backup.tar --url http://127.0.0.1:8080 --project 0190...\n",
};
