#pragma once
/**
 * The API: which request is whose, who may make it, and what its answer looks like.  Knows HTTP's words and JSON; knows no SQL, no
 * disks and no rules: those are domain/'s.
 */

#include "server/domain/domain.h"
#include "server/http/http.h"
#include "server/notify/notify.h"

struct route;

/** route_open(d, hub): the service over ${d}; event streams go to ${hub}.  Both outlive it. */
struct route *route_open(struct domain *d, struct notify *hub);

/** route_event_source(d): what the event hub asks. */
struct notify_source route_event_source(struct domain *d);

/** route_free(r): when no request is running any more.  NULL is fine. */
void route_free(struct route *r);

/** route_service(r): the callbacks to hand to http_start; they work on ${r}. */
struct http_service route_service(struct route *r);
