#include "wire/wire_internal.h"

static const char *const kinds[] = { "file", "dir", "link" };

const char *
wire_kind_name(int kind)
{
	return kinds[kind];
}

err_code
wire_kind_read(struct json_in *in, int *out, struct err *err)
{
	const char *s;
	err_code rc = json_need_str(in, "kind", &s, NULL, err);

	if (rc)
		return rc;
	for (int i = 0; i < (int)ARRAY_LEN(kinds); i++) {
		if (strcmp(s, kinds[i]) == 0) {
			*out = i;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_FIELD_RANGE, "%s.kind: \"file\", \"dir\" or \"link\"", in->where);
}

void
wire_mode_write(struct jw *jw, uint32_t mode)
{
	char text[8];

	snprintf(text, sizeof text, "%04o", (unsigned)(mode & 07777));
	jw_kstr(jw, "mode", text);
}

/* ---- extents -------------------------------------------------------------------------------------------------------------- */

void
wire_extents_write(struct jw *jw, const struct wire_extent *e, uint32_t n)
{
	jw_key(jw, "extents");
	jw_array(jw);
	for (uint32_t i = 0; i < n; i++) {
		jw_object(jw);
		jw_khash(jw, "chunk", &e[i].chunk);
		jw_ku64(jw, "first", e[i].first);
		jw_ku64(jw, "count", e[i].count);
		jw_end_object(jw);
	}
	jw_end_array(jw);
}

static err_code
extent_read(json_t *value, const struct json_in *file, struct wire_extent *out, struct err *err)
{
	struct json_in in;
	int64_t first, count;
	err_code rc = json_in_object(value, "extents[]", file->lax, &in, err);

	if (!rc)
		rc = json_need_hash(&in, "chunk", &out->chunk, err);
	if (!rc)
		rc = json_need_i64(&in, "first", 0, CHUNK_BLOCKS_MAX - 1, &first, err);
	if (!rc)
		rc = json_need_i64(&in, "count", 1, CHUNK_BLOCKS_MAX, &count, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (rc)
		return *file->where ? err_wrap(err, "%s", file->where) : rc;
	out->first = (uint32_t)first;
	out->count = (uint32_t)count;
	return ERR_OK;
}

err_code
wire_extents_read(struct json_in *in, struct arena *a, struct wire_extent **out, uint32_t *n, bool *present, struct err *err)
{
	json_t *list;
	err_code rc = json_get_array(in, "extents", BLOCKLIST_UPLOAD_MAX, &list, err);

	*present = list != NULL;
	if (rc || list == NULL || json_array_size(list) == 0)
		return rc;
	*n = (uint32_t)json_array_size(list);
	*out = arena_array(a, *n, sizeof **out);
	if (*out == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many extents");
	for (uint32_t i = 0; i < *n && !rc; i++)
		rc = extent_read(json_array_get(list, i), in, &(*out)[i], err);
	return rc;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

static void
beneath_write(struct jw *jw, const struct wire_beneath *b)
{
	jw_key(jw, "beneath");
	jw_object(jw);
	jw_ki64(jw, "files", b->files);
	jw_ki64(jw, "dirs", b->dirs);
	jw_ki64(jw, "total_size", b->bytes);
	jw_end_object(jw);
}

static err_code
beneath_read(struct json_in *file, struct wire_file *out, struct err *err)
{
	struct json_in in;
	err_code rc = json_get_object(file, "beneath", "beneath", &in, &out->has_beneath, err);

	if (rc || !out->has_beneath)
		return rc;
	rc = json_need_i64(&in, "files", 0, INT64_MAX, &out->beneath.files, err);
	if (!rc)
		rc = json_need_i64(&in, "dirs", 0, INT64_MAX, &out->beneath.dirs, err);
	if (!rc)
		rc = json_need_i64(&in, "total_size", 0, INT64_MAX, &out->beneath.bytes, err);
	return rc ? err_wrap(err, "%s", file->where) : ERR_OK;
}

void
wire_file_write(struct jw *jw, const struct wire_file *f)
{
	jw_object(jw);
	jw_kid(jw, "id", &f->id);
	jw_kstr(jw, "path", f->path);
	jw_kstr(jw, "kind", wire_kind_name(f->kind));
	jw_ki64(jw, "size", f->size);
	jw_ktime_ns(jw, "mtime", f->mtime_ns);
	wire_mode_write(jw, f->mode);
	jw_ki64(jw, "version", f->version);
	if (!hash_is_zero(&f->content))
		jw_khash(jw, "content_hash", &f->content);
	if (f->target != NULL)
		jw_kstr(jw, "target", f->target);
	jw_ktime_us(jw, "created_at", f->created_at);
	jw_ktime_us(jw, "changed_at", f->version);
	jw_kid(jw, "changed_by", &f->changed_by);
	jw_kstr(jw, "state", f->deleted ? "deleted" : "live");
	if (f->unportable)
		jw_kbool(jw, "unportable", true);
	if (f->extents != NULL)
		wire_extents_write(jw, f->extents, f->extent_count);
	if (f->has_beneath)
		beneath_write(jw, &f->beneath);
	jw_end_object(jw);
}

/** Text that outlives the document. */
static err_code
keep(struct arena *a, const char *s, size_t len, const char **out, struct err *err)
{
	*out = arena_strndup(a, s, len);
	return *out ? ERR_OK : err_set(err, ERR_BODY_TOO_LARGE, "too much text");
}

err_code
wire_keep_str(struct json_in *in, const char *key, struct arena *a, const char **out, struct err *err)
{
	const char *s = NULL;
	size_t len = 0;
	err_code rc = json_get_str(in, key, &s, &len, err);

	return rc || s == NULL ? rc : keep(a, s, len, out, err);
}

static err_code
read_state(struct json_in *in, bool *deleted, struct err *err)
{
	const char *s;
	err_code rc = json_need_str(in, "state", &s, NULL, err);

	if (rc)
		return rc;
	*deleted = strcmp(s, "deleted") == 0;
	if (!*deleted && strcmp(s, "live") != 0)
		return err_set(err, ERR_FIELD_RANGE, "%s.state: \"live\" or \"deleted\"", in->where);
	return ERR_OK;
}

err_code
wire_entry_read(struct json_in *in, struct arena *a, struct wire_file *out, struct err *err)
{
	bool mode, mtime, has;
	err_code rc = wire_kind_read(in, &out->kind, err);

	if (!rc)
		rc = json_need_i64(in, "size", 0, (int64_t)FILE_SIZE_MAX, &out->size, err);
	if (!rc)
		rc = json_get_mode(in, "mode", &out->mode, &mode, err);
	if (!rc)
		rc = json_get_time_ns(in, "mtime", &out->mtime_ns, &mtime, err);
	if (!rc)
		rc = json_get_hash(in, "content_hash", &out->content, &has, err);
	if (!rc)
		rc = wire_keep_str(in, "target", a, &out->target, err);
	if (!rc && (!mode || !mtime))
		rc = err_set(err, ERR_FIELD_MISSING, "%s: mode and mtime are needed", in->where);
	if (!rc && out->kind == 2 && out->target == NULL)
		rc = err_set(err, ERR_FIELD_MISSING, "%s.target is missing", in->where);
	return rc;
}

err_code
wire_file_read(json_t *value, const char *where, struct arena *a, struct wire_file *out, struct err *err)
{
	struct json_in in;
	struct wire_extent *extents = NULL;
	bool present;
	err_code rc = json_in_object(value, where, true, &in, err);

	*out = (struct wire_file){ 0 };
	if (!rc)
		rc = json_need_id(&in, "id", &out->id, err);
	if (!rc)
		rc = wire_keep_str(&in, "path", a, &out->path, err);
	if (!rc && out->path == NULL)
		rc = err_set(err, ERR_FIELD_MISSING, "%s.path is missing", where);
	if (!rc)
		rc = wire_entry_read(&in, a, out, err);
	if (!rc)
		rc = json_need_i64(&in, "version", 1, INT64_MAX, &out->version, err);
	if (!rc)
		rc = json_need_time_us(&in, "created_at", &out->created_at, err);
	if (!rc)
		rc = json_need_id(&in, "changed_by", &out->changed_by, err);
	if (!rc)
		rc = read_state(&in, &out->deleted, err);
	if (!rc)
		rc = json_get_bool(&in, "unportable", &out->unportable, err);
	if (!rc)
		rc = wire_extents_read(&in, a, &extents, &out->extent_count, &present, err);
	if (!rc)
		rc = beneath_read(&in, out, err);
	out->extents = extents;
	return rc;
}

err_code
wire_file_parse(const uint8_t *p, size_t len, struct arena *a, struct wire_file *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	err_code rc = json_in_parse(p, len, &doc, err);

	return rc ? rc : wire_file_read(doc, "", a, out, err);
}
