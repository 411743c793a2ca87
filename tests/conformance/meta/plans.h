#pragma once
/** Every statement that the suite has used is asked for its plan, on each engine: ranges of an index, in its order. */

#include "suite.h"

/** The statements, in the order in which they were met. */
extern const char *used[256];
extern size_t used_n;

#define PLANS_STATEMENTS 107 /* every statement of meta_sql*.c: one that no test has used is not checked */

/** plans_is_control(sql): not one of meta's: the driver's own, and the migrations'. */
bool plans_is_control(const char *sql);

extern const struct group group_plans_sqlite, group_plans_postgres;
