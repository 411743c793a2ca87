/*
 * What is wrong with a batch whatever the tree looks like.  Any of it refuses the whole batch before anything is applied: a
 * client that sends such an operation does not know what it is doing with the others either.
 */
#include "server/domain/commit_internal.h"

static err_code
link_check(const struct op *op, struct err *err)
{
	size_t len = op->target ? strlen(op->target) : 0;

	if (len < 1 || len > LINK_TARGET_MAX)
		return err_set(err, ERR_LINK_INVALID, "a link's target is 1 to %d bytes", LINK_TARGET_MAX);
	return ERR_OK;
}

static err_code
size_check(const struct op *op, struct err *err)
{
	if (op->size < 0)
		return err_set(err, ERR_FIELD_RANGE, "size: not negative");
	if ((uint64_t)op->size > FILE_SIZE_MAX)
		return err_set(err, ERR_FILE_TOO_LARGE, "a file has at most 16 TiB");
	return ERR_OK;
}

static err_code
extents_check(const struct op *op, struct err *err)
{
	for (uint32_t i = 0; i < op->extent_count; i++) {
		const struct extent *e = &op->extents[i];

		if (e->count < 1 || e->count > CHUNK_BLOCKS_MAX || e->first > CHUNK_BLOCKS_MAX - e->count)
			return err_set(err, ERR_BLOCKLIST_INVALID, "extents[%u]: a chunk has at most %d blocks", (unsigned)i,
			    CHUNK_BLOCKS_MAX);
	}
	return ERR_OK;
}

/* Where the bytes are said to be must fit the kind; that they are there is for later. */
static err_code
source_check(const struct op *op, struct err *err)
{
	struct hash empty = content_hash_empty();

	if (op->entry != KIND_FILE)
		return op->source == CONTENT_NONE ? ERR_OK : err_set(err, ERR_FIELD_RANGE, "only files have content");
	if (op->source == CONTENT_EXTENTS)
		return extents_check(op, err);
	if (op->source != CONTENT_NONE)
		return ERR_OK;
	/* Nothing named: an empty file, said so by its hash, or, on a base, the content that is there. */
	if (op->size == 0 && hash_eq(&op->content, &empty))
		return ERR_OK;
	if (!hash_is_zero(&op->content) || op->size != 0)
		return err_set(err, ERR_FIELD_MISSING, "content without extents, transfer or from");
	if (!op->has_base)
		return err_set(err, ERR_FIELD_MISSING, "a new file needs its content");
	return ERR_OK;
}

static err_code
put_check(const struct op *op, struct err *err)
{
	err_code rc = ERR_OK;

	if (op->entry != KIND_FILE && op->entry != KIND_DIR && op->entry != KIND_LINK)
		return err_set(err, ERR_FIELD_RANGE, "kind: file, dir or link");
	if (op->entry == KIND_LINK)
		rc = link_check(op, err);
	if (!rc && op->entry == KIND_FILE)
		rc = size_check(op, err);
	return rc ? rc : source_check(op, err);
}

/* Operations on a file that is there: without its version nobody could tell whether the caller has seen what he changes. */
static err_code
base_given(const struct op *op, struct err *err)
{
	return op->has_base ? ERR_OK : err_set(err, ERR_BASE_REQUIRED, "the version that you have seen, as base");
}

/* What lost a name is a new file; what has a base has a name. */
static err_code
conflict_of_check(const struct op *op, struct err *err)
{
	if (op->kind != OP_PUT || op->has_base)
		return err_set(err, ERR_FIELD_RANGE, "conflict_of: a new file is one, which is put without base");
	if (op->conflict_version < 1)
		return err_set(err, ERR_FIELD_RANGE, "conflict_of: a version is positive");
	return ERR_OK;
}

static err_code
op_check(const struct op *op, struct err *err)
{
	bool has_path = op->kind == OP_PUT || op->kind == OP_MOVE || (op->kind == OP_RESTORE && op->path);
	err_code rc = ERR_OK;

	if (has_path && !op->path)
		return err_set(err, ERR_FIELD_MISSING, "path");
	if (has_path)
		rc = path_check(op->path, strlen(op->path), err);
	if (rc)
		return rc;
	if (op->has_base && op->base < 1)
		return err_set(err, ERR_FIELD_RANGE, "base: a version is positive");
	if (op->has_conflict)
		rc = conflict_of_check(op, err);
	if (rc)
		return rc;
	return op->kind == OP_PUT ? put_check(op, err) : base_given(op, err);
}

/* The names that an operation lays claim to: no two of a batch may have one in common. */
static err_code
claim(struct map *seen, const void *key, size_t len, const char *what, struct err *err)
{
	static char mark;

	if (map_put(seen, key, len, &mark))
		return err_set(err, ERR_DUPLICATE_TARGET, "an earlier operation of the batch names the same %s", what);
	return ERR_OK;
}

static err_code
claims_check(struct map *paths, struct map *files, const struct op *op, struct err *err)
{
	err_code rc = ERR_OK;

	if (op->kind == OP_PUT || op->kind == OP_MOVE)
		rc = claim(paths, op->path, strlen(op->path), "path", err);
	if (!rc && op->kind != OP_PUT)
		rc = claim(files, &op->file, sizeof op->file, "file", err);
	return rc;
}

err_code
commit_check(const struct commit_run *run, struct err *err)
{
	AUTO(map_freep) struct map *paths = map_new();
	AUTO(map_freep) struct map *files = map_new();

	for (size_t i = 0; i < run->c->n; i++) {
		err_code rc = op_check(&run->c->ops[i], err);

		if (!rc)
			rc = claims_check(paths, files, &run->c->ops[i], err);
		if (rc)
			return err_wrap(err, "operations[%zu]", i);
	}
	return ERR_OK;
}
