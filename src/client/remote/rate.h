#pragma once
/**
 * A rate that all requests of a process share: a token bucket of a tenth of a second, first come, first served.  It knows no clock
 * and does not sleep, so it can be tested without either.
 */

#include "base/base.h"

struct rate;

struct rate *rate_new(uint64_t bytes_per_s);
void rate_free(struct rate *r);

/**
 * rate_take(r, bytes, now_us): let ${bytes} pass; returns when they may (now_us or later).  Whoever asks later is let through later.
 * Threads    any.
 */
int64_t rate_take(struct rate *r, size_t bytes, int64_t now_us);

/** rate_piece(r): how much to ask for at once, so that the stream is smooth: a twentieth of a second's worth, within bounds. */
size_t rate_piece(const struct rate *r);
