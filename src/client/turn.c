#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "client/turn.h"
#include "client/watch/control.h"

#define LOOK_MS 10     /* an agent that is busy leaves the lock for no longer between two passes */
#define ASK_EVERY 100  /* looks: whether there is an agent is asked once a second */

err_code
turn_agent(const char *path, struct sbuf *status, struct err *err)
{
	return control_ask(path, "status", status, err);
}

static bool
agent_there(const char *path)
{
	AUTO(sbuf_fini) struct sbuf status = SBUF(CONTROL_ANSWER_MAX);
	struct err ignored;

	return turn_agent(path, &status, &ignored) == ERR_OK;
}

err_code
turn_open(const char *path, int64_t patience_ms, const bool *cancel, struct folder **out, struct err *err)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000 };
	int64_t until = clock_mono_ms() + patience_ms;

	for (unsigned looks = 0;; looks++) {
		err_code rc = folder_open(path, out, err);

		if (rc != ERR_ROOT_IN_USE)
			return rc;
		if (patience_ms && clock_mono_ms() >= until)
			return rc;
		if (looks % ASK_EVERY == 0 && !agent_there(path))
			return rc;
		if (flag_is_set(cancel))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		nanosleep(&look, NULL);
	}
}
