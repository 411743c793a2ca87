/*
 * So many deletions at once are more often a mistake than a wish.  A client brakes by itself; this holds for one that is broken, old or
 * written in an afternoon.
 *
 *   the hour     begins with a device's first deletion in a project, and the next one with the first deletion after it is over
 *   the limit    max(MASS_DELETE_MIN, MASS_DELETE_PERCENT of the project's live entries as they were when the hour began)
 *   counted      an entry that becomes a tombstone: deleted, or replaced where a directory comes or goes.  Not an entry that the device itself
 *                has made since its hour began: it is none of those that were there.  So of what was there no more than the limit goes
 *   not counted  what the commit says is meant, a resolved conflict, a move, new contents
 *
 * What would go beyond is that operation's result, MASS_DELETE_HELD; the others of the commit are applied.  The count is a row that is read
 * with a commit's first deletion and written at its end, in its transaction: who deletes nothing pays nothing.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "server/domain/commit_internal.h"

static bool
is_over(const struct delete_hour *h, int64_t now_us)
{
	int64_t age = now_us - h->began_at;

	return age >= MASS_DELETE_HOUR_US || age < 0; /* a clock that was set back is no reason to hold for longer */
}

/* The hour in which the commit's deletions fall; until one of them counts, a new one is only begun in memory. */
static err_code
hour_find(struct apply *ap, struct err *err)
{
	struct hold *hold = &ap->hold;
	err_code rc;

	if (hold->known)
		return ERR_OK;
	rc = meta_delete_hour_get(ap->tx, ap->run->project, &ap->run->c->device, &hold->hour, err);
	if (rc)
		return err_wrap(err, "look up what was deleted");
	if (is_over(&hold->hour, ap->now_us))
		hold->hour =
		    (struct delete_hour){ .began_at = ap->now_us, .clock = ap->project.clock, .entries = ap->project.file_count };
	hold->limit = MAX(MASS_DELETE_MIN, hold->hour.entries * MASS_DELETE_PERCENT / 100);
	hold->known = true;
	return ERR_OK;
}

/* Whether the device itself has made the file since its hour began. */
static err_code
is_own(struct apply *ap, const struct file *f, bool *own, struct err *err)
{
	struct version first;
	err_code rc;

	*own = false;
	if (f->created_at <= ap->hold.hour.clock)
		return ERR_OK;
	rc = meta_version_get(ap->tx, ap->run->project, &f->id, f->created_at, &first, err);
	if (!rc)
		*own = id_eq(&first.changed_by, &ap->run->c->device);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* One text for all that a commit has held: the numbers do not change any more. */
static err_code
held(struct apply *ap, struct op_result *r)
{
	struct hold *hold = &ap->hold;
	char since[RFC3339_MAX];

	if (!hold->detail)
		hold->detail = arena_printf(ap->run->a,
		    "since %s this device has deleted %jd of the %jd entries that there were, and without allow_mass_delete no "
		    "more than %jd go in an hour",
		    rfc3339_us(hold->hour.began_at, since), (intmax_t)hold->hour.deleted, (intmax_t)hold->hour.entries,
		    (intmax_t)hold->limit);
	if (hold->hour.held_at == 0) {
		hold->hour.held_at = ap->now_us;
		hold->news = true;
	}
	hold->held++;
	return result_fail(r, ERR_MASS_DELETE_HELD, NULL, hold->detail ? hold->detail : "too many deletions within an hour");
}

err_code
hold_check(struct apply *ap, const struct file *f, struct op_result *r, struct err *err)
{
	bool own;
	err_code rc;

	if (ap->run->c->allow_mass_delete || FAULT("domain.no_mass_hold"))
		return ERR_OK;
	rc = hour_find(ap, err);
	if (!rc)
		rc = is_own(ap, f, &own, err);
	if (rc || own)
		return rc;
	if (ap->hold.hour.deleted >= ap->hold.limit)
		return held(ap, r);
	ap->hold.hour.deleted++;
	ap->hold.counted = true;
	return ERR_OK;
}

err_code
hold_write(struct apply *ap, struct err *err)
{
	if (!ap->hold.counted && !ap->hold.news)
		return ERR_OK;
	return meta_delete_hour_put(ap->tx, ap->run->project, &ap->run->c->device, &ap->hold.hour, err);
}

void
hold_say(const struct apply *ap)
{
	const struct hold *hold = &ap->hold;
	char project[ID_HEX_LEN + 1], device[ID_HEX_LEN + 1];

	if (!hold->news)
		return;
	log_event(LOG_WARN, "a device deletes so much at once that it may be a mistake: what is beyond the limit is held",
	    LOG_STR("project", id_hex(ap->run->project, project)), LOG_STR("device", id_hex(&ap->run->c->device, device)),
	    LOG_I64("deleted", hold->hour.deleted), LOG_I64("limit", hold->limit), LOG_U64("held", hold->held));
}
