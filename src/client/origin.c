#include "client/origin.h"

#define ORIGIN_VERSIONS_MAX 1000 /* a device that was away for longer makes a conflict */
#define PAGE_MEMORY (16 * MIB)

struct search {
	const struct origin_env *env;
	const struct diff_item *item;
	const struct entry *here;
	const struct id *file;
	int64_t after; /* what was agreed on */
	struct entry *out;
	bool found;
};

/* The version, as it would be recorded for what is here. */
static struct entry
as_base(const struct search *s, const struct wire_version *v)
{
	return (struct entry){
		.path = s->item->path,
		.kind = (enum entry_kind)v->kind,
		.size = v->size,
		.mode = v->mode,
		.mtime_ns = v->mtime_ns,
		.content = v->content,
		.content_known = true,
		.target = v->target ? arena_strdup(s->env->a, v->target) : "",
		.id = *s->file,
		.version = v->version,
		.dev = s->here->dev,
		.ino = s->here->ino,
		.ctime_ns = s->here->ctime_ns,
	};
}

static err_code
try_version(struct search *s, const struct wire_version *v, struct err *err)
{
	struct entry base;
	err_code rc;

	if (v->deleted || v->kind != (int)s->here->kind || v->size != s->here->size || strcmp(v->path, s->item->path) != 0)
		return ERR_OK;
	base = as_base(s, v);
	s->found = entry_same_content(s->here, &base);
	if (!s->found && s->here->kind == ENTRY_FILE) {
		rc = layout_same(&s->env->layout, s->here, &base, &s->found, err);
		if (rc)
			return rc == ERR_VERSION_CONFLICT ? ERR_OK : rc; /* its list has been collected */
	}
	if (s->found)
		*s->out = base;
	return ERR_OK;
}

/* *before moves to the oldest of the page; *more false at the end of what is of interest. */
static err_code
try_page(struct search *s, struct arena *page, int64_t *before, size_t *seen, bool *more, struct err *err)
{
	struct wire_version *v;
	size_t n;
	err_code rc = remote_versions(s->env->layout.remote, s->file, *before, page, &v, &n, more, err);

	for (size_t i = 0; rc == ERR_OK && !s->found && i < n; i++) {
		if (v[i].version <= s->after) {
			*more = false;
			break;
		}
		*before = v[i].version;
		rc = try_version(s, &v[i], err);
	}
	*seen += n;
	*more = *more && n > 0 && *seen < ORIGIN_VERSIONS_MAX;
	return rc;
}

err_code
origin_find(const struct origin_env *env, const struct diff_item *item, const struct entry *here, struct entry *out, bool *found,
    struct err *err)
{
	AUTO(arena_freep) struct arena *page = arena_new(PAGE_MEMORY);
	const struct entry *known = item->base ? item->base : item->remote;
	struct search s = {
		.env = env, .item = item, .here = here, .file = &known->id, .after = item->base ? known->version : 0, .out = out
	};
	int64_t before = INT64_MAX;
	size_t seen = 0;
	bool more = true;
	err_code rc = ERR_OK;

	while (rc == ERR_OK && more && !s.found) {
		arena_reset(page);
		rc = try_page(&s, page, &before, &seen, &more, err);
	}
	*found = s.found;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}
