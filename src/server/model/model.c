/*
 * What the value types need besides their fields: checks of titles, a file's path, and its share of the project's digest.
 */
#include "server/model/model.h"

#include "base/utf8.h"

#include <assert.h>

char *
file_path(const struct file *f, char *out)
{
	size_t dir = strlen(f->dir), name = strlen(f->name);
	size_t at = 0;

	assert(dir + (dir > 0) + name < FILE_PATH_MAX); /* path_check let it in */
	if (dir) {
		memcpy(out, f->dir, dir);
		out[dir] = '/';
		at = dir + 1;
	}
	memcpy(out + at, f->name, name + 1);
	return out;
}

/* C0 and DEL are single bytes; C1 is 0xC2 and 0x80..0x9F. */
static bool
has_control(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)p[i];

		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (uint8_t)p[i + 1] < 0xa0)
			return true;
	}
	return false;
}

err_code
title_check(const char *p, size_t len, const char *what, struct err *err)
{
	if (len == 0)
		return err_reason(err, ERR_FIELD_RANGE, "empty", "%s is empty", what);
	if (len > TITLE_LEN_MAX)
		return err_reason(err, ERR_FIELD_RANGE, "too_long", "%s has %zu bytes; %d are the most", what, len, TITLE_LEN_MAX);
	if (!utf8_valid(p, len))
		return err_reason(err, ERR_FIELD_RANGE, "not_utf8", "%s is not UTF-8", what);
	if (has_control(p, len))
		return err_reason(err, ERR_FIELD_RANGE, "control", "%s has a control character", what);
	return ERR_OK;
}

/* id[16] · u64 version · content[32] · u32 mode · u8 kind · u64 size · path */
#define DIGEST_FIXED_LEN (16 + 8 + 32 + 4 + 1 + 8)

struct hash
file_digest(const struct file *f)
{
	uint8_t buf[DIGEST_FIXED_LEN + FILE_PATH_MAX];
	uint8_t *p = buf;

	memcpy(p, f->id.b, sizeof f->id.b);
	p += sizeof f->id.b;
	put_u64le(p, (uint64_t)f->version);
	p += 8;
	memcpy(p, f->content.b, sizeof f->content.b);
	p += sizeof f->content.b;
	put_u32le(p, f->mode);
	p += 4;
	*p++ = (uint8_t)f->kind;
	put_u64le(p, (uint64_t)f->size);
	p += 8;
	file_path(f, (char *)p);
	return hash_of(buf, DIGEST_FIXED_LEN + strlen((char *)p));
}
