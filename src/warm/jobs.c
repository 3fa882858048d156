/*-------------------------------------------------------------------------
 *
 * jobs.c
 *		Jobs: what is warmed when, and how it went.
 *
 * Jobs are rows of dashcache.job.  Those with an interval have the time of
 * their next run with them; a worker asks for the runs that are due, moves
 * these times on, and says when the next is due (demand.c).  What was due while
 * the server was down is done once, at start.  A job whose last run has not
 * ended waits for its next turn.
 *
 * A turn that cannot be taken at all is written down as a run that has failed.
 *
 * Those with a cron expression are jobs of pg_cron, too, which calls
 * dashcache_run_job().
 *
 * Locking: rows of dashcache.job; the runs' lock (run.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/jobs.h"

#include "demand.h"
#include "warm/dashboards.h"
#include "warm/schedule.h"
#include "warm/task.h"
#include "warm/uses.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So many runs are remembered. */
#define MAX_RUNS 1000

/* So long before an hour those are warmed who are expected in it. */
#define AHEAD_US (10 * USECS_PER_MINUTE)

/* When there is no room for a run, it is tried again after this. */
#define RETRY_US USECS_PER_SEC

/* A job that fails, and whose next turn is not known either, after this. */
#define FAILED_RETRY_US USECS_PER_MINUTE

/* A job that is due. */
typedef struct DueJob
{
	int64		id;
	char	   *dashboard;		/* NULL: all */
	char	   *tenant;			/* NULL: all */
	char		kind;
	Interval   *every;
	Oid			role;
	TimestampTz anchor;
	TimestampTz next_run;
} DueJob;

/* A dashboard whose visitors of an hour have been noted. */
typedef struct Noted
{
	const char *dashboard;
	TimestampTz hour;
} Noted;

/* A new number for a run. */
int64
dc_jobs_next_run_id(void)
{
	Oid			namespace = get_namespace_oid("dashcache", false);

	return nextval_internal(get_relname_relid("run_id", namespace), false);
}

/* Ask for a run, and give it a number; 0 if too many runs wait already. */
static int64
request_run(DcRunRequest *request)
{
	/* most often this is known without using up a number */
	if (!dc_run_is_room())
		return 0;
	request->id = dc_jobs_next_run_id();
	request->database = MyDatabaseId;
	return dc_run_request(request) ? request->id : 0;
}

/*
 * Ask for a run.  "dashboard" NULL: all that the role owns; "tenant" NULL:
 * those configured and in use; "hour_of_week" not -1: those expected in it.
 * Returns the run's number, or 0 if too many runs wait already.
 */
int64
dc_jobs_request(const char *dashboard, const char *tenant, Oid role,
				int64 job, int hour_of_week)
{
	DcRunRequest request = {0};

	request.job = job;
	request.role = role;
	request.hour_of_week = hour_of_week;
	if (dashboard != NULL)
		strlcpy(request.dashboard, dashboard, NAMEDATALEN);
	request.one_tenant = tenant != NULL;
	if (tenant != NULL)
		strlcpy(request.tenant, tenant, DC_RUN_TENANT_LEN);
	return request_run(&request);
}

/*
 * Ask for a run of all dashboards that are warmed on start, whosever they are.
 * One for each would be more than there is room for.  False if there is none.
 */
bool
dc_jobs_request_at_start(void)
{
	DcRunRequest request = {0};

	request.at_start = true;
	request.hour_of_week = -1;
	return request_run(&request) != 0;
}

/* The hour of the week for which visitors are expected now. */
int
dc_jobs_hour_ahead(TimestampTz now)
{
	return dc_schedule_hour_of_week(now + AHEAD_US);
}

/* What is done for the jobs that are due at one time. */
typedef struct Turn
{
	DueJob	   *job;
	TimestampTz now;
	TimestampTz next;			/* the job's next turn */
	bool		waits;			/* there was no room for its run */
	List	   *noted;			/* of Noted, by all jobs */
} Turn;

/* Note who came in an hour, once, however many jobs want to know. */
static void
note_visits(DcDashboard *dashboard, void *arg)
{
	Turn	   *turn = arg;
	TimestampTz hour = turn->job->next_run - USECS_PER_HOUR;
	Noted	   *noted;
	ListCell   *lc;

	if (!has_privs_of_role(turn->job->role, dashboard->owner))
		return;
	foreach(lc, turn->noted)
	{
		noted = lfirst(lc);
		if (noted->hour == hour && strcmp(noted->dashboard, dashboard->name) == 0)
			return;
	}
	noted = palloc(sizeof(Noted));
	noted->dashboard = pstrdup(dashboard->name);
	noted->hour = hour;
	turn->noted = lappend(turn->noted, noted);
	dc_visits_save(dashboard, hour);
}

/* When a job runs after "now". */
static TimestampTz
next_run(const DueJob *job, TimestampTz now)
{
	if (job->kind == DC_SCHEDULE_INTERVAL)
		return dc_schedule_next(job->anchor, job->every, now);
	/* at the hour to learn, and before it to warm */
	return Min(dc_schedule_next_hour(now, 0), dc_schedule_next_hour(now, AHEAD_US));
}

/* Do what is to be done for a job. */
static void
take_turn(void *arg)
{
	Turn	   *turn = arg;
	DueJob	   *job = turn->job;

	turn->next = next_run(job, turn->now);
	if (job->kind == DC_SCHEDULE_PREDICTIVE && job->next_run % USECS_PER_HOUR == 0)
	{
		/* too late, and it is no longer known who came in that hour */
		if (turn->now - job->next_run < USECS_PER_HOUR / 4)
			(void) dc_dashboards_each(job->dashboard, note_visits, turn);
	}
	else if (!dc_run_of_job_exists(MyDatabaseId, job->id))
		turn->waits = dc_jobs_request(job->dashboard, job->tenant, job->role, job->id,
									  job->kind == DC_SCHEDULE_PREDICTIVE ?
									  dc_jobs_hour_ahead(turn->now) : -1) == 0;
}

/* A turn could not be taken: let dashcache_runs and dashcache_jobs tell why. */
static void
save_failure(const Turn *turn, const char *error)
{
	DcRunProgress run = {0};

	run.id = dc_jobs_next_run_id();
	run.job = turn->job->id;
	if (turn->job->dashboard != NULL)
		strlcpy(run.dashboard, turn->job->dashboard, NAMEDATALEN);
	run.started_at = turn->now;
	strlcpy(run.last_error, error,
			pg_mbcliplen(error, strlen(error), sizeof(run.last_error) - 1) + 1);
	dc_jobs_save_run(&run);
}

/* The jobs that are due, locked, so that no other worker starts them, too. */
static List *
read_due(TimestampTz now)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[2] = {TIMESTAMPTZOID, BOOLOID};
	Datum		values[2] = {TimestampTzGetDatum(now), BoolGetDatum(dc_run_is_room())};
	List	   *jobs = NIL;
	uint64		n;

	/* without room for a run there may still be something to learn */
	n = dc_catalog_execute("SELECT id, dashboard, tenant, kind, every, role, anchor, next_run"
						   " FROM dashcache.job WHERE active AND kind <> 'c' AND next_run <= $1"
						   "  AND ($2 OR kind = 'p')"
						   " ORDER BY next_run, id FOR UPDATE SKIP LOCKED",
						   2, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(caller);
		DueJob	   *job = palloc0(sizeof(DueJob));
		Datum		every;
		bool		isnull;

		job->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		job->dashboard = SPI_getvalue(tuple, desc, 2);
		job->tenant = SPI_getvalue(tuple, desc, 3);
		job->kind = DatumGetChar(SPI_getbinval(tuple, desc, 4, &isnull));
		every = SPI_getbinval(tuple, desc, 5, &isnull);
		if (!isnull)
		{
			job->every = palloc(sizeof(Interval));
			*job->every = *DatumGetIntervalP(every);
		}
		job->role = DatumGetObjectId(SPI_getbinval(tuple, desc, 6, &isnull));
		job->anchor = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 7, &isnull));
		job->next_run = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 8, &isnull));
		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old);
	}
	return jobs;
}

/*
 * Start what is due at "now", in a transaction of the caller's.  Returns when the next
 * job is; DT_NOEND: there is none.
 */
TimestampTz
dc_jobs_due(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	DcCatalogWork work;
	List	   *jobs;
	Turn		turn = {.now = now};
	ListCell   *lc;
	Datum		earliest;
	bool		isnull;

	dc_catalog_begin(&work);
	jobs = read_due(now);
	foreach(lc, jobs)
	{
		Oid			types[2] = {INT8OID, TIMESTAMPTZOID};
		Datum		values[2];
		char	   *error;

		turn.job = lfirst(lc);
		turn.next = now + FAILED_RETRY_US;
		turn.waits = false;
		error = dc_task_attempt(take_turn, &turn,
								psprintf("start job " INT64_FORMAT, turn.job->id));
		if (turn.waits)
			continue;
		if (error != NULL)
			save_failure(&turn, error);
		values[0] = Int64GetDatum(turn.job->id);
		values[1] = TimestampTzGetDatum(turn.next);
		dc_catalog_execute("UPDATE dashcache.job SET next_run = $2 WHERE id = $1",
						   2, types, values, NULL);
	}
	dc_catalog_execute("SELECT min(next_run) FROM dashcache.job WHERE active AND kind <> 'c'",
					   0, NULL, NULL, NULL);
	earliest = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		next = DatumGetTimestampTz(earliest);

	/*
	 * what is due still waits for room, or for who has locked it: not to be
	 * looked at all the time
	 */
	if (next <= now)
		next = now + RETRY_US;
	dc_catalog_end(&work);
	return next;
}

/* Write down how a run went, in a transaction of the caller's. */
void
dc_jobs_save_run(const DcRunProgress *run)
{
	Oid			types[9] = {INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID,
	INT8OID, INT8OID, INT8OID, TEXTOID};
	Datum		values[9];
	char		nulls[9];
	int64		done = run->warmed + run->already_current + run->failed;
	DcCatalogWork work;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(run->id);
	values[1] = Int64GetDatum(run->job);
	nulls[1] = run->job == 0 ? 'n' : ' ';
	values[2] = CStringGetTextDatum(run->dashboard);
	nulls[2] = run->dashboard[0] == '\0' ? 'n' : ' ';
	values[3] = TimestampTzGetDatum(run->started_at);
	values[4] = Int64GetDatum(Max(run->planned, done));
	values[5] = Int64GetDatum(run->warmed);
	values[6] = Int64GetDatum(run->already_current);
	values[7] = Int64GetDatum(run->failed);
	values[8] = CStringGetTextDatum(run->last_error);
	nulls[8] = run->last_error[0] == '\0' ? 'n' : ' ';

	dc_catalog_begin(&work);
	dc_catalog_execute("INSERT INTO dashcache.run (id, job, dashboard, started_at, finished_at,"
					   "  planned, warmed, already_current, failed, last_error)"
					   " VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7, $8, $9)",
					   9, types, values, nulls);
	/* not all numbers are given to a run; and a job's last one is kept */
	dc_catalog_execute("DELETE FROM dashcache.run r WHERE r.id <="
					   "  (SELECT n.id FROM dashcache.run n ORDER BY n.id DESC OFFSET " CppAsString2(MAX_RUNS) " LIMIT 1)"
					   " AND (EXISTS (SELECT FROM dashcache.run n WHERE n.job = r.job AND n.id > r.id)"
					   "  OR r.job IS NULL OR NOT EXISTS (SELECT FROM dashcache.job j WHERE j.id = r.job))",
					   0, NULL, NULL, NULL);
	dc_catalog_end(&work);
}
