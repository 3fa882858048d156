/*-------------------------------------------------------------------------
 *
 * tasks.c
 *		Working on a run.
 *
 * Each entry is computed in a transaction of its own.  Those that fail for a
 * reason that may pass (a lock, a deadlock) are tried again, after all others
 * and a little later each time.
 *
 * A task is either a widget, to be computed for all tenants with one query where
 * that gives the same bytes (widget/setwise.c), or tenants, whose entries are
 * computed one by one: those whose hash leaves the task's remainder.
 *
 * One tenant's rows may make the query for all fail.  Then it is run for each
 * half of the tenants, and so on, until those that are left are so few that they
 * are done one by one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/tasks.h"

#include "attempt.h"
#include "read/background.h"
#include "read/compute_set.h"
#include "read/tenant.h"
#include "warm/jobs.h"
#include "warm/plan.h"
#include "warm/pool.h"
#include "warm/run.h"
#include "warm/task.h"
#include "warm/tenants.h"
#include "widget/metacache.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How often what failed is tried again, and after how long the first time. */
#define RETRIES 3
#define RETRY_DELAY_MS 100

/* One entry to compute. */
typedef struct WarmItem
{
	DcWork	   *work;
	const char *dashboard;
	uint32		widget;
	const DcSettings *settings; /* that tenants are written under */
	Datum		params;
	const char *tenant;
	DcWarmth	warmth;
	const char *reason;			/* why it was not stored */
} WarmItem;

/*-------------------------------------------------------------------------
 * Entries
 *-------------------------------------------------------------------------
 */

static void
warm_item(void *arg)
{
	WarmItem   *item = arg;
	DcDashboard *dashboard = dc_metacache_dashboard(item->dashboard);
	DcWidget   *widget = dashboard == NULL ? NULL :
	dc_metacache_widget_by_id(dashboard, item->widget);
	DcRequest	request = {0};

	item->warmth = DC_WARM_ALREADY;
	if (widget == NULL)
		return;
	request.tenant = CStringGetTextDatum(item->tenant);
	request.tenant_type = TEXTOID;
	request.settings = dc_tenants_settings(item->settings, widget);
	request.params = item->params;
	item->warmth = dc_background_warm(dashboard, widget, &request, &item->reason);
}

/* Compute one entry, and count it. */
static void
do_item(WarmItem *item, bool last_try)
{
	DcWork	   *work = item->work;
	char	   *error = NULL;
	bool		transient = false;
	bool		done;

	dc_task_interrupts();
	done = dc_task_run(warm_item, item, &error, &transient);
	if (done && item->warmth == DC_WARM_NOT_STORED && !last_try &&
		dc_background_may_pass(item->reason))
	{
		done = false;
		transient = true;
		error = psprintf("an answer was not stored: %s", item->reason);
	}
	if (done)
	{
		dc_run_count(item->warmth == DC_WARM_NOW,
					 item->warmth == DC_WARM_ALREADY || item->warmth == DC_WARM_BY_OTHER,
					 item->warmth == DC_WARM_NOT_STORED);
		if (item->warmth == DC_WARM_NOT_STORED)
			dc_run_set_error(psprintf("an answer was not stored: %s", item->reason));
	}
	else if (transient && !last_try && !dc_run_is_cancelled())
	{
		MemoryContext old = MemoryContextSwitchTo(work->context);
		WarmItem   *copy = palloc(sizeof(WarmItem));

		*copy = *item;
		work->again = lappend(work->again, copy);
		MemoryContextSwitchTo(old);
		dc_run_put_off(1);
	}
	else
	{
		dc_run_count(0, 0, 1);
		dc_run_set_error(error);
	}
}

static void
do_tenant(WarmItem *item, const char *tenant)
{
	item->tenant = tenant;
	if (!dc_run_is_cancelled())
		do_item(item, false);
}

/*-------------------------------------------------------------------------
 * Sets
 *-------------------------------------------------------------------------
 */

/* A widget to compute for many tenants at once, with the same params. */
typedef struct Set
{
	WarmItem	item;			/* what is the same for all */
	char	  **list;			/* the tenants, as text */
	int			n;

	/* while it is computed */
	DcDashboard *dashboard;
	DcWidget   *widget;
	int			next;			/* of the list, to be looked at */
	Datum	   *tenants;		/* those that need it */
	int			ntenants;
	int			stored;
	const char *reason;			/* why some were not */
	List	   *left_out;		/* tenants to be done one by one, as text */
	MemoryContext context;
} Set;

static void
leave_out(Set *set, char *tenant)
{
	MemoryContext old = MemoryContextSwitchTo(set->item.work->context);

	set->left_out = lappend(set->left_out, tenant);
	MemoryContextSwitchTo(old);
}

static void
store_one(int tenant, const char *payload, Size len,
		  const DcComputed *computed, void *arg)
{
	Set		   *set = arg;
	MemoryContext old = MemoryContextSwitchTo(set->context);
	const char *reason;

	reason = dc_background_store(set->dashboard, set->widget, set->tenants[tenant],
								 set->item.params, payload, len, computed);
	if (reason == NULL)
		set->stored++;
	else
		set->reason = reason;
	MemoryContextSwitchTo(old);
	MemoryContextReset(set->context);
}

/* Convert tenants, and pick out those that need to be computed. */
static void
pick_tenants(void *arg)
{
	Set		   *set = arg;

	for (; set->next < set->n; set->next++)
	{
		DcRequest	request = {0};
		Datum		tenant;
		const char *reason;

		request.tenant = CStringGetTextDatum(set->list[set->next]);
		request.tenant_type = TEXTOID;
		request.settings = dc_tenants_settings(set->item.settings, set->widget);
		tenant = dc_tenant_of_request(&request, set->widget);
		if (dc_background_needed(set->dashboard, set->widget, tenant, set->item.params, &reason))
			set->tenants[set->ntenants++] = tenant;
		else if (reason != NULL)
			leave_out(set, set->list[set->next]);
	}
}

static void
compute_set(void *arg)
{
	Set		   *set = arg;
	DcDashboard *dashboard = dc_metacache_dashboard(set->item.dashboard);

	set->next = 0;
	set->ntenants = 0;
	set->stored = 0;
	set->left_out = NIL;
	set->dashboard = dashboard;
	set->widget = dashboard == NULL ? NULL :
		dc_metacache_widget_by_id(dashboard, set->item.widget);
	if (set->widget == NULL)
		return;

	set->context = AllocSetContextCreate(CurrentMemoryContext, "dashcache answer",
										 ALLOCSET_DEFAULT_SIZES);
	set->tenants = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(Datum) * set->n);
	for (;;)
	{
		ErrorData  *error = dc_attempt(pick_tenants, set);

		if (error == NULL)
			break;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		FreeErrorData(error);
		leave_out(set, set->list[set->next++]);
	}
	if (set->ntenants > 0)
		dc_compute_set(dashboard, set->widget, set->tenants, set->ntenants,
					   set->item.params, store_one, set);
}

/* Compute a widget for these tenants at once, or for as many as that succeeds for. */
static void
do_set(Set *set, char **tenants, int n)
{
	ListCell   *lc;
	char	   *error;
	bool		transient;

	if (n == 0 || dc_run_is_cancelled())
		return;
	set->list = tenants;
	set->n = n;
	if (dc_task_run(compute_set, set, &error, &transient))
	{
		int			left_out = list_length(set->left_out);
		int			failed = set->ntenants - set->stored;

		dc_run_count(set->stored, n - left_out - set->ntenants, failed);
		if (failed > 0)
			dc_run_set_error(psprintf("an answer was not stored: %s", set->reason));
		foreach(lc, set->left_out)
			do_tenant(&set->item, lfirst(lc));
	}
	else if (n >= 2 * DC_MIN_SET)
	{
		do_set(set, tenants, n / 2);
		do_set(set, tenants + n / 2, n - n / 2);
	}
	else
	{
		for (int i = 0; i < n; i++)
			do_tenant(&set->item, tenants[i]);
	}
}

/*-------------------------------------------------------------------------
 * Tasks
 *-------------------------------------------------------------------------
 */

/* The IDs of a dashboard's widgets, read in a transaction. */
typedef struct Widgets
{
	DcPart	   *part;
	List	   *list;			/* of DcWidget: copies, for ID and params */
	MemoryContext context;
} Widgets;

static void
read_widgets(void *arg)
{
	Widgets    *widgets = arg;
	DcDashboard *dashboard = dc_metacache_dashboard(widgets->part->dashboard);
	MemoryContext old = MemoryContextSwitchTo(widgets->context);

	for (int i = 0; dashboard != NULL && i < dashboard->nwidgets; i++)
	{
		DcWidget   *copy = palloc(sizeof(DcWidget));

		*copy = dashboard->widgets[i];
		widgets->list = lappend(widgets->list, copy);
	}
	MemoryContextSwitchTo(old);
}

/* The widgets of a part; none if they cannot be read. */
static List *
widgets_of(DcPart *part)
{
	Widgets		widgets = {part, NIL, CurrentMemoryContext};
	char	   *error;
	bool		transient;

	if (dc_task_run(read_widgets, &widgets, &error, &transient))
		return widgets.list;
	dc_run_set_error(error);
	return NIL;
}

/* Do the tenants of one remainder. */
static void
do_chunk(WarmItem *item, const DcTenantList *tenants, int chunk)
{
	for (int i = 0; i < tenants->n; i++)
	{
		const char *tenant = tenants->list[i];

		if (hash_bytes((const unsigned char *) tenant, strlen(tenant)) %
			(uint32) item->work->plan.nchunks == chunk)
			do_tenant(item, tenant);
	}
}

/* Do what a task says, of whatever it concerns. */
static void
do_task(DcWork *work, int task)
{
	bool		is_set = task < work->plan.nsets;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, work->parts)
	{
		DcPart	   *part = lfirst(lc);

		foreach(lc2, widgets_of(part))
		{
			DcWidget   *widget = lfirst(lc2);
			Set			set = {{work, part->dashboard, widget->id, part->audience.settings}};
			const DcTenantList *tenants;

			if (is_set ? widget->id != work->plan.sets[task] :
				widget->never_cached || widget->broken ||
				dc_plan_has_set(&work->plan, widget->id))
				continue;
			for (int v = 0; (tenants = dc_tenants_of_widget(&part->audience, widget, v, &set.item.params)) != NULL; v++)
			{
				if (is_set)
					do_set(&set, tenants->list, tenants->n);
				else
					do_chunk(&set.item, tenants, task - work->plan.nsets);
			}
		}
	}
}

/* Try again what failed, a little later each time. */
static void
do_again(DcWork *work)
{
	for (int try = 1; try <= RETRIES && work->again != NIL; try++)
	{
		List	   *again = work->again;
		ListCell   *lc;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 RETRY_DELAY_MS << (2 * (try - 1)), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		work->again = NIL;
		foreach(lc, again)
		{
			do_item(lfirst(lc), try == RETRIES);
			dc_run_put_off(-1);
		}
	}
}

/* Who cancels the run does not mean this; an error ends the hold, too. */
static void
save_run(void *arg)
{
	HOLD_CANCEL_INTERRUPTS();
	dc_jobs_save_run(arg);
	RESUME_CANCEL_INTERRUPTS();
}

/*-------------------------------------------------------------------------
 * Runs
 *-------------------------------------------------------------------------
 */

/*
 * Work on the runs of this database, until there is nothing to do for them.
 * "between" is called between tasks.  Called outside a transaction.
 */
void
dc_task_join_run(void (*between) (void))
{
	DcRunRequest request;
	DcRunRole	role;

	while ((role = dc_run_join(&request)) != DC_RUN_NONE)
	{
		DcWork		work = {0};
		DcRunProgress final;
		char	   *error = NULL;
		bool		transient;
		char	   *activity;
		int			task;
		bool		failed;
		MemoryContext old;

		work.request = request;
		work.context = AllocSetContextCreate(TopMemoryContext, "dashcache run",
											 ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(work.context);
		dc_pool_set_run(request.id);
		activity = psprintf("dashcache run " INT64_FORMAT ": warming %s", request.id,
							request.dashboard[0] != '\0' ? request.dashboard : "all dashboards");
		pgstat_report_activity(STATE_RUNNING, activity);

		failed = !dc_plan_read_parts(&work);
		if (role == DC_RUN_LEADER && failed)
			dc_run_set_plan(&work.plan);	/* an empty one */
		else if (role == DC_RUN_LEADER)
			failed = !dc_plan_make(&work);
		else
			dc_run_get_plan(&work.plan);

		if (!failed)
		{
			while (!dc_worker_should_end() && dc_run_next_task(&task))
			{
				do_task(&work, task);
				between();
				pgstat_report_activity(STATE_RUNNING, activity);
			}
			do_again(&work);
		}

		if (dc_run_leave(failed, &final))
		{
			if (!dc_task_run(save_run, &final, &error, &transient))
				ereport(LOG,
						(errmsg("dashcache could not write down how run " INT64_FORMAT " went: %s",
								final.id, error)));
			dc_run_end();
		}
		dc_pool_set_run(0);
		pgstat_report_activity(STATE_IDLE, NULL);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work.context);
		if (failed || dc_worker_should_end())
			break;
	}
}
