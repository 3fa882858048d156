/*-------------------------------------------------------------------------
 *
 * restored.h
 *		Looking at definitions that come from elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_RESTORED_H
#define DASHCACHE_RESTORED_H

#include "postgres.h"

extern bool dc_restored_look(void);

#endif							/* DASHCACHE_RESTORED_H */
