/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		When the meaning of a query changes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DDL_H
#define DASHCACHE_DDL_H

#include "postgres.h"

extern bool dc_ddl_have_tables(void);
extern void dc_ddl_look_at(const char *widgets);

#endif							/* DASHCACHE_DDL_H */
