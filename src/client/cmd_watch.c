#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "client/cli.h"
#include "client/confine.h"
#include "client/watch_pass.h"

/** The folders of one agent process. */
struct watch {
	int ended; /* eventfd: one of the agents has ended by itself */
	struct watch_folder *folders[WATCH_FOLDERS_MAX];
	struct agent *agents[WATCH_FOLDERS_MAX];
	size_t n;
};

static err_code
add_folder(struct watch *w, const char *dir, const struct watch_opts *opts, struct err *err)
{
	AUTO(freep) char *path = NULL;
	struct agent_opts agent;
	err_code rc = folder_find(dir, &path, err);

	if (rc == ERR_OK)
		rc = watch_folder_open(path, opts, &w->folders[w->n], err);
	if (rc)
		return rc;
	watch_folder_agent(w->folders[w->n], &agent);
	agent.ended = w->ended;
	rc = agent_start(&agent, &w->agents[w->n], err);
	if (rc) {
		watch_folder_free(TAKE(w->folders[w->n]));
		return err_wrap(err, "%s", path);
	}
	w->n++;
	return ERR_OK;
}

static bool
any_left(const struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (!agent_ended(w->agents[i]))
			return true;
	return false;
}

/* Signals come only while this waits, so none is missed between a look and the wait. */
static void
wait_for_end(struct watch *w, const sigset_t *outside)
{
	struct pollfd fd = { .fd = w->ended, .events = POLLIN };
	uint64_t count;

	while (!flag_is_set(cli_cancel()) && any_left(w))
		if (ppoll(&fd, 1, NULL, outside) > 0)
			(void)!read(w->ended, &count, sizeof count);
}

static void
end_all(struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		agent_stop(w->agents[i]);
	for (size_t i = 0; i < w->n; i++) {
		agent_free(w->agents[i]);
		watch_folder_free(w->folders[i]);
	}
	closep(&w->ended);
}

static err_code
watch_all(const struct command_line *line, struct err *err)
{
	struct watch w = { .ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct watch_opts opts = { 0 };
	sigset_t ends, outside;
	err_code rc = cli_parallel(line, &opts.parallel, err);

	if (rc == ERR_OK)
		rc = cli_rate(line, &opts.rate, err);
	if (rc == ERR_OK && w.ended < 0)
		rc = err_errno(err, "eventfd");
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, &outside);
	for (int i = 0; rc == ERR_OK && i < MAX(line->arg_count, 1); i++)
		rc = add_folder(&w, line->arg_count ? line->args[i] : NULL, &opts, err);
	if (rc == ERR_OK)
		wait_for_end(&w, &outside);
	end_all(&w);
	pthread_sigmask(SIG_SETMASK, &outside, NULL);
	return rc;
}

static void
say_unconfined(void)
{
	struct err err;

	if (confine_check(&err))
		log_event(LOG_INFO, "the kernel does not help to stay in the folders", LOG_STR("why", err.msg));
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };

	signal(SIGIO, SIG_IGN); /* tree_watch_writing */
	log_setup(command_has(line, 'q') ? LOG_WARN : LOG_INFO, command_has(line, 'j'));
	say_unconfined();
	if (watch_all(line, &err))
		return command_fail(line, &err);
	log_event(LOG_INFO, "ended", LOG_I64("pid", getpid()));
	return EXIT_IN_SYNC;
}

const struct command COMMAND_WATCH = {
	.name = "watch",
	.args = "[DIR...]",
	.summary = "Keep linked folders and their projects the same, until it is stopped",
	.options = "PLjq",
	.args_min = 0,
	.args_max = WATCH_FOLDERS_MAX,
	.run = run,
	.help = "Changes here are sent as soon as they have come to rest, a file that is being written when it\n"
	        "is closed; changes on the server are fetched as they happen.  Standard error is the log, with\n"
	        "--json a JSON object a line.  dray status tells what it is doing, dray pause and dray resume\n"
	        "steer it, dray sync works beside it; dray install-service has it started when you log in.\n\n"
	        "SIGINT or SIGTERM ends it within a second.\n\n"
	        "Exit status: 0 it was stopped, or its folders were unlinked, 1 error, 2 wrong usage.\n",
};
