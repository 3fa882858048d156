/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		The process that starts workers where there is something to do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_LAUNCHER_H
#define DASHCACHE_LAUNCHER_H

#include "postgres.h"

extern void dc_launcher_register(void);
extern PGDLLEXPORT void dashcache_launcher_main(Datum arg);

#endif							/* DASHCACHE_LAUNCHER_H */
