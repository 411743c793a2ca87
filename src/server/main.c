#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>

#include "server/commands.h"

static const struct command *const COMMANDS[] = { &COMMAND_SERVE, &COMMAND_PROJECT_CREATE, &COMMAND_PROJECT_LIST,
	&COMMAND_PROJECT_SET, &COMMAND_PROJECT_SHOW, &COMMAND_DEVICE_ADD, &COMMAND_DEVICE_LIST, &COMMAND_DEVICE_REVOKE,
	&COMMAND_GC, &COMMAND_BACKUP, &COMMAND_RESTORE, &COMMAND_FSCK, NULL };

static const struct command_option OPTIONS[] = {
	{ 'd', "data", "DIR", "the server's data directory (default " DATA_DEFAULT ")" },
	{ 'b', "db", "URL", "metadata in PostgreSQL, postgresql://USER@HOST/NAME (default: SQLite in DIR)" },
	{ 'l', "listen", "HOST:PORT", "address to listen on (default " LISTEN_DEFAULT "; port 0 picks one)" },
	{ 'H', "host", "NAME", "answer for this host name too; may be repeated" },
	{ 'w', "workers", "N", "worker threads, 1 to 64 (default 8)" },
	{ 'f', "log-format", "FORMAT", "text or json (default text)" },
	{ 'p', "project", "ID", "the project" },
	{ 'r', "role", "ROLE", "writer or reader (default writer)" },
	{ 'n', "name", "NAME", "the project's new name" },
	{ 'k', "keep-versions", "N", "keep the newest N states of each file; 0 keeps all" },
	{ 'a', "keep-days", "N", "keep a state for N days after it was replaced; 0: without limit" },
	{ 'q', "quota", "SIZE", "store at most so many bytes; K, M, G, T for units of 1024; 0: no quota" },
	{ 'i', "gc-interval", "TIME", "collect garbage so often (default 24h; 0: only when asked)" },
	{ 'g', "gc-grace", "TIME", "what nothing names stays so long (default 24h)" },
	{ 'Q', "quick", NULL, "read only the heads of chunks" },
	{ 'y', "dry-run", NULL, "say what would be done, and do nothing" },
	{ 'j', "json", NULL, "print the answer as JSON" },
	{ 0 },
};

static const struct program DRAYD = {
	.name = "drayd",
	.summary = "The dray server: keeps projects and brings them to devices.",
	.outro = "project, device, gc, backup and fsck work while the server runs, and without it.\n\n"
	         "Exit status: 0 done, 1 error, 2 wrong usage, 3 fsck has found something.\n",
	.commands = COMMANDS,
	.options = OPTIONS,
};

int
main(int argc, char **argv)
{
	/*
	 * Two malloc arenas instead of eight a core: a worker's spare megabytes are soon another's.  They keep enough of them for the
	 * next page of a listing: memory that is unmapped with each answer costs half of that answer (docs/perf/tree.md).
	 */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 2 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 0); /* tokens pass through here: no core dumps, no ptrace by the same user */
	return command_main(&DRAYD, argc, argv);
}
