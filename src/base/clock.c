/*
 * Dates are counted by hand (days since 1970 in the Gregorian calendar, which repeats every 400 years of 146,097 days), since
 * gmtime_r and timegm differ between C libraries at the edges, know locales and time zones, and cost more.
 */
#include "base/clock.h"

#define S_PER_DAY 86400
#define US_PER_S INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define DAYS_PER_ERA 146097               /* 400 years */
#define DAYS_0000_03_01_TO_1970 719468
#define S_YEAR_0000 (-INT64_C(62167219200)) /* 0000-01-01T00:00:00Z */
#define S_YEAR_9999 INT64_C(253402300799)   /* 9999-12-31T23:59:59Z */

struct civil {
	int year;       /* 0 to 9999 */
	unsigned month; /* 1 to 12 */
	unsigned day;   /* 1 to 31 */
};

static struct timespec
now(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		abort(); /* only a clock that does not exist is refused */
	return ts;
}

int64_t
clock_wall_us(void)
{
	return clock_wall_ns() / 1000;
}

int64_t
clock_wall_ns(void)
{
	struct timespec ts = now(CLOCK_REALTIME);

	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t
clock_mono_us(void)
{
	struct timespec ts = now(CLOCK_MONOTONIC);

	return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/*
 * Both ways count years from 1 March, so that a leap day is the last day of its year.  Months then begin on day
 * (153 m + 2) / 5 of the year: March is 0, and the lengths 31 30 31 30 31 repeat, 153 days for each five months.
 */
static int64_t
days_of(struct civil c)
{
	int64_t y = c.year - (c.month <= 2);
	int64_t era = floor_div(y, 400);
	int64_t in_era = y - era * 400;
	int64_t m = (c.month + 9) % 12;
	int64_t in_year = (153 * m + 2) / 5 + c.day - 1;

	return era * DAYS_PER_ERA + in_era * 365 + in_era / 4 - in_era / 100 + in_year - DAYS_0000_03_01_TO_1970;
}

static struct civil
civil_of(int64_t days)
{
	int64_t z = days + DAYS_0000_03_01_TO_1970;
	int64_t era = floor_div(z, DAYS_PER_ERA);
	unsigned d = (unsigned)(z - era * DAYS_PER_ERA);                 /* 0 to 146,096 */
	unsigned y = (d - d / 1460 + d / 36524 - d / 146096) / 365;      /* of the era */
	unsigned in_year = d - (365 * y + y / 4 - y / 100);
	unsigned m = (5 * in_year + 2) / 153;                            /* from March */
	struct civil c;

	c.day = in_year - (153 * m + 2) / 5 + 1;
	c.month = m < 10 ? m + 3 : m - 9;
	c.year = (int)(era * 400 + y) + (c.month <= 2);
	return c;
}

/* ${n} digits of ${v} and the byte that follows them; returns where to go on. */
static char *
digits(char *p, uint32_t v, size_t n, char after)
{
	for (size_t i = n; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	p[n] = after;
	return p + n + 1;
}

/*
 * By hand rather than by snprintf, and in 32 bits, which divide in half the time: a snapshot of a million files has three million of
 * these.
 */
static char *
print(int64_t s, uint32_t fraction, size_t fraction_digits, char *out)
{
	int64_t days = floor_div(s, S_PER_DAY);
	uint32_t in_day = (uint32_t)(s - days * S_PER_DAY);
	struct civil c = civil_of(days);
	char *p = out;

	p = digits(p, (uint32_t)c.year, 4, '-');
	p = digits(p, c.month, 2, '-');
	p = digits(p, c.day, 2, 'T');
	p = digits(p, in_day / 3600, 2, ':');
	p = digits(p, in_day / 60 % 60, 2, ':');
	p = digits(p, in_day % 60, 2, '.');
	p = digits(p, fraction, fraction_digits, 'Z');
	*p = '\0';
	return out;
}

char *
rfc3339_us(int64_t us, char out[static RFC3339_MAX])
{
	int64_t s = floor_div(us, US_PER_S);

	if (s < S_YEAR_0000)
		return print(S_YEAR_0000, 0, 6, out);
	if (s > S_YEAR_9999)
		return print(S_YEAR_9999, US_PER_S - 1, 6, out);
	return print(s, (uint32_t)(us - s * US_PER_S), 6, out);
}

char *
rfc3339_ns(int64_t ns, char out[static RFC3339_MAX])
{
	int64_t s = floor_div(ns, NS_PER_S);
	int64_t rest = ns % NS_PER_S; /* not ns - s × 10^9: that product overflows for the least ns */

	return print(s, (uint32_t)(rest < 0 ? rest + NS_PER_S : rest), 9, out);
}

/* What is left of the text; every reader below returns false at the first byte that does not fit. */
struct reader {
	const char *p, *end;
};

static bool
read_number(struct reader *r, size_t n, unsigned least, unsigned most, unsigned *out)
{
	unsigned v = 0;

	if ((size_t)(r->end - r->p) < n)
		return false;
	for (size_t i = 0; i < n; i++, r->p++) {
		if (*r->p < '0' || *r->p > '9')
			return false;
		v = v * 10 + (unsigned)(*r->p - '0');
	}
	*out = v;
	return v >= least && v <= most;
}

static bool
read_char(struct reader *r, char a, char b)
{
	if (r->p == r->end || (*r->p != a && *r->p != b))
		return false;
	r->p++;
	return true;
}

static unsigned
days_in_month(unsigned year, unsigned month)
{
	static const uint8_t DAYS[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return DAYS[month - 1] + (month == 2 && leap);
}

static bool
read_date(struct reader *r, int64_t *days)
{
	unsigned year, month, day;

	if (!read_number(r, 4, 0, 9999, &year) || !read_char(r, '-', '-') || !read_number(r, 2, 1, 12, &month) ||
	    !read_char(r, '-', '-') || !read_number(r, 2, 1, days_in_month(year, month), &day))
		return false;
	*days = days_of((struct civil){ .year = (int)year, .month = month, .day = day });
	return true;
}

static bool
read_fraction(struct reader *r, int64_t *ns)
{
	int64_t unit = NS_PER_S;

	*ns = 0;
	if (!read_char(r, '.', '.'))
		return true;
	while (r->p < r->end && *r->p >= '0' && *r->p <= '9') {
		unit /= 10;
		if (unit == 0)
			return false; /* a tenth digit would be dropped silently */
		*ns += (*r->p++ - '0') * unit;
	}
	return unit < NS_PER_S;
}

static bool
read_offset(struct reader *r, int64_t *s)
{
	unsigned hours, minutes;
	int sign;

	*s = 0;
	if (read_char(r, 'Z', 'z'))
		return true;
	if (read_char(r, '+', '+'))
		sign = 1;
	else if (read_char(r, '-', '-'))
		sign = -1;
	else
		return false;
	if (!read_number(r, 2, 0, 23, &hours) || !read_char(r, ':', ':') || !read_number(r, 2, 0, 59, &minutes))
		return false;
	*s = sign * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

/* s × 10^9 + ns, false when 64 bits do not hold it.  The least values have a product that overflows and a sum that fits. */
static bool
join_ns(int64_t s, int64_t ns, int64_t *out)
{
	if (s < 0 && ns > 0) {
		s += 1;
		ns -= NS_PER_S;
	}
	return !__builtin_mul_overflow(s, NS_PER_S, out) && !__builtin_add_overflow(*out, ns, out);
}

err_code
rfc3339_parse_ns(const char *s, size_t len, int64_t *out, struct err *err)
{
	struct reader r = { s, s + len };
	int64_t days, fraction, offset, ns;
	unsigned hour, minute, second;

	if (!read_date(&r, &days) || !read_char(&r, 'T', 't') || !read_number(&r, 2, 0, 23, &hour) ||
	    !read_char(&r, ':', ':') || !read_number(&r, 2, 0, 59, &minute) || !read_char(&r, ':', ':') ||
	    !read_number(&r, 2, 0, 59, &second) || !read_fraction(&r, &fraction) || !read_offset(&r, &offset) ||
	    r.p != r.end)
		return err_set(err, ERR_FIELD_RANGE, "not an RFC 3339 time such as 2026-11-22T14:00:00.123456Z");
	if (!join_ns(days * S_PER_DAY + hour * 3600 + minute * 60 + second - offset, fraction, &ns))
		return err_set(err, ERR_FIELD_RANGE, "the time is outside of 1677-09-21 to 2262-04-11");
	*out = ns;
	return ERR_OK;
}
