/*-------------------------------------------------------------------------
 *
 * uses.h
 *		What is in use, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_USES_H
#define DASHCACHE_USES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "widget/metacache.h"

/* "params" is 0 for widgets that do not look at them. */
typedef void (*DcUseReader) (const char *tenant, Datum params, void *arg);
typedef void (*DcTenantReader) (const char *tenant, void *arg);

extern void dc_uses_each(DcDashboard *dashboard, DcUseReader reader, void *arg);
extern void dc_uses_save(DcDashboard *dashboard);
extern void dc_visits_save(DcDashboard *dashboard, TimestampTz hour);
extern void dc_visits_expected(const char *dashboard, int hour_of_week,
							   DcTenantReader reader, void *arg);

#endif							/* DASHCACHE_USES_H */
