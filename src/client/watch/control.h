#pragma once
/**
 * The agent's socket, .dray/agent.sock: one line of JSON asks, {"ask": "status"}, one line answers.  Only who may enter .dray, which is the
 * user, can ask.  Who sends rubbish is told so and cut off; who does not read, or says nothing, is cut off without being waited for.
 *
 * Threads    control_ask any, all else the agent's.
 */

#include <poll.h>

#include "base/sbuf.h"

struct control;

#define CONTROL_POLL_MAX 17 /* descriptors: the socket and CONTROL_CLIENTS_MAX peers */

/**
 * control_open(dot, answer, ctx, out, err): listen in the .dray directory ${dot} (borrowed).  ${answer} gets the word that was asked and adds
 * a JSON value to ${out}; false: there is no such word.
 * Errors     ROOT_IN_USE: another agent is there; IO.
 */
err_code control_open(int dot, bool (*answer)(void *ctx, const char *ask, struct sbuf *out), void *ctx, struct control **out,
    struct err *err);
/** control_free(c): ends all, and removes the socket. */
void control_free(struct control *c);

/** control_poll(c, fds): what to wait for; how many of at most CONTROL_POLL_MAX were filled in. */
size_t control_poll(const struct control *c, struct pollfd *fds);

/** control_serve(c, fds, n, now): what poll has found, and those whose time is over. */
void control_serve(struct control *c, const struct pollfd *fds, size_t n, int64_t now_ms);

/** control_wait_ms(c, now): until somebody's time is over; -1: nobody is there. */
int64_t control_wait_ms(const struct control *c, int64_t now_ms);

/**
 * control_ask(folder, ask, answer, err): ask the agent of the linked folder at ${folder}; its line, without the end of line.
 * Errors     NOT_FOUND: no agent runs there; NETWORK: it does not answer within seconds; IO.
 */
err_code control_ask(const char *folder, const char *ask, struct sbuf *answer, struct err *err);
