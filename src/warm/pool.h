/*-------------------------------------------------------------------------
 *
 * pool.h
 *		The workers that run now, and who keeps them out of a database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_POOL_H
#define DASHCACHE_POOL_H

#include "postgres.h"

/* Whom a database waits for that has no worker free for what there is to do. */
typedef enum DcWait
{
	DC_WAIT_NONE,				/* nobody */
	DC_WAIT_FOR_IDLE,			/* a worker with nothing to do */
	DC_WAIT_FOR_SHARE			/* also one that has worked for its share */
} DcWait;

extern Size dc_pool_shmem_size(void);
extern void dc_pool_shmem_init(void *place);
extern void dc_pool_attach(void *place);

extern bool dc_pool_enter(Oid database);
extern void dc_pool_leave_clean(void);
extern void dc_pool_set_idle(bool idle);
extern void dc_pool_set_run(int64 run);

extern int	dc_pool_count(void);
extern int	dc_pool_of_database(Oid database);
extern int	dc_pool_ready(Oid database);
extern void dc_pool_set_ready(void);
extern bool dc_pool_wake_idle(Oid database);
extern bool dc_pool_ended_clean(pid_t pid);
extern void dc_pool_set_others_wait(DcWait wait);
extern DcWait dc_pool_others_wait(void);
extern int	dc_pool_list(int *pids, int capacity);
extern int	dc_pool_of_run(int64 run, int *pids, int capacity);

extern void dc_pool_ask_to_list(void);
extern bool dc_pool_is_asked_to_list(void);
extern bool dc_pool_is_first_list(void);

extern void dc_pool_hold(Oid database);
extern void dc_pool_release(void);
extern void dc_pool_subxact_ends(bool commit);
extern int	dc_pool_holders(int *pids, int capacity);
extern bool dc_pool_is_held(Oid database);

#endif							/* DASHCACHE_POOL_H */
