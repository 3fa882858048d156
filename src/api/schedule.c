/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		dashcache_schedule() and its kin: jobs.
 *
 * A job with a cron expression is a row of dashcache.job and a job of pg_cron
 * that calls dashcache_run_job().  pg_cron is called as the role that calls us,
 * so what that role may do there is for pg_cron to say.
 *
 * Locking: rows of dashcache.job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"
#include "api/warm.h"
#include "demand.h"
#include "warm/jobs.h"
#include "warm/run.h"
#include "warm/schedule.h"
#include "widget/acl.h"
#include "widget/catalog.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_schedule);
PG_FUNCTION_INFO_V1(dashcache_alter_job);
PG_FUNCTION_INFO_V1(dashcache_unschedule);
PG_FUNCTION_INFO_V1(dashcache_run_job);

/* A row of dashcache.job. */
typedef struct Job
{
	int64		id;
	char	   *dashboard;		/* NULL: all */
	char	   *tenant;			/* NULL: all */
	char		kind;
	int64		cron_job;
	Oid			role;
} Job;

/*-------------------------------------------------------------------------
 * pg_cron
 *-------------------------------------------------------------------------
 */

/* Throw unless pg_cron is there. */
static void
check_cron(const char *schedule)
{
	const char *database;

	if (OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	database = GetConfigOption("cron.database_name", true, false);
	if (database == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cron expressions need pg_cron, which is not loaded: \"%s\"", schedule),
				 errhint("Install the package postgresql-%d-cron, add pg_cron to shared_preload_libraries,"
						 " set cron.database_name = '%s', restart the server, and CREATE EXTENSION pg_cron."
						 " Or give an interval, such as '5 minutes'.",
						 PG_MAJORVERSION_NUM, get_database_name(MyDatabaseId))));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cron expressions need pg_cron, which is not in this database: \"%s\"", schedule),
			 errdetail("The setting cron.database_name is \"%s\".", database),
			 errhint("If that is this database, CREATE EXTENSION pg_cron. Or give an interval, such as '5 minutes'.")));
}

/* Call a function of pg_cron, as the caller; returns its result. */
static Datum
call_cron(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	Datum		result;
	bool		isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "pg_cron did not answer");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	return isnull ? (Datum) 0 : result;
}

/*
 * Make a job of pg_cron that runs ours; returns its number there.  "schema" is
 * that of our functions.
 */
static int64
make_cron_job(const char *schema, int64 job, const char *schedule)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];

	check_cron(schedule);
	values[0] = CStringGetTextDatum(psprintf("dashcache job " INT64_FORMAT, job));
	values[1] = CStringGetTextDatum(schedule);
	values[2] = CStringGetTextDatum(psprintf("SELECT %s.dashcache_run_job(" INT64_FORMAT ")",
											 quote_identifier(schema), job));
	return DatumGetInt64(call_cron("SELECT cron.schedule($1, $2, $3)", 3, types, values, NULL));
}

/* Remove a job of pg_cron, if it is still there. */
static void
drop_cron_job(int64 cron_job)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(cron_job);

	if (cron_job == 0 || !OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	(void) call_cron("SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job WHERE jobid OPERATOR(pg_catalog.=) $1",
					 1, &type, &value, NULL);
}

/*-------------------------------------------------------------------------
 * Jobs
 *-------------------------------------------------------------------------
 */

static const char *
own_schema(FunctionCallInfo fcinfo)
{
	return get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
}

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
	found = dc_catalog_execute("SELECT dashboard, tenant, kind, cron_job, role FROM dashcache.job"
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
		job->cron_job = DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));
		if (isnull)
			job->cron_job = 0;
		job->role = DatumGetObjectId(SPI_getbinval(tuple, desc, 5, &isnull));
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	if (found && !has_privs_of_role(GetUserId(), job->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of the role that scheduled job " INT64_FORMAT, id)));
	return found;
}

static void
no_such_job(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist", id),
			 errhint("The view dashcache_jobs lists the jobs.")));
}

/*
 * Write down a job's schedule and when it runs next.  "schema" is that of our
 * functions, or NULL for a job that is paused: pg_cron is not told of it.
 */
static void
set_schedule(const char *schema, int64 id, const char *schedule)
{
	Oid			types[6] = {INT8OID, TEXTOID, CHAROID, INTERVALOID, TIMESTAMPTZOID, INT8OID};
	Datum		values[6] = {0};
	char		nulls[6] = {' ', ' ', ' ', 'n', 'n', 'n'};
	DcScheduleKind kind = dc_schedule_kind(schedule);
	TimestampTz now = GetCurrentTimestamp();
	DcCatalogWork work;

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(schedule);
	values[2] = CharGetDatum(kind);
	switch (kind)
	{
		case DC_SCHEDULE_INTERVAL:
			values[3] = IntervalPGetDatum(dc_schedule_interval(schedule));
			values[4] = TimestampTzGetDatum(dc_schedule_next(now, DatumGetIntervalP(values[3]), now));
			nulls[3] = nulls[4] = ' ';
			break;
		case DC_SCHEDULE_PREDICTIVE:
			values[4] = TimestampTzGetDatum(dc_schedule_next_hour(now, 0));
			nulls[4] = ' ';
			break;
		case DC_SCHEDULE_CRON:
			if (schema == NULL)
				break;
			values[5] = Int64GetDatum(make_cron_job(schema, id, schedule));
			nulls[5] = ' ';
			break;
	}
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.job SET schedule = $2, kind = $3, every = $4, next_run = $5,"
					   "  cron_job = $6, anchor = clock_timestamp() WHERE id = $1",
					   6, types, values, nulls);
	dc_catalog_end(&work);
}

/*
 * dashcache_schedule(schedule, dashboard, tenant)
 */
Datum
dashcache_schedule(PG_FUNCTION_ARGS)
{
	char	   *schedule = dc_argument_text(fcinfo, 0);
	char	   *dashboard = PG_ARGISNULL(1) ? NULL : dc_argument_name(fcinfo, 1, "dashboard");
	char	   *tenant = dc_argument_tenant(fcinfo, 2);
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[4];
	char		nulls[4] = {' ', dashboard == NULL ? 'n' : ' ', tenant == NULL ? 'n' : ' ', ' '};
	DcCatalogWork work;
	bool		isnull;
	int64		id;

	if (schedule == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("schedule must not be null")));
	if (dashboard != NULL)
		dc_acl_check_owner(dc_existing_dashboard(dashboard));
	if (dc_schedule_kind(schedule) == DC_SCHEDULE_PREDICTIVE && tenant != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a predictive schedule is not for one tenant"),
				 errdetail("It finds out for which tenants to warm.")));
	dc_check_workers();

	values[0] = CStringGetTextDatum(schedule);
	values[1] = dashboard == NULL ? (Datum) 0 : CStringGetTextDatum(dashboard);
	values[2] = tenant == NULL ? (Datum) 0 : CStringGetTextDatum(tenant);
	values[3] = ObjectIdGetDatum(GetUserId());
	dc_catalog_begin(&work);
	dc_catalog_execute("INSERT INTO dashcache.job (schedule, dashboard, tenant, role, kind)"
					   " VALUES ($1, $2, $3, $4, 'i') RETURNING id",
					   4, types, values, nulls);
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	dc_catalog_end(&work);
	set_schedule(own_schema(fcinfo), id, schedule);
	dc_demand_at_commit();
	PG_RETURN_INT64(id);
}

/*
 * dashcache_alter_job(job, schedule, active)
 */
Datum
dashcache_alter_job(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int64		id = job_argument(fcinfo);
	char	   *schedule = dc_argument_text(fcinfo, 1);
	Oid			types[2] = {INT8OID, BOOLOID};
	Datum		values[2];
	char		nulls[2] = {' ', PG_ARGISNULL(2) ? 'n' : ' '};
	DcCatalogWork work;
	bool		active;
	bool		isnull;
	Job			job;

	if (!read_job(id, &job))
		no_such_job(id);

	values[0] = Int64GetDatum(id);
	values[1] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.job SET active = COALESCE($2, active) WHERE id = $1"
					   " RETURNING active, schedule", 2, types, values, nulls);
	active = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (schedule == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		schedule = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);

	/* a job of pg_cron is made anew: not everybody may change one */
	drop_cron_job(job.cron_job);
	set_schedule(active ? own_schema(fcinfo) : NULL, id, schedule);
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
	drop_cron_job(job.cron_job);
	dc_catalog_begin(&work);
	dc_catalog_execute("DELETE FROM dashcache.job WHERE id = $1", 1, &type, &value, NULL);
	dc_catalog_end(&work);
	dc_demand_at_commit();
	PG_RETURN_BOOL(true);
}

/* The jobs of a dashboard go with it; those of pg_cron have to be told. */
void
dc_unschedule_dashboard(const char *dashboard)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(dashboard);
	DcCatalogWork work;
	List	   *cron_jobs = NIL;
	ListCell   *lc;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT cron_job FROM dashcache.job WHERE dashboard = $1 AND cron_job IS NOT NULL",
						   1, &type, &value, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		int64	   *cron_job = palloc(sizeof(int64));
		bool		isnull;

		*cron_job = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		cron_jobs = lappend(cron_jobs, cron_job);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	foreach(lc, cron_jobs)
		drop_cron_job(*(int64 *) lfirst(lc));
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
	if (dc_run_of_job_exists(MyDatabaseId, id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(dc_request_run(job.dashboard, job.tenant, job.role, id));
}
