/*-------------------------------------------------------------------------
 *
 * preload.h
 *		Is there any shared memory to work with?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_PRELOAD_H
#define DASHCACHE_PRELOAD_H

#include "postgres.h"

/*
 * True where the library was loaded by shared_preload_libraries.  If not,
 * everything is computed and nothing is stored; see shmem.c.
 */
extern bool dc_preloaded;

#endif							/* DASHCACHE_PRELOAD_H */
