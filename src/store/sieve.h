/*-------------------------------------------------------------------------
 *
 * sieve.h
 *		Which entry gives way: SIEVE, weighed by cost and size.
 *
 * SIEVE (Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key
 * Eviction Algorithm for Web Caches", NSDI 2024): entries stay in the order of
 * their insertion; a hit only sets a mark; a hand goes from the oldest to the
 * newest, clears the marks that it meets, and takes the first entry without
 * one.  It knows neither what an entry costs to compute nor how large it is.
 * So an entry that saves much more computing for each byte than the others
 * do has a weight, and the hand passes it so many times more before it takes
 * it.  As in GreedyDual (Cao and Irani, "Cost-Aware WWW Proxy Caching
 * Algorithms", USITS 1997), it is the ratio of cost and size that counts; here
 * by its logarithm, and by a few steps only, so that no cost can keep an
 * entry for ever that nobody asks for.
 *
 * Nothing here knows where entries are, so that it can be run on traces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SIEVE_H
#define DASHCACHE_SIEVE_H

#include "postgres.h"

#include <math.h>

/* The largest weight; it stands for 4 to the power of it times the mean. */
#define DC_SIEVE_MOST 3

/* A worth is counted in 256 steps for each power of two. */
#define DC_SIEVE_STEPS 256

/* A mean is that of so many, more or less. */
#define DC_SIEVE_MEAN_OF 256

/* The computing that an entry saves for each byte, as a logarithm. */
static inline int32
dc_sieve_worth(uint32 cost_us, Size size)
{
	return (int32) (log2((cost_us + 1.0) / size) * DC_SIEVE_STEPS);
}

/* The mean worth after one more entry. */
static inline int32
dc_sieve_mean(int32 mean, int32 worth)
{
	int32		step = (worth - mean) / DC_SIEVE_MEAN_OF;

	return mean + (step != 0 ? step : worth > mean ? 1 : worth < mean ? -1 : 0);
}

/* How many times more the hand is to pass an entry. */
static inline int
dc_sieve_weight(int32 worth, int32 mean)
{
	int			weight = (worth - mean) / (2 * DC_SIEVE_STEPS);

	return Max(0, Min(weight, DC_SIEVE_MOST));
}

/* The credit of an entry of a weight: the passes that are left, and the weight. */
static inline uint8
dc_sieve_credit(int weight)
{
	return (uint8) (weight << 4 | weight);
}

/*
 * The hand is at an entry.  Does it pass?  "visited": the entry has been used
 * since the hand last came by; the caller clears that mark.
 */
static inline bool
dc_sieve_passes(uint8 *credit, bool visited)
{
	if (visited)
		*credit = dc_sieve_credit(*credit >> 4);
	else if ((*credit & 0xF) > 0)
		(*credit)--;
	else
		return false;
	return true;
}

#endif							/* DASHCACHE_SIEVE_H */
