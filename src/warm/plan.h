/*-------------------------------------------------------------------------
 *
 * plan.h
 *		What a run is about, and how it is divided.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_PLAN_H
#define DASHCACHE_PLAN_H

#include "postgres.h"

#include "warm/run.h"
#include "warm/tenants.h"

#include "nodes/pg_list.h"

/* For so many tenants it is worth while to compute a widget for all at once. */
#define DC_MIN_SET 8

/* A dashboard to warm, and for whom. */
typedef struct DcPart
{
	char	   *dashboard;
	DcAudience	audience;
} DcPart;

/* What a worker knows of the run it works on. */
typedef struct DcWork
{
	DcRunRequest request;
	DcRunPlan	plan;
	List	   *parts;			/* of DcPart */
	List	   *again;			/* of entries that have failed, to be tried
								 * again */
	MemoryContext context;
} DcWork;

extern bool dc_plan_read_parts(DcWork *work);
extern bool dc_plan_make(DcWork *work);
extern bool dc_plan_has_set(const DcRunPlan *plan, uint32 widget);

#endif							/* DASHCACHE_PLAN_H */
