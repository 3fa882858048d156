/*-------------------------------------------------------------------------
 *
 * path.h
 *		Following a path of rows to the tenant.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_PATH_H
#define DASHCACHE_PATH_H

#include "postgres.h"

#include "widget/analyze.h"

/*
 * Where a column that is not unique is matched: at most so many rows for one
 * value, and so many rows altogether, are looked at, to find so many tenants.
 */
#define DC_PATH_MAX_MATCHES 16
#define DC_PATH_MAX_ROWS 128
#define DC_PATH_MAX_TENANTS 32

/* The index by which a hop finds its row, or its rows. */
typedef struct DcPathIndex
{
	Oid			index;
	RegProcedure equal;			/* of the index's column and the value */
	Oid			subtype;		/* the value's type, as the index knows it */
	Oid			collation;
} DcPathIndex;

/* A path, with the indexes it was last followed by. */
typedef struct DcPath
{
	int			nhops;
	DcHop		hops[DC_MAX_HOPS];
	DcPathIndex indexes[DC_MAX_HOPS];	/* index is InvalidOid: not found yet */
} DcPath;

/* Where a path leads: to one tenant, unless a hop matches many rows. */
typedef struct DcPathValues
{
	int			n;
	Datum		values[DC_PATH_MAX_TENANTS];
} DcPathValues;

typedef enum DcPathEnd
{
	DC_PATH_FOUND,
	DC_PATH_NOWHERE,			/* there is no such row */
	DC_PATH_UNKNOWN				/* there is no way to tell, or too many rows */
} DcPathEnd;

extern bool dc_path_find_index(Oid relid, AttrNumber attno, Oid type,
							   Oid operator, Oid collation,
							   DcPathIndex *index);
extern bool dc_path_find_referring(Oid relid, AttrNumber attno, Oid type,
								   Oid operator, Oid collation,
								   DcPathIndex *index);
extern bool dc_path_is_referred_to(const DcReference *reference,
								   DcPathIndex *index, Datum value, Oid type);
extern void dc_path_init(DcPath *path, const DcHop *hops, int nhops);
extern bool dc_path_meets_many(const DcHop *hops, int nhops);
extern DcPathEnd dc_path_follow(DcPath *path, Datum value, Oid type,
								DcPathValues *tenants);

#endif							/* DASHCACHE_PATH_H */
