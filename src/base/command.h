#pragma once
/**
 * The command lines of dray and drayd: commands of one or two words, options over getopt_long, help made from the same tables.
 */

#include "base/err.h"

#define COMMAND_VALUES_MAX 16 /* of an option that may be repeated */

/** An option: a letter and a long name. */
struct command_option {
	char letter;
	const char *name;
	const char *arg;  /* what its value is called in the help; NULL: takes none */
	const char *text; /* one line of help */
};

/** What was typed, after the command's name. */
struct command_line {
	const struct program *program;
	const struct command *command;
	struct {
		const char *values[COMMAND_VALUES_MAX]; /* "" for options without a value */
		unsigned n;
	} options[128]; /* by letter */
	char **args;    /* what is no option */
	int arg_count;
};

struct command {
	const char *name;    /* "sync", "project create" */
	const char *args;    /* for the usage line: "[DIR]", "" */
	const char *summary; /* one line, without a full stop */
	const char *options; /* letters of the program's options that it takes */
	const char *help;    /* paragraphs after the options */
	int args_min, args_max;
	int (*run)(const struct command_line *line); /* the exit status */
};

struct program {
	const char *name;
	const char *summary; /* a sentence */
	const char *outro;   /* after the list of commands */
	const struct command *const *commands; /* NULL-terminated */
	const struct command_option *options;  /* ends with letter 0, and none is there twice; "help" is added here */
};

/** The exit status of wrong usage, as getopt's tradition has it. */
#define COMMAND_USAGE 2
#define COMMAND_ERROR 1

/** command_main(p, argc, argv): find the command, parse, run.  --help and --version are answered here.  Returns the exit status. */
int command_main(const struct program *p, int argc, char **argv);

/**
 * command_fail(line, err): show an error where it stops travelling, and what to do about it; with -j (which every program here calls --json)
 * also as JSON on standard output.  Returns COMMAND_ERROR, or COMMAND_USAGE for ERR_USAGE.
 */
int command_fail(const struct command_line *line, const struct err *err);

/** command_value(line, 'p'): the last value of the option, "" for one without a value, NULL when it was not given. */
const char *command_value(const struct command_line *line, char letter);

static inline bool
command_has(const struct command_line *line, char letter)
{
	return command_value(line, letter) != NULL;
}
