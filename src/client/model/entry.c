/*
 * Comparing entries and paths.  Pure.
 */
#include "client/model/entry.h"

#include <assert.h>

#include "base/path.h"
#include "chunk/tree_digest.h"

bool
entry_same_content(const struct entry *a, const struct entry *b)
{
	assert(a->content_known && b->content_known);
	return a->kind == b->kind && (a->kind == ENTRY_DIR || hash_eq(&a->content, &b->content));
}

bool
entry_same_meta(const struct entry *a, const struct entry *b)
{
	return a->mtime_ns == b->mtime_ns && (a->kind == ENTRY_LINK || a->mode == b->mode);
}

/* Without the mode: a chmod changes the ctime, and a base entry has the agreed mode, which a umask may have narrowed here. */
bool
entry_same_disk(const struct entry *a, const struct entry *b)
{
	return a->ctime_ns != 0 && a->ctime_ns == b->ctime_ns && a->ino == b->ino && a->dev == b->dev && a->kind == b->kind &&
	    a->size == b->size && a->mtime_ns == b->mtime_ns;
}

uint32_t
entry_mode_through(uint32_t stored, uint32_t disk, uint32_t mask)
{
	return (stored & ~mask) == disk ? stored : disk;
}

/* Bytes as unsigned, the shorter first when one begins the other. */
static int
bytes_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, MIN(a_len, b_len));

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

void
entry_sum_add(struct entry_sum *sum, const struct entry *e)
{
	sum->entries++;
	sum->files += e->kind == ENTRY_FILE;
	sum->bytes += e->kind == ENTRY_FILE ? (uint64_t)e->size : 0;
}

void
entry_sum_sub(struct entry_sum *sum, const struct entry *e)
{
	sum->entries--;
	sum->files -= e->kind == ENTRY_FILE;
	sum->bytes -= e->kind == ENTRY_FILE ? (uint64_t)e->size : 0;
}

int
path_cmp(const char *a, const char *b)
{
	size_t a_dir, b_dir;
	const char *a_name = path_split(a, &a_dir), *b_name = path_split(b, &b_dir);
	int c = bytes_cmp(a, a_dir, b, b_dir);

	return c ? c : strcmp(a_name, b_name);
}

int
path_ptr_cmp(const void *a, const void *b)
{
	return path_cmp(*(const char *const *)a, *(const char *const *)b);
}

bool
path_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 0)
		return path[0] != '\0';
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

err_code
path_ok(const char *path, size_t len, struct err *err)
{
	return path_check(path, len, err);
}

struct hash
entry_digest(const struct entry *e)
{
	return tree_digest_entry(&(struct tree_digest_in){ .id = &e->id, .version = e->version, .content = &e->content,
	    .mode = e->mode, .kind = (uint8_t)e->kind, .size = (uint64_t)e->size, .path = e->path, .path_len = strlen(e->path) });
}
