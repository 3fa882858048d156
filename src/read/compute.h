/*-------------------------------------------------------------------------
 *
 * compute.h
 *		Running a widget's query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_COMPUTE_H
#define DASHCACHE_COMPUTE_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "widget/metacache.h"

typedef struct DcComputed
{
	TimestampTz generated_at;
	TimestampTz valid_from;		/* for readers whose now() is not before */
	TimestampTz expires_at;		/* DT_NOEND: never */
	uint64		duration_us;
} DcComputed;

extern void dc_compute(const DcDashboard *dashboard, DcWidget *widget,
					   Datum tenant, Datum params,
					   StringInfo out, DcComputed *computed);

#endif							/* DASHCACHE_COMPUTE_H */
