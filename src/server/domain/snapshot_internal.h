#pragma once
/** Building a snapshot (snapshot_build.c) and compressing it (snapshot_pack.c), in threads side by side (snapshot_relay.c), for snapshot.c. */

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
 * What one thread makes is taken by another, in order, so that both together take as long as the longer of the two.  The slots it passes
 * through are the caller's, numbered from 0; the giver fills slot 0 first.
 *
 * relay_give hands over the giver's slot and lends the next one, when there is one.  relay_last hands over the slot and waits until all is
 * taken; after it, what ${take} works with is the giver's again.  ${take} is called in a thread of its own, or by the giver where the
 * system has no room for a thread.
 * Errors     those of ${take}, maybe for an earlier slot; then nothing more is taken, and all that is left is relay_free, which waits for the
 *            thread to end.
 */
struct relay;
typedef err_code relay_take(void *ctx, unsigned slot, struct err *err);
struct relay *relay_new(const char *name, unsigned slots, relay_take *take, void *ctx);
err_code relay_give(struct relay *r, unsigned *slot, struct err *err);
err_code relay_last(struct relay *r, struct err *err);
void relay_free(struct relay *r);
