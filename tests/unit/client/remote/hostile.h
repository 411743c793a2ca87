#pragma once
/** A server that says what a test tells it to say, on a real socket. */

#include "base/thread.h"

#define SCRIPT_MAX 16

/** What to do with one request, in the order in which they come; the last one stays for all that follow. */
struct reply {
	const void *p;      /* the bytes of the answer */
	size_t len;
	size_t cut;         /* close after so many bytes; 0: after all of them */
	unsigned drip_ms;   /* one byte each so many milliseconds */
	bool keep;          /* leave the connection open for the next request */
	bool silent;        /* read the request and say nothing until the peer goes away */
};

struct hostile {
	int listener;
	uint16_t port;
	pthread_t thread;
	struct mutex mu;            /* guards the script and what was seen */
	struct reply script[SCRIPT_MAX];
	size_t script_len, next;
	unsigned requests;
	char seen[4][16 * KIB];     /* the first requests, head and some of the body */
	bool stop;
};

void hostile_start(struct hostile *h);
void hostile_stop(struct hostile *h);
/** hostile_script(h, replies, n): a new script; counters start again. */
void hostile_script(struct hostile *h, const struct reply *replies, size_t n);
unsigned hostile_requests(struct hostile *h);
