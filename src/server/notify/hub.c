/*
 * The hub: its loop, and what others leave for it (N3).
 *
 * A turn: take what was left, run the sockets' events, run what is due.  Everything that is due is looked for once a tick by walking over all
 * streams: at 10,000 of them that is some tens of microseconds, and needs no order among deadlines.
 */
#include "server/notify/notify_internal.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define READERS 2
#define EVENTS 256
#define TICK_MS 500
#define STOP_MS 3000 /* for all goodbyes together */

/** A connection that waits for the loop. */
struct arrival {
	struct arrival *next;
	struct notify_conn conn;
};

void
notify_wake(struct notify *n)
{
	const uint64_t one = 1;

	(void)!write(n->wake_fd, &one, sizeof one); /* fails only when a wake is pending anyway */
}

/* ---- what others call ------------------------------------------------------------------------------------------------- */

bool
watch_list(struct notify *n, struct watch *w)
{
	bool wake = !w->listed && !n->changed;

	if (w->listed)
		return false;
	w->listed = true;
	w->next = n->changed;
	n->changed = w;
	return wake;
}

void
notify_changed(struct notify *n, const struct id *project, int64_t clock)
{
	struct watch *w;
	bool wake = false;

	mutex_lock(&n->mu);
	w = map_get(n->watches, project, sizeof *project);
	if (w && clock > w->clock) {
		w->clock = clock;
		wake = watch_list(n, w);
	}
	mutex_unlock(&n->mu);
	if (wake)
		notify_wake(n);
}

void
notify_missed(struct notify *n)
{
	mutex_lock(&n->mu);
	n->missed = true;
	mutex_unlock(&n->mu);
	notify_wake(n);
}

/* With ${mu}. */
static err_code
count_stream(struct notify *n, const struct id *device, struct err *err)
{
	unsigned *count = map_get(n->devices, device, sizeof *device);

	if (count && *count >= EVENTS_PER_DEVICE_MAX)
		return err_set(err, ERR_TOO_MANY_REQUESTS, "this device has %d event streams open", EVENTS_PER_DEVICE_MAX);
	if (n->entered >= n->streams_max)
		return err_set(err, ERR_UNAVAILABLE, "%u event streams are open", n->streams_max);
	if (!count) {
		count = xcalloc(1, sizeof *count);
		map_put(n->devices, device, sizeof *device, count);
	}
	++*count;
	n->entered++;
	return ERR_OK;
}

err_code
notify_enter(struct notify *n, const struct id *device, struct err *err)
{
	err_code rc;

	mutex_lock(&n->mu);
	rc = count_stream(n, device, err);
	mutex_unlock(&n->mu);
	return rc;
}

void
notify_leave(struct notify *n, const struct id *device)
{
	unsigned *count;

	mutex_lock(&n->mu);
	count = map_get(n->devices, device, sizeof *device);
	n->entered--;
	if (--*count == 0)
		map_remove(n->devices, device, sizeof *device);
	else
		count = NULL;
	mutex_unlock(&n->mu);
	free(count);
}

static void *
copy(const void *p, size_t len)
{
	void *out = xmalloc(len + 1);

	if (len > 0)
		memcpy(out, p, len);
	return out;
}

static void
arrival_free(struct arrival *a)
{
	free((void *)(uintptr_t)a->conn.head);
	free((void *)(uintptr_t)a->conn.rest);
	free((void *)(uintptr_t)a->conn.asks);
	free(a);
}

static void
turn_away(struct notify *n, struct arrival *a)
{
	notify_leave(n, &a->conn.device);
	a->conn.release(a->conn.release_ctx);
	arrival_free(a);
}

void
notify_add(struct notify *n, const struct notify_conn *conn)
{
	struct arrival *a = xcalloc(1, sizeof *a);
	bool closed;

	a->conn = *conn;
	a->conn.head = copy(conn->head, conn->head_len);
	a->conn.rest = copy(conn->rest, conn->rest_len);
	a->conn.asks = copy(conn->asks, conn->ask_count * sizeof *conn->asks);
	mutex_lock(&n->mu);
	closed = n->closed;
	if (!closed) {
		a->next = n->arrivals;
		n->arrivals = a;
	}
	mutex_unlock(&n->mu);
	if (closed)
		turn_away(n, a);
	else
		notify_wake(n);
}

/* ---- the loop --------------------------------------------------------------------------------------------------------- */

struct left {
	struct arrival *arrivals;
	struct job *done;
	bool stopping, missed;
};

static struct left
take_left(struct notify *n)
{
	struct left left;

	mutex_lock(&n->mu);
	left = (struct left){ n->arrivals, n->done, n->stopping, n->missed };
	n->missed = false;
	n->arrivals = NULL;
	n->done = NULL;
	n->done_end = &n->done;
	mutex_unlock(&n->mu);
	return left;
}

/* One project that has changed; false when there is none. */
static bool
take_changed(struct notify *n, struct id *project, int64_t *clock, struct map **notes)
{
	struct watch *w;

	mutex_lock(&n->mu);
	w = n->changed;
	if (w) {
		n->changed = w->next;
		w->listed = false;
		*project = w->project;
		*clock = w->clock;
		*notes = TAKE(w->notes);
	}
	mutex_unlock(&n->mu);
	return w;
}

static void
run_arrivals(struct notify *n, struct arrival *a, bool stopping)
{
	for (struct arrival *next; a; a = next) {
		next = a->next;
		if (stopping) {
			turn_away(n, a);
			continue;
		}
		stream_open(n, &a->conn);
		arrival_free(a);
	}
}

static void
run_changed(struct notify *n)
{
	struct map *notes;
	struct id project;
	int64_t clock;

	while (take_changed(n, &project, &clock, &notes)) {
		struct topic *t = topic_find(n, &project);

		if (t) {
			topic_moved(t, clock);
			live_take(t, notes);
		}
		live_notes_free(notes);
	}
}

static void
each_stream(struct notify *n, void (*fn)(struct stream *s))
{
	for (struct stream *next, *s = n->streams; s; s = next) {
		next = s->next;
		fn(s);
	}
}

static void
say_goodbye(struct stream *s)
{
	stream_close(s, WS_GOING_AWAY, "the server stops");
}

static void
tick(struct notify *n)
{
	n->tick_at_ms = n->now_ms + MIN(TICK_MS, MIN(n->heartbeat_ms, n->close_ms) / 4 + 1);
	each_stream(n, stream_tick);
	topics_tick(n);
	if (n->now_ms >= n->recheck_at_ms && !n->rechecking && n->streams)
		recheck_start(n);
}

/* Returns whether the loop is over: all have gone, or have had their time, and no worker has anything of ours. */
static bool
run_stop(struct notify *n)
{
	if (n->stop_by_ms == 0) {
		n->stop_by_ms = n->now_ms + STOP_MS;
		each_stream(n, say_goodbye);
	}
	if (n->now_ms >= n->stop_by_ms)
		each_stream(n, stream_drop);
	return !n->streams && n->jobs == 0;
}

static void
free_dead(struct notify *n)
{
	for (struct stream *s; (s = n->dead);) {
		n->dead = s->next;
		free(s);
	}
}

static void
run_left(struct notify *n)
{
	struct left left = take_left(n);

	run_arrivals(n, left.arrivals, left.stopping);
	for (struct job *next, *j = left.done; j; j = next) {
		next = j->next;
		job_done(j);
	}
	run_changed(n);
	n->recheck_due |= left.missed; /* not the one that runs: it may have looked before */
	if (n->recheck_due && !n->rechecking && n->streams)
		recheck_start(n);
}

static bool
is_stopping(struct notify *n)
{
	bool stopping;

	mutex_lock(&n->mu);
	stopping = n->stopping;
	mutex_unlock(&n->mu);
	return stopping;
}

static void
run_event(struct notify *n, const struct epoll_event *ev)
{
	uint64_t count;

	if (ev->data.ptr == n)
		(void)!read(n->wake_fd, &count, sizeof count);
	else
		stream_event(ev->data.ptr, ev->events);
}

static void *
loop(void *arg)
{
	struct notify *n = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		int count = epoll_wait(n->epoll_fd, events, EVENTS, (int)MAX(MIN(n->tick_at_ms, n->live_at_ms) - clock_mono_ms(), 0));

		n->now_ms = clock_mono_ms();
		for (int i = 0; i < count; i++)
			run_event(n, &events[i]);
		run_left(n);
		if (n->now_ms >= n->tick_at_ms)
			tick(n);
		if (is_stopping(n) && run_stop(n))
			break;
		topics_turn(n);
		free_dead(n);
		topic_tidy(n);
	}
	free_dead(n);
	topic_tidy(n);
	return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------------------------------- */

static struct notify *
notify_new(const struct notify_opts *opts)
{
	struct notify *n = xcalloc(1, sizeof *n);

	n->source = opts->source;
	n->heartbeat_ms = opts->heartbeat_ms ? opts->heartbeat_ms : EVENTS_HEARTBEAT_MS;
	n->pong_ms = opts->pong_ms ? opts->pong_ms : EVENTS_PONG_MS;
	n->recheck_ms = opts->recheck_ms ? opts->recheck_ms : EVENTS_RECHECK_MS;
	n->close_ms = opts->close_ms ? opts->close_ms : EVENTS_CLOSE_MS;
	n->ring_max = opts->ring_max ? opts->ring_max : EVENTS_RING_MAX;
	n->lag_ms = opts->lag_ms ? opts->lag_ms : EVENTS_LAG_MS;
	n->silence_ms = opts->silence_ms ? opts->silence_ms : PROGRESS_SILENCE_MS;
	n->live_at_ms = INT64_MAX;
	n->streams_max = opts->streams_max ? opts->streams_max : EVENTS_STREAMS_MAX;
	n->epoll_fd = n->wake_fd = -1;
	n->done_end = &n->done;
	n->watches = map_new();
	n->devices = map_new();
	n->present = map_new();
	n->topics = map_new();
	n->serials = map_new();
	mutex_init(&n->mu, RANK_LEAF);
	return n;
}

err_code
notify_open(const struct notify_opts *opts, struct notify **out, struct err *err)
{
	struct notify *n = notify_new(opts);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = n };
	err_code rc;

	*out = NULL;
	n->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->epoll_fd < 0 || n->wake_fd < 0 || epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, n->wake_fd, &ev)) {
		rc = err_errno(err, "cannot set up the event hub");
		notify_free(n);
		return rc;
	}
	n->readers = workq_new("events", READERS, 0);
	n->checker = workq_new("events-check", 1, 0);
	rc = thread_start("events-loop", loop, n, &n->thread, err);
	n->running = !rc;
	if (rc)
		notify_free(n);
	else
		*out = n;
	return rc;
}

void
notify_stop(struct notify *n)
{
	if (!n || !n->running)
		return;
	mutex_lock(&n->mu);
	n->stopping = true;
	mutex_unlock(&n->mu);
	notify_wake(n);
	pthread_join(n->thread, NULL);
	n->running = false;
	mutex_lock(&n->mu);
	n->closed = true;
	mutex_unlock(&n->mu);
	run_arrivals(n, take_left(n).arrivals, true); /* who came while the loop ended */
}

void
notify_free(struct notify *n)
{
	if (!n)
		return;
	notify_stop(n);
	if (n->readers)
		workq_free(n->readers);
	if (n->checker)
		workq_free(n->checker);
	closep(&n->wake_fd);
	closep(&n->epoll_fd);
	map_free(n->watches);
	map_free(n->devices);
	map_free(n->present);
	map_free(n->topics);
	map_free(n->serials);
	mutex_fini(&n->mu);
	free(n);
}
