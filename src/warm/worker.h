/*-------------------------------------------------------------------------
 *
 * worker.h
 *		The process that works for one database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_WORKER_H
#define DASHCACHE_WORKER_H

#include "postgres.h"

extern PGDLLEXPORT void dashcache_worker_main(Datum arg);

#endif							/* DASHCACHE_WORKER_H */
