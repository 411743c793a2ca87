/* Transfers, snapshots, checkpoints and remembered answers in memory. */
#include "server/meta/meta_mem_internal.h"

/* ---- transfers --------------------------------------------------------------------------------------------------------- */

struct transfer_row {
	struct id project;
	struct transfer transfer;
	int64_t ended_at;
};

static void
transfer_keep(struct meta_tx *tx, const struct transfer_row *r)
{
	struct transfer_row *row = mem_keep(tx, r, sizeof *r);
	struct mem_key k;

	row->transfer.path = mem_keep_text(tx, r->transfer.path);
	mem_key_of_id(&k, &r->transfer.id);
	mem_put(tx, MEM_TRANSFER, &k, row);
}

static const struct transfer_row *
transfer_row(struct meta_tx *tx, const struct id *id)
{
	struct mem_key k;

	mem_key_of_id(&k, id);
	return mem_get(tx, MEM_TRANSFER, &k);
}

static err_code
no_transfer(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "no such transfer");
}

err_code
mem_transfer_add(struct meta_tx *tx, const struct id *project, const struct transfer *t, struct err *err)
{
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	if (transfer_row(tx, &t->id))
		return err_set(err, ERR_EXISTS, "the transfer exists");
	transfer_keep(tx, &(struct transfer_row){ .project = *project, .transfer = *t,
	    .ended_at = t->state == TRANSFER_OPEN ? 0 : t->created_at });
	return ERR_OK;
}

err_code
mem_transfer_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct transfer *out, struct err *err)
{
	const struct transfer_row *row = transfer_row(tx, id);

	if (!row || !id_eq(&row->project, project))
		return no_transfer(err);
	*out = row->transfer;
	out->path = mem_out_text(tx, row->transfer.path);
	return ERR_OK;
}

/* What only a running transfer has. */
static void
running_drop(struct meta_tx *tx, const struct id *id)
{
	struct mem_key k;

	mem_key_of_id(&k, id);
	mem_table_del_prefix(mem_writable(tx, MEM_TRANSFER_CHUNK), &k);
	mem_table_del_prefix(mem_writable(tx, MEM_TRANSFER_BLOCKS), &k);
	mem_table_del_prefix(mem_writable(tx, MEM_TRANSFER_PROGRESS), &k);
}

static void
transfer_stop(struct meta_tx *tx, const struct transfer_row *row, enum transfer_state state, int64_t now_us)
{
	struct transfer_row ended = *row;

	ended.transfer.state = state;
	ended.ended_at = now_us;
	transfer_keep(tx, &ended);
	running_drop(tx, &row->transfer.id);
}

err_code
mem_transfer_end(struct meta_tx *tx, const struct id *project, const struct id *id, enum transfer_state state, int64_t now_us,
    struct err *err)
{
	const struct transfer_row *row = transfer_row(tx, id);

	if (!row || !id_eq(&row->project, project))
		return no_transfer(err);
	if (row->transfer.state == TRANSFER_OPEN)
		transfer_stop(tx, row, state, now_us);
	return ERR_OK;
}

err_code
mem_transfer_open_count(struct meta_tx *tx, const struct id *device, unsigned *n, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	const struct mem_table *t = mem_table(tx, MEM_TRANSFER);
	const struct transfer_row *row;

	(void)err;
	*n = 0;
	for (size_t pos = 0; (row = mem_table_at(t, pos, &all)); pos++)
		*n += row->transfer.state == TRANSFER_OPEN && id_eq(&row->transfer.device, device);
	return ERR_OK;
}

/* Ending one replaces its row in place, so the walk goes on. */
err_code
mem_transfer_expire(struct meta_tx *tx, int64_t now_us, unsigned *n, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	const struct transfer_row *row;
	err_code rc;

	*n = 0;
	for (size_t pos = 0; (row = mem_table_at(mem_table(tx, MEM_TRANSFER), pos, &all)); pos++) {
		if (row->transfer.state != TRANSFER_OPEN || row->transfer.expires_at > now_us)
			continue;
		transfer_stop(tx, row, TRANSFER_EXPIRED, now_us);
		rc = mem_transfer_event(tx, &row->project, &row->transfer.id, "expired", now_us, err);
		if (rc)
			return rc;
		++*n;
	}
	return ERR_OK;
}

/* The row at ${pos}, with all that hangs on it. */
static void
transfer_drop(struct meta_tx *tx, const struct transfer_row *row, size_t pos)
{
	struct mem_key k;

	running_drop(tx, &row->transfer.id);
	mem_key_of_id(&k, &row->transfer.id);
	mem_table_del_prefix(mem_writable(tx, MEM_TRANSFER_EVENT), &k);
	mem_table_del_at(mem_writable(tx, MEM_TRANSFER), pos);
}

void
mem_transfers_drop(struct meta_tx *tx, const struct id *project)
{
	static const struct mem_key all = { .len = 0 };
	const struct transfer_row *row;

	for (size_t pos = 0; (row = mem_table_at(mem_table(tx, MEM_TRANSFER), pos, &all));) {
		if (!id_eq(&row->project, project)) {
			pos++;
			continue;
		}
		transfer_drop(tx, row, pos);
	}
}

err_code
mem_transfer_forget(struct meta_tx *tx, int64_t before_us, unsigned limit, unsigned *n, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	const struct transfer_row *row;

	(void)err;
	*n = 0;
	for (size_t pos = 0; *n < limit && (row = mem_table_at(mem_table(tx, MEM_TRANSFER), pos, &all));) {
		if (row->transfer.state == TRANSFER_OPEN || row->ended_at >= before_us) {
			pos++;
			continue;
		}
		transfer_drop(tx, row, pos);
		++*n;
	}
	return ERR_OK;
}

err_code
mem_transfer_open_list(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit, struct id **out,
    size_t *n, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	const struct mem_table *t = mem_table(tx, MEM_TRANSFER);
	const struct transfer_row *row;
	struct mem_key k = { .len = 0 };

	(void)err;
	if (after)
		mem_key_id(&k, after);
	*out = NULL;
	*n = 0;
	for (size_t pos = after ? mem_table_after(t, &k) : 0; *n < limit && (row = mem_table_at(t, pos, &all)); pos++) {
		if (row->transfer.state != TRANSFER_OPEN || !id_eq(&row->project, project))
			continue;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = row->transfer.id;
	}
	return ERR_OK;
}

/* ---- what a transfer brings -------------------------------------------------------------------------------------------- */

static void
numbered_key(struct mem_key *k, const struct id *transfer, int64_t n)
{
	mem_key_of_id(k, transfer);
	mem_key_i64(k, n);
}

err_code
mem_transfer_chunk_add(struct meta_tx *tx, const struct id *transfer, const struct transfer_chunk *c, int64_t stored_len,
    struct err *err)
{
	const struct transfer_row *row = transfer_row(tx, transfer);
	const struct transfer_chunk *old;
	struct transfer_row counted;
	struct mem_key k;

	if (!row)
		return no_transfer(err);
	numbered_key(&k, transfer, c->n);
	old = mem_get(tx, MEM_TRANSFER_CHUNK, &k);
	if (old)
		return hash_eq(&old->chunk, &c->chunk) ? ERR_OK : err_set(err, ERR_EXISTS, "number %u holds another chunk", c->n);
	mem_put(tx, MEM_TRANSFER_CHUNK, &k, mem_keep(tx, c, sizeof *c));
	counted = *row;
	counted.transfer.chunk_count++;
	counted.transfer.bytes_done += stored_len;
	transfer_keep(tx, &counted);
	return ERR_OK;
}

err_code
mem_transfer_chunk_list(struct meta_tx *tx, const struct id *transfer, uint32_t from, unsigned limit,
    struct transfer_chunk **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_TRANSFER_CHUNK);
	const struct transfer_chunk *row;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, transfer);
	numbered_key(&k, transfer, from);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &k); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = *row;
	}
	return ERR_OK;
}

err_code
mem_transfer_blocks_put(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
    uint32_t block_count, struct err *err)
{
	struct mem_bytes row;
	struct mem_key k;

	(void)block_count; /* a column for operators; the page says it too */
	if (!transfer_row(tx, transfer))
		return no_transfer(err);
	row = (struct mem_bytes){ .p = mem_keep(tx, packed, len), .len = len };
	numbered_key(&k, transfer, (int64_t)first);
	mem_put(tx, MEM_TRANSFER_BLOCKS, &k, mem_keep(tx, &row, sizeof row));
	return ERR_OK;
}

err_code
mem_transfer_blocks_get(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t **packed, size_t *len,
    struct err *err)
{
	const struct mem_bytes *row;
	struct mem_key k;

	numbered_key(&k, transfer, (int64_t)first);
	row = mem_get(tx, MEM_TRANSFER_BLOCKS, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no page starts at that block");
	*packed = arena_memdup(tx->arena, row->p, row->len);
	*len = row->len;
	return ERR_OK;
}

err_code
mem_transfer_blocks_list(struct meta_tx *tx, const struct id *transfer, int64_t after, unsigned limit, struct transfer_page **out,
    size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_TRANSFER_BLOCKS);
	const struct mem_bytes *row;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, transfer);
	numbered_key(&k, transfer, after);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		uint64_t first;

		memcpy(&first, t->rows[pos].key + prefix.len, sizeof first); /* as mem_key_i64 wrote it */
		first = __builtin_bswap64(first) ^ UINT64_C(1) << 63;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = (struct transfer_page){ .first = (int64_t)first, .packed = arena_memdup(tx->arena, row->p, row->len),
			.len = row->len };
	}
	return ERR_OK;
}

/* ---- progress and milestones ------------------------------------------------------------------------------------------- */

err_code
mem_transfer_progress(struct meta_tx *tx, const struct id *transfer, int64_t bytes_done, int64_t now_us, struct err *err)
{
	struct transfer_progress row = { .bytes_done = bytes_done, .updated_at = now_us };
	struct mem_key k;

	if (!transfer_row(tx, transfer))
		return no_transfer(err);
	mem_key_of_id(&k, transfer);
	mem_put(tx, MEM_TRANSFER_PROGRESS, &k, mem_keep(tx, &row, sizeof row));
	return ERR_OK;
}

err_code
mem_transfer_progress_get(struct meta_tx *tx, const struct id *transfer, struct transfer_progress *out, struct err *err)
{
	const struct transfer_progress *row;
	struct mem_key k;

	mem_key_of_id(&k, transfer);
	row = mem_get(tx, MEM_TRANSFER_PROGRESS, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "the transfer has no progress");
	*out = *row;
	return ERR_OK;
}

err_code
mem_transfer_event(struct meta_tx *tx, const struct id *project, const struct id *transfer, const char *event, int64_t now_us,
    struct err *err)
{
	const struct transfer_row *t = transfer_row(tx, transfer);
	struct transfer_event row = { .at = now_us };
	struct mem_key k;
	int64_t n = 0;

	if (!t || !id_eq(&t->project, project))
		return no_transfer(err);
	row.event = mem_keep_text(tx, event);
	do
		numbered_key(&k, transfer, ++n);
	while (mem_get(tx, MEM_TRANSFER_EVENT, &k));
	mem_put(tx, MEM_TRANSFER_EVENT, &k, mem_keep(tx, &row, sizeof row));
	return ERR_OK;
}

err_code
mem_transfer_event_list(struct meta_tx *tx, const struct id *transfer, unsigned limit, struct transfer_event **out, size_t *n,
    struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_TRANSFER_EVENT);
	const struct transfer_event *row;
	struct mem_key prefix;

	(void)err;
	mem_key_of_id(&prefix, transfer);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &prefix); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = (struct transfer_event){ .event = mem_out_text(tx, row->event), .at = row->at };
	}
	return ERR_OK;
}

err_code
mem_transfer_event_expire(struct meta_tx *tx, int64_t before_us, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	struct mem_table *t = mem_writable(tx, MEM_TRANSFER_EVENT);
	const struct transfer_event *row;

	(void)err;
	for (size_t pos = 0; (row = mem_table_at(t, pos, &all));) {
		if (row->at < before_us)
			mem_table_del_at(t, pos);
		else
			pos++;
	}
	return ERR_OK;
}

/* ---- snapshots --------------------------------------------------------------------------------------------------------- */

static void
format_key(struct mem_key *k, const struct id *project, int format)
{
	mem_key_of_id(k, project);
	mem_key_i64(k, format);
}

err_code
mem_snapshot_add(struct meta_tx *tx, const struct id *project, const struct snapshot *s, struct err *err)
{
	struct mem_key k;
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	format_key(&k, project, s->format);
	mem_key_i64(&k, s->clock);
	mem_key_id(&k, &s->id);
	if (mem_get(tx, MEM_SNAPSHOT, &k))
		return err_set(err, ERR_EXISTS, "the snapshot exists");
	mem_put(tx, MEM_SNAPSHOT, &k, mem_keep(tx, s, sizeof *s));
	return ERR_OK;
}

/* ${object} NULL: of whatever bytes. */
static err_code
newest(struct meta_tx *tx, const struct id *project, int format, const struct hash *object, int64_t now_us, struct snapshot *out,
    struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_SNAPSHOT);
	const struct snapshot *row, *found = NULL;
	struct mem_key prefix;

	format_key(&prefix, project, format);
	for (size_t pos = mem_table_seek(t, &prefix); (row = mem_table_at(t, pos, &prefix)); pos++) {
		if (row->expires_at > now_us && (!object || hash_eq(&row->object, object)))
			found = row;
	}
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "no such snapshot");
	*out = *found;
	return ERR_OK;
}

err_code
mem_snapshot_latest(struct meta_tx *tx, const struct id *project, int format, int64_t now_us, struct snapshot *out,
    struct err *err)
{
	return newest(tx, project, format, NULL, now_us, out, err);
}

err_code
mem_snapshot_named(struct meta_tx *tx, const struct id *project, int format, const struct hash *object, int64_t now_us,
    struct snapshot *out, struct err *err)
{
	return newest(tx, project, format, object, now_us, out, err);
}

err_code
mem_snapshot_expire(struct meta_tx *tx, const struct id *project, int64_t now_us, struct snapshot **out, size_t *n,
    struct err *err)
{
	struct mem_table *t = mem_writable(tx, MEM_SNAPSHOT);
	const struct snapshot *row;
	struct mem_key prefix;

	(void)err;
	mem_key_of_id(&prefix, project);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &prefix); (row = mem_table_at(t, pos, &prefix));) {
		if (row->expires_at > now_us) {
			pos++;
			continue;
		}
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = *row;
		mem_table_del_at(t, pos);
	}
	return ERR_OK;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------- */

err_code
mem_checkpoint_put(struct meta_tx *tx, const struct id *project, const struct checkpoint *c, struct err *err)
{
	struct checkpoint *row;
	struct mem_key k;
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (!rc)
		rc = mem_need_device(tx, &c->device, err);
	if (rc)
		return rc;
	row = mem_keep(tx, c, sizeof *c);
	row->device_name = NULL;
	mem_key_of_ids(&k, project, &c->device);
	mem_put(tx, MEM_CHECKPOINT, &k, row);
	return ERR_OK;
}

err_code
mem_checkpoint_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct checkpoint *out,
    struct err *err)
{
	const struct checkpoint *row;
	struct device d;
	struct mem_key k;
	err_code rc;

	mem_key_of_ids(&k, project, device);
	row = mem_get(tx, MEM_CHECKPOINT, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "the device has no checkpoint");
	rc = mem_device_get(tx, device, &d, err);
	if (rc)
		return rc;
	*out = *row;
	out->device_name = d.name;
	return ERR_OK;
}

static bool
is_live(struct meta_tx *tx, const struct id *project, const struct checkpoint *c, int64_t seen_us)
{
	struct device d;
	enum role role;

	if (mem_device_get(tx, &c->device, &d, NULL) || d.revoked_at || MAX(d.last_seen_at, c->updated_at) < seen_us)
		return false;
	return d.kind == DEVICE_OWNER || (!mem_grant_get(tx, &c->device, project, &role, NULL) && role != ROLE_NONE);
}

err_code
mem_checkpoint_slowest(struct meta_tx *tx, const struct id *project, int64_t seen_us, int64_t *clock, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_CHECKPOINT);
	const struct checkpoint *c;
	struct mem_key prefix;
	struct project p;
	err_code rc = mem_project_get(tx, project, &p, err);

	*clock = INT64_MAX;
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_seek(t, &prefix); (c = mem_table_at(t, pos, &prefix)); pos++) {
		if (id_eq(&c->epoch, &p.epoch) && is_live(tx, project, c, seen_us))
			*clock = MIN(*clock, c->clock);
	}
	return ERR_OK;
}

/* ---- deletions within an hour ------------------------------------------------------------------------------------------ */

err_code
mem_delete_hour_put(struct meta_tx *tx, const struct id *project, const struct id *device, const struct delete_hour *h, struct err *err)
{
	struct mem_key k;
	err_code rc = mem_need_project(tx, project, err);

	if (!rc)
		rc = mem_need_device(tx, device, err);
	if (rc)
		return rc;
	mem_key_of_ids(&k, project, device);
	mem_put(tx, MEM_DELETE_HOUR, &k, mem_keep(tx, h, sizeof *h));
	return ERR_OK;
}

err_code
mem_delete_hour_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct delete_hour *out, struct err *err)
{
	const struct delete_hour *row;
	struct mem_key k;

	(void)err;
	mem_key_of_ids(&k, project, device);
	row = mem_get(tx, MEM_DELETE_HOUR, &k);
	*out = row ? *row : (struct delete_hour){ .began_at = 0 };
	return ERR_OK;
}

/* ---- remembered answers ------------------------------------------------------------------------------------------------- */

err_code
mem_idempotent_add(struct meta_tx *tx, const struct idempotent *i, struct err *err)
{
	struct idempotent *row;
	struct mem_key k;

	mem_key_of_hash(&k, &i->device, &i->key_hash);
	if (mem_get(tx, MEM_IDEMPOTENT, &k))
		return err_set(err, ERR_EXISTS, "the idempotency key is taken");
	row = mem_keep(tx, i, sizeof *i);
	row->body = mem_keep(tx, i->body, i->body_len);
	mem_put(tx, MEM_IDEMPOTENT, &k, row);
	return ERR_OK;
}

err_code
mem_idempotent_get(struct meta_tx *tx, const struct id *device, const struct hash *key_hash, struct idempotent *out,
    struct err *err)
{
	const struct idempotent *row;
	struct mem_key k;

	mem_key_of_hash(&k, device, key_hash);
	row = mem_get(tx, MEM_IDEMPOTENT, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no answer is remembered");
	*out = *row;
	out->body = arena_memdup(tx->arena, row->body, row->body_len);
	return ERR_OK;
}

err_code
mem_idempotent_expire(struct meta_tx *tx, int64_t before_us, struct err *err)
{
	static const struct mem_key all = { .len = 0 };
	struct mem_table *t = mem_writable(tx, MEM_IDEMPOTENT);
	const struct idempotent *row;

	(void)err;
	for (size_t pos = 0; (row = mem_table_at(t, pos, &all));) {
		if (row->created_at < before_us)
			mem_table_del_at(t, pos);
		else
			pos++;
	}
	return ERR_OK;
}
