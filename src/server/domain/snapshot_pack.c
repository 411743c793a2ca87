/*
 * Three codings behind one function each: bytes in, stored bytes out.  Somebody waits for the first answer, and half of a snapshot are
 * hashes, which no level makes smaller: level 1 of zstd, and 1 of ISA-L's gzip, which takes a fraction of zlib's time
 * (docs/perf/tree.md), for those who can do no better.
 *
 * The thread beside the builder is ours (snapshot_relay.c) and not zstd's own, which copies the text and maps its memory anew each time.
 */
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "server/domain/snapshot_internal.h"

#define OUT_LEN (64 * KIB)
#define ZSTD_LEVEL 1
#define GZIP_LEVEL 1
#define GZIP_ROOM ISAL_DEF_LVL1_DEFAULT /* what that level works in */

struct pack {
	struct domain *d;
	struct store_writer *writer;
	struct sha sha;
	int64_t raw_len, stored_len;
	enum snapshot_coding coding;
	ZSTD_CCtx *zstd;
	struct isal_zstream gzip;
	uint8_t *gzip_room; /* NULL: another coding */
	uint8_t out[OUT_LEN];
};

err_code
pack_open(struct domain *d, enum snapshot_coding coding, struct pack **out, struct err *err)
{
	struct pack *p = xcalloc(1, sizeof *p);
	err_code rc;

	p->d = d;
	p->coding = coding;
	sha_init(&p->sha);
	rc = store_open_writer(d->store, &p->writer, err);
	if (!rc && coding == SNAPSHOT_ZSTD) {
		p->zstd = ZSTD_createCCtx();
		if (!p->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)))
			rc = err_set(err, ERR_NO_MEM, "no memory for the compressor");
	}
	if (!rc && coding == SNAPSHOT_GZIP) {
		isal_deflate_init(&p->gzip);
		p->gzip.gzip_flag = IGZIP_GZIP;
		p->gzip.level = GZIP_LEVEL;
		p->gzip.level_buf = p->gzip_room = xmalloc(GZIP_ROOM);
		p->gzip.level_buf_size = GZIP_ROOM;
	}
	if (rc) {
		pack_free(p);
		return rc;
	}
	*out = p;
	return ERR_OK;
}

void
pack_free(struct pack *p)
{
	if (!p)
		return;
	store_abandon(&p->writer);
	sha_fini(&p->sha);
	ZSTD_freeCCtx(p->zstd);
	free(p->gzip_room);
	free(p);
}

void
pack_freep(struct pack **p)
{
	pack_free(*p);
}

static err_code
store_bytes(struct pack *p, const uint8_t *bytes, size_t len, struct err *err)
{
	if (len == 0)
		return ERR_OK;
	sha_add(&p->sha, bytes, len);
	p->stored_len += (int64_t)len;
	return store_write(p->writer, bytes, len, err);
}

static err_code
add_zstd(struct pack *p, const void *bytes, size_t len, bool last, struct err *err)
{
	ZSTD_inBuffer in = { .src = bytes, .size = len };
	size_t left;

	do {
		ZSTD_outBuffer out = { .dst = p->out, .size = sizeof p->out };
		err_code rc;

		left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return err_set(err, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(left));
		rc = store_bytes(p, p->out, out.pos, err);
		if (rc)
			return rc;
	} while (last ? left > 0 : in.pos < in.size);
	return ERR_OK;
}

static err_code
add_gzip(struct pack *p, const void *bytes, size_t len, bool last, struct err *err)
{
	p->gzip.next_in = (uint8_t *)(uintptr_t)bytes; /* the library's type is not const; it only reads */
	p->gzip.avail_in = (uint32_t)len;
	p->gzip.end_of_stream = last;
	do {
		err_code rc;
		int status;

		p->gzip.next_out = p->out;
		p->gzip.avail_out = sizeof p->out;
		status = isal_deflate(&p->gzip);
		if (status != COMP_OK)
			return err_set(err, ERR_INTERNAL, "gzip: igzip gave %d", status);
		rc = store_bytes(p, p->out, sizeof p->out - p->gzip.avail_out, err);
		if (rc)
			return rc;
	} while (p->gzip.avail_out == 0);
	return ERR_OK;
}

static err_code
add(struct pack *p, const void *bytes, size_t len, bool last, struct err *err)
{
	switch (p->coding) {
	case SNAPSHOT_PLAIN:
		return store_bytes(p, bytes, len, err);
	case SNAPSHOT_GZIP:
		return add_gzip(p, bytes, len, last, err);
	case SNAPSHOT_ZSTD:
		return add_zstd(p, bytes, len, last, err);
	}
	return err_set(err, ERR_INTERNAL, "snapshot of unknown coding");
}

err_code
pack_add(struct pack *p, const void *bytes, size_t len, struct err *err)
{
	if (len == 0)
		return ERR_OK;
	p->raw_len += (int64_t)len;
	return add(p, bytes, len, false, err);
}

err_code
pack_finish(struct pack *p, const struct id *project, struct publishing *publishing, struct snapshot *out, struct err *err)
{
	struct store_key key = { .project = *project };
	err_code rc = add(p, "", 0, true, err);

	if (rc)
		return rc;
	key.hash = sha_final(&p->sha);
	out->object = key.hash;
	out->stored_len = p->stored_len;
	out->raw_len = p->raw_len;
	publish_begin(p->d, publishing, &key);
	return store_finish(&p->writer, &key, err);
}
