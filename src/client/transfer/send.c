/*
 * Senders: take sealed parcels and send them, as many at a time as the server takes from one device.
 */
#include <assert.h>

#include "base/fault.h"
#include "client/transfer/push_internal.h"

#define LATE_MAX 64 /* what a run can have had on its way is a quarter of that */

/* ---- parcels ------------------------------------------------------------------------------------------------------------------ */

struct parcel *
parcel_take(struct push *p)
{
	unsigned max = p->packers + p->parallel + 2; /* those being filled, those being sent, and two so that nobody waits */
	struct parcel *parcel = NULL;

	mutex_lock(&p->mu);
	while (!p->stop && !(parcel = p->free_parcels) && p->parcels >= max)
		cond_wait(&p->can_pack, &p->mu);
	if (parcel)
		p->free_parcels = parcel->next;
	else if (!p->stop)
		p->parcels++;
	if (p->stop && !parcel) {
		mutex_unlock(&p->mu);
		return NULL;
	}
	mutex_unlock(&p->mu);
	if (!parcel) {
		parcel = xcalloc(1, sizeof *parcel);
		parcel->builder = chunk_builder_new();
	}
	return parcel;
}

void
parcel_free(struct parcel *parcel)
{
	chunk_builder_free(parcel->builder);
	free(parcel->shares);
	free(parcel);
}

void
parcel_send(struct push *p, struct parcel *parcel)
{
	parcel->next = NULL;
	mutex_lock(&p->mu);
	*p->sealed_tail = parcel;
	p->sealed_tail = &parcel->next;
	cond_signal(&p->can_send);
	mutex_unlock(&p->mu);
}

void
parcel_settle(struct push *p, struct parcel *parcel, const struct err *why)
{
	for (size_t i = 0; i < parcel->share_count; i++) {
		struct item *it = parcel->shares[i].item;

		if (why) {
			mutex_lock(&p->mu); /* several parcels of one item may fail at once */
			item_fail(it, why);
			mutex_unlock(&p->mu);
		}
		item_settle(p, it, 1);
	}
	chunk_builder_reset(parcel->builder);
	parcel->share_count = 0;
	parcel->raw_len = 0;
	mutex_lock(&p->mu);
	parcel->next = p->free_parcels;
	p->free_parcels = parcel;
	cond_broadcast(&p->can_pack);
	mutex_unlock(&p->mu);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

/* The transfer of all small files, made when the first of them is sent; anew when the server has ended ${gone}. */
static err_code
shared_transfer(struct push *p, const struct id *gone, struct id *out, struct err *err)
{
	err_code rc = ERR_OK;

	mutex_lock(&p->transfer_mu);
	if (!p->has_transfer || (gone && id_eq(gone, &p->transfer))) {
		rc = remote_transfer_create(p->env->remote, "", 0, &p->transfer, err);
		p->has_transfer = rc == ERR_OK;
	}
	*out = p->transfer;
	mutex_unlock(&p->transfer_mu);
	return rc;
}

static err_code
send_shared(struct push *p, struct parcel *parcel, const uint8_t *bytes, size_t len, struct err *err)
{
	struct id transfer;
	err_code rc = shared_transfer(p, NULL, &transfer, err);

	if (rc)
		return rc;
	rc = remote_chunk_put(p->env->remote, &transfer, parcel->n, bytes, len, err);
	if (rc != ERR_TRANSFER_GONE && rc != ERR_NOT_FOUND)
		return rc;
	rc = shared_transfer(p, &transfer, &transfer, err); /* a push of days outlives a transfer */
	return rc ? rc : remote_chunk_put(p->env->remote, &transfer, parcel->n, bytes, len, err);
}

/* R1: by another number, where something of an earlier run has come to this one meanwhile. */
static err_code
send_own(struct push *p, struct parcel *parcel, const uint8_t *bytes, size_t len, struct err *err)
{
	struct item *it = parcel->shares[0].item;
	err_code rc = remote_chunk_put(p->env->remote, &parcel->transfer, parcel->n, bytes, len, err);

	for (unsigned tries = 0; rc == ERR_CHUNK_CONFLICT && tries < LATE_MAX && !FAULT("client.keeps_its_number"); tries++) {
		parcel->n = it->next_n++;
		rc = remote_chunk_put(p->env->remote, &parcel->transfer, parcel->n, bytes, len, err);
	}
	return upload_over(rc, err);
}

static void
send_one(struct push *p, struct parcel *parcel)
{
	struct hash id;
	struct err err;
	size_t len;
	const uint8_t *bytes = chunk_builder_finish(parcel->builder, &id, &len);
	err_code rc;

	if (parcel->own_transfer)
		rc = send_own(p, parcel, bytes, len, &err);
	else
		rc = send_shared(p, parcel, bytes, len, &err);
	if (rc == ERR_OK)
		progress_bytes(p->env, parcel->own_transfer ? parcel->shares[0].item : NULL, parcel->raw_len);
	else if (transfer_fatal(rc) || rc == ERR_PROTOCOL)
		push_fail(p, &err);
	parcel_settle(p, parcel, rc ? &err : NULL);
}

/* The next sealed parcel.  NULL when there will be none. */
static struct parcel *
sealed_wait(struct push *p)
{
	struct parcel *parcel;

	mutex_lock(&p->mu);
	while (!p->stop && !p->sealed && p->packing > 0)
		cond_wait(&p->can_send, &p->mu);
	parcel = p->stop ? NULL : p->sealed;
	if (parcel) {
		p->sealed = parcel->next;
		if (!p->sealed)
			p->sealed_tail = &p->sealed;
	}
	mutex_unlock(&p->mu);
	return parcel;
}

void *
sender_main(void *arg)
{
	struct parcel *parcel;

	while ((parcel = sealed_wait(arg)))
		send_one(arg, parcel);
	return NULL;
}
