#include <getopt.h>

#include "base/command.h"
#include "base/jw.h"

static const struct command_option HELP = { 'h', "help", NULL, "show this" };

const char *
command_value(const struct command_line *line, char letter)
{
	unsigned n = line->options[(unsigned char)letter].n;

	return n ? line->options[(unsigned char)letter].values[n - 1] : NULL;
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------- */

static const char *
hint_of(const struct err *err)
{
	return err->code == ERR_NOT_FOUND && err->sys ? "Check the path." : err_info(err->code)->hint;
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
	jw_kstr(&jw, "hint", hint_of(err));
	jw_kbool(&jw, "retryable", info->retryable);
	jw_end_object(&jw);
	jw_end_object(&jw);
	printf("%s\n", sbuf_str(&sb));
	sbuf_fini(&sb);
}

int
command_fail(const struct command_line *line, const struct err *err)
{
	struct sbuf sb = SBUF(16 * KIB);

	if (command_has(line, 'j'))
		fail_json(err);
	sbuf_add_visible(&sb, err->msg);
	fprintf(stderr, "%s: %s\n", line->program->name, sbuf_str(&sb));
	if (err->code != ERR_USAGE)
		fprintf(stderr, "%*s  %s\n", (int)strlen(line->program->name), "", hint_of(err));
	sbuf_fini(&sb);
	return err->code == ERR_USAGE ? COMMAND_USAGE : COMMAND_ERROR;
}

/* ---- help ------------------------------------------------------------------------------------------------------------------ */

#define COLUMNS 80
#define OPTION_COLUMN 27

/* The words of ${line}, the first from column *at, which moves on; lines that it needs are indented. */
static void
put_words(const char *line, size_t len, int indent, int *at)
{
	const char *end = line + len;

	while (line < end) {
		const char *space = memchr(line, ' ', (size_t)(end - line));
		int word = (int)((space ? space : end) - line);

		if (word > 0 && *at > indent && *at + 1 + word > COLUMNS) {
			printf("\n%*s", indent, "");
			*at = indent;
		}
		if (word > 0)
			*at += printf("%s%.*s", *at > indent ? " " : "", word, line);
		line += word + 1;
	}
}

/* ASCII text, begun at column ${indent}.  Its lines are joined and broken where the terminal ends; those that are empty or indented stay as they are. */
static void
put_text(const char *text, int indent)
{
	int at = indent;

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > 0 && *text != ' ') {
			put_words(text, len, indent, &at);
		} else {
			printf("%s%.*s\n", at > indent ? "\n" : "", (int)len, text);
			at = indent;
		}
		text += len + (text[len] == '\n');
	}
	if (at > indent)
		putchar('\n');
}

/* Whether ${name} is "${group} …"; every name is in the group "". */
static bool
in_group(const char *name, const char *group)
{
	size_t len = strlen(group);

	return len == 0 || (strncmp(name, group, len) == 0 && name[len] == ' ');
}

static void
help_commands(const struct program *p, const char *group)
{
	int width = 0;

	for (size_t i = 0; p->commands[i]; i++)
		if (in_group(p->commands[i]->name, group))
			width = MAX(width, (int)strlen(p->commands[i]->name));
	printf("Commands:\n");
	for (size_t i = 0; p->commands[i]; i++) {
		if (!in_group(p->commands[i]->name, group))
			continue;
		printf("  %-*s  ", width, p->commands[i]->name);
		put_text(p->commands[i]->summary, width + 4);
	}
}

static void
help(const struct program *p)
{
	printf("Usage: %s COMMAND [OPTIONS] [ARGUMENTS]\n\n", p->name);
	put_text(p->summary, 0);
	putchar('\n');
	help_commands(p, "");
	printf("\n  %s COMMAND --help tells more; %s --version tells the version.\n\n", p->name, p->name);
	put_text(p->outro, 0);
}

static void
help_option(const struct command_option *o)
{
	char left[48];

	snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-*s ", OPTION_COLUMN - 3, left);
	put_text(o->text, OPTION_COLUMN);
}

static void
help_command(const struct program *p, const struct command *c)
{
	printf("Usage: %s %s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", p->name, c->name, *c->args ? " " : "", c->args, c->summary);
	for (const struct command_option *o = p->options; o->letter; o++)
		if (strchr(c->options, o->letter))
			help_option(o);
	help_option(&HELP);
	if (*c->help)
		putchar('\n');
	put_text(c->help, 0);
}

static int
usage(const struct program *p, const struct command *c, const char *problem)
{
	if (problem)
		fprintf(stderr, "%s: %s\n", p->name, problem);
	if (c)
		fprintf(stderr, "Usage: %s %s [OPTIONS]%s%s   (%s %s --help tells more)\n", p->name, c->name, *c->args ? " " : "", c->args,
		    p->name, c->name);
	else
		fprintf(stderr, "Usage: %s COMMAND [OPTIONS] [ARGUMENTS]   (%s --help lists the commands)\n", p->name, p->name);
	return COMMAND_USAGE;
}

/* ---- parsing ----------------------------------------------------------------------------------------------------------------- */

#define OPTIONS_MAX 32

/* getopt's tables, from the options that the command takes. */
static void
make_tables(const struct program *p, const struct command *c, char *letters, struct option *longs)
{
	size_t l = 0, n = 0;

	for (const struct command_option *o = p->options; o; o = o == &HELP ? NULL : o[1].letter ? o + 1 : &HELP) {
		if (o != &HELP && !strchr(c->options, o->letter))
			continue;
		letters[l++] = o->letter;
		if (o->arg)
			letters[l++] = ':';
		longs[n++] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, o->letter };
	}
	letters[l] = '\0';
	longs[n] = (struct option){ 0 };
}

static int
run(const struct program *p, const struct command *c, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX + 1];
	char letters[2 * OPTIONS_MAX + 1];
	struct command_line line = { .program = p, .command = c };
	int letter;

	make_tables(p, c, letters, longs);
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (letter == 'h') {
			help_command(p, c);
			return 0;
		}
		if (letter == '?')
			return usage(p, c, NULL);
		if (line.options[letter].n == COMMAND_VALUES_MAX)
			return usage(p, c, "an option is repeated too often");
		line.options[letter].values[line.options[letter].n++] = optarg ? optarg : "";
	}
	line.args = argv + optind;
	line.arg_count = argc - optind;
	if (line.arg_count < c->args_min)
		return usage(p, c, "an argument is missing");
	if (line.arg_count > c->args_max)
		return usage(p, c, "too many arguments");
	return c->run(&line);
}

/* How many of the arguments the command's name takes: 0 when they do not say it. */
static int
words_matched(const char *name, int argc, char **argv)
{
	const char *space = strchr(name, ' ');
	size_t first = space ? (size_t)(space - name) : strlen(name);

	if (argc < 2 || strlen(argv[1]) != first || memcmp(argv[1], name, first) != 0)
		return 0;
	if (!space)
		return 1;
	return argc > 2 && strcmp(argv[2], space + 1) == 0 ? 2 : 0;
}

static bool
is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static bool
has_group(const struct program *p, const char *group)
{
	for (size_t i = 0; p->commands[i]; i++)
		if (in_group(p->commands[i]->name, group))
			return true;
	return false;
}

/* The first word of commands, and no second that makes one of them. */
static int
run_group(const struct program *p, const char *group, const char *word)
{
	if (is_help(word)) {
		help_commands(p, group);
		return 0;
	}
	fprintf(stderr, "%s: there is no command \"%s%s%s\"   (%s %s --help lists them)\n", p->name, group, *word ? " " : "", word, p->name,
	    group);
	return COMMAND_USAGE;
}

int
command_main(const struct program *p, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	if (is_help(word)) {
		help(p);
		return 0;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("%s %s\n", p->name, DRAY_VERSION);
		return 0;
	}
	for (size_t i = 0; p->commands[i]; i++) {
		int words = words_matched(p->commands[i]->name, argc, argv);
		if (words > 0)
			return run(p, p->commands[i], argc - words, argv + words);
	}
	if (*word && has_group(p, word))
		return run_group(p, word, argc > 2 ? argv[2] : "");
	if (*word)
		fprintf(stderr, "%s: there is no command \"%s\"\n", p->name, word);
	return usage(p, NULL, NULL);
}
