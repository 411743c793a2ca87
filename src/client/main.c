#include <locale.h>
#include <malloc.h>

#include "base/log.h"
#include "client/cli.h"

/* Packers, senders and each pass of an agent are threads of their own; with an arena for each, memory is cut into pieces that nobody else uses. */
#define ARENAS_MAX 2

int
main(int argc, char **argv)
{
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	setlocale(LC_NUMERIC, ""); /* digits in groups, as the user writes them; everything else stays as it is */
	log_setup(LOG_WARN, false);
	return cli_main(argc, argv);
}
