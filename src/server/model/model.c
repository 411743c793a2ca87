/*
 * What the value types need besides their fields: checks of titles, a file's path, and its share of the project's digest.
 */
#include "server/model/model.h"

#include "base/utf8.h"
#include "chunk/tree_digest.h"

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

struct hash
file_digest(const struct file *f)
{
	char path[FILE_PATH_MAX];

	file_path(f, path);
	return tree_digest_entry(&(struct tree_digest_in){ .id = &f->id, .version = f->version, .content = &f->content,
	    .mode = f->mode, .kind = (uint8_t)f->kind, .size = (uint64_t)f->size, .path = path, .path_len = strlen(path) });
}
