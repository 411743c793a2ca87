#include "base/clock.h"
#include "base/thread.h"
#include "client/tell.h"

#define EVERY_MS 1000

struct tell {
	struct remote *remote;
	struct transfer_progress *progress;
	const char *path;
	struct id id;           /* of this download */
	pthread_t thread;
	struct mutex mu;        /* RANK_LEAF; guards ${stop} */
	struct cond wake;
	bool stop;
	bool told, deaf;        /* something was said; nobody understands it */
};

/* The thread's, and after its end tell_stop's. */
static void
say(struct tell *t, enum wire_progress_state state)
{
	struct transfer_counts c;
	struct wire_progress p = { .transfer = t->id, .path = t->path ? t->path : "", .state = state };
	struct err err;
	err_code rc;

	transfer_progress_read(t->progress, &c);
	p.done = (int64_t)MIN(c.bytes_done, c.bytes_total);
	p.total = (int64_t)c.bytes_total;
	rc = remote_progress(t->remote, &p, 1, &err);
	t->told |= rc == ERR_OK;
	t->deaf = rc == ERR_NOT_FOUND || rc == ERR_METHOD_NOT_ALLOWED; /* a server from before this call */
}

static void *
teller(void *arg)
{
	struct tell *t = arg;
	int64_t next = clock_mono_ms() + EVERY_MS;

	mutex_lock(&t->mu);
	while (!t->stop && !t->deaf) {
		if (cond_wait_until(&t->wake, &t->mu, next))
			continue;
		mutex_unlock(&t->mu);
		say(t, WIRE_RUNNING);
		next = clock_mono_ms() + EVERY_MS;
		mutex_lock(&t->mu);
	}
	mutex_unlock(&t->mu);
	return NULL;
}

static void
release(struct tell *t)
{
	mutex_fini(&t->mu);
	cond_fini(&t->wake);
	free(t);
}

struct tell *
tell_start(struct remote *remote, struct transfer_progress *progress, const char *path)
{
	struct tell *t = xcalloc(1, sizeof *t);
	struct err err;

	t->remote = remote;
	t->progress = progress;
	t->path = path;
	t->id = id_new();
	mutex_init(&t->mu, RANK_LEAF);
	cond_init(&t->wake);
	if (thread_start("tell", teller, t, &t->thread, &err) == ERR_OK)
		return t;
	release(t); /* not worth an error */
	return NULL;
}

void
tell_stop(struct tell *t, bool done)
{
	if (!t)
		return;
	mutex_lock(&t->mu);
	t->stop = true;
	cond_signal(&t->wake);
	mutex_unlock(&t->mu);
	pthread_join(t->thread, NULL);
	if (t->told && !t->deaf)
		say(t, done ? WIRE_DONE : WIRE_GONE);
	release(t);
}
