/*
 * The walk: a directory at a time, in path_cmp order, without recursion.
 *
 * W1  Directories wait in a heap ordered by the bytes of their path.  A directory is greater than its parent ("a" begins "a/b"), so what
 *     is found while one is read is greater than all that was read before, and the heap's least is always the next in path_cmp order.
 * W2  A directory is read to its end before any of its entries is reported, and read again when its times moved meanwhile.  One that
 *     cannot be read so is reported as a whole and freezes: a partial listing is never a listing (I9).
 * W3  Each directory is opened by its path beneath the root, refusing symlinks (I11); its entries are looked at through that
 *     descriptor only, and never opened; but for ignore rules, which are read before anything beside or beneath them is looked at.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/path.h"
#include "base/pathat.h"
#include "client/scan/scan_internal.h"

#define LIST_BUF (128 * KIB)    /* for getdents64: some 4,000 names a call */
#define READ_TRIES 5            /* of a directory that changes while it is read */
#define REPORT_EVERY 1024       /* entries between two looks at progress and cancel */
#define NAME_ROOM 4096          /* FUSE hands out names of more than 255 bytes; they are reported, so they must fit */

struct heap {
	char **paths;
	size_t n, cap;
};

/* The names of one directory: text one after another, and where each begins. */
struct listing {
	char *text;
	size_t text_len, text_cap;
	size_t *at;
	size_t n, cap;
};

struct walk {
	const struct scan_opts *opts;
	err_code (*found)(void *ctx, const struct entry *e, struct err *err);
	void (*problem)(void *ctx, const struct scan_problem *p);
	void *ctx;

	struct heap heap;
	struct listing list;
	uint8_t *buf;
	uint64_t entries;

	char *path; /* of the entry at hand: the directory, '/', and room for a name */
	size_t dir_len, depth;
};

/* ---- the heap of directories to come (W1) --------------------------------------------------------------------------- */

static void
heap_push(struct heap *h, char *path)
{
	size_t i = h->n;

	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		h->paths = xrealloc(h->paths, h->cap * sizeof *h->paths);
	}
	h->n++;
	for (; i > 0 && strcmp(path, h->paths[(i - 1) / 2]) < 0; i = (i - 1) / 2)
		h->paths[i] = h->paths[(i - 1) / 2];
	h->paths[i] = path;
}

static char *
heap_pop(struct heap *h)
{
	char *least = h->paths[0], *last = h->paths[--h->n];
	size_t i = 0;

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid + 1 < h->n && strcmp(h->paths[kid + 1], h->paths[kid]) < 0)
			kid++;
		if (kid >= h->n || strcmp(last, h->paths[kid]) <= 0)
			break;
		h->paths[i] = h->paths[kid];
		i = kid;
	}
	if (h->n)
		h->paths[i] = last;
	return least;
}

static void
heap_fini(struct heap *h)
{
	while (h->n)
		free(h->paths[--h->n]);
	free(h->paths);
}

/* ---- reading one directory (W2) ------------------------------------------------------------------------------------- */

static void
list_add(struct listing *l, const char *name)
{
	size_t len = strlen(name) + 1;

	if (l->text_len + len > l->text_cap) {
		l->text_cap = MAX(2 * l->text_cap, 64 * KIB);
		l->text = xrealloc(l->text, l->text_cap);
	}
	if (l->n == l->cap) {
		l->cap = MAX(2 * l->cap, (size_t)1024);
		l->at = xrealloc(l->at, l->cap * sizeof *l->at);
	}
	memcpy(l->text + l->text_len, name, len);
	l->at[l->n++] = l->text_len;
	l->text_len += len;
}

static int
by_name(const void *a, const void *b, void *text)
{
	return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

/* All names of the directory but "." and ".."; false with errno when it did not end well. */
static bool
list_read(struct listing *l, int fd, uint8_t *buf)
{
	l->n = l->text_len = 0;
	for (;;) {
		ssize_t got = getdents64(fd, buf, LIST_BUF);

		if (got == 0)
			return true;
		if (got < 0)
			return false;
		for (ssize_t pos = 0; pos < got;) {
			const struct dirent64 *d = (const void *)(buf + pos);

			if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
				list_add(l, d->d_name);
			pos += d->d_reclen;
		}
	}
}

/* The static reason why the directory could not be read as it is at one moment, or NULL. */
static const char *
list_stable(struct listing *l, int fd, uint8_t *buf)
{
	for (unsigned tries = 0; tries < READ_TRIES; tries++) {
		struct stat before, after;

		if (fstat(fd, &before) || lseek(fd, 0, SEEK_SET) < 0 || !list_read(l, fd, buf) || fstat(fd, &after))
			return "unreadable";
		/* A name that is renamed while the directory is read can be missed at both places. */
		if (stat_ctime_ns(&before) == stat_ctime_ns(&after) && stat_mtime_ns(&before) == stat_mtime_ns(&after))
			return NULL;
	}
	return "changing";
}

/* ---- entries -------------------------------------------------------------------------------------------------------- */

static void
report_problem(struct walk *w, const char *reason, bool subtree)
{
	w->problem(w->ctx, &(struct scan_problem){ .path = w->path, .reason = reason, .subtree = subtree });
}

static err_code
report_often(struct walk *w, struct err *err)
{
	if (flag_is_set(w->opts->cancel))
		return err_set(err, ERR_CANCELLED, "the scan was stopped");
	if (w->opts->progress)
		w->opts->progress(w->opts->ctx, w->entries);
	return ERR_OK;
}

/* Why the path at hand is not one that dray stores, or NULL.  Its directory has been checked, so only the last component is. */
static const char *
name_problem(const struct walk *w, const char *name, size_t name_len)
{
	err_code rc = name_check(name, name_len, NULL);

	if (rc)
		return err_info(rc)->code;
	if (w->depth > PATH_DEPTH_MAX || w->dir_len + (w->dir_len > 0) + name_len > PATH_LEN_MAX)
		return err_info(ERR_PATH_TOO_LONG)->code;
	return NULL;
}

/* Look at one name of the directory ${fd} and tell what it is. */
static err_code
walk_name(struct walk *w, int fd, const char *name, struct err *err)
{
	size_t name_len = strlen(name), at = w->dir_len + (w->dir_len > 0);
	char target[LINK_TARGET_MAX + 1];
	const char *reason;
	struct entry e;
	struct stat st;

	assert(name_len < NAME_ROOM);
	memcpy(w->path + at, name, name_len + 1);
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT) /* gone since it was listed is absent; all else is not known */
			report_problem(w, "unreadable", true);
		return ERR_OK;
	}
	if (w->opts->ignore && ignore_name(w->opts->ignore, w->path, S_ISDIR(st.st_mode))) {
		w->opts->ignored(w->ctx, w->path, S_ISDIR(st.st_mode));
		return ERR_OK;
	}
	reason = name_problem(w, name, name_len);
	if (!reason)
		reason = scan_entry(fd, name, &st, w->opts->now_ns, target, &e);
	if (reason) {
		report_problem(w, reason, S_ISDIR(st.st_mode));
		return ERR_OK;
	}
	e.path = w->path;
	if (e.kind == ENTRY_DIR)
		heap_push(&w->heap, xstrdup(w->path));
	return w->found(w->ctx, &e, err);
}

static bool
list_has(const struct listing *l, const char *name)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(l->text + l->at[mid], name);

		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/*
 * The rules of the directory at hand.  Where they cannot be had, what is ignored here is not known, so nothing is told but the file itself: a
 * better one may be on its way.
 */
static err_code
walk_rules(struct walk *w, int fd, bool *known, struct err *err)
{
	AUTO(freep) char *dir = NULL;
	const char *reason;
	err_code rc;

	*known = true;
	if (!w->opts->ignore || !list_has(&w->list, IGNORE_FILE))
		return ERR_OK;
	dir = xcalloc(w->dir_len + 1, 1);
	memcpy(dir, w->path, w->dir_len);
	reason = ignore_load(w->opts->ignore, w->opts->root, dir);
	if (!reason)
		return ERR_OK;
	*known = false;
	rc = walk_name(w, fd, IGNORE_FILE, err);
	w->problem(w->ctx, &(struct scan_problem){ .path = w->path, .reason = reason, .rules = true });
	return rc;
}

static err_code
walk_names(struct walk *w, int fd, struct err *err)
{
	struct listing *l = &w->list;
	bool known;
	err_code rc;

	if (l->n > 1)
		qsort_r(l->at, l->n, sizeof *l->at, by_name, l->text);
	rc = walk_rules(w, fd, &known, err);
	if (rc || !known)
		return rc;
	for (size_t i = 0; i < l->n; i++) {
		const char *name = l->text + l->at[i];

		if (w->dir_len == 0 && strcmp(name, ".dray") == 0 && !FAULT("client.syncs_temps")) /* M31 */
			continue;
		if (++w->entries % REPORT_EVERY == 0) {
			rc = report_often(w, err);
			if (rc)
				return rc;
		}
		rc = walk_name(w, fd, name, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- directories ---------------------------------------------------------------------------------------------------- */

static void
enter(struct walk *w, const char *dir)
{
	size_t len = strlen(dir);

	assert(len <= PATH_LEN_MAX); /* name_problem keeps longer ones out */
	memcpy(w->path, dir, len + 1);
	w->dir_len = len;
	w->depth = 1 + (len > 0);
	for (size_t i = 0; i < len; i++)
		w->depth += dir[i] == '/';
}

/* After the entries have used w->path for their names. */
static void
leave(struct walk *w)
{
	if (w->dir_len)
		w->path[w->dir_len] = '/';
}

static err_code
walk_dir(struct walk *w, const char *dir, struct err *err)
{
	AUTO(closep) int fd = -1;
	const char *reason = NULL;
	struct err why;

	enter(w, dir);
	if (pathat_open(w->opts->root, dir, O_RDONLY | O_DIRECTORY, 0, &fd, &why))
		reason = "unreadable";
	else
		reason = list_stable(&w->list, fd, w->buf);
	if (reason && FAULT("client.unreadable_is_empty")) {
		reason = NULL;
		w->list.n = 0;
	}
	if (reason && dir[0] == '\0')
		return err_reason(err, ERR_IO, reason, "the folder itself cannot be read: %s", reason);
	if (reason) {
		report_problem(w, reason, true);
		return ERR_OK;
	}
	leave(w);
	return walk_names(w, fd, err);
}

err_code
scan_walk(const struct scan_opts *opts, err_code (*found)(void *ctx, const struct entry *e, struct err *err),
    void (*problem)(void *ctx, const struct scan_problem *p), void *ctx, struct err *err)
{
	struct walk w = { .opts = opts, .found = found, .problem = problem, .ctx = ctx };
	err_code rc = ERR_OK;

	w.buf = xmalloc(LIST_BUF);
	w.path = xmalloc(PATH_LEN_MAX + 1 + NAME_ROOM);
	heap_push(&w.heap, xstrdup(""));
	while (!rc && w.heap.n) {
		AUTO(freep) char *dir = heap_pop(&w.heap);

		rc = report_often(&w, err);
		if (!rc)
			rc = walk_dir(&w, dir, err);
	}
	heap_fini(&w.heap);
	free(w.list.text);
	free(w.list.at);
	free(w.path);
	free(w.buf);
	return rc;
}
