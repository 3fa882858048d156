/*-------------------------------------------------------------------------
 *
 * names.h
 *		Following tables and columns that are renamed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_NAMES_H
#define DASHCACHE_NAMES_H

#include "postgres.h"

#include "nodes/pg_list.h"

extern void dc_names_note(List *widgets);
extern void dc_names_follow(void);

#endif							/* DASHCACHE_NAMES_H */
