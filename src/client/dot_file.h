#pragma once
/**
 * Small files in .dray that say what people have chosen: replaced as a whole and durably, and with a sum over what they say, so that a damaged one is
 * never taken at its word.  The first line is "NAME 1 SUM", then come the bytes.
 */

#include "base/sbuf.h"

/**
 * dot_file_write(root, name, body, len, err): make ${body} what .dray/${name} says, and that durable.
 */
err_code dot_file_write(int root, const char *name, const void *body, size_t len, struct err *err);

/**
 * dot_file_read(root, name, out, err): what it says, in ${out}, whose ceiling bounds it.
 * Errors     NOT_FOUND; STATE_DAMAGED: not what was written.
 */
err_code dot_file_read(int root, const char *name, struct sbuf *out, struct err *err);
