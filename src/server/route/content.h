#pragma once
/** What more than one resource of route/ answers with. */

#include "server/domain/content.h"
#include "server/route/route_internal.h"

/** content_reply(c, f, err): the plain bytes of ${f}, as a download. */
err_code content_reply(struct call *c, const struct file *f, struct err *err);

/** changes_gone(c, p, err): answer a cursor that one cannot go on from: ${err} with how to merge and where the snapshot is. */
err_code changes_gone(struct call *c, const struct project *p, struct err *err);
