#include "client/dot_file.h"

#include <unistd.h>

#include "base/hash.h"
#include "base/pathat.h"

#define PATH_ROOM 64
#define HEAD_ROOM 160
#define DOT_FORMAT "1"

static void
dot_path(const char *name, const char *suffix, char out[static PATH_ROOM])
{
	snprintf(out, PATH_ROOM, ".dray/%s%s", name, suffix);
}

static size_t
head_of(const char *name, const void *body, size_t len, char out[static HEAD_ROOM])
{
	struct hash sum = hash_of(body, len);
	char hex[HASH_HEX_LEN + 1];

	return (size_t)snprintf(out, HEAD_ROOM, "%s " DOT_FORMAT " %s\n", name, hash_hex(&sum, hex));
}

static err_code
write_new(int root, const char *path, const char *name, const void *body, size_t len, struct err *err)
{
	AUTO(closep) int fd = -1;
	char head[HEAD_ROOM];
	size_t head_len = head_of(name, body, len, head);
	err_code rc = pathat_open(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);

	if (rc == ERR_OK)
		rc = write_full(fd, head, head_len, err);
	if (rc == ERR_OK)
		rc = write_full(fd, body, len, err);
	if (rc == ERR_OK && fsync(fd) < 0)
		rc = err_errno(err, "flush %s", path);
	return rc;
}

err_code
dot_file_write(int root, const char *name, const void *body, size_t len, struct err *err)
{
	char path[PATH_ROOM], anew[PATH_ROOM];
	struct err ignored;
	err_code rc;

	dot_path(name, "", path);
	dot_path(name, ".new", anew);
	rc = write_new(root, anew, name, body, len, err);
	if (rc == ERR_OK)
		rc = pathat_rename(root, anew, root, path, 0, err);
	if (rc == ERR_OK)
		return pathat_fsync_dir(root, ".dray", err);
	(void)!pathat_unlink(root, anew, 0, &ignored);
	return err_wrap(err, "write %s", path);
}

err_code
dot_file_read(int root, const char *name, struct sbuf *out, struct err *err)
{
	AUTO(closep) int fd = -1;
	AUTO(freep) char *text = NULL;
	char path[PATH_ROOM], head[HEAD_ROOM];
	const char *body;
	size_t room = out->max + HEAD_ROOM, got, head_len;
	err_code rc;

	dot_path(name, "", path);
	rc = pathat_open(root, path, O_RDONLY, 0, &fd, err);
	if (rc)
		return rc;
	text = xmalloc(room);
	rc = read_full(fd, text, room, &got, err);
	if (rc)
		return err_wrap(err, "read %s", path);
	body = memchr(text, '\n', got);
	if (body) {
		body++;
		head_len = head_of(name, body, got - (size_t)(body - text), head);
		if (head_len == (size_t)(body - text) && memcmp(head, text, head_len) == 0) {
			sbuf_addn(out, body, got - head_len);
			return sbuf_done(out, err);
		}
	}
	return err_set(err, ERR_STATE_DAMAGED, "%s is damaged", path);
}
