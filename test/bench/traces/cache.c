/*-------------------------------------------------------------------------
 *
 * cache.c
 *		A cache that keeps nothing but who is in it, for any policy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cache.h"
#include "store/sieve.h"

static void
unlink_place(Cache *cache, int32 item)
{
	Place	   *place = &cache->places[item];

	if (place->older >= 0)
		cache->places[place->older].newer = place->newer;
	else
		cache->oldest = place->newer;
	if (place->newer >= 0)
		cache->places[place->newer].older = place->older;
	else
		cache->newest = place->older;
	if (cache->hand == item)
		cache->hand = place->newer;
	if (cache->scout == item)
		cache->scout = place->newer;
}

static void
append_place(Cache *cache, int32 item)
{
	Place	   *place = &cache->places[item];

	place->older = cache->newest;
	place->newer = -1;
	if (cache->newest >= 0)
		cache->places[cache->newest].newer = item;
	else
		cache->oldest = item;
	cache->newest = item;
}

/*
 * The policies
 */

static void
mark(Cache *cache, int32 item)
{
	cache->places[item].visited = true;
}

static void
own_insert(Cache *cache, int32 item)
{
	int32		worth = dc_sieve_worth(cache->items[item].compute_us, cache->items[item].size);

	cache->places[item].credit = dc_sieve_credit(dc_sieve_weight(worth, cache->mean_worth));
	cache->mean_worth = dc_sieve_mean(cache->mean_worth, worth);
}

static int32
sieve_victim(Cache *cache)
{
	for (;;)
	{
		int32		at = cache->hand >= 0 ? cache->hand : cache->oldest;
		Place	   *place = &cache->places[at];
		bool		visited = place->visited;

		cache->hand = place->newer;
		place->visited = false;
		if (!dc_sieve_passes(&place->credit, visited))
			return at;
	}
}

/* As evict.c: what is useless goes first, if the scout comes across it. */
static int32
own_victim(Cache *cache)
{
	for (int i = 0; i < 8; i++)
	{
		int32		at = cache->scout >= 0 ? cache->scout : cache->oldest;

		cache->scout = cache->places[at].newer;
		if (cache->places[at].version != cache->versions[at / ITEMS_OF_TENANT])
			return at;
	}
	return sieve_victim(cache);
}

static void
nothing(Cache *cache, int32 item)
{
}

static int32
oldest_victim(Cache *cache)
{
	return cache->oldest;
}

static void
move_to_end(Cache *cache, int32 item)
{
	unlink_place(cache, item);
	append_place(cache, item);
}

const Policy policies[] = {
	{"dashcache", own_insert, mark, own_victim},
	{"SIEVE", nothing, mark, sieve_victim},
	{"LRU", nothing, move_to_end, oldest_victim},
	{"FIFO", nothing, nothing, oldest_victim},
};

const int	npolicies = lengthof(policies);

/*
 * The cache
 */

void
cache_init(Cache *cache, const Policy *policy, const Item *items, int nitems,
		   uint64 capacity)
{
	memset(cache, 0, sizeof(*cache));
	cache->policy = policy;
	cache->items = items;
	cache->nitems = nitems;
	cache->places = calloc(nitems, sizeof(Place));
	cache->versions = calloc(nitems / ITEMS_OF_TENANT, sizeof(uint32));
	if (cache->places == NULL || cache->versions == NULL)
		abort();
	cache->capacity = capacity;
	cache->oldest = cache->newest = cache->hand = cache->scout = -1;
}

void
cache_free(Cache *cache)
{
	free(cache->places);
	free(cache->versions);
}

static void
remove_item(Cache *cache, int32 item)
{
	unlink_place(cache, item);
	cache->places[item].present = false;
	cache->used -= cache->items[item].size;
}

/* Ask for an item, and keep it if it was not there; was it a hit? */
bool
cache_access(Cache *cache, int32 item)
{
	uint32		version = cache->versions[item / ITEMS_OF_TENANT];
	const Item *what = &cache->items[item];
	Place	   *place = &cache->places[item];

	cache->accesses++;
	cache->cost += what->compute_us;
	if (place->present && place->version == version)
	{
		cache->hits++;
		cache->saved += what->compute_us;
		cache->policy->hit(cache, item);
		return true;
	}
	if (place->present)
		remove_item(cache, item);
	if (what->size > cache->capacity / 4)
		return false;
	while (cache->used + what->size > cache->capacity)
		remove_item(cache, cache->policy->victim(cache));
	append_place(cache, item);
	place->present = true;
	place->version = version;
	place->visited = false;
	place->credit = 0;
	cache->used += what->size;
	cache->policy->insert(cache, item);
	return false;
}

/* The data of a tenant have changed. */
void
cache_change(Cache *cache, int32 tenant)
{
	cache->versions[tenant]++;
}
