/*-------------------------------------------------------------------------
 *
 * warm.h
 *		Runs and jobs, for the functions that ask for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_API_WARM_H
#define DASHCACHE_API_WARM_H

#include "postgres.h"

extern void dc_check_workers(void);
extern int64 dc_request_run(const char *dashboard, const char *tenant,
							Oid role, int64 job, int hour_of_week);
extern void dc_unschedule_dashboard(const char *dashboard);
extern void dc_unschedule_role(Oid role);

#endif							/* DASHCACHE_API_WARM_H */
