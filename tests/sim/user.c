/*
 * What people do in a folder.  They know nothing of dray: they see a tree and change it, also while a sync runs, and the oracle is told which values
 * they have put there, taken away, or done something else with.
 */
#include "base/pathat.h"
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM 1024 /* names here are short */
#define NAMES 6

static struct dice *dice;
static char roots[DEVICES][256];
static uint32_t weights[16];
static uint32_t names_used, deep; /* few names make many meetings */

void
user_roots(const char *base)
{
	for (int i = 0; i < DEVICES; i++)
		snprintf(roots[i], sizeof roots[i], "%s/%d", base, i);
}

const char *
user_root(int device)
{
	return roots[device];
}

static const char *
at(int device, const char *path, char out[static PATH_ROOM])
{
	if (snprintf(out, PATH_ROOM, "%s/%s", roots[device], path) >= PATH_ROOM)
		fail("sim", "a path is too long");
	return out;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------------ */

static unsigned
file_value(const char *path)
{
	AUTO(freep) uint8_t *p = NULL;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	ssize_t got;
	unsigned v;

	if (fd < 0 || fstat(fd, &st))
		fail("sim", "open %s: %s", path, strerror(errno));
	p = xmalloc((size_t)st.st_size + 1);
	got = read(fd, p, (size_t)st.st_size + 1);
	close(fd);
	if (got < 0)
		fail("sim", "read %s", path);
	v = got == 0 ? VALUE_NONE : value_of(p, (size_t)got);
	return v;
}

/* ${prefix}: the path beneath the root, with a slash at its end, or "". */
static void
list(const char *root, const char *prefix, bool dot, struct tree *t)
{
	char dir[3 * PATH_ROOM], path[2 * PATH_ROOM];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof dir, "%s/%s", root, prefix);
	d = opendir(dir);
	if (!d)
		fail("sim", "list %s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		struct leaf leaf = { 0 };
		char target[PATH_ROOM] = "";
		unsigned *value;
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || (!dot && !*prefix && strcmp(e->d_name, ".dray") == 0))
			continue;
		snprintf(path, sizeof path, "%s%s", prefix, e->d_name);
		snprintf(dir, sizeof dir, "%s/%s", root, path);
		value = disk_value(dir, &st);
		leaf.kind = S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
		leaf.mode = leaf.kind == 'l' ? 0 : st.st_mode & 0777;
		leaf.mtime_ns = stat_mtime_ns(&st);
		leaf.path = xstrdup(path);
		if (leaf.kind == 'l' && readlinkat(AT_FDCWD, dir, target, sizeof target - 1) < 0)
			fail("sim", "link %s", dir);
		leaf.target = xstrdup(target);
		if (leaf.kind == 'f' && st.st_size && !*value)
			*value = file_value(dir);
		if (leaf.kind == 'f')
			leaf.value = st.st_size ? *value : VALUE_NONE;
		tree_add(t, &leaf);
		if (leaf.kind == 'd') {
			snprintf(dir, sizeof dir, "%s/", path);
			list(root, dir, dot, t);
		}
	}
	closedir(d);
}

void
user_tree(const char *root, struct tree *t)
{
	bool was = disk_outside(true);

	*t = (struct tree){ 0 };
	list(root, "", false, t);
	tree_sort(t);
	disk_outside(was);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
each_value(const struct tree *t, void (*fn)(void *ctx, unsigned value), void *ctx)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->leaves[i].kind == 'f' && t->leaves[i].value != VALUE_NONE && t->leaves[i].value != VALUE_TORN)
			fn(ctx, t->leaves[i].value);
}

void
user_values(const char *root, const struct tree *live, void (*fn)(void *ctx, unsigned value), void *ctx)
{
	bool was = disk_outside(true);
	char trash[PATH_ROOM];
	struct tree t = { 0 };

	each_value(live, fn, ctx);
	snprintf(trash, sizeof trash, "%s/.dray/trash", root);
	if (is_there(trash))
		list(trash, "", true, &t);
	each_value(&t, fn, ctx);
	tree_free(&t);
	disk_outside(was);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------------------------- */

static const struct leaf *
any_leaf(const struct tree *t, const char *kinds)
{
	const struct leaf *found = NULL;
	uint32_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (strchr(kinds, t->leaves[i].kind) && dice_below(dice, ++n) == 0)
			found = &t->leaves[i];
	return found;
}

/* A name in a directory that is there; it may be taken. */
static void
any_place(const struct tree *t, char out[static PATH_ROOM])
{
	static const char *const names[NAMES] = { "a", "b", "c", "A", "d.txt", "e" };
	const struct leaf *dir = dice_below(dice, 3) < deep ? any_leaf(t, "d") : NULL;

	snprintf(out, PATH_ROOM, "%s%s%s", dir ? dir->path : "", dir ? "/" : "", names[dice_below(dice, names_used)]);
}

static bool
is_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Tell of each value at a path, and beneath it. */
static void
tell(int device, const struct tree *t, const char *path, void (*what)(int device, unsigned v))
{
	for (size_t i = 0; i < t->n; i++) {
		const struct leaf *l = &t->leaves[i];

		if (is_beneath(l->path, path) && l->kind == 'f' && l->value != VALUE_NONE && l->value != VALUE_TORN)
			what(device, l->value);
	}
}

/* ---- doing ------------------------------------------------------------------------------------------------------------------------------ */

static void
put_bytes(int fd, unsigned v)
{
	AUTO(freep) uint8_t *p = xmalloc(value_size(v));

	value_bytes(v, p);
	if (write(fd, p, value_size(v)) != (ssize_t)value_size(v))
		fail("sim", "write: %s", strerror(errno));
	close(fd);
}

/* False where there is a directory, or a link. */
static bool
write_in_place(int device, const char *path, unsigned v)
{
	char whole[PATH_ROOM];
	int fd = open(at(device, path, whole), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return false;
	put_bytes(fd, v);
	oracle_wrote(device, v);
	return true;
}

/* As editors do: a new file over the old one. */
static void
write_beside(int device, const char *path, unsigned v)
{
	char beside[PATH_ROOM], whole[PATH_ROOM], name[PATH_ROOM];
	int fd;

	snprintf(name, sizeof name, "%s~new", path);
	fd = open(at(device, name, beside), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	put_bytes(fd, v);
	oracle_wrote(device, v);
	if (renameat2(AT_FDCWD, beside, AT_FDCWD, at(device, path, whole), 0)) {
		oracle_removed(device, v);
		(void)unlinkat(AT_FDCWD, beside, 0);
	}
}

static void
act_create(int device, const struct tree *t)
{
	char path[PATH_ROOM];
	const struct leaf *l = NULL;

	any_place(t, path);
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->leaves[i].path, path) == 0)
			l = &t->leaves[i];
	if (l && l->kind != 'f')
		return;
	if (l)
		tell(device, t, path, oracle_removed);
	write_in_place(device, path, value_new(dice, VALUE_NONE));
}

static void
act_edit(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "f");
	unsigned v;

	if (!l)
		return;
	v = value_new(dice, l->value);
	tell(device, t, l->path, oracle_removed);
	if (dice_one_in(dice, 2))
		write_in_place(device, l->path, v);
	else
		write_beside(device, l->path, v);
}

/* Other bytes, and neither length nor time show it. */
static void
act_touch(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "f");
	char whole[PATH_ROOM];
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct stat st;

	if (!l || l->value == VALUE_NONE || l->value == VALUE_TORN)
		return;
	at(device, l->path, whole);
	if (dice_one_in(dice, 2)) {
		times[1].tv_nsec = UTIME_NOW;
		tell(device, t, l->path, oracle_moved);
		(void)utimensat(AT_FDCWD, whole, times, 0);
		return;
	}
	if (fstatat(AT_FDCWD, whole, &st, 0))
		return;
	tell(device, t, l->path, oracle_removed);
	write_in_place(device, l->path, value_same_size(l->value));
	times[1] = st.st_mtim;
	if (!dice_one_in(dice, 2))
		return;
	(void)utimensat(AT_FDCWD, whole, times, 0);
	if (disk_is_as_placed(whole))
		oracle_unseen(device, value_count(), l->value);
	disk_hidden(whole, value_count(), l->value);
}

static void
act_rename(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "fdl");
	char to[PATH_ROOM], from_whole[PATH_ROOM], to_whole[PATH_ROOM];

	any_place(t, to);
	if (!l || is_beneath(to, l->path) || is_beneath(l->path, to))
		return;
	if (renameat2(AT_FDCWD, at(device, l->path, from_whole), AT_FDCWD, at(device, to, to_whole), 0))
		return;
	tell(device, t, to, oracle_removed);
	tell(device, t, l->path, oracle_moved);
}

static void
act_swap(int device, const struct tree *t)
{
	const struct leaf *a = any_leaf(t, "fdl"), *b = any_leaf(t, "fdl");
	char one[PATH_ROOM], other[PATH_ROOM];

	if (!a || is_beneath(a->path, b->path) || is_beneath(b->path, a->path))
		return;
	if (renameat2(AT_FDCWD, at(device, a->path, one), AT_FDCWD, at(device, b->path, other), RENAME_EXCHANGE))
		return;
	tell(device, t, a->path, oracle_moved);
	tell(device, t, b->path, oracle_moved);
}

static void
act_mkdir(int device, const struct tree *t)
{
	char path[PATH_ROOM], whole[PATH_ROOM];

	any_place(t, path);
	(void)mkdirat(AT_FDCWD, at(device, path, whole), 0755);
}

static void
remove_leaf(int device, const struct tree *t, const char *path)
{
	char whole[PATH_ROOM];

	tell(device, t, path, oracle_removed);
	for (size_t i = t->n; i-- > 0;) /* sorted by path: what is beneath comes after */
		if (is_beneath(t->leaves[i].path, path))
			(void)unlinkat(AT_FDCWD, at(device, t->leaves[i].path, whole), t->leaves[i].kind == 'd' ? AT_REMOVEDIR : 0);
}

static void
act_remove(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "fdl");

	if (l)
		remove_leaf(device, t, l->path);
}

static void
act_chmod(int device, const struct tree *t)
{
	static const mode_t modes[] = { 0644, 0600, 0755 };
	const struct leaf *l = any_leaf(t, "fd");
	char whole[PATH_ROOM];

	if (!l)
		return;
	tell(device, t, l->path, oracle_moved);
	(void)chmod(at(device, l->path, whole), l->kind == 'd' ? (dice_one_in(dice, 2) ? 0755 : 0700) : modes[dice_below(dice, 3)]);
}

static void
act_link(int device, const struct tree *t)
{
	char path[PATH_ROOM], whole[PATH_ROOM], target[32];

	any_place(t, path);
	snprintf(target, sizeof target, "to-%u", dice_below(dice, 8));
	(void)symlinkat(target, AT_FDCWD, at(device, path, whole));
}

/* Something of another kind takes the place. */
static void
act_replace(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "fdl");
	char whole[PATH_ROOM];

	if (!l)
		return;
	remove_leaf(device, t, l->path);
	at(device, l->path, whole);
	if (l->kind == 'd')
		write_in_place(device, l->path, value_new(dice, VALUE_NONE));
	else if (dice_one_in(dice, 2))
		(void)mkdirat(AT_FDCWD, whole, 0755);
	else if (l->kind == 'f')
		(void)symlinkat("replaced", AT_FDCWD, whole);
	else
		write_in_place(device, l->path, value_new(dice, VALUE_NONE));
}

static void
act_copy(int device, const struct tree *t)
{
	const struct leaf *l = any_leaf(t, "f");
	char path[PATH_ROOM], whole[PATH_ROOM];

	any_place(t, path);
	if (!l || l->value == VALUE_NONE || l->value == VALUE_TORN || is_there(at(device, path, whole)))
		return;
	oracle_moved(device, l->value);
	write_in_place(device, path, l->value);
}

typedef void (*act_fn)(int device, const struct tree *t);
static const act_fn acts[] = { act_create, act_create, act_edit, act_edit, act_touch, act_rename, act_rename, act_swap, act_mkdir, act_remove,
	act_chmod, act_link, act_replace, act_copy };

void
user_start(struct dice *d)
{
	dice = d;
	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		weights[i] = dice_below(dice, 3); /* of each kind none, some or many: see README.md, swarm */
	weights[0] += 1;
	names_used = 2 + dice_below(dice, NAMES - 1);
	deep = dice_below(dice, 3);
}

static void
show(int device)
{
	struct tree t;

	user_tree(roots[device], &t);
	for (size_t i = 0; i < t.n; i++)
		fprintf(stderr, "%s%s%s%s%u", i ? ", " : "   ", t.leaves[i].path, t.leaves[i].kind == 'd' ? "/" : "",
		    t.leaves[i].kind == 'l' ? t.leaves[i].target : " ", t.leaves[i].value);
	fputc('\n', stderr);
	tree_free(&t);
}

void
user_act(int device)
{
	bool was = disk_outside(true);
	int clock = time_as(device);
	uint32_t all = 0, pick;
	uint64_t most;
	struct tree t;
	size_t i = 0;

	sched_hold();
	for (size_t k = 0; k < ARRAY_LEN(acts); k++)
		all += weights[k];
	for (pick = dice_below(dice, all); pick >= weights[i]; i++)
		pick -= weights[i];
	trace("act", (uint64_t)device, i);
	oracle_act(device);
	user_tree(roots[device], &t);
	acts[i](device, &t);
	tree_free(&t);
	if (trace_is_shown())
		show(device);
	sched_release();
	time_as(clock);
	most = dice_one_in(dice, 3) ? UINT64_C(3000000) : UINT64_C(3000000000); /* ns */
	time_pass((int64_t)(dice_u64(dice) % most));
	disk_outside(was);
}

/* ---- whole folders -------------------------------------------------------------------------------------------------------------------------- */

static void
copy_file(const char *from, const char *to, mode_t mode)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char buf[65536];
	ssize_t n;

	if (in < 0 || out < 0)
		fail("sim", "copy %s to %s: %s", from, to, strerror(errno));
	while ((n = read(in, buf, sizeof buf)) > 0)
		if (write(out, buf, (size_t)n) != n)
			fail("sim", "copy %s", from);
	(void)fchmod(out, mode);
	close(in);
	close(out);
	vfs_copy(from, to);
}

static void
copy_tree(const char *from, const char *to)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	char target[PATH_ROOM];
	struct dirent *e;
	struct stat st;
	ssize_t n;
	DIR *d;

	if (fstatat(AT_FDCWD, from, &st, AT_SYMLINK_NOFOLLOW))
		fail("sim", "copy %s", from);
	if (S_ISREG(st.st_mode)) {
		copy_file(from, to, st.st_mode & 0777);
	} else if (S_ISLNK(st.st_mode)) {
		n = readlinkat(AT_FDCWD, from, target, sizeof target - 1);
		target[MAX(n, 0)] = '\0';
		(void)symlinkat(target, AT_FDCWD, to);
	} else if (S_ISDIR(st.st_mode)) {
		(void)mkdirat(AT_FDCWD, to, 0700);
		d = opendir(from);
		while (d && (e = readdir(d))) {
			char from_one[PATH_ROOM], to_one[PATH_ROOM];

			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			snprintf(from_one, sizeof from_one, "%s/%s", from, e->d_name);
			snprintf(to_one, sizeof to_one, "%s/%s", to, e->d_name);
			copy_tree(from_one, to_one);
		}
		if (d)
			closedir(d);
		(void)chmod(to, st.st_mode & 0777);
	}
	times[1] = st.st_mtim;
	(void)utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW);
}

void
user_copy(const char *from, const char *to)
{
	bool was = disk_outside(true);

	copy_tree(from, to);
	disk_outside(was);
}

static void
remove_tree(const char *path)
{
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
		return;
	if (!S_ISDIR(st.st_mode)) {
		(void)unlinkat(AT_FDCWD, path, 0);
		return;
	}
	d = opendir(path);
	while (d && (e = readdir(d))) {
		char one[PATH_ROOM];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(one, sizeof one, "%s/%s", path, e->d_name);
		remove_tree(one);
	}
	if (d)
		closedir(d);
	(void)unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

void
user_remove(const char *path)
{
	bool was = disk_outside(true);

	remove_tree(path);
	disk_outside(was);
}

void
user_reboot(int device)
{
	static const char *const kept[] = { "state.db", "state.db-wal" };
	bool was = disk_outside(true);
	char old[PATH_ROOM], fresh[PATH_ROOM];

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		snprintf(old, sizeof old, "%s/.dray/%s", roots[device], kept[i]);
		snprintf(fresh, sizeof fresh, "%s/.dray/fresh", roots[device]);
		if (!is_there(old))
			continue;
		copy_file(old, fresh, 0600);
		(void)renameat2(AT_FDCWD, fresh, AT_FDCWD, old, 0);
	}
	snprintf(old, sizeof old, "%s/.dray/state.db-shm", roots[device]);
	(void)unlinkat(AT_FDCWD, old, 0);
	snprintf(old, sizeof old, "%s/.dray/lock", roots[device]);
	(void)unlinkat(AT_FDCWD, old, 0);
	disk_outside(was);
}
