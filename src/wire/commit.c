#include "wire/wire_internal.h"

static const char *const op_names[] = { "put", "delete", "move", "restore" };

/* ---- writing an operation --------------------------------------------------------------------------------------------------- */

/** A version of another file: {file, version}. */
static void
write_version_of(struct jw *jw, const char *key, const struct id *file, int64_t version)
{
	jw_key(jw, key);
	jw_object(jw);
	jw_kid(jw, "file", file);
	jw_ki64(jw, "version", version);
	jw_end_object(jw);
}

static void
write_content(struct jw *jw, const struct wire_op *op)
{
	jw_ki64(jw, "size", op->size);
	jw_khash(jw, "content_hash", &op->content);
	if (op->has_transfer) {
		jw_kid(jw, "transfer", &op->transfer);
	} else if (op->has_from) {
		write_version_of(jw, "from", &op->from_file, op->from_version);
	} else {
		wire_extents_write(jw, op->extents, op->extent_count);
	}
}

static void
write_put(struct jw *jw, const struct wire_op *op)
{
	jw_kstr(jw, "kind", wire_kind_name(op->kind));
	if (op->has_mode)
		wire_mode_write(jw, op->mode);
	if (op->has_mtime)
		jw_ktime_ns(jw, "mtime", op->mtime_ns);
	if (op->target != NULL)
		jw_kstr(jw, "target", op->target);
	if (op->has_content)
		write_content(jw, op);
	if (op->has_conflict)
		write_version_of(jw, "conflict_of", &op->conflict_file, op->conflict_version);
}

void
wire_op_write(struct jw *jw, const struct wire_op *op)
{
	jw_object(jw);
	jw_kstr(jw, "op", op_names[op->op]);
	if (op->op != WIRE_PUT)
		jw_kid(jw, "id", &op->id);
	if (op->path && op->op != WIRE_DELETE) {
		jw_key(jw, "path");
		jw_strn(jw, op->path, op->path_len ? op->path_len : strlen(op->path));
	}
	if (op->has_base)
		jw_ki64(jw, "base", op->base);
	if (op->op == WIRE_PUT)
		write_put(jw, op);
	if (op->op == WIRE_RESTORE)
		jw_ki64(jw, "version", op->from_version);
	jw_end_object(jw);
}

void
wire_commit_write(struct jw *jw, const struct wire_commit *c)
{
	jw_object(jw);
	jw_key(jw, "operations");
	jw_array(jw);
	for (size_t i = 0; i < c->n; i++)
		wire_op_write(jw, &c->ops[i]);
	jw_end_array(jw);
	if (c->allow_mass_delete)
		jw_kbool(jw, "allow_mass_delete", true);
	jw_end_object(jw);
}

/* ---- reading a batch ---------------------------------------------------------------------------------------------------------- */

static err_code
read_path(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	const char *s;
	err_code rc = json_need_path(in, "path", &s, &op->path_len, err);

	if (rc)
		return rc;
	op->path = arena_strndup(a, s, op->path_len);
	return op->path ? ERR_OK : err_set(err, ERR_BODY_TOO_LARGE, "too much text");
}

/** A restore may say where to. */
static err_code
read_restore(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	const char *s = NULL;
	size_t len;
	err_code rc = json_need_i64(in, "version", 1, INT64_MAX, &op->from_version, err);

	if (!rc)
		rc = json_get_path(in, "path", &s, &len, err);
	return rc || !s ? rc : read_path(in, a, op, err);
}

static err_code
read_base(struct json_in *in, struct wire_op *op, struct err *err)
{
	int64_t base = 0;
	err_code rc = json_get_i64(in, "base", 1, INT64_MAX, &base, err);

	op->has_base = base != 0;
	op->base = base;
	return rc;
}

static err_code
read_version_of(struct json_in *in, const char *key, bool *present, struct id *file, int64_t *version, struct err *err)
{
	struct json_in of;
	err_code rc = json_get_object(in, key, key, &of, present, err);

	if (rc || !*present)
		return rc;
	rc = json_need_id(&of, "file", file, err);
	if (!rc)
		rc = json_need_i64(&of, "version", 1, INT64_MAX, version, err);
	if (!rc)
		rc = json_in_end(&of, err);
	return rc ? err_wrap(err, "%s", in->where) : ERR_OK;
}

/** Exactly one place for the bytes; none only for an empty file. */
static err_code
check_sources(const struct json_in *in, const struct wire_op *op, bool extents, struct err *err)
{
	int n = extents + op->has_transfer + op->has_from;

	if (n > 1)
		return err_set(err, ERR_FIELD_RANGE, "%s: only one of extents, transfer and from", in->where);
	if (n == 0 && op->has_content && op->size > 0)
		return err_set(err, ERR_FIELD_MISSING, "%s: extents, transfer or from is needed", in->where);
	if (n == 1 && !op->has_content)
		return err_set(err, ERR_FIELD_MISSING, "%s: size and content_hash are needed", in->where);
	return ERR_OK;
}

static err_code
read_content(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	int64_t size = -1;
	bool extents, hash;
	/* Sizes past the largest file are well-formed: FILE_TOO_LARGE is the domain's word. */
	err_code rc = json_get_i64(in, "size", 0, INT64_MAX, &size, err);

	if (!rc)
		rc = json_get_hash(in, "content_hash", &op->content, &hash, err);
	if (!rc)
		rc = wire_extents_read(in, a, &op->extents, &op->extent_count, &extents, err);
	if (!rc)
		rc = json_get_id(in, "transfer", &op->transfer, &op->has_transfer, err);
	if (!rc)
		rc = read_version_of(in, "from", &op->has_from, &op->from_file, &op->from_version, err);
	if (rc)
		return rc;
	if ((size >= 0) != hash)
		return err_set(err, ERR_FIELD_MISSING, "%s: size and content_hash come together", in->where);
	op->has_content = hash;
	op->size = hash ? size : 0;
	if (!op->has_content && !op->has_base)
		return err_set(err, ERR_FIELD_MISSING, "%s: a new file needs size and content_hash", in->where);
	return check_sources(in, op, extents, err);
}

static err_code
read_target(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	err_code rc = wire_keep_str(in, "target", a, &op->target, err);

	if (!rc && op->target == NULL && !op->has_base)
		rc = err_set(err, ERR_FIELD_MISSING, "%s.target is missing", in->where);
	return rc;
}

static err_code
read_put(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	err_code rc = read_path(in, a, op, err);

	if (!rc)
		rc = wire_kind_read(in, &op->kind, err);
	if (!rc)
		rc = read_base(in, op, err);
	if (!rc)
		rc = json_get_mode(in, "mode", &op->mode, &op->has_mode, err);
	if (!rc)
		rc = json_get_time_ns(in, "mtime", &op->mtime_ns, &op->has_mtime, err);
	if (!rc && op->kind == 0)
		rc = read_content(in, a, op, err);
	if (!rc && op->kind == 2)
		rc = read_target(in, a, op, err);
	if (!rc)
		rc = read_version_of(in, "conflict_of", &op->has_conflict, &op->conflict_file, &op->conflict_version, err);
	return rc;
}

/** delete, move and restore name the file by its id. */
static err_code
read_by_id(struct json_in *in, struct arena *a, struct wire_op *op, struct err *err)
{
	err_code rc = json_need_id(in, "id", &op->id, err);

	op->has_id = true;
	if (!rc)
		rc = read_base(in, op, err);
	if (!rc && op->op == WIRE_MOVE)
		rc = read_path(in, a, op, err);
	if (!rc && op->op == WIRE_RESTORE)
		rc = read_restore(in, a, op, err);
	return rc;
}

static err_code
read_op_kind(struct json_in *in, enum wire_op_kind *out, struct err *err)
{
	const char *s;
	err_code rc = json_need_str(in, "op", &s, NULL, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < ARRAY_LEN(op_names); i++) {
		if (strcmp(s, op_names[i]) == 0) {
			*out = (enum wire_op_kind)i;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_FIELD_RANGE, "%s.op: \"put\", \"delete\", \"move\" or \"restore\"", in->where);
}

struct batch {
	struct arena *a;
	struct wire_op *ops;
	size_t n;
};

static err_code
batch_op(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct batch *b = ctx;
	struct wire_op *list = wire_grow(b->a, b->ops, b->n, sizeof *list), *op;
	struct json_in in;
	char where[32];
	err_code rc;

	(void)key;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many operations");
	b->ops = list;
	op = &list[b->n++];
	snprintf(where, sizeof where, "operations[%zu]", i);
	rc = json_in_object(value, where, false, &in, err);
	if (!rc)
		rc = read_op_kind(&in, &op->op, err);
	if (!rc)
		rc = op->op == WIRE_PUT ? read_put(&in, b->a, op, err) : read_by_id(&in, b->a, op, err);
	return rc ? rc : json_in_end(&in, err);
}

err_code
wire_commit_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit *out, struct err *err)
{
	static const char *const keys[] = { "operations", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct batch b = { .a = a };
	struct json_each each = { .keys = keys, .max = COMMIT_OPS_MAX, .fn = batch_op, .ctx = &b };
	struct json_in in;
	unsigned seen;
	err_code rc = json_in_parse_each(p, len, &each, &rest, &seen, err);

	*out = (struct wire_commit){ 0 };
	if (!rc)
		rc = json_in_object(rest, "", false, &in, err);
	if (!rc)
		rc = json_get_bool(&in, "allow_mass_delete", &out->allow_mass_delete, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "operations is missing");
	if (!rc && b.n == 0)
		rc = err_set(err, ERR_FIELD_RANGE, "operations: 1 to %d are needed", COMMIT_OPS_MAX);
	out->ops = b.ops;
	out->n = b.n;
	return rc;
}
