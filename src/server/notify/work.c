/* What workers do (N2): ask the source, and bring the answer back. */
#include "server/notify/notify_internal.h"

struct job *
job_new(struct notify *n, enum job_kind kind)
{
	struct job *j = xcalloc(1, sizeof *j);

	j->n = n;
	j->kind = kind;
	j->page.text = SBUF(4 * MIB);
	return j;
}

void
job_free(struct job *j)
{
	sbuf_fini(&j->page.text);
	for (size_t i = 0; i < j->question_count; i++)
		free(j->questions[i].err);
	free(j->questions);
	free(j);
}

static void
find_place(struct notify *n, struct question *q)
{
	struct err err;

	q->has_place = n->source.place && !n->source.place(n->source.ctx, &q->project, &q->device, &q->place, &err);
}

static void
ask(struct notify *n, struct question *q)
{
	struct err err = { 0 };

	q->code = n->source.open(n->source.ctx, &q->device, q->has_project ? &q->project : NULL, q->has_since ? &q->since : NULL, &q->at,
	    &err);
	if (!q->code)
		return;
	q->err = xmalloc(sizeof *q->err);
	*q->err = err;
}

static void
job_run(void *arg)
{
	struct job *j = arg;
	struct notify *n = j->n;

	if (j->kind == JOB_FILL || j->kind == JOB_READ) {
		if (!n->source.read(n->source.ctx, &j->project, &j->since, j->upto, &j->page, &j->err))
			j->err.code = ERR_OK;
	} else {
		for (size_t i = 0; i < j->question_count; i++) {
			ask(n, &j->questions[i]);
			if (j->kind == JOB_SUBSCRIBE && !j->questions[i].code)
				find_place(n, &j->questions[i]);
		}
	}
	mutex_lock(&n->mu);
	*n->done_end = j;
	n->done_end = &j->next;
	mutex_unlock(&n->mu);
	notify_wake(n);
}

void
job_push(struct job *j)
{
	struct notify *n = j->n;

	n->jobs++;
	workq_push(j->kind == JOB_RECHECK ? n->checker : n->readers, job_run, j);
}

void
job_done(struct job *j)
{
	struct notify *n = j->n;
	struct stream *s;

	n->jobs--;
	switch (j->kind) {
	case JOB_FILL:
		topic_filled(j);
		break;
	case JOB_RECHECK:
		recheck_done(j);
		break;
	case JOB_SUBSCRIBE:
		s = stream_find(n, j->stream);
		if (s)
			subscribe_answered(s, j);
		break;
	case JOB_READ:
		s = stream_find(n, j->stream);
		if (s)
			send_fetched(s, j);
		break;
	}
	job_free(j);
}
