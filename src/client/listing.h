#pragma once
/** A project's tree as people look at it: a directory at a time, by name, over as many requests as it takes. */

#include "client/model/entry.h"
#include "client/remote/remote.h"

typedef err_code (*listing_fn)(void *ctx, const struct wire_file *f, struct err *err); /* lent for the call */

/** listing_dir(remote, dir, fn, ctx, err): what lies directly in ${dir}. */
err_code listing_dir(struct remote *remote, const char *dir, listing_fn fn, void *ctx, struct err *err);

/** listing_tree(remote, dir, fn, ctx, err): all that lies beneath ${dir}, a directory before what is in it. */
err_code listing_tree(struct remote *remote, const char *dir, listing_fn fn, void *ctx, struct err *err);
