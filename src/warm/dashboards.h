/*-------------------------------------------------------------------------
 *
 * dashboards.h
 *		One dashboard after another, whatever is the matter with some.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DASHBOARDS_H
#define DASHCACHE_DASHBOARDS_H

#include "postgres.h"

#include "widget/metacache.h"

typedef void (*DcDashboardReader) (DcDashboard *dashboard, void *arg);

extern char *dc_dashboards_each(const char *name, DcDashboardReader reader,
								void *arg);

#endif							/* DASHCACHE_DASHBOARDS_H */
