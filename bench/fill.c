/*
 * A large project in a moment, for measuring what reads it: its rows are written through meta/, ten thousand to a transaction.
 *
 *   fill DATA FILES [NAME]      makes DATA/meta.db when it is missing, adds a project NAME ("filled") of FILES files, prints its id
 *
 * With DRAYD_DB the project goes into that PostgreSQL, as with drayd, and nothing into DATA.
 *
 *   build/release/bench/fill /var/tmp/million 1000000 && build/release/drayd serve --data /var/tmp/million
 *
 * The tree: 50 files a directory, six directories in each, so files lie three to six levels deep; names of 10 to 40 bytes, some of them
 * not ASCII; sizes spread from 1 KiB to 1 MiB, half of them below 32 KiB.  Each has one version and a block list that names one chunk.
 * Clocks, digest, counts and sums are those that commits would have left, so a client proves itself against them as usual; the chunks
 * alone are not there: listings, changes, snapshots and block lists answer, the bytes of a file do not.
 *
 * The tree is the same for the same FILES; ids and hashes are random.  No server may be running on DATA.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/sbuf.h"
#include "chunk/blocklist.h"
#include "db/db.h"
#include "server/meta/meta.h"

#define PER_DIR 50
#define SUBDIRS 6
#define BATCH 10000
#define FILES_MAX 100000000
#define SIZE_MIN KIB
#define SIZE_DOUBLINGS 10 /* 1 KiB … 1 MiB */

static struct err err;

struct fill {
	struct meta *meta;
	struct meta_tx *tx;
	struct project p;
	struct id device;
	int64_t clock; /* the last that was given out */
	unsigned room; /* rows until the transaction ends */
	struct beneath *beneath; /* what lies beneath each directory, by its number */
	struct arena *arena;
};

static void
check(err_code rc)
{
	if (!rc)
		return;
	fprintf(stderr, "fill: %s\n", err.msg);
	exit(1);
}

/* ---- the tree: all of it follows from the numbers of its directories and files ------------------------------------------ */

static uint64_t
mix(uint64_t n)
{
	n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
	return n ^ (n >> 31);
}

/* Directory 0 is beneath the top; ${SUBDIRS} lie in each, in the order of their numbers. */
static void
dir_path(unsigned dir, struct sbuf *out)
{
	static const char *const kinds[] = { "scene", "camera", "grading", "Tonmischung", "übergabe", "props and sets" };

	if (dir == 0) {
		sbuf_add(out, "production");
		return;
	}
	dir_path((dir - 1) / SUBDIRS, out);
	sbuf_addf(out, "/%s %03u", kinds[dir % ARRAY_LEN(kinds)], (unsigned)(mix(dir) % 1000));
	sbuf_addf(out, "-%u", dir % SUBDIRS);
}

static void
file_name(unsigned number, struct sbuf *out)
{
	static const struct {
		const char *before, *after;
	} kinds[] = { { "take_", ".mov" }, { "IMG_", ".CR3" }, { "Überblick ", ".txt" }, { "mesh-", ".final.blend" },
		{ "a longer name of a note ", ".md" } };
	unsigned k = number % ARRAY_LEN(kinds);

	sbuf_addf(out, "%s%08u%s", kinds[k].before, number, kinds[k].after);
}

/* As many files between 1 and 2 KiB as between 512 KiB and 1 MiB. */
static int64_t
file_size(unsigned number)
{
	uint64_t r = mix(((uint64_t)number + 1) << 20);
	uint64_t base = (uint64_t)SIZE_MIN << (r % SIZE_DOUBLINGS);

	return (int64_t)(base + (r >> 8) % base);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------- */

static void
batch_begin(struct fill *f)
{
	int64_t last;

	check(meta_begin(f->meta, META_WRITE, &f->tx, &err));
	check(meta_clock_take(f->tx, &f->p.id, clock_wall_us(), BATCH, &last, &err));
	f->clock = last - BATCH;
	f->p.clock = last;
	f->room = BATCH;
}

static void
batch_end(struct fill *f)
{
	if (!f->tx)
		return;
	check(meta_project_total(f->tx, &f->p.id, &f->p.digest, f->p.file_count, f->p.total_bytes, &err));
	check(meta_commit(&f->tx, &err));
}

static void
add_blocks(struct fill *f, struct file *file)
{
	struct extent x = { .count = (uint32_t)((file->size + BLOCK_LEN_MAX - 1) / BLOCK_LEN_MAX) };
	struct block blocks[BLOCKLIST_PAGE_BLOCKS];
	struct blocklist list = { .extents = &x, .extent_count = 1, .blocks = blocks, .block_count = x.count };
	uint8_t packed[BLOCKLIST_FIXED_LEN + BLOCKLIST_EXTENT_LEN + BLOCKLIST_PAGE_BLOCKS * BLOCKLIST_BLOCK_LEN];
	struct content_hash content;
	int64_t left = file->size;

	rng_bytes(&x.chunk, sizeof x.chunk);
	content_hash_init(&content);
	for (uint32_t i = 0; i < x.count; i++, left -= BLOCK_LEN_MAX) {
		rng_bytes(&blocks[i].hash, sizeof blocks[i].hash);
		blocks[i].len = (uint32_t)MIN(left, (int64_t)BLOCK_LEN_MAX);
		content_hash_add(&content, &blocks[i].hash, blocks[i].len);
	}
	file->content = content_hash_final(&content);
	file->list = id_new();
	blocklist_pack(&list, packed);
	check(meta_blocks_add(f->tx, &f->p.id, &file->list, 0, packed, blocklist_packed_len(&list), &err));
}

static void
add(struct fill *f, const char *path, enum kind kind, int64_t size)
{
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	struct file file = { .id = id_new(), .dir = arena_strndup(f->arena, path, dir_len), .name = name, .kind = kind, .size = size,
		.mode = kind == KIND_DIR ? 0755 : 0644, .target = "", .changed_by = f->device };
	struct version v;
	struct hash h;

	if (!f->room)
		batch_end(f);
	if (!f->tx)
		batch_begin(f);
	f->room--;
	file.version = file.created_at = ++f->clock;
	file.mtime_ns = file.version * 1000;
	if (kind == KIND_FILE)
		add_blocks(f, &file);
	v = (struct version){ .file = file.id, .version = file.version, .path = path, .kind = kind, .size = size, .mode = file.mode,
		.mtime_ns = file.mtime_ns, .content = file.content, .list = file.list, .target = "", .changed_by = f->device };
	check(meta_file_put(f->tx, &f->p.id, &file, &err));
	check(meta_version_add(f->tx, &f->p.id, &v, &err));
	h = file_digest(&file);
	digest_add(&f->p.digest, &h);
	f->p.file_count++;
	f->p.total_bytes += size;
}

static void
add_tree(struct fill *f, unsigned files)
{
	struct sbuf path = SBUF(PATH_LEN_MAX + 1);

	for (unsigned n = 0; n < files; n++) {
		size_t dir_len;

		arena_reset(f->arena);
		sbuf_reset(&path);
		dir_path(n / PER_DIR, &path);
		if (n % PER_DIR == 0)
			add(f, sbuf_str(&path), KIND_DIR, 0);
		dir_len = path.len;
		sbuf_add(&path, "/");
		file_name(n, &path);
		if (path.failed || dir_len == 0)
			check(err_set(&err, ERR_INTERNAL, "a path is too long"));
		add(f, sbuf_str(&path), KIND_FILE, file_size(n));
		f->beneath[n / PER_DIR].files++;
		f->beneath[n / PER_DIR].bytes += file_size(n);
	}
	sbuf_fini(&path);
	batch_end(f);
}

/* What lies beneath each directory: its own files are counted, so it goes from the last directory up into its parent. */
static void
add_counts(struct fill *f, unsigned dirs)
{
	struct sbuf path = SBUF(PATH_LEN_MAX + 1);

	for (unsigned dir = dirs; dir-- > 0;) {
		const struct beneath *b = &f->beneath[dir];
		struct beneath *up = dir ? &f->beneath[(dir - 1) / SUBDIRS] : NULL;

		if (up) {
			up->files += b->files;
			up->dirs += b->dirs + 1;
			up->bytes += b->bytes;
		}
		sbuf_reset(&path);
		dir_path(dir, &path);
		if (!f->tx)
			check(meta_begin(f->meta, META_WRITE, &f->tx, &err));
		check(meta_file_counts(f->tx, &f->p.id, sbuf_str(&path), b, &err));
		if (dir % BATCH == 0)
			batch_end(f);
	}
	sbuf_fini(&path);
}

/* ---- the project -------------------------------------------------------------------------------------------------------------- */

static struct db *
open_db(const char *dir)
{
	const char *url = getenv("DRAYD_DB");
	char path[4096];
	struct db *db;

	if (url) {
		check(db_postgres_open(&(struct db_postgres_opts){ .url = url }, &db, &err));
		return db;
	}
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		check(err_errno(&err, "make %s", dir));
	(void)snprintf(path, sizeof path, "%s/meta.db", dir);
	check(db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, &err));
	return db;
}

static struct meta *
open_meta(const char *dir)
{
	struct db *db = open_db(dir);
	struct meta *m;

	check(db_migrate(db, &db_server_migrations, clock_wall_us(), &err));
	check(meta_sql_open(db, &m, &err));
	return m;
}

static void
add_project(struct fill *f, const char *name)
{
	struct meta_tx *tx;

	f->device = id_new();
	f->p = (struct project){ .id = id_new(), .name = name, .epoch = id_new(), .clock = clock_wall_us(),
		.policy = { .keep_versions = KEEP_VERSIONS_DEFAULT } };
	f->p.created_at = f->p.clock;
	check(meta_begin(f->meta, META_WRITE, &tx, &err));
	check(meta_project_add(tx, &f->p, &err));
	check(meta_commit(&tx, &err));
}

int
main(int argc, char **argv)
{
	unsigned long files = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	char hex[ID_HEX_LEN + 1];
	struct fill f = { 0 };

	if (argc < 3 || argc > 4 || files < 1 || files > FILES_MAX) {
		fprintf(stderr, "usage: fill DATA FILES [NAME]\n");
		return 2;
	}
	f.meta = open_meta(argv[1]);
	f.arena = arena_new(64 * KIB);
	add_project(&f, argc > 3 ? argv[3] : "filled");
	f.beneath = xcalloc(files / PER_DIR + 1, sizeof *f.beneath);
	add_tree(&f, (unsigned)files);
	add_counts(&f, (unsigned)((files + PER_DIR - 1) / PER_DIR));
	free(f.beneath);
	arena_free(f.arena);
	meta_free(f.meta);
	printf("%s\n", id_hex(&f.p.id, hex));
	return 0;
}
