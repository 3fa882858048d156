/*-------------------------------------------------------------------------
 *
 * utility.h
 *		Commands that workers must not stand in the way of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_UTILITY_H
#define DASHCACHE_UTILITY_H

#include "postgres.h"

#include "access/xact.h"
#include "nodes/parsenodes.h"

extern bool dc_drops_extension(Node *statement);
extern bool dc_utility_begins(Node *statement);
extern void dc_utility_ends(void);
extern void dc_utility_at_xact(XactEvent event);
extern void dc_utility_at_subxact(SubXactEvent event);

#endif							/* DASHCACHE_UTILITY_H */
