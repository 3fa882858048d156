/*-------------------------------------------------------------------------
 *
 * cron.c
 *		Jobs of pg_cron that run ours.
 *
 * A job with a cron expression has a job of pg_cron that calls
 * dashcache_run_job(), in the same database.  It is known by its name, which
 * survives a dump, while its number there may become another job's.  pg_cron is
 * called as the role that scheduled ours, so what that role may do there is for
 * pg_cron to say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/cron.h"

#include "attempt.h"
#include "widget/catalog.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

/* A job of ours that pg_cron starts. */
typedef struct CronJob
{
	int64		id;
	Oid			role;
	char	   *schedule;
} CronJob;

/* Throw unless pg_cron is there. */
void
dc_cron_check(const char *schedule)
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

/* Call a function of pg_cron, as a role. */
static void
call_cron(Oid role, const char *sql, int nargs, Oid *types, Datum *values)
{
	Oid			save_user;
	int			save_context;
	int			save_nestlevel;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(role, save_context | SECURITY_LOCAL_USERID_CHANGE);
	save_nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "pg_cron did not answer");
	SPI_finish();
	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_user, save_context);
}

/*
 * Make a job of pg_cron that runs ours, or make it anew.  Throws what pg_cron
 * throws.
 */
void
dc_cron_make(int64 job, Oid role, const char *schedule)
{
	Oid			types[3] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[3];

	dc_cron_check(schedule);
	values[0] = CStringGetTextDatum(psprintf("dashcache job " INT64_FORMAT, job));
	values[1] = CStringGetTextDatum(schedule);
	values[2] = Int64GetDatum(job);
	call_cron(role,
			  "SELECT cron.schedule($1, $2, " DC_CRON_COMMAND_OF_J ")"
			  " FROM (VALUES ($3)) j (id), pg_catalog.pg_extension x"
			  " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) x.extnamespace"
			  " WHERE x.extname OPERATOR(pg_catalog.=) 'dashcache'",
			  3, types, values);
}

/*
 * Remove the job of pg_cron, if it is still there.  It belongs to "role", who
 * scheduled ours; others do not even see it, but superusers.
 */
void
dc_cron_drop(int64 job, Oid role)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(job);

	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	if (superuser() || !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		role = GetUserId();
	call_cron(role, "SELECT pg_catalog.count(cron.unschedule(c.jobid)) FROM cron.job c,"
			  " (VALUES ($1)) j (id) WHERE " DC_CRON_JOB_OF_J,
			  1, &type, &value);
}

/* Jobs of ours, as a query on dashcache.job gives them. */
static List *
select_jobs(const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	List	   *jobs = NIL;
	uint64		n;

	dc_catalog_begin(&work);
	n = dc_catalog_execute(sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		MemoryContext old = MemoryContextSwitchTo(caller);
		CronJob    *job = palloc(sizeof(CronJob));
		bool		isnull;

		job->id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		job->role = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		job->schedule = SPI_getvalue(row, SPI_tuptable->tupdesc, 3);
		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
	return jobs;
}

static void
try_drop(void *arg)
{
	CronJob    *job = arg;

	dc_cron_drop(job->id, job->role);
}

static void
try_make(void *arg)
{
	CronJob    *job = arg;

	dc_cron_make(job->id, job->role, job->schedule);
}

static void
attempt(DcAttempt step, CronJob *job, const char *message)
{
	ErrorData  *error = dc_attempt(step, job);

	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ereport(WARNING,
			(errmsg_internal(message, (long long) job->id),
			 errdetail_internal("%s", error->message)));
}

/*
 * The extension is about to be dropped: so are its jobs in pg_cron.  What
 * pg_cron refuses is no reason to stay.
 */
void
dc_cron_drop_all(void)
{
	ListCell   *lc;

	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	foreach(lc, select_jobs("SELECT id, role, schedule FROM dashcache.job WHERE kind = 'c' AND active ORDER BY id"))
		attempt(try_drop, lfirst(lc), "could not remove \"dashcache job %lld\" of pg_cron");
}

/*
 * Make the jobs of pg_cron that are missing: they may have been left behind when
 * ours were restored.  Those of roles that "member" is a member of.
 */
void
dc_cron_make_lost(Oid member)
{
	ListCell   *lc;

	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	foreach(lc, select_jobs(DC_CRON_LOST_JOBS))
	{
		CronJob    *job = lfirst(lc);

		if (has_privs_of_role(member, job->role))
			attempt(try_make, job, "could not make \"dashcache job %lld\" of pg_cron");
	}
}
