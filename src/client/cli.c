#include <getopt.h>
#include <signal.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/num.h"
#include "base/utf8.h"
#include "client/cli.h"

static const struct command *const COMMANDS[] = { &COMMAND_LINK, &COMMAND_SYNC, &COMMAND_STATUS, &COMMAND_UNLINK };

struct option_info {
	char letter;
	const char *name;
	const char *arg; /* NULL: takes none */
	const char *text;
};

static const struct option_info OPTIONS[] = {
	{ 'p', "project", "ID", "the project, as drayd project create prints it" },
	{ 't', "token", "TOKEN", "this device's token; better in DRAY_TOKEN or typed when asked, since others can see a command line" },
	{ 'n', "dry-run", NULL, "show what would be done, change nothing" },
	{ 'P', "parallel", "N", "requests at once, 1 to 32 (default 8)" },
	{ 'D', "allow-mass-delete", NULL, "carry out deletions of more than 100 entries and a quarter of the tree" },
	{ 'j', "json", NULL, "print the result as one JSON object" },
	{ 'q', "quiet", NULL, "print errors only" },
	{ 'v', "verbose", NULL, "list every entry" },
	{ 'h', "help", NULL, "show this" },
};

static bool cancelled;

bool *
cli_cancel(void)
{
	return &cancelled;
}

static void
on_signal(int sig)
{
	cancelled = true;
	signal(sig, SIG_DFL); /* a second one kills */
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

enum exit_code
cli_fail(const struct cli *cli, const struct err *err)
{
	const struct err_info *info = err_info(err->code);

	if (cli->json) {
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
	} else {
		struct sbuf sb = SBUF(16 * KIB);
		cli_escape(&sb, err->msg);
		fprintf(stderr, "dray: %s\n", sbuf_str(&sb));
		if (err->code != ERR_CANCELLED && err->code != ERR_USAGE)
			fprintf(stderr, "      %s\n", info->hint);
		sbuf_fini(&sb);
	}
	return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_ERROR;
}

/* ---- help ------------------------------------------------------------------------------------------------------------------------ */

static void
help(void)
{
	printf("Usage: dray COMMAND [OPTIONS] [ARGUMENTS]\n\n"
	       "Keep a folder the same as a project on a dray server.\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
		printf("  %-8s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
	printf("\n"
	       "  dray COMMAND --help tells more; dray --version tells the version.\n\n"
	       "Exit status: 0 in sync, 1 error, 2 wrong usage, 3 finished but conflicts or\n"
	       "unsynced entries remain.\n");
}

static void
help_command(const struct command *c)
{
	printf("Usage: dray %s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", c->name, *c->args ? " " : "", c->args, c->summary);
	for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
		const struct option_info *o = &OPTIONS[i];
		char left[48];
		if (o->letter != 'h' && !strchr(c->options, o->letter))
			continue;
		snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-25s %s\n", left, o->text);
	}
	printf("\n%s", c->help);
}

/* ---- parsing ---------------------------------------------------------------------------------------------------------------------- */

static enum exit_code
usage(const struct command *c, const char *problem)
{
	if (problem)
		fprintf(stderr, "dray: %s\n", problem);
	if (c)
		fprintf(stderr, "Usage: dray %s [OPTIONS]%s%s   (dray %s --help tells more)\n", c->name, *c->args ? " " : "", c->args, c->name);
	else
		fprintf(stderr, "Usage: dray COMMAND [OPTIONS] [ARGUMENTS]   (dray --help lists the commands)\n");
	return EXIT_USAGE;
}

static bool
take_option(struct cli *cli, int letter, const char *arg)
{
	uint64_t n;

	switch (letter) {
	case 'p':
		cli->project = arg;
		return true;
	case 't':
		cli->token = arg;
		return true;
	case 'n':
		cli->dry_run = true;
		return true;
	case 'P':
		if (!parse_u64(arg, strlen(arg), 32, &n) || n == 0)
			return false;
		cli->parallel = (unsigned)n;
		return true;
	case 'D':
		cli->allow_mass_delete = true;
		return true;
	case 'j':
		cli->json = true;
		return true;
	case 'q':
		cli->quiet = true;
		return true;
	case 'v':
		cli->verbose = true;
		return true;
	default:
		return false;
	}
}

/* getopt's tables, from OPTIONS and the letters that the command takes. */
static void
make_tables(const struct command *c, char *letters, struct option *longs)
{
	size_t l = 0, n = 0;

	for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
		const struct option_info *o = &OPTIONS[i];
		if (o->letter != 'h' && !strchr(c->options, o->letter))
			continue;
		letters[l++] = o->letter;
		if (o->arg)
			letters[l++] = ':';
		longs[n++] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, o->letter };
	}
	letters[l] = '\0';
	longs[n] = (struct option){ 0 };
}

static enum exit_code
run_command(const struct command *c, int argc, char **argv)
{
	struct option longs[ARRAY_LEN(OPTIONS) + 1];
	char letters[2 * ARRAY_LEN(OPTIONS) + 1];
	struct cli cli = { .command = c->name };
	int letter;

	make_tables(c, letters, longs);
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (letter == 'h') {
			help_command(c);
			return EXIT_IN_SYNC;
		}
		if (letter == '?')
			return usage(c, NULL);
		if (!take_option(&cli, letter, optarg))
			return usage(c, "--parallel takes a number from 1 to 32");
	}
	cli.args = argv + optind;
	cli.arg_count = argc - optind;
	if (cli.arg_count < c->args_min || cli.arg_count > c->args_max)
		return usage(c, cli.arg_count < c->args_min ? "an argument is missing" : "too many arguments");
	return c->run(&cli);
}

enum exit_code
cli_main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		help();
		return EXIT_IN_SYNC;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("dray %s\n", DRAY_VERSION);
		return EXIT_IN_SYNC;
	}
	for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
		if (strcmp(COMMANDS[i]->name, name) == 0)
			return run_command(COMMANDS[i], argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "dray: there is no command \"%s\"\n", name);
	return usage(NULL, NULL);
}
