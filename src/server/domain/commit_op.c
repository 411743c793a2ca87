/*
 * Put, delete and restore on the tree as it is.
 *
 *   state that is there already   -> ok, unchanged, whatever the base: repeating an operation has the effect of one (I5).  A put without content
 *                                    asks for the bytes of its base
 *   put without base, path taken  -> NAME_EXISTS, with what is there
 *   base older than the file      -> VERSION_CONFLICT, with what is there; newer than it: BASE_INVALID
 *   put with base, path free      -> VERSION_CONFLICT with nothing beside: the file was deleted or moved away since
 *   delete of a tombstone         -> ok, unchanged
 *   put of another kind on a base -> the old file becomes a tombstone, a new file with a new id takes its place; a directory must be
 *                                    empty (NOT_EMPTY).  So an id never changes its kind, and devices see a delete and an add.
 *
 * Each operation looks at everything first and writes last: one that is refused has changed nothing.
 */
#include "base/fault.h"
#include "server/domain/commit_internal.h"

/* ---- put --------------------------------------------------------------------------------------------------------- */

/*
 * A put that leaves the bytes as they are means those of its base.  When they are others by now, the state that it asks for is not there, however its time and
 * mode agree: whoever was told so would take what he has for what is here.
 */
static err_code
content_kept(struct apply *ap, const struct op *op, const struct file *current, struct op_result *r, struct err *err)
{
	struct version v;
	err_code rc;

	if (!op->has_base || op->base >= current->version || FAULT("domain.keeps_what_is_there"))
		return ERR_OK; /* newer than what is there is for base_check to say */
	rc = meta_version_get(ap->tx, ap->run->project, &current->id, op->base, &v, err);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc || !hash_eq(&v.content, &current->content))
		return result_conflict(ap, r, ERR_VERSION_CONFLICT, "the file has other bytes by now", current, err);
	return ERR_OK;
}

/* What the bytes of a put are, with those that are named by version or left as they are. */
static err_code
put_content(struct apply *ap, const struct op *op, const struct content *ct, const struct file *current, struct content *out,
    struct op_result *r, struct err *err)
{
	struct version v;
	err_code rc;

	*out = *ct;
	if (ct->keep) {
		if (!current || current->kind != KIND_FILE)
			return result_fail(r, ERR_FIELD_MISSING, NULL, "there is no content to keep");
		out->hash = current->content;
		out->size = current->size;
		out->list = current->list;
		rc = content_kept(ap, op, current, r, err);
		if (rc || r->code)
			return rc;
	}
	if (op->entry != KIND_FILE || op->source != CONTENT_FROM)
		return ERR_OK;
	rc = meta_version_get(ap->tx, ap->run->project, &op->from_file, op->from_version, &v, err);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc || v.kind != KIND_FILE || v.deleted)
		return result_fail(r, ERR_NOT_FOUND, NULL, "there is no such version to copy from");
	if (!hash_is_zero(&op->content) && !hash_eq(&op->content, &v.content))
		return result_fail(r, ERR_FILE_HASH_MISMATCH, NULL, "that version has another content");
	if (!hash_is_zero(&op->content) && op->size != v.size)
		return result_fail(r, ERR_SIZE_MISMATCH, NULL, "that version has another size");
	out->hash = v.content;
	out->size = v.size;
	out->list = v.list;
	return ERR_OK;
}

/* The same bytes again, with another mode or time: the list that the file has will do. */
static void
keep_list(const struct file *current, struct content *ct)
{
	if (!current || current->kind != KIND_FILE || current->size != ct->size || !hash_eq(&current->content, &ct->hash))
		return;
	ct->list = current->list;
	ct->first = NULL;
}

/* Whether a put would change nothing. */
static bool
put_is_there(const struct op *op, const struct content *ct, const struct file *f)
{
	if (op->entry != f->kind)
		return false;
	if (f->kind != KIND_DIR && !hash_eq(&ct->hash, &f->content))
		return false;
	if (f->kind == KIND_FILE && ct->size != f->size)
		return false;
	if (f->kind != KIND_LINK && op->has_mode && (op->mode & 0777) != f->mode)
		return false;
	return !op->has_mtime || op->mtime_ns == f->mtime_ns;
}

static uint32_t
default_mode(enum kind kind)
{
	return kind == KIND_DIR ? 0755 : kind == KIND_LINK ? 0777 : 0644;
}

/* What a put makes: of ${old}, the file of the same kind that it changes, or of nothing. */
static struct file
put_state(const struct apply *ap, const struct op *op, const struct content *ct, const struct file *old, const struct place *at)
{
	struct file f = { .id = old ? old->id : id_new(), .dir = at->dir, .name = at->name, .kind = op->entry };

	f.created_at = old ? old->created_at : 0;
	f.size = ct->size;
	f.content = ct->hash;
	f.list = ct->list;
	f.target = op->entry == KIND_LINK ? op->target : "";
	f.mode = old ? old->mode : default_mode(op->entry);
	if (op->has_mode && op->entry != KIND_LINK)
		f.mode = op->mode & 0777;
	f.mtime_ns = op->has_mtime ? op->mtime_ns : ap->now_ns;
	return f;
}

static err_code
pages_write(struct apply *ap, const struct content *ct, struct err *err)
{
	err_code rc = ERR_OK;

	if (!ct->first)
		return ERR_OK;
	for (const struct page *p = ct->rest; !rc && p; p = p->next)
		rc = meta_blocks_add(ap->tx, ap->run->project, &ct->list, p->n, p->data, p->len, err);
	if (!rc)
		rc = meta_blocks_add(ap->tx, ap->run->project, &ct->list, 0, ct->first->data, ct->first->len, err);
	return rc ? err_wrap(err, "write the block list") : ERR_OK;
}

static err_code
tombstone(struct apply *ap, const struct file *f, struct file *out, struct err *err)
{
	err_code rc;

	*out = *f;
	out->deleted_at = 1; /* apply_change makes it the clock */
	out->list = (struct id){ { 0 } };
	if (f->kind == KIND_DIR)
		parent_forget(ap);
	rc = apply_change(ap, f, out, err);
	return rc ? rc : conflict_copy_gone(ap, &f->id, err);
}

/* Whether the tree lets the put happen; ${r} says why not. */
static err_code
put_allowed(struct apply *ap, const struct op *op, const struct file *current, struct op_result *r, struct err *err)
{
	bool empty = true;
	err_code rc;

	if (!current && !op->has_base)
		return ERR_OK;
	if (!current && op->base > ap->project.clock)
		return result_fail(r, ERR_BASE_INVALID, NULL, "the base is newer than the project");
	if (!current)
		return result_fail(r, ERR_VERSION_CONFLICT, NULL, "the file is no longer at this path");
	if (!op->has_base)
		return result_conflict(ap, r, ERR_NAME_EXISTS, "something has that name already", current, err);
	rc = base_check(ap, op, current, r, err);
	if (rc || r->code || current->kind == op->entry)
		return rc;
	rc = dir_is_empty(ap, current, &empty, err);
	if (!rc && !empty)
		return result_conflict(ap, r, ERR_NOT_EMPTY, "the directory is not empty", current, err);
	if (!rc && (current->kind == KIND_DIR || op->entry == KIND_DIR))
		rc = hold_check(ap, current, r, err); /* a link in a file's place is as good as new contents */
	return rc;
}

static err_code
put_write(struct apply *ap, const struct op *op, const struct content *ct, const struct file *current, struct op_result *r,
    struct err *err)
{
	const struct file *same = current && current->kind == op->entry ? current : NULL;
	struct place at;
	struct file f, gone;
	err_code rc = pages_write(ap, ct, err);

	if (!rc && current && !same)
		rc = tombstone(ap, current, &gone, err);
	if (rc)
		return rc;
	place_of(op->path, &at);
	f = put_state(ap, op, ct, same, &at);
	rc = apply_change(ap, same, &f, err);
	if (!rc)
		result_ok(r, &f, false);
	return rc;
}

err_code
op_put(struct apply *ap, size_t i, struct op_result *r, struct err *err)
{
	const struct op *op = &ap->run->c->ops[i];
	const struct file *current;
	struct content ct;
	struct file there;
	bool found;
	err_code rc = file_there(ap, op->path, &there, &found, err);

	if (rc)
		return rc;
	current = found ? &there : NULL;
	rc = put_content(ap, op, &ap->run->contents[i], current, &ct, r, err);
	if (!rc && !r->code)
		rc = conflict_check(ap, op, r, err);
	if (rc || r->code)
		return rc;
	keep_list(current, &ct);
	if (current && put_is_there(op, &ct, current)) {
		result_ok(r, current, true);
		return conflict_record(ap, op, r, err);
	}
	rc = put_allowed(ap, op, current, r, err);
	if (!rc && !r->code && !current)
		rc = parent_ready(ap, op->path, op->make_parents, r, err);
	if (rc || r->code)
		return rc;
	rc = put_write(ap, op, &ct, current, r, err);
	return rc ? rc : conflict_record(ap, op, r, err);
}

/* ---- delete ------------------------------------------------------------------------------------------------------ */

err_code
op_delete(struct apply *ap, const struct op *op, struct op_result *r, struct err *err)
{
	struct file f, gone;
	bool empty;
	err_code rc = file_known(ap->tx, ap->run->project, &op->file, ap->run->scratch, &f, err);

	if (rc == ERR_NOT_FOUND)
		return result_fail(r, ERR_NOT_FOUND, NULL, "there is no such file here");
	if (rc)
		return rc;
	if (f.deleted_at) {
		result_ok(r, &f, true);
		return ERR_OK;
	}
	rc = base_check(ap, op, &f, r, err);
	if (rc || r->code)
		return rc;
	rc = dir_is_empty(ap, &f, &empty, err);
	if (!rc && !empty)
		return result_conflict(ap, r, ERR_NOT_EMPTY, "the directory is not empty", &f, err);
	if (!rc)
		rc = hold_check(ap, &f, r, err);
	if (rc || r->code)
		return rc;
	rc = tombstone(ap, &f, &gone, err);
	if (!rc)
		result_ok(r, &gone, false);
	return rc;
}

/* ---- restore ----------------------------------------------------------------------------------------------------- */

/* The state that a restore leads to: the old version's, at the place where the file is or was, or at op->path. */
static struct file
restore_state(const struct file *f, const struct version *v, const struct place *at)
{
	struct file out = *f;

	out.dir = at->dir;
	out.name = at->name;
	out.size = v->size;
	out.content = v->content;
	out.list = v->list;
	out.mode = v->mode;
	out.mtime_ns = v->mtime_ns;
	out.target = v->target;
	out.deleted_at = 0;
	return out;
}

static bool
restore_is_there(const struct file *f, const struct file *want)
{
	return !f->deleted_at && hash_eq(&f->content, &want->content) && f->size == want->size && f->mode == want->mode &&
	    f->mtime_ns == want->mtime_ns;
}

/* A tombstone comes back where it was, or at op->path: the place must be free and have a parent. */
static err_code
restore_place(struct apply *ap, const char *path, struct op_result *r, struct err *err)
{
	struct file there;
	bool found;
	err_code rc = file_there(ap, path, &there, &found, err);

	if (!rc && found)
		return result_conflict(ap, r, ERR_NAME_EXISTS, "something has that name already", &there, err);
	return rc ? rc : parent_ready(ap, path, false, r, err);
}

static err_code
restore_to(struct apply *ap, const struct op *op, const struct file *f, const struct version *v, struct op_result *r,
    struct err *err)
{
	char old_path[FILE_PATH_MAX];
	const char *path = op->path ? op->path : file_path(f, old_path);
	struct place at;
	struct file want;
	err_code rc;

	if (op->path && !f->deleted_at && strcmp(op->path, file_path(f, old_path)) != 0)
		return result_fail(r, ERR_FIELD_RANGE, "path", "a file that is there is moved by move");
	place_of(path, &at);
	want = restore_state(f, v, &at);
	if (restore_is_there(f, &want)) {
		result_ok(r, f, true);
		return ERR_OK;
	}
	rc = base_check(ap, op, f, r, err);
	if (!rc && !r->code && f->deleted_at)
		rc = restore_place(ap, path, r, err);
	if (rc || r->code)
		return rc;
	rc = apply_change(ap, f, &want, err);
	if (!rc)
		result_ok(r, &want, false);
	return rc;
}

err_code
op_restore(struct apply *ap, const struct op *op, struct op_result *r, struct err *err)
{
	struct version v;
	struct file f;
	err_code rc = file_known(ap->tx, ap->run->project, &op->file, ap->run->scratch, &f, err);

	if (!rc)
		rc = meta_version_get(ap->tx, ap->run->project, &op->file, op->from_version, &v, err);
	if (rc == ERR_NOT_FOUND || (!rc && v.deleted))
		return result_fail(r, ERR_NOT_FOUND, NULL, "there is no such version to restore");
	return rc ? rc : restore_to(ap, op, &f, &v, r, err);
}
