#pragma once
/**
 * Every limit of dray, each with its reason.  A reviewer who asks "what if a peer sends more?" finds the answer here; a test
 * stands on both sides of each.
 */

#include "base/base.h"

/* Blocks and chunks: formats (docs/format/), not tunables. */
#define BLOCK_LEN_MAX (64 * KIB)  /* unit of comparison: small enough that an edit costs little, large enough for 36 bytes of list */
#define CHUNK_BLOCKS_MAX 1024     /* small files share a chunk; bounds its header to 40 KiB */
#define CHUNK_RAW_MAX (4 * MIB)   /* unit of transfer and resume: what a cut line costs at most */
#define CHUNK_LEN_MAX (CHUNK_RAW_MAX + 64 * KIB) /* the container: raw bytes and header */
#define BLOCKLIST_PAGE_BLOCKS 64  /* blocks of a list in one row: one full chunk */
#define BLOCKLIST_ANSWER_MAX 2048 /* blocks of a list in one answer: 160 KB at most, 128 MiB of file */
#define BLOCKLIST_UPLOAD_MAX 8192 /* blocks of a list in one request: 300 KB */
#define ALIGN_BASE_BLOCKS_MAX (1 << 28) /* that a changed file is compared with: those of the largest file; 56 bytes each */
#define FILE_SIZE_MAX (16 * TIB)  /* what ext4 takes; keeps every sum of sizes far from 2^63 */

/* Names. */
#define NAME_LEN_MAX 255          /* bytes, as every Linux file system */
#define PATH_LEN_MAX 4096         /* bytes */
#define PATH_DEPTH_MAX 256
#define LINK_TARGET_MAX 4095      /* PATH_MAX less its NUL */
#define TITLE_LEN_MAX 200         /* names of projects and devices, bytes */

/* Ignore rules. */
#define IGNORE_FILE_MAX (128 * KIB) /* of one .drayignore: the longest in public use are 30 KB; bounds what an answer about a name may cost */
#define IGNORE_LINE_MAX PATH_LEN_MAX /* bytes: a pattern as long as the longest path */
#define IGNORE_PATTERNS_MAX 4096   /* of one file */
#define IGNORE_TREE_MAX (16 * MIB) /* of all files of a tree, held while it is looked at */

/* What a device keeps of a project. */
#define SELECTION_PATHS_MAX 1024   /* people choose folders, and not so many that nobody knows any more what is here */
#define SELECTION_FILE_MAX (1 * MIB) /* read by every pass */

/* HTTP. */
#define HTTP_HEAD_MAX (16 * KIB)  /* request line and header section */
#define HTTP_URI_MAX (8 * KIB)    /* a path of 4,096 bytes, most of it escaped, fits */
#define HTTP_FIELDS_MAX 64
#define HTTP_HEAD_DEADLINE_MS 10000
#define HTTP_IDLE_MS 60000        /* between requests */
#define HTTP_BODY_RATE_MIN (16 * KIB) /* bytes a second, over HTTP_BODY_RATE_WINDOW_MS: slower peers hold memory for nothing */
#define HTTP_BODY_RATE_WINDOW_MS 30000
#define HTTP_WRITE_STALL_MS 30000 /* a reader that takes nothing */
#define HTTP_CHUNK_EXT_MAX 256    /* chunked framing: extensions in a body, in all */
#define HTTP_TRAILER_MAX (4 * KIB)
#define HTTP_DRAIN_MAX (64 * KIB) /* read after an early answer, so that the peer can read it */
#define HTTP_DRAIN_MS 2000
#define HTTP_PER_DEVICE_MAX 16    /* requests in flight */
#define JSON_BODY_MAX (1 * MIB)
#define JSON_BATCH_MAX (8 * MIB)  /* commit and block list bodies */
#define JSON_DEPTH_MAX 32
#define JSON_KEYS_MAX 64          /* keys of one object */
#define JSON_VALUES_MAX 65536     /* values parsed at once: "[[],[],…" costs 100 times its bytes in memory */
#define IDEMPOTENCY_KEY_MAX 128   /* bytes */
#define IDEMPOTENCY_LIFE_US (24 * 3600 * INT64_C(1000000))

/* Events. */
#define EVENTS_PER_DEVICE_MAX 8   /* streams open at once: a client and a few windows */
#define EVENTS_STREAMS_MAX 16384  /* open at once, where descriptors allow: some 40 MiB */
#define EVENTS_PROJECTS_MAX 64    /* of one stream */
#define EVENTS_MESSAGE_MAX (64 * KIB) /* from a client: 64 subscriptions are 7 KB */
#define EVENTS_FRAGMENTS_MAX 64   /* of one message */
#define EVENTS_PINGS_MAX 10       /* control frames a second from a client */
#define EVENTS_QUEUE_MAX (128 * KIB) /* answers and heartbeats that a client does not read; changes are not queued */
#define EVENTS_CHANGE_LEN (64 * KIB) /* a change message ends with the file that passes this; one file is at most 60 KiB more */
#define EVENTS_CHANGE_ROWS 500    /* files of one change message */
#define EVENTS_RING_MAX (1 * MIB) /* change messages kept for each project that somebody listens to */
#define EVENTS_CATCH_UP_MAX 10000 /* files that a stream reads behind the ring before it is told to pull instead */
#define EVENTS_PRESENCE_MAX 64    /* streams of a project whose comings and goings are told: each costs a message to all others */
#define EVENTS_DEVICES_MAX 128    /* of a project whose state is kept to be told: those who listen, and some who sync now and then */
#define EVENTS_LAG_MS 2000        /* behind for so long before it is told: a device that is in step is a moment behind each change */
#define LIVE_EVERY_MS 200         /* for each transfer and device: five times a second is smooth to the eye */
#define LIVE_LISTENERS 64         /* of a project; each so many more make it a fifth of a second rarer: state is what is given up first */
#define PROGRESS_MAX 256          /* transfers of a project whose state is kept to be told: 2 MiB with the longest paths */
#define PROGRESS_PER_DEVICE_MAX 16 /* downloads that a device tells of, in all and in one message: more than it has requests in flight */
#define PROGRESS_SILENCE_MS 30000 /* then a transfer is told as gone: the slowest line that is served moves within this */
#define PROGRESS_KEEP_MS 60000    /* a transfer that has ended, for those who read slowly: who does not read for so long is cut off */
#define EVENTS_HEARTBEAT_MS 25000 /* below the minute after which proxies drop what is idle */
#define EVENTS_PONG_MS 60000      /* without a pong: two pings unanswered */
#define EVENTS_RECHECK_MS 3000    /* a revoked device is out within 5 s */
#define EVENTS_CLOSE_MS 2000      /* for the peer to answer a close */
#define EVENTS_TICKET_MS 30000    /* from a ticket to its handshake: a round trip, and a browser that is busy */
#define EVENTS_TICKETS_PER_DEVICE_MAX 16 /* not used yet: twice its streams */
#define EVENTS_TICKETS_MAX 4096   /* of all devices: 300 KB */

/* The agent, dray watch. */
#define WATCH_FOLDERS_MAX 32      /* of one agent: three threads and a stream each */
#define WATCH_CALM_MS 30          /* without an event before a pass: an editor that saves writes, closes and renames within a few ms */
#define WATCH_CALM_MAX_MS 1000    /* after the first event: a tree that never rests is synced all the same */
#define WATCH_HOLD_LOOK_MS 200    /* after a write, whether the writer is still there; then less and less often */
#define WATCH_HOLD_MADE_MS 2000   /* a new file of which nothing more is heard: made without being written, or not by this machine */
#define WATCH_HOLD_REST_MS 30000  /* a file that is kept open and has not been written to for so long is taken as it is */
#define WATCH_HOLD_MAX_MS (600 * 1000) /* one that never rests, as a log, is sent that often */
#define WATCH_HELD_MAX 4096       /* files that are being written at once; more are not held, and an unfinished one is found changing when it is read */
#define WATCH_PASS_MS (600 * 1000) /* with a jitter of a quarter: what no event has told (mmap, a network file system) and the digest's proof */
#define WATCH_VERIFY_MS (24 * 3600 * INT64_C(1000)) /* every file is read: a disk that rots is noticed before the backups have rotated */
#define WATCH_BLIND_MS 60000      /* between passes while not all directories can be watched */
#define WATCH_RETRY_FIRST_MS 1000 /* after a pass that failed, doubled: a server that restarts is back within seconds */
#define WATCH_RETRY_MAX_MS 60000
#define WATCH_LINE_MS 3000        /* how long a request tries a server that does not answer: then the pass ends, and the agent says so */
#define WATCH_TURN_MS 200         /* between two looks whether another dray on the folder has ended */
#define WATCH_SILENCE_MS (2 * EVENTS_HEARTBEAT_MS + 10000) /* of an event stream: two heartbeats missed */
#define CONTROL_CLIENTS_MAX 16    /* of an agent's socket at once */
#define CONTROL_LINE_MAX (4 * KIB) /* a request is some 20 bytes */
#define CONTROL_ANSWER_MAX (256 * KIB) /* with the paths of the held files that are shown */
#define CONTROL_HELD_SHOWN 20
#define CONTROL_IDLE_MS 10000     /* a peer that says nothing, or does not read */

/* The API. */
#define PAGE_LIMIT_MAX 1000       /* rows */
#define PAGE_LIMIT_DEFAULT 500
#define SEARCH_ROWS_MAX 20000     /* rows that one page of a search looks at: some 30 ms */
#define COMMIT_OPS_MAX 10000
#define MASS_DELETE_MIN 100       /* entries: fewer are the work of a day, in a project of any size; of more than these and */
#define MASS_DELETE_PERCENT 25    /* of what there is, a client does not delete in one pass, nor a device in an hour, what nobody has said is meant */
#define MASS_DELETE_HOUR_US (3600 * INT64_C(1000000)) /* time to notice; a person who cleans up in steps is held once, and says so */
#define TRANSFERS_PER_DEVICE_MAX 1000
#define TRANSFER_CHUNKS_MAX (4 * 1024 * 1024 + 1024) /* of a 16 TiB file */
#define GC_GRACE_US (24 * 3600 * INT64_C(1000000)) /* a chunk that nothing names stays: somebody may be about to name it */
#define GC_INTERVAL_US (24 * 3600 * INT64_C(1000000)) /* between two collections */
#define MILESTONES_LIFE_US (30 * 24 * 3600 * INT64_C(1000000)) /* of transfers that have ended */
#define TRANSFER_PAUSE_US (60 * INT64_C(1000000)) /* without a chunk: then the next one says "resumed" */
#define TRANSFER_LIFE_US (7 * 24 * 3600 * INT64_C(1000000))
#define BLOCKS_FETCH_MAX CHUNK_BLOCKS_MAX  /* blocks of one …/blocks/fetch: the answer is one container */
#define BLOCKS_FETCH_RAW_MAX CHUNK_RAW_MAX /* and their raw bytes */
#define LAG_CHANGES_MAX 100       /* changes that a device is behind are counted so far */
#define LAG_ROWS_MAX 10000        /* of one list of devices, in all: some 30 ms */
#define WAIT_MAX_S 60             /* long poll */
#define POLL_BURST 50             /* answers of "nothing new" to a device that does not wait for them: scripts and a client that starts stay below */
#define POLL_INTERVAL_US 50000    /* then one more each: 20 a second of a loop without a pause cost next to nothing */
#define POLL_RETRY_MAX_S 3        /* Retry-After of the others is 1 to this by lot: a fleet that was refused at once does not come back at once */
#define POLL_DEVICES_MAX 4096     /* whose polls are remembered, in 400 KB: several times a fleet of 500 that has gone stale */
#define KEEP_VERSIONS_DEFAULT 100 /* states of a file: months of daily work; by age nothing goes unless the owner says so */
#define KEEP_VERSIONS_MAX 10000   /* counting back is a walk over as many rows */
#define KEEP_DAYS_MAX 36500       /* a century: far from where microseconds overflow */
#define KEEP_ALWAYS_US (24 * 3600 * INT64_C(1000000)) /* a state replaced since then stays: somebody may be reading it still */
#define SNAPSHOT_LIFE_US (7 * 24 * 3600 * INT64_C(1000000))
#define TOMBSTONE_LIFE_US (90 * 24 * 3600 * INT64_C(1000000)) /* at least; longer while a live device has not passed it */
#define DEVICE_AWAY_US (365 * 24 * 3600 * INT64_C(1000000)) /* not heard of for so long: no tombstone waits for it, it will list again */
