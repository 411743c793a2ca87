#pragma once
/** Shared by the .c files of wire/. */

#include "wire/wire.h"

const char *wire_kind_name(int kind);
err_code wire_kind_read(struct json_in *in, int *out, struct err *err);
void wire_mode_write(struct jw *jw, uint32_t mode);

/** wire_entry_read: what a file has on disk: kind, size, mode, mtime, content_hash?, target? (needed of a link). */
err_code wire_entry_read(struct json_in *in, struct arena *a, struct wire_file *out, struct err *err);

/** wire_keep_str: a text member copied into ${a}; *out keeps its value when absent. */
err_code wire_keep_str(struct json_in *in, const char *key, struct arena *a, const char **out, struct err *err);

/** wire_cursor_need: a text member that is a cursor with an epoch. */
err_code wire_cursor_need(struct json_in *in, const char *key, struct cursor *out, struct err *err);

/**
 * wire_grow(a, list, n, size): room for one more element behind ${n} in an array that doubles in the arena (what it leaves behind
 * is at most as much again).  NULL past the arena's ceiling.
 */
void *wire_grow(struct arena *a, void *list, size_t n, size_t size);
