/*
 * What must be true, whatever happened.  The oracle knows which values people have written, had and taken away, and what was on the server after each
 * commit; from that and the trees at the end it says which promise (PROMISES in README.md) was broken.
 */
#include "sim.h"

struct known {
	bool had, removed;
	unsigned over; /* what it was written over unseen, 0: it was not */
	uint64_t touched; /* the act since which the server has not heard of it, 0: it has */
	uint64_t taken;   /* the act in which it was removed, 0: the server has heard of that, and it says nothing of what comes after */
};

static struct known known[DEVICES][VALUES_MAX], image[DEVICES][VALUES_MAX];
static struct {
	bool now, ever;  /* on the server: by the last commit, and since the last restore */
	bool deleted;    /* from there, by somebody who had it, while nobody else had anything to say about it */
	bool excused;    /* was on a disk that was put back */
	bool kept;       /* in a tree or a trash, at the end */
} values[VALUES_MAX];
static struct tree on_server; /* by the last commit */
static uint64_t acts[DEVICES], commits[DEVICES];
static unsigned restores, synced[DEVICES], image_synced[DEVICES]; /* restores that a device had heard of when it was last in sync */

/* ---- what people do ----------------------------------------------------------------------------------------------------------------- */

void
oracle_act(int device)
{
	acts[device]++;
}

static void
touch(int device, unsigned v)
{
	known[device][v].touched = acts[device];
	values[v].deleted = false;
}

void
oracle_wrote(int device, unsigned v)
{
	known[device][v].had = true;
	touch(device, v);
}

void
oracle_moved(int device, unsigned v)
{
	known[device][v].had = true;
	touch(device, v);
}

void
oracle_removed(int device, unsigned v)
{
	known[device][v].had = known[device][v].removed = true;
	known[device][v].taken = acts[device];
}

void
oracle_unseen(int device, unsigned v, unsigned over)
{
	known[device][v].over = over;
}

struct mark
oracle_mark(int device)
{
	struct mark m = { .acts = acts[device] };

	for (int i = 0; i < DEVICES; i++)
		m.others += i == device ? 0 : commits[i];
	return m;
}

/* ---- commits ---------------------------------------------------------------------------------------------------------------------------- */

static bool
nobody_cares(unsigned v)
{
	for (int i = 0; i < DEVICES; i++)
		if (known[i][v].touched || synced[i] != restores)
			return false;
	return true;
}

/*
 * A directory that somebody renames in the moment in which something comes into it takes that along, and he has never had it in his hands: then it is
 * there, and not where it was to be.
 */
static bool
carried_away(int device, unsigned v)
{
	bool found = false, stayed = false;
	struct tree here;

	user_tree(user_root(device), &here);
	for (size_t i = 0; i < here.n; i++) {
		if (here.leaves[i].value != v)
			continue;
		found = true;
		for (size_t k = 0; k < on_server.n; k++)
			stayed |= on_server.leaves[k].value == v && strcmp(on_server.leaves[k].path, here.leaves[i].path) == 0;
	}
	tree_free(&here);
	return found && !stayed;
}

static void
left(int device, unsigned v)
{
	const struct known *k = &known[device][v];
	bool allowed = k->had && (k->taken || k->touched);

	if (!allowed && carried_away(device, v)) {
		oracle_moved(device, v);
		return;
	}
	if (!allowed && !k->taken && !k->touched)
		fail("P13", "device %d took value %u from the server, and nobody there has deleted it", device, v);
	if (!allowed)
		fail("P12", "device %d took value %u from the server, and never had it", device, v);
	values[v].deleted = nobody_cares(v);
}

void
oracle_committed(int device)
{
	bool now[VALUES_MAX] = { 0 };
	struct tree t;

	if (device >= 0)
		commits[device]++;
	else
		restores++;
	server_tree(&t);
	for (size_t i = 0; i < t.n; i++) {
		if (t.leaves[i].value == VALUE_TORN)
			fail("P3", "%s has bytes on the server that nobody wrote", t.leaves[i].path);
		if (strncmp(t.leaves[i].path, ".dray", 5) == 0)
			fail("P18", "%s was sent", t.leaves[i].path);
		now[t.leaves[i].value] = true;
	}
	for (unsigned v = 1; v <= value_count(); v++) {
		if (device < 0)
			values[v].deleted = values[v].ever = false;
		else if (values[v].now && !now[v])
			left(device, v);
		else if (!values[v].now && now[v] && values[v].deleted)
			fail("P16", "device %d brought value %u back, which was deleted", device, v);
		values[v].now = now[v];
		values[v].ever |= now[v];
	}
	tree_free(&on_server);
	on_server = t;
}

/* ---- syncs -------------------------------------------------------------------------------------------------------------------------------- */

static void
on_disk(void *ctx, unsigned v)
{
	known[*(int *)ctx][v].had = true;
}

static void
look(int device, struct tree *t)
{
	user_tree(user_root(device), t);
	user_values(user_root(device), t, on_disk, &device);
	for (size_t i = 0; i < t->n; i++)
		if (t->leaves[i].value == VALUE_TORN)
			fail("P18", "%s on device %d has bytes that nobody wrote", t->leaves[i].path, device);
}

/* With what was there before all that was written unseen, there is no difference. */
static bool
is_unseen(int device, const struct tree *here, const struct tree *there)
{
	struct tree seen = { .n = here->n };
	char text[4096];
	bool same;

	seen.leaves = xcalloc(here->n, sizeof *seen.leaves);
	for (size_t i = 0; i < here->n; i++) {
		unsigned *v = &seen.leaves[i].value;

		seen.leaves[i] = here->leaves[i];
		while (*v < VALUES_MAX && known[device][*v].over)
			*v = known[device][*v].over;
	}
	same = tree_same(&seen, there, text, sizeof text);
	free(seen.leaves);
	return same;
}

static void
compare(const char *promise, int device, const struct tree *here)
{
	struct tree there;
	char text[4096];

	server_tree(&there);
	if (!tree_same(here, &there, text, sizeof text))
		(is_unseen(device, here, &there) ? fail_known : fail)(promise, "device %d says that it is in sync; here is %s", device, text);
	tree_free(&there);
}

void
oracle_pass(int device, const struct mark *began, bool identical)
{
	struct mark now = oracle_mark(device);
	struct tree here;

	look(device, &here);
	if (identical && now.acts == began->acts && now.others == began->others)
		compare("P31", device, &here);
	tree_free(&here);
	if (!identical)
		return;
	for (unsigned v = 1; v <= value_count(); v++) {
		struct known *k = &known[device][v];

		if (k->touched <= began->acts)
			k->touched = 0;
		if (k->taken <= began->acts)
			k->taken = 0;
	}
	synced[device] = restores;
}

/* ---- disks that are put back ---------------------------------------------------------------------------------------------------------------- */

void
oracle_imaged(int device)
{
	memcpy(image[device], known[device], sizeof image[device]);
	image_synced[device] = synced[device];
}

static void
excuse(void *ctx, unsigned v)
{
	(void)ctx;
	values[v].excused = true;
}

void
oracle_put_back(int device)
{
	struct tree t;

	user_tree(user_root(device), &t);
	user_values(user_root(device), &t, excuse, NULL);
	tree_free(&t);
	oracle_act(device);
	for (unsigned v = 1; v <= value_count(); v++) {
		known[device][v].touched = 0;
		known[device][v].taken = image[device][v].taken;
		if (image[device][v].touched)
			touch(device, v);
		if (image_synced[device] != restores)
			values[v].deleted = false; /* what it knows is of another history, and counts as new */
	}
	synced[device] = image_synced[device];
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------------------------- */

static void
keep(void *ctx, unsigned v)
{
	(void)ctx;
	values[v].kept = true;
}

void
oracle_end(void)
{
	disk_doubt(); /* once more, what is there and not what the calls should have left there */
	for (int i = 0; i < DEVICES; i++) {
		struct tree here;

		user_tree(user_root(i), &here);
		compare("P14", i, &here);
		user_values(user_root(i), &here, keep, NULL);
		tree_free(&here);
	}
	for (unsigned v = 1; v <= value_count(); v++) {
		bool removed = false, had = false;

		for (int i = 0; i < DEVICES; i++) {
			removed |= known[i][v].removed;
			had |= known[i][v].had;
		}
		if (had && !removed && !values[v].kept && !values[v].ever && !values[v].excused)
			fail("P15", "value %u was written, and nobody knows where it is", v);
		if (values[v].deleted && values[v].now)
			fail("P16", "value %u was deleted, and is there", v);
	}
}
