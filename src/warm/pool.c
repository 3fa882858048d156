/*-------------------------------------------------------------------------
 *
 * pool.c
 *		The workers that run now, and who keeps them out of a database.
 *
 * A worker enters itself here when it has been started, and is taken out when
 * it ends, however it ends.
 *
 * Holds.  DROP DATABASE, CREATE DATABASE ... TEMPLATE and their like need a
 * database that nobody is connected to, and DROP EXTENSION needs tables that
 * nobody reads.  They take a hold (warm/utility.c): the workers in that
 * database are terminated, and none enters it until the hold is given back.  A
 * backend has at most one; it goes with the backend.
 *
 * Locking: all under "lock", but for the flags that say so.  "ended" is
 * broadcast when a worker has left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/pool.h"

#include "demand.h"
#include "guc.h"
#include "hit_path.h"
#include "preload.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include <signal.h>

/* How long a hold waits for workers that have been told to go. */
#define HOLD_TIMEOUT_MS 30000

#define HOLDS 16

typedef struct DcSharedWorker
{
	pid_t		pid;			/* 0: free */
	Oid			database;
	Latch	   *latch;
	bool		ready;			/* has begun to look for work */
	bool		idle;			/* waits for something to do */
	bool		told;			/* to go, by a hold */
	int64		run;			/* that it works on; 0: none */
} DcSharedWorker;

typedef struct DcSharedHold
{
	pid_t		pid;			/* 0: free */
	Oid			database;
} DcSharedHold;

typedef struct DcSharedPool
{
	LWLock		lock;
	ConditionVariable ended;
	pg_atomic_uint32 others_wait;	/* DcWait */
	pg_atomic_uint32 list;		/* the launcher is to list the databases */
	pg_atomic_uint32 listed;	/* it has done so since the server was started */
	DcSharedWorker workers[DC_MAX_WORKERS];
	DcSharedHold holds[HOLDS];

	/* the latest that ended as they should; a ring */
	pid_t		clean[DC_MAX_WORKERS];
	uint32		nclean;
} DcSharedPool;

static DcSharedPool *pool = NULL;

/* This process's own, if it is a worker or has a hold. */
static DcSharedWorker *own_worker = NULL;
static DcSharedHold *own_hold = NULL;

/* The nesting level of the transaction that has taken it. */
static int	own_hold_level = 0;

/* How many bytes of shared memory this takes. */
Size
dc_pool_shmem_size(void)
{
	return sizeof(DcSharedPool);
}

/* Make an empty pool at "place"; once, by the postmaster. */
void
dc_pool_shmem_init(void *place)
{
	pool = place;
	memset(pool, 0, sizeof(*pool));
	LWLockInitialize(&pool->lock, LWLockNewTrancheId());
	ConditionVariableInit(&pool->ended);
	pg_atomic_init_u32(&pool->others_wait, 0);
	pg_atomic_init_u32(&pool->list, 0);
	pg_atomic_init_u32(&pool->listed, 0);
}

/* Learn where the pool is; in every process. */
void
dc_pool_attach(void *place)
{
	pool = place;
	LWLockRegisterTranche(pool->lock.tranche, "dashcache_pool");
}

static bool
is_held_locked(Oid database)
{
	for (int i = 0; i < HOLDS; i++)
	{
		if (pool->holds[i].pid != 0 && pool->holds[i].database == database)
			return true;
	}
	return false;
}

/*-------------------------------------------------------------------------
 * Workers
 *-------------------------------------------------------------------------
 */

static void
leave(int code, Datum arg)
{
	Oid			database;
	bool		held;

	if (own_worker == NULL)
		return;
	database = own_worker->database;
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	held = is_held_locked(database);
	/* who is told to go has not failed */
	if (held)
		pool->clean[pool->nclean++ % DC_MAX_WORKERS] = MyProcPid;
	own_worker->pid = 0;
	LWLockRelease(&pool->lock);
	own_worker = NULL;
	/* should the database still be there, what was taken is to be done */
	if (held)
		(void) dc_demand(database, DC_DEMAND_PLAN | DC_DEMAND_RUNS |
						 DC_DEMAND_CHANGES | DC_DEMAND_USES | DC_DEMAND_REFRESH);
	ConditionVariableBroadcast(&pool->ended);
	/* the postmaster tells only the launcher that has started us */
	dc_demand_wake_launcher();
}

/*
 * Enter this process as a worker for a database.  False if it is kept out; the
 * caller must not connect then.
 */
bool
dc_pool_enter(Oid database)
{
	bool		held;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	held = is_held_locked(database);
	for (int i = 0; i < DC_MAX_WORKERS && !held && own_worker == NULL; i++)
	{
		DcSharedWorker *worker = &pool->workers[i];

		if (worker->pid == 0)
		{
			worker->pid = MyProcPid;
			worker->database = database;
			worker->latch = MyLatch;
			worker->ready = false;
			worker->idle = false;
			worker->told = false;
			worker->run = 0;
			own_worker = worker;
		}
	}
	LWLockRelease(&pool->lock);

	if (own_worker == NULL)
		return false;

	/*
	 * Not before_shmem_exit: who waits for us to be gone waits for us to be
	 * disconnected, too.
	 */
	on_shmem_exit(leave, (Datum) 0);
	return true;
}

static void
note_clean_locked(pid_t pid)
{
	pool->clean[pool->nclean++ % DC_MAX_WORKERS] = pid;
}

/* Note that this worker ends because it has nothing more to do. */
void
dc_pool_leave_clean(void)
{
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	note_clean_locked(MyProcPid);
	LWLockRelease(&pool->lock);
}

/* Did that worker end because it had nothing more to do, or was told to go? */
bool
dc_pool_ended_clean(pid_t pid)
{
	bool		clean = false;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
		clean |= pool->clean[i] == pid;
	LWLockRelease(&pool->lock);
	return clean;
}

/* Say whether this worker waits for something to do. */
void
dc_pool_set_idle(bool idle)
{
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	own_worker->idle = idle;
	LWLockRelease(&pool->lock);
}

/* Say which run this worker works on; 0: none. */
void
dc_pool_set_run(int64 run)
{
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	own_worker->run = run;
	LWLockRelease(&pool->lock);
}

/* Say that this worker looks for work from now on. */
void
dc_pool_set_ready(void)
{
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	own_worker->ready = true;
	LWLockRelease(&pool->lock);
}

/* How many workers there are in a database. */
int
dc_pool_of_database(Oid database)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
		n += pool->workers[i].pid != 0 && pool->workers[i].database == database;
	LWLockRelease(&pool->lock);
	return n;
}

/* How many workers look for work in a database, or have found some. */
int
dc_pool_ready(Oid database)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
		n += pool->workers[i].pid != 0 && pool->workers[i].ready &&
			pool->workers[i].database == database;
	LWLockRelease(&pool->lock);
	return n;
}

/* How many workers there are. */
int
dc_pool_count(void)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
		n += pool->workers[i].pid != 0;
	LWLockRelease(&pool->lock);
	return n;
}

/* Wake a worker that waits in that database; false if none does. */
bool
dc_pool_wake_idle(Oid database)
{
	bool		found = false;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DC_MAX_WORKERS && !found; i++)
	{
		DcSharedWorker *worker = &pool->workers[i];

		if (worker->pid != 0 && worker->database == database && worker->idle)
		{
			worker->idle = false;
			SetLatch(worker->latch);
			found = true;
		}
	}
	LWLockRelease(&pool->lock);
	return found;
}

/* The processes of all workers; returns how many. */
int
dc_pool_list(int *pids, int capacity)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS && n < capacity; i++)
	{
		if (pool->workers[i].pid != 0)
			pids[n++] = pool->workers[i].pid;
	}
	LWLockRelease(&pool->lock);
	return n;
}

/* The processes that work on a run of this database; returns how many. */
int
dc_pool_of_run(int64 run, int *pids, int capacity)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS && n < capacity; i++)
	{
		if (pool->workers[i].pid != 0 && pool->workers[i].run == run &&
			pool->workers[i].database == MyDatabaseId)
			pids[n++] = pool->workers[i].pid;
	}
	LWLockRelease(&pool->lock);
	return n;
}

/*
 * Tell workers whom other databases wait for; those that have nothing to do, at
 * once.
 */
void
dc_pool_set_others_wait(DcWait wait)
{
	if (pg_atomic_exchange_u32(&pool->others_wait, wait) != DC_WAIT_NONE ||
		wait == DC_WAIT_NONE)
		return;
	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
	{
		if (pool->workers[i].pid != 0 && pool->workers[i].idle)
			SetLatch(pool->workers[i].latch);
	}
	LWLockRelease(&pool->lock);
}

/* Whom do other databases wait for? */
DcWait
dc_pool_others_wait(void)
{
	return pg_atomic_read_u32(&pool->others_wait);
}

/* Databases have come or gone: have the launcher list them. */
void
dc_pool_ask_to_list(void)
{
	pg_atomic_write_u32(&pool->list, 1);
	dc_demand_wake_launcher();
}

/* Is the launcher to list the databases?  Asking answers it. */
bool
dc_pool_is_asked_to_list(void)
{
	return pg_atomic_exchange_u32(&pool->list, 0) != 0;
}

/* Is this the first time since the start of the server?  Asking ends it. */
bool
dc_pool_is_first_list(void)
{
	return pg_atomic_exchange_u32(&pool->listed, 1) == 0;
}

/*-------------------------------------------------------------------------
 * Holds
 *-------------------------------------------------------------------------
 */

static void
release_at_exit(int code, Datum arg)
{
	dc_pool_release();
}

/* Tell the workers in a database to go; returns how many there are. */
static int
terminate_workers(Oid database)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DC_MAX_WORKERS; i++)
	{
		DcSharedWorker *worker = &pool->workers[i];

		if (worker->pid != 0 && worker->database == database)
		{
			if (!worker->told)
				note_clean_locked(worker->pid);
			worker->told = true;
			(void) kill(worker->pid, SIGTERM);
			n++;
		}
	}
	LWLockRelease(&pool->lock);
	return n;
}

/*
 * Keep workers out of a database until dc_pool_release(), and wait until those
 * that are there have gone.  Should one take too long, the caller goes on, and
 * the server tells him what it thinks of that.
 */
void
dc_pool_hold(Oid database)
{
	static bool registered = false;
	TimestampTz start = GetCurrentTimestamp();

	if (!dc_preloaded || own_hold != NULL)
		return;
	if (!registered)
	{
		before_shmem_exit(release_at_exit, (Datum) 0);
		registered = true;
	}

	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	for (int i = 0; i < HOLDS && own_hold == NULL; i++)
	{
		if (pool->holds[i].pid == 0)
		{
			own_hold = &pool->holds[i];
			own_hold->pid = MyProcPid;
			own_hold->database = database;
			own_hold_level = GetCurrentTransactionNestLevel();
		}
	}
	LWLockRelease(&pool->lock);

	ConditionVariablePrepareToSleep(&pool->ended);
	while (terminate_workers(database) > 0 &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), HOLD_TIMEOUT_MS))
		(void) ConditionVariableTimedSleep(&pool->ended, 1000, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* Let workers in again.  Throws nothing. */
DC_HIT_PATH void
dc_pool_release(void)
{
	if (own_hold == NULL)
		return;
	LWLockAcquire(&pool->lock, LW_EXCLUSIVE);
	own_hold->pid = 0;
	LWLockRelease(&pool->lock);
	own_hold = NULL;
	dc_demand_wake_launcher();
}

/* A hold ends with its subtransaction, if that fails.  Throws nothing. */
void
dc_pool_subxact_ends(bool commit)
{
	int			level = GetCurrentTransactionNestLevel();

	if (own_hold == NULL || own_hold_level < level)
		return;
	if (commit)
		own_hold_level = level - 1;
	else
		dc_pool_release();
}

/* The processes that keep workers out of this database; returns how many. */
int
dc_pool_holders(int *pids, int capacity)
{
	int			n = 0;

	LWLockAcquire(&pool->lock, LW_SHARED);
	for (int i = 0; i < HOLDS && n < capacity; i++)
	{
		if (pool->holds[i].pid != 0 && pool->holds[i].database == MyDatabaseId)
			pids[n++] = pool->holds[i].pid;
	}
	LWLockRelease(&pool->lock);
	return n;
}

/* Are workers kept out of a database? */
bool
dc_pool_is_held(Oid database)
{
	bool		held;

	LWLockAcquire(&pool->lock, LW_SHARED);
	held = is_held_locked(database);
	LWLockRelease(&pool->lock);
	return held;
}
