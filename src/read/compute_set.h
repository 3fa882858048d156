/*-------------------------------------------------------------------------
 *
 * compute_set.h
 *		Running a widget's query for many tenants at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_COMPUTE_SET_H
#define DASHCACHE_COMPUTE_SET_H

#include "postgres.h"

#include "read/compute.h"

/* Is given the answer for one tenant of those that were asked for. */
typedef void (*DcSetAnswer) (int tenant, const char *payload, Size len,
							 const DcComputed *computed, void *arg);

extern const char *dc_setwise_reason(const DcDashboard *dashboard,
									 DcWidget *widget);
extern void dc_compute_set(const DcDashboard *dashboard, DcWidget *widget,
						   Datum *tenants, int ntenants, Datum params,
						   DcSetAnswer answer, void *arg);

#endif							/* DASHCACHE_COMPUTE_SET_H */
