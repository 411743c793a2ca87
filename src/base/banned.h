#pragma once
/**
 * Functions that have cost other projects a security advisory each.  Using one fails to compile; the message names what
 * to use instead.  Included by base.h, so by everything.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * clang takes its error attribute on a first declaration only, and the C library has made that.  Nor does it take any on
 * atoi and its kin where the library defines them inline (optimised builds): those are left to GCC to catch.
 */
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-attributes"
#define BANNED(use) __attribute__((unavailable("banned: use " use)))
#else
#define BANNED(use) __attribute__((error("banned: use " use)))
#endif

#ifndef BANNED_OFF
char *strcpy(char *, const char *) BANNED("sbuf_add or a bounded memcpy");
char *strcat(char *, const char *) BANNED("sbuf_add");
char *strncpy(char *, const char *, size_t) BANNED("sbuf_add or a bounded memcpy");
char *strncat(char *, const char *, size_t) BANNED("sbuf_addn");
char *strtok(char *, const char *) BANNED("strcspn and lengths");
int sprintf(char *, const char *, ...) BANNED("snprintf or sbuf_addf");
int vsprintf(char *, const char *, va_list) BANNED("vsnprintf or sbuf_addf");
int atoi(const char *) BANNED("parse_u64 of base/num.h");
long atol(const char *) BANNED("parse_u64 of base/num.h");
long long atoll(const char *) BANNED("parse_u64 of base/num.h");
struct tm *gmtime(const time_t *) BANNED("gmtime_r");
struct tm *localtime(const time_t *) BANNED("localtime_r");
char *ctime(const time_t *) BANNED("rfc3339_us of base/clock.h");
char *tmpnam(char[L_tmpnam]) BANNED("pathat_open with O_EXCL");
int rand(void) BANNED("rng_bytes");
#endif

#ifdef __clang__
#pragma clang diagnostic pop
#endif
