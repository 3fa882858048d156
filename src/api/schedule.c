/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		dashcache_schedule() and its kin: jobs.
 *
 * A job with a cron expression is a row of dashcache.job and a job of pg_cron
 * (warm/cron.c).
 *
 * Locking: rows of dashcache.job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"
#include "api/warm.h"
#include "demand.h"
#include "warm/cron.h"
#include "warm/jobs.h"
#include "warm/run.h"
#include "warm/schedule.h"
#include "warm/uses.h"
#include "widget/acl.h"
#include "widget/catalog.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_schedule);
PG_FUNCTION_INFO_V1(dashcache_alter_job);
PG_FUNCTION_INFO_V1(dashcache_unschedule);
PG_FUNCTION_INFO_V1(dashcache_run_job);
PG_FUNCTION_INFO_V1(dashcache_lost_cron_jobs);
PG_FUNCTION_INFO_V1(dashcache_note_visits);
PG_FUNCTION_INFO_V1(dashcache_start_due);

/* A row of dashcache.job. */
typedef struct Job
{
	int64		id;
	char	   *dashboard;		/* NULL: all */
	char	   *tenant;			/* NULL: all */
	char	   *schedule;
	bool		active;
	TimestampTz anchor;
	char		kind;
	Oid			role;
} Job;

/*-------------------------------------------------------------------------
 * Jobs
 *-------------------------------------------------------------------------
 */

static int64
job_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("job must not be null")));
	return PG_GETARG_INT64(0);
}

/*
 * Read a job, and lock it.  False if there is none; throws if the caller is not
 * a member of the role that scheduled it.
 */
static bool
read_job(int64 id, Job *job)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	DcCatalogWork work;
	bool		found;

	memset(job, 0, sizeof(*job));
	dc_catalog_begin(&work);
	found = dc_catalog_execute("SELECT dashboard, tenant, kind, role, schedule, active, anchor FROM dashcache.job"
							   " WHERE id = $1 FOR UPDATE", 1, &type, &value, NULL) == 1;
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool		isnull;

		job->id = id;
		job->dashboard = SPI_getvalue(tuple, desc, 1);
		job->tenant = SPI_getvalue(tuple, desc, 2);
		job->kind = DatumGetChar(SPI_getbinval(tuple, desc, 3, &isnull));
		job->role = DatumGetObjectId(SPI_getbinval(tuple, desc, 4, &isnull));
		job->schedule = SPI_getvalue(tuple, desc, 5);
		job->active = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
		job->anchor = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 7, &isnull));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	if (found && !has_privs_of_role(GetUserId(), job->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of the role that scheduled job " INT64_FORMAT, id)));
	return found;
}

/* Has pg_cron a job for it? */
static bool
is_with_cron(const Job *job)
{
	return job->kind == DC_SCHEDULE_CRON && job->active;
}

static void
no_such_job(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist", id),
			 errhint("The view dashcache_jobs lists the jobs.")));
}

/* Write down a job's schedule, whether it is active, and when it runs next. */
static void
set_schedule(const Job *job, TimestampTz now)
{
	Oid			types[7] = {INT8OID, TEXTOID, CHAROID, INTERVALOID, TIMESTAMPTZOID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[7] = {0};
	char		nulls[7] = {' ', ' ', ' ', 'n', 'n', ' ', ' '};
	DcScheduleKind kind = dc_schedule_kind(job->schedule);
	DcCatalogWork work;

	values[0] = Int64GetDatum(job->id);
	values[1] = CStringGetTextDatum(job->schedule);
	values[2] = CharGetDatum(kind);
	values[5] = BoolGetDatum(job->active);
	values[6] = TimestampTzGetDatum(job->anchor);
	switch (kind)
	{
		case DC_SCHEDULE_INTERVAL:
			values[3] = IntervalPGetDatum(dc_schedule_interval(job->schedule));
			values[4] = TimestampTzGetDatum(dc_schedule_next(job->anchor, DatumGetIntervalP(values[3]), now));
			nulls[3] = nulls[4] = ' ';
			break;
		case DC_SCHEDULE_PREDICTIVE:
			if (job->tenant != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("a predictive schedule is not for one tenant"),
						 errdetail("It finds out for which tenants to warm.")));
			values[4] = TimestampTzGetDatum(dc_schedule_next_hour(now, 0));
			nulls[4] = ' ';
			break;
		case DC_SCHEDULE_CRON:
			dc_cron_make(job->id, job->role, job->schedule);
			/* so pg_cron has looked at it, but does not run it */
			if (!job->active)
				dc_cron_drop(job->id, job->role);
			break;
	}
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.job SET schedule = $2, kind = $3, every = $4, next_run = $5,"
					   "  active = $6, anchor = $7 WHERE id = $1",
					   7, types, values, nulls);
	dc_catalog_end(&work);
}

/*
 * dashcache_schedule(schedule, dashboard, tenant)
 */
Datum
dashcache_schedule(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	Job			job = {0};
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	DcCatalogWork work;
	bool		isnull;

	job.schedule = dc_argument_text(fcinfo, 0);
	job.dashboard = PG_ARGISNULL(1) ? NULL : dc_argument_name(fcinfo, 1, "dashboard");
	job.tenant = dc_argument_tenant(fcinfo, 2);
	job.active = true;
	job.anchor = now;
	job.role = GetUserId();
	if (job.schedule == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("schedule must not be null")));
	if (job.dashboard != NULL)
		dc_acl_check_owner(dc_existing_dashboard(job.dashboard));
	else
		dc_acl_check_owns_any();
	dc_check_workers();

	values[0] = CStringGetTextDatum(job.schedule);
	values[1] = job.dashboard == NULL ? (Datum) 0 : CStringGetTextDatum(job.dashboard);
	nulls[1] = job.dashboard == NULL ? 'n' : ' ';
	values[2] = job.tenant == NULL ? (Datum) 0 : CStringGetTextDatum(job.tenant);
	nulls[2] = job.tenant == NULL ? 'n' : ' ';
	values[3] = ObjectIdGetDatum(job.role);
	dc_catalog_begin(&work);
	if (job.dashboard != NULL && !dc_catalog_share_dashboard(job.dashboard))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("dashboard \"%s\" has been dropped", job.dashboard)));
	dc_catalog_execute("INSERT INTO dashcache.job (schedule, dashboard, tenant, role, kind)"
					   " VALUES ($1, $2, $3, $4, 'i') RETURNING id",
					   4, types, values, nulls);
	job.id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	dc_catalog_end(&work);
	set_schedule(&job, now);
	dc_demand_at_commit();
	PG_RETURN_INT64(job.id);
}

/*
 * dashcache_alter_job(job, schedule, active): a job that is paused and resumed
 * keeps its turns.
 */
Datum
dashcache_alter_job(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		id = job_argument(fcinfo);
	char	   *schedule = dc_argument_text(fcinfo, 1);
	Job			job;

	if (!read_job(id, &job))
		no_such_job(id);

	/* a job of pg_cron is made anew: not everybody may change one */
	if (is_with_cron(&job))
		dc_cron_drop(job.id, job.role);
	if (schedule != NULL)
	{
		job.schedule = schedule;
		job.anchor = now;
	}
	if (!PG_ARGISNULL(2))
		job.active = PG_GETARG_BOOL(2);
	set_schedule(&job, now);
	dc_demand_at_commit();
	PG_RETURN_VOID();
}

/*
 * dashcache_unschedule(job): false if there is no such job.
 */
Datum
dashcache_unschedule(PG_FUNCTION_ARGS)
{
	int64		id = job_argument(fcinfo);
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	DcCatalogWork work;
	Job			job;

	if (!read_job(id, &job))
		PG_RETURN_BOOL(false);
	if (is_with_cron(&job))
		dc_cron_drop(job.id, job.role);
	dc_catalog_begin(&work);
	dc_catalog_execute("DELETE FROM dashcache.job WHERE id = $1", 1, &type, &value, NULL);
	dc_catalog_end(&work);
	dc_demand_at_commit();
	PG_RETURN_BOOL(true);
}

/* Drop the jobs of pg_cron of those of ours that meet a condition on $1. */
static void
drop_cron_jobs(const char *condition, Oid type, Datum value)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	Job		   *jobs;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute(psprintf("SELECT id, role FROM dashcache.job WHERE kind = 'c' AND active AND %s",
									condition),
						   1, &type, &value, NULL);
	jobs = MemoryContextAllocZero(caller, sizeof(Job) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		jobs[i].id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		jobs[i].role = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	dc_catalog_end(&work);
	for (uint64 i = 0; i < n; i++)
		dc_cron_drop(jobs[i].id, jobs[i].role);
}

/* The jobs of a dashboard go with it; those of pg_cron have to be told. */
void
dc_unschedule_dashboard(const char *dashboard)
{
	drop_cron_jobs("dashboard = $1", TEXTOID, CStringGetTextDatum(dashboard));
}

/* The jobs of a role go. */
void
dc_unschedule_role(Oid role)
{
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(role);
	DcCatalogWork work;

	drop_cron_jobs("role = $1", type, value);
	dc_catalog_begin(&work);
	dc_catalog_execute("DELETE FROM dashcache.job WHERE role = $1", 1, &type, &value, NULL);
	dc_catalog_end(&work);
	dc_demand_at_commit();
}

/*
 * dashcache_run_job(job): the number of the run; NULL if the job's last run has
 * not ended, or the job is paused.
 */
Datum
dashcache_run_job(PG_FUNCTION_ARGS)
{
	int64		id = job_argument(fcinfo);
	Job			job;

	dc_check_workers();
	if (!read_job(id, &job))
		no_such_job(id);
	if (!job.active || dc_run_of_job_exists(MyDatabaseId, id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(dc_request_run(job.dashboard, job.tenant, job.role, id,
								   job.kind == DC_SCHEDULE_PREDICTIVE ?
								   dc_jobs_hour_ahead(GetCurrentTimestamp()) : -1));
}

/*
 * dashcache.lost_cron_jobs(): the jobs that pg_cron is to start, and has none
 * for.
 */
Datum
dashcache_lost_cron_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		cron = OidIsValid(get_extension_oid("pg_cron", true));
	DcCatalogWork work;
	uint64		n;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	dc_catalog_begin(&work);
	n = dc_catalog_execute(cron ? DC_CRON_LOST_JOBS :
						   "SELECT j.id FROM dashcache.job j WHERE j.kind = 'c' AND j.active",
						   0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		Datum		value;
		bool		isnull;

		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	dc_catalog_end(&work);
	return (Datum) 0;
}

/*
 * dashcache.note_visits(dashboard, hour): learn who has come since "hour" as
 * having come in the hour that begins then, as 'predictive' jobs do at its end.
 */
Datum
dashcache_note_visits(PG_FUNCTION_ARGS)
{
	char	   *dashboard = dc_argument_name(fcinfo, 0, "dashboard");

	dc_visits_save(dc_existing_dashboard(dashboard), PG_GETARG_TIMESTAMPTZ(1));
	PG_RETURN_VOID();
}

/*
 * dashcache.start_due(now): starts the jobs that are due at a time, as a worker
 * does at theirs; returns when the next one is.
 */
Datum
dashcache_start_due(PG_FUNCTION_ARGS)
{
	dc_check_workers();
	dc_demand_at_commit();
	PG_RETURN_TIMESTAMPTZ(dc_jobs_due(PG_GETARG_TIMESTAMPTZ(0)));
}
