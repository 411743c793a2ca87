/*
 * The event loop: one thread, edge-triggered epoll, each descriptor registered once.
 *
 * Waking is what a small request costs most.  A worker that has sent a whole answer and left nothing to do hands its request
 * back without waking the loop; the loop finds it on the list when it wakes for any other reason, and the next bytes of that
 * connection are such a reason.  Should they arrive before the worker is done, the loop marks the connection eager and the
 * worker wakes it.  A turn at least every LOOP_TURN_MS starts idle deadlines that nobody was woken for.
 */
#include "server/http/http_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

#define EVENTS_MAX 256
#define LOOP_TURN_MS 1000

void
loop_wake(struct http_server *s)
{
	const uint64_t one = 1;

	(void)!write(s->wake_fd, &one, sizeof one); /* fails only when a wake is pending anyway */
}

void
loop_hand_back(struct conn *c, bool eager)
{
	struct http_server *s = c->server;
	bool wake;

	mutex_lock(&s->mu);
	c->back = true;
	c->back_next = NULL;
	if (s->back_last)
		s->back_last->back_next = c;
	else
		s->back_first = c;
	s->back_last = c;
	wake = s->sleeping && (eager || c->eager);
	if (wake)
		s->sleeping = false;
	mutex_unlock(&s->mu); /* from here on, ${c} may be gone */
	if (wake)
		loop_wake(s);
}

/* The connections that came back, as a list that is ours. */
static struct conn *
take_back(struct http_server *s)
{
	struct conn *first;

	mutex_lock(&s->mu);
	s->sleeping = false;
	first = s->back_first;
	s->back_first = s->back_last = NULL;
	for (struct conn *c = first; c; c = c->back_next)
		c->back = c->eager = false;
	mutex_unlock(&s->mu);
	return first;
}

static void
run_back(struct http_server *s)
{
	for (struct conn *next, *c = take_back(s); c; c = next) {
		next = c->back_next;
		conn_back(c);
	}
}

/* How long to sleep; announces the sleep to the workers unless something has come back already. */
static int
sleep_ms(struct http_server *s, int64_t next)
{
	int64_t ms = s->busy_count > 0 || s->conn_count > 0 ? LOOP_TURN_MS : INT64_C(60000);

	ms = MIN(ms, MAX(next - s->now_ms, 0));
	mutex_lock(&s->mu);
	if (s->back_first)
		ms = 0;
	s->sleeping = ms > 0;
	mutex_unlock(&s->mu);
	return (int)ms;
}

static void
run_event(struct http_server *s, const struct epoll_event *ev)
{
	uint64_t count;

	if (ev->data.ptr == &s->wake_fd)
		(void)!read(s->wake_fd, &count, sizeof count);
	else if (ev->data.ptr == &s->listen_fd) {
		if (s->listen_fd >= 0)
			listen_accept(s);
	} else
		conn_event(ev->data.ptr, ev->events);
}

static void
free_dead(struct http_server *s)
{
	while (s->dead) {
		struct conn *c = s->dead;

		s->dead = c->next;
		free(c);
	}
}

static void
each_conn(struct http_server *s, void (*fn)(struct conn *))
{
	for (struct conn *next, *c = s->conns; c; c = next) {
		next = c->next;
		fn(c);
	}
}

/* Stopping: no more connections; then wait for those that work; past the grace, cut them.  Returns when to look again. */
static int64_t
run_stop(struct http_server *s)
{
	int64_t cut_at_ms;

	mutex_lock(&s->mu);
	cut_at_ms = s->cut_at_ms;
	mutex_unlock(&s->mu);
	if (s->listen_fd >= 0)
		listen_close(s);
	each_conn(s, conn_stop);
	if (s->now_ms < cut_at_ms)
		return cut_at_ms;
	each_conn(s, conn_cut);
	return INT64_MAX;
}

void *
loop_run(void *arg)
{
	struct http_server *s = arg;
	struct epoll_event events[EVENTS_MAX];
	int64_t next;
	int n;

	for (;;) {
		s->now_ms = clock_mono_ms();
		run_back(s);
		wait_expire(s);
		next = wait_next(s);
		if (atomic_load(&s->stopping))
			next = MIN(next, run_stop(s));
		free_dead(s);
		if (s->conn_count == 0 && atomic_load(&s->stopping))
			return NULL;
		if (s->accept_again_ms && s->now_ms >= s->accept_again_ms)
			listen_rearm(s);
		if (s->accept_again_ms)
			next = MIN(next, s->accept_again_ms);
		n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, sleep_ms(s, next));
		s->now_ms = clock_mono_ms();
		run_back(s);
		for (int i = 0; i < n; i++)
			run_event(s, &events[i]);
	}
}
