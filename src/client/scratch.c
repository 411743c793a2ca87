#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pathat.h"
#include "base/sbuf.h"
#include "client/scratch.h"

#define PATH_MAX_HERE (8 * KIB)
#define OLD_S (30 * 24 * 3600) /* a transfer lives for seven days on the server: what is older is of no use */

static err_code
make_dirs(char *path, struct err *err)
{
	for (char *p = strchr(path + 1, '/');; p = strchr(p + 1, '/')) {
		if (p)
			*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_errno(err, "%s", path);
		if (!p)
			return ERR_OK;
		*p = '/';
	}
}

/* "$XDG_CACHE_HOME/dray"; "" when there is no home either. */
static char *
cache_dir(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	struct sbuf sb = SBUF(PATH_MAX_HERE);

	if (cache && *cache == '/')
		sbuf_addf(&sb, "%s/dray", cache);
	else if (home && *home == '/')
		sbuf_addf(&sb, "%s/.cache/dray", home);
	return sbuf_take(&sb);
}

static void
remove_all(int fd, const char *dir)
{
	DIR *d = fdopendir(dup(fd));
	struct dirent *e;

	if (d) {
		rewinddir(d);
		while ((e = readdir(d)))
			(void)unlinkat(fd, e->d_name, 0); /* there are no directories in it */
		closedir(d);
	}
	(void)rmdir(dir);
}

/* What interrupted commands left behind and nobody came back for. */
static void
sweep(const char *cache)
{
	DIR *d = opendir(cache);
	struct dirent *e;
	struct stat st;

	if (!d)
		return;
	while ((e = readdir(d))) {
		AUTO(closep) int fd = -1;
		struct sbuf path = SBUF(PATH_MAX_HERE);

		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode) ||
		    st.st_mtime > time(NULL) - OLD_S)
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		sbuf_addf(&path, "%s/%s", cache, e->d_name);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			remove_all(fd, sbuf_str(&path));
		sbuf_fini(&path);
	}
	closedir(d);
}

/* Open and lock; false when it cannot be had, for whatever reason. */
static bool
take(struct scratch *s, struct err *err)
{
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd >= 0 && flock(s->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	(void)!err_errno(err, "%s", s->dir);
	closep(&s->fd);
	s->fd = -1;
	freep(&s->dir);
	return false;
}

static bool
take_kept(struct scratch *s, const struct hash *key)
{
	AUTO(freep) char *cache = cache_dir();
	struct sbuf sb = SBUF(PATH_MAX_HERE);
	char hex[HASH_HEX_LEN + 1];
	struct err ignored;

	if (!*cache || make_dirs(cache, &ignored))
		return false;
	sweep(cache);
	sbuf_addf(&sb, "%s/%.32s", cache, hash_hex(key, hex));
	s->dir = sbuf_take(&sb);
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST) {
		freep(&s->dir);
		return false;
	}
	s->kept = take(s, &ignored);
	return s->kept;
}

static bool
take_new(struct scratch *s, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	struct sbuf sb = SBUF(PATH_MAX_HERE);

	sbuf_addf(&sb, "%s/dray-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	s->dir = sbuf_take(&sb);
	if (!mkdtemp(s->dir)) {
		(void)!err_errno(err, "%s", s->dir);
		freep(&s->dir);
		return false;
	}
	return take(s, err);
}

err_code
scratch_open(const struct hash *key, struct scratch **out, struct err *err)
{
	struct scratch *s = xcalloc(1, sizeof *s);
	err_code rc;

	s->fd = -1;
	rc = (key && take_kept(s, key)) || take_new(s, err) ? state_open(s->dir, &s->state, err) : err->code;
	if (rc && s->kept) { /* damaged, or of a newer version: nothing that is worth stopping for */
		remove_all(s->fd, s->dir);
		closep(&s->fd);
		freep(&s->dir);
		s->kept = false;
		rc = take_new(s, err) ? state_open(s->dir, &s->state, err) : err->code;
	}
	if (rc) {
		scratch_free(s, false);
		return err_wrap(err, "temporary state");
	}
	*out = s;
	return ERR_OK;
}

void
scratch_free(struct scratch *s, bool keep)
{
	if (!s)
		return;
	state_free(s->state);
	if (s->fd >= 0 && !(keep && s->kept))
		remove_all(s->fd, s->dir);
	closep(&s->fd);
	free(s->dir);
	free(s);
}
