/*-------------------------------------------------------------------------
 *
 * stale.c
 *		Answers that are no longer right, or will soon end.
 *
 * What is no longer right may be served nevertheless, where the widget's
 * max_stale allows it.  Who is served such an answer, or one near its end,
 * asks for it to be computed anew, once for each entry (refresh_asked in
 * store.h).
 *
 * Locking: the entry's partition, by the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/stale.h"

#include "consistency/own.h"
#include "guc.h"
#include "hit_path.h"
#include "read/answer_stamps.h"
#include "store/refresh_queue.h"

#include "access/xact.h"
#include "miscadmin.h"

/* What could not be computed anew is tried again after this at the latest. */
#define LONGEST_US (5 * USECS_PER_MINUTE)
#define LONGEST_SOON_US (10 * USECS_PER_SEC)

/*
 * May an entry be served, although it is not known to be what the query would
 * give?  It must have been right within max_stale, be of a state that the
 * caller's snapshot is not older than, of the definition that this snapshot
 * sees, and must contain what this session has written.
 */
bool
dc_stale_usable(const DcWidget *widget, const DcSnapshot *snapshot,
				DcSharedEntry *entry, DcVerdict verdict, TimestampTz now)
{
	const DcProof *proof = DC_ENTRY_PROOF(entry);
	const DcDependencies *dependencies = DC_ENTRY_DEPENDENCIES(entry);

	if (widget->max_stale_us == 0 ||
		dc_entry_fresh_at(entry) < now - widget->max_stale_us ||
		verdict == DC_OLD_SNAPSHOT ||
		(verdict == DC_UNCERTAIN &&
		 snapshot->xmax <= proof->snapshot_xmax))
		return false;
	return dc_proof_holds_on(proof, dependencies, dc_definition_stamp(widget->id),
							 snapshot) &&
		dc_own_seen(proof, dependencies);
}

/*
 * A time at which, or since which, the answer was right for a new snapshot.
 *
 * If nobody has announced himself whom the answer has not seen, it is right
 * now.  Else it is as old as the snapshot.  In READ COMMITTED that is not older
 * than the transaction; else it may have been imported.
 */
TimestampTz
dc_stale_fresh_at(const DcProof *proof, const DcDependencies *dependencies,
				  const DcComputed *computed)
{
	if (dc_proof_is_latest(proof, dependencies))
		return computed->generated_at;
	if (IsolationUsesXactSnapshot())
		return DT_NOBEGIN;
	return Min(computed->generated_at, GetCurrentTransactionStartTimestamp());
}

/* When the answer should be computed anew, before it ends. */
DC_HIT_PATH TimestampTz
dc_stale_refresh_at(const DcSharedEntry *entry)
{
	if (entry->expires_at == DT_NOEND || dc_refresh_ahead == 0)
		return DT_NOEND;
	return entry->generated_at +
		(TimestampTz) ((entry->expires_at - entry->generated_at) * dc_refresh_ahead);
}

/*
 * Ask for an entry to be computed anew, once.  Its partition is locked.
 * Returns whether dc_stale_wake_refreshers() is to be called.
 */
bool
dc_stale_ask_for_refresh(DcSharedEntry *entry)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	DcRefreshRequest request;
	uint32		asked = pg_atomic_read_u32(&entry->refresh_asked);

	if (asked == DC_REFRESH_ASKED ||
		(asked != 0 && DC_SECONDS(GetCurrentTimestamp()) < asked) ||
		!pg_atomic_compare_exchange_u32(&entry->refresh_asked, &asked, DC_REFRESH_ASKED))
		return false;
	request.database = definition->database;
	request.widget = definition->widget;
	request.version = definition->version;
	request.hash = entry->hash;
	if (dc_refresh_queue_push(&request))
		return true;
	/* no room: let somebody else try later */
	pg_atomic_write_u32(&entry->refresh_asked, 0);
	return false;
}

/* Wake who answers requests.  No lock is held. */
void
dc_stale_wake_refreshers(const DcDashboard *dashboard, const DcWidget *widget)
{
	ereport(DEBUG1,
			(errmsg_internal("dashcache refresh asked for: widget \"%s\" of dashboard \"%s\"",
							 widget->name, dashboard->name)));
	if (dc_refresh_wakeup != NULL)
		dc_refresh_wakeup(MyDatabaseId);
}

/*
 * So long what could not be computed anew is left alone: until the entry is half
 * as old again, within limits.  "soon": what was in the way will pass.
 */
int64
dc_stale_delay(const DcSharedEntry *entry, TimestampTz now, bool soon)
{
	return Min(Max((now - entry->generated_at) / 2, USECS_PER_SEC),
			   soon ? LONGEST_SOON_US : LONGEST_US);
}

/* Until when an entry's refresh was put off; DT_NOBEGIN: it was not. */
TimestampTz
dc_stale_put_off_until(const DcSharedEntry *entry)
{
	uint32		asked = pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &entry->refresh_asked));

	return asked == 0 || asked == DC_REFRESH_ASKED ? DT_NOBEGIN :
		(TimestampTz) asked * USECS_PER_SEC;
}

/* A refresh to be put off. */
typedef struct PutOff
{
	bool		soon;
	TimestampTz until;
} PutOff;

static void
put_off_entry(DcSharedEntry *entry, void *arg)
{
	PutOff	   *put_off = arg;
	TimestampTz now = GetCurrentTimestamp();
	uint32		until = DC_SECONDS(now + dc_stale_delay(entry, now, put_off->soon)) + 1;

	pg_atomic_write_u32(&entry->refresh_asked, until);
	put_off->until = Min(put_off->until, (TimestampTz) until * USECS_PER_SEC);
}

/*
 * A refresh has failed, or has come to nothing: let it be asked for again, later.
 * Returns from when on; DT_NOEND: there is no such entry any more.
 */
TimestampTz
dc_stale_put_off_refresh(uint32 widget, uint64 version, uint32 hash, bool soon)
{
	PutOff		put_off = {soon, DT_NOEND};

	dc_store_each(widget, version, hash, put_off_entry, &put_off);
	return put_off.until;
}
