#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/pathat.h"
#include "server/data.h"

#define LOCK_FILE "drayd.lock"
#define TOKEN_FILE "owner.token"
#define ADDRESS_FILE "server.json"
#define INSTALLATION_FILE "installation.json"
#define SMALL_FILE_MAX 4096

/*
 * All that is in the directory is lost with its name.  Also flushed when it was there: an earlier start may have made it and been cut short;
 * but whoever may not read what is above it has not made it.
 */
static err_code
flush_name(const struct data *d, bool made, struct err *err)
{
	err_code rc = pathat_fsync_name(d->dir, err);

	return rc && made ? err_wrap(err, "%s", d->path) : ERR_OK;
}

err_code
data_open(const char *path, struct data *out, struct err *err)
{
	bool made = mkdir(path, 0700) == 0;
	err_code rc;

	*out = (struct data){ .dir = -1, .lock = -1 };
	if (!made && errno != EEXIST)
		return err_errno(err, "make the data directory %s", path);
	rc = data_open_old(path, out, err);
	return rc ? rc : flush_name(out, made, err);
}

err_code
data_open_old(const char *path, struct data *out, struct err *err)
{
	*out = (struct data){ .dir = -1, .lock = -1 };
	out->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->dir < 0)
		return err_errno(err, "data directory %s", path);
	out->path = xstrdup(path);
	return ERR_OK;
}

void
data_close(struct data *d)
{
	closep(&d->lock);
	closep(&d->dir);
	free(d->path);
	d->path = NULL;
}

static err_code
lock_by(struct data *d, int flags, struct err *err)
{
	err_code rc = pathat_open(d->dir, LOCK_FILE, flags, 0600, &d->lock, err);

	if (rc)
		return err_wrap(err, "lock %s", d->path);
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0)
		return ERR_OK;
	rc = errno == EWOULDBLOCK ? err_set(err, ERR_BUSY, "another drayd is using %s", d->path)
	                          : err_errno(err, "lock %s", d->path);
	closep(&d->lock);
	d->lock = -1;
	return rc;
}

err_code
data_lock(struct data *d, struct err *err)
{
	return lock_by(d, O_RDWR | O_CREAT, err);
}

err_code
data_lock_old(struct data *d, struct err *err)
{
	err_code rc = lock_by(d, O_RDONLY, err);

	return rc == ERR_NOT_FOUND ? err_wrap(err, "%s is not the data directory of a server", d->path) : rc;
}

char *
data_path(const struct data *d, const char *name)
{
	struct sbuf sb = SBUF(64 * KIB);

	sbuf_addf(&sb, "%s/%s", d->path, name);
	return sbuf_take(&sb);
}

err_code
data_rename(const struct data *d, const char *from, const char *to, struct err *err)
{
	err_code rc = pathat_rename(d->dir, from, d->dir, to, 0, err);

	return rc ? rc : pathat_fsync_dir(d->dir, "", err);
}

static err_code
read_small(const struct data *d, const char *name, char *buf, size_t cap, size_t *len, struct err *err)
{
	AUTO(closep) int fd = -1;
	err_code rc = pathat_open(d->dir, name, O_RDONLY, 0, &fd, err);

	if (rc == ERR_OK)
		rc = read_full(fd, buf, cap, len, err);
	return rc ? err_wrap(err, "%s/%s", d->path, name) : ERR_OK;
}

/* Written beside and renamed, so that a reader sees the old or the new and a crash leaves one of them. */
static err_code
write_small(const struct data *d, const char *name, const char *text, struct err *err)
{
	AUTO(closep) int fd = -1;
	char temp[64];
	err_code rc;

	snprintf(temp, sizeof temp, "%s.new", name);
	rc = pathat_open(d->dir, temp, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);
	if (rc == ERR_OK)
		rc = write_full(fd, text, strlen(text), err);
	if (rc == ERR_OK && fsync(fd) < 0)
		rc = err_errno(err, "fsync");
	if (rc == ERR_OK)
		rc = data_rename(d, temp, name, err);
	return rc ? err_wrap(err, "write %s/%s", d->path, name) : ERR_OK;
}

err_code
data_token_read(const struct data *d, char token[static TOKEN_LEN + 1], struct err *err)
{
	char buf[TOKEN_LEN + 2];
	size_t len;
	err_code rc = read_small(d, TOKEN_FILE, buf, sizeof buf, &len, err);

	if (rc)
		return rc;
	if (len > 0 && buf[len - 1] == '\n')
		len--;
	if (!token_check(buf, len))
		return err_set(err, ERR_TOKEN_INVALID, "%s/" TOKEN_FILE " does not hold a token", d->path);
	memcpy(token, buf, len);
	token[len] = '\0';
	return ERR_OK;
}

err_code
data_token_write(const struct data *d, const char *token, struct err *err)
{
	char line[TOKEN_LEN + 2];

	snprintf(line, sizeof line, "%s\n", token);
	return write_small(d, TOKEN_FILE, line, err);
}

err_code
data_token_copy(const struct data *from, const struct data *to, struct err *err)
{
	char token[TOKEN_LEN + 1];
	err_code rc = data_token_read(from, token, err);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	return rc ? rc : data_token_write(to, token, err);
}

err_code
data_address_read(const struct data *d, char address[static ADDRESS_MAX], struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	char buf[SMALL_FILE_MAX];
	struct json_in in;
	const char *listen;
	size_t len;
	err_code rc = read_small(d, ADDRESS_FILE, buf, sizeof buf, &len, err);

	if (rc == ERR_OK)
		rc = json_in_parse((const uint8_t *)buf, len, &doc, err);
	if (rc == ERR_OK)
		rc = json_in_object(doc, "", true, &in, err);
	if (rc == ERR_OK)
		rc = json_need_str(&in, "listen", &listen, &len, err);
	if (rc == ERR_OK && len >= ADDRESS_MAX)
		rc = err_set(err, ERR_FIELD_RANGE, "the address is too long");
	if (rc)
		return err_wrap(err, "%s/" ADDRESS_FILE, d->path);
	memcpy(address, listen, len + 1);
	return ERR_OK;
}

err_code
data_address_write(const struct data *d, const char *address, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(SMALL_FILE_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "listen", address);
	jw_ki64(&jw, "pid", getpid());
	jw_kstr(&jw, "version", DRAY_VERSION);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	return write_small(d, ADDRESS_FILE, sbuf_str(&sb), err);
}

err_code
data_address_remove(const struct data *d, struct err *err)
{
	err_code rc = pathat_unlink(d->dir, ADDRESS_FILE, 0, err);

	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

err_code
data_installation_read(const struct data *d, struct id *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	char buf[SMALL_FILE_MAX];
	struct json_in in;
	size_t len;
	err_code rc = read_small(d, INSTALLATION_FILE, buf, sizeof buf, &len, err);

	if (rc == ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_OK)
		rc = json_in_parse((const uint8_t *)buf, len, &doc, err);
	if (rc == ERR_OK)
		rc = json_in_object(doc, "", true, &in, err);
	if (rc == ERR_OK)
		rc = json_need_id(&in, "installation", out, err);
	return rc ? err_wrap(err, "%s/" INSTALLATION_FILE, d->path) : ERR_OK;
}

err_code
data_installation_write(const struct data *d, const struct id *id, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(SMALL_FILE_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kid(&jw, "installation", id);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	return write_small(d, INSTALLATION_FILE, sbuf_str(&sb), err);
}
