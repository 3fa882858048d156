/*-------------------------------------------------------------------------
 *
 * dependencies.h
 *		The stamps that an answer depends on.
 *
 * They are the same for all answers of a definition, but for the tenant.  So
 * they are kept once for all of these, and an answer keeps the hashes of its
 * tenant: mostly one, since the sources of a widget have tenants of one type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DEPENDENCIES_H
#define DASHCACHE_DEPENDENCIES_H

#include "postgres.h"

#include "consistency/stamp.h"

/*
 * A stamp: that of the tenant which has a hash, by its key (dc_stamp_key()); or
 * one that is the same for every tenant, by its number.
 */
typedef struct DcDependency
{
	uint32		key;			/* or the number */
	int32		hash;			/* which of the tenant's hashes; or -1 */
} DcDependency;

typedef struct DcDependencies
{
	uint32		n;
	uint32		nhashes;		/* that the tenant has */
	DcDependency list[FLEXIBLE_ARRAY_MEMBER];
} DcDependencies;

/* So many a session remembers of a widget, so that they fill a cache line. */
#define DC_REMEMBERED 4

#define DC_DEPENDENCIES_SIZE(n) \
	(offsetof(DcDependencies, list) + sizeof(DcDependency) * (Size) (n))

/*
 * What a session remembers of the dependencies of a widget's answers: those that
 * differ between tenants, and what was counted on the others.  As long as nothing
 * is pushed on any stamp for every tenant, a hit need not look at these.
 */
typedef struct DcRemembered
{
	uint64		definition;		/* whose; 0: nothing is remembered */
	uint64		pushes_of_all;	/* dc_stamp_pushes_of_all() at that time */
	uint64		seen_of_all;	/* the pushes on those that are the same for
								 * all */
	uint32		n;
	DcDependency list[DC_REMEMBERED];
} DcRemembered;

/* The number of a stamp, for the tenant with these hashes. */
static inline uint32
dc_dependency_stamp(const DcDependency *dependency, const uint32 *hashes)
{
	return dependency->hash < 0 ? dependency->key :
		dc_stamp_of_key(dependency->key, hashes[dependency->hash]);
}

#endif							/* DASHCACHE_DEPENDENCIES_H */
