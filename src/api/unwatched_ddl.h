/*-------------------------------------------------------------------------
 *
 * unwatched_ddl.h
 *		DDL for which no event trigger fires.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_UNWATCHED_DDL_H
#define DASHCACHE_UNWATCHED_DDL_H

#include "postgres.h"

#include "nodes/nodes.h"

extern bool dc_unwatched_ddl(Node *statement);
extern void dc_unwatched_ddl_done(void);

#endif							/* DASHCACHE_UNWATCHED_DDL_H */
