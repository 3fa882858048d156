/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		The shared memory of dashcache, added up and handed out.
 *
 * One piece of exactly dashcache.memory bytes is reserved at start, divided
 * among the counters, the journal, the stamps, the flights, what the workers
 * share, what is known of saved entries, the estimate, and the store, in this
 * order.  The store gets what is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "shmem.h"

#include "changes.h"
#include "consistency/stamp.h"
#include "demand.h"
#include "guc.h"
#include "hit_path.h"
#include "persist/restore.h"
#include "preload.h"
#include "stats.h"
#include "store/estimate.h"
#include "store/flight.h"
#include "store/refresh_queue.h"
#include "store/store.h"
#include "warm/pool.h"
#include "warm/run.h"

#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

DC_HIT_DATA bool dc_preloaded = false;

static Size
memory(void)
{
	return mul_size(dc_memory_kb, 1024);
}

/* Reserve the memory: the shmem_request_hook. */
void
dc_shmem_request(void)
{
	RequestAddinShmemSpace(memory());
}

/* What would be left of "total" bytes for the store. */
static Size
store_of(Size total)
{
	Size		others = CACHELINEALIGN(dc_stats_shmem_size(total)) +
	CACHELINEALIGN(dc_changes_shmem_size(total)) +
	CACHELINEALIGN(dc_stamp_shmem_size(total)) +
	CACHELINEALIGN(dc_flight_shmem_size(total)) +
	CACHELINEALIGN(dc_demand_shmem_size()) +
	CACHELINEALIGN(dc_pool_shmem_size()) +
	CACHELINEALIGN(dc_run_shmem_size()) +
	CACHELINEALIGN(dc_refresh_queue_shmem_size()) +
	CACHELINEALIGN(dc_restore_shmem_size()) +
	CACHELINEALIGN(dc_estimate_shmem_size(total));

	return total - Min(others, total);
}

/*
 * Ask the kernel for huge pages, if it gives them to who asks: if
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is "advise".
 *
 * A hit looks at a handful of places anywhere in the memory.  With small pages
 * finding out where they are takes the processor as long as reading what is
 * there.  It is a hint and may fail; nothing is to be gained where the server
 * has huge pages of its own (huge_pages).
 */
static void
ask_for_huge_pages(char *place, Size size)
{
#ifdef MADV_HUGEPAGE
	Size		page = sysconf(_SC_PAGESIZE);
	char	   *from = (char *) TYPEALIGN(page, place);
	char	   *to = (char *) TYPEALIGN_DOWN(page, place + size);

	(void) madvise(from, to - from, MADV_HUGEPAGE);
#endif
}

/* Divide it up, or find it divided: the shmem_startup_hook. */
void
dc_shmem_startup(void)
{
	Size		total = memory();
	char	   *place;
	char	   *changes;
	char	   *demands;
	char	   *workers;
	char	   *runs;
	char	   *stamps;
	char	   *flights;
	char	   *queue;
	char	   *estimate;
	char	   *restore;
	char	   *store;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	place = ShmemInitStruct("dashcache", total, &found);
	changes = place + CACHELINEALIGN(dc_stats_shmem_size(total));
	stamps = changes + CACHELINEALIGN(dc_changes_shmem_size(total));
	flights = stamps + CACHELINEALIGN(dc_stamp_shmem_size(total));
	demands = flights + CACHELINEALIGN(dc_flight_shmem_size(total));
	workers = demands + CACHELINEALIGN(dc_demand_shmem_size());
	runs = workers + CACHELINEALIGN(dc_pool_shmem_size());
	queue = runs + CACHELINEALIGN(dc_run_shmem_size());
	restore = queue + CACHELINEALIGN(dc_refresh_queue_shmem_size());
	estimate = restore + CACHELINEALIGN(dc_restore_shmem_size());
	store = estimate + CACHELINEALIGN(dc_estimate_shmem_size(total));
	Assert((Size) (store - place) + store_of(total) == total);
	Assert(dc_store_shmem_min() <= store_of(total));

	if (!found)
	{
		ask_for_huge_pages(place, total);
		dc_stats_shmem_init(place, total);
		dc_changes_shmem_init(changes, total);
		dc_stamp_shmem_init(stamps, total);
		dc_flight_shmem_init(flights, total);
		dc_demand_shmem_init(demands);
		dc_pool_shmem_init(workers);
		dc_run_shmem_init(runs);
		dc_refresh_queue_shmem_init(queue);
		dc_restore_shmem_init(restore);
		dc_estimate_shmem_init(estimate, total, store_of);
		dc_store_shmem_init(store, store_of(total));
	}
	dc_stats_attach(place);
	dc_changes_attach(changes);
	dc_stamp_attach(stamps);
	dc_flight_attach(flights);
	dc_demand_attach(demands);
	dc_pool_attach(workers);
	dc_run_attach(runs);
	dc_refresh_queue_attach(queue);
	dc_estimate_attach(estimate);
	dc_store_attach(store);
	dc_restore_attach(restore);
	dc_preloaded = true;
	if (!found)
		dc_restore_prepare();

	LWLockRelease(AddinShmemInitLock);
}
