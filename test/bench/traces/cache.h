/*-------------------------------------------------------------------------
 *
 * cache.h
 *		A cache that keeps nothing but who is in it, for any policy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TRACES_CACHE_H
#define TRACES_CACHE_H

#include "postgres.h"

/*
 * What is cached: which of them there are is known beforehand, and that those of a
 * tenant are adjacent.
 */
#define ITEMS_OF_TENANT 8

typedef struct Item
{
	uint32		size;
	uint32		compute_us;
} Item;

/* An item's place in a cache; the queue goes from the oldest to the newest. */
typedef struct Place
{
	int32		older;
	int32		newer;
	uint32		version;		/* of the data that it was computed from */
	bool		present;
	bool		visited;
	uint8		credit;
} Place;

typedef struct Policy Policy;

typedef struct Cache
{
	const Policy *policy;
	const Item *items;
	Place	   *places;
	int			nitems;
	uint64		capacity;
	uint64		used;
	int32		oldest;
	int32		newest;
	int32		hand;
	int32		scout;
	int32		mean_worth;
	uint32	   *versions;		/* of the tenants' data */

	/* what came of it */
	uint64		accesses;
	uint64		hits;
	double		cost;
	double		saved;
} Cache;

/* How a policy differs from the others. */
struct Policy
{
	const char *name;
	void		(*insert) (Cache *cache, int32 item);
	void		(*hit) (Cache *cache, int32 item);
	int32		(*victim) (Cache *cache);
};

/* The first is the project's own. */
extern const Policy policies[];
extern const int npolicies;

extern void cache_init(Cache *cache, const Policy *policy, const Item *items,
					   int nitems, uint64 capacity);
extern void cache_free(Cache *cache);
extern bool cache_access(Cache *cache, int32 item);
extern void cache_change(Cache *cache, int32 tenant);

#endif							/* TRACES_CACHE_H */
