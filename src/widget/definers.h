/*-------------------------------------------------------------------------
 *
 * definers.h
 *		Who changes definitions, and who has to hear of it in time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DEFINERS_H
#define DASHCACHE_DEFINERS_H

#include "postgres.h"

#include "consistency/stamp.h"
#include "preload.h"

#include "access/xact.h"
#include "utils/inval.h"

/* dc_stamp_pushes_of_all() when this session had heard of all definers. */
extern uint64 dc_definers_heard;

extern void dc_definers_announce(void);
extern void dc_definers_at_xact(XactEvent event);
extern pg_noinline void dc_definers_await(void);

/*
 * Hear of all changes of definitions whose commit is visible to a snapshot that has
 * been taken.  Called at each hit.
 */
static inline void
dc_definers_hear(void)
{
	AcceptInvalidationMessages();
	if (dc_preloaded && unlikely(dc_definers_heard != dc_stamp_pushes_of_all()))
		dc_definers_await();
}

#endif							/* DASHCACHE_DEFINERS_H */
