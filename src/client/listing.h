#pragma once
/** A project's tree as people look at it: a directory at a time, over as many requests as it takes. */

#include "client/model/entry.h"
#include "client/remote/remote.h"

typedef err_code (*listing_fn)(void *ctx, const struct wire_file *f, struct err *err); /* lent for the call */

/** listing_dir(remote, dir, view, fn, ctx, err): what lies directly in ${dir}, or what a search finds beneath it.  ${view} NULL: all by name. */
err_code listing_dir(struct remote *remote, const char *dir, const struct remote_view *view, listing_fn fn, void *ctx, struct err *err);

/** listing_tree(…): all that lies beneath ${dir}, a directory before what is in it, each in the order of ${view}. */
err_code listing_tree(struct remote *remote, const char *dir, const struct remote_view *view, listing_fn fn, void *ctx, struct err *err);
