/*-------------------------------------------------------------------------
 *
 * setwise.h
 *		One query for many tenants, made from one for $1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SETWISE_H
#define DASHCACHE_SETWISE_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "widget/standing.h"

/* A widget's query, as it can be computed for many tenants at once. */
typedef struct DcSetwise
{
	const char *reason;			/* why it cannot, in words; NULL: it can */
	Oid			tenant_type;
	Query	   *query;			/* rewritten; of use only if it can */
	int64		offset;			/* rows of each tenant that are left out, */
	int64		limit;			/* and those that follow; -1: all */
} DcSetwise;

extern DcSetwise *dc_setwise_analyze(const char *query,
									 const DcRoles *admitted);
extern Query *dc_setwise_query(DcSetwise *setwise, Datum *tenants, int ntenants);

#endif							/* DASHCACHE_SETWISE_H */
