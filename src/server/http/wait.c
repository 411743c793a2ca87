/*
 * Deadlines.  Every wait of one kind lasts equally long, so a list that is only appended to stays in order of deadline: entering,
 * leaving and finding the next one cost nothing, however many connections there are.
 */
#include "server/http/http_internal.h"

void
wait_stop(struct conn *c)
{
	struct wait_list *l = c->list;

	if (!l)
		return;
	if (c->wait_prev)
		c->wait_prev->wait_next = c->wait_next;
	else
		l->first = c->wait_next;
	if (c->wait_next)
		c->wait_next->wait_prev = c->wait_prev;
	else
		l->last = c->wait_prev;
	c->list = NULL;
	c->wait_prev = c->wait_next = NULL;
}

void
wait_for(struct conn *c, struct wait_list *l)
{
	wait_stop(c);
	c->deadline = c->server->now_ms + l->span_ms;
	c->list = l;
	c->wait_prev = l->last;
	if (l->last)
		l->last->wait_next = c;
	else
		l->first = c;
	l->last = c;
}

int64_t
wait_next(const struct http_server *s)
{
	const struct wait_list *lists[] = { &s->idle, &s->head, &s->body, &s->later, &s->write, &s->drain };
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (lists[i]->first)
			next = MIN(next, lists[i]->first->deadline);
	return next;
}

void
wait_expire(struct http_server *s)
{
	struct wait_list *lists[] = { &s->idle, &s->head, &s->body, &s->later, &s->write, &s->drain };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		while (lists[i]->first && lists[i]->first->deadline <= s->now_ms) {
			struct conn *c = lists[i]->first;

			wait_stop(c);
			conn_expired(c);
		}
}
