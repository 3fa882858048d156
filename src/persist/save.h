/*-------------------------------------------------------------------------
 *
 * save.h
 *		Writing the entries at a clean shutdown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SAVE_H
#define DASHCACHE_SAVE_H

#include "postgres.h"

extern void dc_save_at_shutdown(uint64 started_from);

#endif							/* DASHCACHE_SAVE_H */
