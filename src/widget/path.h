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

/* The unique index by which a hop finds its row. */
typedef struct DcPathIndex
{
	Oid			index;
	RegProcedure equal;			/* of the index's column and the value */
	Oid			subtype;		/* the value's type, as the index knows it */
	Oid			collation;
} DcPathIndex;

extern bool dc_path_find_index(Oid relid, AttrNumber attno, Oid type,
							   Oid operator, Oid collation,
							   DcPathIndex *index);
extern bool dc_path_follow(const DcHop *hops, int nhops, Datum value, Oid type,
						   Datum *tenant);

#endif							/* DASHCACHE_PATH_H */
