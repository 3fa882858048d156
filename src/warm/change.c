/*-------------------------------------------------------------------------
 *
 * change.c
 *		Computing again what is in use.
 *
 * Either because a session has asked for it, since an entry is near its end or
 * was served stale (store/refresh_queue.c); or, in dashboards that are warmed on
 * change, because a source has changed.  Writers do not look for entries, so
 * who has changed what is found by scanning the entries: most used first.
 *
 * An entry that was never read is left alone.  One that is not read any more is
 * computed the less often the longer that lasts: each time it was computed in
 * vain, it waits twice as long.  What fails, or cannot be told yet, since another
 * transaction is in the way, is tried again later on.
 *
 * Locking: the store's, while entries are looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/change.h"

#include "consistency/validity.h"
#include "read/background.h"
#include "read/stale.h"
#include "store/refresh_queue.h"
#include "store/store.h"
#include "warm/dashboards.h"
#include "warm/task.h"
#include "widget/metacache.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* After being computed once in vain, an entry waits so long; then twice that. */
#define UNUSED_DELAY_US USECS_PER_SEC

/* An entry to compute again. */
typedef struct Stale
{
	DcRefreshRequest request;
	uint64		hits;
} Stale;

/* A widget whose entries are computed again when they have changed. */
typedef struct Watched
{
	uint32		widget;			/* hash key */
	uint64		version;
} Watched;

typedef struct Look
{
	HTAB	   *widgets;		/* of Watched */
	DcSnapshot	snapshot;
	TimestampTz now;
	TimestampTz again;			/* when the first of those that wait is due */
	Stale	   *stale;
	int			n;
	int			capacity;
	MemoryContext context;
} Look;

/*-------------------------------------------------------------------------
 * On request
 *-------------------------------------------------------------------------
 */

typedef struct Refresh
{
	const DcRefreshRequest *request;
	DcRefreshed done;
} Refresh;

static void
refresh(void *arg)
{
	Refresh    *work = arg;

	work->done = dc_background_refresh(work->request->widget, work->request->version,
									   work->request->hash);
}

/* Returns when it may be tried again; DT_NOEND: it need not be. */
static TimestampTz
do_refresh(const DcRefreshRequest *request)
{
	Refresh		work = {request};
	char	   *error;
	bool		transient;

	if (!dc_task_run(refresh, &work, &error, &transient))
		work.done = DC_REFRESH_LATER;
	return work.done == DC_REFRESH_DONE ? DT_NOEND :
		dc_stale_put_off_refresh(request->widget, request->version, request->hash,
								 work.done == DC_REFRESH_SOON);
}

/* Do what sessions have asked for. */
void
dc_change_refresh_queued(void)
{
	DcRefreshRequest request;

	while (dc_refresh_queue_pop(MyDatabaseId, &request))
	{
		dc_task_interrupts();
		pgstat_report_activity(STATE_RUNNING, "dashcache: refreshing entries in use");
		(void) do_refresh(&request);
	}
}

/*-------------------------------------------------------------------------
 * After changes
 *-------------------------------------------------------------------------
 */

static void
watch_widgets(DcDashboard *dashboard, void *arg)
{
	HTAB	   *widgets = arg;

	if (!dashboard->warm_on_change)
		return;
	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		Watched    *watched = hash_search(widgets, &dashboard->widgets[i].id,
										  HASH_ENTER, NULL);

		watched->version = dashboard->widgets[i].version;
	}
}

static HTAB *
watched_widgets(void)
{
	HASHCTL		ctl = {.keysize = sizeof(uint32),.entrysize = sizeof(Watched),.hcxt = CurrentMemoryContext};
	HTAB	   *widgets = hash_create("dashcache widgets", 64, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	(void) dc_dashboards_each(NULL, watch_widgets, widgets);
	return widgets;
}

static void
look_at(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	Look	   *look = arg;
	Watched    *watched;
	DcCulprit	culprit;
	TimestampTz due;
	Stale	   *stale;

	if (definition->database != MyDatabaseId || look->now >= entry->expires_at ||
		dc_entry_last_used(entry) == 0)
		return;
	watched = hash_search(look->widgets, &definition->widget, HASH_FIND, NULL);
	if (watched == NULL || watched->version != definition->version)
		return;

	switch (dc_proof_check(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry), &look->snapshot, &culprit))
	{
		case DC_CHANGED:
			due = Max(entry->generated_at, dc_stale_put_off_until(entry));
			if (!dc_entry_used(entry))
				due = Max(due, entry->generated_at +
						  (UNUSED_DELAY_US << Min(entry->unused_refreshes, 20)));
			break;
		case DC_UNCERTAIN:
			due = look->now + dc_stale_delay(entry, look->now, true);
			break;
		default:
			return;
	}
	if (due > look->now)
	{
		look->again = Min(look->again, due);
		return;
	}

	if (look->n == look->capacity)
	{
		look->capacity = Max(64, look->capacity * 2);
		look->stale = look->stale == NULL ?
			MemoryContextAlloc(look->context, sizeof(Stale) * look->capacity) :
			repalloc_huge(look->stale, sizeof(Stale) * look->capacity);
	}
	stale = &look->stale[look->n++];
	stale->request.database = definition->database;
	stale->request.widget = definition->widget;
	stale->request.version = definition->version;
	stale->request.hash = entry->hash;
	stale->hits = dc_entry_hits(entry);
}

static void
look_for_stale(void *arg)
{
	Look	   *look = arg;

	look->widgets = watched_widgets();
	look->now = GetCurrentTimestamp();
	dc_snapshot_init(&look->snapshot, GetActiveSnapshot());
	if (hash_get_num_entries(look->widgets) > 0)
		dc_store_scan(look_at, look);
}

static int
compare_stale(const void *a, const void *b)
{
	uint64		hits_a = ((const Stale *) a)->hits;
	uint64		hits_b = ((const Stale *) b)->hits;

	return hits_a > hits_b ? -1 : hits_a < hits_b ? 1 : 0;
}

/*
 * Compute again what was in use and has changed.  Returns when to look again for
 * what has to wait; DT_NOEND: for nothing.  "look_us": how long the looking took.
 */
TimestampTz
dc_change_refresh_changed(int64 *look_us)
{
	TimestampTz start = GetCurrentTimestamp();
	Look		look = {.again = DT_NOEND,.context = CurrentMemoryContext};
	char	   *error;
	bool		transient;

	pgstat_report_activity(STATE_RUNNING, "dashcache: warming what has changed");
	if (!dc_task_run(look_for_stale, &look, &error, &transient))
		look.n = 0;
	*look_us = GetCurrentTimestamp() - start;
	if (look.n > 1)
		qsort(look.stale, look.n, sizeof(Stale), compare_stale);
	for (int i = 0; i < look.n; i++)
	{
		dc_task_interrupts();
		look.again = Min(look.again, do_refresh(&look.stale[i].request));
	}
	return look.again;
}
