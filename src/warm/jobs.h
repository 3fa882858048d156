/*-------------------------------------------------------------------------
 *
 * jobs.h
 *		Jobs: what is warmed when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_JOBS_H
#define DASHCACHE_JOBS_H

#include "postgres.h"

#include "warm/run.h"

extern int64 dc_jobs_next_run_id(void);
extern int64 dc_jobs_request(const char *dashboard, const char *tenant,
							 Oid role, int64 job, int hour_of_week);
extern bool dc_jobs_request_at_start(void);
extern int	dc_jobs_hour_ahead(TimestampTz now);
extern TimestampTz dc_jobs_due(TimestampTz now);
extern void dc_jobs_save_run(const DcRunProgress *run);

#endif							/* DASHCACHE_JOBS_H */
