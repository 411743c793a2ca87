#pragma once
/** What more than one resource of route/ answers with. */

#include "server/domain/content.h"
#include "server/route/route_internal.h"

/** content_reply(c, f, err): the plain bytes of ${f}, as a download. */
err_code content_reply(struct call *c, const struct file *f, struct err *err);

/** history_then(c, version, f, err): the file of the path as it was at a kept version. */
err_code history_then(struct call *c, int64_t version, struct file *f, struct err *err);

/** changes_gone(c, p, err): answer a cursor that one cannot go on from: ${err} with how to merge and where the snapshot is. */
err_code changes_gone(struct call *c, const struct project *p, struct err *err);
