/*
 * A project's devices.  A token is made here, answered once and kept nowhere: the domain gets its hash.
 */
#include "server/notify/notify.h"
#include "server/route/route_internal.h"

struct created {
	struct device device;
	enum role role;
	struct id project;
	const char *token; /* NULL in the answer that is remembered */
};

static err_code
encode_created(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	const struct created *made = ctx;
	struct jw jw = JW(out);

	jw_object(&jw);
	jw_kid(&jw, "id", &made->device.id);
	jw_kstr(&jw, "name", made->device.name);
	jw_kstr(&jw, "role", object_role(made->role, DEVICE_PLAIN));
	jw_kid(&jw, "project", &made->project);
	jw_ktime_us(&jw, "created_at", made->device.created_at);
	if (made->token != NULL)
		jw_kstr(&jw, "token", made->token);
	jw_end_object(&jw);
	*status = 201;
	return sbuf_done(out, err);
}

static err_code
read_role(struct json_in *in, enum role *role, struct err *err)
{
	const char *s = "writer";
	err_code rc = json_get_str(in, "role", &s, NULL, err);

	if (rc)
		return rc;
	*role = strcmp(s, "writer") == 0 ? ROLE_WRITER : ROLE_READER;
	if (*role == ROLE_READER && strcmp(s, "reader") != 0)
		return err_set(err, ERR_FIELD_RANGE, "role: reader or writer");
	return ERR_OK;
}

static err_code
read_device(struct call *c, const char **name, enum role *role, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *s;
	size_t len;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = json_need_str(&in, "name", &s, &len, err);
	if (!rc)
		rc = read_role(&in, role, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc)
		rc = title_check(s, len, "name", err);
	if (rc)
		return rc;
	*name = arena_strndup(c->a, s, len);
	return *name ? ERR_OK : err_set(err, ERR_NO_MEM, "name");
}

err_code
route_device_create(struct call *c, struct err *err)
{
	struct created made = { .project = c->project };
	struct idem *idem = call_idem(c, encode_created, &made);
	char token[TOKEN_LEN + 1], project[ID_HEX_LEN + 1], hex[ID_HEX_LEN + 1];
	struct hash token_hash;
	const char *name;
	err_code rc = read_device(c, &name, &made.role, err);

	if (rc)
		return rc;
	token_new(token);
	token_hash = hash_of(token, TOKEN_LEN);
	rc = device_create(c->d, name, DEVICE_PLAIN, &c->project, made.role, &token_hash, idem, c->a, &made.device, err);
	if (rc)
		return rc;
	if (idem == NULL || !idem->replayed)
		reply_header_f(c->rq, "Location", "/projects/%s/devices/%s", id_hex(&c->project, project), id_hex(&made.device.id, hex));
	made.token = token; /* only now: what the domain has remembered is without */
	return call_answer(c, idem, encode_created, &made, err);
}

static void
write_device(struct jw *jw, const struct device_row *row, const struct device_lag *lag, const struct project *p, bool connected)
{
	const struct checkpoint *at = &row->checkpoint;

	jw_object(jw);
	jw_kid(jw, "id", &row->device.id);
	jw_kstr(jw, "name", row->device.name);
	jw_kstr(jw, "role", object_role(row->role, row->device.kind));
	jw_ktime_us(jw, "created_at", row->device.created_at);
	jw_kopt_time_us(jw, "last_seen_at", row->device.last_seen_at != 0, row->device.last_seen_at);
	if (at->clock != 0) {
		reply_cursor(jw, "cursor", at->clock, &at->epoch);
		jw_kopt_time_us(jw, "checkpoint_at", at->updated_at != 0, at->updated_at);
	} else {
		jw_kstr(jw, "cursor", NULL);
	}
	/* Of another history: how far behind cannot be said. */
	jw_kopt_i64(jw, "lag_us", at->clock != 0 && id_eq(&at->epoch, &p->epoch), MAX(p->clock - at->clock, 0));
	jw_kopt_i64(jw, "lag_changes", lag->known, lag->changes);
	jw_kopt_time_us(jw, "behind_since", lag->since != 0, lag->since);
	jw_kbool(jw, "connected", connected);
	jw_end_object(jw);
}

err_code
route_device_list(struct call *c, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	struct device_row *rows;
	struct device_lag *lags;
	struct project p;
	size_t n;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = device_list(c->d, &c->project, c->a, &rows, &lags, &n, &p, err);
	if (rc)
		return rc;
	jw_object(&jw);
	jw_key(&jw, "devices");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++)
		write_device(&jw, &rows[i], &lags[i], &p, notify_present(c->route->hub, &c->project, &rows[i].device.id));
	jw_end_array(&jw);
	reply_cursor(&jw, "project_cursor", p.clock, &p.epoch);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_device_delete(struct call *c, struct err *err)
{
	struct id id;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_id(c, "device", &id, err);
	if (!rc)
		rc = device_revoke(c->d, &c->project, &id, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}
