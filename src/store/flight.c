/*-------------------------------------------------------------------------
 *
 * flight.c
 *		Single flight: one computes, the others wait.
 *
 * Of the sessions that miss the same entry at once one claims it, a "flight",
 * and the others wait on a condition variable until it is released.  What is
 * computed, and whether it is of use to those who have waited, is not known
 * here: they look in the cache again.
 *
 * There is one slot for each backend, since a backend has one flight at most:
 * one that is asked for another while it has one (a widget's query that reads
 * a widget through a function) neither claims nor waits.  So whoever waits has
 * none, and flights alone make no circle.  A flight is found by reading the
 * keys of all slots, an array of its own; that is only done after a miss.
 * Nothing is allocated, and nothing is left behind: a flight ends with its
 * backend at the latest.
 *
 * A key is a hash.  Two entries with the same one cost a needless wait.
 *
 * Deadlocks.  A waiter may hold a lock (LOCK TABLE, an ALTER TABLE before) that
 * the session which computes waits for, be it through others.  The server's
 * deadlock detector does not see who waits for a flight, so the waiter looks
 * for itself: when it has waited for deadlock_timeout, and again each time that
 * has passed, it follows those who wait for locks, and those who wait for
 * flights, from the session it waits for.  If that leads to itself, it stops
 * waiting.  Every circle that is not of locks alone has somebody who waits for
 * a flight in it, and so somebody who finds it.
 *
 * Locking: claiming takes one of a few LWLocks, chosen by the key, so that
 * only one claims a key.  A slot is written by its backend alone.  Releasing
 * takes no lock but the condition variable's spinlock, so that it can be done
 * in the cleanup after an error and at exit.  What a waiter reads of another's
 * slot may be of the next flight already; it then looks again, or waits in
 * vain until it has looked for deadlocks, never for ever.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/flight.h"

#include "compat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LOCKS 16

/* A backend's flight, and whose it waits for; written by that backend alone. */
typedef struct Slot
{
	/* counts the slot's flights, so that one is not taken for another */
	pg_atomic_uint64 number;
	/* the key of the latest flight whose answer could not be kept; 0: none */
	pg_atomic_uint64 unstored;
	/* the process ID, or that of the leader of a parallel query */
	pg_atomic_uint32 pid;
	/* one more than the number of the slot waited for; 0: none */
	pg_atomic_uint32 waits_for;
	ConditionVariable released;
} Slot;

typedef struct SharedFlights
{
	int			tranche;
	int			nslots;			/* set at start */
	LWLockPadded locks[LOCKS];
	Slot	   *slots;			/* behind the keys; the same in every process */
	/* what each slot's backend computes; 0: nothing */
	pg_atomic_uint64 keys[FLEXIBLE_ARRAY_MEMBER];
} SharedFlights;

static SharedFlights *shared = NULL;
static bool exit_registered = false;

/*
 * A slot for each backend, unless they took more than a sixteenth of the
 * memory.  Backends without one compute for themselves.
 */
static int
slots_for(Size memory)
{
	Size		most = memory / 16 / (sizeof(Slot) + sizeof(pg_atomic_uint64));

	return (int) Min((Size) MaxBackends, most);
}

static Size
keys_size(int nslots)
{
	return MAXALIGN(offsetof(SharedFlights, keys) +
					sizeof(pg_atomic_uint64) * nslots);
}

/* How many bytes of the "memory" bytes of dashcache the flights take. */
Size
dc_flight_shmem_size(Size memory)
{
	int			nslots = slots_for(memory);

	return keys_size(nslots) + sizeof(Slot) * nslots;
}

/* Make the slots at "place"; once, by the postmaster. */
void
dc_flight_shmem_init(void *place, Size memory)
{
	shared = place;
	shared->tranche = LWLockNewTrancheId();
	shared->nslots = slots_for(memory);
	shared->slots = (Slot *) ((char *) place + keys_size(shared->nslots));
	for (int i = 0; i < LOCKS; i++)
		LWLockInitialize(&shared->locks[i].lock, shared->tranche);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		pg_atomic_init_u64(&shared->keys[i], 0);
		pg_atomic_init_u64(&slot->number, 0);
		pg_atomic_init_u64(&slot->unstored, 0);
		pg_atomic_init_u32(&slot->pid, 0);
		pg_atomic_init_u32(&slot->waits_for, 0);
		ConditionVariableInit(&slot->released);
	}
}

/* Learn where the slots are; in every process. */
void
dc_flight_attach(void *place)
{
	shared = place;
	LWLockRegisterTranche(shared->tranche, "dashcache_flight");
}

/*
 * The process by which this one is known where locks are concerned: the leader
 * of its parallel query, if it works for one.
 */
static int
my_pid(void)
{
	return MyProc->lockGroupLeader != NULL ? MyProc->lockGroupLeader->pid : MyProcPid;
}

static void
end_flight(uint64 unstored)
{
	int			me = dc_my_proc_number();
	Slot	   *slot = &shared->slots[me];

	pg_atomic_write_u64(&slot->unstored, unstored);
	/* a full barrier: who finds the flight ended finds how it has */
	pg_atomic_exchange_u64(&shared->keys[me], 0);
	ConditionVariableBroadcast(&slot->released);
}

/* A backend that is terminated gets here without any other cleanup. */
static void
end_flight_at_exit(int code, Datum arg)
{
	int			me = dc_my_proc_number();

	pg_atomic_write_u32(&shared->slots[me].waits_for, 0);
	if (pg_atomic_read_u64(&shared->keys[me]) != 0)
		end_flight(0);
}

/* This backend's slot, or NULL if it has none. */
static Slot *
my_slot(void)
{
	int			me = dc_my_proc_number();
	Slot	   *slot;

	if (me >= shared->nslots)
		return NULL;
	slot = &shared->slots[me];
	if (!exit_registered)
	{
		/*
		 * Registered once, not for each flight: what is computed may register
		 * something, too, and only the latest can be taken back.
		 */
		before_shmem_exit(end_flight_at_exit, (Datum) 0);
		exit_registered = true;
	}
	pg_atomic_write_u32(&slot->pid, (uint32) my_pid());
	return slot;
}

/*
 * Claim the flight with a key, other than 0.  If somebody else has it, *other
 * says who.  After DC_FLIGHT_MINE the caller must see to it that
 * dc_flight_release() is called, also after an error; and it has to look in the
 * cache once more, as another's flight may have ended since it looked last.
 */
DcFlightClaim
dc_flight_claim(uint64 key, DcFlight *other)
{
	Slot	   *slot = my_slot();
	LWLock	   *lock = &shared->locks[key % LOCKS].lock;
	int			me = dc_my_proc_number();

	Assert(key != 0);
	if (slot == NULL || pg_atomic_read_u64(&shared->keys[me]) != 0)
		return DC_FLIGHT_NONE;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		if (pg_atomic_read_u64(&shared->keys[i]) != key)
			continue;
		pg_read_barrier();
		other->slot = i;
		other->number = pg_atomic_read_u64(&shared->slots[i].number);
		other->key = key;
		LWLockRelease(lock);
		return DC_FLIGHT_OTHER;
	}
	pg_atomic_fetch_add_u64(&slot->number, 1);
	pg_atomic_write_u64(&slot->unstored, 0);
	pg_atomic_exchange_u64(&shared->keys[me], key);
	LWLockRelease(lock);
	return DC_FLIGHT_MINE;
}

/*
 * End this backend's flight.  "unstored": there was an answer, and it could
 * not be kept, so that others need not try one after another.  Throws nothing.
 */
void
dc_flight_release(bool unstored)
{
	uint64		key = pg_atomic_read_u64(&shared->keys[dc_my_proc_number()]);

	Assert(key != 0);
	end_flight(unstored ? key : 0);
}

static bool
in_the_air(const DcFlight *flight)
{
	bool		same = pg_atomic_read_u64(&shared->keys[flight->slot]) == flight->key;

	pg_read_barrier();
	return same &&
		pg_atomic_read_u64(&shared->slots[flight->slot].number) == flight->number;
}

static DcFlightEnd
wait_for_end(const DcFlight *flight, TimestampTz deadline)
{
	Slot	   *slot = &shared->slots[flight->slot];
	TimestampTz look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   DeadlockTimeout);

	ConditionVariablePrepareToSleep(&slot->released);
	while (in_the_air(flight))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now >= deadline)
			return DC_FLIGHT_GIVEN_UP;
		if (now >= look)
		{
			if (dc_flight_blocked_by_me((int) pg_atomic_read_u32(&slot->pid)))
				return DC_FLIGHT_GIVEN_UP;
			look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   DeadlockTimeout);
		}
		(void) ConditionVariableTimedSleep(&slot->released,
										   TimestampDifferenceMilliseconds(now, Min(deadline, look)),
										   PG_WAIT_EXTENSION);
	}
	return pg_atomic_read_u64(&slot->unstored) == flight->key ?
		DC_FLIGHT_UNSTORED : DC_FLIGHT_ENDED;
}

/*
 * Wait for the end of somebody's flight, until "deadline" at most.  Can be
 * interrupted like any wait, and shows in pg_stat_activity as one for an
 * extension.
 */
DcFlightEnd
dc_flight_wait(const DcFlight *flight, TimestampTz deadline)
{
	Slot	   *mine = my_slot();
	volatile DcFlightEnd end = DC_FLIGHT_GIVEN_UP;

	pg_atomic_write_u32(&mine->waits_for, (uint32) flight->slot + 1);
	PG_TRY();
	{
		end = wait_for_end(flight, deadline);
	}
	PG_FINALLY();
	{
		ConditionVariableCancelSleep();
		pg_atomic_write_u32(&mine->waits_for, 0);
	}
	PG_END_TRY();
	return end;
}

/* Add the processes that "pid" waits for, because of a lock or of a flight. */
static List *
add_blockers(List *pids, int pid)
{
	ArrayType  *blockers =
	DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pid)));
	int32	   *blocker = (int32 *) ARR_DATA_PTR(blockers);
	int			n = ArrayGetNItems(ARR_NDIM(blockers), ARR_DIMS(blockers));

	for (int i = 0; i < n; i++)
	{
		/* 0 stands for prepared transactions, which wait for nobody */
		if (blocker[i] != 0)
			pids = list_append_unique_int(pids, blocker[i]);
	}
	for (int i = 0; shared != NULL && i < shared->nslots; i++)
	{
		uint32		other;

		if ((int) pg_atomic_read_u32(&shared->slots[i].pid) != pid)
			continue;
		other = pg_atomic_read_u32(&shared->slots[i].waits_for);
		if (other != 0 && pg_atomic_read_u64(&shared->keys[other - 1]) != 0)
			pids = list_append_unique_int(pids,
										  (int) pg_atomic_read_u32(&shared->slots[other - 1].pid));
	}
	return pids;
}

/*
 * Does the process "pid" wait for this one, be it through others, because of
 * locks and flights?  Takes all the locks of the lock manager for a moment, so
 * it is for who has waited for deadlock_timeout.
 */
bool
dc_flight_blocked_by_me(int pid)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "dashcache blockers",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *pids = list_make1_int(pid);
	int			me = my_pid();
	bool		found = false;

	for (int i = 0; i < list_length(pids); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (list_nth_int(pids, i) == me)
		{
			found = true;
			break;
		}
		pids = add_blockers(pids, list_nth_int(pids, i));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found;
}
