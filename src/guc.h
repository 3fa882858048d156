/*-------------------------------------------------------------------------
 *
 * guc.h
 *		The settings of dashcache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_GUC_H
#define DASHCACHE_GUC_H

#include "postgres.h"

extern bool dc_enabled;
extern int	dc_memory_kb;
extern double dc_refresh_ahead;
extern int	dc_wait_timeout_ms;
extern int	dc_log_min_duration_ms;
extern int	dc_workers;
extern bool dc_persist;

/* The most workers there can be, whatever dashcache.workers says. */
#define DC_MAX_WORKERS 64

extern void dc_guc_define(bool preload);

#endif							/* DASHCACHE_GUC_H */
