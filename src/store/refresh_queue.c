/*-------------------------------------------------------------------------
 *
 * refresh_queue.c
 *		Entries that somebody should compute anew.
 *
 * Readers ask, workers answer.  A fixed array in shared memory, the oldest
 * request first.  Where it is full nothing is added: the entry is asked for
 * again by a later reader, or computed by one.
 *
 * Locking: one LWLock, under which nothing else is locked.  That the queue is
 * full is seen without it, since readers would meet there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/refresh_queue.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

#define QUEUE_SIZE 1024

typedef struct SharedQueue
{
	LWLock		lock;
	int			tranche;
	pg_atomic_uint32 n;			/* changes under the lock */
	DcRefreshRequest requests[QUEUE_SIZE];
} SharedQueue;

void		(*dc_refresh_wakeup) (Oid database) = NULL;

static SharedQueue *queue = NULL;

/* How many bytes the queue takes. */
Size
dc_refresh_queue_shmem_size(void)
{
	return sizeof(SharedQueue);
}

/* Make an empty queue at "place"; once, by the postmaster. */
void
dc_refresh_queue_shmem_init(void *place)
{
	queue = place;
	queue->tranche = LWLockNewTrancheId();
	LWLockInitialize(&queue->lock, queue->tranche);
	pg_atomic_init_u32(&queue->n, 0);
}

/* Learn where the queue is; in every process. */
void
dc_refresh_queue_attach(void *place)
{
	queue = place;
	LWLockRegisterTranche(queue->tranche, "dashcache_refresh");
}

/* Add a request; false if there is no room.  Throws nothing. */
bool
dc_refresh_queue_push(const DcRefreshRequest *request)
{
	uint32		n;

	if (pg_atomic_read_u32(&queue->n) == QUEUE_SIZE)
		return false;
	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	n = pg_atomic_read_u32(&queue->n);
	if (n < QUEUE_SIZE)
	{
		queue->requests[n] = *request;
		pg_atomic_write_u32(&queue->n, n + 1);
	}
	LWLockRelease(&queue->lock);
	return n < QUEUE_SIZE;
}

/* Take out the oldest request of a database; false if there is none. */
bool
dc_refresh_queue_pop(Oid database, DcRefreshRequest *request)
{
	bool		found = false;
	uint32		n;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	n = pg_atomic_read_u32(&queue->n);
	for (uint32 i = 0; i < n && !found; i++)
	{
		if (queue->requests[i].database != database)
			continue;
		*request = queue->requests[i];
		memmove(&queue->requests[i], &queue->requests[i + 1],
				sizeof(DcRefreshRequest) * (n - i - 1));
		pg_atomic_write_u32(&queue->n, n - 1);
		found = true;
	}
	LWLockRelease(&queue->lock);
	return found;
}

/* The database of the oldest request; InvalidOid if there is none. */
Oid
dc_refresh_queue_database(void)
{
	Oid			database = InvalidOid;

	LWLockAcquire(&queue->lock, LW_SHARED);
	if (pg_atomic_read_u32(&queue->n) > 0)
		database = queue->requests[0].database;
	LWLockRelease(&queue->lock);
	return database;
}

/* Drop all requests of a database that nobody is there to answer for. */
void
dc_refresh_queue_forget(Oid database)
{
	uint32		kept = 0;

	LWLockAcquire(&queue->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < pg_atomic_read_u32(&queue->n); i++)
	{
		if (queue->requests[i].database != database)
			queue->requests[kept++] = queue->requests[i];
	}
	pg_atomic_write_u32(&queue->n, kept);
	LWLockRelease(&queue->lock);
}
