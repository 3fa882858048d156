/*-------------------------------------------------------------------------
 *
 * run_internal.h
 *		Runs, as they are in shared memory: for run.c and run_work.c alone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_RUN_INTERNAL_H
#define DASHCACHE_RUN_INTERNAL_H

#include "warm/run.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#define MAX_RUNS 32

/* How often a run is planned anew whose planner was terminated. */
#define MAX_PLANNINGS 3

/* How many tasks may be given back: one may be what ends its workers. */
#define MAX_GIVEN_BACK 16

typedef enum RunState
{
	RUN_FREE,
	RUN_WAITING,				/* for a worker to plan it */
	RUN_PLANNING,
	RUN_RUNNING,
	RUN_FINISHING				/* its result is being written down */
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
	DcSharedRun runs[MAX_RUNS];
} DcSharedRuns;

extern DcSharedRuns *dc_runs;

extern void dc_run_copy_progress(DcSharedRun *run, DcRunProgress *progress);

/* How many tasks a run has, once it is planned. */
static inline int
dc_run_tasks(const DcSharedRun *run)
{
	return run->plan.nsets + run->plan.nchunks;
}

/* Has it been forgotten while workers were at it?  Then nobody finds it. */
static inline bool
dc_run_is_forgotten(const DcSharedRun *run)
{
	return !OidIsValid(run->request.database);
}

/* Are there tasks that nobody has taken? */
static inline bool
dc_run_has_tasks_locked(const DcSharedRun *run)
{
	return run->state == RUN_RUNNING && !run->cancelled &&
		(run->ngiven_back > 0 || run->next_task < dc_run_tasks(run));
}

#endif							/* DASHCACHE_RUN_INTERNAL_H */
