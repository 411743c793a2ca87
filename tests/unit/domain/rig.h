#pragma once
/**
 * A domain on its in-memory twins, with a store that fails on demand, a project and a device; and short words for what tests do
 * with them.  Whatever a word does must succeed unless its name says "try".
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema.h"
#include "base/clock.h"
#include "base/thread.h"
#include "server/domain/access.h"
#include "server/domain/checkpoint.h"
#include "server/domain/content.h"
#include "server/domain/snapshot.h"
#include "server/domain/transfer.h"
#include "server/domain/tree.h"

struct rig {
	struct meta *meta;
	struct store *store; /* a store_fault over memory */
	struct domain *d;
	struct id project;
	struct device owner, device;
	char device_token[64], owner_token[64];
	char dir[64];        /* of the database, if there is one */
	struct schema schema; /* of PostgreSQL, if that is it */
	struct arena *a;
	struct err err;
	unsigned told;       /* calls of on_change */
};

int rig_setup(void **state);
int rig_teardown(void **state);
/** rig_restart(r): the domain is opened anew, and so is a database; memory, which would forget, stays. */
void rig_restart(struct rig *r);

#define assert_ok(r, call) \
	do { \
		err_code rc_ = (call); \
		if (rc_) \
			fail_msg("%s: %s: %s", #call, err_info(rc_)->code, (r)->err.msg); \
	} while (0)
#define assert_code(r, code_, call) \
	do { \
		err_code rc_ = (call); \
		if (rc_ != (code_)) \
			fail_msg("%s: %s, not %s: %s", #call, err_info(rc_)->code, err_info(code_)->code, (r)->err.msg); \
	} while (0)

/** Bytes that do not compress, the same for the same seed. */
void fill(uint8_t *p, size_t len, uint64_t seed);
uint8_t *bytes_new(size_t len, uint64_t seed);

/** Content as a client makes it: one chunk of blocks of the given bytes, cut on the grid, and what to say of it. */
struct made {
	struct extent extent;
	struct hash content;
	int64_t size;
};

struct id rig_transfer(struct rig *r);
/** A container with one block for each part. */
const uint8_t *rig_container(struct rig *r, const uint8_t *p, size_t len, struct hash *id, size_t *container_len);
err_code rig_try_chunk(struct rig *r, const struct id *transfer, uint32_t n, const uint8_t *container, size_t len, struct hash *id);
struct made rig_upload(struct rig *r, const void *p, size_t len);

/** Operations. */
struct op put_file(const char *path, const struct made *m);
struct op put_text(struct rig *r, const char *path, const char *text); /* uploads it */
struct op put_dir(const char *path);
struct op put_link(const char *path, const char *target);
struct op on(struct op op, int64_t base);
struct op del(const struct file *f);
struct op del_at(struct rig *r, const char *path);
struct op mv(const struct file *f, const char *path);
struct op mv_at(struct rig *r, const char *from, const char *to);
struct op restore(const struct file *f, int64_t version);
struct op restore_at(struct rig *r, const char *path, int64_t version);

/** Commits: rig_commit must be accepted; rig_one also answers the one result; rig_do also expects it to be ok. */
err_code rig_try(struct rig *r, const struct op *ops, size_t n, struct commit *c);
struct commit rig_commit(struct rig *r, const struct op *ops, size_t n);
struct op_result rig_one(struct rig *r, struct op op);
struct op_result rig_do(struct rig *r, struct op op);

struct file rig_at(struct rig *r, const char *path);
bool rig_there(struct rig *r, const char *path);
struct project rig_project(struct rig *r);

/** The content of a file, which must be ${want}. */
void rig_assert_text(struct rig *r, const char *path, const char *want);

/** The project's digest, count and bytes, and what each directory counts beneath it, are those of a full listing; returns the number of live entries. */
size_t rig_assert_sums(struct rig *r);
