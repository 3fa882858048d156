/*-------------------------------------------------------------------------
 *
 * traces.c
 *		How good the store's eviction policy is.
 *
 * traces [SEED [ACCESSES]]: plays generated traces (trace.c) to caches of a tenth
 * of what there is to cache, one for each policy (cache.c).  Prints how many
 * of 100 accesses were hits, and how much of 100 ms of computing time was saved.
 *
 * Then for each trace what hit ratio other sizes have, and what the estimate of
 * the size that there is says of them (miniature.c); and how far off it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "cache.h"
#include "mix.h"
#include "store/miniature.h"
#include "trace.h"

/* What estimate.c takes of 64 MB. */
#define ESTIMATE_SIZE (256 * 1024)

static const int quarters[DC_MINIATURES] = DC_MINIATURE_QUARTERS;

/* Play a trace to a cache, and to the likenesses of it, if there are any. */
static void
play(const Trace *trace, Cache *cache, DcMiniature *m)
{
	for (int i = 0; i < trace->nevents; i++)
	{
		int32		event = trace->events[i];
		uint32		hash = (uint32) (dc_mix64(event) >> 32);
		bool		hit;

		if (event < 0)
		{
			cache_change(cache, -1 - event);
			continue;
		}
		hit = cache_access(cache, event);
		if (m == NULL)
			continue;
		dc_miniature_count(m, 1, hit);
		if (hash < m->threshold)
			dc_miniature_access(m, &(DcMiniatureAccess)
								{
									.hash = hash,
										.digest = hit ? 0 : cache->versions[event / ITEMS_OF_TENANT] + 1,
										.size = trace->items[event].size,
										.compute_us = trace->items[event].compute_us,
										.life = PG_UINT32_MAX,
										.asked = true
								});
	}
}

static void
compare(const Trace *trace)
{
	for (int i = 0; i < npolicies; i++)
	{
		Cache		cache;

		cache_init(&cache, &policies[i], trace->items, trace->nitems, trace->bytes / 10);
		play(trace, &cache, NULL);
		printf("%-10s %-10s %8.2f %8.2f\n", trace->name, policies[i].name,
			   100.0 * cache.hits / cache.accesses, 100.0 * cache.saved / cache.cost);
		cache_free(&cache);
	}
}

/*
 * How far off the estimate of dashcache_memory_estimate is: what it says of a cache
 * of a tenth, against caches that really are larger or smaller.
 */
static void
check_estimate(const Trace *trace)
{
	uint64		capacities[DC_MINIATURES];
	DcMiniature *m = malloc(ESTIMATE_SIZE);
	Cache		cache;
	double		error = 0;
	double		worst = 0;

	if (m == NULL)
		abort();
	for (int i = 0; i < DC_MINIATURES; i++)
		capacities[i] = trace->bytes / 10 * quarters[i] / 4;
	dc_miniature_init(m, ESTIMATE_SIZE, capacities);
	cache_init(&cache, &policies[0], trace->items, trace->nitems,
			   capacities[DC_MINIATURE_ACTUAL]);
	play(trace, &cache, m);
	cache_free(&cache);

	printf("%-10s", trace->name);
	for (int i = 0; i < DC_MINIATURES; i++)
	{
		double		estimate = 100 * dc_miniature_hit_ratio(m, i);
		double		truth;

		cache_init(&cache, &policies[0], trace->items, trace->nitems, capacities[i]);
		play(trace, &cache, NULL);
		truth = 100.0 * cache.hits / cache.accesses;
		cache_free(&cache);
		printf(" %6.2f/%5.2f", truth, estimate);
		/* that of the size that there is, is known */
		if (i == DC_MINIATURE_ACTUAL)
			continue;
		error += fabs(estimate - truth) / (DC_MINIATURES - 1);
		worst = Max(worst, fabs(estimate - truth));
	}
	printf(" %6.2f %6.2f\n", error, worst);
	free(m);
}

int
main(int argc, char **argv)
{
	uint64		seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	int			naccesses = argc > 2 ? atoi(argv[2]) : 2000000;
	Trace		trace;

	printf("%-10s %-10s %8s %8s\n", "trace", "policy", "hits", "saved");
	for (int i = 0; i < ntraces; i++)
	{
		trace_make(&trace, i, seed, naccesses);
		compare(&trace);
		trace_free(&trace);
	}

	printf("\n%-10s", "estimate");
	for (int i = 0; i < DC_MINIATURES; i++)
		printf("     x %-6g", quarters[i] / 4.0);
	printf("   mean  worst\n");
	for (int i = 0; i < ntraces; i++)
	{
		trace_make(&trace, i, seed, naccesses);
		check_estimate(&trace);
		trace_free(&trace);
	}
	return 0;
}
