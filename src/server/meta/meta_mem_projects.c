/* Projects, devices and grants in memory. */
#include "server/meta/meta_mem_internal.h"

#include <assert.h>

/* ---- projects ---------------------------------------------------------------------------------------------------------- */

static void
project_keep(struct meta_tx *tx, const struct project *p)
{
	struct project *row = mem_keep(tx, p, sizeof *p);
	struct mem_key k;

	row->name = mem_keep_text(tx, p->name);
	mem_key_of_id(&k, &p->id);
	mem_put(tx, MEM_PROJECT, &k, row);
}

static struct project
project_out(struct meta_tx *tx, const struct project *row)
{
	struct project p = *row;

	p.name = mem_out_text(tx, row->name);
	return p;
}

static err_code
project_row(struct meta_tx *tx, const struct id *id, const struct project **out, struct err *err)
{
	struct mem_key k;

	mem_key_of_id(&k, id);
	*out = mem_get(tx, MEM_PROJECT, &k);
	return *out ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such project");
}

/* To be changed, and kept by project_keep. */
static err_code
project_copy(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err)
{
	const struct project *row;
	err_code rc = project_row(tx, id, &row, err);

	if (!rc)
		*out = *row;
	return rc;
}

err_code
mem_project_add(struct meta_tx *tx, const struct project *p, struct err *err)
{
	const struct project *old;
	struct project row = *p;

	if (project_row(tx, &p->id, &old, NULL) == ERR_OK)
		return err_set(err, ERR_EXISTS, "the project exists");
	row.stored_bytes = 0; /* it has no chunks yet */
	project_keep(tx, &row);
	return ERR_OK;
}

err_code
mem_project_get(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err)
{
	const struct project *row;
	err_code rc;

	rc = project_row(tx, id, &row, err);
	if (rc)
		return rc;
	*out = project_out(tx, row);
	return ERR_OK;
}

err_code
mem_project_rename(struct meta_tx *tx, const struct id *id, const char *name, struct err *err)
{
	struct project p;
	err_code rc;

	rc = project_copy(tx, id, &p, err);
	if (rc)
		return rc;
	p.name = name;
	project_keep(tx, &p);
	return ERR_OK;
}

err_code
mem_project_epoch(struct meta_tx *tx, const struct id *id, const struct id *epoch, struct err *err)
{
	struct project p;
	err_code rc;

	rc = project_copy(tx, id, &p, err);
	if (rc)
		return rc;
	p.epoch = *epoch;
	project_keep(tx, &p);
	return ERR_OK;
}

err_code
mem_project_policy(struct meta_tx *tx, const struct id *id, const struct policy *policy, struct err *err)
{
	struct project p;
	err_code rc;

	rc = project_copy(tx, id, &p, err);
	if (rc)
		return rc;
	p.policy = *policy;
	project_keep(tx, &p);
	return ERR_OK;
}

void
mem_project_stored(struct meta_tx *tx, const struct id *project, int64_t delta)
{
	struct project p;

	if (project_copy(tx, project, &p, NULL))
		return; /* chunk rows have been looked for their project before */
	p.stored_bytes += delta;
	project_keep(tx, &p);
}

void
mem_project_horizon(struct meta_tx *tx, const struct id *project, int64_t version)
{
	struct project p;

	if (project_copy(tx, project, &p, NULL))
		return; /* its tombstones were there */
	p.horizon = MAX(p.horizon, version);
	project_keep(tx, &p);
}

/* Grants are kept under two keys, so those of a project go one by one. */
static void
grants_drop(struct meta_tx *tx, const struct id *project)
{
	struct mem_key prefix, k;
	const struct grant *g;

	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_seek(mem_table(tx, MEM_GRANT_PROJECT), &prefix);
	    (g = mem_table_at(mem_table(tx, MEM_GRANT_PROJECT), pos, &prefix));) {
		mem_key_of_ids(&k, &g->device, project);
		mem_table_del(mem_writable(tx, MEM_GRANT), &k);
		mem_table_del_at(mem_writable(tx, MEM_GRANT_PROJECT), pos);
	}
}

err_code
mem_project_delete(struct meta_tx *tx, const struct id *id, struct err *err)
{
	static const enum mem_which by_project[] = { MEM_FILE, MEM_FILE_PATH, MEM_FILE_VERSION, MEM_VERSION, MEM_HISTORY_WALK,
		MEM_CONFLICT, MEM_CONFLICT_AT, MEM_BLOCKS, MEM_CHUNK, MEM_SNAPSHOT, MEM_CHECKPOINT, MEM_DELETE_HOUR };
	struct mem_key k;

	mem_key_of_id(&k, id);
	if (!mem_table_del(mem_writable(tx, MEM_PROJECT), &k))
		return err_set(err, ERR_NOT_FOUND, "no such project");
	for (size_t i = 0; i < ARRAY_LEN(by_project); i++)
		mem_table_del_prefix(mem_writable(tx, by_project[i]), &k);
	grants_drop(tx, id);
	mem_transfers_drop(tx, id);
	return ERR_OK;
}

/* The next project of the list after ${pos}; all projects, or those of a device's grants. */
static const struct project *
project_next(struct meta_tx *tx, const struct id *device, const struct mem_key *prefix, size_t pos)
{
	const struct project *p;
	const struct grant *g;

	if (!device)
		return mem_table_at(mem_table(tx, MEM_PROJECT), pos, prefix);
	g = mem_table_at(mem_table(tx, MEM_GRANT), pos, prefix);
	if (!g || project_row(tx, &g->project, &p, NULL))
		return NULL;
	return p;
}

err_code
mem_project_list(struct meta_tx *tx, const struct id *device, const struct id *after, unsigned limit, struct project **out,
    size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, device ? MEM_GRANT : MEM_PROJECT);
	struct mem_key prefix = { .len = 0 }, k;
	const struct project *p;
	size_t pos;

	(void)err;
	if (device)
		mem_key_id(&prefix, device);
	k = prefix;
	if (after)
		mem_key_id(&k, after);
	pos = after ? mem_table_after(t, &k) : mem_table_seek(t, &k);
	*out = NULL;
	for (*n = 0; *n < limit && (p = project_next(tx, device, &prefix, pos)); ++*n, pos++) {
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[*n] = project_out(tx, p);
	}
	return ERR_OK;
}

err_code
mem_clock_take(struct meta_tx *tx, const struct id *project, int64_t now_us, unsigned n, int64_t *last, struct err *err)
{
	const struct project *row;
	struct project p;
	err_code rc;

	assert(n >= 1);
	rc = project_row(tx, project, &row, err);
	if (rc)
		return rc;
	p = *row;
	p.clock = MAX(now_us, p.clock + (int64_t)n);
	project_keep(tx, &p);
	*last = p.clock;
	return ERR_OK;
}

err_code
mem_project_total(struct meta_tx *tx, const struct id *project, const struct hash *digest, int64_t file_count,
    int64_t total_bytes, struct err *err)
{
	const struct project *row;
	struct project p;
	err_code rc;

	rc = project_row(tx, project, &row, err);
	if (rc)
		return rc;
	p = *row;
	p.digest = *digest;
	p.file_count = file_count;
	p.total_bytes = total_bytes;
	project_keep(tx, &p);
	return ERR_OK;
}

/* ---- devices ----------------------------------------------------------------------------------------------------------- */

static void
device_keep(struct meta_tx *tx, const struct device *d)
{
	struct device *row = mem_keep(tx, d, sizeof *d);
	struct mem_key k = { .len = 0 };

	row->name = mem_keep_text(tx, d->name);
	mem_key_hash(&k, &d->token_hash);
	mem_put(tx, MEM_DEVICE_TOKEN, &k, row);
	mem_key_of_id(&k, &d->id);
	mem_put(tx, MEM_DEVICE, &k, row);
}

static err_code
device_out(struct meta_tx *tx, const struct device *row, struct device *out, struct err *err)
{
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such device");
	*out = *row;
	out->name = mem_out_text(tx, row->name);
	return ERR_OK;
}

err_code
mem_device_add(struct meta_tx *tx, const struct device *d, struct err *err)
{
	struct mem_key id, token = { .len = 0 };

	mem_key_of_id(&id, &d->id);
	mem_key_hash(&token, &d->token_hash);
	if (mem_get(tx, MEM_DEVICE, &id) || mem_get(tx, MEM_DEVICE_TOKEN, &token))
		return err_set(err, ERR_EXISTS, "the device exists");
	device_keep(tx, d);
	return ERR_OK;
}

err_code
mem_device_get(struct meta_tx *tx, const struct id *id, struct device *out, struct err *err)
{
	struct mem_key k;

	mem_key_of_id(&k, id);
	return device_out(tx, mem_get(tx, MEM_DEVICE, &k), out, err);
}

err_code
mem_device_revoke(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err)
{
	struct device d;
	err_code rc;

	rc = mem_device_get(tx, id, &d, err);
	if (rc)
		return rc;
	d.revoked_at = d.revoked_at ? d.revoked_at : now_us;
	device_keep(tx, &d);
	return ERR_OK;
}

err_code
mem_device_seen(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err)
{
	struct device d;
	err_code rc;

	rc = mem_device_get(tx, id, &d, err);
	if (rc)
		return rc;
	d.last_seen_at = now_us;
	device_keep(tx, &d);
	return ERR_OK;
}

/* ---- grants ------------------------------------------------------------------------------------------------------------ */

err_code
mem_grant_set(struct meta_tx *tx, const struct grant *g, struct err *err)
{
	const struct grant *row;
	struct mem_key k, by_project;
	err_code rc;

	mem_key_of_ids(&k, &g->device, &g->project);
	mem_key_of_ids(&by_project, &g->project, &g->device);
	if (g->role == ROLE_NONE) {
		mem_table_del(mem_writable(tx, MEM_GRANT), &k);
		mem_table_del(mem_writable(tx, MEM_GRANT_PROJECT), &by_project);
		return ERR_OK;
	}
	rc = mem_need_device(tx, &g->device, err);
	if (!rc)
		rc = mem_need_project(tx, &g->project, err);
	if (rc)
		return rc;
	row = mem_keep(tx, g, sizeof *g);
	mem_put(tx, MEM_GRANT, &k, row);
	mem_put(tx, MEM_GRANT_PROJECT, &by_project, row);
	return ERR_OK;
}

err_code
mem_grant_get(struct meta_tx *tx, const struct id *device, const struct id *project, enum role *out, struct err *err)
{
	const struct grant *g;
	struct mem_key k;

	(void)err;
	mem_key_of_ids(&k, device, project);
	g = mem_get(tx, MEM_GRANT, &k);
	*out = g ? g->role : ROLE_NONE;
	return ERR_OK;
}

err_code
mem_token_get(struct meta_tx *tx, const struct hash *token_hash, const struct id *project, struct token_row *out, struct err *err)
{
	struct mem_key k = { .len = 0 };
	err_code rc;

	mem_key_hash(&k, token_hash);
	*out = (struct token_row){ .role = ROLE_NONE };
	rc = device_out(tx, mem_get(tx, MEM_DEVICE_TOKEN, &k), &out->device, err);
	if (rc || !project)
		return rc;
	out->exists = mem_project_get(tx, project, &out->project, NULL) == ERR_OK;
	return mem_grant_get(tx, &out->device.id, project, &out->role, err);
}

static err_code
device_row_out(struct meta_tx *tx, const struct id *project, const struct grant *g, struct device_row *out, struct err *err)
{
	err_code rc;

	*out = (struct device_row){ .role = g->role };
	rc = mem_device_get(tx, &g->device, &out->device, err);
	if (rc)
		return rc;
	if (mem_checkpoint_get(tx, project, &g->device, &out->checkpoint, NULL))
		out->checkpoint = (struct checkpoint){ .device = g->device };
	out->checkpoint.device_name = out->device.name;
	return ERR_OK;
}

err_code
mem_device_list(struct meta_tx *tx, const struct id *project, struct device_row **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_GRANT_PROJECT);
	const struct grant *g;
	struct mem_key prefix;

	mem_key_of_id(&prefix, project);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &prefix); (g = mem_table_at(t, pos, &prefix)); pos++) {
		struct device_row row;
		err_code rc;

		rc = device_row_out(tx, project, g, &row, err);
		if (rc)
			return rc;
		if (row.device.revoked_at)
			continue;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = row;
	}
	return ERR_OK;
}
