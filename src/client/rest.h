#pragma once
/**
 * New names that a look has found and its slice has left out (pass.h), packed: some 70 bytes each, so that those of a first sync fit into the
 * memory that a folder of so many entries may take.  In the order of their paths.  Not thread-safe: one owner.
 */

#include "client/model/entry.h"

struct rest;

struct rest *rest_new(void);
void rest_free(struct rest *r);
void rest_freep(struct rest **r);

/** rest_add(r, e): behind the others; ${e} is copied. */
void rest_add(struct rest *r, const struct entry *e);

/** rest_sum(r): what is left; NULL has nothing. */
struct entry_sum rest_sum(const struct rest *r);

/** rest_take(r, out): the first of them, which is gone from it then; its text is there until the next call.  False: there is none. */
bool rest_take(struct rest *r, struct entry *out);
