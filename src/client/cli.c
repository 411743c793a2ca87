#include <signal.h>

#include "base/jw.h"
#include "base/utf8.h"
#include "client/cli.h"

static bool cancelled;

bool *
cli_cancel(void)
{
	return &cancelled;
}

void
cli_escape(struct sbuf *sb, const char *path)
{
	bool valid = utf8_valid(path, strlen(path));

	for (const char *p = path; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c == '\\')
			sbuf_add(sb, "\\\\");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid))
			sbuf_addf(sb, "\\x%02x", c);
		else
			sbuf_addc(sb, (char)c);
	}
}

void
cli_print(struct sbuf *sb)
{
	fwrite(sbuf_str(sb), 1, sb->len, stdout);
	fflush(stdout);
	sbuf_fini(sb);
}

static void
fail_json(const struct err *err)
{
	const struct err_info *info = err_info(err->code);
	struct sbuf sb = SBUF(16 * KIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_key(&jw, "error");
	jw_object(&jw);
	jw_kstr(&jw, "code", info->code);
	jw_kstr(&jw, "detail", err->msg);
	jw_kstr(&jw, "hint", info->hint);
	jw_kbool(&jw, "retryable", info->retryable);
	jw_end_object(&jw);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

int
cli_fail(const struct command_line *line, const struct err *err)
{
	struct sbuf sb = SBUF(16 * KIB);

	if (command_has(line, 'j'))
		fail_json(err);
	cli_escape(&sb, err->msg);
	fprintf(stderr, "dray: %s\n", sbuf_str(&sb));
	if (err->code != ERR_CANCELLED && err->code != ERR_USAGE)
		fprintf(stderr, "      %s\n", err_info(err->code)->hint);
	sbuf_fini(&sb);
	return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_ERROR;
}

static void
on_signal(int sig)
{
	cancelled = true;
	signal(sig, SIG_DFL); /* a second one kills */
}

static const struct command *const COMMANDS[] = { &COMMAND_LINK, &COMMAND_SYNC, &COMMAND_STATUS, &COMMAND_UNLINK, NULL };

static const struct command_option OPTIONS[] = {
	{ 'p', "project", "ID", "the project, as drayd project create prints it" },
	{ 't', "token", "TOKEN", "this device's token; better in DRAY_TOKEN or typed when asked" },
	{ 'n', "dry-run", NULL, "show what would be done, change nothing" },
	{ 'P', "parallel", "N", "requests at once, 1 to 32 (default 8)" },
	{ 'D', "allow-mass-delete", NULL, "delete also more than 100 entries and a quarter of the tree" },
	{ 'j', "json", NULL, "print the result as one JSON object" },
	{ 'q', "quiet", NULL, "print errors only" },
	{ 'v', "verbose", NULL, "list every entry" },
	{ 0 },
};

static const struct program DRAY = {
	.name = "dray",
	.summary = "Keep a folder the same as a project on a dray server.",
	.outro = "Exit status: 0 in sync, 1 error, 2 wrong usage, 3 finished but conflicts or\n"
	         "unsynced entries remain.\n",
	.commands = COMMANDS,
	.options = OPTIONS,
};

int
cli_main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	return command_main(&DRAY, argc, argv);
}
