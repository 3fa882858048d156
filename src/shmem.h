/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		The shared memory of dashcache, added up and handed out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SHMEM_H
#define DASHCACHE_SHMEM_H

#include "postgres.h"

extern void dc_shmem_request(void);
extern void dc_shmem_startup(void);

#endif							/* DASHCACHE_SHMEM_H */
