#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/num.h"
#include "server/commands.h"
#include "server/database.h"
#include "server/service.h"

#define GRACE_MS 30000      /* for requests that run when we are asked to stop */
#define TICK_S 60
#define WORKERS_MAX 64
#define SPAN_MAX_S (3650 * INT64_C(86400))

struct serve {
	const char *data, *db_url, *listen;
	const char *hosts[COMMAND_VALUES_MAX + 1];
	unsigned workers;
	int64_t gc_interval_us, gc_grace_us;
	bool json_log;
};

/* A number of seconds, or of minutes, hours or days with m, h, d behind it. */
static err_code
parse_span(const struct command_line *line, char letter, const char *what, int64_t preset_us, int64_t *out_us, struct err *err)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	const char *s = command_value(line, letter);
	size_t len = s ? strlen(s) : 0;
	int64_t unit = 1;
	uint64_t n;

	*out_us = preset_us;
	if (!s)
		return ERR_OK;
	for (size_t i = 0; len > 1 && i < ARRAY_LEN(units); i++) {
		if (s[len - 1] != units[i].unit)
			continue;
		unit = units[i].seconds;
		len--;
		break;
	}
	if (!parse_u64(s, len, (uint64_t)(SPAN_MAX_S / unit), &n))
		return err_set(err, ERR_USAGE, "--%s takes seconds, or a number with m, h or d behind it, at most 3650d", what);
	*out_us = (int64_t)n * unit * 1000000;
	return ERR_OK;
}

static err_code
parse(const struct command_line *line, struct serve *out, struct err *err)
{
	const char *format = command_value(line, 'f');
	const char *workers = command_value(line, 'w');
	uint64_t n = 0;

	*out = (struct serve){
		.data = command_data(line),
		.db_url = database_url(line),
		.listen = command_has(line, 'l') ? command_value(line, 'l') : LISTEN_DEFAULT,
		.json_log = format && strcmp(format, "json") == 0,
	};
	for (unsigned i = 0; i < line->options['H'].n; i++)
		out->hosts[i] = line->options['H'].values[i];
	if (format && !out->json_log && strcmp(format, "text") != 0)
		return err_set(err, ERR_USAGE, "--log-format is text or json");
	if (workers && (!parse_u64(workers, strlen(workers), WORKERS_MAX, &n) || n == 0))
		return err_set(err, ERR_USAGE, "--workers takes a number from 1 to %d", WORKERS_MAX);
	out->workers = (unsigned)n;
	if (parse_span(line, 'i', "gc-interval", GC_INTERVAL_US, &out->gc_interval_us, err))
		return ERR_USAGE;
	return parse_span(line, 'g', "gc-grace", GC_GRACE_US, &out->gc_grace_us, err);
}

/* Every connection is a descriptor; the soft limit of 1,024 is for programs that use select. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool
is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0;
}

static void
announce(const struct data *data, const struct service *s, bool first_start)
{
	AUTO(freep) char *token = data_path(data, "owner.token");

	if (first_start)
		log_event(LOG_INFO, "made the owner token", LOG_STR("file", token));
	if (!is_loopback(service_address(s)))
		log_event(LOG_WARN, "plain HTTP beyond this machine: tokens and files can be read on the way; put a TLS proxy in front",
		    LOG_STR("listen", service_address(s)));
	log_event(LOG_INFO, "serving", LOG_STR("listen", service_address(s)), LOG_STR("data", data->path),
	    LOG_STR("version", DRAY_VERSION));
}

/* Signals are taken here and nowhere else: they are blocked before the first thread starts. */
static void
wait_for_signal(struct service *s, const sigset_t *signals)
{
	const struct timespec tick = { .tv_sec = TICK_S };

	service_tick(s); /* what became due while nobody served */
	while (sigtimedwait(signals, NULL, &tick) < 0)
		service_tick(s);
}

static err_code
run_service(const struct serve *opts, struct data *data, const sigset_t *signals, struct err *err)
{
	struct service_opts service_opts = {
		.db_url = opts->db_url,
		.listen = opts->listen,
		.hosts = opts->hosts,
		.workers = opts->workers,
		.access_log = true,
		.gc_interval_us = opts->gc_interval_us,
		.gc_grace_us = opts->gc_grace_us,
	};
	struct service *s;
	bool first_start;
	err_code rc = data_lock(data, err);

	if (rc == ERR_OK)
		rc = service_open(data, &service_opts, &s, &first_start, err);
	if (rc)
		return rc;
	rc = data_address_write(data, service_address(s), err);
	if (rc == ERR_OK) {
		announce(data, s, first_start);
		wait_for_signal(s, signals);
		log_event(LOG_INFO, "stopping", LOG_STR("data", data->path));
		rc = data_address_remove(data, err);
	}
	service_close(s, GRACE_MS);
	log_event(LOG_INFO, "stopped", LOG_STR("data", data->path));
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };
	struct serve opts;
	struct data data;
	sigset_t signals;
	err_code rc = parse(line, &opts, &err);

	if (rc)
		return command_fail(line, &err);
	log_setup(LOG_INFO, opts.json_log);
	database_warn(line);
	raise_descriptor_limit();
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	rc = data_open(opts.data, &data, &err);
	if (rc == ERR_OK)
		rc = run_service(&opts, &data, &signals, &err);
	data_close(&data);
	return rc ? command_fail(line, &err) : 0;
}

const struct command COMMAND_SERVE = {
	.name = "serve",
	.args = "",
	.summary = "Serve until SIGTERM or SIGINT",
	.options = "dblHwfig",
	.run = run,
	.help = "Everything lies in the data directory: metadata in SQLite, content in chunks/.  The first\n"
	        "start makes it, and in it owner.token, the token that may do everything.  With --db the\n"
	        "metadata is in PostgreSQL (14 or newer); the environment's DRAYD_DB says so as well, and\n"
	        "shows no password in the list of processes.\n\n"
	        "SIGTERM lets running requests end (up to 30 s) and closes the database cleanly; a kill\n"
	        "loses nothing that was acknowledged.\n\n"
	        "Garbage is collected ten minutes after the start and then once in --gc-interval; what\n"
	        "nothing names any more stays for --gc-grace.\n",
};
