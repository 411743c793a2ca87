#pragma once
/**
 * What the user sees while a sync runs: a progress bar on a terminal, plain lines elsewhere, nothing with --json or --quiet.
 * Everything goes to standard error; results are the commands' and go to standard output.
 */

#include "base/sbuf.h"
#include "client/transfer/transfer.h"

struct report;

struct report_opts {
	bool quiet; /* no progress at all */
	bool bar;   /* a terminal: repaint two lines; else a line at most every 10 s */
};

/** report_terminal(): whether standard error is one on which a line can be painted over. */
bool report_terminal(void);

struct report *report_new(const struct report_opts *opts);
void report_free(struct report *r);

/** report_count(r, "Scanning", entries): what cannot say how much it will be has come this far. */
void report_count(struct report *r, const char *verb, uint64_t entries);

/**
 * report_start(r, "Receiving", progress), report_stop(r): show the transfer's counts until stopped, from a thread of its own.
 * ${progress} must live until report_stop.
 */
void report_start(struct report *r, const char *verb, struct transfer_progress *progress);
void report_stop(struct report *r);

/** report_bar(sb, percent, width): "[===>   ]", ${width} columns between the brackets.  report_eta(sb, left, per_second): "  1:23". */
void report_bar(struct sbuf *sb, unsigned percent, size_t width);
void report_eta(struct sbuf *sb, uint64_t left, uint64_t per_second);

/** report_clear(r): take the bar off the screen, before something else is printed. */
void report_clear(struct report *r);

/**
 * report_fit(sb, text, width): ${text}, made visible, in at most ${width} columns; what does not fit is cut off in front.  Returns how many
 * columns it takes.
 */
size_t report_fit(struct sbuf *sb, const char *text, size_t width);
/** report_pad(sb, text, width): the same in exactly ${width} columns. */
void report_pad(struct sbuf *sb, const char *text, size_t width);
