/*-------------------------------------------------------------------------
 *
 * define.h
 *		Defining, dropping and overriding: what the rest must know.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DEFINE_H
#define DASHCACHE_DEFINE_H

#include "postgres.h"

#include "access/xact.h"

extern void dc_define_drop(const char *dashboard_name, const char *name);
extern void dc_define_outdated(uint32 widget, uint64 version, bool counters);
extern void dc_define_at_xact(XactEvent event);
extern void dc_define_at_subxact(SubXactEvent event);

#endif							/* DASHCACHE_DEFINE_H */
