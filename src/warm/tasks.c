/*-------------------------------------------------------------------------
 *
 * tasks.c
 *		Working on a run.
 *
 * Each entry is computed in a transaction of its own, so that no snapshot is
 * older than it must be, and one that fails stops no other.  Those that fail
 * for a reason that may pass (a lock, a deadlock) are tried again, after all
 * others and a little later each time.
 *
 * A task is either a widget, to be computed for all tenants with one query where
 * that gives the same bytes (widget/setwise.c), or tenants, whose entries are
 * computed one by one: those whose hash leaves the task's remainder.  Each worker
 * makes its own list of tenants, once for a run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/tasks.h"

#include "read/background.h"
#include "guc.h"
#include "read/compute_set.h"
#include "read/tenant.h"
#include "warm/jobs.h"
#include "warm/pool.h"
#include "warm/run.h"
#include "warm/tenants.h"
#include "widget/acl.h"
#include "widget/metacache.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Tenants of a task; and the most tasks that a run is divided into. */
#define TENANTS_A_TASK 16
#define MAX_CHUNKS 256

/* For so many tenants it is worth while to compute a widget for all at once. */
#define MIN_SET 8

/* How often what failed is tried again, and after how long the first time. */
#define RETRIES 3
#define RETRY_DELAY_MS 100

/* So long a worker works for one database while others wait. */
#define SHARE_US (10 * USECS_PER_SEC)

static TimestampTz working_since;

/* A dashboard to warm, and for whom. */
typedef struct Part
{
	struct Work *work;
	char	   *dashboard;
	bool		present;		/* it is there, and the role's */
	DcAudience	audience;
} Part;

/* What this worker knows of the run it works on. */
typedef struct Work
{
	DcRunRequest request;
	DcRunPlan	plan;
	List	   *parts;			/* of Part */
	List	   *again;			/* of WarmItem: failed, to be tried again */
	MemoryContext context;
} Work;

/* One entry to compute. */
typedef struct WarmItem
{
	Work	   *work;
	const char *dashboard;
	uint32		widget;
	const char *tenant;
	Datum		params;
	DcWarmth	warmth;
	const char *reason;			/* why it was not stored */
} WarmItem;

/*-------------------------------------------------------------------------
 * Transactions
 *-------------------------------------------------------------------------
 */

/* Is it worth trying again? */
static bool
may_pass(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
		sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Obey who ends this process.  Outside a transaction there is nothing to cancel:
 * to do so would end it, too.
 */
void
dc_task_interrupts(void)
{
	HOLD_CANCEL_INTERRUPTS();
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	RESUME_CANCEL_INTERRUPTS();
}

/*
 * Do something in a transaction of its own.  False if it has failed, with the
 * message in *error, in the current memory context, and in *transient whether
 * it may pass.  What fails is logged once a minute at most: a widget that fails
 * does so for every tenant.
 */
bool
dc_task_run(DcTask task, void *arg, char **error, bool *transient)
{
	static TimestampTz logged_at = DT_NOBEGIN;
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	dc_task_interrupts();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		task(arg);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *data;
		TimestampTz now = GetCurrentTimestamp();

		MemoryContextSwitchTo(caller);
		data = CopyErrorData();
		*error = data->message;
		*transient = may_pass(data->sqlerrcode);
		HOLD_INTERRUPTS();
		if (logged_at < now - USECS_PER_MINUTE)
		{
			logged_at = now;
			EmitErrorReport();
		}
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	/* a query may have taken some for the session */
	LockReleaseSession(USER_LOCKMETHOD);
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(false);
	return done;
}

/* Note that this process begins to work. */
void
dc_worker_begin(void)
{
	working_since = GetCurrentTimestamp();
}

/*
 * Is this worker to end, although there is work left?  When other databases
 * wait for a worker, and this one has had its share; and when there are to be
 * fewer, in which case the launcher starts those that may be.
 */
bool
dc_worker_should_end(void)
{
	if (dc_pool_count() > dc_workers)
		return true;
	return dc_pool_others_wait() == DC_WAIT_FOR_SHARE &&
		GetCurrentTimestamp() - working_since > SHARE_US;
}

/*-------------------------------------------------------------------------
 * Planning
 *-------------------------------------------------------------------------
 */

/* Find out which dashboards. */
static void
read_dashboards(void *arg)
{
	Work	   *work = arg;
	MemoryContext old = MemoryContextSwitchTo(work->context);
	const char *name = work->request.dashboard[0] == '\0' ? NULL :
	work->request.dashboard;
	ListCell   *lc;

	foreach(lc, dc_acl_dashboards(name, work->request.role))
	{
		Part	   *part = palloc0(sizeof(Part));

		part->work = work;
		part->dashboard = pstrdup(((DcDashboard *) lfirst(lc))->name);
		work->parts = lappend(work->parts, part);
	}
	MemoryContextSwitchTo(old);
}

/* Find out for whom a dashboard is to be warmed. */
static void
read_audience(void *arg)
{
	Part	   *part = arg;
	Work	   *work = part->work;
	MemoryContext old = MemoryContextSwitchTo(work->context);
	DcDashboard *dashboard = dc_metacache_dashboard(part->dashboard);

	if (dashboard != NULL && has_privs_of_role(work->request.role, dashboard->owner))
	{
		dc_tenants_audience(dashboard,
							work->request.one_tenant ? work->request.tenant : NULL,
							work->request.hour_of_week, &part->audience);
		part->present = true;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Make the list of what the run is about.  A dashboard whose tenants query
 * fails is left out.  False if there is no list.
 */
static bool
read_parts(Work *work)
{
	char	   *error;
	bool		transient;
	ListCell   *lc;

	if (!dc_task_run(read_dashboards, work, &error, &transient))
	{
		dc_run_set_error(error);
		return false;
	}
	foreach(lc, work->parts)
	{
		Part	   *part = lfirst(lc);

		dc_task_interrupts();
		if (dc_run_is_cancelled())
			part->present = false;
		else if (!dc_task_run(read_audience, part, &error, &transient))
			dc_run_set_error(error);
		if (!part->present)
			work->parts = foreach_delete_current(work->parts, lc);
	}
	return true;
}

/* Count what there is to do, and say how it is divided. */
static void
make_plan(void *arg)
{
	Work	   *work = arg;
	DcRunPlan  *plan = &work->plan;
	int			longest = 0;
	ListCell   *lc;

	memset(plan, 0, sizeof(*plan));
	foreach(lc, work->parts)
	{
		Part	   *part = lfirst(lc);
		DcDashboard *dashboard = dc_metacache_dashboard(part->dashboard);

		if (dashboard == NULL)
			continue;
		for (int i = 0; i < dashboard->nwidgets; i++)
		{
			DcWidget   *widget = &dashboard->widgets[i];
			const DcTenantList *tenants;
			Datum		params;

			int			most = 0;

			/* there is nothing to be kept of these */
			if (widget->never_cached || widget->broken)
				continue;

			for (int v = 0; (tenants = dc_tenants_of_widget(&part->audience, widget, v, &params)) != NULL; v++)
			{
				plan->planned += tenants->n;
				most = Max(most, tenants->n);
			}
			if (most >= MIN_SET && plan->nsets < DC_RUN_SETS &&
				dc_setwise_reason(dashboard, widget) == NULL)
				plan->sets[plan->nsets++] = widget->id;
			else
				longest = Max(longest, most);
		}
	}
	if (longest > 0)
		plan->nchunks = Min(Max(longest / TENANTS_A_TASK, 1), MAX_CHUNKS);
}

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
	request.params = item->params;
	item->warmth = dc_background_warm(dashboard, widget, &request, &item->reason);
}

/* Compute one entry, and count it. */
static void
do_item(WarmItem *item, bool last_try)
{
	Work	   *work = item->work;
	char	   *error = NULL;
	bool		transient = false;

	dc_task_interrupts();
	if (dc_task_run(warm_item, item, &error, &transient))
	{
		dc_run_count(item->warmth == DC_WARM_NOW, item->warmth == DC_WARM_ALREADY,
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

static bool
in_plan(const DcRunPlan *plan, uint32 widget)
{
	for (int i = 0; i < plan->nsets; i++)
	{
		if (plan->sets[i] == widget)
			return true;
	}
	return false;
}

/* The IDs of a dashboard's widgets, read in a transaction. */
typedef struct Widgets
{
	Part	   *part;
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
widgets_of(Part *part)
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
do_chunk(Work *work, int chunk)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, work->parts)
	{
		Part	   *part = lfirst(lc);

		foreach(lc2, widgets_of(part))
		{
			DcWidget   *widget = lfirst(lc2);
			const DcTenantList *tenants;
			WarmItem	item = {work, part->dashboard, widget->id};

			if (widget->never_cached || widget->broken ||
				in_plan(&work->plan, widget->id))
				continue;
			for (int v = 0; (tenants = dc_tenants_of_widget(&part->audience, widget, v, &item.params)) != NULL; v++)
			{
				for (int i = 0; i < tenants->n && !dc_run_is_cancelled(); i++)
				{
					item.tenant = tenants->list[i];
					if (hash_bytes((const unsigned char *) item.tenant, strlen(item.tenant)) %
						(uint32) work->plan.nchunks == chunk)
						do_item(&item, false);
				}
			}
		}
	}
}

/* A widget to compute for all tenants at once, with the same params. */
typedef struct Set
{
	Work	   *work;
	const char *dashboard_name;
	uint32		widget_id;
	const DcTenantList *list;
	Datum		params;

	/* while it is computed */
	DcDashboard *dashboard;
	DcWidget   *widget;
	Datum	   *tenants;		/* those that need it */
	int			ntenants;
	int			stored;
	const char *reason;			/* why some were not */
	MemoryContext context;
} Set;

static void
store_one(int tenant, const char *payload, Size len,
		  const DcComputed *computed, void *arg)
{
	Set		   *set = arg;
	MemoryContext old = MemoryContextSwitchTo(set->context);
	const char *reason;

	reason = dc_background_store(set->dashboard, set->widget, set->tenants[tenant],
								 set->params, payload, len, computed);
	if (reason == NULL)
		set->stored++;
	else
		set->reason = reason;
	MemoryContextSwitchTo(old);
	MemoryContextReset(set->context);
}

static void
compute_set(void *arg)
{
	Set		   *set = arg;
	DcDashboard *dashboard = dc_metacache_dashboard(set->dashboard_name);

	set->stored = 0;
	set->ntenants = 0;
	set->dashboard = dashboard;
	set->widget = dashboard == NULL ? NULL :
		dc_metacache_widget_by_id(dashboard, set->widget_id);
	if (set->widget == NULL)
		return;

	set->context = AllocSetContextCreate(CurrentMemoryContext, "dashcache answer",
										 ALLOCSET_DEFAULT_SIZES);
	set->tenants = MemoryContextAllocHuge(CurrentMemoryContext,
										  sizeof(Datum) * set->list->n);
	for (int i = 0; i < set->list->n; i++)
	{
		DcRequest	request = {0};
		Datum		tenant;

		request.tenant = CStringGetTextDatum(set->list->list[i]);
		request.tenant_type = TEXTOID;
		tenant = dc_tenant_of_request(&request, set->widget);
		if (dc_background_needed(dashboard, set->widget, tenant, set->params))
			set->tenants[set->ntenants++] = tenant;
	}
	if (set->ntenants > 0)
		dc_compute_set(dashboard, set->widget, set->tenants, set->ntenants,
					   set->params, store_one, set);
}

/* Compute a widget for all tenants at once; one by one, should that fail. */
static void
do_set(Work *work, uint32 widget_id)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, work->parts)
	{
		Part	   *part = lfirst(lc);

		foreach(lc2, widgets_of(part))
		{
			DcWidget   *widget = lfirst(lc2);
			Set			set = {work, part->dashboard, widget_id};
			char	   *error;
			bool		transient;

			if (widget->id != widget_id)
				continue;
			for (int v = 0; (set.list = dc_tenants_of_widget(&part->audience, widget, v, &set.params)) != NULL; v++)
			{
				WarmItem	item = {work, set.dashboard_name, widget_id};

				if (set.list->n == 0 || dc_run_is_cancelled())
					continue;
				if (dc_task_run(compute_set, &set, &error, &transient))
				{
					dc_run_count(set.stored, set.list->n - set.ntenants,
								 set.ntenants - set.stored);
					if (set.stored < set.ntenants)
						dc_run_set_error(psprintf("an answer was not stored: %s", set.reason));
					continue;
				}
				item.params = set.params;
				for (int i = 0; i < set.list->n && !dc_run_is_cancelled(); i++)
				{
					item.tenant = set.list->list[i];
					do_item(&item, false);
				}
			}
		}
	}
}

/* Try again what failed, a little later each time. */
static void
do_again(Work *work)
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
		Work		work = {0};
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

		failed = !read_parts(&work);
		if (!failed && role == DC_RUN_LEADER &&
			!dc_task_run(make_plan, &work, &error, &transient))
		{
			failed = true;
			dc_run_set_error(error);
		}
		if (failed)
		{
			memset(&work.plan, 0, sizeof(work.plan));
			if (role == DC_RUN_LEADER)
				dc_run_set_plan(&work.plan);
		}
		else
		{
			if (role == DC_RUN_LEADER)
				dc_run_set_plan(&work.plan);
			else
				dc_run_get_plan(&work.plan);
			while (!dc_worker_should_end() && dc_run_next_task(&task))
			{
				if (task < work.plan.nsets)
					do_set(&work, work.plan.sets[task]);
				else
					do_chunk(&work, task - work.plan.nsets);
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
