/*
 * What must be true, whatever happened.  The oracle knows which values people have written, had and taken away, and what was on the server after each
 * commit; from that and the trees at the end it says which promise (PROMISES in README.md) was broken.
 */
#include "sim.h"

struct known {
	bool had, removed;
	uint64_t touched; /* the act since which the server has not heard of it, 0: it has */
};

static struct known known[DEVICES][VALUES_MAX], image[DEVICES][VALUES_MAX];
static struct {
	bool now, ever;  /* on the server: by the last commit, and since the last restore */
	bool deleted;    /* from there, by somebody who had it, while nobody else had anything to say about it */
	bool excused;    /* was on a disk that was put back */
	bool kept;       /* in a tree or a trash, at the end */
} values[VALUES_MAX];
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

static void
left(int device, unsigned v)
{
	const struct known *k = &known[device][v];

	if (!k->removed && !k->touched)
		fail("P13", "device %d took value %u from the server, and nobody there has deleted it", device, v);
	if (!k->had)
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
	tree_free(&t);
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
}

/* ---- syncs -------------------------------------------------------------------------------------------------------------------------------- */

static void
on_disk(void *ctx, unsigned v, bool trash)
{
	(void)trash;
	known[*(int *)ctx][v].had = true;
}

static void
look(int device)
{
	struct tree t;

	user_values(user_root(device), on_disk, &device);
	user_tree(user_root(device), &t);
	for (size_t i = 0; i < t.n; i++)
		if (t.leaves[i].value == VALUE_TORN)
			fail("P18", "%s on device %d has bytes that nobody wrote", t.leaves[i].path, device);
	tree_free(&t);
}

static void
compare(const char *promise, int device)
{
	struct tree here, there;
	char text[4096];

	user_tree(user_root(device), &here);
	server_tree(&there);
	if (!tree_same(&here, &there, text, sizeof text))
		fail(promise, "device %d says that it is in sync; here is %s", device, text);
	tree_free(&here);
	tree_free(&there);
}

void
oracle_pass(int device, const struct mark *began, bool identical)
{
	struct mark now = oracle_mark(device);

	look(device);
	if (!identical)
		return;
	if (now.acts == began->acts && now.others == began->others)
		compare("P31", device);
	for (unsigned v = 1; v <= value_count(); v++)
		if (known[device][v].touched <= began->acts)
			known[device][v].touched = 0;
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
excuse(void *ctx, unsigned v, bool trash)
{
	(void)ctx, (void)trash;
	values[v].excused = true;
}

void
oracle_put_back(int device)
{
	user_values(user_root(device), excuse, NULL);
	oracle_act(device);
	for (unsigned v = 1; v <= value_count(); v++) {
		known[device][v].touched = 0;
		if (image[device][v].touched)
			touch(device, v);
		if (image_synced[device] != restores)
			values[v].deleted = false; /* what it knows is of another history, and counts as new */
	}
	synced[device] = image_synced[device];
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------------------------- */

static void
keep(void *ctx, unsigned v, bool trash)
{
	(void)ctx, (void)trash;
	values[v].kept = true;
}

void
oracle_end(void)
{
	for (int i = 0; i < DEVICES; i++) {
		compare("P14", i);
		user_values(user_root(i), keep, NULL);
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
