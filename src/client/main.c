#include <locale.h>

#include "base/log.h"
#include "client/cli.h"

int
main(int argc, char **argv)
{
	setlocale(LC_NUMERIC, ""); /* digits in groups, as the user writes them; everything else stays as it is */
	log_setup(LOG_WARN, false);
	return cli_main(argc, argv);
}
