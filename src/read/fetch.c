/*-------------------------------------------------------------------------
 *
 * fetch.c
 *		The path of a read, from top to bottom.
 *
 * Nothing forbids the cache, there is an entry, it has not expired and its
 * proof holds: its bytes are copied while its partition is locked for reading,
 * and that is all of a hit (lookup.c).  Else the answer is computed and
 * stored, or somebody is waited for who does (fill.c).  An answer that is no
 * longer right may be served nevertheless, where max_stale allows it
 * (stale.c).
 *
 * Locking: in REPEATABLE READ, the sources in ACCESS SHARE mode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/fetch.h"

#include "hit_path.h"
#include "read/fill.h"
#include "read/lookup.h"
#include "read/tenant.h"

#include "access/xact.h"
#include "storage/lmgr.h"

/*
 * Lock the sources as the query would.
 *
 * TRUNCATE empties a table for older snapshots, too.  Who has queried the table
 * makes it wait until the end of his transaction; who is served from the cache
 * has to do the same, lest a later query in the same snapshot, which lives on
 * in REPEATABLE READ, find another answer.
 */
static void
lock_sources(const DcWidget *widget)
{
	for (int i = 0; i < widget->nwatches; i++)
		LockRelationOid(widget->watches[i].relid, AccessShareLock);
}

/*
 * Begin to answer for one widget and tenant.  The caller has checked the
 * permission, and may begin others before it goes on.
 *
 * What others have written to memory takes longer to arrive than all else
 * that a hit does.  So the bucket is sent for here, the entry in
 * dc_lookup_prefetch(), and both are looked at in dc_fetch(); the farther these
 * are from each other, the better.
 */
DC_HIT_PATH void
dc_fetch_begin(DcLookup *lookup, const DcDashboard *dashboard, DcWidget *widget,
			   DcRequest *request)
{
	lookup->dashboard = dashboard;
	lookup->widget = widget;
	lookup->tenant = dc_tenant_of_request(request, widget);
	lookup->params = request->params;
	lookup->refresh = request->refresh;
	lookup->background = false;
	lookup->keep_last = widget->max_stale_us > 0;
	dc_lookup_make_key(lookup);
}

/*
 * Answer: append the JSON to "out", and say in "answer" where it came from.
 */
DC_HIT_PATH void
dc_fetch(DcLookup *lookup, StringInfo out, DcAnswer *answer)
{
	DcWidget   *widget = lookup->widget;
	DcComputed	computed;

	memset(answer, 0, sizeof(*answer));
	lookup->out = out;
	lookup->answer = answer;

	if (!dc_lookup_may_use_cache(lookup))
	{
		dc_fill_compute(lookup, &computed);
		if (widget->stats != NULL)
			dc_stats_add(widget->stats, DC_COUNT_BYPASSES, 1);
		answer->reason = lookup->reason;
		dc_lookup_log(lookup, "bypass");
		return;
	}

	if (IsolationUsesXactSnapshot())
		lock_sources(widget);

	if (lookup->refresh)
	{
		lookup->reason = "refresh";
		lookup->alone = false;
		dc_fill_or_wait(lookup);
	}
	else if (!dc_lookup_try_cache(lookup))
		dc_fill_or_wait(lookup);
	dc_lookup_log(lookup, answer->source == DC_FROM_CACHE ? "hit" :
				  answer->source == DC_FROM_STALE ? "stale hit" : "miss");
}
