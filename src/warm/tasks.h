/*-------------------------------------------------------------------------
 *
 * tasks.h
 *		What workers do: one piece of work at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TASKS_H
#define DASHCACHE_TASKS_H

#include "postgres.h"

extern void dc_task_join_run(void (*between) (void));

#endif							/* DASHCACHE_TASKS_H */
