/* What PostgreSQL's errors become: the SQLSTATE decides, and no message carries a password. */
#include "db/postgres_internal.h"

#include "base/log.h"

err_code
pg_code(const char *state)
{
	static const struct {
		const char *prefix;
		err_code code;
	} known[] = {
		{ "23505", ERR_EXISTS },      /* unique_violation */
		{ "23503", ERR_NOT_FOUND },   /* foreign_key_violation */
		{ "25006", ERR_READ_ONLY },   /* a reader that writes, or a standby */
		{ "25P03", ERR_UNAVAILABLE }, /* idle_in_transaction_session_timeout */
		{ "25P04", ERR_UNAVAILABLE }, /* transaction_timeout */
		{ "53100", ERR_NO_SPACE },
		{ "53200", ERR_NO_MEM },
		{ "53", ERR_UNAVAILABLE },    /* too many connections, and other limits of the moment */
		{ "40", ERR_UNAVAILABLE },    /* serialization_failure, deadlock_detected: foreign sessions alone can cause them */
		{ "55P03", ERR_UNAVAILABLE }, /* lock_timeout */
		{ "57", ERR_UNAVAILABLE },    /* cancelled, shutting down, starting up */
		{ "08", ERR_UNAVAILABLE },    /* connections */
		{ "28", ERR_DENIED },
		{ "42501", ERR_DENIED },
		{ "58", ERR_IO },
		{ "XX001", ERR_CORRUPT },
		{ "XX002", ERR_CORRUPT },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strncmp(state, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].code;
	}
	return ERR_DB;
}

/* Every occurrence of ${secret} in ${s} becomes stars. */
static void
hide(char *s, const char *secret)
{
	size_t len = secret ? strlen(secret) : 0;

	while (len && (s = strstr(s, secret))) {
		memset(s, '*', len);
		s += len;
	}
}

void
pg_message(const struct pg *db, const char *text, char out[static 400])
{
	size_t n = 0;

	for (; *text && n < 399; text++) {
		if ((unsigned char)*text >= ' ')
			out[n++] = *text;
		else if (n && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	hide(out, db->password);
}

err_code
pg_fail(struct pg_conn *c, const char *what, PGresult *res, struct err *err)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE), *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char text[400];
	struct err own;

	pg_message(c->db, primary ? primary : PQerrorMessage(c->pg), text);
	if (pg_lost(c))
		(void)err_set(&own, ERR_UNAVAILABLE, "%.60s: the connection to PostgreSQL was lost: %s", what, text);
	else if (!state)
		(void)err_set(&own, ERR_DB, "%.100s: %s", what, text);
	else
		(void)err_set(&own, pg_code(state), "%.100s: %s (SQLSTATE %s)", what, text, state);
	PQclear(res);
	if (own.code == ERR_CORRUPT)
		log_error(&own, "the database is damaged");
	return db_tx_fail(&c->base, &own, err);
}
