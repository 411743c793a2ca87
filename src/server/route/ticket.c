/*
 * All tickets lie in one array and are looked at one after the other: at most a few hundred KB, once for each window that somebody opens.
 * A place is free when its time is over, so nothing has to be done as time goes by.
 */
#include "server/route/ticket.h"

#include "base/fault.h"
#include "base/limits.h"
#include "base/rng.h"
#include "base/thread.h"

struct place {
	struct ticket ticket;
	struct hash hash;
	int64_t until_ms; /* 0: used, or never given */
};

struct tickets {
	struct mutex mu; /* RANK_LEAF; guards all below */
	struct place places[EVENTS_TICKETS_MAX];
};

struct tickets *
tickets_new(void)
{
	struct tickets *ts = xcalloc(1, sizeof *ts);

	mutex_init(&ts->mu, RANK_LEAF);
	return ts;
}

void
tickets_free(struct tickets *ts)
{
	if (ts == NULL)
		return;
	mutex_fini(&ts->mu);
	free(ts);
}

/* With the lock: one that is free, and how many the device has. */
static struct place *
find_room(struct tickets *ts, const struct id *device, int64_t now_ms, unsigned *has)
{
	struct place *room = NULL;

	*has = 0;
	for (size_t i = 0; i < ARRAY_LEN(ts->places); i++) {
		struct place *p = &ts->places[i];

		if (p->until_ms <= now_ms)
			room = room ? room : p;
		else
			*has += id_eq(&p->ticket.device, device);
	}
	return room;
}

static err_code
put(struct tickets *ts, const struct place *new, int64_t now_ms, struct err *err)
{
	unsigned has;
	struct place *room = find_room(ts, &new->ticket.device, now_ms, &has);

	if (has >= EVENTS_TICKETS_PER_DEVICE_MAX)
		return err_set(err, ERR_TOO_MANY_REQUESTS, "this device has %u tickets that it has not used", has);
	if (room == NULL)
		return err_set(err, ERR_UNAVAILABLE, "%d tickets are not used yet", EVENTS_TICKETS_MAX);
	*room = *new;
	return ERR_OK;
}

err_code
ticket_give(struct tickets *ts, const struct ticket *t, int64_t now_ms, char out[static TICKET_LEN + 1], struct err *err)
{
	struct place new = { .ticket = *t, .until_ms = now_ms + EVENTS_TICKET_MS };
	uint8_t secret[TICKET_LEN / 2];
	err_code rc;

	rng_bytes(secret, sizeof secret);
	hex_encode(secret, sizeof secret, out);
	new.hash = hash_of(out, TICKET_LEN);
	mutex_lock(&ts->mu);
	rc = put(ts, &new, now_ms, err);
	mutex_unlock(&ts->mu);
	return rc;
}

/* With the lock.  Hashes are compared, so how long that takes says nothing of a ticket. */
static bool
use(struct tickets *ts, const struct hash *hash, int64_t now_ms, struct ticket *out)
{
	for (size_t i = 0; i < ARRAY_LEN(ts->places); i++) {
		struct place *p = &ts->places[i];

		if ((p->until_ms <= now_ms && !FAULT("ticket.lives_on")) || !hash_eq(&p->hash, hash))
			continue;
		*out = p->ticket;
		if (!FAULT("ticket.used_twice"))
			p->until_ms = 0;
		return true;
	}
	return false;
}

err_code
ticket_take(struct tickets *ts, const char *s, size_t len, int64_t now_ms, struct ticket *out, struct err *err)
{
	const struct hash hash = hash_of(s, len);
	bool good;

	mutex_lock(&ts->mu);
	good = use(ts, &hash, now_ms, out);
	mutex_unlock(&ts->mu);
	return good ? ERR_OK : err_set(err, ERR_TICKET_INVALID, "there is no such ticket, or not any more");
}
