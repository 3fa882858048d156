/*-------------------------------------------------------------------------
 *
 * run.c
 *		Runs: the warming of many entries, shared by workers.
 *
 * A run is asked for by dashcache_warm(), by a job that is due, or at start.
 * It waits in a slot in shared memory until a worker of its database comes.
 * The first to come plans: it finds out which tenants there are.  Then it and
 * others take tasks, by their numbers, until there are none.  A task says
 * which widget to compute for all tenants at once, or which tenants to take,
 * by a remainder of their hash; so workers need not have the same list of
 * tenants, nor any in shared memory.
 *
 * How workers take part in a run is in run_work.c.
 *
 * Locking: all under "lock", but for the atomics.  "moved" is broadcast when a
 * run has come forward, for those who wait for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/run.h"

#include "demand.h"
#include "warm/run_internal.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

DcSharedRuns *dc_runs = NULL;

/* How many bytes of shared memory this takes. */
Size
dc_run_shmem_size(void)
{
	return sizeof(DcSharedRuns);
}

/* Make empty slots at "place"; once, by the postmaster. */
void
dc_run_shmem_init(void *place)
{
	dc_runs = place;
	memset(dc_runs, 0, sizeof(*dc_runs));
	LWLockInitialize(&dc_runs->lock, LWLockNewTrancheId());
	ConditionVariableInit(&dc_runs->moved);
	for (int i = 0; i < MAX_RUNS; i++)
	{
		pg_atomic_init_u64(&dc_runs->runs[i].warmed, 0);
		pg_atomic_init_u64(&dc_runs->runs[i].already_current, 0);
		pg_atomic_init_u64(&dc_runs->runs[i].failed, 0);
	}
}

/* Learn where the slots are; in every process. */
void
dc_run_attach(void *place)
{
	dc_runs = place;
	LWLockRegisterTranche(dc_runs->lock.tranche, "dashcache_run");
}

/* How many runs there can be at a time. */
int
dc_run_max(void)
{
	return MAX_RUNS;
}

/*-------------------------------------------------------------------------
 * Asking for runs
 *-------------------------------------------------------------------------
 */

/* Is a slot free, or was it a moment ago? */
bool
dc_run_is_room(void)
{
	bool		room = false;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	for (int i = 0; i < MAX_RUNS && !room; i++)
		room = dc_runs->runs[i].state == RUN_FREE;
	LWLockRelease(&dc_runs->lock);
	return room;
}

/* Ask for a run.  False if too many wait already. */
bool
dc_run_request(const DcRunRequest *request)
{
	bool		done = false;

	if (!dc_demand(request->database, 0))
		return false;
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_RUNS && !done; i++)
	{
		DcSharedRun *run = &dc_runs->runs[i];

		if (run->state != RUN_FREE)
			continue;
		run->state = RUN_WAITING;
		run->request = *request;
		memset(&run->plan, 0, sizeof(run->plan));
		run->started_at = GetCurrentTimestamp();
		run->plannings = 0;
		run->workers = 0;
		run->cancelled = false;
		run->next_task = 0;
		run->ngiven_back = 0;
		run->times_given_back = 0;
		pg_atomic_write_u64(&run->warmed, 0);
		pg_atomic_write_u64(&run->already_current, 0);
		pg_atomic_write_u64(&run->failed, 0);
		run->last_error[0] = '\0';
		done = true;
	}
	LWLockRelease(&dc_runs->lock);
	return done && dc_demand(request->database, DC_DEMAND_RUNS);
}

static DcSharedRun *
find_locked(int64 id)
{
	for (int i = 0; i < MAX_RUNS; i++)
	{
		if (dc_runs->runs[i].state != RUN_FREE && dc_runs->runs[i].request.id == id &&
			dc_runs->runs[i].request.database == MyDatabaseId)
			return &dc_runs->runs[i];
	}
	return NULL;
}

/* Copy what a run has come to; under the lock. */
void
dc_run_copy_progress(DcSharedRun *run, DcRunProgress *progress)
{
	progress->id = run->request.id;
	progress->job = run->request.job;
	progress->database = run->request.database;
	strlcpy(progress->dashboard, run->request.dashboard, NAMEDATALEN);
	progress->started_at = run->started_at;
	progress->waits = run->state == RUN_WAITING;
	progress->planned = run->plan.planned;
	progress->warmed = pg_atomic_read_u64(&run->warmed);
	progress->already_current = pg_atomic_read_u64(&run->already_current);
	progress->failed = pg_atomic_read_u64(&run->failed);
	strlcpy(progress->last_error, run->last_error, sizeof(progress->last_error));
}

/* How far a run of this database is.  False if it has ended. */
bool
dc_run_progress(int64 id, DcRunProgress *progress)
{
	DcSharedRun *run;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	run = find_locked(id);
	if (run != NULL)
		dc_run_copy_progress(run, progress);
	LWLockRelease(&dc_runs->lock);
	return run != NULL;
}

/* The runs of this database that have not ended; returns how many. */
int
dc_run_list(DcRunProgress *list, int capacity)
{
	int			n = 0;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	for (int i = 0; i < MAX_RUNS && n < capacity; i++)
	{
		if (dc_runs->runs[i].state != RUN_FREE &&
			dc_runs->runs[i].request.database == MyDatabaseId)
			dc_run_copy_progress(&dc_runs->runs[i], &list[n++]);
	}
	LWLockRelease(&dc_runs->lock);
	return n;
}

/* Is there a run of a job that has not ended? */
bool
dc_run_of_job_exists(Oid database, int64 job)
{
	bool		found = false;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	for (int i = 0; i < MAX_RUNS; i++)
		found |= dc_runs->runs[i].state != RUN_FREE &&
			dc_runs->runs[i].request.database == database &&
			dc_runs->runs[i].request.job == job;
	LWLockRelease(&dc_runs->lock);
	return found;
}

/* Have a run end with what is being computed now. */
void
dc_run_cancel(int64 id)
{
	DcSharedRun *run;

	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	run = find_locked(id);
	if (run != NULL)
	{
		run->cancelled = true;
		strlcpy(run->last_error, "cancelled", sizeof(run->last_error));
		if (run->state == RUN_WAITING)
			run->state = RUN_RUNNING;	/* nothing to plan: only to finish */
	}
	LWLockRelease(&dc_runs->lock);
	if (run != NULL)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
}

/* Wait until some run has come forward, or that long. */
void
dc_run_wait(int64 id, long timeout_ms)
{
	DcRunProgress progress;

	ConditionVariablePrepareToSleep(&dc_runs->moved);
	if (dc_run_progress(id, &progress))
		(void) ConditionVariableTimedSleep(&dc_runs->moved, timeout_ms,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/*-------------------------------------------------------------------------
 * For the launcher
 *-------------------------------------------------------------------------
 */

/* How many workers could work on the runs of a database. */
int
dc_run_useful_workers(Oid database)
{
	int			useful = 0;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	for (int i = 0; i < MAX_RUNS; i++)
	{
		DcSharedRun *run = &dc_runs->runs[i];

		if (run->state == RUN_FREE || run->request.database != database)
			continue;
		if (dc_run_has_tasks_locked(run))
			useful += run->workers + run->ngiven_back + dc_run_tasks(run) - run->next_task;
		else
			useful += Max(run->workers, 1);
	}
	LWLockRelease(&dc_runs->lock);
	return useful;
}

/*
 * A database, or the extension in it, is no more: so are its runs, and nothing is
 * written down of them.  A run that a worker is still at is nobody's until that
 * has left it.  Throws nothing.
 */
void
dc_run_forget(Oid database)
{
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_RUNS; i++)
	{
		DcSharedRun *run = &dc_runs->runs[i];

		if (run->state == RUN_FREE || run->request.database != database)
			continue;
		run->request.database = InvalidOid;
		run->cancelled = true;
		if (run->workers == 0)
			run->state = RUN_FREE;
	}
	LWLockRelease(&dc_runs->lock);
	ConditionVariableBroadcast(&dc_runs->moved);
}
