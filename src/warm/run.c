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
 * The last one to leave writes down how it went (warm/jobs.c) and gives back
 * the slot.  A worker that is terminated leaves on its way out, and gives back
 * the task it was at, for another one; what it had put off counts as failed.  If
 * it was the last, the launcher sends another one, to go on.
 *
 * Locking: all under "lock", but for the atomics.  "moved" is broadcast when a
 * run has come forward, for those who wait for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/run.h"

#include "demand.h"
#include "guc.h"
#include "preload.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define RUNS 32

/* How often a run is planned anew whose planner was terminated. */
#define MAX_PLANNINGS 3

/* How many tasks may be given back: one may be what ends its workers. */
#define MAX_GIVEN_BACK 16

typedef enum RunState
{
	FREE,
	WAITING,					/* for a worker to plan it */
	PLANNING,
	RUNNING,
	FINISHING					/* its result is being written down */
} RunState;

typedef struct DcSharedRun
{
	RunState	state;
	DcRunRequest request;
	DcRunPlan	plan;
	TimestampTz started_at;
	int			plannings;
	int			workers;		/* that have joined and not left */
	bool		cancelled;
	int			next_task;
	int			given_back[MAX_GIVEN_BACK]; /* tasks to be done again */
	int			ngiven_back;	/* of these, so many wait */
	int			times_given_back;
	pg_atomic_uint64 warmed;
	pg_atomic_uint64 already_current;
	pg_atomic_uint64 failed;
	char		last_error[256];
} DcSharedRun;

typedef struct DcSharedRuns
{
	LWLock		lock;
	ConditionVariable moved;
	DcSharedRun runs[RUNS];
} DcSharedRuns;

static DcSharedRuns *shared = NULL;

/* The run that this worker has joined, and what it has taken of it. */
static DcSharedRun *joined = NULL;
static int	own_task = -1;		/* -1: none */

/* What it has counted for that task, and what it has put off. */
typedef struct OwnCounts
{
	int64		warmed;
	int64		already_current;
	int64		failed;
	int64		put_off;
} OwnCounts;

static OwnCounts of_task;
static int64 put_off_before = 0;	/* for tasks that it has done */

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
	shared = place;
	memset(shared, 0, sizeof(*shared));
	LWLockInitialize(&shared->lock, LWLockNewTrancheId());
	ConditionVariableInit(&shared->moved);
	for (int i = 0; i < RUNS; i++)
	{
		pg_atomic_init_u64(&shared->runs[i].warmed, 0);
		pg_atomic_init_u64(&shared->runs[i].already_current, 0);
		pg_atomic_init_u64(&shared->runs[i].failed, 0);
	}
}

/* Learn where the slots are; in every process. */
void
dc_run_attach(void *place)
{
	shared = place;
	LWLockRegisterTranche(shared->lock.tranche, "dashcache_run");
}

/* How many runs there can be at a time. */
int
dc_run_max(void)
{
	return RUNS;
}

static int
tasks_of(const DcSharedRun *run)
{
	return run->plan.nsets + run->plan.nchunks;
}

static bool
has_tasks_locked(const DcSharedRun *run)
{
	return run->state == RUNNING && !run->cancelled &&
		(run->ngiven_back > 0 || run->next_task < tasks_of(run));
}

/*-------------------------------------------------------------------------
 * Asking for runs
 *-------------------------------------------------------------------------
 */

/* Ask for a run.  False if too many wait already. */
bool
dc_run_request(const DcRunRequest *request)
{
	bool		done = false;

	if (!dc_demand(request->database, 0))
		return false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RUNS && !done; i++)
	{
		DcSharedRun *run = &shared->runs[i];

		if (run->state != FREE)
			continue;
		run->state = WAITING;
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
	LWLockRelease(&shared->lock);
	return done && dc_demand(request->database, DC_DEMAND_RUNS);
}

static DcSharedRun *
find_locked(int64 id)
{
	for (int i = 0; i < RUNS; i++)
	{
		if (shared->runs[i].state != FREE && shared->runs[i].request.id == id &&
			shared->runs[i].request.database == MyDatabaseId)
			return &shared->runs[i];
	}
	return NULL;
}

static void
copy_progress(DcSharedRun *run, DcRunProgress *progress)
{
	progress->id = run->request.id;
	progress->job = run->request.job;
	progress->database = run->request.database;
	strlcpy(progress->dashboard, run->request.dashboard, NAMEDATALEN);
	progress->started_at = run->started_at;
	progress->waits = run->state == WAITING;
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

	LWLockAcquire(&shared->lock, LW_SHARED);
	run = find_locked(id);
	if (run != NULL)
		copy_progress(run, progress);
	LWLockRelease(&shared->lock);
	return run != NULL;
}

/* The runs of this database that have not ended; returns how many. */
int
dc_run_list(DcRunProgress *list, int capacity)
{
	int			n = 0;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < RUNS && n < capacity; i++)
	{
		if (shared->runs[i].state != FREE &&
			shared->runs[i].request.database == MyDatabaseId)
			copy_progress(&shared->runs[i], &list[n++]);
	}
	LWLockRelease(&shared->lock);
	return n;
}

/* Is there a run of a job that has not ended? */
bool
dc_run_of_job_exists(Oid database, int64 job)
{
	bool		found = false;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < RUNS; i++)
		found |= shared->runs[i].state != FREE &&
			shared->runs[i].request.database == database &&
			shared->runs[i].request.job == job;
	LWLockRelease(&shared->lock);
	return found;
}

/* Have a run end with what is being computed now. */
void
dc_run_cancel(int64 id)
{
	DcSharedRun *run;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	run = find_locked(id);
	if (run != NULL)
	{
		run->cancelled = true;
		strlcpy(run->last_error, "cancelled", sizeof(run->last_error));
		if (run->state == WAITING)
			run->state = RUNNING;	/* nothing to plan: only to finish */
	}
	LWLockRelease(&shared->lock);
	if (run != NULL)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
}

/* Wait until some run has come forward, or that long. */
void
dc_run_wait(int64 id, long timeout_ms)
{
	DcRunProgress progress;

	ConditionVariablePrepareToSleep(&shared->moved);
	if (dc_run_progress(id, &progress))
		(void) ConditionVariableTimedSleep(&shared->moved, timeout_ms,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/*-------------------------------------------------------------------------
 * Working on a run
 *-------------------------------------------------------------------------
 */

/* Nothing is taken, and nothing counted. */
static void
forget_own(void)
{
	own_task = -1;
	memset(&of_task, 0, sizeof(of_task));
	put_off_before = 0;
}

static void
lose_locked(int64 entries)
{
	pg_atomic_fetch_add_u64(&joined->failed, entries);
	if (joined->last_error[0] == '\0')
		strlcpy(joined->last_error, "a worker was terminated",
				sizeof(joined->last_error));
}

/* Give back the task that was begun, as if it had not been. */
static void
give_back_locked(void)
{
	if (joined->times_given_back == MAX_GIVEN_BACK)
	{
		lose_locked(of_task.put_off);
		return;
	}
	joined->times_given_back++;
	joined->given_back[joined->ngiven_back++] = own_task;
	pg_atomic_fetch_sub_u64(&joined->warmed, of_task.warmed);
	pg_atomic_fetch_sub_u64(&joined->already_current, of_task.already_current);
	pg_atomic_fetch_sub_u64(&joined->failed, of_task.failed);
}

/* Leave on the way out. */
static void
leave_at_exit(int code, Datum arg)
{
	if (joined == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	joined->workers--;
	if (own_task >= 0)
		give_back_locked();
	if (put_off_before > 0)
		lose_locked(put_off_before);
	if (joined->state == PLANNING)
	{
		if (joined->plannings < MAX_PLANNINGS)
			joined->state = WAITING;
		else
		{
			joined->state = RUNNING;
			joined->cancelled = true;
			lose_locked(0);
		}
	}
	else if (joined->state == FINISHING)
		joined->state = RUNNING;
	LWLockRelease(&shared->lock);
	joined = NULL;
	(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
}

/* Is there something to do for one more worker, be it only to finish? */
static bool
wants_worker_locked(const DcSharedRun *run)
{
	return run->state == WAITING || has_tasks_locked(run) ||
		(run->state == RUNNING && run->workers == 0);
}

/*
 * Join a run of this database that has something to do.  The caller makes the
 * plan, or takes tasks, and then leaves.
 */
DcRunRole
dc_run_join(DcRunRequest *request)
{
	static bool registered = false;
	DcRunRole	role = DC_RUN_NONE;
	bool		more = false;

	Assert(joined == NULL);
	if (!registered)
	{
		before_shmem_exit(leave_at_exit, (Datum) 0);
		registered = true;
	}

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RUNS && !more; i++)
	{
		DcSharedRun *run = &shared->runs[i];

		if (run->request.database != MyDatabaseId || !wants_worker_locked(run))
			continue;
		if (role != DC_RUN_NONE)
		{
			more = true;
			continue;
		}
		role = run->state == WAITING ? DC_RUN_LEADER : DC_RUN_HELPER;
		if (role == DC_RUN_LEADER)
		{
			run->state = PLANNING;
			run->plannings++;
		}
		run->workers++;
		*request = run->request;
		joined = run;
		forget_own();
		more = has_tasks_locked(run) &&
			run->ngiven_back + tasks_of(run) - run->next_task > 1;
	}
	LWLockRelease(&shared->lock);

	/* who has come has taken the demand; there is work for another one, too */
	if (more)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
	return role;
}

/* Tell others of the plan, and let them help. */
void
dc_run_set_plan(const DcRunPlan *plan)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	joined->plan = *plan;
	joined->state = RUNNING;
	LWLockRelease(&shared->lock);
	if (plan->nsets + plan->nchunks > 1)
	{
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
		dc_demand_wake_launcher();
	}
	ConditionVariableBroadcast(&shared->moved);
}

/* The plan of the run joined. */
void
dc_run_get_plan(DcRunPlan *plan)
{
	LWLockAcquire(&shared->lock, LW_SHARED);
	*plan = joined->plan;
	LWLockRelease(&shared->lock);
}

/* Take a task; the last one is done.  False if there is none left. */
bool
dc_run_next_task(int *task)
{
	int64		put_off = put_off_before + of_task.put_off;
	bool		found;

	forget_own();
	put_off_before = put_off;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	found = has_tasks_locked(joined);
	if (found)
		own_task = *task = joined->ngiven_back > 0 ?
			joined->given_back[--joined->ngiven_back] : joined->next_task++;
	LWLockRelease(&shared->lock);
	return found;
}

/* Is the run joined to end? */
bool
dc_run_is_cancelled(void)
{
	bool		cancelled;

	LWLockAcquire(&shared->lock, LW_SHARED);
	cancelled = joined->cancelled;
	LWLockRelease(&shared->lock);
	return cancelled;
}

/* Count entries that are done. */
void
dc_run_count(int64 warmed, int64 already_current, int64 failed)
{
	pg_atomic_fetch_add_u64(&joined->warmed, warmed);
	pg_atomic_fetch_add_u64(&joined->already_current, already_current);
	pg_atomic_fetch_add_u64(&joined->failed, failed);
	of_task.warmed += warmed;
	of_task.already_current += already_current;
	of_task.failed += failed;
	ConditionVariableBroadcast(&shared->moved);
}

/* Put off an entry, or (-1) take it up again once all tasks are done. */
void
dc_run_put_off(int entries)
{
	if (own_task >= 0)
		of_task.put_off += entries;
	else
		put_off_before += entries;
}

/* Remember what has gone wrong. */
void
dc_run_set_error(const char *message)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (!joined->cancelled)
		strlcpy(joined->last_error, message,
				pg_mbcliplen(message, strlen(message), sizeof(joined->last_error) - 1) + 1);
	LWLockRelease(&shared->lock);
}

/*
 * Leave the run.  "failed": because it cannot be worked on; if nobody else
 * does, that is its end.  True for the last one, who has to write down "final"
 * and then call dc_run_end(); the run is still his until then.
 */
bool
dc_run_leave(bool failed, DcRunProgress *final)
{
	bool		last;
	bool		tasks_left;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (failed && joined->workers == 1)
		joined->cancelled = true;
	tasks_left = has_tasks_locked(joined);
	last = joined->state == RUNNING && joined->workers == 1 &&
		!tasks_left;
	if (last)
	{
		joined->state = FINISHING;
		copy_progress(joined, final);
	}
	else
	{
		joined->workers--;
		joined = NULL;
	}
	LWLockRelease(&shared->lock);
	if (tasks_left && !failed)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
	return last;
}

/* Give back the slot of a run whose result is written down. */
void
dc_run_end(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	joined->workers--;
	joined->state = FREE;
	joined = NULL;
	LWLockRelease(&shared->lock);
	ConditionVariableBroadcast(&shared->moved);
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

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < RUNS; i++)
	{
		DcSharedRun *run = &shared->runs[i];

		if (run->state == FREE || run->request.database != database)
			continue;
		if (has_tasks_locked(run))
			useful += run->workers + run->ngiven_back + tasks_of(run) - run->next_task;
		else
			useful += Max(run->workers, 1);
	}
	LWLockRelease(&shared->lock);
	return useful;
}

/* A database is no more: its runs end. */
void
dc_run_forget(Oid database)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < RUNS; i++)
	{
		if (shared->runs[i].request.database == database)
			shared->runs[i].state = FREE;
	}
	LWLockRelease(&shared->lock);
	ConditionVariableBroadcast(&shared->moved);
}
