#pragma once
/**
 * Deliberate faults: places where a debug build can be told to break a promise, so that the tests can prove that they would
 * notice.  A release has none of them: FAULT() is then the constant false.
 *
 * DRAY_FAULT in the environment names the faults that are on, separated by commas: DRAY_FAULT=store.no_fsync,chunk.no_hash.
 * Each name is written down where it is used; names say module and what goes wrong.
 */

#include "base/base.h"

#ifdef DRAY_FAULTS
#define FAULT(name) fault_on(name)
#else
#define FAULT(name) false
#endif

/** fault_on(name): whether the environment names the fault just now.  Any thread, as long as none changes the environment. */
bool fault_on(const char *name);
