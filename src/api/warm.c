/*-------------------------------------------------------------------------
 *
 * warm.c
 *		dashcache_warm(), and what the views show of runs and workers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/warm.h"

#include "api/arguments.h"
#include "guc.h"
#include "preload.h"
#include "store/flight.h"
#include "warm/jobs.h"
#include "warm/pool.h"
#include "warm/run.h"
#include "widget/acl.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include <signal.h>

PG_FUNCTION_INFO_V1(dashcache_warm);
PG_FUNCTION_INFO_V1(dashcache_runs_now);
PG_FUNCTION_INFO_V1(dashcache_worker_count);

/* How often dashcache_warm(wait => true) tells how far it is. */
#define TELL_EVERY_US USECS_PER_SEC

/* And after how long it tells that no worker has come. */
#define PATIENCE_US (5 * USECS_PER_SEC)

/* Throw unless there are workers to do it. */
void
dc_check_workers(void)
{
	if (!dc_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dashcache has no workers"),
				 errdetail("The library is not preloaded."),
				 errhint("Add dashcache to shared_preload_libraries, and restart the server.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dashcache has no workers"),
				 errdetail("This server is a standby, where nothing is cached.")));
	if (dc_workers == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("dashcache has no workers"),
				 errdetail("The setting dashcache.workers is 0."),
				 errhint("ALTER SYSTEM SET dashcache.workers = 2; SELECT pg_reload_conf();")));
}

/* Ask for a run; throws if there are too many. */
int64
dc_request_run(const char *dashboard, const char *tenant, Oid role, int64 job,
			   int hour_of_week)
{
	int64		run = dc_jobs_request(dashboard, tenant, role, job, hour_of_week);

	if (run == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many warming runs"),
				 errdetail("There can be %d at a time.", dc_run_max()),
				 errhint("The view dashcache_progress shows them.")));
	return run;
}

/* Stop a run, and what its workers are computing. */
static void
stop(int code, Datum arg)
{
	int64		run = *(int64 *) DatumGetPointer(arg);
	int			pids[DC_MAX_WORKERS];
	int			n;

	dc_run_cancel(run);
	n = dc_pool_of_run(run, pids, DC_MAX_WORKERS);
	for (int i = 0; i < n; i++)
		(void) kill(pids[i], SIGINT);
}

/*
 * A worker may wait for a lock that we have, and we for the worker: for one of
 * the run, or, where none can come to it, for all that there are.
 */
static void
check_deadlock(int64 run)
{
	int			pids[DC_MAX_WORKERS];
	int			n = dc_pool_holders(pids, DC_MAX_WORKERS);

	/* who keeps workers out until its transaction ends, and we are in its way */
	for (int i = 0; i < n; i++)
	{
		if (dc_flight_blocked_by_me(pids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
					 errmsg("deadlock detected"),
					 pids[i] == MyProcPid ?
					 errdetail("This transaction keeps the workers out of the database that run " INT64_FORMAT " waits for.", run) :
					 errdetail("Process %d waits for run " INT64_FORMAT "; process %d keeps workers out of the database, and waits for process %d.",
							   MyProcPid, run, pids[i], MyProcPid),
					 errhint("Warm in a transaction of its own.")));
	}

	n = dc_pool_of_run(run, pids, DC_MAX_WORKERS);
	if (n == 0)
	{
		n = dc_pool_list(pids, DC_MAX_WORKERS);
		if (n < dc_workers)
			return;
		for (int i = 0; i < n; i++)
		{
			if (!dc_flight_blocked_by_me(pids[i]))
				return;
		}
	}

	for (int i = 0; i < n; i++)
	{
		if (dc_flight_blocked_by_me(pids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
					 errmsg("deadlock detected"),
					 errdetail("Process %d waits for run " INT64_FORMAT "; a worker, process %d, waits for a lock that process %d holds.",
							   MyProcPid, run, pids[i], MyProcPid),
					 errhint("Warm before the transaction locks tables, or with wait => false.")));
	}
}

/* Wait for the end of a run, telling how far it is. */
static void
wait_for(int64 run)
{
	TimestampTz told_at = GetCurrentTimestamp();
	TimestampTz checked_at = told_at;
	DcRunProgress progress;
	int64		told = -1;
	bool		warned = false;

	while (dc_run_progress(run, &progress))
	{
		TimestampTz now = GetCurrentTimestamp();
		int64		done = progress.warmed + progress.already_current + progress.failed;

		CHECK_FOR_INTERRUPTS();
		if (now - told_at >= TELL_EVERY_US && done != told)
		{
			ereport(NOTICE,
					(errmsg("run " INT64_FORMAT ": " INT64_FORMAT " of " INT64_FORMAT " entries, " INT64_FORMAT " failed",
							run, done, progress.planned, progress.failed)));
			told_at = now;
			told = done;
		}
		if (progress.waits && !warned && now - progress.started_at >= PATIENCE_US)
		{
			ereport(NOTICE,
					(errmsg("run " INT64_FORMAT " waits for a worker", run),
					 errhint("All of dashcache.workers are busy, or max_worker_processes is too small; see the server's log.")));
			warned = true;
		}
		if (now - checked_at >= USECS_PER_SEC)
		{
			check_deadlock(run);
			checked_at = now;
		}
		dc_run_wait(run, 1000);
	}
}

/*
 * dashcache_warm(dashboard, tenant, wait)
 */
Datum
dashcache_warm(PG_FUNCTION_ARGS)
{
	char	   *dashboard_name = PG_ARGISNULL(0) ? NULL : dc_argument_name(fcinfo, 0, "dashboard");
	char	   *tenant = dc_argument_tenant(fcinfo, 1);
	bool		wait = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	int64		run;

	if (dashboard_name != NULL)
		dc_acl_check_owner(dc_existing_dashboard(dashboard_name));
	else
		dc_acl_check_owns_any();
	dc_check_workers();
	run = dc_request_run(dashboard_name, tenant, GetUserId(), 0, -1);
	if (wait)
	{
		PG_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&run));
		{
			wait_for(run);
		}
		PG_END_ENSURE_ERROR_CLEANUP(stop, PointerGetDatum(&run));
	}
	PG_RETURN_INT64(run);
}

/*
 * dashcache.runs_now() -> (run, job, dashboard, started_at, planned, warmed,
 * already_current, failed, last_error)
 */
Datum
dashcache_runs_now(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DcRunProgress *runs;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!dc_preloaded)
		return (Datum) 0;
	runs = palloc(sizeof(DcRunProgress) * dc_run_max());
	n = dc_run_list(runs, dc_run_max());
	for (int i = 0; i < n; i++)
	{
		Datum		values[9];
		bool		nulls[9] = {0};

		values[0] = Int64GetDatum(runs[i].id);
		values[1] = Int64GetDatum(runs[i].job);
		nulls[1] = runs[i].job == 0;
		values[2] = CStringGetTextDatum(runs[i].dashboard);
		nulls[2] = runs[i].dashboard[0] == '\0';
		values[3] = TimestampTzGetDatum(runs[i].started_at);
		values[4] = Int64GetDatum(runs[i].planned);
		values[5] = Int64GetDatum(runs[i].warmed);
		values[6] = Int64GetDatum(runs[i].already_current);
		values[7] = Int64GetDatum(runs[i].failed);
		values[8] = CStringGetTextDatum(runs[i].last_error);
		nulls[8] = runs[i].last_error[0] == '\0';
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * dashcache.workers(): how many there are now, over all databases.
 */
Datum
dashcache_worker_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(dc_preloaded ? dc_pool_count() : 0);
}
