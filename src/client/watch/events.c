#include "client/watch/events.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

struct events {
	struct listener *listener;
	pthread_t thread;
	int wake;
	struct mutex lock;      /* RANK_LEAF; guards what follows */
	struct cond hurry;      /* stop or again was set */
	struct events_seen seen;
	bool stop, again;
	bool greeted;           /* in this run */
};

static void
wake(struct events *ev)
{
	uint64_t one = 1;

	while (write(ev->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static void
set_online(struct events *ev, bool online)
{
	if (ev->seen.online != online || !ev->seen.since_us)
		ev->seen.since_us = clock_wall_us();
	ev->seen.online = online;
}

static void
on_heard(void *ctx, const struct heard *h)
{
	struct events *ev = ctx;

	mutex_lock(&ev->lock);
	ev->greeted |= h->hello;
	set_online(ev, ev->greeted);
	ev->seen.news++;
	ev->seen.has_at = h->has_at;
	ev->seen.at = h->at;
	mutex_unlock(&ev->lock);
	wake(ev);
}

/* The stream has ended: remember why, and wait before it is opened again.  False: never again. */
static bool
pause_after(struct events *ev, const struct err *err, unsigned *attempts)
{
	int64_t until;
	bool stop;

	mutex_lock(&ev->lock);
	*attempts = ev->greeted ? 0 : *attempts + 1;
	ev->greeted = false;
	set_online(ev, false);
	ev->seen.code = err->code;
	snprintf(ev->seen.why, sizeof ev->seen.why, "%.255s", err->msg);
	mutex_unlock(&ev->lock);
	wake(ev);
	until = clock_mono_ms() + listener_pause_ms(*attempts);
	mutex_lock(&ev->lock);
	while (!ev->stop && !ev->again && cond_wait_until(&ev->hurry, &ev->lock, until))
		;
	if (ev->again)
		*attempts = 0;
	ev->again = false;
	stop = ev->stop;
	mutex_unlock(&ev->lock);
	return !stop;
}

static void *
listen_always(void *arg)
{
	struct events *ev = arg;
	unsigned attempts = 0;
	struct err err;

	do
		(void)!listener_run(ev->listener, on_heard, ev, &err);
	while (pause_after(ev, &err, &attempts));
	return NULL;
}

err_code
events_start(const struct remote_opts *line, int wake_fd, struct events **out, struct err *err)
{
	struct events *ev = xcalloc(1, sizeof *ev);
	err_code rc = listener_open(line, &ev->listener, err);

	ev->wake = wake_fd;
	mutex_init(&ev->lock, RANK_LEAF);
	cond_init(&ev->hurry);
	if (rc == ERR_OK)
		rc = thread_start("events", listen_always, ev, &ev->thread, err);
	if (rc) {
		listener_free(ev->listener);
		mutex_fini(&ev->lock);
		cond_fini(&ev->hurry);
		free(ev);
		return rc;
	}
	*out = ev;
	return ERR_OK;
}

void
events_free(struct events *ev)
{
	if (!ev)
		return;
	mutex_lock(&ev->lock);
	ev->stop = true;
	cond_signal(&ev->hurry);
	mutex_unlock(&ev->lock);
	listener_stop(ev->listener);
	pthread_join(ev->thread, NULL);
	listener_free(ev->listener);
	mutex_fini(&ev->lock);
	cond_fini(&ev->hurry);
	free(ev);
}

void
events_look(struct events *ev, struct events_seen *out)
{
	mutex_lock(&ev->lock);
	*out = ev->seen;
	mutex_unlock(&ev->lock);
}

void
events_again(struct events *ev)
{
	mutex_lock(&ev->lock);
	ev->again = true;
	cond_signal(&ev->hurry);
	mutex_unlock(&ev->lock);
	listener_drop(ev->listener);
}
