#pragma once
/** Building a snapshot (snapshot_build.c) and compressing it (snapshot_pack.c) beside that (snapshot_handover.c), for snapshot.c. */

#include "server/domain/domain_internal.h"
#include "server/domain/snapshot.h"

/**
 * snapshot_build(d, project, form, coding, encoder, publishing, out, err): a new one: its object durable and being published, which
 * the caller ends; its row not yet written.
 */
err_code snapshot_build(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, struct publishing *publishing, struct snapshot *out, struct err *err);

/** snapshot_format(form, coding): how a row says what it holds: stored, so never renumber. */
int snapshot_format(enum snapshot_form form, enum snapshot_coding coding);

/**
 * A stream of bytes into the store, compressed on the way and named by the hash of what is stored.
 * pack_finish makes it durable; pack_free after anything else leaves nothing.  One thread at a time.
 */
struct pack;
err_code pack_open(struct domain *d, enum snapshot_coding coding, struct pack **out, struct err *err);
err_code pack_add(struct pack *p, const void *bytes, size_t len, struct err *err);
err_code pack_finish(struct pack *p, const struct id *project, struct publishing *publishing, struct snapshot *out, struct err *err);
void pack_free(struct pack *p);
void pack_freep(struct pack **p);

/**
 * Text into a pack, packed by a thread of its own once there is more than a piece of it.  ${pack} is borrowed; the caller does not
 * touch it between the first handover_piece and handover_last or handover_free.
 *
 * handover_new lends the first piece, to be filled with up to ${piece_max} bytes.  handover_piece hands over *text, which is full, and lends
 * the next one.  handover_last hands over what the caller has and waits until all is packed.
 * Errors     those of pack_add, maybe of an earlier piece; then all that is left is handover_free, which waits for the thread to end.
 * Memory     four pieces.
 */
struct handover;
struct handover *handover_new(struct pack *pack, size_t piece_max, struct sbuf **text);
err_code handover_piece(struct handover *h, struct sbuf **text, struct err *err);
err_code handover_last(struct handover *h, struct err *err);
void handover_free(struct handover *h);
