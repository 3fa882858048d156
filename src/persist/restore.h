/*-------------------------------------------------------------------------
 *
 * restore.h
 *		Reading the entries after a start.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_RESTORE_H
#define DASHCACHE_RESTORE_H

#include "postgres.h"

extern Size dc_restore_shmem_size(void);
extern void dc_restore_shmem_init(void *place);
extern void dc_restore_attach(void *place);

extern void dc_restore_prepare(void);
extern void dc_restore(void);
extern bool dc_restore_result(uint64 *restored);

#endif							/* DASHCACHE_RESTORE_H */
