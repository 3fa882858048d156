/*-------------------------------------------------------------------------
 *
 * demand.c
 *		What background work there is, by database.
 *
 * A slot in shared memory for each database in which there ever was any: the
 * kinds of work as bits, and the time of the next work that is known ahead.
 * Whoever finds that there is something to do sets a bit, and if it was not
 * set wakes the launcher (warm/launcher.c), which sees to it that a worker
 * takes it.  So a thousand changes in a second cost one waking-up.
 *
 * A slot belongs to its database until that is dropped.  With all slots taken,
 * the databases that come too late are not worked for.
 *
 * Locking: taking and giving back a slot, and the times, under "lock".  The bits
 * are atomics.  "database" is read without a lock: only the own database's
 * matters to a backend, and nobody gives that back while it is connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "demand.h"

#include "hit_path.h"
#include "preload.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#define SLOTS 256

typedef struct DcSharedDemand
{
	Oid			database;		/* InvalidOid: free */
	pg_atomic_uint32 what;
	pg_atomic_uint32 wants;
	TimestampTz due;			/* when jobs are */
	TimestampTz look_at;		/* when changes are to be looked at again */
	TimestampTz repair_at;		/* when widgets of a dump are */
} DcSharedDemand;

typedef struct DcSharedDemands
{
	LWLock		lock;
	Latch	   *launcher;		/* NULL: there is none now */
	pg_atomic_uint32 wants;		/* of any database, ever: asked first */
	DcSharedDemand slots[SLOTS];
} DcSharedDemands;

static DcSharedDemands *shared = NULL;

/* The own database's slot, once it is known. */
static DcSharedDemand *own = NULL;

/* Has this transaction changed jobs or settings? */
static bool plan_at_commit = false;

/* Has it brought definitions from elsewhere? */
static bool repair_at_commit = false;

/* How many bytes of shared memory this takes. */
Size
dc_demand_shmem_size(void)
{
	return sizeof(DcSharedDemands);
}

/* Make empty slots at "place"; once, by the postmaster. */
void
dc_demand_shmem_init(void *place)
{
	shared = place;
	LWLockInitialize(&shared->lock, LWLockNewTrancheId());
	shared->launcher = NULL;
	pg_atomic_init_u32(&shared->wants, 0);
	for (int i = 0; i < SLOTS; i++)
	{
		DcSharedDemand *slot = &shared->slots[i];

		slot->database = InvalidOid;
		slot->due = DT_NOEND;
		slot->look_at = DT_NOEND;
		slot->repair_at = DT_NOEND;
		pg_atomic_init_u32(&slot->what, 0);
		pg_atomic_init_u32(&slot->wants, 0);
	}
}

/* Learn where the slots are; in every process. */
void
dc_demand_attach(void *place)
{
	shared = place;
	LWLockRegisterTranche(shared->lock.tranche, "dashcache_demand");
}

/* The slot of a database; NULL if it has none and "take" is false or in vain. */
static DcSharedDemand *
slot_of(Oid database, bool take)
{
	DcSharedDemand *found = NULL;

	if (own != NULL && own->database == database)
		return own;

	LWLockAcquire(&shared->lock, take ? LW_EXCLUSIVE : LW_SHARED);
	for (int i = 0; i < SLOTS; i++)
	{
		DcSharedDemand *slot = &shared->slots[i];

		if (slot->database == database)
		{
			found = slot;
			break;
		}
		if (found == NULL && take && !OidIsValid(slot->database))
			found = slot;
	}
	if (found != NULL && found->database != database)
	{
		found->due = DT_NOEND;
		found->look_at = DT_NOEND;
		found->repair_at = DT_NOEND;
		pg_atomic_write_u32(&found->what, 0);
		pg_atomic_write_u32(&found->wants, 0);
		found->database = database;
	}
	LWLockRelease(&shared->lock);

	if (database == MyDatabaseId)
		own = found;
	return found;
}

/*
 * There is work of these kinds for a database.  Throws nothing; false if
 * nobody will do it.
 */
bool
dc_demand(Oid database, uint32 what)
{
	DcSharedDemand *slot;
	uint32		before;

	do
	{
		slot = dc_preloaded ? slot_of(database, true) : NULL;
		if (slot == NULL)
			return false;
		before = pg_atomic_fetch_or_u32(&slot->what, what);
		/* it may be given back at this moment: see dc_demand_forget() */
	} while (*(Oid volatile *) &slot->database != database);
	if ((before & what) != what)
		dc_demand_wake_launcher();
	return true;
}

static void
demand_if_wanted(uint32 wants, uint32 what)
{
	DcSharedDemand *slot;

	if ((pg_atomic_read_u32(&shared->wants) & wants) == 0)
		return;
	slot = slot_of(MyDatabaseId, false);
	if (slot != NULL && (pg_atomic_read_u32(&slot->wants) & wants) != 0)
		(void) dc_demand(MyDatabaseId, what);
}

/* This transaction's changes have become visible; nothing may be thrown. */
void
dc_demand_changes(void)
{
	if (dc_preloaded)
		demand_if_wanted(DC_WANTS_CHANGES, DC_DEMAND_CHANGES);
}

/* An answer has come to be in use. */
void
dc_demand_uses(void)
{
	if (dc_preloaded)
		demand_if_wanted(DC_WANTS_USES, DC_DEMAND_USES);
}

/* This transaction changes jobs or settings: have them looked at afterwards. */
void
dc_demand_at_commit(void)
{
	plan_at_commit = true;
}

/* This transaction brings definitions from elsewhere: the same, in a while. */
void
dc_demand_repair_at_commit(void)
{
	repair_at_commit = true;
}

/* The end of a transaction; nothing may be thrown. */
DC_HIT_PATH void
dc_demand_at_xact(XactEvent event)
{
	if ((!plan_at_commit && !repair_at_commit) ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE &&
		 event != XACT_EVENT_ABORT))
		return;
	if (plan_at_commit && event != XACT_EVENT_ABORT)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_PLAN);
	if (repair_at_commit && event != XACT_EVENT_ABORT)
		dc_demand_repair(GetCurrentTimestamp() + DC_REPAIR_DELAY_US);
	plan_at_commit = repair_at_commit = false;
}

/*
 * Have widgets that come from elsewhere looked at, at that time; unless another
 * time is set already.  Throws nothing.
 */
void
dc_demand_repair(TimestampTz at)
{
	DcSharedDemand *slot = dc_preloaded ? slot_of(MyDatabaseId, true) : NULL;
	bool		set;

	if (slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	set = slot->repair_at == DT_NOEND;
	if (set)
		slot->repair_at = at;
	LWLockRelease(&shared->lock);
	if (set)
		dc_demand_wake_launcher();
}

/* Something has been done that looks like a restore: it is not at its end. */
void
dc_demand_put_off_repair(void)
{
	DcSharedDemand *slot = dc_preloaded ? slot_of(MyDatabaseId, false) : NULL;

	if (slot == NULL || slot->repair_at == DT_NOEND)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (slot->repair_at != DT_NOEND)
		slot->repair_at = GetCurrentTimestamp() + DC_REPAIR_DELAY_US;
	LWLockRelease(&shared->lock);
}

/* Take the own database's work of these kinds: no other worker will. */
uint32
dc_demand_take(uint32 mask)
{
	DcSharedDemand *slot = slot_of(MyDatabaseId, false);

	if (slot == NULL || (pg_atomic_read_u32(&slot->what) & mask) == 0)
		return 0;
	return pg_atomic_fetch_and_u32(&slot->what, ~mask) & mask;
}

/* What there is to do for a database. */
uint32
dc_demand_of(Oid database)
{
	DcSharedDemand *slot = slot_of(database, false);

	return slot == NULL ? 0 : pg_atomic_read_u32(&slot->what);
}

/* Say when there will next be something to do in the own database. */
void
dc_demand_set_due(TimestampTz due)
{
	DcSharedDemand *slot = slot_of(MyDatabaseId, true);

	if (slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot->due = due;
	LWLockRelease(&shared->lock);
	dc_demand_wake_launcher();
}

/* Have changes of the own database looked at again at that time. */
void
dc_demand_set_look(TimestampTz at)
{
	DcSharedDemand *slot = slot_of(MyDatabaseId, true);

	if (slot == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot->look_at = Min(slot->look_at, at);
	LWLockRelease(&shared->lock);
	dc_demand_wake_launcher();
}

/*
 * Say what the own database's dashboards want to be told.  Of what is new there
 * may have been some already, and nobody has told.
 */
void
dc_demand_set_wants(uint32 wants)
{
	DcSharedDemand *slot = slot_of(MyDatabaseId, true);
	uint32		more;

	if (slot == NULL)
		return;
	(void) pg_atomic_fetch_or_u32(&shared->wants, wants);
	more = wants & ~pg_atomic_exchange_u32(&slot->wants, wants);
	if (more & DC_WANTS_CHANGES)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_CHANGES);
	if (more & DC_WANTS_USES)
		(void) dc_demand(MyDatabaseId, DC_DEMAND_USES);
}

/*
 * All databases that have a slot, as of "now"; returns how many.  Times that
 * have come for looking at something become demand.
 */
int
dc_demand_list(DcDemand *list, int capacity, TimestampTz now)
{
	int			n = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS && n < capacity; i++)
	{
		DcSharedDemand *slot = &shared->slots[i];

		if (!OidIsValid(slot->database))
			continue;
		if (slot->look_at <= now)
		{
			slot->look_at = DT_NOEND;
			pg_atomic_fetch_or_u32(&slot->what, DC_DEMAND_CHANGES);
		}
		if (slot->repair_at <= now)
		{
			slot->repair_at = DT_NOEND;
			pg_atomic_fetch_or_u32(&slot->what, DC_DEMAND_REPAIR);
		}
		list[n].database = slot->database;
		list[n].what = pg_atomic_read_u32(&slot->what);
		list[n].due = slot->due;
		list[n].look_at = Min(slot->look_at, slot->repair_at);
		n++;
	}
	LWLockRelease(&shared->lock);
	return n;
}

/*
 * A database is no more ("gone"), or has nothing to work for: give back its
 * slot.  In the latter case somebody may be setting a bit; either he finds the
 * slot given back and takes another one, or his bit is found here, and the slot
 * is kept.
 */
void
dc_demand_forget(Oid database, bool gone)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
	{
		DcSharedDemand *slot = &shared->slots[i];

		if (slot->database != database)
			continue;
		slot->database = InvalidOid;
		pg_memory_barrier();
		if (!gone && pg_atomic_read_u32(&slot->what) != 0)
			slot->database = database;
	}
	LWLockRelease(&shared->lock);
}

/* The launcher comes, or goes (NULL). */
void
dc_demand_set_launcher(Latch *latch)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->launcher = latch;
	LWLockRelease(&shared->lock);
}

/* Have the launcher look at what there is to do. */
void
dc_demand_wake_launcher(void)
{
	/* latches of processes live on: the worst is a waking-up for nothing */
	Latch	   *latch = *(Latch *volatile *) &shared->launcher;

	if (latch != NULL)
		SetLatch(latch);
}
