/*-------------------------------------------------------------------------
 *
 * run_work.c
 *		Taking part in a run, as workers do.
 *
 * The last worker to leave a run writes down how it went (warm/jobs.c) and
 * gives back the slot.  A worker that is terminated leaves on its way out, and
 * gives back the task it was at, for another one; what it had put off counts as
 * failed.  If it was the last, the launcher sends another one, to go on.
 *
 * Locking: as in run.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/run.h"

#include "demand.h"
#include "warm/run_internal.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"

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

/* Nobody has to finish what is forgotten. */
static void
free_if_left_locked(DcSharedRun *run)
{
	if (run->workers == 0)
		run->state = RUN_FREE;
}

/* Leave on the way out. */
static void
leave_at_exit(int code, Datum arg)
{
	if (joined == NULL)
		return;
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	joined->workers--;
	if (own_task >= 0)
		give_back_locked();
	if (put_off_before > 0)
		lose_locked(put_off_before);
	if (dc_run_is_forgotten(joined))
		free_if_left_locked(joined);
	else if (joined->state == RUN_PLANNING)
	{
		if (joined->plannings < MAX_PLANNINGS)
			joined->state = RUN_WAITING;
		else
		{
			joined->state = RUN_RUNNING;
			joined->cancelled = true;
			lose_locked(0);
		}
	}
	else if (joined->state == RUN_FINISHING)
		joined->state = RUN_RUNNING;
	LWLockRelease(&dc_runs->lock);
	joined = NULL;
	(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
}

/* Is there something to do for one more worker, be it only to finish? */
static bool
wants_worker_locked(const DcSharedRun *run)
{
	return run->state == RUN_WAITING || dc_run_has_tasks_locked(run) ||
		(run->state == RUN_RUNNING && run->workers == 0);
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

	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_RUNS && !more; i++)
	{
		DcSharedRun *run = &dc_runs->runs[i];

		if (run->request.database != MyDatabaseId || !wants_worker_locked(run))
			continue;
		if (role != DC_RUN_NONE)
		{
			more = true;
			continue;
		}
		role = run->state == RUN_WAITING ? DC_RUN_LEADER : DC_RUN_HELPER;
		if (role == DC_RUN_LEADER)
		{
			run->state = RUN_PLANNING;
			run->plannings++;
		}
		run->workers++;
		*request = run->request;
		joined = run;
		forget_own();
		more = dc_run_has_tasks_locked(run) &&
			run->ngiven_back + dc_run_tasks(run) - run->next_task > 1;
	}
	LWLockRelease(&dc_runs->lock);

	/* who has come has taken the demand; there is work for another one, too */
	if (more)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
	return role;
}

/* Tell others of the plan, and let them help. */
void
dc_run_set_plan(const DcRunPlan *plan)
{
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	joined->plan = *plan;
	joined->state = RUN_RUNNING;
	LWLockRelease(&dc_runs->lock);
	if (plan->nsets + plan->nchunks > 1)
	{
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
		dc_demand_wake_launcher();
	}
	ConditionVariableBroadcast(&dc_runs->moved);
}

/* The plan of the run joined. */
void
dc_run_get_plan(DcRunPlan *plan)
{
	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	*plan = joined->plan;
	LWLockRelease(&dc_runs->lock);
}

/* Take a task; the last one is done.  False if there is none left. */
bool
dc_run_next_task(int *task)
{
	int64		put_off = put_off_before + of_task.put_off;
	bool		found;

	forget_own();
	put_off_before = put_off;

	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	found = dc_run_has_tasks_locked(joined);
	if (found)
		own_task = *task = joined->ngiven_back > 0 ?
			joined->given_back[--joined->ngiven_back] : joined->next_task++;
	LWLockRelease(&dc_runs->lock);
	return found;
}

/* Is the run joined to end? */
bool
dc_run_is_cancelled(void)
{
	bool		cancelled;

	LWLockAcquire(&dc_runs->lock, LW_SHARED);
	cancelled = joined->cancelled;
	LWLockRelease(&dc_runs->lock);
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
	ConditionVariableBroadcast(&dc_runs->moved);
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
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	if (!joined->cancelled)
		strlcpy(joined->last_error, message,
				pg_mbcliplen(message, strlen(message), sizeof(joined->last_error) - 1) + 1);
	LWLockRelease(&dc_runs->lock);
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

	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	if (failed && joined->workers == 1)
		joined->cancelled = true;
	tasks_left = dc_run_has_tasks_locked(joined);
	last = joined->state == RUN_RUNNING && joined->workers == 1 &&
		!tasks_left && !dc_run_is_forgotten(joined);
	if (last)
	{
		joined->state = RUN_FINISHING;
		dc_run_copy_progress(joined, final);
	}
	else
	{
		joined->workers--;
		if (dc_run_is_forgotten(joined))
			free_if_left_locked(joined);
		joined = NULL;
	}
	LWLockRelease(&dc_runs->lock);
	if (tasks_left && !failed)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_RUNS);
	return last;
}

/* Give back the slot of a run whose result is written down. */
void
dc_run_end(void)
{
	LWLockAcquire(&dc_runs->lock, LW_EXCLUSIVE);
	joined->workers--;
	joined->state = RUN_FREE;
	joined = NULL;
	LWLockRelease(&dc_runs->lock);
	ConditionVariableBroadcast(&dc_runs->moved);
}
