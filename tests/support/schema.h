#pragma once
/** A schema of one's own in the PostgreSQL that DRAY_TEST_POSTGRES names (tests/postgres.py), for tests that run side by side. */

#include "base/err.h"

/** schema_server(): the URL of the server; NULL: there is none, and a test that needs it exits with SCHEMA_SKIP. */
const char *schema_server(void);
#define SCHEMA_SKIP 77 /* what meson takes for "skipped" */

#define SCHEMA_URL_MAX 512
struct schema {
	char name[64];
	char url[SCHEMA_URL_MAX]; /* its tables are made and found in the schema */
};

/** schema_make(s): a new, empty one.  schema_drop(s): with all that is in it.  Both stop the program when the server refuses. */
void schema_make(struct schema *s);
void schema_drop(const struct schema *s);

/** schema_sql(s, sql, out, cap): as a session of somebody else; the first column of its first row, or "". */
void schema_sql(const struct schema *s, const char *sql, char *out, size_t cap);
