#include "base/fault.h"
#include "base/map.h"
#include "client/feed.h"
#include "client/remote/snapshot.h"

#define PAGE_MEMORY_MAX (64 * MIB) /* a page of 1,000 files with the longest paths and extents stays far below */
#define EXTENT_LEN (sizeof(struct hash) + 8)

uint8_t *
extents_pack(struct arena *a, const struct wire_extent *x, uint32_t n, size_t *len)
{
	uint8_t *out = arena_must(a, MAX(n * EXTENT_LEN, 1));

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = out + i * EXTENT_LEN;
		memcpy(p, x[i].chunk.b, sizeof x[i].chunk.b);
		put_u32le(p + 32, x[i].first);
		put_u32le(p + 36, x[i].count);
	}
	*len = n * EXTENT_LEN;
	return out;
}

struct entry_extents *
extents_unpack(struct arena *a, const uint8_t *p, size_t len)
{
	uint32_t n = (uint32_t)(len / EXTENT_LEN);
	struct entry_extents *to;

	if (n == 0)
		return NULL;
	to = arena_must(a, sizeof *to + n * sizeof *to->x);
	to->count = n;
	for (uint32_t i = 0; i < n; i++, p += EXTENT_LEN) {
		memcpy(to->x[i].chunk.b, p, sizeof to->x[i].chunk.b);
		to->x[i].first = get_u32le(p + 32);
		to->x[i].count = get_u32le(p + 36);
	}
	return to;
}

/** A reading of the feed from where the state stands to its end. */
struct feed {
	struct state *state;
	struct remote *remote;
	const struct feed_opts *opts;
	uint64_t told;    /* entries, in all */
	struct state_place place;
	int64_t began;    /* struct cursor: of a reading from the beginning, between its pages */
	bool whole;       /* everything is listed again: what is known here and not listed has been deleted there */
	struct map *seen; /* ids, while ${whole} */
	struct snapshot_reader *snapshot; /* what comes next is of it; it leads to no place before its end */
	bool no_snapshot; /* the server cannot make one */
};

struct entry
feed_entry(const struct wire_file *f)
{
	return (struct entry){
		.path = f->path,
		.kind = (enum entry_kind)f->kind,
		.size = f->size,
		.mode = f->mode,
		.mtime_ns = f->mtime_ns,
		.content = f->content,
		.content_known = true,
		.target = f->target ? f->target : "",
		.id = f->id,
		.version = f->version,
	};
}

/* The server is not trusted: a path that could leave the root, or a number that could not be, stops the sync here (I11). */
static err_code
check(const struct wire_file *f, struct err *err)
{
	err_code rc = path_ok(f->path, strlen(f->path), err);

	if (rc)
		return err_set(err, ERR_PROTOCOL, "the server sent an unacceptable path (%s)", err_info(rc)->code);
	if (f->version <= 0 || f->size < 0 || (uint64_t)f->size > FILE_SIZE_MAX)
		return err_set(err, ERR_PROTOCOL, "the server sent a file with impossible numbers: %s", f->path);
	return ERR_OK;
}

/*
 * Whether what was agreed on is what the server says, or newer: our own commit coming back.  A whole listing is asked for when the trees have turned out to
 * differ, so there a version that is known is looked at as well.
 */
static bool
is_agreed(const struct feed *feed, const struct entry *base, const struct entry *e)
{
	if (!feed->whole || base->version != e->version || FAULT("client.believes_versions"))
		return base->version >= e->version;
	return strcmp(base->path, e->path) == 0 && entry_same_content(base, e) && base->size == e->size && entry_same_meta(base, e);
}

static err_code
store_file(struct feed *feed, struct arena *a, const struct wire_file *f, struct err *err)
{
	struct entry e = feed_entry(f), base;
	const uint8_t *extra;
	size_t extra_len;
	err_code rc;

	rc = check(f, err);
	if (rc)
		return rc;
	if (feed->whole && !f->deleted)
		map_put(feed->seen, f->id.b, sizeof f->id.b, feed);
	rc = state_base_by_id(feed->state, &f->id, a, &base, err);
	if (rc == ERR_NOT_FOUND && f->deleted)
		return state_pending_remove(feed->state, &f->id, err); /* came and went while we were away */
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_OK && is_agreed(feed, &base, &e))
		return state_pending_remove(feed->state, &f->id, err);
	extra = extents_pack(a, f->extents, f->extent_count, &extra_len);
	return state_pending_put(feed->state, &e, f->deleted, extra, extra_len, err);
}

static err_code
mark_unlisted(struct feed *feed, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *walk = NULL;
	AUTO(arena_freep) struct arena *a = arena_new(2 * GIB);
	struct entry *gone = NULL;
	const struct entry *e;
	size_t n = 0, known = 0;
	err_code rc = state_base_walk(feed->state, &walk, err);

	while (rc == ERR_OK && (rc = state_walk_next(walk, &e, err)) == ERR_OK && e) {
		known++;
		if (map_get(feed->seen, e->id.b, sizeof e->id.b))
			continue;
		struct entry *copy = arena_must(a, sizeof *copy + sizeof gone);
		*copy = *e;
		copy->path = arena_strdup(a, e->path);
		copy->target = "";
		*(struct entry **)(void *)(copy + 1) = gone; /* a list through the arena */
		gone = copy;
		n++;
	}
	if (rc)
		return rc;
	if (!feed->opts->allow_shrink && n * 4 > known && n > 100)
		return err_set(err, ERR_SERVER_SHRUNK, "the server lists %zu of the %zu entries that this folder knows", known - n, known);
	for (; gone; gone = *(struct entry **)(void *)(gone + 1)) {
		rc = state_pending_put(feed->state, gone, true, NULL, 0, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static err_code
store_page(struct feed *feed, struct arena *a, const struct wire_page *page, struct err *err)
{
	err_code rc = state_begin(feed->state, err);

	for (size_t i = 0; rc == ERR_OK && i < page->n; i++)
		if (!FAULT("client.feed_drops") || i + 1 < page->n)
			rc = store_file(feed, a, &page->files[i], err);
	if (rc == ERR_OK && feed->whole && !page->has_more)
		rc = mark_unlisted(feed, err);
	if (rc == ERR_OK && !feed->snapshot) {
		feed->place.clock = page->cursor.clock;
		feed->place.epoch = page->cursor.epoch;
		feed->place.digest = page->digest;
		feed->began = page->cursor.began;
		feed->place.known = true;
		/* A whole listing counts only when it is complete; an interrupted one starts again. */
		if (!feed->whole || !page->has_more)
			rc = state_place_put(feed->state, &feed->place, err);
	}
	return state_end(feed->state, rc, err);
}

/* After a restore of the server: forget what was agreed, so that both trees are united and nothing counts as deleted. */
static err_code
forget_base(struct feed *feed, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(2 * GIB);
	AUTO(state_walk_freep) struct state_walk *walk = NULL;
	struct name {
		struct name *next;
		const char *path;
	} *names = NULL;
	const struct entry *e;
	err_code rc = state_base_walk(feed->state, &walk, err);

	while (rc == ERR_OK && (rc = state_walk_next(walk, &e, err)) == ERR_OK && e) {
		struct name *n = arena_must(a, sizeof *n);
		*n = (struct name){ .next = names, .path = arena_strdup(a, e->path) };
		names = n;
	}
	if (rc == ERR_OK)
		rc = state_begin(feed->state, err);
	for (; rc == ERR_OK && names; names = names->next)
		rc = state_base_remove(feed->state, names->path, err);
	return rc;
}

static void
see_nothing(struct feed *feed)
{
	map_free(feed->seen);
	feed->seen = map_new();
}

/* What was told by a reading that came to no end leads to no place: some of it may be gone by now. */
static err_code
forget_told(struct feed *feed, struct err *err)
{
	struct state_totals totals;
	err_code rc = state_totals(feed->state, &totals, err);

	see_nothing(feed);
	if (rc || feed->place.known || totals.pending + totals.left_out == 0 || FAULT("client.keeps_half_a_listing"))
		return rc;
	rc = state_begin(feed->state, err);
	if (rc == ERR_OK)
		rc = state_pending_clear(feed->state, err);
	return state_end(feed->state, rc, err);
}

static err_code
start_over(struct feed *feed, bool keep_local, struct err *err)
{
	err_code rc = keep_local ? forget_base(feed, err) : state_begin(feed->state, err);

	feed->place.known = false;
	feed->place.clock = feed->place.reported = feed->began = 0;
	feed->whole = !keep_local;
	see_nothing(feed);
	if (rc == ERR_OK)
		rc = state_pending_clear(feed->state, err);
	if (rc == ERR_OK)
		rc = state_place_put(feed->state, &feed->place, err);
	return state_end(feed->state, rc, err);
}

/*
 * The next page of the snapshot.  A server that cannot make one, its disk being full, say, can still tell all there is in pages: what goes wrong with the
 * snapshot alone is no reason not to come to the end.  *has: there is one.
 */
static err_code
snapshot_page(struct feed *feed, struct arena *a, struct wire_page *page, bool *has, struct err *err)
{
	err_code rc = snapshot_reader_next(feed->snapshot, a, page, err);

	*has = rc == ERR_OK;
	if (rc == ERR_OK && page->has_more)
		return ERR_OK;
	snapshot_reader_free(TAKE(feed->snapshot));
	if (rc == ERR_OK) {
		page->has_more = true; /* the changes since */
		return ERR_OK;
	}
	if (rc == ERR_CANCELLED || rc == ERR_NO_MEM || remote_is_away(rc))
		return rc;
	feed->no_snapshot = true;
	return forget_told(feed, err);
}

static err_code
changes_page(struct feed *feed, struct arena *a, struct wire_page *page, struct err *err)
{
	struct cursor since = { .clock = feed->place.clock, .epoch = feed->place.epoch, .has_epoch = true,
		.began = feed->began };
	err_code rc = remote_changes(feed->remote, feed->place.known ? &since : NULL, a, page, err);

	if (rc)
		return rc;
	/* A feed that does not advance would keep us here for ever. */
	if (page->cursor.clock < since.clock || (page->has_more && page->cursor.clock == since.clock))
		return err_set(err, ERR_PROTOCOL, "the server's change feed does not advance");
	return ERR_OK;
}

/* A tree of more than a page comes faster as a snapshot: in a sixth of the bytes, which the server makes once for all who ask. */
static err_code
next_page(struct feed *feed, struct arena *a, struct wire_page *page, struct err *err)
{
	bool has = false;
	err_code rc = ERR_OK;

	if (!feed->snapshot) {
		rc = changes_page(feed, a, page, err);
		if (rc || feed->place.known || !page->has_more || feed->no_snapshot)
			return rc;
		feed->snapshot = snapshot_reader_open(feed->remote);
		arena_reset(a);
	}
	rc = snapshot_page(feed, a, page, &has, err);
	return rc || has ? rc : changes_page(feed, a, page, err);
}

static err_code
read_all(struct feed *feed, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY_MAX);
	unsigned restarts = 0;
	struct wire_page page = { .has_more = true };
	err_code rc;

	while (page.has_more) {
		arena_reset(a);
		rc = next_page(feed, a, &page, err);
		if ((rc == ERR_EPOCH_CHANGED || rc == ERR_CURSOR_EXPIRED) && restarts++ == 0) {
			rc = start_over(feed, rc == ERR_EPOCH_CHANGED, err);
			page.has_more = true;
		} else if (rc == ERR_OK) {
			rc = store_page(feed, a, &page, err);
			feed->told += page.n;
			if (feed->opts->progress && page.has_more)
				feed->opts->progress(feed->opts->ctx, feed->told);
		}
		if (rc)
			return err_wrap(err, "changes of the server");
	}
	return ERR_OK;
}

err_code
feed_pull(struct state *state, struct remote *remote, const struct feed_opts *opts, struct err *err)
{
	struct feed feed = { .state = state, .remote = remote, .opts = opts };
	struct state_totals totals;
	err_code rc;

	rc = state_place_get(state, &feed.place, err);
	if (rc)
		return rc;
	rc = state_totals(state, &totals, err);
	if (rc)
		return rc;
	feed.whole = !feed.place.known && totals.entries > 0;
	rc = forget_told(&feed, err);
	if (rc == ERR_OK)
		rc = read_all(&feed, err);
	snapshot_reader_free(feed.snapshot);
	map_free(feed.seen);
	return rc;
}
