#pragma once
/** What the agent of a folder says about itself (watch/agent_status.c), for people. */

#include "base/sbuf.h"

/** agent_show(sb, status, err): the lines of dray status about it.  Errors of json_in.h: that is no status. */
err_code agent_show(struct sbuf *sb, const struct sbuf *status, struct err *err);
