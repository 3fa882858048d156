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
extern int	dc_max_answer_kb;
extern int	dc_tenant_memory_limit;
extern double dc_refresh_ahead;
extern int	dc_wait_timeout_ms;
extern int	dc_log_min_duration_ms;
extern int	dc_workers;
extern bool dc_persist;
extern int	dc_compression;

/* dashcache.compression */
typedef enum DcCompression
{
	DC_COMPRESSION_OFF,
	DC_COMPRESSION_PGLZ,
	DC_COMPRESSION_LZ4
} DcCompression;

/* see docs/operations.md for what was measured */
#define DC_COMPRESSION_DEFAULT DC_COMPRESSION_OFF

/* The most workers there can be, whatever dashcache.workers says. */
#define DC_MAX_WORKERS 64

/* The most memory there can be: what links of 32 bits can reach (pieces.h). */
#define DC_MAX_MEMORY_KB (32 * 1024 * 1024)

extern void dc_guc_define(bool preload);

#endif							/* DASHCACHE_GUC_H */
