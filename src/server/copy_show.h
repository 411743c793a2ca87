#pragma once
/** What drayd backup, drayd restore and drayd fsck say: how far they are, on a terminal, and what came of it. */

#include "base/command.h"
#include "server/chunk_copy.h"

struct copy_show {
	bool terminal;   /* standard error is one */
	int64_t next_ms; /* nothing is shown before */
	int width;       /* of what stands there now */
};

void copy_show_start(struct copy_show *s);

/** copy_show_rows(s, rows): to be given to db_server_copy.  copy_show_chunks(s, c): as the tick of a chunk_copy. */
void copy_show_rows(void *s, uint64_t rows);
void copy_show_chunks(void *s, const struct chunk_copy *c);

/** copy_show_clear(s): the line goes. */
void copy_show_clear(struct copy_show *s);

/**
 * copy_show_result(line, verb, c, removed): a sentence, or with --json an object, on standard output; each bad chunk with a sentence on standard
 * error.  The exit status: COMMAND_ERROR when there is a bad one.
 */
int copy_show_result(const struct command_line *line, const char *verb, const struct chunk_copy *c, uint64_t removed);
