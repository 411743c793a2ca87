/*
 * One decision for every request (I12).  Project and grant are both looked up whatever the one says, so a project that exists and is
 * not the caller's costs, and answers, the same as one that does not.
 */
#include "base/clock.h"
#include "base/log.h"
#include "server/domain/access.h"
#include "server/domain/domain_internal.h"

/* What the tables say about a token. */
struct finding {
	struct device device;
	enum role role;
	bool known;             /* the project exists and the device may know it */
	struct project project; /* undefined unless it exists */
};

static void
found_at_project(struct finding *f, bool exists, enum role granted)
{
	f->role = f->device.kind == DEVICE_OWNER ? ROLE_WRITER : granted;
	f->known = exists && f->role != ROLE_NONE;
}

static err_code
look_at_project(struct meta_tx *tx, const struct id *project, struct finding *f, struct err *err)
{
	enum role granted;
	bool exists;
	err_code rc = meta_project_get(tx, project, &f->project, err);

	exists = rc == ERR_OK;
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	rc = meta_grant_get(tx, &f->device.id, project, &granted, err);
	if (rc)
		return rc;
	found_at_project(f, exists, granted);
	return ERR_OK;
}

static err_code
look_by_token(struct meta_tx *tx, const struct hash *token_hash, const struct id *project, struct finding *f, struct err *err)
{
	struct token_row row;
	err_code rc = meta_token_get(tx, token_hash, project, &row, err);

	if (rc)
		return rc;
	f->device = row.device;
	if (row.exists)
		f->project = row.project;
	if (project)
		found_at_project(f, row.exists, row.role);
	return ERR_OK;
}

static err_code
look_by_id(struct meta_tx *tx, const struct id *device, const struct id *project, struct finding *f, struct err *err)
{
	err_code rc = meta_device_get(tx, device, &f->device, err);

	return rc || !project ? rc : look_at_project(tx, project, f, err);
}

/* Who is asked about: by a token's hash, or by the id of one who has shown his token before. */
struct who {
	const struct hash *token_hash;
	const struct id *device;
};

static err_code
look(struct meta_tx *tx, const struct who *who, const struct id *project, struct finding *f, struct err *err)
{
	err_code rc = who->token_hash ? look_by_token(tx, who->token_hash, project, f, err) : look_by_id(tx, who->device, project, f, err);

	return rc == ERR_NOT_FOUND ? err_set(err, ERR_TOKEN_INVALID, "the token is not known") : rc;
}

static err_code
decide(const struct finding *f, enum access need, const struct id *project, struct err *err)
{
	if (f->device.revoked_at)
		return err_set(err, ERR_TOKEN_REVOKED, "the token was revoked");
	if (project && !f->known)
		return no_project(err);
	if (need == ACCESS_OWNER && f->device.kind != DEVICE_OWNER)
		return err_set(err, ERR_FORBIDDEN, "this needs the owner's token");
	if (need == ACCESS_WRITER && f->role != ROLE_WRITER)
		return err_set(err, ERR_FORBIDDEN, "this needs a writer's grant");
	if (need == ACCESS_READER && f->role == ROLE_NONE)
		return err_set(err, ERR_FORBIDDEN, "this needs a grant");
	return ERR_OK;
}

/* When a device was last seen is for people to look at: a few minutes late is fine, and a failure is no reason to refuse. */
static void
note_seen(struct domain *d, const struct device *device)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct err err;
	err_code rc;

	if (!recent_due(d->seen, &device->id))
		return;
	rc = meta_begin(d->meta, META_WRITE, &tx, &err);
	if (!rc)
		rc = meta_device_seen(tx, &device->id, clock_wall_us(), &err);
	if (!rc)
		rc = meta_commit(&tx, &err);
	if (rc)
		log_error(&err, "cannot note when a device was last seen");
}

static err_code
check(struct domain *d, const struct who *who, enum access need, const struct id *project, struct arena *a, struct caller *out,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct finding f = { .role = ROLE_NONE };
	err_code rc;

	rc = meta_begin(d->meta, who->token_hash ? META_READ_ONE : META_READ, &tx, err);
	if (!rc)
		rc = look(tx, who, project, &f, err);
	if (!rc)
		rc = decide(&f, need, project, err);
	if (rc)
		return rc;
	out->device = f.device;
	out->role = f.role;
	out->device.name = arena_strdup(a, f.device.name);
	if (!out->device.name)
		return no_memory(err);
	if (project)
		rc = project_copy(a, &f.project, &out->project, err);
	if (rc)
		return rc;
	meta_abort(&tx); /* before the next transaction begins: one thread, one transaction */
	note_seen(d, &out->device);
	return ERR_OK;
}

err_code
access_check(struct domain *d, const char *token, enum access need, const struct id *project, struct arena *a,
    struct caller *out, struct err *err)
{
	struct hash token_hash;

	*out = (struct caller){ .device.name = "" };
	if (need == ACCESS_ANYONE)
		return ERR_OK;
	if (!token)
		return err_set(err, ERR_AUTH_REQUIRED, "this needs a device token");
	token_hash = hash_of(token, strlen(token));
	return check(d, &(struct who){ .token_hash = &token_hash }, need, project, a, out, err);
}

err_code
access_check_known(struct domain *d, const struct id *device, enum access need, const struct id *project, struct arena *a,
    struct caller *out, struct err *err)
{
	*out = (struct caller){ .device.name = "" };
	return check(d, &(struct who){ .device = device }, need, project, a, out, err);
}

err_code
access_again(struct domain *d, const struct id *device, const struct id *project, struct project *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct finding f = { .role = ROLE_NONE };
	err_code rc;

	*out = (struct project){ .name = "" };
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = look_by_id(tx, device, project, &f, err);
	if (!rc)
		rc = decide(&f, project ? ACCESS_READER : ACCESS_DEVICE, project, err);
	if (rc || !project)
		return rc;
	*out = f.project;
	out->name = ""; /* the row's text goes with the transaction */
	return ERR_OK;
}
