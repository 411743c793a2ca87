/*
 * Packers: take operations in order, have their files read, and fill parcels with blocks.
 */
#include <assert.h>

#include "base/fault.h"
#include "client/transfer/push_internal.h"

struct packer {
	struct push *push;
	struct parcel *parcel;     /* at hand; NULL: take one when a block comes */
	struct item *open_item;    /* whose extent is the last in the parcel */
	size_t open_extent;
	struct item *own;          /* parcels go into its own transfer; NULL: into the shared one */
};

/* ---- parcels ------------------------------------------------------------------------------------------------------------------ */

/* The items' lists are this thread's alone until their pending falls to zero, which this parcel still prevents (P1). */
static void
name_extents(const struct parcel *parcel, const struct hash *id)
{
	for (size_t i = 0; i < parcel->share_count; i++) {
		struct share *s = &parcel->shares[i];

		if (s->generation == s->item->generation)
			s->item->extents[s->extent].chunk = *id;
	}
}

void
pack_seal(struct packer *k)
{
	struct parcel *parcel = k->parcel;
	struct push *p = k->push;
	struct hash id;
	size_t len;

	k->open_item = NULL;
	if (!parcel)
		return;
	k->parcel = NULL;
	chunk_builder_finish(parcel->builder, &id, &len);
	name_extents(parcel, &id);
	if (parcel->own_transfer && upload_has(k->own, &id)) {
		progress_bytes(p->env, parcel->shares[0].item, parcel->raw_len);
		parcel_settle(p, parcel, NULL);
		return;
	}
	parcel->n = parcel->own_transfer ? k->own->next_n++ : p->next_n++;
	parcel_send(p, parcel);
}

static bool
parcel_ready(struct packer *k)
{
	if (k->parcel)
		return true;
	k->parcel = parcel_take(k->push);
	if (!k->parcel)
		return false;
	k->parcel->own_transfer = k->own != NULL;
	if (k->own)
		k->parcel->transfer = k->own->transfer;
	return true;
}

static void
share_add(struct packer *k, struct item *it, uint32_t slot)
{
	static const struct hash unnamed; /* until the parcel is sealed */
	struct parcel *parcel = k->parcel;

	item_add_extent(it, &unnamed, slot);
	if (parcel->share_count == parcel->share_cap) {
		parcel->share_cap = MAX(16, 2 * parcel->share_cap);
		parcel->shares = xrealloc(parcel->shares, parcel->share_cap * sizeof *parcel->shares);
	}
	k->open_item = it;
	k->open_extent = it->extent_count - 1;
	parcel->shares[parcel->share_count++] =
	    (struct share){ .item = it, .extent = k->open_extent, .generation = it->generation };
	mutex_lock(&k->push->mu);
	it->pending++;
	mutex_unlock(&k->push->mu);
}

err_code
pack_block(struct packer *k, struct item *it, const uint8_t *p, const struct block *b, uint32_t weak, struct err *err)
{
	uint32_t slot;

	if (k->parcel && !chunk_builder_fits(k->parcel->builder, b->len))
		pack_seal(k);
	if (!parcel_ready(k))
		return err_set(err, ERR_CANCELLED, "the push has stopped");
	slot = chunk_builder_add(k->parcel->builder, p, b->len, &b->hash);
	k->parcel->raw_len += b->len;
	if (k->open_item != it)
		share_add(k, it, slot);
	it->extents[k->open_extent].count++;
	it->named = false;
	it->fresh += b->len;
	item_add_block(it, b, weak);
	return ERR_OK;
}

/* Runs stay runs: what lies together in the base is one extent again. */
void
pack_named(struct packer *k, struct item *it, const struct hash *chunk, uint32_t slot, const struct block *b, uint32_t weak)
{
	struct wire_extent *last = it->named ? &it->extents[it->extent_count - 1] : NULL;

	if (FAULT("client.delta_wrong_extent"))
		slot ^= 1;
	if (!last || !hash_eq(&last->chunk, chunk) || last->first + last->count != slot)
		last = item_add_extent(it, chunk, slot);
	last->count++;
	it->named = true;
	k->open_item = NULL; /* what is packed next begins an extent of its own */
	item_add_block(it, b, weak);
}

void
pack_room(struct packer *k, uint64_t len)
{
	if (k->parcel && k->parcel->raw_len + len > CHUNK_RAW_MAX)
		pack_seal(k);
}

void
pack_own(struct packer *k, struct item *it)
{
	pack_seal(k); /* P2 */
	k->own = it;
}

void
pack_shared(struct packer *k)
{
	if (!k->own)
		return;
	pack_seal(k); /* P2 */
	k->own = NULL;
}

/* ---- operations --------------------------------------------------------------------------------------------------------------- */

/* With push.mu: an item to pack, or NULL when there is none just now. */
static struct item *
item_start(struct push *p)
{
	struct item *it = list_take(&p->retry);

	if (!it && p->items < ITEMS_MAX && p->next_op < p->n) {
		it = item_new(&p->ops[p->next_op++]);
		p->items++;
		while (p->next_op < p->n && !in_files(&p->ops[p->next_op]))
			p->next_op++;
	}
	if (it)
		it->pending = 1;
	return it;
}

/* Wait for something to pack.  NULL when all has ended or the push has stopped. */
static struct item *
item_wait(struct packer *k)
{
	struct push *p = k->push;
	struct item *it = NULL;

	mutex_lock(&p->mu);
	while (!p->stop && !(it = item_start(p)) && p->items > 0) {
		if (k->parcel) { /* nothing comes just now: do not let those who wait for this parcel wait for more */
			mutex_unlock(&p->mu);
			pack_seal(k);
			mutex_lock(&p->mu);
			continue;
		}
		cond_wait(&p->can_pack, &p->mu);
	}
	mutex_unlock(&p->mu);
	return it;
}

/* Links and modes of directories need no reading. */
static void
pack_plain(struct item *it)
{
	const struct plan_op *op = it->op;

	it->entry = *op->local;
	it->nothing = it->server.path && entry_same_content(&it->server, &it->entry) && entry_same_meta(&it->server, &it->entry);
	it->json_len += op->local->kind == ENTRY_LINK ? 2 * strlen(op->local->target) : 0;
}

static void
pack_item(struct packer *k, uint8_t *buf, struct item *it)
{
	struct err err;

	if (it->op->local->kind != ENTRY_FILE) {
		pack_plain(it);
	} else if (read_file(k, k->push, buf, it, &err)) {
		if (transfer_fatal(err.code))
			push_fail(k->push, &err);
		mutex_lock(&k->push->mu); /* a chunk of it may fail to be sent at this moment */
		item_fail(it, &err);
		mutex_unlock(&k->push->mu);
	}
	pack_shared(k);
	item_settle(k->push, it, 1);
}

void *
packer_main(void *arg)
{
	struct packer k = { .push = arg };
	AUTO(freep) uint8_t *buf = xmalloc(SMALL_MAX);
	struct push *p = arg;
	struct item *it;

	while ((it = item_wait(&k)))
		pack_item(&k, buf, it);
	if (k.parcel)
		parcel_settle(p, k.parcel, NULL); /* only when the push has stopped: nobody will send it */
	mutex_lock(&p->mu);
	p->packing--;
	cond_broadcast(&p->can_send);
	cond_broadcast(&p->can_pack);
	mutex_unlock(&p->mu);
	return NULL;
}
