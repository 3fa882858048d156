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
	bool		same_standing;	/* roles were all the time as when it was
								 * defined */
} DcComputed;

/* Something to be done as a widget's owner. */
typedef void (*DcOwnerWork) (DcWidget *widget, void *arg);

extern void dc_compute_as_owner(const DcDashboard *dashboard, DcWidget *widget,
								DcOwnerWork work, void *arg,
								DcComputed *computed);
extern void dc_compute(const DcDashboard *dashboard, DcWidget *widget,
					   Datum tenant, Datum params,
					   StringInfo out, DcComputed *computed);

#endif							/* DASHCACHE_COMPUTE_H */
