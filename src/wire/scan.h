#pragma once
/**
 * A look at JSON before anyone parses it: limits that must hold before memory is spent, and where values end.  Internal to wire/.
 * Constant stack, one pass, no allocation.
 */

#include "base/err.h"

/**
 * json_scan_limits(p, len, err): depth and keys of an object, over the whole document.  What is not JSON may pass: the parser
 * refuses it.
 * Errors     JSON_TOO_DEEP, FIELD_RANGE (keys).
 */
err_code json_scan_limits(const uint8_t *p, size_t len, struct err *err);

/** json_scan_values(p, len): how many values the text separates by commas, at least; counts commas inside of strings too. */
size_t json_scan_values(const uint8_t *p, size_t len);

/** json_scan_space(p, end): the first byte that is not JSON white space. */
const uint8_t *json_scan_space(const uint8_t *p, const uint8_t *end);

/**
 * json_scan_value(p, end): the end of the value that starts at ${p}: the matching bracket or quote, or what delimits a bare word.
 * NULL when the text ends first, or ${p} starts no value.  Only finds boundaries; whether the slice is JSON is the parser's.
 */
const uint8_t *json_scan_value(const uint8_t *p, const uint8_t *end);
