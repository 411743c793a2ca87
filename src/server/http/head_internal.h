#pragma once
/** What head.c (lines) and framing.c (what they mean together) share. */

#include "server/http/head.h"

/** head_meaning(h, buf, err): all lines are there; decide Host, framing, persistence, expectation and the target's form. */
err_code head_meaning(struct head *h, char *buf, struct err *err);
