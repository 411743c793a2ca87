#include "schema.h"

#include <libpq-fe.h>

#include "base/rng.h"

const char *
schema_server(void)
{
	const char *url = getenv("DRAY_TEST_POSTGRES");

	return url && *url ? url : NULL;
}

static void
give_up(PGconn *pg, const char *sql)
{
	fprintf(stderr, "schema: %s: %s", sql, PQerrorMessage(pg));
	abort();
}

static void
run(const char *url, const char *sql, char *out, size_t cap)
{
	PGconn *pg = PQconnectdb(url);
	PGresult *res;

	if (PQstatus(pg) != CONNECTION_OK)
		give_up(pg, "connect");
	PQclear(PQexec(pg, "SET client_min_messages = warning"));
	res = PQexec(pg, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		give_up(pg, sql);
	if (out)
		(void)snprintf(out, cap, "%s", PQntuples(res) ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(pg);
}

void
schema_make(struct schema *s)
{
	char sql[128];
	uint8_t b[8];

	rng_bytes(b, sizeof b);
	(void)snprintf(s->name, sizeof s->name, "t%02x%02x%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
	(void)snprintf(s->url, sizeof s->url, "%s?options=-csearch_path%%3D%s", schema_server(), s->name);
	(void)snprintf(sql, sizeof sql, "CREATE SCHEMA %s", s->name);
	run(schema_server(), sql, NULL, 0);
}

void
schema_drop(const struct schema *s)
{
	char sql[128];

	(void)snprintf(sql, sizeof sql, "DROP SCHEMA %s CASCADE", s->name);
	run(schema_server(), sql, NULL, 0);
}

void
schema_sql(const struct schema *s, const char *sql, char *out, size_t cap)
{
	run(s->url, sql, out, cap);
}
