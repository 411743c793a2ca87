#pragma once
/** What tests of push and pull share: a folder, a state, a server in memory, and plans made by hand. */

#include "client/transfer/transfer.h"
#include "remote_mem.h"
#include "tests/unit/client/tree.h"

struct rig {
	struct tree *tree;
	struct state *state;
	struct remote_mem *server;
	struct arena *a;
	struct chunk_builder *builder; /* of serve(): to allocate a chunk's room takes longer than to fill a small one */
	struct transfer_progress *progress;
	bool cancel;
	struct transfer_env env;
	struct err err;
};

int rig_setup(void **ctx);
int rig_teardown(void **ctx);

/** rig_bytes(r, n, seed): ${n} bytes that compress not at all, the same for the same seed. */
uint8_t *rig_bytes(struct rig *r, size_t n, uint64_t seed);
void rig_write(struct rig *r, const char *path, const uint8_t *p, size_t len);
/** rig_scan(r, path): the entry as a scan would report it, content not known for files. */
struct entry *rig_scan(struct rig *r, const char *path);
/** rig_push(r, path): a plan's operation for what lies there; base and remote are what the server has. */
struct plan_op rig_push(struct rig *r, const char *path);
