/*
 * A1  The truth is what a pass finds: it reads the server's changes from the state's own cursor and looks at the whole tree.  Events of
 *     either side only say that it is time, so one that is lost makes a change late (WATCH_PASS_MS at most), never lost.
 * A2  What comes while a pass runs is for the next one: what was there when it began is remembered with it, and only its success settles it.
 * A3  A pass that failed is run again, later and later, whatever happens on disk meanwhile; the server's greeting ends that wait.
 * A4  Whatever the agent cannot see, or has missed, it says once, and looks at everything.
 */
#include "client/watch/agent_internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/pathat.h"
#include "base/rng.h"

#define PAUSED "paused" /* in .dray: the agent was paused, and stays so when it is started anew */

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A fleet that was started together does not look together. */
static int64_t
about(int64_t ms)
{
	return ms - ms / 4 + (int64_t)(rng_u64() % (uint64_t)(ms / 2));
}

/* ---- the folder ----------------------------------------------------------------------------------------------------------------- */

static bool on_ask(void *ctx, const char *ask, struct sbuf *out);

static void
detach(struct agent *a)
{
	control_free(TAKE(a->control));
	tree_watch_free(TAKE(a->watch));
	closep(&a->dot);
	a->dot = -1;
}

static err_code
open_dot(struct agent *a, struct err *err)
{
	AUTO(closep) int root = open(a->opts.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err_code rc;

	if (root < 0)
		return err_errno(err, "%s", a->opts.path);
	rc = pathat_open(root, ".dray", O_RDONLY | O_DIRECTORY, 0, &a->dot, err);
	if (rc == ERR_OK && faccessat(a->dot, "state.db", F_OK, 0) < 0 && faccessat(a->dot, "link", F_OK, 0) < 0)
		rc = err_set(err, ERR_NOT_LINKED, "%s is not linked", a->opts.path);
	return rc;
}

static void
say_watching(const struct agent *a)
{
	size_t missed = tree_watch_missed(a->watch);

	if (missed)
		log_event(LOG_WARN, "not all directories can be watched: changes in the others are found by looking once a minute; "
		    "raise fs.inotify.max_user_watches", LOG_STR("folder", a->opts.path),
		    LOG_U64("watched", tree_watch_count(a->watch)), LOG_U64("unwatched", missed));
	else
		log_event(LOG_INFO, a->paused ? "paused" : "watching", LOG_STR("folder", a->opts.path),
		    LOG_U64("directories", tree_watch_count(a->watch)));
}

static err_code
attach(struct agent *a, struct err *err)
{
	err_code rc = open_dot(a, err);

	if (rc == ERR_OK)
		rc = control_open(a->dot, on_ask, a, &a->control, err);
	if (rc == ERR_OK)
		rc = tree_watch_open(a->opts.path, &a->watch, err);
	if (rc) {
		detach(a);
		return rc;
	}
	a->paused = faccessat(a->dot, PAUSED, F_OK, 0) == 0;
	a->again = true;
	a->rewatch = false;
	quiet_forget(a->quiet, now_ms());
	say_watching(a);
	return ERR_OK;
}

/* Events were lost: which directory has which name is not known any more, nor what is being written. */
static void
watch_anew(struct agent *a)
{
	struct tree_watch *anew;
	struct err err;

	a->rewatch = false;
	a->again = true;
	if (a->unsure)
		quiet_forget(a->quiet, now_ms());
	a->unsure = false;
	if (tree_watch_open(a->opts.path, &anew, &err)) {
		log_error(&err, "the folder cannot be watched");
		detach(a);
		return;
	}
	tree_watch_free(a->watch);
	a->watch = anew;
	say_watching(a);
}

/* The folder that is watched is not the one of that path any more. */
static void
lose_root(struct agent *a)
{
	log_event(LOG_WARN, "the folder was moved, replaced or unmounted: waiting for it to come back", LOG_STR("folder", a->opts.path));
	worker_cancel(&a->worker);
	detach(a);
	a->attach_ms = now_ms() + WATCH_TURN_MS;
}

static void
look_for_root(struct agent *a)
{
	struct err err;

	if (now_ms() < a->attach_ms || a->busy)
		return;
	if (attach(a, &err))
		a->attach_ms = now_ms() + WATCH_RETRY_FIRST_MS;
}

static bool
is_writing(void *ctx, const char *path)
{
	const struct agent *a = ctx;

	return a->watch && tree_watch_writing(a->watch, path);
}

/* ---- events of the disk ----------------------------------------------------------------------------------------------------------- */

static void
on_seen(void *ctx, const struct seen *s)
{
	struct agent *a = ctx;
	int64_t now = now_ms();

	switch (s->kind) {
	case SEEN_MADE:
		quiet_made(a->quiet, s->path, now);
		break;
	case SEEN_WRITTEN:
		quiet_written(a->quiet, s->path, now);
		break;
	case SEEN_CLOSED:
		quiet_closed(a->quiet, s->path, now);
		break;
	case SEEN_GONE:
		quiet_gone(a->quiet, s->path, now);
		break;
	case SEEN_MOVED:
		quiet_moved(a->quiet, s->from, s->path, now);
		break;
	case SEEN_OVERFLOW:
		if (!a->rewatch)
			log_event(LOG_WARN, "more changed than the system could tell: looking at everything", LOG_STR("folder", a->opts.path));
		a->rewatch = a->unsure = true;
		break;
	case SEEN_RULES:
		quiet_dirty(a->quiet, now);
		a->rewatch = true;
		break;
	case SEEN_ROOT_GONE:
		a->rewatch = true;
		break;
	case SEEN_CHANGED:
		quiet_dirty(a->quiet, now);
		break;
	}
}

static void
read_disk(struct agent *a)
{
	tree_watch_read(a->watch, on_seen, a);
	if (!a->rewatch)
		return;
	if (tree_watch_is_root(a->watch, a->opts.path))
		watch_anew(a);
	else
		lose_root(a);
}

/* ---- events of the server ------------------------------------------------------------------------------------------------------------ */

static void
read_events(struct agent *a)
{
	bool was = a->heard.online, begun = a->heard.since_us != 0;

	events_look(a->events, &a->heard);
	if (FAULT("watch.trusts_event") && a->heard.has_at && a->last.has_at)
		a->last.at = a->heard.at; /* M39: a message in the place of the pull */
	if (a->heard.online && !was) {
		a->not_before_ms = 0; /* A3 */
		a->attempts = 0;
		log_event(LOG_INFO, begun ? "connected to the server again" : "connected to the server", LOG_STR("folder", a->opts.path));
	} else if (!a->heard.online && (was || !begun) && a->heard.code) {
		log_event(LOG_WARN, "the server cannot be heard; changes here wait", LOG_STR("folder", a->opts.path),
		    LOG_STR("why", a->heard.why));
	}
}

/* Whether the server has said something that no pass has settled (A2). */
static bool
is_news(const struct agent *a)
{
	const struct cursor *at = &a->heard.at, *ours = &a->last.at;

	if (a->heard.news == a->news_done)
		return false;
	if (!a->heard.has_at || !a->last.has_at || !at->has_epoch || !ours->has_epoch || !id_eq(&at->epoch, &ours->epoch))
		return true;
	return at->clock > ours->clock;
}

/* ---- passes ---------------------------------------------------------------------------------------------------------------------------- */

static bool
is_blind(const struct agent *a)
{
	return !a->heard.online || tree_watch_missed(a->watch) > 0;
}

/* When the next pass is due: a time not after now: at once. */
static int64_t
due_ms(struct agent *a, int64_t now)
{
	int64_t due = MIN(a->pass_ms, a->verify_ms), quiet = quiet_wait_ms(a->quiet, now);

	if (a->asked)
		return now;
	if (quiet >= 0)
		due = MIN(due, now + quiet);
	if (a->again || is_news(a))
		due = now;
	return MAX(due, a->not_before_ms);
}

static void
begin_pass(struct agent *a, int64_t now)
{
	if (!tree_watch_is_root(a->watch, a->opts.path)) {
		lose_root(a);
		return;
	}
	if (tree_watch_missed(a->watch) && now >= a->pass_ms) {
		a->unsure = true;
		watch_anew(a); /* perhaps the limit has been raised */
	}
	if (!a->watch)
		return;
	a->verifying = now >= a->verify_ms;
	a->again = a->asked = false;
	a->news_begun = a->heard.news;
	a->busy = true;
	worker_run(&a->worker, quiet_take(a->quiet, now), a->verifying);
}

static void
plan_next(struct agent *a, int64_t now)
{
	a->pass_ms = now + about(is_blind(a) ? WATCH_BLIND_MS : WATCH_PASS_MS);
}

/* Later and later (A3), by lot. */
static void
put_off(struct agent *a, int64_t now)
{
	int64_t bound = a->attempts < 6 ? (int64_t)WATCH_RETRY_FIRST_MS << a->attempts : WATCH_RETRY_MAX_MS;

	a->attempts++;
	a->again = true;
	a->not_before_ms = now + about(bound);
}

/* A trouble is said when it begins, and when it is another one than before. */
static void
trouble(struct agent *a, enum trouble what, const struct err *err)
{
	bool news = a->trouble != what || a->why.code != err->code;

	a->trouble = what;
	a->why = *err;
	if (!news)
		return;
	if (what == TROUBLE_TURN)
		log_event(LOG_INFO, "another dray works on the folder: waiting for it", LOG_STR("folder", a->opts.path));
	else
		log_event(LOG_WARN, what == TROUBLE_OFFLINE ? "the server cannot be reached; trying again" : "a pass failed; trying again",
		    LOG_STR("folder", a->opts.path), LOG_STR("code", err_info(err->code)->code), LOG_STR("why", err->msg),
		    LOG_STR("hint", err_info(err->code)->hint));
}

static void
passed(struct agent *a, const struct agent_done *done, int64_t now)
{
	if (a->trouble != TROUBLE_NONE && a->trouble != TROUBLE_TURN)
		log_event(LOG_INFO, "passes go on", LOG_STR("folder", a->opts.path));
	a->last = *done;
	a->trouble = TROUBLE_NONE;
	a->pass_at = clock_wall_us();
	a->passes++;
	a->news_done = a->news_begun;
	a->not_before_ms = 0;
	if (done->again)
		put_off(a, now);
	else
		a->attempts = 0;
	if (a->verifying)
		a->verify_ms = now + about(WATCH_VERIFY_MS);
	plan_next(a, now);
}

static void
failed(struct agent *a, err_code rc, const struct err *err, int64_t now)
{
	if (rc == ERR_CANCELLED) {
		a->again = true;
	} else if (rc == ERR_ROOT_IN_USE) {
		trouble(a, TROUBLE_TURN, err);
		a->again = true;
		a->not_before_ms = now + WATCH_TURN_MS;
	} else if (rc == ERR_NOT_LINKED && a->watch && tree_watch_is_root(a->watch, a->opts.path)) {
		log_event(LOG_INFO, "the folder is not linked any more: its watch ends", LOG_STR("folder", a->opts.path));
		a->ended = true;
	} else {
		trouble(a, remote_is_away(rc) ? TROUBLE_OFFLINE : TROUBLE_OTHER, err);
		put_off(a, now);
	}
}

static void
read_worker(struct agent *a)
{
	struct agent_done done;
	struct err err;
	err_code rc;
	int64_t now = now_ms();

	if (!worker_result(&a->worker, &done, &rc, &err))
		return;
	a->busy = false;
	if (rc)
		failed(a, rc, &err, now);
	else
		passed(a, &done, now);
}

/* ---- people --------------------------------------------------------------------------------------------------------------------------- */

static void
set_paused(struct agent *a, bool paused)
{
	AUTO(closep) int fd = -1;
	struct err err;

	if (paused == a->paused)
		return;
	a->paused = paused;
	if (paused) {
		worker_cancel(&a->worker);
		if (pathat_open(a->dot, PAUSED, O_WRONLY | O_CREAT, 0600, &fd, &err))
			log_error(&err, "the pause will not outlive this agent");
	} else {
		unlinkat(a->dot, PAUSED, 0);
		a->asked = true;
	}
	log_event(LOG_INFO, paused ? "paused" : "resumed", LOG_STR("folder", a->opts.path));
}

/* What is to be here is not what it was: a pass that runs may be at what nobody wants any more. */
static void
begin_anew(struct agent *a)
{
	worker_cancel(&a->worker);
	a->asked = true;
}

static bool
on_ask(void *ctx, const char *ask, struct sbuf *out)
{
	struct agent *a = ctx;

	if (strcmp(ask, "pause") == 0)
		set_paused(a, true);
	else if (strcmp(ask, "resume") == 0)
		set_paused(a, false);
	else if (strcmp(ask, "sync") == 0)
		a->asked = true;
	else if (strcmp(ask, "anew") == 0)
		begin_anew(a);
	else if (strcmp(ask, "status") != 0)
		return false;
	agent_note(a);
	agent_status(a, out);
	return true;
}

/* ---- the clock ------------------------------------------------------------------------------------------------------------------------- */

/* Fires when somebody sets the clock, which the kernel also does when the machine wakes up. */
static void
arm_clock(struct agent *a)
{
	struct itimerspec never = { .it_value.tv_sec = (time_t)INT32_MAX * 2 };

	(void)timerfd_settime(a->clock, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void
read_clock(struct agent *a)
{
	uint64_t ticks;

	if (read(a->clock, &ticks, sizeof ticks) >= 0 || errno != ECANCELED)
		return;
	arm_clock(a);
	log_event(LOG_INFO, "the clock was set, or the machine has slept: looking at everything", LOG_STR("folder", a->opts.path));
	a->again = true;
	a->not_before_ms = 0;
	events_again(a->events); /* the line may be dead without knowing it */
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------------- */

/* Do what is due.  How long there is nothing to do, unless something happens: -1: for ever. */
static int64_t
act(struct agent *a)
{
	int64_t now = now_ms(), wait = -1, ask;

	if (!a->watch)
		look_for_root(a);
	if (a->watch && !a->busy && !a->paused && due_ms(a, now) <= now)
		begin_pass(a, now);
	if (!a->watch)
		wait = a->busy ? -1 : MAX(a->attach_ms - now, 0);
	else if (!a->busy && !a->paused)
		wait = MAX(due_ms(a, now) - now, 0);
	ask = a->control ? control_wait_ms(a->control, now) : -1;
	agent_note(a);
	return ask >= 0 && (wait < 0 || ask < wait) ? ask : wait;
}

static void
wait_for(struct agent *a, int64_t wait_ms)
{
	struct pollfd fds[3 + CONTROL_POLL_MAX] = { { .fd = a->wake, .events = POLLIN }, { .fd = a->clock, .events = POLLIN },
		{ .fd = a->watch ? tree_watch_fd(a->watch) : -1, .events = POLLIN } };
	size_t n = 3, peers = a->control ? control_poll(a->control, fds + 3) : 0;
	uint64_t count;

	if (poll(fds, n + peers, (int)MIN(wait_ms, INT32_MAX)) <= 0) {
		if (a->control)
			control_serve(a->control, fds, 0, now_ms());
		return;
	}
	if (fds[0].revents)
		(void)!read(a->wake, &count, sizeof count);
	read_events(a);
	read_worker(a);
	if (fds[1].revents)
		read_clock(a);
	if (a->control)
		control_serve(a->control, fds + 3, peers, now_ms());
	if (a->watch && fds[2].revents)
		read_disk(a);
}

static void *
front(void *arg)
{
	struct agent *a = arg;
	uint64_t one = 1;

	while (!a->stop && !a->ended)
		wait_for(a, act(a));
	worker_stop(&a->worker);
	detach(a); /* who asks now is told that nobody is there */
	if (a->ended)
		(void)!write(a->opts.ended, &one, sizeof one);
	return NULL;
}

static void
release(struct agent *a)
{
	worker_stop(&a->worker);
	events_free(a->events);
	detach(a);
	quiet_free(a->quiet);
	closep(&a->wake);
	closep(&a->clock);
	free(a);
}

err_code
agent_start(const struct agent_opts *opts, struct agent **out, struct err *err)
{
	struct agent *a = xcalloc(1, sizeof *a);
	err_code rc = ERR_OK;

	a->opts = *opts;
	a->dot = -1;
	a->quiet = quiet_new(is_writing, a);
	a->pass_ms = a->verify_ms = INT64_MAX / 2;
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->clock = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (a->wake < 0 || a->clock < 0)
		rc = err_errno(err, "watch %s", opts->path);
	if (rc == ERR_OK)
		rc = attach(a, err);
	if (rc == ERR_OK) {
		arm_clock(a);
		a->verify_ms = now_ms() + about(WATCH_VERIFY_MS);
		rc = worker_start(&a->worker, &a->opts, a->wake, err);
	}
	if (rc == ERR_OK)
		rc = events_start(&opts->line, a->wake, &a->events, err);
	if (rc == ERR_OK)
		rc = thread_start("agent", front, a, &a->thread, err);
	if (rc) {
		release(a);
		return rc;
	}
	*out = a;
	return ERR_OK;
}

void
agent_stop(struct agent *a)
{
	uint64_t one = 1;

	a->stop = true;
	worker_cancel(&a->worker);
	(void)!write(a->wake, &one, sizeof one);
}

void
agent_free(struct agent *a)
{
	if (!a)
		return;
	pthread_join(a->thread, NULL);
	release(a);
}

bool
agent_ended(struct agent *a)
{
	return a->ended;
}
