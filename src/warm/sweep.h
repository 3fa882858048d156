/*-------------------------------------------------------------------------
 *
 * sweep.h
 *		What nobody can ever ask for again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SWEEP_H
#define DASHCACHE_SWEEP_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern void dc_sweep_database(Oid database);
extern List *dc_sweep_databases(void);
extern void dc_sweep_gone(List *databases, List *existing);
extern void dc_sweep_definitions(bool present);

#endif							/* DASHCACHE_SWEEP_H */
