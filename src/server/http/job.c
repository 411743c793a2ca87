/*
 * What workers do.  A job calls the service, and when an answer is set sends as much of it as the socket takes at once; for most
 * requests that is all of it, so a request costs one hand-over to a worker and one back.
 */
#include "server/http/http_internal.h"

/* The request is over: the service forgets it, and what could block is released here and not on the loop. */
static enum outcome
over(struct http_request *rq, enum outcome out)
{
	const struct http_service *sv = &rq->server->service;

	rq->outcome = out;
	request_log(rq);
	if (sv->done)
		sv->done(sv->ctx, rq);
	answer_fini(&rq->answer);
	answer_init(&rq->answer);
	return out;
}

static enum outcome
send_on(struct http_request *rq)
{
	enum outcome out = answer_send(rq);

	return out == OUT_SENT || out == OUT_LOST ? over(rq, out) : out;
}

static void
set_failure(struct http_request *rq, const struct err *err)
{
	const struct http_service *sv = &rq->server->service;

	if (err->code == ERR_METHOD_NOT_ALLOWED && !rq->understood)
		http_add_header(rq, "Allow", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS");
	if (sv->fail)
		sv->fail(sv->ctx, rq, err);
	if (!http_answered(rq))
		answer_problem(rq, err);
}

/* The head goes with the connection; done() is called before it, so that the request's arena is not needed any more. */
static enum outcome
give_away(struct http_request *rq)
{
	struct answer *a = &rq->answer;

	answer_start(rq);
	rq->take = a->take;
	a->take.fn = NULL;
	rq->take_head_len = a->head.len;
	rq->take_head = sbuf_take(&a->head);
	return over(rq, OUT_TAKEN);
}

static enum outcome
reply(struct http_request *rq)
{
	struct err err;

	if (!http_answered(rq)) {
		(void)!err_set(&err, ERR_INTERNAL, "the service set no answer");
		set_failure(rq, &err);
	} else if (rq->answer.fields.failed) {
		(void)!err_set(&err, ERR_INTERNAL, "the answer's header fields pass their ceiling");
		sbuf_reset(&rq->answer.fields);
		set_failure(rq, &err);
	}
	if (rq->answer.kind == ANSWER_TAKE)
		return give_away(rq);
	answer_start(rq);
	return send_on(rq);
}

static enum outcome
run_end(struct http_request *rq)
{
	const struct http_service *sv = &rq->server->service;

	sv->end(sv->ctx, rq);
	return reply(rq);
}

static enum outcome
run_head(struct http_request *rq)
{
	const struct http_service *sv = &rq->server->service;

	rq->next = sv->head(sv->ctx, rq);
	switch (rq->next) {
	case HTTP_ANSWERED:
		return reply(rq);
	case HTTP_LATER:
		return OUT_LATER;
	case HTTP_WHOLE:
	case HTTP_STREAM:
		break;
	}
	return rq->has_body ? OUT_BODY : run_end(rq);
}

static enum outcome
run_piece(struct http_request *rq)
{
	const struct http_service *sv = &rq->server->service;
	bool last = !rq->body_unread;
	struct err err = { .code = ERR_INTERNAL };

	if (rq->piece->len > 0 && sv->body(sv->ctx, rq, rq->piece->data, rq->piece->len, &err)) {
		if (!http_answered(rq))
			set_failure(rq, &err);
		return reply(rq);
	}
	return last ? run_end(rq) : OUT_MORE;
}

static enum outcome
run_fail(struct http_request *rq)
{
	set_failure(rq, &rq->err);
	return reply(rq);
}

static enum outcome
run(struct http_request *rq)
{
	switch (rq->job) {
	case JOB_HEAD:
		return run_head(rq);
	case JOB_PIECE:
		return run_piece(rq);
	case JOB_END:
		return run_end(rq);
	case JOB_FAIL:
		return run_fail(rq);
	case JOB_SEND:
		return send_on(rq);
	case JOB_ABANDON:
		return over(rq, OUT_LOST);
	}
	abort(); /* no such job */
}

void
job_run(void *arg)
{
	struct http_request *rq = arg;
	enum outcome out = run(rq);

	if (out == OUT_TURN) {
		rq->job = JOB_SEND;
		workq_push(rq->server->workers, job_run, rq);
		return;
	}
	rq->outcome = out;
	/* An idle connection needs nothing from the loop until its next bytes, which wake it anyway. */
	loop_hand_back(rq->conn, !(out == OUT_SENT && rq->keep && !rq->more_input));
}
