#include "client/history.h"

err_code
history_find(struct session *s, const char *path, struct wire_file *out, struct err *err)
{
	struct wire_file *files;
	size_t n;
	err_code rc;

	if (!*path)
		return err_set(err, ERR_USAGE, "the project itself has no versions; name a file in it");
	rc = remote_at(s->remote, path, s->arena, &files, &n, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "the project has no %s, nor has one been deleted lately", path);
	if (rc)
		return rc;
	*out = files[0];
	return ERR_OK;
}

err_code
history_read(struct session *s, const struct wire_file *f, struct history *out, struct err *err)
{
	int64_t before = INT64_MAX;
	size_t cap = 0;
	bool more = true;

	*out = (struct history){ 0 };
	while (more) {
		struct wire_version *page, *all;
		size_t n;
		err_code rc = remote_versions(s->remote, &f->id, before, s->arena, &page, &n, &more, err);

		if (rc)
			return rc;
		if (out->n + n > cap) {
			cap = MAX(2 * cap, out->n + n);
			all = arena_array(s->arena, cap, sizeof *all);
			if (!all)
				return err_set(err, ERR_NO_MEM, "too many versions");
			if (out->n)
				memcpy(all, out->versions, out->n * sizeof *all);
			out->versions = all;
		}
		if (n)
			memcpy(out->versions + out->n, page, n * sizeof *page);
		out->n += n;
		before = n ? page[n - 1].version : before;
	}
	if (out->n == 0)
		return err_set(err, ERR_NOT_FOUND, "no version of %s is kept", f->path);
	out->pruned = out->versions[out->n - 1].version > f->created_at;
	return ERR_OK;
}

bool
history_renamed(const struct history *h, size_t i)
{
	return i + 1 < h->n && strcmp(h->versions[i].path, h->versions[i + 1].path) != 0;
}

static bool
same_content(const struct wire_version *a, const struct wire_version *b)
{
	return a->kind == b->kind && hash_eq(&a->content, &b->content) && strcmp(a->target ? a->target : "", b->target ? b->target : "") == 0;
}

/* Whether a version before ${i}'s predecessor had just this content: then it came back. */
static bool
came_back(const struct history *h, size_t i)
{
	for (size_t j = i + 2; j < h->n; j++)
		if (!h->versions[j].deleted && same_content(&h->versions[i], &h->versions[j]) && h->versions[i].mtime_ns == h->versions[j].mtime_ns)
			return true;
	return false;
}

const char *
history_what(const struct history *h, size_t i)
{
	const struct wire_version *v = &h->versions[i], *old = i + 1 < h->n ? v + 1 : NULL;

	if (v->deleted)
		return "deleted";
	if (!old)
		return h->pruned ? "kept" : "created";
	if (old->deleted)
		return "restored";
	if (!same_content(v, old))
		return came_back(h, i) ? "restored" : "edited";
	return history_renamed(h, i) ? "renamed" : "mode";
}

static const struct wire_version *
of_time(const struct history *h, int64_t at_us)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->versions[i].version <= at_us)
			return &h->versions[i];
	return NULL;
}

static const struct wire_version *
before_now(const struct history *h)
{
	const struct wire_version *other = NULL;

	if (h->versions[0].deleted) {
		for (size_t i = 1; i < h->n; i++)
			if (!h->versions[i].deleted)
				return &h->versions[i];
		return NULL;
	}
	for (size_t i = 1; i < h->n; i++) {
		const struct wire_version *v = &h->versions[i];

		if (v->deleted)
			continue;
		if (!same_content(v, &h->versions[0]))
			return v;
		if (!other && (v->mode != h->versions[0].mode || v->mtime_ns != h->versions[0].mtime_ns))
			other = v;
	}
	return other;
}

err_code
history_choose(const struct history *h, int64_t version, int64_t at_us, const struct wire_version **out, struct err *err)
{
	*out = NULL;
	if (version) {
		for (size_t i = 0; i < h->n && !*out; i++)
			if (h->versions[i].version == version)
				*out = &h->versions[i];
		if (!*out)
			return err_set(err, ERR_NOT_FOUND, "there is no version %lld; dray log lists what is kept", (long long)version);
	} else {
		*out = at_us ? of_time(h, at_us) : before_now(h);
		if (!*out && at_us)
			return err_set(err, ERR_NOT_FOUND, "no version of that time is kept; dray log lists them");
		if (!*out)
			return err_set(err, ERR_NOT_FOUND, "no other version is kept; there is nothing to bring back");
	}
	if ((*out)->deleted)
		return err_set(err, ERR_NOT_FOUND, "it was deleted then; choose another version");
	return ERR_OK;
}
