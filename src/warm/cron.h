/*-------------------------------------------------------------------------
 *
 * cron.h
 *		Jobs of pg_cron that run ours.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_CRON_H
#define DASHCACHE_CRON_H

#include "postgres.h"

extern void dc_cron_check(const char *schedule);
extern void dc_cron_make(int64 job, Oid role, const char *schedule);
extern void dc_cron_drop(int64 job, Oid role);
extern void dc_cron_drop_all(void);
extern void dc_cron_make_lost(Oid member);

/* The condition by which job j has a job of pg_cron; a constant string. */
#define DC_CRON_JOB_OF_J \
	"c.jobname OPERATOR(pg_catalog.=) pg_catalog.concat('dashcache job ', j.id)" \
	" AND c.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"

/* The command of a job of pg_cron for job j, with our schema as n. */
#define DC_CRON_COMMAND_OF_J \
	"pg_catalog.format('SELECT %I.dashcache_run_job(%s)', n.nspname, j.id)"

/* A query for the active jobs j that pg_cron has no job for, or a wrong one. */
#define DC_CRON_LOST_JOBS \
	"SELECT j.id, j.role, j.schedule FROM dashcache.job j, pg_catalog.pg_extension x" \
	" JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace" \
	" WHERE x.extname = 'dashcache' AND j.kind = 'c' AND j.active" \
	" AND NOT EXISTS (SELECT FROM cron.job c WHERE " DC_CRON_JOB_OF_J \
	" AND c.command = " DC_CRON_COMMAND_OF_J ") ORDER BY j.id"

#endif							/* DASHCACHE_CRON_H */
