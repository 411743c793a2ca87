#include "server/route/route_internal.h"

static err_code
no_room(struct err *err)
{
	return err_set(err, ERR_NO_MEM, "the answer is too large for its memory");
}

static err_code
extents(struct arena *a, const struct blocklist *list, struct wire_file *out, struct err *err)
{
	struct wire_extent *e = arena_array(a, list->extent_count, sizeof *e);

	if (e == NULL)
		return no_room(err);
	for (uint32_t i = 0; i < list->extent_count; i++)
		e[i] = (struct wire_extent){ list->extents[i].chunk, list->extents[i].first, list->extents[i].count };
	out->extents = e;
	out->extent_count = list->extent_count;
	return ERR_OK;
}

err_code
object_file(struct arena *a, const struct file *f, const struct blocklist *list, struct wire_file *out, struct err *err)
{
	char *path = arena_alloc(a, strlen(f->dir) + strlen(f->name) + 2);

	if (path == NULL)
		return no_room(err);
	file_path(f, path);
	*out = (struct wire_file){
		.id = f->id,
		.path = path,
		.kind = (int)f->kind,
		.size = f->size,
		.mtime_ns = f->mtime_ns,
		.mode = f->mode,
		.version = f->version,
		.content = f->content,
		.target = f->kind == KIND_LINK ? f->target : NULL,
		.created_at = f->created_at,
		.changed_by = f->changed_by,
		.deleted = f->deleted_at != 0,
		.unportable = path_unportable(path),
	};
	return list != NULL && list->block_count > 0 ? extents(a, list, out, err) : ERR_OK;
}

void
object_beneath(const struct file *f, struct wire_file *out)
{
	out->has_beneath = f->kind == KIND_DIR && !f->deleted_at;
	out->beneath = (struct wire_beneath){ f->beneath.files, f->beneath.dirs, f->beneath.bytes };
}

err_code
object_files(struct arena *a, struct jw *jw, const struct tree_page *page, bool beneath, struct err *err)
{
	jw_key(jw, "files");
	jw_array(jw);
	for (size_t i = 0; i < page->n; i++) {
		struct wire_file f;
		err_code rc = object_file(a, &page->files[i], page->lists ? &page->lists[i] : NULL, &f, err);

		if (rc)
			return rc;
		if (beneath)
			object_beneath(&page->files[i], &f);
		wire_file_write(jw, &f);
	}
	jw_end_array(jw);
	return ERR_OK;
}

void
object_project(struct jw *jw, const struct project *p)
{
	jw_object(jw);
	jw_kid(jw, "id", &p->id);
	jw_kstr(jw, "name", p->name);
	jw_ktime_us(jw, "created_at", p->created_at);
	jw_ktime_us(jw, "updated_at", p->clock);
	reply_cursor(jw, "cursor", p->clock, &p->epoch);
	jw_khash(jw, "digest", &p->digest);
	jw_ki64(jw, "file_count", p->file_count);
	jw_ki64(jw, "total_size", p->total_bytes);
	jw_ki64(jw, "stored_bytes", p->stored_bytes);
	jw_ki64(jw, "quota_bytes", p->policy.quota_bytes);
	jw_ki64(jw, "keep_versions", p->policy.keep_versions);
	jw_ki64(jw, "keep_days", p->policy.keep_days);
	jw_end_object(jw);
}

const char *
object_role(enum role role, enum device_kind kind)
{
	if (kind == DEVICE_OWNER)
		return "owner";
	return role == ROLE_WRITER ? "writer" : "reader";
}
