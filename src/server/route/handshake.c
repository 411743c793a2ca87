/*
 * A browser's WebSocket can name protocols and send no other field of its own, so its ticket comes as the name of one:
 *
 *   Sec-WebSocket-Protocol: dray.v1, ticket.<64 hexadecimal digits>
 *
 * That is in no URL, no history and no log; and the answer names dray.v1 only.
 */
#include "server/route/handshake.h"

#include <strings.h>

#include "base/clock.h"
#include "server/route/route_internal.h"

#define FIELD "sec-websocket-protocol"
#define TICKET_PREFIX "ticket."

struct offers {
	bool ours;
	const char *ticket; /* not terminated; NULL: none */
	size_t ticket_len;
};

static err_code
read_offer(struct offers *out, const char *s, size_t len, struct err *err)
{
	const size_t prefix = strlen(TICKET_PREFIX);

	if (len == strlen(EVENTS_PROTOCOL) && memcmp(s, EVENTS_PROTOCOL, len) == 0)
		out->ours = true;
	if (len < prefix || memcmp(s, TICKET_PREFIX, prefix) != 0)
		return ERR_OK;
	if (out->ticket)
		return err_set(err, ERR_UPGRADE_INVALID, "two tickets are given");
	out->ticket = s + prefix;
	out->ticket_len = len - prefix;
	return ERR_OK;
}

static err_code
read_offers(struct http_request *rq, struct offers *out, struct err *err)
{
	const char *s = http_header(rq, FIELD);
	err_code rc = ERR_OK;

	*out = (struct offers){ 0 };
	if (http_header_count(rq, FIELD) > 1)
		return err_set(err, ERR_UPGRADE_INVALID, "Sec-WebSocket-Protocol is given twice");
	while (!rc && s && *s) {
		size_t len;

		s += strspn(s, ", \t");
		len = strcspn(s, ", \t");
		rc = read_offer(out, s, len, err);
		s += len;
	}
	return rc;
}

err_code
handshake_protocol(struct call *c, bool *named, struct err *err)
{
	struct offers offers;
	err_code rc = read_offers(c->rq, &offers, err);

	*named = offers.ours;
	return rc;
}

static bool
is_handshake(const struct call *c)
{
	bool events = c->row->run == route_events_all || c->row->run == route_events_project;

	return events && http_header(c->rq, "upgrade") != NULL && http_header(c->rq, FIELD) != NULL;
}

/* What its owner has made it for, and nothing else. */
static err_code
check_project(const struct call *c, const struct ticket *t, struct err *err)
{
	bool bound = !id_is_zero(&t->project);

	if (!bound || (c->row->run == route_events_project && id_eq(&t->project, &c->project)))
		return ERR_OK;
	return err_set(err, ERR_TICKET_INVALID, "the ticket is for a stream of its project");
}

err_code
handshake_ticket(struct call *c, struct ticket *t, bool *given, struct err *err)
{
	struct offers offers;
	err_code rc;

	*given = false;
	if (!is_handshake(c))
		return ERR_OK;
	rc = read_offers(c->rq, &offers, err);
	if (rc || offers.ticket == NULL)
		return rc;
	if (http_header(c->rq, "authorization") != NULL)
		return err_set(err, ERR_UPGRADE_INVALID, "a token and a ticket are given: one of them");
	if (!offers.ours)
		return err_set(err, ERR_UPGRADE_INVALID, "beside its ticket the client has to offer " EVENTS_PROTOCOL);
	rc = ticket_take(c->route->tickets, offers.ticket, offers.ticket_len, clock_mono_ms(), t, err);
	if (!rc)
		rc = check_project(c, t, err);
	*given = !rc;
	return rc;
}

/* ---- a new one ------------------------------------------------------------------------------------------------------------- */

/* *project: the one that it shall be for; *bound is false where none is named. */
static err_code
read_wish(struct call *c, struct id *project, bool *bound, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	const char *s = NULL;
	struct json_in in;
	size_t len = 0;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = json_get_str(&in, "project", &s, &len, err);
	if (!rc)
		rc = json_in_end(&in, err);
	*bound = s != NULL;
	return rc || s == NULL ? rc : id_parse(s, len, project, err);
}

static err_code
answer(struct call *c, const char *ticket, struct err *err)
{
	struct sbuf sb = SBUF(KIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "ticket", ticket);
	jw_kstr(&jw, "protocol", EVENTS_PROTOCOL);
	jw_ki64(&jw, "expires_in_ms", EVENTS_TICKET_MS);
	jw_end_object(&jw);
	return reply_json(c, 201, &sb, err);
}

err_code
route_ticket_create(struct call *c, struct err *err)
{
	struct ticket t = { .device = c->caller.device.id };
	char text[TICKET_LEN + 1];
	struct project p;
	bool bound = false;
	err_code rc = read_wish(c, &t.project, &bound, err);

	if (!rc && bound)
		rc = access_again(c->d, &t.device, &t.project, &p, err);
	if (!rc)
		rc = ticket_give(c->route->tickets, &t, clock_mono_ms(), text, err);
	return rc ? rc : answer(c, text, err);
}
