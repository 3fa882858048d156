/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The process that starts workers where there is something to do.
 *
 * One launcher for the server.  It is connected to no database, keeps no
 * transaction open, and sleeps until it is woken or the next work is due
 * (demand.c).  For a database with work to do it wakes a worker that waits
 * there, or starts one, up to dashcache.workers over all databases.  Workers
 * end when they have had nothing to do for a while, so an idle server has none.
 *
 * After the start of the server nobody knows which databases have the
 * extension: a worker is sent to each of them, to look.  Later ones make
 * themselves known: by the first demand, or, if they were copied from a
 * template, by the commit of CREATE DATABASE (warm/utility.c).
 *
 * A database whose worker did not end as it should waits before it gets the
 * next one, twice as long each time.
 *
 * Locking: see demand.c and pool.c; what is here is the launcher's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/launcher.h"

#include "demand.h"
#include "guc.h"
#include "persist/restore.h"
#include "warm/pool.h"
#include "warm/run.h"
#include "warm/sweep.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAX_DEMANDS 256

/* Between two tries of starting a worker if the server has no slot for one. */
#define NO_SLOT_DELAY_MS 5000

/* The longest that a database waits whose workers fail. */
#define MAX_BACKOFF_MS 300000

/* Who has worked for so long did not fail to: what came before is forgotten. */
#define GOOD_LIFE_MS 60000

/* A worker that was started and has not been seen to end. */
typedef struct Started
{
	BackgroundWorkerHandle *handle;
	Oid			database;
	pid_t		pid;			/* 0: not known yet */
	TimestampTz since;
} Started;

/* A database whose workers fail. */
typedef struct Backoff
{
	Oid			database;
	int			failures;
	TimestampTz until;
} Backoff;

static Started started[DC_MAX_WORKERS];
static int	nstarted = 0;
static List *backoffs = NIL;	/* of Backoff */
static List *unvisited = NIL;	/* OIDs of databases to be looked at */
static List *known = NIL;		/* OIDs of databases ever listed */
static Oid	latest = InvalidOid;	/* the database that got the last worker */
static TimestampTz no_slot_until = DT_NOBEGIN;

/*
 * What a database is asked for that is looked at for the first time: by a
 * launcher that was started again, nothing that is done at the server's start.
 */
static uint32 visit = DC_DEMAND_PLAN;

/*
 * Have the postmaster start the launcher; while the library is preloaded.  Not
 * where pg_upgrade is at work, which wants the server for itself.
 */
void
dc_launcher_register(void)
{
	BackgroundWorker worker = {0};

	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "dashcache", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dashcache_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "dashcache launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "dashcache launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/*-------------------------------------------------------------------------
 * Databases
 *-------------------------------------------------------------------------
 */

static Backoff *
backoff_of(Oid database)
{
	ListCell   *lc;

	foreach(lc, backoffs)
	{
		Backoff    *backoff = lfirst(lc);

		if (backoff->database == database)
			return backoff;
	}
	return NULL;
}

/* A worker has ended: as it should, or is its database to wait? */
static void
note_end(Oid database, bool clean)
{
	Backoff    *backoff = backoff_of(database);

	if (clean)
	{
		if (backoff != NULL)
		{
			backoffs = list_delete_ptr(backoffs, backoff);
			pfree(backoff);
		}
		return;
	}
	if (backoff == NULL)
	{
		backoff = palloc0(sizeof(Backoff));
		backoff->database = database;
		backoffs = lappend(backoffs, backoff);
	}
	backoff->failures = Min(backoff->failures + 1, 20);
	backoff->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												 Min(500L << backoff->failures, MAX_BACKOFF_MS));

	/*
	 * Whatever it had taken and not done has to be looked for again; unless
	 * its database is no more, which must not get a slot again.
	 */
	if (!list_member_oid(known, database))
		return;
	(void) dc_demand(database, DC_DEMAND_PLAN | DC_DEMAND_RUNS |
					 DC_DEMAND_CHANGES | DC_DEMAND_USES | DC_DEMAND_REFRESH);
}

/*
 * List the databases: those that are new are to be looked at, and those that
 * are no more are forgotten.  Templates are left alone, for others to copy.
 */
static void
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *occupied = dc_sweep_databases();
	List	   *existing = NIL;
	List	   *found = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		existing = lappend_oid(existing, database->oid);
		if (database->datallowconn && !database->datistemplate)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			found = lappend_oid(found, database->oid);
			MemoryContextSwitchTo(old);
		}
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	dc_sweep_gone(occupied, existing);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);

	if (dc_pool_is_first_list() || known != NIL)
		visit = DC_DEMAND_START;
	foreach(lc, found)
	{
		if (!list_member_oid(known, lfirst_oid(lc)))
			unvisited = list_append_unique_oid(unvisited, lfirst_oid(lc));
	}
	foreach(lc, known)
	{
		if (!list_member_oid(found, lfirst_oid(lc)))
		{
			unvisited = list_delete_oid(unvisited, lfirst_oid(lc));
			dc_demand_forget(lfirst_oid(lc), true);
			dc_sweep_database(lfirst_oid(lc));
			note_end(lfirst_oid(lc), true);
		}
	}
	list_free(occupied);
	list_free(known);
	known = found;
}

/* Take note of workers that have come up or ended. */
static void
look_at_started(void)
{
	for (int i = nstarted - 1; i >= 0; i--)
	{
		pid_t		pid;

		switch (GetBackgroundWorkerPid(started[i].handle, &pid))
		{
			case BGWH_STARTED:
				started[i].pid = pid;
				break;
			case BGWH_NOT_YET_STARTED:
				break;
			default:
				if (TimestampDifferenceExceeds(started[i].since, GetCurrentTimestamp(), GOOD_LIFE_MS))
					note_end(started[i].database, true);
				note_end(started[i].database,
						 started[i].pid != 0 && dc_pool_ended_clean(started[i].pid));
				pfree(started[i].handle);
				started[i] = started[--nstarted];
				break;
		}
	}
}

/*-------------------------------------------------------------------------
 * Starting workers
 *-------------------------------------------------------------------------
 */

static bool
start_worker(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "dashcache", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dashcache_worker_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "dashcache worker for database %u", database);
	strlcpy(worker.bgw_type, "dashcache worker", BGW_MAXLEN);

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		/* said once, until it works again */
		if (no_slot_until == DT_NOBEGIN)
			ereport(LOG,
					(errmsg("dashcache could not start a worker"),
					 errdetail("The server has no slot left for background workers."),
					 errhint("Raise max_worker_processes, by dashcache.workers at least.")));
		no_slot_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													NO_SLOT_DELAY_MS);
		return false;
	}
	no_slot_until = DT_NOBEGIN;
	started[nstarted].handle = handle;
	started[nstarted].database = database;
	started[nstarted].pid = 0;
	started[nstarted].since = GetCurrentTimestamp();
	nstarted++;
	latest = database;
	return true;
}

/*
 * How many workers there are in a database, or are coming up.  Those that an
 * earlier launcher has started are in the pool alone.
 */
static int
workers_of(Oid database)
{
	int			n = 0;

	for (int i = 0; i < nstarted; i++)
		n += started[i].database == database;
	return Max(n, dc_pool_of_database(database));
}

/* May one more be started? */
static bool
is_room(void)
{
	return nstarted < DC_MAX_WORKERS && Max(nstarted, dc_pool_count()) < dc_workers;
}

/*
 * Give each database that has something to do a worker, beginning after the
 * one that got the last.  Returns when to look again.
 */
static TimestampTz
serve(void)
{
	DcDemand   *demands = palloc(sizeof(DcDemand) * MAX_DEMANDS);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int			n;
	int			first = 0;
	DcWait		others_wait;

	/* databases that nobody has looked at yet ask for that */
	while (unvisited != NIL && is_room())
	{
		Oid			database = linitial_oid(unvisited);

		unvisited = list_delete_first(unvisited);
		if (dc_demand(database, visit) &&
			!dc_pool_is_held(database) && workers_of(database) == 0)
			(void) start_worker(database);
	}

	others_wait = unvisited != NIL ? DC_WAIT_FOR_SHARE : DC_WAIT_NONE;

	n = dc_demand_list(demands, MAX_DEMANDS, now);
	for (int i = 0; i < n; i++)
	{
		if (demands[i].database == latest)
			first = i + 1;
	}
	for (int i = 0; i < n; i++)
	{
		DcDemand   *demand = &demands[(first + i) % n];
		Backoff    *backoff = backoff_of(demand->database);
		int			running = workers_of(demand->database);
		int			useful;
		bool		woken;

		/* whatever else there is to do now, that will be there then */
		if (demand->due > now)
			next = Min(next, demand->due);
		next = Min(next, demand->look_at);
		if (demand->what == 0 && demand->due > now)
			continue;
		if (demand->what == 0)
			(void) dc_demand(demand->database, DC_DEMAND_PLAN);
		if (dc_pool_is_held(demand->database))
			continue;			/* its release wakes us */

		/*
		 * One that waits will do; so will one that is just coming up.  What
		 * nobody takes, because those that are there are busy, is for one
		 * more.
		 */
		woken = dc_pool_wake_idle(demand->database);
		if (backoff != NULL && backoff->until > now)
		{
			next = Min(next, backoff->until);
			continue;
		}
		if (woken || dc_pool_ready(demand->database) < running)
			useful = running;
		else
			useful = running + 1;
		if (demand->what & DC_DEMAND_RUNS)
			useful = Max(useful, dc_run_useful_workers(demand->database));
		for (; running < useful; running++)
		{
			if (!is_room())
			{
				int			here = workers_of(demand->database);

				/* whoever is here takes what there is to do, sooner or later */
				if (here == 0)
					others_wait = DC_WAIT_FOR_SHARE;
				else if (here < Max(nstarted, dc_pool_count()))
					others_wait = Max(others_wait, DC_WAIT_FOR_IDLE);
				break;
			}
			if (no_slot_until > now)
			{
				next = Min(next, no_slot_until);
				break;
			}
			if (!start_worker(demand->database))
			{
				next = Min(next, no_slot_until);
				break;
			}
		}
	}
	dc_pool_set_others_wait(others_wait);
	pfree(demands);
	return next;
}

static void
gone(int code, Datum arg)
{
	dc_demand_set_launcher(NULL);
}

/* The main function of the launcher. */
void
dashcache_launcher_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);

	/* what there was before the start, before anything is warmed */
	dc_restore();

	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(gone, (Datum) 0);
	dc_demand_set_launcher(MyLatch);

	context = AllocSetContextCreate(TopMemoryContext, "dashcache launcher",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	dc_pool_ask_to_list();

	for (;;)
	{
		TimestampTz next;
		long		timeout = -1;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		look_at_started();
		if (dc_pool_is_asked_to_list())
			list_databases();
		next = serve();

		/* not sooner than in a moment, and days are cut short */
		if (next != DT_NOEND)
			timeout = Max(Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next),
							  24 * 3600 * 1000L), 10);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
