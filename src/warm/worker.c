/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The process that works for one database.
 *
 * It takes what there is to do (demand.c), a kind at a time, and waits a while
 * for more before it ends.  Between pieces of work it has no transaction open.
 *
 * Changes and uses are not looked at when they become known, but a moment
 * later, together with those that follow.  Looking means to scan all entries,
 * so it is done the less often the longer it takes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/worker.h"

#include "demand.h"
#include "store/refresh_queue.h"
#include "warm/change.h"
#include "warm/jobs.h"
#include "warm/pool.h"
#include "warm/restored.h"
#include "warm/sweep.h"
#include "warm/task.h"
#include "warm/tasks.h"
#include "warm/uses.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So long it waits for something to do before it ends. */
#define LINGER_US (2 * USECS_PER_SEC)

/* From the first change to looking at what it has made stale. */
#define CHANGE_DELAY_US (USECS_PER_SEC / 2)

/* There was no room for a run. */
#define START_DELAY_US USECS_PER_SEC

/* The share of its time that a worker spends on looking, one in so many. */
#define LOOK_SHARE 10

/* From the first use to writing it down: at first, and at most. */
#define USE_DELAY_US (2 * USECS_PER_SEC)
#define MAX_USE_DELAY_US USECS_PER_MINUTE

/* What this worker has taken and not done yet. */
static uint32 taken = 0;

/* When what is warmed on start is asked for again, as there was no room. */
static TimestampTz start_due = DT_NOEND;

static TimestampTz changes_due = DT_NOEND;
static TimestampTz changes_not_before = DT_NOBEGIN;
static TimestampTz uses_due = DT_NOEND;
static int64 use_delay_us = USE_DELAY_US;

/* What a look at the catalog has found. */
typedef struct Outlook
{
	bool		present;		/* the extension is there */
	bool		start;			/* in: the server has just started */
	bool		no_room;		/* for what is to be warmed then */
	uint32		wants;
} Outlook;

/*
 * What dashboards want to be told.  Asked of the table, and not of what this
 * process has kept: whoever has changed that sends for us when his commit can be
 * seen, and tells of what is outdated a moment later.
 */
static uint32
read_wants(void)
{
	DcCatalogWork work;
	uint32		wants = 0;
	bool		isnull;

	dc_catalog_begin(&work);
	dc_catalog_execute("SELECT coalesce(bool_or(warm_on_change), false), coalesce(bool_or(warm_on_start), false)"
					   " FROM dashcache.dashboard", 0, NULL, NULL, NULL);
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)))
		wants |= DC_WANTS_CHANGES;
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		wants |= DC_WANTS_USES;
	dc_catalog_end(&work);
	return wants;
}

/* Read what dashboards want, and start the jobs that are due. */
static void
make_plan(void *arg)
{
	Outlook    *plan = arg;

	plan->present = OidIsValid(get_extension_oid("dashcache", true)) &&
		OidIsValid(dc_catalog_relid(DC_TABLE_WIDGET)) && dc_catalog_fits();
	if (plan->start)
		dc_sweep_definitions(plan->present);
	if (!plan->present)
		return;
	plan->wants = read_wants();
	if (plan->start && (plan->wants & DC_WANTS_USES))
		plan->no_room = !dc_jobs_request_at_start();
	dc_demand_set_wants(plan->wants);
	dc_demand_set_due(dc_jobs_due(GetCurrentTimestamp()));
}

typedef struct Names
{
	List	   *list;			/* of dashboards that are warmed on start */
	MemoryContext context;
} Names;

static void
read_names(void *arg)
{
	Names	   *names = arg;
	DcCatalogWork work;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT name FROM dashcache.dashboard WHERE warm_on_start",
						   0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(names->context);

		names->list = lappend(names->list, pstrdup(name));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
}

static void
save_uses_of(void *arg)
{
	DcDashboard *dashboard = dc_metacache_dashboard(arg);

	if (dashboard != NULL && dashboard->warm_on_start)
		dc_uses_save(dashboard);
}

/* Have the widgets looked at again whose roles have changed. */
static void
look_at_roles(void *arg)
{
	if (!OidIsValid(dc_catalog_relid(DC_TABLE_WIDGET)))
		return;
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute("SELECT dashcache.roles_changed()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not call dashcache.roles_changed()");
	SPI_finish();
}

static void
log_failure(const char *what, const char *error)
{
	ereport(LOG,
			(errmsg("dashcache could not %s: %s", what, error)));
}

/* Write down what is in use of those that are warmed on start. */
static void
save_uses(void)
{
	Names		names = {NIL, CurrentMemoryContext};
	ListCell   *lc;
	char	   *error;
	bool		transient;

	if (!dc_task_run(read_names, &names, &error, &transient))
		log_failure("write down what is in use", error);
	foreach(lc, names.list)
	{
		if (!dc_task_run(save_uses_of, lfirst(lc), &error, &transient))
			log_failure(psprintf("write down what is in use of dashboard \"%s\"",
								 (char *) lfirst(lc)), error);
	}
}

/* At exit, however that comes about: what was not done is for the next one. */
static void
give_back(int code, Datum arg)
{
	if (changes_due != DT_NOEND)
		dc_demand_set_look(changes_due);
	if (uses_due != DT_NOEND)
		taken |= DC_DEMAND_USES;
	if (start_due != DT_NOEND)
		taken |= DC_DEMAND_START;
	if (taken != 0)
		(void) dc_demand(MyDatabaseId, taken);
}

/* End, as is right when there is nothing more to do. */
static void
end(void)
{
	dc_pool_leave_clean();
	proc_exit(0);
}

/* What readers wait for is done in between, too. */
static void
urgent_work(void)
{
	if (dc_demand_take(DC_DEMAND_REFRESH) != 0)
		dc_change_refresh_queued();
}

/* Do what there is to do of these kinds. */
static void
work(uint32 what)
{
	TimestampTz now = GetCurrentTimestamp();
	char	   *error;
	bool		transient;

	if (what & (DC_DEMAND_START | DC_DEMAND_PLAN | DC_DEMAND_REPAIR))
	{
		Outlook		plan = {.start = (what & DC_DEMAND_START) != 0};

		if (!dc_restored_look())
			dc_demand_repair(now + DC_REPAIR_DELAY_US);
		if (!dc_task_run(make_plan, &plan, &error, &transient))
		{
			log_failure("plan", error);
			proc_exit(1);		/* so that the launcher waits a while */
		}
		if (plan.no_room)
			start_due = now + START_DELAY_US;
		if (!plan.present)
		{
			taken = 0;
			dc_refresh_queue_forget(MyDatabaseId);
			dc_demand_forget(MyDatabaseId, false);
			end();
		}
	}
	if ((what & DC_DEMAND_ROLES) &&
		!dc_task_run(look_at_roles, NULL, &error, &transient))
		log_failure("look again at widgets whose roles have changed", error);
	if (what & DC_DEMAND_CHANGES)
		changes_due = Min(changes_due, Max(now + CHANGE_DELAY_US, changes_not_before));
	if (what & DC_DEMAND_USES)
		uses_due = Min(uses_due, now + use_delay_us);
	if (what & DC_DEMAND_REFRESH)
		dc_change_refresh_queued();
	if (what & DC_DEMAND_RUNS)
		dc_task_join_run(urgent_work);
}

/* Do what was put off and is due; returns when the next is. */
static TimestampTz
work_due(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (start_due <= now)
	{
		start_due = DT_NOEND;
		work(DC_DEMAND_START);
	}
	if (changes_due <= now)
	{
		TimestampTz again;
		int64		look_us;

		changes_due = DT_NOEND;
		again = dc_change_refresh_changed(&look_us);
		changes_not_before = GetCurrentTimestamp() + look_us * LOOK_SHARE;
		if (again != DT_NOEND)
			changes_due = Max(again, changes_not_before);
	}
	if (uses_due <= now)
	{
		uses_due = DT_NOEND;
		use_delay_us = Min(use_delay_us * 2, MAX_USE_DELAY_US);
		save_uses();
	}
	return Min(start_due, Min(changes_due, uses_due));
}

/*
 * Whatever is usual here, a worker is not to be stopped by it.  A lock_timeout
 * does not stop it: what fails by that is tried again.
 */
static void
set_up_session(void)
{
	SetConfigOption("application_name", "dashcache worker", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
}

/* The main function of a worker; the argument is its database. */
void
dashcache_worker_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	TimestampTz idle_since = GetCurrentTimestamp();

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!dc_pool_enter(database))
	{
		dc_pool_leave_clean();
		proc_exit(0);
	}
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	set_up_session();
	before_shmem_exit(give_back, (Datum) 0);
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "dashcache worker",
												ALLOCSET_DEFAULT_SIZES));
	dc_worker_begin();
	dc_pool_set_ready();

	for (;;)
	{
		TimestampTz now;
		TimestampTz due;
		uint32		what;
		bool		soon;

		dc_task_interrupts();
		MemoryContextReset(CurrentMemoryContext);
		what = taken = dc_demand_take(~0U);
		if (what != 0)
			work(what);
		taken = 0;
		due = work_due();
		now = GetCurrentTimestamp();
		if (dc_worker_should_end())
			end();
		if (what != 0 || due <= now)
		{
			idle_since = now;
			continue;
		}
		/* what comes soon is waited for, what comes later is for another */
		soon = uses_due != DT_NOEND || due - now < LINGER_US;
		if (!soon && (now - idle_since >= LINGER_US || dc_pool_others_wait()))
			end();

		pgstat_report_activity(STATE_IDLE, NULL);
		dc_pool_set_idle(true);
		/* what has come before we were seen to wait */
		if (dc_demand_of(database) == 0 && (soon || !dc_pool_others_wait()))
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 TimestampDifferenceMilliseconds(now, soon ? due : idle_since + LINGER_US) + 1,
							 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		dc_pool_set_idle(false);
	}
}
