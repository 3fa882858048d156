/*-------------------------------------------------------------------------
 *
 * stamp.c
 *		Stamps: who has changed what an entry was computed from.
 *
 * A fixed array in shared memory.  The stamp of (what is watched, tenant) is
 * found by hashing; two that share a stamp cost each other needless misses
 * and never a wrong answer.  Nothing is allocated and nothing is evicted.  The
 * number by which others know a stamp is the hash; its place in the array follows
 * from that.  So a number says the same whatever the size of the memory, and may
 * outlive the server.
 *
 * A stamp tells which transactions have changed its tenant's rows, in the
 * order in which they announced it.  Writers announce themselves ("push")
 * before their commit can become visible, so whoever has taken a snapshot
 * finds in the stamp every writer which that snapshot sees.
 *
 * A push drops the oldest writer from the ring.  What must stay known of the
 * dropped ones is enough to decide, for a given snapshot, that all of them are
 * visible to it: see dc_stamp_view() in validity.c.
 *
 * Moves.  A writer finds the tenant of a row by following a path to another
 * table's row, in the latest snapshot.  Should a second transaction move that
 * other row to a new tenant at the same time, unseen by the first, and commit
 * before it, then the first has announced itself to the old tenant only, while
 * its row belongs to the new one.  So who moves such a row announces itself to
 * the new tenant with DC_WRITER_MOVES, and whoever first sees that writer as
 * ended takes note of the next transaction ID at that moment: every writer
 * that may have missed the move has a lower one.  Until they have all ended,
 * nothing is stored for that tenant ("unsettled").  Among those that have missed
 * the move may be one that has itself moved a row nearer to the beginning of
 * the path, and has so been missed by others in turn, which may be running by
 * then.  So for each hop between the moved row and the beginning there is one
 * more round: when the bound has been passed, it is set anew.
 *
 * Locking: a spinlock in each stamp, held for the copying of a dozen words.
 * dc_stamp_push() asks whether the dropped writer still runs, which may take
 * ProcArrayLock, before it takes the spinlock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "consistency/stamp.h"
#include "hit_path.h"
#include "mix.h"

#include "access/twophase.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"

typedef struct SharedStamps
{
	/* see dc_xid_settled(); 0: not known yet */
	pg_atomic_uint64 floor;
	/* see dc_stamp_pushes_of_all() */
	pg_atomic_uint64 pushes_of_all;
	uint32		nstamps;		/* a power of two; set at start */
	char		pad[PG_CACHE_LINE_SIZE - 20];
	DcSharedStamp stamps[FLEXIBLE_ARRAY_MEMBER];
} SharedStamps;

static DC_HIT_DATA SharedStamps *shared = NULL;

StaticAssertDecl(sizeof(DcSharedStamp) == 128, "a stamp fills two cache lines");

/* A sixteenth of the memory; at least 1024 stamps. */
static uint32
stamps_for(Size memory)
{
	Size		wanted = memory / (16 * sizeof(DcSharedStamp));

	return pg_prevpower2_32((uint32) Min(Max(wanted, 1024), 1 << 24));
}

/* How many bytes of the "memory" bytes of dashcache the stamps take. */
Size
dc_stamp_shmem_size(Size memory)
{
	return CACHELINEALIGN(offsetof(SharedStamps, stamps) +
						  sizeof(DcSharedStamp) * stamps_for(memory));
}

/* Make the stamps at "place"; once, by the postmaster. */
void
dc_stamp_shmem_init(void *place, Size memory)
{
	shared = place;
	pg_atomic_init_u64(&shared->floor, 0);
	pg_atomic_init_u64(&shared->pushes_of_all, 0);
	shared->nstamps = stamps_for(memory);
	for (uint32 i = 0; i < shared->nstamps; i++)
	{
		DcSharedStamp *stamp = &shared->stamps[i];

		memset(stamp, 0, sizeof(*stamp));
		SpinLockInit(&stamp->mutex);
		pg_atomic_init_u64(&stamp->version, 0);
	}
}

/* Learn where the stamps are; in every process. */
void
dc_stamp_attach(void *place)
{
	shared = place;
}

/*
 * What is watched, and in which database, so that "watch" need only be unique in it.
 * Two that have the same key share the stamps of all tenants, no more.
 */
uint32
dc_stamp_key(uint64 watch)
{
	return (uint32) dc_mix64(hash_combine64(watch, dc_mix64(MyDatabaseId)));
}

/*
 * The stamp of a number.  Those for every tenant have an eighth of all to
 * themselves.  There are few of them (one for each source and each definition), and
 * one that were shared with a busy tenant would cost all the others a miss at each
 * of its changes.
 */
static DC_HIT_PATH DcSharedStamp *
stamp_at(uint32 number)
{
	uint32		of_all = shared->nstamps / 8;
	uint64		others = shared->nstamps - of_all;

	if (number & DC_STAMP_OF_ALL)
		return &shared->stamps[number & (of_all - 1)];
	return &shared->stamps[of_all + (uint32) ((number * others) >> 31)];
}

/* The stamp of one tenant of what is watched. */
uint32
dc_stamp_of_tenant(uint64 watch, uint32 tenant_hash)
{
	return dc_stamp_of_key(dc_stamp_key(watch), tenant_hash);
}

/* The stamp for changes that touch every tenant of what is watched. */
uint32
dc_stamp_of_all(uint64 watch)
{
	return dc_stamp_of_key(dc_stamp_key(~watch), 0) | DC_STAMP_OF_ALL;
}

/*
 * Has a transaction with this ID ended neither way, as seen by snapshots that
 * are taken now?  A transaction in the middle of its commit still runs.
 */
bool
dc_xid_running(uint64 xid)
{
	uint64		next = dc_xid_next();

	/* Older than any transaction can be: its 32 bits mean another by now. */
	if (xid + PG_INT32_MAX < next)
		return false;
	return TransactionIdIsInProgress((TransactionId) xid);
}

/*
 * Announce a writer: its full transaction ID, perhaps marked as unversioned.
 * Returns the number of the push, also if it had been made before.  Called
 * before the writer's commit can become visible.  Throws nothing except through
 * a corrupted commit log.
 */
uint64
dc_stamp_push(uint32 stamp_number, uint64 writer)
{
	DcSharedStamp *stamp = stamp_at(stamp_number);
	uint64		asked = 0;
	uint64		asked_at = 0;
	bool		ended = false;

	for (;;)
	{
		uint64		version;
		uint64	   *slot;
		uint64		dropped;

		SpinLockAcquire(&stamp->mutex);
		version = pg_atomic_read_u64(&stamp->version);

		/* two stamps of one transaction may be one by collision */
		if (version > 0 &&
			stamp->ring[(version - 1) % DC_STAMP_RING] == writer)
		{
			SpinLockRelease(&stamp->mutex);
			return version - 1;
		}

		slot = &stamp->ring[version % DC_STAMP_RING];
		dropped = version >= DC_STAMP_RING ? DC_WRITER_XID(*slot) : 0;
		if (dropped == 0 || dropped == asked)
		{
			if (dropped != 0 && (*slot & DC_WRITER_MOVES))
			{
				stamp->moving = Max(stamp->moving, dropped);
				stamp->rounds = Max(stamp->rounds, DC_WRITER_ROUNDS(*slot));
			}
			if (dropped == 0)
				;
			else if (ended)
			{
				stamp->ended = Max(stamp->ended, dropped);
				stamp->ended_before = Max(stamp->ended_before, asked_at);
			}
			else
				stamp->unsettled = Max(stamp->unsettled, dropped);
			*slot = writer;
			/* whoever sees the new version without the lock sees no more */
			pg_atomic_write_u64(&stamp->version, version + 1);
			SpinLockRelease(&stamp->mutex);
			if (stamp_number & DC_STAMP_OF_ALL)
				pg_atomic_fetch_add_u64(&shared->pushes_of_all, 1);
			return version;
		}
		SpinLockRelease(&stamp->mutex);

		/* Not under the spinlock: this may take ProcArrayLock. */
		asked = dropped;
		ended = !dc_xid_running(dropped);
		asked_at = dc_xid_next();
	}
}

/* The number of pushes so far; no lock. */
DC_HIT_PATH uint64
dc_stamp_version(uint32 stamp_number)
{
	return pg_atomic_read_u64(&stamp_at(stamp_number)->version);
}

/*
 * The number of pushes so far on all stamps for every tenant together; no lock.  As
 * long as it does not change none of them has a new writer, for who looks at it
 * first: a push is counted after it is made, and before its commit can become
 * visible.
 */
DC_HIT_PATH uint64
dc_stamp_pushes_of_all(void)
{
	return pg_atomic_read_u64(&shared->pushes_of_all);
}

/* Copy a stamp. */
void
dc_stamp_read(uint32 stamp_number, DcStamp *copy)
{
	DcSharedStamp *stamp = stamp_at(stamp_number);

	SpinLockAcquire(&stamp->mutex);
	copy->version = pg_atomic_read_u64(&stamp->version);
	copy->ended = stamp->ended;
	copy->ended_before = stamp->ended_before;
	copy->unsettled = stamp->unsettled;
	copy->moving = stamp->moving;
	copy->rounds = stamp->rounds;
	memcpy(copy->ring, stamp->ring, sizeof(copy->ring));
	SpinLockRelease(&stamp->mutex);
}

/*
 * A move by "writer" (with its marks, or the newest that has left the ring) is
 * seen as ended: from now on all writers that may have missed it are known by
 * their IDs.
 */
void
dc_stamp_settle(uint32 stamp_number, uint64 writer)
{
	DcSharedStamp *stamp = stamp_at(stamp_number);
	uint64		next = dc_xid_next();

	SpinLockAcquire(&stamp->mutex);
	for (int i = 0; i < DC_STAMP_RING; i++)
	{
		if (stamp->ring[i] == writer)
			stamp->ring[i] &= ~DC_WRITER_MOVE(3);
	}
	stamp->rounds = Max(stamp->rounds, DC_WRITER_ROUNDS(writer));
	if (stamp->moving == writer)
		stamp->moving = 0;
	stamp->unsettled = Max(stamp->unsettled, next - 1);
	SpinLockRelease(&stamp->mutex);
}

/* The bound has been passed, and there is one more round to go. */
void
dc_stamp_next_round(uint32 stamp_number, uint64 passed)
{
	DcSharedStamp *stamp = stamp_at(stamp_number);
	uint64		next = dc_xid_next();

	SpinLockAcquire(&stamp->mutex);
	if (stamp->rounds > 0 && stamp->unsettled == passed)
	{
		stamp->rounds--;
		stamp->unsettled = next - 1;
	}
	SpinLockRelease(&stamp->mutex);
}

/*
 * The transaction ID to be assigned next, give or take: where 64 bits are read
 * in one piece, without the lock that every writer takes.
 */
DC_HIT_PATH uint64
dc_xid_next(void)
{
#ifdef PG_HAVE_8BYTE_SINGLE_COPY_ATOMICITY
	return ((volatile FullTransactionId *) &DcTransamVariables->nextXid)->value;
#else
	return U64FromFullTransactionId(ReadNextFullTransactionId());
#endif
}

/*
 * Widen a transaction ID that is not newer than "next" and less than 2^31
 * older, as all in a snapshot are.
 */
DC_HIT_PATH uint64
dc_xid_widen(TransactionId xid, uint64 next)
{
	/* a snapshot's xmax may equal, not exceed, what was next at its time */
	return next - (uint32) ((uint32) next - xid);
}

/*
 * The newest of all prepared transactions, as a full ID; 0 if there is none.  One that
 * has ended since the start is found, too, as it has to be: who asks first may do so
 * with a snapshot from before its end.  Its process entry keeps the ID
 * (ProcArrayRemove() clears the copy in ProcGlobal alone) until another transaction is
 * prepared there, whose ID is higher.
 */
static uint64
newest_prepared(void)
{
	uint64		next = dc_xid_next();
	uint64		newest = 0;

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		/* each has a process entry, and no process */
		TransactionId xid = PreparedXactProcs[i].xid;

		if (TransactionIdIsValid(xid))
			newest = Max(newest, dc_xid_widen(xid, next));
	}
	LWLockRelease(ProcArrayLock);
	return newest;
}

/*
 * What prepared transactions may have moved, and others may have missed, takes
 * as many rounds of waiting as any move, and the one that comes with its end.
 */
#define FLOOR_ROUNDS (DC_WRITER_ROUNDS(DC_WRITER_MOVE(3)) + 1)

/* "floor" in one word: all before this ID, and the rounds to go after that. */
#define FLOOR(xid, rounds)	((xid) | (uint64) (rounds) << 60)
#define FLOOR_XID(floor)	((floor) & ~FLOOR(0, 15))
#define FLOOR_ROUNDS_LEFT(floor) ((int) ((floor) >> 60))

static uint64
find_floor(void)
{
	uint64		newest = newest_prepared();
	uint64		found = newest == 0 ? FLOOR(FirstNormalTransactionId, 0) :
	FLOOR(newest + 1, FLOOR_ROUNDS);
	uint64		floor = 0;

	return pg_atomic_compare_exchange_u64(&shared->floor, &floor, found) ? found : floor;
}

/*
 * Do the stamps know of all that a snapshot with this xmin does not see, or may
 * have seen without being told?
 *
 * Shared memory is made anew when the server starts, and what a prepared
 * transaction has announced is gone with the old one, while the transaction
 * itself is not.  So a snapshot that does not see the end of every transaction
 * that was prepared before the start can tell nothing from a stamp.  They are
 * all there before the server accepts connections, and who asks first finds
 * them; that it may find one that was prepared since does no harm.
 *
 * Their marks as movers are gone, too (see "Moves" above).  So each of them is
 * taken for one that has moved rows of every tenant: once all are seen as ended,
 * who may have missed that has a lower ID than the one that is next, and so on
 * for as many rounds as there can be.
 */
DC_HIT_PATH bool
dc_xid_settled(uint64 xmin)
{
	uint64		floor = pg_atomic_read_u64(&shared->floor);

	if (unlikely(floor == 0))
		floor = find_floor();
	while (xmin >= FLOOR_XID(floor))
	{
		uint64		next;

		if (likely(FLOOR_ROUNDS_LEFT(floor) == 0))
			return true;
		next = FLOOR(dc_xid_next(), FLOOR_ROUNDS_LEFT(floor) - 1);
		if (pg_atomic_compare_exchange_u64(&shared->floor, &floor, next))
			floor = next;
	}
	return false;
}
