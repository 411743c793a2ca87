/*
 * A commit of ten thousand small files reads the same few chunk headers over and over; the chunks themselves have just passed
 * through chunk_in.  So headers are kept, parsed, up to a number of bytes, the least recently used going first.
 *
 * A header in use is only taken off the list, never freed: who releases it last frees it.  Two threads may read one header
 * at the same time; the second to arrive finds the first's on the list and drops its own.
 */
#include <assert.h>

#include "base/log.h"
#include "server/domain/domain_internal.h"

#define HEADER_FIRST_READ (4 * KIB) /* a chunk of up to 102 blocks in one read: all but chunks of many small files */

struct headers {
	struct mutex mu;   /* RANK_LEAF; guards all below and refs of every header */
	struct map *by_key; /* struct store_key -> struct header */
	struct header *newest, *oldest;
	size_t bytes, max;
};

static size_t
header_bytes(const struct header *h)
{
	return sizeof *h + h->h.count * sizeof h->h.blocks[0];
}

struct headers *
headers_new(size_t max_bytes)
{
	struct headers *hs = xcalloc(1, sizeof *hs);

	mutex_init(&hs->mu, RANK_LEAF);
	hs->by_key = map_new();
	hs->max = max_bytes;
	return hs;
}

static void
header_free(struct header *h)
{
	if (!h)
		return;
	free(h->h.blocks);
	free(h);
}

static void
list_remove(struct headers *hs, struct header *h)
{
	assert(h->listed);
	*(h->newer ? &h->newer->older : &hs->newest) = h->older;
	*(h->older ? &h->older->newer : &hs->oldest) = h->newer;
	h->newer = h->older = NULL;
}

static void
list_add(struct headers *hs, struct header *h)
{
	h->older = hs->newest;
	h->newer = NULL;
	*(hs->newest ? &hs->newest->newer : &hs->oldest) = h;
	hs->newest = h;
}

static void
evict(struct headers *hs, struct header *h)
{
	list_remove(hs, h);
	map_remove(hs->by_key, &h->key, sizeof h->key);
	hs->bytes -= header_bytes(h);
	h->listed = false;
	if (h->refs == 0)
		header_free(h);
}

void
headers_free(struct headers *hs)
{
	if (!hs)
		return;
	while (hs->oldest) {
		assert(hs->oldest->refs == 0); /* nobody uses a domain that is being freed */
		evict(hs, hs->oldest);
	}
	map_free(hs->by_key);
	mutex_fini(&hs->mu);
	free(hs);
}

static struct header *
find(struct headers *hs, const struct store_key *key)
{
	struct header *h;

	mutex_lock(&hs->mu);
	h = map_get(hs->by_key, key, sizeof *key);
	if (h) {
		h->refs++;
		list_remove(hs, h);
		list_add(hs, h);
	}
	mutex_unlock(&hs->mu);
	return h;
}

/* Takes ${h}; what comes back is the one on the list, with a reference for the caller. */
static struct header *
insert(struct headers *hs, struct header *h)
{
	struct header *there;

	mutex_lock(&hs->mu);
	there = map_get(hs->by_key, &h->key, sizeof h->key);
	if (there) {
		header_free(h);
		h = there;
	} else {
		map_put(hs->by_key, &h->key, sizeof h->key, h);
		list_add(hs, h);
		h->listed = true;
		hs->bytes += header_bytes(h);
	}
	h->refs++;
	while (hs->bytes > hs->max && hs->oldest != h)
		evict(hs, hs->oldest);
	mutex_unlock(&hs->mu);
	return h;
}

void
header_release(struct domain *d, const struct header **hp)
{
	struct header *h;

	if (!*hp)
		return;
	mutex_lock(&d->headers->mu);
	h = (struct header *)(uintptr_t)*hp; /* const is the borrower's promise; the cache counts */
	assert(h->refs > 0);
	h->refs--;
	if (h->refs == 0 && !h->listed)
		header_free(h);
	mutex_unlock(&d->headers->mu);
	*hp = NULL;
}

static struct header *
header_make(const struct store_key *key, const struct chunk_header *parsed)
{
	struct header *h = xcalloc(1, sizeof *h);

	h->key = *key;
	h->h = *parsed;
	h->h.blocks = xcalloc(parsed->count, sizeof h->h.blocks[0]);
	memcpy(h->h.blocks, parsed->blocks, parsed->count * sizeof h->h.blocks[0]);
	return h;
}

void
header_offer(struct domain *d, const struct store_key *key, const struct chunk_header *parsed)
{
	const struct header *h = insert(d->headers, header_make(key, parsed));

	header_release(d, &h);
}

/* A stored chunk that is not what its name says: the bytes have changed under us. */
static err_code
corrupt(const struct store_key *key, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];
	err_code rc = err_set(err, ERR_CORRUPT, "the header of chunk %s is damaged in the store", hash_hex(&key->hash, hex));

	log_event(LOG_ERROR, "a stored chunk is damaged", LOG_STR("chunk", hex), LOG_STR("part", "header"));
	return rc;
}

/* ${buf} holds CHUNK_HEADER_MAX bytes; *len of them are the header. */
static err_code
read_header(struct domain *d, const struct store_key *key, uint8_t *buf, size_t *len, struct err *err)
{
	size_t got = 0, more = 0;
	err_code rc;

	rc = store_read(d->store, key, 0, buf, HEADER_FIRST_READ, &got, err);
	if (rc)
		return rc;
	rc = chunk_header_len(buf, got, len, err);
	if (rc)
		return corrupt(key, err);
	if (*len > got) {
		rc = store_read(d->store, key, got, buf + got, *len - got, &more, err);
		if (rc)
			return rc;
	}
	return got + more < *len ? corrupt(key, err) : ERR_OK;
}

static err_code
load(struct domain *d, const struct store_key *key, struct header **out, struct err *err)
{
	AUTO(freep) uint8_t *buf = xmalloc(CHUNK_HEADER_MAX);
	AUTO(arena_freep) struct arena *a = arena_new(128 * KIB); /* 1,024 blocks of 48 bytes, and room to round */
	struct chunk_header parsed;
	size_t len;
	err_code rc;

	rc = read_header(d, key, buf, &len, err);
	if (rc)
		return rc;
	rc = chunk_header_parse(buf, len, a, &parsed, err);
	if (rc == ERR_NO_MEM)
		return rc;
	if (rc || !hash_eq(&parsed.id, &key->hash))
		return corrupt(key, err);
	*out = header_make(key, &parsed);
	return ERR_OK;
}

err_code
header_get(struct domain *d, const struct store_key *key, const struct header **out, struct err *err)
{
	struct header *h = find(d->headers, key);
	err_code rc;

	if (!h) {
		rc = load(d, key, &h, err);
		if (rc)
			return rc;
		h = insert(d->headers, h);
	}
	*out = h;
	return ERR_OK;
}
